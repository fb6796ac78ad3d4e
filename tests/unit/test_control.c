/* The control link over real sockets: registration, commands, events, loss by pipe and by silence, names, strangers. */
#include "tests/unit/control_harness.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "common/runtime/control_listener.h"
#include "common/runtime/listener_probe.h"

/* nng and its sockets stay open to the end of the process, as in production. */

static void registers_and_talks(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_client *client = open_client(url, "w1");
	struct frame command;
	expect_event(server, client, "w1", FRAME_REGISTER);
	for (uint64_t attempt = 1; attempt <= 200; attempt++) { /* both ways, in order */
		control_server_command(server, "w1", attempt, FRAME_CANCEL, &(struct frame_cancel){.text = "first"});
		control_server_command(
		    server, "w1", attempt, FRAME_STOP, &(struct frame_stop){.code = attempt, .text = "second"});
		assert_true(client_next(server, client, PATIENCE_US, &command));
		assert_int_equal(command.header.kind, FRAME_CANCEL);
		assert_int_equal(command.header.attempt, attempt);
		assert_string_equal(command.body.cancel.text, "first");
		assert_true(client_next(server, client, PATIENCE_US, &command));
		assert_int_equal(command.header.kind, FRAME_STOP);
		assert_int_equal(command.body.stop.code, attempt);
		report_ready(client, "a");
		report_ready(client, "b");
		report_ready(client, "c");
		for (int i = 0; i < 3; i++)
			expect_event(server, client, "w1", FRAME_READY);
	}
	assert_true(control_client_connected(client));
	/* To nobody: dropped. */
	control_server_command(server, "w2", 1, FRAME_CANCEL, &(struct frame_cancel){.text = "x"});
	assert_false(client_next(server, client, 100000, &command));
}

/* A command leaves with the flush, not when the poll runs out: that is INJECT's way. */
static void commands_are_quick(void **state)
{
	(void)state;
	enum { ROUNDS = 200 };
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_client *client = open_client(url, "w1");
	struct frame command;
	expect_event(server, client, "w1", FRAME_REGISTER);
	uint64_t start = clock_monotonic_us();
	for (int i = 0; i < ROUNDS; i++) {
		control_server_command(server, "w1", 1, FRAME_CANCEL, &(struct frame_cancel){.text = ""});
		assert_true(client_next(server, client, PATIENCE_US, &command));
	}
	uint64_t each_us = (clock_monotonic_us() - start) / ROUNDS;
	print_message("a command takes %llu us\n", (unsigned long long)each_us);
	assert_true(each_us < CONTROL_POLL_US / 10);
}

/* Many pages at once: more than one message holds. */
static void many_commands_are_split(void **state)
{
	(void)state;
	enum { PAGES = 40, PAGE = 300000 };
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_client *client = open_client(url, "w1");
	struct frame command;
	char *text = memory_new(PAGE + 1);
	expect_event(server, client, "w1", FRAME_REGISTER);
	memset(text, 'p', PAGE);
	for (uint64_t i = 0; i < PAGES; i++)
		control_server_command(server, "w1", 1, FRAME_STOP, &(struct frame_stop){.code = i, .text = text});
	for (uint64_t i = 0; i < PAGES; i++) {
		assert_true(client_next(server, client, PATIENCE_US, &command));
		assert_int_equal(command.body.stop.code, i);
		assert_int_equal(strlen(command.body.stop.text), PAGE);
	}
	assert_false(client_next(server, client, 50000, &command));
	free(text);
}

/* Longer than several polls without a word: nobody is lost. */
static void quiet_is_not_lost(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, SHORT_HEARTBEAT_US);
	struct control_client *client = open_client(url, "w1");
	struct control_event event;
	expect_event(server, client, "w1", FRAME_REGISTER);
	assert_false(server_next(server, client, 2500000, &event));
	assert_true(control_server_wake_us(server) <= clock_monotonic_us() + 1000000);
}

/* A coordinator that was stopped itself does not blame its workers. */
static void own_absence_blames_nobody(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, SHORT_HEARTBEAT_US);
	struct control_client *client = open_client(url, "w1");
	struct control_event event;
	expect_event(server, client, "w1", FRAME_REGISTER);
	assert_false(server_next(server, client, 100000, &event));
	(void)usleep(2500000);
	assert_false(server_next(server, client, 1500000, &event));
}

