/* The sink port on a real PostgreSQL: identities of checkpoints, and late duplicates. Needs DATABASE_URL. */
#include "tests/integration/sink_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct epoch_id none = {0, 0};
static const char names[] = "SELECT string_agg(attempt || '.' || epoch || ' ' || cut, ', ' ORDER BY attempt, epoch) "
                            "FROM sluice.checkpoints WHERE job = 'shop/totals'";
static const char frontier[] = "SELECT row(f.*)::text FROM sluice.frontier f";

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

/* One row with this key at this offset. */
static struct sink_answer *commit_sale(
    struct sink_port *port, struct epoch_id from, struct epoch_id to, int64_t offset, const char *key, bool checkpoint)
{
	struct draft draft;

	draft_open(&draft, to.attempt, from, to, offset + 1);
	draft_sale(&draft, offset, key, 100);
	draft.transaction.checkpoint = checkpoint;
	struct sink_answer *answer = draft_commit(&draft, port);
	draft_close(&draft);
	return answer;
}

/* The identity is there exactly when the epoch is. */
static void test_commit_names_checkpoint(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 2);

	assert_done(commit_sale(port, none, epoch_of(2, 1), 0, "a", false));
	assert_done(commit_sale(port, epoch_of(2, 1), epoch_of(2, 2), 1, "b", true));
	assert_says(commit_sale(port, epoch_of(2, 1), epoch_of(2, 3), 2, "c", true), SINK_MOVED, "2.2");
	assert_says(commit_sale(port, epoch_of(2, 2), epoch_of(2, 3), 2, "b", true), SINK_LATE, "(b)");
	assert_says(commit_sale(port, epoch_of(2, 2), epoch_of(1, 3), 2, "c", true), SINK_FENCED, "fence");
	assert_string_equal(fixture_value(fixture, names), "0.0 {\"0\": 0}, 2.2 {\"0\": 2}");
	assert_string_equal(fixture_value(fixture, "SELECT concat_ws('|', attempt, epoch, cut, start, counters ->> "
	                                           "'consumed') FROM sluice.frontier"),
	    "2|2|{\"0\": 2}|{\"0\": 0}|0");
	struct sink_answer *answer = fixture_fence(port, 3);
	assert_done(answer);
	assert_int_equal(answer->checkpoints_len, 2);
	assert_true(epoch_equal(answer->checkpoints[0].epoch, epoch_of(2, 2)));
	assert_int_equal(cut_get(&answer->checkpoints[0].cut, 0, -1), 2);
}

static void test_mark(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 2);

	assert_done(commit_sale(port, none, epoch_of(2, 1), 0, "a", false));
	char *before = text_clone(fixture_value(fixture, frontier));
	assert_says(fixture_mark(port, 2, none, epoch_of(2, 9), 1), SINK_MOVED, "2.1");
	struct sink_answer *answer = fixture_mark(port, 1, epoch_of(2, 1), epoch_of(1, 9), 1);
	assert_says(answer, SINK_FENCED, "fence");
	assert_int_equal(answer->frontier.fence, 2);
	assert_string_equal(fixture_value(fixture, names), "0.0 {\"0\": 0}");
	assert_done(fixture_mark(port, 2, epoch_of(2, 1), epoch_of(2, 3), 1));
	assert_done(fixture_mark(port, 2, epoch_of(2, 1), epoch_of(2, 3), 1));
	assert_string_equal(fixture_value(fixture, names), "0.0 {\"0\": 0}, 2.3 {\"0\": 1}");
	assert_string_equal(fixture_value(fixture, frontier), before);
	free(before);
	/* What follows starts from where the frontier is. */
	assert_done(commit_sale(port, epoch_of(2, 1), epoch_of(2, 4), 1, "b", false));
}

