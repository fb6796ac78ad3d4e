/* What an epoch wrote is what it sent, on a real PostgreSQL: row by row, and sum by sum. Needs DATABASE_URL. */
#include "tests/integration/sink_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct epoch_id none = {0, 0};

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

static struct epoch_id epoch_of(uint64_t attempt, uint64_t n)
{
	return (struct epoch_id){attempt, n};
}

/* Of a row, a letter, a decision and a total. */
static struct sink_answer *commit_of_each(struct sink_port *port, uint64_t n)
{
	static struct draft draft;
	char key[32];
	const struct value group[] = {value_integer(19737), value_text("x")};
	const struct letter letter = {.partition = 0,
	    .offset = (int64_t)n,
	    .payload = {(const uint8_t *)"x", 1},
	    .reason = {(const uint8_t *)"syntax", 6}};

	snprintf(key, sizeof key, "key %" PRIu64, n);
	draft_close(&draft);
	draft_open(&draft, 1, n ? epoch_of(1, n) : none, epoch_of(1, n + 1), (int64_t)n + 1);
	draft_sale(&draft, (int64_t)n, key, 100);
	draft_letter(&draft, letter);
	draft_decision(&draft, 0, (int64_t)n, VERDICT_CONFLICT);
	draft_group(&draft, 0, group, 2, 100 * ((int64_t)n + 1));
	return draft_commit(&draft, port);
}

static const char everything[] =
    "SELECT concat_ws('|', (SELECT attempt || '.' || epoch FROM sluice.frontier), (SELECT count(*) FROM "
    "transactions), (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM sluice.decisions), "
    "(SELECT string_agg(total_sales::text, ',') FROM sales_per_category))";

/* Rows that a trigger drops, adds or takes away again, in any of the tables, are not those that were sent. */
static void test_other_rows_than_sent(void **state)
{
	static const struct {
		const char *table, *when, *body, *words;
	} harms[] = {
	    {"transactions", "BEFORE INSERT", "RETURN NULL", "1 rows were sent to be written, but PostgreSQL counts 0"},
	    {"transactions", "AFTER INSERT",
	        "DELETE FROM public.transactions WHERE transaction_id = NEW.transaction_id; RETURN NULL",
	        "0 rows were sent to be deleted, but PostgreSQL counts 1"},
	    {"transactions", "AFTER INSERT", "UPDATE public.transactions SET total_amount = 0; RETURN NULL",
	        "1 rows were sent to be written, but PostgreSQL counts 3"},
	    {"dead_letters", "BEFORE INSERT", "RETURN NULL", "dead_letters: 1 rows were sent"},
	    {"sluice.decisions", "BEFORE INSERT", "RETURN NULL", "sluice.decisions: 1 rows were sent"},
	    {"sales_per_category", "BEFORE INSERT OR UPDATE", "RETURN NULL", "sales_per_category: 1 rows were sent"},
	    {"sales_per_category", "AFTER INSERT OR UPDATE", "DELETE FROM public.sales_per_category; RETURN NULL",
	        "sales_per_category: 0 rows were sent to be deleted"},
	};
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	char sql[512];

	assert_done(commit_of_each(port, 0));
	for (size_t i = 0; i < sizeof harms / sizeof harms[0]; i++) {
		snprintf(sql, sizeof sql,
		    "CREATE FUNCTION harm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s; END $$; CREATE TRIGGER "
		    "harm %s ON %s "
		    "FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION harm()",
		    harms[i].body, harms[i].when, harms[i].table);
		fixture_run(fixture, sql);
		assert_says(commit_of_each(port, 1), SINK_CONFIG, harms[i].words);
		assert_string_equal(fixture_value(fixture, everything), "1.1|1|1|1|1.00");
		fixture_run(fixture, "DROP FUNCTION harm CASCADE");
		assert_done(fixture_look(port, 1));
	}
	assert_done(commit_of_each(port, 1));
	assert_string_equal(fixture_value(fixture, everything), "1.2|2|2|2|2.00");
}

