/* tests/integration/test_sink_members.c - one member at a time on a real PostgreSQL: a record that differs from its row in one column is
 * another one, and a group that differs in one column of its key is another row, wherever rows lie. Made from the declarations: see
 * tests/unit/members.h. Needs DATABASE_URL.
 */
#include "tests/integration/sink_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/members.h"

static const struct epoch_id none = {0, 0};

static int members_setup(void **state)
{
	fixture_setup(state);
	struct fixture *fixture = *state;
	pipeline_fini(&fixture->pipeline);
	fixture_pipeline(&fixture->pipeline, (const char *)fixture->url.data, members_pipeline);
	fixture->port = fixture_writer(fixture, 1);
	return 0;
}

static void assert_done(const struct sink_answer *answer)
{
	if (answer->outcome != SINK_DONE)
		fail_msg("outcome %d: %s", (int)answer->outcome, answer->error.text);
}

/* --- repeats of before ------------------------------------------------------------------------------------------------ */

enum { KEYS_MAX = 128 };

struct keys {
	char text[KEYS_MAX][48];
	size_t len;
};

/* A row for each value of each field, with a key of its own; changed: it has that value, else all have their first. */
static size_t put_rows(struct draft *draft, const struct pipeline *pipeline, struct keys *keys, bool changed)
{
	struct value values[PIPELINE_FIELDS_MAX], members[MEMBERS_MAX];
	size_t fields_len = pipeline->record.fields_len;
	keys->len = 0;
	for (size_t i = 0; i < fields_len; i++) {
		size_t members_len = i == pipeline->record.key ? 0 : members_of(&pipeline->record.fields[i], members);
		for (size_t m = 0; m < members_len; m++) {
			char *key = keys->text[keys->len];
			assert_true(keys->len < KEYS_MAX);
			(void)snprintf(key, sizeof keys->text[0], "%zu-%zu", i, m);
			members_first(pipeline, values);
			if (changed)
				values[i] = members[m];
			values[pipeline->record.key] = value_text(key);
			draft_row(draft, 0, (int64_t)keys->len++, values, (uint32_t)fields_len);
		}
	}
	return keys->len;
}

static void test_late_by_member(void **state)
{
	struct fixture *fixture = *state;
	static struct keys keys;
	struct draft draft;

	draft_open(&draft, 1, none, (struct epoch_id){1, 1}, KEYS_MAX);
	size_t len = put_rows(&draft, &fixture->pipeline, &keys, false);
	assert_done(draft_commit(&draft, fixture->port));
	draft_close(&draft);
	draft_open(&draft, 1, (struct epoch_id){1, 1}, (struct epoch_id){1, 2}, KEYS_MAX);
	(void)put_rows(&draft, &fixture->pipeline, &keys, true);
	struct sink_answer *answer = draft_late(&draft, fixture->port);
	assert_done(answer);
	assert_int_equal(answer->decisions.len, len);
	for (size_t i = 0; i < len; i++) {
		const struct decision *decision = &answer->decisions.entries[i];
		const char *key = keys.text[decision->offset];
		bool same = strcmp(strchr(key, '-'), "-0") == 0;
		if (decision->verdict != (same ? VERDICT_DUPLICATE : VERDICT_CONFLICT))
			fail_msg("field-value %s: verdict %d", key, (int)decision->verdict);
	}
	draft_close(&draft);
}

/* Rows are asked about in queries of 5,000: exactly so many, and one more. */
static void test_late_by_query(void **state)
{
	static const int64_t cases[] = {4999, 5000, 5001, 10001};
	struct fixture *fixture = *state;
	struct value values[PIPELINE_FIELDS_MAX];
	uint64_t epoch = 0;
	size_t fields_len = fixture->pipeline.record.fields_len, key = fixture->pipeline.record.key;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[32];
		struct draft drafts[2];
		for (int d = 0; d < 2; d++) {
			draft_open(
			    &drafts[d], 1, (struct epoch_id){epoch > 0, epoch}, (struct epoch_id){1, epoch + 1}, 20000);
			for (int64_t n = 0; n < cases[i]; n++) {
				members_first(&fixture->pipeline, values);
				(void)snprintf(text, sizeof text, "%zu %05lld", i, (long long)n);
				values[key] = value_text(text);
				values[key + 1] = value_text(d == 1 && n % 2 ? "b" : "a");
				draft_row(&drafts[d], 0, n, values, (uint32_t)fields_len);
			}
			if (d == 0) {
				assert_done(draft_commit(&drafts[d], fixture->port));
				epoch++;
			}
		}
		struct sink_answer *answer = draft_late(&drafts[1], fixture->port);
		assert_done(answer);
		assert_int_equal(answer->decisions.len, cases[i]);
		for (uint32_t n = 0; n < answer->decisions.len; n++) {
			const struct decision *decision = &answer->decisions.entries[n];
			assert_int_equal(decision->offset, n);
			assert_int_equal(decision->verdict, n % 2 ? VERDICT_CONFLICT : VERDICT_DUPLICATE);
		}
		draft_close(&drafts[0]);
		draft_close(&drafts[1]);
	}
}

/* --- totals ----------------------------------------------------------------------------------------------------------- */

static struct value part_of(const struct fixture *fixture, const struct group_column *by, bool other)
{
	const struct field *field = &fixture->pipeline.record.fields[by->field];
	if (by->part == PART_FIELD && field->type == FIELD_STRING)
		return value_text(other ? "a " : "a");
	return value_integer((by->part == PART_DAY ? 19737 : by->part == PART_YEAR ? 2023 : 7) + other);
}

