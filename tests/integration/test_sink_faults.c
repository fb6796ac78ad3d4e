/* The sink port when things go wrong: lost answers, zombies, servers that are away or say no. Needs DATABASE_URL; with
 * POSTGRES_DIR (see postgres.sh) the server itself is stopped as well. */
#include "tests/integration/sink_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/timestamp.h"
#include "tests/integration/tcp_proxy.h"

static const struct epoch_id none = {0, 0};

static struct epoch_id epoch_of(uint64_t attempt, uint64_t n)
{
	return (struct epoch_id){attempt, n};
}

static const char names[] = "SELECT string_agg(attempt || '.' || epoch, ' ' ORDER BY attempt, epoch) "
                            "FROM sluice.checkpoints";

static void assert_done(const struct sink_answer *answer)
{
	if (answer->outcome != SINK_DONE)
		fail_msg("outcome %d: %s", (int)answer->outcome, answer->error.text);
}

static void assert_says(const struct sink_answer *answer, enum sink_outcome outcome, const char *words)
{
	if (answer->outcome != outcome || !strstr(answer->error.text, words))
		fail_msg("outcome %d instead of %d, or \"%s\" does not say \"%s\"", (int)answer->outcome, (int)outcome,
		    answer->error.text, words);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void sales_draft(struct draft *draft, struct epoch_id from, struct epoch_id to, int rows)
{
	draft_open(draft, to.attempt, from, to, rows);
	for (int i = 0; i < rows; i++) {
		char key[32];
		snprintf(key, sizeof key, "%d.%d-%08d", (int)to.attempt, (int)to.n, i);
		draft_sale(draft, i, key, 100);
	}
}

static struct sink_answer *commit_sales(struct sink_port *port, struct epoch_id from, struct epoch_id to, int rows)
{
	struct draft draft;
	sales_draft(&draft, from, to, rows);
	struct sink_answer *answer = draft_commit(&draft, port);
	draft_close(&draft);
	return answer;
}

/* Points the fixture's pipeline at a proxy. */
static struct proxy *proxy_between(struct fixture *fixture)
{
	char port[16];
	struct proxy *proxy = proxy_open(atoi(PQport(fixture->link)));

	snprintf(port, sizeof port, "%d", proxy_port(proxy));
	struct buffer url = fixture_url(fixture->database, NULL, NULL, port);
	url.len--;
	buffer_append(&url, " sslmode=disable gssencmode=disable", sizeof " sslmode=disable gssencmode=disable");
	free(fixture->pipeline.sinks.postgres_url);
	fixture->pipeline.sinks.postgres_url = text_clone((const char *)url.data);
	buffer_fini(&url);
	return proxy;
}

/* Committed, but the answer is lost: a look finds the epoch. */
static void test_answer_lost(void **state)
{
	struct fixture *fixture = *state;
	struct proxy *proxy = proxy_between(fixture);
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);

	proxy_mode(proxy, PROXY_LOSE_COMMIT, 0);
	assert_int_equal(commit_sales(port, none, epoch_of(1, 1), 10)->outcome, SINK_UNKNOWN);
	/* Until a look, nothing is sent on a new link. */
	assert_int_equal(commit_sales(port, none, epoch_of(1, 1), 10)->outcome, SINK_UNKNOWN);
	struct sink_answer *answer = fixture_look(port, 1);
	assert_done(answer);
	assert_true(epoch_equal(answer->frontier.last, epoch_of(1, 1)));
	assert_int_equal(cut_get(&answer->frontier.cut, 0, -1), 10);
	assert_done(commit_sales(port, epoch_of(1, 1), epoch_of(1, 2), 5));
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "15");
	port->ops->close(port);
	fixture->port = NULL;
	proxy_close(proxy);
}

