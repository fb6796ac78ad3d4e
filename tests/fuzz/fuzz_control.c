/* Any bytes as a message of the control link, and any frames as one: never more than an error; what is acknowledged was sent. */
#include <string.h>

#include "common/runtime/control_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void push_some(struct control_outgoing *outgoing)
{
	for (int i = 0; i < 3; i++) {
		struct buffer message = {0};
		buffer_reserve(&message, FRAME_HEADER_SIZE);
		message.len = FRAME_HEADER_SIZE;
		frame_encode_body(&message, FRAME_READY, &(struct frame_ready){.worker = "w"});
		control_outgoing_push(outgoing, (struct frame_header){.kind = FRAME_READY, .job = 5}, &message);
	}
}

static void read_message(struct bytes message)
{
	struct control_outgoing outgoing = {0};
	struct control_incoming incoming = {0};
	struct control_reader reader;
	struct arena arena = {0};
	struct error error;

	push_some(&outgoing);
	enum result result = control_reader_open(&reader, message, &arena, &error);
	if (result == RESULT_OK &&
	    control_outgoing_acknowledge(&outgoing, reader.heartbeat.acknowledged, &error) == RESULT_OK)
		CHECK(reader.heartbeat.acknowledged <= outgoing.last);
	while (result == RESULT_OK && control_reader_more(&reader)) {
		struct frame frame;
		struct bytes encoded;
		size_t left = reader.rest.len;
		result = control_reader_next(&reader, &arena, &frame, &encoded, &error);
		if (result != RESULT_OK)
			break;
		CHECK(reader.rest.len < left && encoded.len == left - reader.rest.len);
		uint64_t last = incoming.last;
		enum control_verdict verdict = control_incoming_check(&incoming, frame.header.sequence);
		CHECK(verdict == CONTROL_TAKE ? incoming.last > last || frame.header.sequence == 0
		                              : incoming.last == last);
	}
	CHECK(result == RESULT_OK || error.text[0] != '\0');
	control_outgoing_fini(&outgoing);
	arena_fini(&arena);
}

/* Frames whose checksums are right: one for every two bytes of length, of a kind and a number of the input's choice. */
static void read_frames(const uint8_t *data, size_t size)
{
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = {.worker = "w", .incarnation = 1};
	if (size < 2)
		return;
	heartbeat.acknowledged = data[0];
	heartbeat.sequence = data[1];
	struct frame_header first = {.kind = FRAME_HEARTBEAT, .job = 5};
	frame_encode(&message, &first, &heartbeat);
	for (size_t at = 2; at + 4 <= size;) {
		size_t len = (size_t)(data[at] << 8 | data[at + 1]);
		struct frame_header header = {
		    .kind = frame_rows[data[at + 2] % frame_rows_len].kind, .job = 5, .sequence = data[at + 3]};
		at += 4;
		len = len < size - at ? len : size - at;
		if (message.len + FRAME_HEADER_SIZE + len > FRAME_MAX)
			break;
		frame_encode_raw(&message, &header, (struct bytes){data + at, len});
		at += len;
	}
	read_message(buffer_bytes(&message));
	buffer_fini(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > FRAME_MAX)
		return 0;
	read_message((struct bytes){data, size});
	read_frames(data, size);
	return 0;
}