static void test_choose(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 5);

	fixture_run(fixture, "INSERT INTO sluice.checkpoints SELECT 'shop/totals', a, e, '{}' FROM (VALUES (2, 7), "
	                     "(3, 9), (3, 10), (3, 11), (4, 1), (4, 100)) v (a, e);"
	                     "INSERT INTO sluice.checkpoints VALUES ('other/totals', 4, 1, '{}')");
	assert_says(fixture_choose(port, 5, epoch_of(3, 8)), SINK_MOVED, "3.8");
	struct sink_answer *answer = fixture_choose(port, 4, epoch_of(3, 10));
	assert_says(answer, SINK_FENCED, "fence");
	assert_int_equal(answer->frontier.fence, 5);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.checkpoints"), "8");
	/* The frontier moves as if by an empty epoch, and in nothing else: a failover that loses the choice is noticed. */
	fixture_run(fixture, "CREATE TABLE before AS TABLE sluice.frontier; UPDATE before SET attempt = 5, epoch = 0");
	char *before = text_clone(fixture_value(fixture, "SELECT row(f.*)::text FROM before f"));
	assert_done(fixture_choose(port, 5, epoch_of(3, 10)));
	assert_done(fixture_choose(port, 5, epoch_of(3, 10)));
	assert_string_equal(fixture_value(fixture, names), "0.0 {\"0\": 0}, 2.7 {}, 3.9 {}, 3.10 {}");
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.checkpoints"), "5");
	assert_string_equal(fixture_value(fixture, frontier), before);
	free(before);
	assert_done(fixture_choose(port, 5, none));
	assert_string_equal(fixture_value(fixture, names), "0.0 {\"0\": 0}");
}

static struct sink_answer *rename_to(struct sink_port *port, uint64_t attempt, struct epoch_id from, struct epoch_id to)
{
	sink_start(
	    port, SINK_CHOOSE, .attempt = attempt, .checkpoint = from, .renamed = to, .remember = &fixture_facts);
	return sink_await(port);
}

/* Another meaning of the pipeline file: only where nothing would be replayed, and the frontier moves with it. */
static void test_rename(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 5);
	static const char meant[] =
	    "SELECT attempt || '.' || epoch || ' ' || meant_attempt || '.' || meant_epoch || ' ' || "
	    "coalesce(meant_from::text, '-') || ' ' || (fingerprint = 'old')::text FROM "
	    "sluice.frontier WHERE job = 'shop/totals'";

	assert_done(commit_sale(port, none, epoch_of(5, 1), 1, "a", true));
	fixture_run(fixture, "UPDATE sluice.frontier SET fingerprint = 'old' WHERE job = 'shop/totals';"
	                     "INSERT INTO sluice.checkpoints VALUES ('shop/totals', 5, 7, '{\"0\": 2}')");
	assert_says(rename_to(port, 5, none, epoch_of(5, 0)), SINK_MOVED, "0.0");
	assert_says(rename_to(port, 4, epoch_of(5, 1), epoch_of(5, 0)), SINK_FENCED, "fence");
	assert_string_equal(fixture_value(fixture, meant), "5.1 0.0 - true");
	fixture_run(fixture, "UPDATE sluice.frontier SET fence = 6 WHERE job = 'shop/totals'");
	assert_done(rename_to(port, 6, epoch_of(5, 1), epoch_of(6, 0)));
	assert_string_equal(fixture_value(fixture, names), "0.0 {\"0\": 0}, 5.1 {\"0\": 2}, 6.0 {\"0\": 2}");
	assert_string_equal(fixture_value(fixture, meant), "6.0 6.0 {\"0\": 2} false");
	assert_done(rename_to(port, 6, epoch_of(5, 1), epoch_of(6, 0)));
	assert_string_equal(fixture_value(fixture, meant), "6.0 6.0 {\"0\": 2} false");
	/* Whoever does not know of it is noticed. */
	assert_says(commit_sale(port, epoch_of(5, 1), epoch_of(6, 1), 2, "b", false), SINK_MOVED, "6.0");
	assert_done(commit_sale(port, epoch_of(6, 0), epoch_of(6, 1), 2, "b", false));
}

