/* Numbers of the control link: nothing is lost, nothing is taken twice, whatever is sent again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/runtime/control_session.h"

static void push(struct control_outgoing *outgoing, uint64_t attempt, size_t text_len)
{
	struct buffer message = {0}, text = {0};
	memset(buffer_reserve(&text, text_len + 1), 'x', text_len);
	text.data[text_len] = '\0';
	buffer_reserve(&message, FRAME_HEADER_SIZE);
	message.len = FRAME_HEADER_SIZE;
	frame_encode_body(&message, FRAME_READY, &(struct frame_ready){.worker = (const char *)text.data});
	control_outgoing_push(
	    outgoing, (struct frame_header){.kind = FRAME_READY, .job = 5, .attempt = attempt}, &message);
	assert_null(message.data);
	buffer_fini(&text);
}

/* Reads a message; returns how many of its frames were new. */
static int take(struct control_incoming *incoming, const struct buffer *message, uint64_t *heartbeat_sequence)
{
	struct arena arena = {0};
	struct control_reader reader;
	struct frame frame;
	struct bytes encoded;
	struct error error;
	int taken = 0;
	assert_int_equal(control_reader_open(&reader, buffer_bytes(message), &arena, &error), RESULT_OK);
	assert_int_equal(reader.job, 5);
	*heartbeat_sequence = reader.heartbeat.sequence;
	while (control_reader_more(&reader)) {
		assert_int_equal(control_reader_next(&reader, &arena, &frame, &encoded, &error), RESULT_OK);
		assert_int_equal(frame.header.channel, 0);
		enum control_verdict verdict = control_incoming_check(incoming, frame.header.sequence);
		assert_int_not_equal(verdict, CONTROL_GAP);
		if (verdict == CONTROL_TAKE) {
			taken++;
			assert_int_equal(frame.header.attempt, 100 + frame.header.sequence);
			assert_int_equal(frame.header.sequence, incoming->last);
		}
	}
	arena_fini(&arena);
	return taken;
}

static struct buffer write_message(const struct control_outgoing *outgoing)
{
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = {.worker = "w", .incarnation = 1};
	control_outgoing_write(outgoing, 5, &heartbeat, &message);
	return message;
}

static void repeats_until_acknowledged(void **state)
{
	(void)state;
	struct control_outgoing outgoing = {0};
	struct control_incoming incoming = {0};
	struct error error;
	uint64_t sequence;
	for (uint64_t i = 1; i <= 3; i++)
		push(&outgoing, 100 + i, 10);
	struct buffer first = write_message(&outgoing);
	assert_int_equal(take(&incoming, &first, &sequence), 3);
	assert_int_equal(sequence, 3);
	push(&outgoing, 104, 10);
	struct buffer second = write_message(&outgoing); /* the answer to the first was lost */
	assert_int_equal(take(&incoming, &second, &sequence), 1);
	assert_int_equal(take(&incoming, &second, &sequence), 0);
	assert_int_equal(take(&incoming, &first, &sequence), 0); /* even late and out of order */
	assert_int_equal(incoming.last, 4);

	assert_int_equal(control_outgoing_acknowledge(&outgoing, 2, &error), RESULT_OK);
	assert_int_equal(outgoing.len, 2);
	assert_int_equal(control_outgoing_acknowledge(&outgoing, 1, &error), RESULT_OK); /* older: nothing new */
	assert_int_equal(outgoing.len, 2);
	struct buffer third = write_message(&outgoing);
	struct control_incoming behind = {.last = 2};
	assert_int_equal(take(&behind, &third, &sequence), 2);
	assert_int_equal(control_outgoing_acknowledge(&outgoing, 4, &error), RESULT_OK);
	assert_int_equal(outgoing.len, 0);
	struct buffer empty = write_message(&outgoing);
	assert_int_equal(take(&incoming, &empty, &sequence), 0);
	assert_int_equal(sequence, 4);
	assert_int_equal(control_outgoing_acknowledge(&outgoing, 5, &error), RESULT_CORRUPT);
	buffer_fini(&first);
	buffer_fini(&second);
	buffer_fini(&third);
	buffer_fini(&empty);
	control_outgoing_fini(&outgoing);
}

