/* A request that PostgreSQL does not answer says for what it waits, and is carried out all the same. Needs DATABASE_URL; with
 * POSTGRES_DIR (see postgres.sh) the server itself is stopped as well. */
#include "tests/integration/sink_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/timestamp.h"

static const struct epoch_id none = {0, 0};
static const struct epoch_id first = {1, 1};

/* An epoch's commit is under way; the draft is to be closed after its answer. */
static void commit_begin(struct fixture *fixture, struct draft *draft, struct epoch_id from, struct epoch_id to)
{
	draft_open(draft, to.attempt, from, to, (int64_t)to.n);
	char key[32];
	snprintf(key, sizeof key, "key %d", (int)to.n);
	draft_sale(draft, 0, key, 100);
	draft_start(draft, fixture->port);
}

static const char *words_within(struct fixture *fixture, int seconds)
{
	static char text[512];
	uint64_t end = clock_monotonic_us() + (uint64_t)seconds * 1000000;

	while (clock_monotonic_us() < end) {
		struct pollfd wait = {.fd = fixture->port->event_fd, .events = POLLIN};
		(void)poll(&wait, 1, 100);
		if (fixture->port->ops->late_words(fixture->port, text, sizeof text) && text[0] != '\0')
			return text;
	}
	fixture_run(fixture, "ROLLBACK"); /* so that the commit, and with it this test, comes to an end */
	struct sink_answer *answer;
	bool answered = fixture->port->ops->answer(fixture->port, &answer);
	fail_msg("no words within %d s%s", seconds, answered ? ", but the answer" : "");
	return NULL;
}

static void assert_has(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
}

/* Words that are taken back come with the answer. */
static void assert_over(struct fixture *fixture, struct draft *draft)
{
	struct sink_answer *answer = sink_await(fixture->port);
	char text[512] = "none";

	if (answer->outcome != SINK_DONE)
		fail_msg("%s", answer->error.text);
	if (fixture->port->ops->late_words(fixture->port, text, sizeof text))
		assert_string_equal(text, "");
	draft_close(draft);
	/* Nothing is left over that would wake the owner for ever. */
	struct pollfd wait = {.fd = fixture->port->event_fd, .events = POLLIN};
	(void)poll(&wait, 1, 100);
	(void)fixture->port->ops->late_words(fixture->port, text, sizeof text);
	assert_int_equal(poll(&wait, 1, 100), 0);
	assert_string_equal(
	    fixture_value(fixture, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice, looking'"),
	    "0");
}

static void test_lock(void **state)
{
	struct fixture *fixture = *state;
	struct draft draft;
	char pid[32];

	fixture->port = fixture_writer(fixture, 1);
	snprintf(pid, sizeof pid, "pid %s (nightly", fixture_value(fixture, "SELECT pg_backend_pid()"));
	fixture_run(fixture, "SET application_name = 'nightly'; BEGIN; LOCK TABLE transactions");
	commit_begin(fixture, &draft, none, first);
	const char *text = words_within(fixture, 10);
	assert_has(text, "for a lock on public.transactions, held by");
	assert_has(text, pid);
	assert_has(text, "idle in transaction");
	fixture_run(fixture, "COMMIT");
	assert_over(fixture, &draft);
}

static void standbys_ask(struct fixture *fixture, const char *change)
{
	fixture_run(fixture, change);
	fixture_run(fixture, "SELECT pg_reload_conf()");
}

/* It has been sent: does it come to wait for a standby, or is it done? */
static bool comes_to_wait(struct fixture *fixture, PGconn *probe)
{
	char sql[128];
	(void)snprintf(
	    sql, sizeof sql, "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = %d", PQbackendPID(probe));
	for (; PQisBusy(probe); assert_int_equal(PQconsumeInput(probe), 1))
		if (strcmp(fixture_value(fixture, sql), "t") == 0)
			return true;
	for (PGresult *result; (result = PQgetResult(probe)) != NULL;)
		PQclear(result);
	return false;
}

/* A setting is in force some time after it was asked for: here, once a commit of somebody else's waits. */
static void standbys_in_force(struct fixture *fixture)
{
	uint64_t end = clock_monotonic_us() + 60000000;
	PGconn *probe = PQconnectdb((const char *)fixture->url.data);
	char why[256];
	bool waits = false;

	assert_int_equal(PQstatus(probe), CONNECTION_OK);
	while (!waits && clock_monotonic_us() < end) {
		assert_int_equal(PQsendQuery(probe, "CREATE TEMP TABLE probe (); DROP TABLE probe"), 1);
		waits = comes_to_wait(fixture, probe);
	}
	PGcancel *cancel = PQgetCancel(probe);
	(void)PQcancel(cancel, why, sizeof why);
	PQfreeCancel(cancel);
	PQfinish(probe);
	assert_true(waits);
}

static void test_standby_is_away(void **state)
{
	struct fixture *fixture = *state;
	struct draft draft;

	fixture->port = fixture_writer(fixture, 1);
	standbys_ask(fixture, "ALTER SYSTEM SET synchronous_standby_names = 'nobody_here'");
	standbys_in_force(fixture);
	commit_begin(fixture, &draft, none, first);
	const char *text = words_within(fixture, 10);
	standbys_ask(fixture, "ALTER SYSTEM RESET synchronous_standby_names");
	assert_has(text, "synchronous standby");
	assert_has(text, "nobody_here");
	assert_over(fixture, &draft);
}

/* Also where the test has failed: otherwise whoever ends what it made waits for ever. */
static int standby_teardown(void **state)
{
	standbys_ask(*state, "ALTER SYSTEM RESET synchronous_standby_names");
	return fixture_teardown(state);
}

static void test_slow_without_a_cause(void **state)
{
	struct fixture *fixture = *state;
	struct draft draft;

	fixture->port = fixture_writer(fixture, 1);
	fixture_run(fixture,
	    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(6); RETURN NULL; "
	    "END $$; CREATE TRIGGER slow AFTER INSERT ON transactions EXECUTE FUNCTION slow()");
	assert_int_equal(fixture_look(fixture->port, 1)->outcome, SINK_DONE);
	commit_begin(fixture, &draft, none, first);
	assert_has(words_within(fixture, 10), "for its answer; it ");
	assert_over(fixture, &draft);
}

static void test_server_is_stopped(void **state)
{
	struct fixture *fixture = *state;
	const char *folder = getenv("POSTGRES_DIR");
	struct draft draft;
	char path[512], line[32] = "";

	if (!folder)
		skip();
	snprintf(path, sizeof path, "%s/data/postmaster.pid", folder);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof line, file));
	fclose(file);
	pid_t server = (pid_t)strtol(line, NULL, 10);
	fixture->port = fixture_writer(fixture, 1);
	pid_t backend =
	    (pid_t)strtol(fixture_value(fixture,
	                      "SELECT pid FROM pg_stat_activity WHERE application_name = 'sluice-sink 0' AND datname = "
	                      "current_database()"),
	        NULL, 10);
	assert_true(server > 1 && backend > 1);
	assert_int_equal(kill(backend, SIGSTOP), 0);
	assert_int_equal(kill(server, SIGSTOP), 0);
	commit_begin(fixture, &draft, none, first);
	const char *text = words_within(fixture, 15);
	kill(server, SIGCONT);
	kill(backend, SIGCONT);
	assert_has(text, "no answer since");
	assert_has(text, "none on another connection");
	assert_over(fixture, &draft);
}