/* A writer that has committed knows the frontier's place; it may have lost the row there to another writer since. */
static void test_retire_by_place(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 5);
	const struct epoch_id retired[] = {{0, 0}, {3, 9}}, kept = {4, 1};
	struct cut oldest = {0};

	fixture_run(
	    fixture, "INSERT INTO sluice.checkpoints VALUES ('shop/totals', 3, 9, '{}'), ('shop/totals', 4, 1, '{}')");
	assert_done(commit_sale(port, none, epoch_of(5, 1), 0, "a", false));
	sink_start(
	    port, SINK_RETIRE, .attempt = 5, .retired = retired, .retired_len = 2, .checkpoint = kept, .cut = &oldest);
	assert_done(sink_await(port));
	assert_string_equal(fixture_value(fixture, names), "4.1 {}");
	/* The row has another version since. */
	fixture_run(fixture, "UPDATE sluice.frontier SET counters = counters");
	sink_start(
	    port, SINK_RETIRE, .attempt = 5, .retired = NULL, .retired_len = 0, .checkpoint = kept, .cut = &oldest);
	assert_done(sink_await(port));
	fixture_run(fixture, "UPDATE sluice.frontier SET fence = 6");
	sink_start(
	    port, SINK_RETIRE, .attempt = 5, .retired = NULL, .retired_len = 0, .checkpoint = kept, .cut = &oldest);
	struct sink_answer *answer = sink_await(port);
	assert_says(answer, SINK_FENCED, "fence");
	assert_int_equal(answer->frontier.fence, 6);
}

static void test_retire(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 5);
	const struct epoch_id retired[] = {{0, 0}, {3, 9}, {3, 10}}, kept = {4, 1}, lost = {4, 3};
	const char *decisions = "SELECT string_agg(concat_ws('/', job, topic, \"partition\", \"offset\"), ' ' "
	                        "ORDER BY job, topic, \"partition\", \"offset\") FROM sluice.decisions";
	struct cut oldest = {0};

	fixture_run(fixture,
	    "INSERT INTO sluice.checkpoints VALUES ('shop/totals', 3, 9, '{}'), ('shop/totals', 4, 1, '{}'), "
	    "('other/totals', 3, 9, '{}');"
	    "INSERT INTO sluice.decisions SELECT j, t, p, o, 'conflicts', '1.1' FROM (VALUES ('shop/totals', 'sales'), "
	    "('shop/totals', 'former'), ('other/totals', 'sales')) v (j, t), generate_series(0, 2) p, "
	    "(VALUES (9), (10), (11)) w (o)");
	cut_set(&oldest, 0, 10);
	cut_set(&oldest, 2, INT64_MAX);
	sink_start(
	    port, SINK_RETIRE, .attempt = 4, .retired = retired, .retired_len = 3, .checkpoint = kept, .cut = &oldest);
	struct sink_answer *answer = sink_await(port);
	assert_says(answer, SINK_FENCED, "fence");
	assert_int_equal(answer->frontier.fence, 5);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.checkpoints"), "4");
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.decisions"), "27");
	char *before = text_clone(fixture_value(fixture, frontier));
	for (int times = 0; times < 2; times++) {
		sink_start(port, SINK_RETIRE, .attempt = 5, .retired = retired, .retired_len = 3, .checkpoint = kept,
		    .cut = &oldest);
		assert_done(sink_await(port));
		assert_string_equal(fixture_value(fixture, names), "4.1 {}");
		assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.checkpoints"), "2");
		/* Of another job and of another topic: all. A partition that the cut does not name: all. */
		assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.decisions"), "23");
	}
	fixture_run(fixture, "DELETE FROM sluice.decisions WHERE job <> 'shop/totals' OR topic <> 'sales'");
	assert_string_equal(fixture_value(fixture, decisions),
	    "shop/totals/sales/0/10 shop/totals/sales/0/11 shop/totals/sales/1/9 shop/totals/sales/1/10 "
	    "shop/totals/sales/1/11");
	assert_string_equal(fixture_value(fixture, frontier), before);
	free(before);
	/* What makes it superfluous is not named, for a failover has lost it. That one which had been given up came back says nothing. */
	fixture_run(fixture, "INSERT INTO sluice.checkpoints VALUES ('shop/totals', 4, 2, '{}')");
	sink_start(
	    port, SINK_RETIRE, .attempt = 5, .retired = &kept, .retired_len = 1, .checkpoint = lost, .cut = &oldest);
	assert_says(sink_await(port), SINK_MOVED, "4.3");
	assert_string_equal(fixture_value(fixture, names), "4.1 {}, 4.2 {}");
	/* The start outlives its checkpoint. */
	assert_string_equal(fixture_value(fixture, "SELECT start FROM sluice.frontier"), "{\"0\": 0}");
	sink_start(port, SINK_RETIRE, .attempt = 5, .retired = NULL, .retired_len = 0, .checkpoint = kept,
	    .cut = &(struct cut){0});
	assert_done(sink_await(port));
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.decisions"), "5");
	cut_fini(&oldest);
}

