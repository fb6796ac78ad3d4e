/* The coordinator's end against messages written by hand: what nng's resending, a broken worker or a stranger would send. */
#include "tests/unit/control_harness.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

struct raw {
	nng_socket socket;
	struct buffer answer;
};

static void raw_open(struct raw *raw, const char *url)
{
	*raw = (struct raw){0};
	assert_int_equal(nng_req0_open(&raw->socket), 0);
	assert_int_equal(nng_socket_set_ms(raw->socket, NNG_OPT_RECVTIMEO, 1), 0);
	assert_int_equal(nng_dial(raw->socket, url, NULL, 0), 0);
}

static void raw_send(struct raw *raw, const void *data, size_t len)
{
	assert_int_equal(nng_socket_set_ms(raw->socket, NNG_OPT_SENDTIMEO, 1000), 0);
	void *copy = nng_alloc(len);
	memcpy(copy, data, len);
	assert_int_equal(nng_send(raw->socket, copy, len, NNG_FLAG_ALLOC), 0);
}

/* Waits for the answer while the coordinator works; events are counted. */
static bool raw_answered(struct raw *raw, struct control_server *server, uint64_t most_us, int *events)
{
	uint64_t now = clock_monotonic_us(), end = now + most_us;
	struct control_event event;
	nng_msg *message;
	for (; now < end; now = clock_monotonic_us()) {
		while (control_server_next(server, now, &event))
			*events += event.kind == CONTROL_FRAME;
		control_server_flush(server, now);
		if (nng_recvmsg(raw->socket, &message, NNG_FLAG_NONBLOCK) == 0) {
			buffer_clear(&raw->answer);
			buffer_append(&raw->answer, nng_msg_body(message), nng_msg_len(message));
			nng_msg_free(message);
			return true;
		}
		(void)usleep(1000);
	}
	return false;
}

/* The one frame behind the answer's heartbeat; FRAME_NONE: there is none. */
static enum frame_kind raw_word(
    const struct raw *raw, struct arena *arena, struct frame *frame, struct frame_heartbeat *heartbeat)
{
	struct control_reader reader;
	struct error error;
	assert_int_equal(control_reader_open(&reader, buffer_bytes(&raw->answer), arena, &error), RESULT_OK);
	*heartbeat = reader.heartbeat;
	if (!control_reader_more(&reader))
		return FRAME_NONE;
	assert_int_equal(control_reader_next(&reader, arena, frame, NULL, &error), RESULT_OK);
	return frame->header.kind;
}

static void raw_close(struct raw *raw)
{
	buffer_fini(&raw->answer); /* its socket stays: closing may hang */
}

static void put_frame(struct control_outgoing *outgoing, enum frame_kind kind, const void *body)
{
	struct buffer message = {0};
	buffer_reserve(&message, FRAME_HEADER_SIZE);
	message.len = FRAME_HEADER_SIZE;
	frame_encode_body(&message, kind, body);
	control_outgoing_push(
	    outgoing, (struct frame_header){.kind = kind, .job = frame_job(JOB), .attempt = 1}, &message);
}

static void raw_send_queue(struct raw *raw, const struct control_outgoing *outgoing, uint64_t incarnation,
    uint64_t coordinator, uint64_t acknowledged)
{
	struct frame_heartbeat heartbeat = {
	    .worker = "raw", .incarnation = incarnation, .coordinator = coordinator, .acknowledged = acknowledged};
	struct buffer message = {0};
	control_outgoing_write(outgoing, frame_job(JOB), &heartbeat, &message);
	raw_send(raw, message.data, message.len);
	buffer_fini(&message);
}

static const struct frame_registration raw_registration = {
    .process = 1, .pid = 99, .identity = 99, .job = "", .fingerprint = "", .topology = "", .release = ""};

/* The same events come again and again: acknowledged each time, handed on once. */
static void repeated_events_are_dropped(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_outgoing outgoing = {0};
	struct frame_heartbeat heartbeat;
	struct frame frame;
	struct arena arena = {0};
	struct raw raw;
	int events = 0;
	raw_open(&raw, url);
	put_frame(&outgoing, FRAME_REGISTER, &raw_registration);
	put_frame(&outgoing, FRAME_READY, &(struct frame_ready){.worker = "1"});
	for (int i = 0; i < 3; i++) {
		raw_send_queue(&raw, &outgoing, 50, 0, 0);
		assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
		assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_NONE);
		assert_int_equal(heartbeat.acknowledged, 2);
		assert_int_equal(heartbeat.coordinator, COORDINATOR);
		assert_int_equal(events, 2);
	}
	put_frame(&outgoing, FRAME_READY, &(struct frame_ready){.worker = "2"});
	raw_send_queue(&raw, &outgoing, 50, COORDINATOR, 0);
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
	assert_int_equal(events, 3);
	control_outgoing_fini(&outgoing);
	arena_fini(&arena);
	raw_close(&raw);
}

/* A command that was sent but never acknowledged is sent with the next poll, too. */
static void commands_repeat_until_acknowledged(void **state)
{
	(void)state;
	static const struct control_outgoing nothing;
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_outgoing outgoing = {0};
	struct frame_heartbeat heartbeat;
	struct frame frame;
	struct arena arena = {0};
	struct raw raw;
	int events = 0;
	raw_open(&raw, url);
	put_frame(&outgoing, FRAME_REGISTER, &raw_registration);
	raw_send_queue(&raw, &outgoing, 50, 0, 0);
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
	control_server_command(server, "raw", 3, FRAME_CANCEL, &(struct frame_cancel){.text = "again"});
	for (int i = 0; i < 3; i++) {
		raw_send_queue(&raw, &nothing, 50, COORDINATOR, 0);
		assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
		assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_CANCEL);
		assert_int_equal(frame.header.sequence, 1);
		assert_int_equal(frame.header.attempt, 3);
	}
	raw_send_queue(&raw, &nothing, 50, COORDINATOR, 1);
	assert_false(raw_answered(&raw, server, 300000, &events)); /* held */
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events)); /* but not for ever */
	assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_NONE);
	control_outgoing_fini(&outgoing);
	arena_fini(&arena);
	raw_close(&raw);
}