/* The identity goes with its epoch when the answer is lost, and when it is the commit that is lost. */
static void test_checkpoint_answer_lost(void **state)
{
	struct fixture *fixture = *state;
	struct proxy *proxy = proxy_between(fixture);
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct draft draft;

	proxy_mode(proxy, PROXY_LOSE_COMMIT, 0);
	sales_draft(&draft, none, epoch_of(1, 1), 10);
	draft.transaction.checkpoint = true;
	assert_int_equal(draft_commit(&draft, port)->outcome, SINK_UNKNOWN);
	draft_close(&draft);
	struct sink_answer *answer = fixture_look(port, 1);
	assert_done(answer);
	assert_true(epoch_equal(answer->frontier.last, epoch_of(1, 1)));
	assert_string_equal(fixture_value(fixture, names), "0.0 1.1");

	sales_draft(&draft, epoch_of(1, 1), epoch_of(1, 2), 20000);
	draft.transaction.checkpoint = true;
	proxy_mode(proxy, PROXY_CUT_CLIENT, 400000);
	assert_int_equal(draft_commit(&draft, port)->outcome, SINK_UNKNOWN);
	assert_done(fixture_look(port, 1));
	assert_string_equal(fixture_value(fixture, names), "0.0 1.1");
	assert_done(draft_commit(&draft, port));
	assert_string_equal(fixture_value(fixture, names), "0.0 1.1 1.2");
	draft_close(&draft);
	port->ops->close(port);
	fixture->port = NULL;
	proxy_close(proxy);
}

/* mark, choose, retire, late without an answer: a look, then the same again. */
static void test_other_answers_lost(void **state)
{
	struct fixture *fixture = *state;
	struct proxy *proxy = proxy_between(fixture);
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	const struct epoch_id start = none;
	struct cut cut = {0};
	struct draft draft;

	cut_set(&cut, 0, 10);
	const struct checkpoint_identity marked = {.epoch = epoch_of(1, 5), .cut = cut, .marks = fixture_marks};
	assert_done(commit_sales(port, none, epoch_of(1, 1), 10));
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 12);
	draft_sale(&draft, 11, "1.1-00000003", 100);
	rows_end(&draft.rows);
	draft.body = buffer_bytes(&draft.rows.body);
	for (int request = 0; request < 4; request++) {
		/* A choice moves the frontier. */
		struct epoch_id last = request == 0 ? epoch_of(1, 1) : epoch_of_choice(1);
		for (int lost = 2; lost >= 0; lost--) {
			if (lost)
				proxy_mode(proxy, PROXY_LOSE_ANSWER, 0);
			if (request == 0)
				sink_start(
				    port, SINK_MARK, .attempt = 1, .predecessor = epoch_of(1, 1), .marked = &marked);
			else if (request == 1)
				sink_start(port, SINK_CHOOSE, .attempt = 1, .checkpoint = epoch_of(1, 5),
				    .renamed = (struct epoch_id){0}, .remember = &fixture_facts);
			else if (request == 2)
				sink_start(port, SINK_RETIRE, .attempt = 1, .retired = &start, .retired_len = 1,
				    .checkpoint = epoch_of(1, 5), .cut = &cut);
			else
				sink_start(port, SINK_ASK_LATE, .attempt = 1, .predecessor = last,
				    .bodies = &draft.body, .bodies_len = 1);
			struct sink_answer *answer = sink_await(port);
			assert_int_equal(answer->outcome, lost ? SINK_UNKNOWN : SINK_DONE);
			assert_int_equal(answer->decisions.len, request == 3 && !lost);
			if (!lost)
				break;
			answer = fixture_look(port, 1);
			assert_done(answer);
			assert_true(epoch_equal(answer->frontier.last, last));
		}
	}
	assert_string_equal(fixture_value(fixture, names), "1.5");
	draft_close(&draft);
	cut_fini(&cut);
	port->ops->close(port);
	fixture->port = NULL;
	proxy_close(proxy);
}

/* A writer that has been fenced out names no checkpoint, erases none, retires none, and reports nothing. */
static void test_zombie_checkpoints(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *old = fixture->port = fixture_writer(fixture, 1);
	const struct epoch_id start = none;
	struct cut cut = {0};

	assert_done(commit_sales(old, none, epoch_of(1, 1), 3));
	/* The newcomer has raised the fence, and has not come to ending the old backend. */
	fixture_run(fixture, "UPDATE sluice.frontier SET fence = 2; INSERT INTO sluice.checkpoints VALUES "
	                     "('shop/totals', 1, 1, '{}')");
	cut_set(&cut, 0, 10);
	assert_says(fixture_mark(old, 1, epoch_of(1, 1), epoch_of(1, 5), 3), SINK_FENCED, "at 2");
	assert_says(fixture_choose(old, 1, none), SINK_FENCED, "at 2");
	sink_start(old, SINK_RETIRE, .attempt = 1, .retired = &start, .retired_len = 1, .checkpoint = epoch_of(1, 1),
	    .cut = &cut);
	assert_says(sink_await(old), SINK_FENCED, "at 2");
	struct draft draft;
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 12);
	draft_sale(&draft, 11, "1.1-00000001", 100);
	assert_says(draft_late(&draft, old), SINK_FENCED, "at 2");
	draft_close(&draft);
	assert_string_equal(fixture_value(fixture, names), "0.0 1.1");
	cut_fini(&cut);
}