/* --- by hand: what nng's resending, a broken worker or a stranger would send ------------------------------------------- */

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
    .process = 1, .pid = 99, .job = "", .fingerprint = "", .release = ""};

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
	assert_true(raw_answered(&raw, server, 2000000, &events)); /* but not for ever */
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

/* --- names ---------------------------------------------------------------------------------------------------------- */

static void other_job_is_refused(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_client *client = open_client_as(url, "w1", "bank/totals", 1);
	struct frame command;
	assert_true(client_next(server, client, PATIENCE_US, &command));
	assert_int_equal(command.header.kind, FRAME_STOP);
	assert_int_equal(command.body.stop.code, EXIT_CONFIG);
	assert_non_null(strstr(command.body.stop.text, "shop/totals"));
	assert_false(client_next(server, client, 100000, &command)); /* said once */
}

/* A second process under the same name is told so, and the first goes on. */
static void living_namesake_is_refused(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_client *first = open_client_as(url, "w1", JOB, 1000);
	struct frame command;
	expect_event(server, first, "w1", FRAME_REGISTER);
	struct control_client *second = open_client_as(url, "w1", JOB, 2000);
	bool refused = false;
	for (int i = 0; i < 400 && !refused; i++) {
		struct control_event unexpected;
		uint64_t now = clock_monotonic_us();
		assert_false(control_server_next(server, now, &unexpected));
		control_server_flush(server, now);
		assert_false(control_client_next(first, &command));
		refused = control_client_next(second, &command);
		(void)usleep(5000);
	}
	assert_true(refused);
	assert_int_equal(command.header.kind, FRAME_STOP);
	assert_int_equal(command.body.stop.code, EXIT_CONFIG);
	assert_non_null(strstr(command.body.stop.text, "pid 1000"));
	report_ready(first, "x");
	expect_event(server, first, "w1", FRAME_READY);
}

/* The other one does not speak any more (its machine is gone, nobody told): the name is free after its silence. */
static void silent_namesake_gives_way(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, SHORT_HEARTBEAT_US);
	struct control_client *first = open_client_as(url, "w1", JOB, 1000);
	expect_event(server, first, "w1", FRAME_REGISTER);
	/* From now on `first` is not pumped. */
	struct control_client *second = open_client_as(url, "w1", JOB, 2000);
	expect_lost(server, second, "w1", "it has not been heard of for 0.4 s");
	expect_event(server, second, "w1", FRAME_REGISTER);
}

/* exec: same pid, newer incarnation, perhaps before the old connection is seen to go. */
static void new_incarnation_replaces(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_client *first = open_client(url, "w1");
	struct frame command;
	expect_event(server, first, "w1", FRAME_REGISTER);
	struct control_client *second = open_client(url, "w1");
	expect_lost(server, second, "w1", "it has started afresh");
	expect_event(server, second, "w1", FRAME_REGISTER);
	assert_true(client_next(server, first, PATIENCE_US, &command));
	assert_int_equal(command.header.kind, FRAME_CANCEL);
	assert_int_equal(command.header.attempt, 0);
	report_ready(second, "x");
	expect_event(server, second, "w1", FRAME_READY);
}

/* --- status, linger, watchdog ---------------------------------------------------------------------------------------- */

static char **test_argv;

static pid_t start_process(const char *role, char *url, char *name)
{
	char *role_argument = strdup(role), *argv[] = {test_argv[0], role_argument, url, name, NULL};
	pid_t pid;
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
	free(role_argument);
	return pid;
}

static int ask_status(const char *url)
{
	struct arena arena = {0};
	struct frame answer;
	struct error error;
	enum result result = control_ask_status(url, JOB, 10000, &arena, &answer, &error);
	bool right = result == RESULT_OK && strcmp(answer.body.status_report.state, "running") == 0;
	if (!right)
		(void)fprintf(stderr, "%s\n", result == RESULT_OK ? "wrong answer" : error.text);
	arena_fini(&arena);
	_exit(right ? 0 : 1);
}