/* The rollup's group, or the one that differs from it in this column alone, gets these totals: number, number + 1... */
static void put_total(
    struct draft *draft, const struct fixture *fixture, size_t rollup, size_t column, bool other, int64_t number)
{
	const struct rollup *declared = &fixture->pipeline.rollups[rollup];
	struct value key[PIPELINE_COLUMNS_MAX];
	__int128 measures[PIPELINE_MEASURES_MAX];
	for (size_t i = 0; i < declared->by_len; i++)
		key[i] = part_of(fixture, &declared->by[i], other && i == column);
	for (size_t i = 0; i < declared->measures_len; i++)
		measures[i] = number + (int64_t)i;
	draft_measures(draft, (uint32_t)rollup, key, (uint32_t)declared->by_len, measures, declared->measures_len);
}

/* Every measure of both groups, in minor units. */
static void assert_totals(struct fixture *fixture, size_t rollup, int64_t one, int64_t other)
{
	const struct rollup *declared = &fixture->pipeline.rollups[rollup];
	for (size_t i = 0; i < declared->measures_len; i++) {
		const struct measure *measure = &declared->measures[i];
		char sql[256], wanted[64];
		(void)snprintf(sql, sizeof sql,
		    "SELECT string_agg(floor(%s * %d)::text, ' ' ORDER BY %s) || ' of ' || count(*) FROM %s",
		    measure->column, measure->scale == 2 ? 100 : 1, measure->column, declared->table);
		(void)snprintf(wanted, sizeof wanted, "%lld %lld of 2",
		    (long long)((one < other ? one : other) + (int64_t)i),
		    (long long)((one < other ? other : one) + (int64_t)i));
		const char *found = fixture_value(fixture, sql);
		if (strcmp(found, wanted) != 0)
			fail_msg("%s of %s: %s instead of %s", measure->column, declared->table, found, wanted);
	}
}

static void run_on(struct fixture *fixture, const char *before, const char *table, const char *behind)
{
	char text[256];
	(void)snprintf(text, sizeof text, "%s%s%s", before, table, behind);
	fixture_run(fixture, text);
}

/* Its places are free again. TRUNCATE would be noticed: it makes another file of it. */
static void empty(struct fixture *fixture, const char *table)
{
	run_on(fixture, "DELETE FROM ", table, "");
	run_on(fixture, "VACUUM ", table, "");
}

/* Two groups change places, and then one of them changes: by its place, as it was, lies the other one. */
static void test_places_by_column(void **state)
{
	struct fixture *fixture = *state;
	uint64_t n = 0;
	for (size_t rollup = 0; rollup < fixture->pipeline.rollups_len; rollup++)
		for (size_t column = 0; column < fixture->pipeline.rollups[rollup].by_len; column++) {
			const char *table = fixture->pipeline.rollups[rollup].table;
			int64_t one = 100, other = 5000;
			for (int round = 0; round < 6; round++, n++) {
				struct draft draft;
				draft_open(&draft, 1, n ? (struct epoch_id){1, n} : none, (struct epoch_id){1, n + 1},
				    (int64_t)n + 1);
				one += round > 0 ? 10 : 0;
				put_total(&draft, fixture, rollup, column, false, one);
				if (round == 0)
					put_total(&draft, fixture, rollup, column, true, other);
				assert_done(draft_commit(&draft, fixture->port));
				draft_close(&draft);
				assert_totals(fixture, rollup, one, other);
				run_on(
				    fixture, "CREATE TEMP TABLE kept AS SELECT * FROM ", table, " ORDER BY ctid DESC");
				empty(fixture, table);
				run_on(fixture, "INSERT INTO ", table, " SELECT * FROM kept; DROP TABLE kept");
			}
			empty(fixture, table);
		}
}

/* --- counters --------------------------------------------------------------------------------------------------------- */

/* Each is added up alone, over several epochs; the others stay. */
static void test_every_counter(void **state)
{
	struct fixture *fixture = *state;
	uint64_t expected[COUNTERS] = {0}, n = 0;
	for (int round = 0; round < 2; round++)
		for (int c = 0; c < COUNTERS; c++, n++) {
			struct draft draft;
			uint64_t more = UINT64_C(1) << (c + 33 + round);
			draft_open(
			    &draft, 1, n ? (struct epoch_id){1, n} : none, (struct epoch_id){1, n + 1}, (int64_t)n + 1);
			if (n == 0) { /* a frontier that counts rows never meets an empty table */
				struct value values[PIPELINE_FIELDS_MAX];
				members_first(&fixture->pipeline, values);
				draft_row(&draft, 0, 0, values, (uint32_t)fixture->pipeline.record.fields_len);
				for (size_t rollup = 0; rollup < fixture->pipeline.rollups_len; rollup++)
					put_total(&draft, fixture, rollup, 0, false, 1);
			}
			draft.transaction.counters.n[c] = more;
			expected[c] += more;
			assert_done(draft_commit(&draft, fixture->port));
			draft_close(&draft);
			struct sink_answer *answer = fixture_look(fixture->port, 1);
			assert_done(answer);
			for (int other = 0; other < COUNTERS; other++)
				if (answer->frontier.counters.n[other] != expected[other])
					fail_msg("after more of %s: %s is %llu", counter_names[c], counter_names[other],
					    (unsigned long long)answer->frontier.counters.n[other]);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_late_by_member, members_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_late_by_query, members_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_every_counter, members_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_places_by_column, members_setup, fixture_teardown),
	};
	fixture_choose_tests();
	return cmocka_run_group_tests_name("sink_members", tests, NULL, NULL);
}