/* The network is cut while rows are on their way; the backend does not notice, and holds the frontier's row. */
static void test_backend_left_behind(void **state)
{
	struct fixture *fixture = *state;
	struct proxy *proxy = proxy_between(fixture);
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);

	proxy_mode(proxy, PROXY_CUT_CLIENT, 400000);
	assert_int_equal(commit_sales(port, none, epoch_of(1, 1), 20000)->outcome, SINK_UNKNOWN);
	const char *backends = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice-sink 0' "
	                       "AND datname = current_database()";
	assert_string_equal(fixture_value(fixture, backends), "1");
	struct sink_answer *answer = fixture_look(port, 1);
	assert_done(answer);
	assert_true(epoch_equal(answer->frontier.last, none));
	assert_string_equal(fixture_value(fixture, backends), "1");
	assert_done(commit_sales(port, none, epoch_of(1, 1), 20000));
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "20000");
	port->ops->close(port);
	fixture->port = NULL;
	proxy_close(proxy);
}

static void end_while(struct fixture *fixture, const char *query)
{
	char sql[256];
	snprintf(sql, sizeof sql,
	    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'sluice-sink 0' "
	    "AND datname = current_database() AND state = 'active' AND query LIKE '%s'",
	    query);
	for (int i = 0; i < 2000; i++) {
		if (strcmp(fixture_value(fixture, sql), "0") != 0)
			return;
		pause_ms(1);
	}
	fail_msg("no backend was seen at work");
}

/* The backend is ended by an administrator in the middle of an epoch. */
static void test_backend_ended(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct draft draft;

	/* The backend has to be caught at work: slow rows. */
	fixture_run(fixture, "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
	                     "$$ BEGIN PERFORM pg_sleep(0.0005); RETURN NEW; END $$;"
	                     "CREATE TRIGGER slow AFTER INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION slow()");
	sales_draft(&draft, none, epoch_of(1, 1), 2000);
	rows_end(&draft.rows);
	draft.body = buffer_bytes(&draft.rows.body);
	draft.transaction.rows = &draft.body;
	draft.transaction.rows_len = 1;
	draft.transaction.cut = &draft.cut;
	draft.transaction.marks = &fixture_marks;
	sink_start(port, SINK_COMMIT, .transaction = &draft.transaction);
	end_while(fixture, "BEGIN%");
	assert_int_equal(sink_await(port)->outcome, SINK_UNKNOWN);
	fixture_run(fixture, "DROP TRIGGER slow ON transactions");
	struct sink_answer *answer = fixture_look(port, 1);
	assert_done(answer);
	assert_true(epoch_equal(answer->frontier.last, none));
	sink_start(port, SINK_COMMIT, .transaction = &draft.transaction);
	assert_done(sink_await(port));
	draft_close(&draft);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "2000");
}

/* Two writers: the older one is ended, cannot commit, and does not end the newer one. */
static void test_two_writers(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *old = fixture->port = fixture_writer(fixture, 1);
	assert_done(commit_sales(old, none, epoch_of(1, 1), 3));
	struct sink_port *new = fixture_writer(fixture, 2);

	assert_int_equal(commit_sales(old, epoch_of(1, 1), epoch_of(1, 2), 4)->outcome, SINK_UNKNOWN);
	struct sink_answer *answer = fixture_look(old, 1);
	assert_says(answer, SINK_FENCED, "fence to 2");
	assert_int_equal(answer->frontier.fence, 2);
	assert_done(commit_sales(new, epoch_of(1, 1), epoch_of(2, 1), 5));
	assert_says(fixture_look(old, 1), SINK_FENCED, "fence to 2");
	assert_done(commit_sales(new, epoch_of(2, 1), epoch_of(2, 2), 5));
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "13");
	new->ops->close(new);
}

