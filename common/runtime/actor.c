#include "common/runtime/actor.h"

#include <stdlib.h>
#include <string.h>

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