/* Two coordinators of one job, both alive: the second one waits, leaves the first one alone, and is heard of there; it takes over when the
 * first one has ended, or has not been heard of. Of one coordinator, the newer writer goes first. */
static void test_other_coordinator(void **state)
{
	static const struct sink_runner runners[] = {
	    {"tcp://a of host x", "shop-sink-0 (pid 1)"}, {"tcp://a of host y", "shop-sink-0 (pid 2)"}};
	struct fixture *fixture = *state;
	struct sink_port *ports[3] = {0};
	struct error error = {0};

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
		    sink_postgres_open(&ports[i], &fixture->pipeline, "sluice-sink 0", &runners[i % 2], &error),
		    RESULT_OK);
	assert_int_equal(fixture_fence(ports[0], 1)->outcome, SINK_DONE);
	struct sink_answer *answer = fixture_fence(ports[1], 2);
	assert_int_equal(answer->outcome, SINK_UNKNOWN);
	assert_has(answer->error.text,
	    "is run by another coordinator, tcp://a of host x: its shop-sink-0 (pid 1) has been there since 20");
	assert_string_equal(fixture_value(fixture, "SELECT fence FROM sluice.frontier"), "1");
	assert_int_equal(fixture_fence(ports[2], 3)->outcome, SINK_DONE);
	/* Still deploying, after a long time. */
	fixture_run(fixture, "UPDATE sluice.runners SET since = since - interval '4 minutes'");
	assert_int_equal(fixture_fence(ports[1], 4)->outcome, SINK_UNKNOWN);
	fixture_run(fixture, "UPDATE sluice.runners SET since = since - interval '2 minutes'");
	assert_int_equal(fixture_fence(ports[1], 5)->outcome, SINK_DONE);
	/* It commits, and then no more. */
	fixture_run(fixture, "UPDATE sluice.runners SET since = since - interval '1 minute'; UPDATE sluice.frontier "
	                     "SET committed_at = now() - interval '35 seconds'");
	assert_int_equal(fixture_fence(ports[0], 6)->outcome, SINK_UNKNOWN);
	fixture_run(fixture, "UPDATE sluice.frontier SET committed_at = now() - interval '46 seconds'");
	assert_int_equal(fixture_fence(ports[0], 7)->outcome, SINK_DONE);
	/* It ends. */
	assert_int_equal(fixture_fence(ports[1], 8)->outcome, SINK_UNKNOWN);
	ports[0]->ops->close(ports[0]);
	do
		answer = fixture_fence(ports[1], 9);
	while (answer->outcome == SINK_UNKNOWN);
	assert_int_equal(answer->outcome, SINK_DONE);
	assert_string_equal(fixture_value(fixture, "SELECT concat(coordinator, process) FROM sluice.runners"),
	    "tcp://a of host yshop-sink-0 (pid 2)");
	ports[1]->ops->close(ports[1]);
	ports[2]->ops->close(ports[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_other_coordinator, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_lock, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_standby_is_away, fixture_setup, standby_teardown),
	    cmocka_unit_test_setup_teardown(test_slow_without_a_cause, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_server_is_stopped, fixture_setup, fixture_teardown),
	};
	fixture_choose_tests();
	return cmocka_run_group_tests_name("sink_waits", tests, NULL, NULL);
}
