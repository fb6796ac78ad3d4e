/* common/runtime/control_session.h - numbers and acknowledgements of the control link: what is sent again, what is dropped.
 *
 * Pure: no socket, no clock. Each direction numbers its frames from 1; a frame's number stands in its header. What has not
 * been acknowledged is written again into the next message, what has been seen is dropped by its number. Number 0 stands
 * outside the sequence: a word of the coordinator's to somebody who is not registered.
 *
 * A message is a HEARTBEAT frame and then the frames themselves.
 *
 * Errors: CORRUPT for what is not a message, or acknowledges what was never sent, or leaves out a number.
 * Limits: a message is at most FRAME_MAX bytes; what does not fit waits for the next.
 */
#ifndef RUNTIME_CONTROL_SESSION_H
#define RUNTIME_CONTROL_SESSION_H

#include "common/base/error.h"
#include "proto/frame.h"

/* Room that a HEARTBEAT takes at most, and what is therefore left for one frame. */
enum { CONTROL_HEARTBEAT_MAX = 1024, CONTROL_FRAME_MAX = FRAME_MAX - CONTROL_HEARTBEAT_MAX };

/* Frames not yet acknowledged, oldest first. */
struct control_outgoing {
	struct buffer *frames; /* a ring of encoded frames */
	size_t first, len, capacity;
	uint64_t last; /* number of the newest frame */
};
/* Takes the message (FRAME_HEADER_SIZE of room, encoded body), gives it its number. */
void control_outgoing_push(struct control_outgoing *outgoing, struct frame_header header, struct buffer *message);
enum result control_outgoing_acknowledge(
    struct control_outgoing *outgoing, uint64_t number, struct error *error) MUST_USE;
/* Appends a message: the heartbeat (its sequence is set here), then what is not acknowledged, as far as it fits. */
void control_outgoing_write(
    const struct control_outgoing *outgoing, uint32_t job, struct frame_heartbeat *heartbeat, struct buffer *message);
void control_outgoing_fini(struct control_outgoing *outgoing);

struct control_incoming {
	uint64_t last; /* number of the newest frame taken */
};
enum control_verdict { CONTROL_TAKE, CONTROL_SEEN, CONTROL_GAP };
enum control_verdict control_incoming_check(struct control_incoming *incoming, uint64_t number);

/* Reads a message frame by frame. */
struct control_reader {
	struct bytes rest;
	uint32_t job;
	struct frame_heartbeat heartbeat; /* texts in the arena */
};
enum result control_reader_open(
    struct control_reader *reader, struct bytes message, struct arena *arena, struct error *error) MUST_USE;
static inline bool control_reader_more(const struct control_reader *reader)
{
	return reader->rest.len != 0;
}
/* encoded: the frame's bytes, NULL if they are not wanted. */
enum result control_reader_next(struct control_reader *reader, struct arena *arena, struct frame *frame,
    struct bytes *encoded, struct error *error) MUST_USE;

/* A message with one frame outside the sequence. */
void control_write_lone(
    uint32_t job, struct frame_heartbeat *heartbeat, enum frame_kind kind, const void *body, struct buffer *message);

#endif
