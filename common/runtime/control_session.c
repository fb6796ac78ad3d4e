#include "common/runtime/control_session.h"

#include <stdlib.h>

/* --- sending -------------------------------------------------------------------------------------------------------- */

static struct buffer *frame_at(const struct control_outgoing *outgoing, size_t place)
{
	return &outgoing->frames[(outgoing->first + place) % outgoing->capacity];
}

static void grow(struct control_outgoing *outgoing)
{
	size_t capacity = outgoing->capacity ? outgoing->capacity * 2 : 16;
	struct buffer *frames = memory_resize(NULL, capacity, sizeof *frames);
	for (size_t i = 0; i < outgoing->len; i++)
		frames[i] = *frame_at(outgoing, i);
	free(outgoing->frames);
	outgoing->frames = frames;
	outgoing->first = 0;
	outgoing->capacity = capacity;
}

void control_outgoing_push(struct control_outgoing *outgoing, struct frame_header header, struct buffer *message)
{
	CHECK(message->len >= FRAME_HEADER_SIZE && message->len <= CONTROL_FRAME_MAX);
	if (outgoing->len == outgoing->capacity)
		grow(outgoing);
	header.channel = 0;
	header.sequence = ++outgoing->last;
	frame_header_write(message->data, message->len - FRAME_HEADER_SIZE, &header);
	*frame_at(outgoing, outgoing->len++) = *message;
	*message = (struct buffer){0};
}

enum result control_outgoing_acknowledge(struct control_outgoing *outgoing, uint64_t number, struct error *error)
{
	if (number > outgoing->last)
		return error_set(error, RESULT_CORRUPT, "frame %llu was acknowledged, %llu is the last one sent",
		    (unsigned long long)number, (unsigned long long)outgoing->last);
	while (outgoing->len != 0 && outgoing->last - outgoing->len + 1 <= number) {
		buffer_fini(frame_at(outgoing, 0));
		outgoing->first = (outgoing->first + 1) % outgoing->capacity;
		outgoing->len--;
	}
	return RESULT_OK;
}

static void write_heartbeat(uint32_t job, const struct frame_heartbeat *heartbeat, struct buffer *message)
{
	size_t start = message->len;
	frame_encode(message, &(struct frame_header){.kind = FRAME_HEARTBEAT, .job = job}, heartbeat);
	CHECK(message->len - start <= CONTROL_HEARTBEAT_MAX);
}

void control_outgoing_write(
    const struct control_outgoing *outgoing, uint32_t job, struct frame_heartbeat *heartbeat, struct buffer *message)
{
	size_t count = 0, size = 0;
	while (count < outgoing->len && size + frame_at(outgoing, count)->len <= CONTROL_FRAME_MAX)
		size += frame_at(outgoing, count++)->len;
	heartbeat->sequence = outgoing->last - outgoing->len + count;
	write_heartbeat(job, heartbeat, message);
	for (size_t i = 0; i < count; i++)
		buffer_append(message, frame_at(outgoing, i)->data, frame_at(outgoing, i)->len);
}

void control_outgoing_fini(struct control_outgoing *outgoing)
{
	for (size_t i = 0; i < outgoing->len; i++)
		buffer_fini(frame_at(outgoing, i));
	free(outgoing->frames);
	*outgoing = (struct control_outgoing){0};
}

void control_write_lone(
    uint32_t job, struct frame_heartbeat *heartbeat, enum frame_kind kind, const void *body, struct buffer *message)
{
	heartbeat->sequence = 0;
	write_heartbeat(job, heartbeat, message);
	frame_encode(message, &(struct frame_header){.kind = kind, .job = job}, body);
}

/* --- receiving -------------------------------------------------------------------------------------------------------- */

enum control_verdict control_incoming_check(struct control_incoming *incoming, uint64_t number)
{
	if (number <= incoming->last)
		return CONTROL_SEEN;
	if (number != incoming->last + 1)
		return CONTROL_GAP;
	incoming->last = number;
	return CONTROL_TAKE;
}

enum result control_reader_open(
    struct control_reader *reader, struct bytes message, struct arena *arena, struct error *error)
{
	struct frame frame;
	*reader = (struct control_reader){.rest = message};
	enum result result = control_reader_next(reader, arena, &frame, NULL, error);
	if (result != RESULT_OK)
		return result;
	if (frame.header.kind != FRAME_HEARTBEAT)
		return error_set(error, RESULT_CORRUPT, "a control message opens with %s instead of HEARTBEAT",
		    frame_kind_name(frame.header.kind));
	reader->job = frame.header.job;
	reader->heartbeat = frame.body.heartbeat;
	return RESULT_OK;
}

enum result control_reader_next(
    struct control_reader *reader, struct arena *arena, struct frame *frame, struct bytes *encoded, struct error *error)
{
	size_t used;
	enum result result = frame_decode(reader->rest, arena, frame, &used, error);
	if (result != RESULT_OK)
		return result;
	if (encoded != NULL)
		*encoded = (struct bytes){reader->rest.data, used};
	reader->rest.data += used;
	reader->rest.len -= used;
	return RESULT_OK;
}