/* A stopped process: its backend sits in an open transaction, holds the frontier's row, a key, and the writer's lock. */
static void test_zombie(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture_writer(fixture, 1);
	char sql[256];

	snprintf(sql, sizeof sql, "SELECT pg_advisory_lock(%s)",
	    fixture_value(fixture, "SELECT (classid::bigint << 32 | objid::bigint)::text FROM pg_locks WHERE locktype "
	                           "= 'advisory' AND objsubid = 1"));
	port->ops->close(port);
	PGconn *zombie = PQconnectdb((const char *)fixture->url.data);
	const char *steps[] = {sql, "BEGIN",
	    "SELECT sluice.frontier_advance('shop/totals', 1, 0, 0, 1, 1, '{\"0\": 9}', '{}', NULL, NULL, '{}')",
	    "INSERT INTO transactions VALUES ('2.1-00000000', 'x', 1, 1, NULL, now(), NULL)"};
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		PGresult *result = PQexec(zombie, steps[i]);
		if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
			fail_msg("%s: %s", steps[i], PQerrorMessage(zombie));
		PQclear(result);
	}
	uint64_t began_us = clock_monotonic_us();
	fixture->port = fixture_writer(fixture, 2);
	assert_true(clock_monotonic_us() - began_us < 5000000);
	assert_done(commit_sales(fixture->port, none, epoch_of(2, 1), 3));
	PGresult *result = PQexec(zombie, "COMMIT");
	assert_int_equal(PQresultStatus(result), PGRES_FATAL_ERROR);
	PQclear(result);
	PQfinish(zombie);
	assert_string_equal(fixture_value(fixture, "SELECT attempt || '.' || epoch || ' ' || cut FROM sluice.frontier"),
	    "2.1 {\"0\": 3}");
}

static void test_failover(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);

	assert_done(commit_sales(port, none, epoch_of(1, 1), 3));
	/* A standby that had not heard of 1.1 takes over. */
	fixture_run(
	    fixture, "UPDATE sluice.frontier SET attempt = 0, epoch = 0, cut = '{\"0\": 0}'; TRUNCATE transactions");
	assert_says(commit_sales(port, epoch_of(1, 1), epoch_of(1, 2), 3), SINK_MOVED, "0.0");
	/* The frontier row itself is lost. */
	fixture_run(fixture, "DELETE FROM sluice.frontier");
	assert_int_equal(commit_sales(port, epoch_of(1, 1), epoch_of(1, 2), 3)->outcome, SINK_FENCED);
	assert_says(fixture_look(port, 1), SINK_CONFIG, "gone");
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "0");
}

/* fence on a port of its own with another address. */
static void assert_fence(struct buffer url, enum sink_outcome outcome, const char *words)
{
	struct pipeline pipeline;
	struct sink_port *port = NULL;
	struct error error = {0};

	fixture_pipeline(&pipeline, (const char *)url.data, fixture_pipeline_text);
	buffer_fini(&url);
	assert_int_equal(sink_postgres_open(&port, &pipeline, "sluice-sink 9", NULL, &error), RESULT_OK);
	struct sink_answer *answer = fixture_fence(port, 9);
	assert_says(answer, outcome, words);
	assert_null(strstr(answer->error.text, "topsecret"));
	assert_int_equal(answer->error.code, outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY);
	port->ops->close(port);
	pipeline_fini(&pipeline);
}

