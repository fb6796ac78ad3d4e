#include "common/runtime/actor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum result actor_frame(struct actor *actor, enum frame_party from, uint32_t channel, const struct frame *frame,
    struct outbox *outbox, struct error *error)
{
	enum frame_kind kind = frame->header.kind;
	if (!frame_travels(kind, from, actor_party(actor->id)))
		return error_set(
		    error, RESULT_CORRUPT, "channel %" PRIu32 " may not carry %s", channel, frame_kind_name(kind));
	return actor->ops->handlers[kind](actor, channel, frame, outbox, error);
}

enum result actor_command(struct actor *actor, const struct frame *command, struct outbox *outbox, struct error *error)
{
	enum frame_kind kind = command->header.kind;
	if (!frame_travels(kind, PARTY_COORDINATOR, actor_party(actor->id)))
		return RESULT_OK;
	return actor->ops->handlers[kind](actor, 0, command, outbox, error);
}

static struct buffer *add(struct outbox *outbox, uint32_t channel, enum frame_kind kind)
{
	if (outbox->len == outbox->capacity) {
		outbox->capacity = outbox->capacity ? outbox->capacity * 2 : 16;
		outbox->items = memory_resize(outbox->items, outbox->capacity, sizeof *outbox->items);
	}
	struct outbox_item *item = &outbox->items[outbox->len++];
	*item = (struct outbox_item){.channel = channel, .kind = kind};
	return &item->message;
}

void outbox_send(struct outbox *outbox, uint32_t channel, enum frame_kind kind, const void *body)
{
	struct buffer *message = add(outbox, channel, kind);
	buffer_reserve(message, FRAME_HEADER_SIZE);
	message->len = FRAME_HEADER_SIZE;
	frame_encode_body(message, kind, body);
}

void outbox_send_encoded(struct outbox *outbox, uint32_t channel, enum frame_kind kind, struct bytes encoded_body)
{
	struct buffer *message = add(outbox, channel, kind);
	message->data = memory_resize(NULL, FRAME_HEADER_SIZE + encoded_body.len, 1);
	message->capacity = message->len = FRAME_HEADER_SIZE + encoded_body.len;
	memcpy(message->data + FRAME_HEADER_SIZE, encoded_body.data, encoded_body.len);
}

void outbox_report(struct outbox *outbox, enum frame_kind kind, const void *body)
{
	outbox_send(outbox, 0, kind, body);
}

void outbox_clear(struct outbox *outbox)
{
	for (size_t i = 0; i < outbox->len; i++)
		buffer_fini(&outbox->items[i].message);
	outbox->len = 0;
}

void outbox_fini(struct outbox *outbox)
{
	outbox_clear(outbox);
	free(outbox->items);
	*outbox = (struct outbox){0};
}