static void status_is_answered(void **state)
{
	(void)state;
	char url[URL_MAX], name[] = "";
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	struct control_event event;
	int status;
	pid_t pid = start_process("status", url, name);
	assert_true(server_next(server, NULL, PATIENCE_US, &event));
	assert_int_equal(event.kind, CONTROL_STATUS);
	assert_string_equal(event.frame.body.status.job, JOB);
	struct frame_status_report report = {
	    .job = JOB, .state = "running", .waiting = "", .last_error = "", .workers = {0}};
	control_server_answer(server, event.token, &report);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* Nobody there: an error in time. */
	struct arena arena = {0};
	struct frame answer;
	struct error error;
	free_address(url);
	uint64_t before = clock_monotonic_us();
	assert_int_not_equal(control_ask_status(url, JOB, 400, &arena, &answer, &error), RESULT_OK);
	assert_true(clock_monotonic_us() - before < 3000000);
	arena_fini(&arena);
}

/* A worker in a process of its own: obeys STOP, otherwise lives. */
static int live(const char *url, const char *name)
{
	struct control_client *client = open_client(url, name);
	struct frame command;
	for (;;) {
		while (control_client_next(client, &command))
			if (command.header.kind == FRAME_STOP)
				_exit((int)command.body.stop.code);
		wait_readable(control_client_event_fd(client), -1, 1000000);
	}
}

static void killed_worker_is_lost_at_once(void **state)
{
	(void)state;
	char url[URL_MAX], name[] = "w1";
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	for (int round = 0; round < 3; round++) {
		pid_t pid = start_process("live", url, name);
		expect_event(server, NULL, "w1", FRAME_REGISTER);
		uint64_t before = clock_monotonic_us();
		assert_int_equal(kill(pid, SIGKILL), 0);
		expect_lost(server, NULL, "w1", "its connection is gone");
		assert_true(clock_monotonic_us() - before < 1000000);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
}

/* SIGSTOP: connected and silent. When it wakes, it is told to start afresh. */
static void stopped_worker_is_lost_by_silence(void **state)
{
	(void)state;
	char url[URL_MAX], name[] = "w1";
	struct control_server *server = open_server(url, SHORT_HEARTBEAT_US);
	pid_t pid = start_process("live", url, name);
	expect_event(server, NULL, "w1", FRAME_REGISTER);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	expect_lost(server, NULL, "w1", "it has not been heard of for 0.4 s");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The coordinator's last words reach workers that leave when they hear them. */
static void linger_delivers_last_words(void **state)
{
	(void)state;
	char url[URL_MAX], name[] = "w1";
	struct control_server *server = open_server(url, HEARTBEAT_TIMEOUT_US);
	pid_t pid = start_process("live", url, name);
	int status;
	expect_event(server, NULL, "w1", FRAME_REGISTER);
	control_server_command(
	    server, "w1", 0, FRAME_STOP, &(struct frame_stop){.code = EXIT_CONFIG, .text = "that was it"});
	uint64_t before = clock_monotonic_us();
	control_server_linger(server, 5000000);
	assert_true(clock_monotonic_us() - before < 3000000);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_CONFIG);
	before = clock_monotonic_us(); /* nothing to say: no waiting */
	control_server_linger(server, 5000000);
	assert_true(clock_monotonic_us() - before < 500000);
}

static void serve(struct control_listener *listener)
{
	struct control_news news;
	while (control_listener_next(listener, &news))
		if (news.kind == CONTROL_REQUEST)
			control_request_drop(news.request);
}

static bool accepts(const char *url)
{
	nng_socket socket; /* left open, as everything of nng's here */
	assert_int_equal(nng_req0_open(&socket), 0);
	assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, 2000), 0);
	assert_int_equal(nng_dial(socket, url, NULL, NNG_FLAG_NONBLOCK), 0);
	void *data = nng_alloc(1);
	memset(data, 0, 1);
	int code = nng_send(socket, data, 1, NNG_FLAG_ALLOC);
	if (code != 0)
		nng_free(data, 1);
	return code == 0;
}

/* A listener that answers is left alone for a minute; one that does not get the time to (made up here) is made again,
 * at the same address: what it had is gone, what comes is served. */
