/* The control link over real sockets: registration, commands, events, loss by pipe and by silence, names. */
#include "tests/unit/control_harness.h"

#include <sys/prctl.h>

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
	assert_false(server_next(server, client, 4000000, &event));
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

/* Events say whose worker it is, and each worker is spoken to in the name of its own job. */
static void two_jobs_share_the_link(void **state)
{
	(void)state;
	static const char *const jobs[] = {"shop/totals", "shop/search"};
	char url[URL_MAX];
	struct control_server *server;
	struct control_event event;
	struct error error;
	struct frame command;
	free_address(url);
	assert_int_equal(
	    control_server_open(&server, url, jobs, 2, COORDINATOR, HEARTBEAT_TIMEOUT_US, &error), RESULT_OK);
	struct control_client *clients[2];
	for (uint32_t i = 0; i < 2; i++) {
		char worker[] = {'w', (char)('0' + i), '\0'};
		clients[i] = open_client_as(url, worker, jobs[i], i + 1);
		assert_true(server_next(server, clients[i], PATIENCE_US, &event));
		assert_int_equal(event.job, i);
		assert_string_equal(event.worker, worker);
	}
	control_server_command(server, "w0", 3, FRAME_START, &(struct frame_start){.silent = true});
	control_server_command(server, "w1", 3, FRAME_START, &(struct frame_start){.silent = true});
	for (uint32_t i = 0; i < 2; i++) {
		assert_true(client_next(server, clients[i], PATIENCE_US, &command));
		assert_int_equal(command.header.kind, FRAME_START);
		assert_int_equal(command.header.job, frame_job(jobs[i]));
	}
	struct control_client *stranger = open_client_as(url, "w2", "bank/totals", 3);
	assert_true(client_next(server, stranger, PATIENCE_US, &command));
	assert_int_equal(command.header.kind, FRAME_STOP);
	assert_non_null(strstr(command.body.stop.text, "shop/totals and shop/search"));
}

/* A second process under the same name is told so, and the first goes on: also where both have one pid, as in containers. */
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
	for (uint64_t end = clock_monotonic_us() + PATIENCE_US; !refused && clock_monotonic_us() < end;) {
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
	assert_non_null(strstr(command.body.stop.text, "pid 1)"));
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
	expect_lost(server, second, "w1", "it has not been heard of for 1.5 s");
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

/* --- status, loss, linger ---------------------------------------------------------------------------------------- */

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
	enum result result = control_ask(url, JOB, FRAME_STATUS, 10000, &arena, &answer, &error);
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
	    .job = JOB, .jobs = JOB, .state = "running", .last_error = "", .workers = {0}};
	control_server_answer(server, event.token, &report);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* Nobody there: an error in time. */
	struct arena arena = {0};
	struct frame answer;
	struct error error;
	free_address(url);
	uint64_t before = clock_monotonic_us();
	assert_int_not_equal(control_ask(url, JOB, FRAME_STATUS, 400, &arena, &answer, &error), RESULT_OK);
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
		assert_true(clock_monotonic_us() - before < 3000000); /* the heartbeat would take 5 s */
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
	expect_lost(server, NULL, "w1", "it has not been heard of for 1.5 s");
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
	assert_true(clock_monotonic_us() - before < 3000000);
}

int main(int argc, char **argv)
{
	test_argv = argv;
	if (argc > 1)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* stopped or not, it does not outlive a test that fails */
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
	    cmocka_unit_test(other_job_is_refused),
	    cmocka_unit_test(two_jobs_share_the_link),
	    cmocka_unit_test(living_namesake_is_refused),
	    cmocka_unit_test(silent_namesake_gives_way),
	    cmocka_unit_test(new_incarnation_replaces),
	    cmocka_unit_test(status_is_answered),
	    cmocka_unit_test(killed_worker_is_lost_at_once),
	    cmocka_unit_test(stopped_worker_is_lost_by_silence),
	    cmocka_unit_test(linger_delivers_last_words),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)fflush(NULL);
	_exit(failed); /* as in production: nng is left as it is */
}