static void gaps_are_seen(void **state)
{
	(void)state;
	struct control_incoming incoming = {0};
	assert_int_equal(control_incoming_check(&incoming, 2), CONTROL_GAP);
	assert_int_equal(control_incoming_check(&incoming, 1), CONTROL_TAKE);
	assert_int_equal(control_incoming_check(&incoming, 3), CONTROL_GAP);
	assert_int_equal(incoming.last, 1);
	assert_int_equal(control_incoming_check(&incoming, 0), CONTROL_SEEN);
}

/* A thousand frames, then large ones: each message stays below FRAME_MAX, and all arrive once. */
static void large_queues_are_split(void **state)
{
	(void)state;
	enum { FRAMES = 12 };
	struct control_outgoing outgoing = {0};
	struct control_incoming incoming = {0};
	struct error error;
	uint64_t sequence;
	int messages = 0, taken = 0;
	for (uint64_t i = 1; i <= FRAMES; i++)
		push(&outgoing, 100 + i, 1024 * 1024);
	while (outgoing.len != 0) {
		struct buffer message = write_message(&outgoing);
		assert_true(message.len <= FRAME_MAX);
		taken += take(&incoming, &message, &sequence);
		assert_int_equal(sequence, incoming.last);
		assert_int_equal(control_outgoing_acknowledge(&outgoing, sequence, &error), RESULT_OK);
		buffer_fini(&message);
		messages++;
	}
	assert_int_equal(taken, FRAMES);
	assert_int_equal(messages, 4); /* three a message */
	control_outgoing_fini(&outgoing);
}

static void lone_words_have_no_number(void **state)
{
	(void)state;
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = {.worker = "", .coordinator = 9};
	struct arena arena = {0};
	struct control_reader reader;
	struct frame frame;
	struct error error;
	control_write_lone(5, &heartbeat, FRAME_CANCEL, &(struct frame_cancel){.text = "go"}, &message);
	assert_int_equal(control_reader_open(&reader, buffer_bytes(&message), &arena, &error), RESULT_OK);
	assert_int_equal(reader.heartbeat.coordinator, 9);
	assert_int_equal(control_reader_next(&reader, &arena, &frame, NULL, &error), RESULT_OK);
	assert_int_equal(frame.header.sequence, 0);
	assert_string_equal(frame.body.cancel.text, "go");
	assert_false(control_reader_more(&reader));
	arena_fini(&arena);
	buffer_fini(&message);
}

/* Every prefix of a message, and every message with one byte changed, is an error or reads as whole frames. */
static void noise_is_refused(void **state)
{
	(void)state;
	struct control_outgoing outgoing = {0};
	push(&outgoing, 101, 5);
	struct buffer message = write_message(&outgoing);
	for (size_t len = 0; len < message.len; len++) {
		struct arena arena = {0};
		struct control_reader reader;
		struct frame frame;
		struct error error;
		struct bytes cut = {message.data, len};
		enum result result = control_reader_open(&reader, cut, &arena, &error);
		if (result == RESULT_OK && control_reader_more(&reader))
			result = control_reader_next(&reader, &arena, &frame, NULL, &error);
		else if (result == RESULT_OK)
			result = RESULT_CORRUPT; /* a poll: exactly the heartbeat */
		assert_int_equal(result, RESULT_CORRUPT);
		arena_fini(&arena);
	}
	for (size_t at = 0; at < message.len; at++) {
		struct arena arena = {0};
		struct control_reader reader;
		struct frame frame;
		struct error error;
		message.data[at] ^= 0x20;
		enum result result = control_reader_open(&reader, buffer_bytes(&message), &arena, &error);
		if (result == RESULT_OK)
			result = control_reader_next(&reader, &arena, &frame, NULL, &error);
		assert_int_not_equal(result, RESULT_OK);
		message.data[at] ^= 0x20;
		arena_fini(&arena);
	}
	buffer_fini(&message);
	/* A message that does not open with a HEARTBEAT. */
	struct arena arena = {0};
	struct control_reader reader;
	struct error error;
	frame_encode(&message, &(struct frame_header){.kind = FRAME_CANCEL}, &(struct frame_cancel){.text = ""});
	assert_int_equal(control_reader_open(&reader, buffer_bytes(&message), &arena, &error), RESULT_CORRUPT);
	arena_fini(&arena);
	buffer_fini(&message);
	control_outgoing_fini(&outgoing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(repeats_until_acknowledged),
	    cmocka_unit_test(gaps_are_seen),
	    cmocka_unit_test(large_queues_are_split),
	    cmocka_unit_test(lone_words_have_no_number),
	    cmocka_unit_test(noise_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