static void dead_listener_is_made_again(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_listener *listener;
	struct control_news news;
	struct error error;
	uint64_t now_us = clock_monotonic_us();
	free_address(url);
	assert_int_equal(control_listener_open(&listener, url, &error), RESULT_OK);
	assert_true(accepts(url));
	for (int i = 0; i < 120; i++, now_us += 500000) {
		control_listener_check(listener, now_us);
		(void)usleep(5000);
		serve(listener);
	}
	for (int i = 0; i < 8; i++, now_us += LISTENER_PROBE_EVERY_US + LISTENER_PROBE_TIMEOUT_US)
		control_listener_check(listener, now_us);
	bool gone = false;
	for (uint64_t end = clock_monotonic_us() + PATIENCE_US; !gone && clock_monotonic_us() < end;) {
		while (control_listener_next(listener, &news)) {
			gone = gone || news.kind == CONTROL_PIPE_GONE;
			if (news.kind == CONTROL_REQUEST)
				control_request_drop(news.request);
		}
		wait_readable(control_listener_event_fd(listener), -1, 10000);
	}
	assert_true(gone);
	assert_true(accepts(url));
}

/* The probe by itself: a port that takes connections and says nothing is dead at the second failure, not before. */
static void probe_tells_dead_from_alive(void **state)
{
	(void)state;
	struct listener_probe probe = {
	    .address.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof probe.address.v4;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, &probe.address.any, len), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, &probe.address.any, &len), 0);
	uint64_t now_us = 1000;
	listener_probe_init(&probe, now_us);
	for (int round = 1; round <= 4; round++) {
		assert_true(listener_probe_step(&probe, now_us + LISTENER_PROBE_EVERY_US - 1));
		assert_int_equal(probe.fd, -1);
		now_us += LISTENER_PROBE_EVERY_US;
		assert_true(listener_probe_step(&probe, now_us));
		assert_true(listener_probe_step(&probe, now_us + LISTENER_PROBE_TIMEOUT_US - 1));
		now_us += LISTENER_PROBE_TIMEOUT_US;
		assert_int_equal(listener_probe_step(&probe, now_us), round % 2 == 1);
	}
	/* One answer in between, and it begins to count anew. */
	assert_true(listener_probe_step(&probe, now_us += LISTENER_PROBE_EVERY_US));
	assert_true(listener_probe_step(&probe, now_us += LISTENER_PROBE_TIMEOUT_US));
	assert_int_equal(probe.failures, 1);
	assert_true(listener_probe_step(&probe, now_us += LISTENER_PROBE_EVERY_US));
	int peer = -1;
	while (probe.fd >= 0) { /* those that gave up lie in the backlog before it */
		peer = accept(fd, NULL, NULL);
		assert_true(peer >= 0);
		assert_int_equal(send(peer, "\0SP\0\0\x31\0\0", 8, MSG_NOSIGNAL), 8);
		(void)usleep(10000);
		assert_true(listener_probe_step(&probe, now_us));
		(void)close(peer);
	}
	assert_int_equal(probe.failures, 0);
	(void)close(fd);
}

int main(int argc, char **argv)
{
	test_argv = argv;
	if (argc == 4 && strcmp(argv[1], "status") == 0)
		return ask_status(argv[2]);
	if (argc == 4 && strcmp(argv[1], "live") == 0)
		return live(argv[2], argv[3]);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(registers_and_talks),
	    cmocka_unit_test(commands_are_quick),
	    cmocka_unit_test(many_commands_are_split),
	    cmocka_unit_test(quiet_is_not_lost),
	    cmocka_unit_test(own_absence_blames_nobody),
	    cmocka_unit_test(repeated_events_are_dropped),
	    cmocka_unit_test(commands_repeat_until_acknowledged),
	    cmocka_unit_test(whoever_is_not_known_is_cancelled),
	    cmocka_unit_test(noise_disturbs_nobody),
	    cmocka_unit_test(other_job_is_refused),
	    cmocka_unit_test(living_namesake_is_refused),
	    cmocka_unit_test(silent_namesake_gives_way),
	    cmocka_unit_test(new_incarnation_replaces),
	    cmocka_unit_test(status_is_answered),
	    cmocka_unit_test(killed_worker_is_lost_at_once),
	    cmocka_unit_test(stopped_worker_is_lost_by_silence),
	    cmocka_unit_test(linger_delivers_last_words),
	    cmocka_unit_test(dead_listener_is_made_again),
	    cmocka_unit_test(probe_tells_dead_from_alive),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)fflush(NULL);
	_exit(failed); /* as in production: nng is left as it is */
}