enum { CATEGORY = 1, QUANTITY = 2, AMOUNT = 3, RATE = 4, DATE = 5, CUSTOMER = 6, FIELDS = 7 };

static void full_row(struct value values[FIELDS], const char *key)
{
	values[0] = value_text(key);
	values[CATEGORY] = value_text("b\xc3\xbc\"cher\\");
	values[QUANTITY] = value_integer(-3);
	values[AMOUNT] = value_integer(162753);
	values[RATE] = value_integer(10000000);
	values[DATE] = value_integer(INT64_C(1705312800123456));
	values[CUSTOMER] = value_text("");
}

static void assert_verdict(const struct sink_answer *answer, uint32_t partition, int64_t offset, enum verdict verdict)
{
	for (uint32_t i = 0; i < answer->decisions.len; i++) {
		const struct decision *decision = &answer->decisions.entries[i];
		if (decision->partition == partition && decision->offset == offset) {
			assert_int_equal(decision->verdict, verdict);
			return;
		}
	}
	fail_msg("no verdict about %u/%lld", partition, (long long)offset);
}

/* Every column counts, null against a value and against null. */
static void test_late_verdicts(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct value values[FIELDS];
	const struct value others[FIELDS] = {{0}, value_text("b\xc3\xbc\"cher"), value_integer(-4),
	    value_integer(162754), value_integer(10000001), value_integer(INT64_C(1705312800123457)), value_text(" ")};
	struct draft draft;

	draft_open(&draft, 1, none, epoch_of(1, 1), 2);
	full_row(values, "full");
	draft_row(&draft, 0, 0, values, FIELDS);
	values[0] = value_text("nulls");
	values[QUANTITY] = values[RATE] = values[CUSTOMER] = value_null();
	draft_row(&draft, 0, 1, values, FIELDS);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	char *before = text_clone(fixture_value(fixture, frontier));

	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 100);
	draft_row(&draft, 3, INT64_C(5000000000), values, FIELDS); /* nulls and nulls: the same */
	full_row(values, "full");
	draft_row(&draft, 2, 7, values, FIELDS);
	values[0] = value_text("new");
	draft_row(&draft, 2, 8, values, FIELDS);
	for (int i = CATEGORY; i < FIELDS; i++) {
		full_row(values, "full");
		values[i] = others[i];
		draft_row(&draft, 4, i, values, FIELDS);
	}
	static const int optional[] = {QUANTITY, RATE, CUSTOMER};
	for (int i = 0; i < 3; i++) {
		full_row(values, "full");
		values[optional[i]] = value_null();
		draft_row(&draft, 5, i, values, FIELDS);
		full_row(values, "nulls");
		values[optional[(i + 1) % 3]] = values[optional[(i + 2) % 3]] = value_null();
		draft_row(&draft, 6, i, values, FIELDS);
	}
	assert_int_equal(draft_commit(&draft, port)->outcome, SINK_LATE);
	struct sink_answer *answer = draft_late(&draft, port);
	assert_done(answer);
	assert_int_equal(answer->decisions.len, 2 + 6 + 6);
	assert_verdict(answer, 3, INT64_C(5000000000), VERDICT_DUPLICATE);
	assert_verdict(answer, 2, 7, VERDICT_DUPLICATE);
	for (int i = CATEGORY; i < FIELDS; i++)
		assert_verdict(answer, 4, i, VERDICT_CONFLICT);
	for (int i = 0; i < 3; i++) {
		assert_verdict(answer, 5, i, VERDICT_CONFLICT);
		assert_verdict(answer, 6, i, VERDICT_CONFLICT);
	}
	draft_close(&draft);
	/* Nothing has changed, and the writer can go on. */
	assert_string_equal(fixture_value(fixture, frontier), before);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "2");
	free(before);
	assert_done(commit_sale(port, epoch_of(1, 1), epoch_of(1, 2), 200, "new", false));
}