static void test_no_connection(void **state)
{
	struct fixture *fixture = *state;
	struct buffer unreadable = {0};

	assert_fence(
	    fixture_url(fixture->database, NULL, "topsecret", NULL), SINK_CONFIG, "password authentication failed");
	assert_fence(fixture_url(fixture->database, "nobody_here", "topsecret", NULL), SINK_CONFIG, "password");
	assert_fence(fixture_url(fixture->database, NULL, NULL, "1"), SINK_UNKNOWN, "refused");
	/* It may be on its way: see POSTGRES_MISSING_MS. */
	assert_fence(fixture_url("sluice_not_there", NULL, NULL, NULL), SINK_UNKNOWN, "does not exist");
	buffer_append(&unreadable, "postgresql://user:topsecret@[::1/x", 35);
	assert_fence(unreadable, SINK_CONFIG, "sinks.postgres.url");
	assert_fence(fixture_url(fixture->database, NULL, NULL, "5432x"), SINK_CONFIG, "invalid integer value");
	fixture_run(fixture, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', "
	                     "current_database()); END $$");
	assert_fence(fixture_url(fixture->database, NULL, NULL, NULL), SINK_UNKNOWN, "read-only");
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* The password is changed in the server first, in the file later; the connection breaks in between. */
static void test_password_is_changed(void **state)
{
	struct fixture *fixture = *state;
	char folder[] = "/tmp/sluice-XXXXXX", secret[64], config[64];
	struct buffer text = {0}, url = {0};
	struct pipeline pipeline;
	struct error error = {0};
	struct sink_port *port = NULL;

	assert_non_null(mkdtemp(folder));
	snprintf(secret, sizeof secret, "%s/url", folder);
	snprintf(config, sizeof config, "%s/pipeline.yaml", folder);
	fixture_run(fixture, "DROP ROLE IF EXISTS sluice_turn; CREATE ROLE sluice_turn SUPERUSER LOGIN PASSWORD 'old'");
	buffer_printf(&text, "%ssinks: {postgres: {url: \"${file:%s}\"}}\n", fixture_pipeline_text, secret);
	buffer_append(&text, "", 1);
	write_file(config, (const char *)text.data);
	url = fixture_url(fixture->database, "sluice_turn", "old", NULL);
	write_file(secret, (const char *)url.data);
	buffer_fini(&url);
	if (pipeline_load(&pipeline, config, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	assert_int_equal(sink_postgres_open(&port, &pipeline, "sluice-sink 0", NULL, &error), RESULT_OK);
	assert_done(fixture_fence(port, 1));
	fixture_run(fixture,
	    "ALTER ROLE sluice_turn PASSWORD 'new'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
	    "WHERE usename = 'sluice_turn'");
	/* It was right until now: the new one has time to arrive. */
	assert_says(fixture_look(port, 1), SINK_UNKNOWN, "password authentication failed");
	url = fixture_url(fixture->database, "sluice_turn", "new", NULL);
	write_file(secret, (const char *)url.data);
	buffer_fini(&url);
	assert_done(fixture_look(port, 1));
	/* Another database is not what the file was asked for. */
	fixture_run(fixture,
	    "ALTER ROLE sluice_turn PASSWORD 'newer'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
	    "WHERE usename = 'sluice_turn'");
	url = fixture_url("postgres", "sluice_turn", "newer", NULL);
	write_file(secret, (const char *)url.data);
	buffer_fini(&url);
	assert_says(fixture_look(port, 1), SINK_UNKNOWN, "password authentication failed");
	port->ops->close(port);
	pipeline_fini(&pipeline);
	buffer_fini(&text);
	(void)remove(secret);
	(void)remove(config);
	(void)remove(folder);
	fixture_run(fixture, "DROP OWNED BY sluice_turn CASCADE; DROP ROLE sluice_turn");
}

/* A user without the right to end the older writer's backend. */
static void test_rights(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);

	fixture_run(fixture, "DROP ROLE IF EXISTS sluice_clerk; CREATE ROLE sluice_clerk LOGIN PASSWORD 'clerk';"
	                     "GRANT ALL ON ALL TABLES IN SCHEMA public, sluice TO sluice_clerk; GRANT USAGE ON SCHEMA "
	                     "sluice TO sluice_clerk");
	assert_fence(fixture_url(fixture->database, "sluice_clerk", "clerk", NULL), SINK_CONFIG,
	    "cannot end the backend of the older writer");
	port->ops->close(port);
	fixture->port = NULL;
	/* Nobody to end: fine, and nothing has to be created. */
	struct pipeline pipeline;
	struct buffer url = fixture_url(fixture->database, "sluice_clerk", "clerk", NULL);
	struct error error = {0};
	fixture_pipeline(&pipeline, (const char *)url.data, fixture_pipeline_text);
	buffer_fini(&url);
	assert_int_equal(sink_postgres_open(&port, &pipeline, "clerk", NULL, &error), RESULT_OK);
	assert_done(fixture_fence(port, 10));
	port->ops->close(port);
	pipeline_fini(&pipeline);
	fixture_run(fixture, "DROP OWNED BY sluice_clerk; DROP ROLE sluice_clerk");
}

/* No right to temporary tables, and none to change a row that is there. */
static void test_late_rights(void **state)
{
	struct fixture *fixture = *state;
	struct pipeline pipeline;
	struct error error = {0};
	struct draft draft;

	fixture->port = fixture_writer(fixture, 1);
	assert_done(commit_sales(fixture->port, none, epoch_of(1, 1), 3));
	fixture->port->ops->close(fixture->port);
	fixture->port = NULL;
	fixture_run(fixture,
	    "DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;"
	    "DROP ROLE IF EXISTS sluice_clerk; CREATE ROLE sluice_clerk LOGIN PASSWORD 'clerk';"
	    "GRANT ALL ON ALL TABLES IN SCHEMA public, sluice TO sluice_clerk;"
	    "REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES ON transactions FROM sluice_clerk;"
	    "GRANT USAGE ON SCHEMA sluice TO sluice_clerk");
	struct buffer url = fixture_url(fixture->database, "sluice_clerk", "clerk", NULL);
	fixture_pipeline(&pipeline, (const char *)url.data, fixture_pipeline_text);
	buffer_fini(&url);
	assert_int_equal(sink_postgres_open(&fixture->port, &pipeline, "clerk", NULL, &error), RESULT_OK);
	assert_done(fixture_fence(fixture->port, 2));
	draft_open(&draft, 2, epoch_of(1, 1), epoch_of(2, 1), 12);
	draft_sale(&draft, 11, "1.1-00000001", 100);
	assert_int_equal(draft_commit(&draft, fixture->port)->outcome, SINK_LATE);
	struct sink_answer *answer = draft_late(&draft, fixture->port);
	assert_done(answer);
	assert_int_equal(answer->decisions.len, 1);
	draft_close(&draft);
	fixture->port->ops->close(fixture->port);
	fixture->port = NULL;
	pipeline_fini(&pipeline);
	fixture_run(fixture, "DROP OWNED BY sluice_clerk; DROP ROLE sluice_clerk");
}

static void test_close_while_waiting(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture_writer(fixture, 1);

	fixture_run(fixture, "BEGIN; SELECT * FROM sluice.frontier FOR UPDATE");
	sink_start(port, SINK_TOUCH, .attempt = 1, .predecessor = none);
	pause_ms(100);
	uint64_t began_us = clock_monotonic_us();
	port->ops->close(port);
	assert_true(clock_monotonic_us() - began_us < 1000000);
	fixture_run(fixture, "ROLLBACK");
}

static void cluster(const char *verb, const char *how)
{
	char command[1024];
	snprintf(command, sizeof command, "%s/tests/integration/postgres.sh %s '%s' %s", SOURCE_DIR, verb,
	    getenv("POSTGRES_DIR"), how);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void test_server_restarts(void **state)
{
	struct fixture *fixture = *state;

	if (!getenv("POSTGRES_DIR"))
		skip();
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	assert_done(commit_sales(port, none, epoch_of(1, 1), 10));
	cluster("stop", "immediate");
	assert_int_equal(commit_sales(port, epoch_of(1, 1), epoch_of(1, 2), 10)->outcome, SINK_UNKNOWN);
	assert_says(fixture_look(port, 1), SINK_UNKNOWN, "refused");
	assert_says(fixture_look(port, 1), SINK_UNKNOWN, "refused");
	cluster("start", "");
	struct sink_answer *answer = fixture_look(port, 1);
	assert_done(answer);
	assert_true(epoch_equal(answer->frontier.last, epoch_of(1, 1)));
	assert_done(commit_sales(port, epoch_of(1, 1), epoch_of(1, 2), 10));
	PQreset(fixture->link);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "20");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_answer_lost, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_checkpoint_answer_lost, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_other_answers_lost, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_zombie_checkpoints, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_late_rights, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_backend_left_behind, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_backend_ended, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_two_writers, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_zombie, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_failover, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_no_connection, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_password_is_changed, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_rights, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_close_while_waiting, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_server_restarts, fixture_setup, fixture_teardown),
	};
	fixture_choose_tests();
	return cmocka_run_group_tests_name("sink_faults", tests, NULL, NULL);
}