/* Not registered, another coordinator's, a gap, an acknowledgement of what was never sent: start afresh. */
static void whoever_is_not_known_is_cancelled(void **state)
{
	(void)state;
	static const struct control_outgoing nothing;
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_outgoing outgoing = {0}, gap = {.last = 5};
	struct frame_heartbeat heartbeat;
	struct frame frame;
	struct arena arena = {0};
	struct raw raw;
	struct control_event event;
	int events = 0;
	raw_open(&raw, url);
	raw_send_queue(&raw, &nothing, 50, 0, 0);
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
	assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_CANCEL);
	assert_int_equal(frame.header.attempt, 0);

	put_frame(&outgoing, FRAME_REGISTER, &raw_registration);
	raw_send_queue(&raw, &outgoing, 50, 0, 0);
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
	assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_NONE);
	raw_send_queue(&raw, &nothing, 50, COORDINATOR - 1, 0);
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
	assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_CANCEL);
	raw_send_queue(&raw, &nothing, 49, COORDINATOR, 0);
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
	assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_CANCEL);
	assert_int_equal(events, 1); /* and the registered one still is */

	put_frame(&gap, FRAME_READY, &(struct frame_ready){.worker = "6"});
	raw_send_queue(&raw, &gap, 50, COORDINATOR, 0);
	assert_true(server_next(server, NULL, PATIENCE_US, &event));
	assert_int_equal(event.kind, CONTROL_LOST);
	assert_string_equal(event.why, "event 6 came after 1");
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
	assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_CANCEL);

	raw_send_queue(&raw, &outgoing, 51, 0, 0);
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
	raw_send_queue(&raw, &nothing, 51, COORDINATOR, 1);
	assert_true(server_next(server, NULL, PATIENCE_US, &event));
	assert_int_equal(event.kind, CONTROL_LOST);
	control_outgoing_fini(&outgoing);
	control_outgoing_fini(&gap);
	arena_fini(&arena);
	raw_close(&raw);
}

/* Noise gets no answer, another wire version a clear word in its own header; workers go on undisturbed. */
static void noise_disturbs_nobody(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_client *client = open_client(url, "w1");
	struct frame_heartbeat heartbeat = {.worker = "old"};
	struct frame frame;
	struct arena arena = {0};
	struct buffer message = {0};
	struct raw raw, mute;
	int events = 0;
	expect_event(server, client, "w1", FRAME_REGISTER);
	raw_open(&mute, url);
	raw_send(&mute, "hello", 5);
	assert_false(raw_answered(&mute, server, 200000, &events));
	raw_open(&raw, url);
	control_write_lone(frame_job(JOB), &heartbeat, FRAME_REGISTER, &raw_registration, &message);
	message.data[4] ^= 1; /* the version */
	raw_send(&raw, message.data, message.len);
	assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
	assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_STOP);
	assert_int_equal(frame.body.stop.code, EXIT_CONFIG);
	assert_int_equal(events, 0);
	report_ready(client, "x");
	expect_event(server, client, "w1", FRAME_READY);
	buffer_fini(&message);
	arena_fini(&arena);
	raw_close(&mute);
	raw_close(&raw);
}

static void ask_about(struct raw *raw, enum frame_kind kind, const char *job)
{
	struct frame_heartbeat heartbeat = {.worker = ""};
	struct buffer message = {0};
	union frame_body body = {0};
	if (kind == FRAME_STATUS)
		body.status.job = job;
	else
		body.checkpoint.job = job;
	control_write_lone(frame_job(job), &heartbeat, kind, &body, &message);
	raw_send(raw, message.data, message.len);
	buffer_fini(&message);
}

/* A question about a job that is not there never becomes one about another: nobody takes its checkpoint. */
static void nobody_speaks_for_another_job(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	static const enum frame_kind kinds[] = {FRAME_STATUS, FRAME_CHECKPOINT};
	struct frame_heartbeat heartbeat;
	struct frame frame;
	struct arena arena = {0};
	struct control_event event;
	struct raw raw;
	int events = 0;
	raw_open(&raw, url);
	for (size_t i = 0; i < 2; i++) {
		ask_about(&raw, kinds[i], "other/totals");
		assert_true(raw_answered(&raw, server, PATIENCE_US, &events));
		assert_int_equal(raw_word(&raw, &arena, &frame, &heartbeat), FRAME_STOP);
		assert_non_null(strstr(frame.body.stop.text, JOB));
		assert_non_null(strstr(frame.body.stop.text, "not other/totals"));
		assert_int_equal(events, 0);
	}
	ask_about(&raw, FRAME_CHECKPOINT, ""); /* the only one */
	assert_true(server_next(server, NULL, PATIENCE_US, &event));
	assert_int_equal(event.kind, CONTROL_STATUS);
	assert_int_equal(event.job, 0);
	arena_fini(&arena);
	raw_close(&raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(repeated_events_are_dropped),
	    cmocka_unit_test(commands_repeat_until_acknowledged),
	    cmocka_unit_test(whoever_is_not_known_is_cancelled),
	    cmocka_unit_test(noise_disturbs_nobody),
	    cmocka_unit_test(nobody_speaks_for_another_job),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)fflush(NULL);
	_exit(failed); /* as in production: nng is left as it is */
}