static void test_late_guards(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 2);
	struct draft draft;

	assert_done(commit_sale(port, none, epoch_of(2, 1), 0, "a", false));
	draft_open(&draft, 2, none, epoch_of(2, 2), 5);
	draft_sale(&draft, 4, "a", 100);
	struct sink_answer *answer = draft_late(&draft, port);
	assert_says(answer, SINK_MOVED, "2.1");
	assert_int_equal(answer->decisions.len, 0);
	draft.transaction.predecessor = epoch_of(2, 1);
	draft.transaction.fence = 1;
	answer = draft_late(&draft, port);
	assert_says(answer, SINK_FENCED, "fence");
	assert_int_equal(answer->frontier.fence, 2);
	draft.transaction.fence = 2;
	assert_done(answer = draft_late(&draft, port));
	assert_int_equal(answer->decisions.len, 1);
	draft_close(&draft);
	/* Bodies that are none, and none at all. */
	struct bytes bad = {(const uint8_t *)"\x91\x01", 2};
	sink_start(port, SINK_ASK_LATE, .attempt = 2, .predecessor = epoch_of(2, 1), .bodies = &bad, .bodies_len = 1);
	answer = sink_await(port);
	assert_int_equal(answer->outcome, SINK_CONFIG);
	assert_int_equal(answer->error.code, RESULT_CORRUPT);
	sink_start(port, SINK_ASK_LATE, .attempt = 2, .predecessor = epoch_of(2, 1), .bodies = NULL, .bodies_len = 0);
	answer = sink_await(port);
	assert_done(answer);
	assert_int_equal(answer->decisions.len, 0);
	/* No transaction has been left open. */
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' "
	                                           "AND datname = current_database()"),
	    "0");
}

/* More rows than one query takes, in two bodies. */
static void test_late_many(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct draft drafts[2];
	struct bytes bodies[2];
	enum { EACH = 6000 };

	fixture_run(fixture,
	    "INSERT INTO transactions SELECT 'k' || i, 'books', 1, i % 7, NULL, '2024-01-15 10:00', NULL "
	    "FROM generate_series(0, 12999, 10) i");
	for (int d = 0; d < 2; d++) {
		draft_open(&drafts[d], 1, none, epoch_of(1, 1), 2 * EACH);
		for (int i = d * EACH; i < (d + 1) * EACH; i++) {
			char key[16];
			snprintf(key, sizeof key, "k%d", i);
			struct value values[] = {value_text(key), value_text("books"), value_integer(1),
			    value_integer(i / 3 % 7 * 100), value_null(), value_integer(INT64_C(1705312800000000)),
			    value_null()};
			draft_row(&drafts[d], (uint32_t)d, i, values, FIELDS);
		}
		rows_end(&drafts[d].rows);
		bodies[d] = buffer_bytes(&drafts[d].rows.body);
	}
	sink_start(port, SINK_ASK_LATE, .attempt = 1, .predecessor = none, .bodies = bodies, .bodies_len = 2);
	struct sink_answer *answer = sink_await(port);
	assert_done(answer);
	assert_int_equal(answer->decisions.len, 2 * EACH / 10);
	for (int i = 0; i < 2 * EACH; i += 10)
		assert_verdict(
		    answer, (uint32_t)(i / EACH), i, i % 7 == i / 3 % 7 ? VERDICT_DUPLICATE : VERDICT_CONFLICT);
	draft_close(&drafts[0]);
	draft_close(&drafts[1]);
}