/* What another table's trigger does with ours when everybody else has done, at the commit. */
static void test_deferred_by_another_table(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);

	assert_done(commit_of_each(port, 0));
	fixture_run(fixture,
	    "CREATE TABLE told (n int); CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT "
	    "INTO "
	    "public.told VALUES (1); RETURN NULL; END $$; CREATE FUNCTION harm() RETURNS trigger LANGUAGE plpgsql AS "
	    "$$ "
	    "BEGIN EXECUTE format('UPDATE public.%I SET total_sales = 0', 'sales_per_category'); RETURN NULL; END $$;"
	    "CREATE TRIGGER tell AFTER INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION tell();"
	    "CREATE CONSTRAINT TRIGGER harm AFTER INSERT ON told DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE "
	    "FUNCTION harm()");
	assert_done(fixture_look(port, 1));
	assert_says(commit_of_each(port, 1), SINK_CONFIG, "1 rows were sent to be written, but PostgreSQL counts 2");
	assert_string_equal(fixture_value(fixture, everything), "1.1|1|1|1|1.00");
	fixture_run(fixture, "DROP TRIGGER harm ON told");
	assert_done(fixture_look(port, 1));
	assert_done(commit_of_each(port, 1));
	assert_string_equal(fixture_value(fixture, everything), "1.2|2|2|2|2.00");
}

/* What the totals add up to grows by what the rows bring, and is kept with frontier and checkpoint. */
static void test_rows_and_totals(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct sums before = {.known = true}, after = {.known = true};
	struct draft draft;

	for (uint64_t n = 0; n < 2; n++) {
		draft_open(&draft, 1, none, epoch_of(1, 1), 1);
		draft_sale(&draft, 0, "a", 250);
		sum_add(&after.of[0][0], 11, n ? 150 : 250);
		sum_add(&after.of[1][0], 13, 250);
		draft.transaction.before = &before;
		draft.transaction.after = &after;
		draft.transaction.checkpoint = true;
		if (n == 0) {
			after.of[1][0].plain++;
			assert_says(draft_commit(&draft, port), SINK_CONFIG,
			    "bring 2.50 of total_amount, but total_sales of sales_per_month grows by 2.51");
			after = (struct sums){.known = true};
			sum_add(&after.of[0][0], 7, 100);
		} else {
			assert_done(draft_commit(&draft, port));
		}
		draft_close(&draft);
	}
	struct sink_answer *answer = fixture_look(port, 1);
	assert_true(answer->frontier.sums.known);
	assert_memory_equal(answer->frontier.sums.of, after.of, sizeof after.of);
	answer = fixture_fence(port, 2);
	assert_memory_equal(answer->checkpoints[0].counts.sums.of, after.of, sizeof after.of);
	assert_string_equal(
	    fixture_value(fixture, "SELECT string_agg((sums = '{}') || '|' || (counters = '{}'), ',' ORDER BY "
	                           "epoch) FROM sluice.checkpoints"),
	    "true|true,false|false");
}

/* A server that does not count is of no use. */
static void test_not_counted(void **state)
{
	struct fixture *fixture = *state;
	char sql[128];

	snprintf(sql, sizeof sql, "ALTER DATABASE \"%s\" SET track_counts = off", fixture->database);
	fixture_run(fixture, sql);
	struct sink_port *port = NULL;
	struct error error = {0};
	assert_int_equal(sink_postgres_open(&port, &fixture->pipeline, "test", NULL, &error), RESULT_OK);
	fixture->port = port;
	assert_says(fixture_fence(port, 1), SINK_CONFIG, "track_counts is off");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_other_rows_than_sent, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_deferred_by_another_table, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_rows_and_totals, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_not_counted, fixture_setup, fixture_teardown),
	};
	fixture_choose_tests();
	return cmocka_run_group_tests_name("sink_written", tests, NULL, NULL);
}