/* What follows is found by the question to the catalog, or explains what PostgreSQL refuses. A verdict has to be right all the same. */
static void look_away(struct fixture *fixture)
{
	fixture_run(fixture,
	    "CREATE OR REPLACE FUNCTION sluice.tables_changed() RETURNS boolean LANGUAGE sql AS 'SELECT true'");
}

/* A unique index of the user's says 23505, too: alone, and beside a key that is late. */
static void test_late_other_index(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct value values[FIELDS];
	struct draft draft;

	look_away(fixture);
	fixture_run(fixture, "CREATE UNIQUE INDEX one_each ON transactions (customer_id)");
	draft_open(&draft, 1, none, epoch_of(1, 1), 1);
	full_row(values, "a");
	values[CUSTOMER] = value_text("anna");
	draft_row(&draft, 0, 0, values, FIELDS);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 9);
	values[0] = value_text("b");
	draft_row(&draft, 0, 7, values, FIELDS);
	assert_says(draft_commit(&draft, port), SINK_CONFIG, "unique index \"one_each\"");
	struct sink_answer *answer = draft_late(&draft, port);
	assert_done(answer);
	assert_int_equal(answer->decisions.len, 0);
	values[0] = value_text("a");
	draft_row(&draft, 0, 8, values, FIELDS);
	assert_says(draft_commit(&draft, port), SINK_CONFIG, "unique index \"one_each\"");
	answer = draft_late(&draft, port);
	assert_done(answer);
	assert_int_equal(answer->decisions.len, 1);
	assert_verdict(answer, 0, 8, VERDICT_DUPLICATE);
	draft_close(&draft);
}

/* Texts that the column's collation calls the same are two contents. */
static void test_late_collation(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct value values[FIELDS];
	struct draft draft;

	look_away(fixture);
	fixture_run(fixture, "CREATE COLLATION lax (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
	                     "ALTER TABLE transactions ALTER customer_id TYPE varchar(255) COLLATE lax, "
	                     "ALTER transaction_id TYPE varchar(36) COLLATE lax");
	draft_open(&draft, 1, none, epoch_of(1, 1), 1);
	full_row(values, "a");
	values[CUSTOMER] = value_text("anna");
	draft_row(&draft, 0, 0, values, FIELDS);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 9);
	values[CUSTOMER] = value_text("Anna");
	draft_row(&draft, 0, 1, values, FIELDS);
	values[CUSTOMER] = value_text("anna");
	values[0] = value_text("A");
	draft_row(&draft, 0, 2, values, FIELDS);
	assert_says(draft_commit(&draft, port), SINK_CONFIG, "lax");
	struct sink_answer *answer = draft_late(&draft, port);
	assert_done(answer);
	assert_int_equal(answer->decisions.len, 2);
	assert_verdict(answer, 0, 1, VERDICT_CONFLICT);
	assert_verdict(answer, 0, 2, VERDICT_CONFLICT);
	draft_close(&draft);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_commit_names_checkpoint, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_mark, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_choose, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_rename, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_retire, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_retire_by_place, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_late_verdicts, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_late_guards, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_late_many, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_late_other_index, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_late_collation, fixture_setup, fixture_teardown),
	};
	fixture_choose_tests();
	return cmocka_run_group_tests_name("sink_checkpoints", tests, NULL, NULL);
}
