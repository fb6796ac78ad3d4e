/* Protects: equal groups are equal bytes, sums are exact, and a folded rollup says what a direct one would. */
#include "aggregator_harness.h"

#include "services/aggregator/group_batch.h"
#include "services/aggregator/group_deltas.h"
#include "common/state/group_key.h"
#include "services/aggregator/group_plan.h"
#include "services/aggregator/group_table.h"
#include "tests/unit/members.h"

static void load(struct pipeline *pipeline)
{
	struct error error;
	const struct bytes text = {(const uint8_t *)harness_text, sizeof harness_text - 1};
	if (pipeline_parse(pipeline, "harness", text, &error) != RESULT_OK)
		fail_msg("%s", error.text);
}

static void test_table_adds_and_clears(void **state)
{
	(void)state;
	struct group_table table;
	char key[16];
	group_table_init(&table, 2);
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 3000; i++) {
			struct bytes bytes = {(const uint8_t *)key, (size_t)snprintf(key, sizeof key, "%u", i)};
			assert_null(group_table_find(&table, bytes, key_hash(bytes)));
			struct group_entry *entry = group_table_add(&table, bytes, key_hash(bytes));
			assert_true(entry->measures[0] == 0 && entry->measures[1] == 0);
			assert_true(measure_add(&entry->measures[1], -(int128)i));
		}
		assert_int_equal(table.len, 3000);
		for (uint32_t i = 0; i < 3000; i++) {
			struct bytes bytes = {(const uint8_t *)key, (size_t)snprintf(key, sizeof key, "%u", i)};
			struct group_entry *entry = group_table_find(&table, bytes, key_hash(bytes));
			assert_ptr_equal(entry, table.entries[i]); /* in the order in which they came */
			assert_true(entry->measures[1] == -(int128)i);
		}
		group_table_clear(&table);
		assert_int_equal(table.len, 0);
	}
	group_table_fini(&table);
}

static void test_measure_overflow(void **state)
{
	(void)state;
	const int128 most = (int128)(~(unsigned __int128)0 >> 1);
	int128 measure = most - 1;
	assert_true(measure_add(&measure, 1));
	assert_true(measure == most);
	assert_false(measure_add(&measure, 1));
	measure = -most;
	assert_true(measure_add(&measure, -1));
	assert_false(measure_add(&measure, -1));
}

static void test_group_as_in_a_frame(void **state)
{
	(void)state;
	struct group_table table;
	group_table_init(&table, 2);
	struct bytes key = {(const uint8_t *)"k", 1};
	struct group_entry *entry = group_table_add(&table, key, key_hash(key));
	assert_true(measure_add(&entry->measures[0], 258) && measure_add(&entry->measures[1], -2));
	struct group group = group_of_entry(&table, 3, entry);
	static const uint8_t expected[32] = {2, 1, [16] = 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	assert_int_equal(group.rollup, 3);
	assert_int_equal(group.measures.len, 32);
	assert_memory_equal(group.measures.data, expected, 32);
	group_table_fini(&table);
}

static void test_key_bytes(void **state)
{
	(void)state;
	struct pipeline pipeline;
	struct buffer key = {0}, text = {0};
	struct calendar calendar = {0};
	struct value columns[PIPELINE_COLUMNS_MAX], again[PIPELINE_COLUMNS_MAX];
	load(&pipeline);
	const struct field *fields = pipeline.record.fields;
	struct value values[HARNESS_FIELDS] = {
	    [1] = {.kind = VALUE_TEXT, .text = {(const uint8_t *)"toys", 4}},
	    [4] = {.kind = VALUE_INTEGER, .integer = DAY_ONE * DAY_US + DAY_US - 1},
	};
	group_columns_of_row(&pipeline.rollups[PER_CATEGORY], values, &calendar, columns);
	group_key_write(&key, columns, 2);
	assert_int_equal(key.len, 9);
	assert_memory_equal(key.data, "\x92\xcd\x4d\x19\xa4toys", 9);
	assert_true(group_key_read(&pipeline.rollups[PER_CATEGORY], fields, buffer_bytes(&key), again));
	assert_int_equal(again[0].integer, DAY_ONE);
	assert_memory_equal(again[1].text.data, "toys", 4);
	group_key_print(&pipeline.rollups[PER_CATEGORY], fields, buffer_bytes(&key), &text);
	assert_int_equal(text.len, 18);
	assert_memory_equal(text.data, "{2024-01-15, toys}", 18);

	group_columns_of_row(&pipeline.rollups[PER_MONTH], values, &calendar, columns);
	group_key_write(&key, columns, 2);
	assert_int_equal(key.len, 5);
	assert_memory_equal(key.data, "\x92\xcd\x07\xe8\x01", 5);
	buffer_clear(&text);
	group_key_print(&pipeline.rollups[PER_MONTH], fields, buffer_bytes(&key), &text);
	assert_memory_equal(text.data, "{2024, 1}", 9);
	buffer_fini(&key);
	buffer_fini(&text);
	pipeline_fini(&pipeline);
}

#define BYTES(text) ((struct bytes){(const uint8_t *)(text), sizeof(text) - 1})

static void test_foreign_keys_are_refused(void **state)
{
	(void)state;
	struct pipeline pipeline;
	struct value columns[PIPELINE_COLUMNS_MAX];
	load(&pipeline);
	static const struct {
		size_t rollup;
		struct bytes key;
		bool fits;
	} cases[] = {
	    {PER_CATEGORY, BYTES("\x92\xcd\x4d\x19\xa4toys"), true},
	    {PER_CATEGORY, BYTES("\x92\xcd\x4d\x19\xa0"), true},
	    {PER_CATEGORY, BYTES(""), false},
	    {PER_CATEGORY, BYTES("\x91\xcd\x4d\x19"), false},
	    {PER_CATEGORY, BYTES("\x92\xcd\x4d\x19\xa4toy"), false},
	    {PER_CATEGORY, BYTES("\x92\xcd\x4d\x19\xa4toys!"), false},
	    {PER_CATEGORY, BYTES("\x92\xa4toys\xcd\x4d\x19"), false},
	    {PER_CATEGORY, BYTES("\x92\xcd\x4d\x19\xc0"), false},
	    {PER_CATEGORY, BYTES("\x92\xce\x00\x00\x4d\x19\xa4toys"), false}, /* not the smallest form */
	    {PER_CATEGORY, BYTES("\x92\xcd\x4d\x19\xd9\x04toys"), false},
	    {PER_CATEGORY, BYTES("\xdc\x00\x02\xcd\x4d\x19\xa4toys"), false},
	    {PER_CATEGORY, BYTES("\x92\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa0"), false}, /* no day */
	    {PER_DAY, BYTES("\x91\xcd\x4d\x19"), true},
	    {PER_DAY, BYTES("\x91\xff"), true},
	    {PER_MONTH, BYTES("\x92\xcd\x07\xe8\x0c"), true},
	    {PER_MONTH, BYTES("\x92\xcd\x07\xe8\x0d"), false},
	    {PER_MONTH, BYTES("\x92\xcd\x07\xe8\x00"), false},
	    {PER_MONTH, BYTES("\x92\xcd\x07\xe8\xff"), false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (group_key_read(&pipeline.rollups[cases[i].rollup], pipeline.record.fields, cases[i].key, columns) !=
		    cases[i].fits)
			fail_msg("case %zu", i);
	pipeline_fini(&pipeline);
}

static void test_calendar(void **state)
{
	(void)state;
	struct calendar calendar = {0};
	assert_int_equal(calendar_part(&calendar, PART_YEAR, 0), 1970);
	assert_int_equal(calendar_part(&calendar, PART_MONTH, 0), 1);
	assert_int_equal(calendar_part(&calendar, PART_MONTH, 19782), 2); /* 2024-02-29 */
	assert_int_equal(calendar_part(&calendar, PART_MONTH, 19783), 3);
	assert_int_equal(calendar_part(&calendar, PART_YEAR, 19783), 2024);
	assert_int_equal(calendar_part(&calendar, PART_DAY, 19783), 19783);
	assert_int_equal(calendar_part(&calendar, PART_YEAR, -1), 1969);
}

/* per_day and per_month follow from per_category; units adds up something that no other rollup has. */
static void test_plan(void **state)
{
	(void)state;
	struct pipeline pipeline;
	struct group_plan plans[PIPELINE_ROLLUPS_MAX];
	load(&pipeline);
	group_plan_make(&pipeline, plans);
	assert_true(plans[PER_DAY].folded && plans[PER_MONTH].folded);
	assert_false(plans[PER_CATEGORY].folded || plans[UNITS].folded);
	assert_int_equal(plans[PER_DAY].source, PER_CATEGORY);
	assert_int_equal(plans[PER_MONTH].source, PER_CATEGORY);
	assert_int_equal(plans[PER_MONTH].columns[0], 0);
	assert_int_equal(plans[PER_MONTH].columns[1], 0);

	/* Two that say the same: the first is the source. A month does not give a day. */
	pipeline.rollups[PER_CATEGORY].by_len = 1;
	group_plan_make(&pipeline, plans);
	assert_false(plans[PER_DAY].folded);
	assert_true(plans[PER_CATEGORY].folded);
	assert_int_equal(plans[PER_CATEGORY].source, PER_DAY);
	assert_int_equal(plans[PER_MONTH].source, PER_DAY);
	pipeline.rollups[PER_CATEGORY].by_len = 2;

	/* No day: the category's total is part of units, whose measures contain it. */
	pipeline.rollups[PER_CATEGORY].by[0].part = PART_MONTH;
	group_plan_make(&pipeline, plans);
	assert_false(plans[PER_DAY].folded || plans[PER_CATEGORY].folded || plans[UNITS].folded);
	assert_true(plans[PER_MONTH].folded);
	assert_int_equal(plans[PER_MONTH].source, PER_DAY);
	pipeline.rollups[PER_CATEGORY].by[0].part = PART_DAY;
	pipeline_fini(&pipeline);
}

/* The same rows, once folded and once with every rollup added to directly: the same groups with the same sums. */
static void test_folded_equals_direct(void **state)
{
	(void)state;
	static const char *const categories[] = {"toys", "books", ""};
	struct pipeline pipeline;
	struct group_deltas deltas[2];
	struct group_batch batches[2];
	struct outbox outbox[2] = {{0}, {0}};
	int64_t units_expected = 0; /* null counts as nothing */
	struct error error;
	load(&pipeline);
	for (int d = 0; d < 2; d++) {
		group_deltas_init(&deltas[d], &pipeline);
		group_batch_init(&batches[d], 1, FRAME_DELTAS);
	}
	for (size_t i = 0; i < pipeline.rollups_len; i++)
		deltas[1].plans[i].folded = false;
	for (uint32_t i = 0; i < 5000; i++) {
		const char *category = categories[i % 3];
		struct value values[HARNESS_FIELDS] = {
		    {.kind = VALUE_TEXT},
		    {.kind = VALUE_TEXT, .text = {(const uint8_t *)category, strlen(category)}},
		    {.kind = i % 7 ? VALUE_INTEGER : VALUE_NULL, .integer = i},
		    {.kind = VALUE_INTEGER, .integer = (int64_t)i * 977 % 100000 - 30000},
		    {.kind = VALUE_INTEGER, .integer = (int64_t)i * 13 % 800 * DAY_US + i},
		};
		units_expected += i % 7 ? i : 0;
		for (int d = 0; d < 2; d++)
			assert_int_equal(group_deltas_add(&deltas[d], values, &error), RESULT_OK);
	}
	for (int d = 0; d < 2; d++)
		assert_int_equal(group_deltas_send(&deltas[d], &batches[d], 1, &outbox[d], &error), RESULT_OK);

	/* Compared as sets: everything of the one, subtracted from the other, leaves zeros. */
	struct group_table left[4];
	size_t groups[2] = {0, 0};
	int128 units_sent = 0;
	for (size_t i = 0; i < 4; i++)
		group_table_init(&left[i], (uint32_t)pipeline.rollups[i].measures_len);
	for (int d = 0; d < 2; d++) {
		for (size_t i = 0; i < outbox[d].len; i++) {
			struct arena arena = {0};
			struct frame frame;
			struct buffer *message = &outbox[d].items[i].message;
			assert_true(message->len - FRAME_HEADER_SIZE <= FRAME_BODY_TARGET);
			frame_header_write(message->data, message->len - FRAME_HEADER_SIZE,
			    &(struct frame_header){.kind = FRAME_DELTAS});
			assert_int_equal(frame_decode(buffer_bytes(message), &arena, &frame, NULL, &error), RESULT_OK);
			for (uint32_t g = 0; g < frame.body.deltas.groups.len; g++, groups[d]++) {
				struct group *group = &frame.body.deltas.groups.entries[g];
				uint64_t hash = key_hash(group->key);
				units_sent += group->rollup == UNITS && d == 0 ? measure_of(group, 0) : 0;
				struct group_entry *entry = group_table_find(&left[group->rollup], group->key, hash);
				if (entry == NULL)
					entry = group_table_add(&left[group->rollup], group->key, hash);
				for (size_t m = 0; m < pipeline.rollups[group->rollup].measures_len; m++)
					entry->measures[m] += d ? -measure_of(group, m) : measure_of(group, m);
			}
			arena_fini(&arena);
		}
	}
	assert_int_equal(groups[0], groups[1]);
	assert_true(units_sent == units_expected);
	assert_true(outbox[0].len > 1);
	assert_int_equal(left[PER_DAY].len, 800);
	assert_int_equal(left[PER_MONTH].len, 27); /* 1970-01 to 1972-03-10 */
	assert_int_equal(left[UNITS].len, 3);
	for (size_t i = 0; i < 4; i++) {
		for (uint32_t g = 0; g < left[i].len; g++)
			for (uint32_t m = 0; m < left[i].measures_len; m++)
				assert_true(left[i].entries[g]->measures[m] == 0);
		group_table_fini(&left[i]);
	}
	for (int d = 0; d < 2; d++) {
		group_deltas_fini(&deltas[d]);
		group_batch_fini(&batches[d]);
		outbox_fini(&outbox[d]);
	}
	pipeline_fini(&pipeline);
}

/* --- one column at a time ---------------------------------------------------------------------------------------------- */

/* Two rows are added up: does every rollup have one group or two of them, as it should, and all measures of each? */
static void expect_groups(
    struct group_deltas *deltas, const struct value *one, const struct value *other, const bool *apart)
{
	const struct pipeline *pipeline = deltas->pipeline;
	size_t groups[PIPELINE_ROLLUPS_MAX] = {0};
	struct group_batch batch;
	struct outbox outbox = {0};
	struct arena arena = {0};
	struct error error;
	group_batch_init(&batch, 1, FRAME_DELTAS);
	assert_int_equal(group_deltas_add(deltas, one, &error), RESULT_OK);
	assert_int_equal(group_deltas_add(deltas, other, &error), RESULT_OK);
	assert_int_equal(group_deltas_send(deltas, &batch, 1, &outbox, &error), RESULT_OK);
	assert_int_equal(outbox.len, 1);
	struct frame frame;
	struct buffer *message = &outbox.items[0].message;
	frame_header_write(
	    message->data, message->len - FRAME_HEADER_SIZE, &(struct frame_header){.kind = FRAME_DELTAS});
	assert_int_equal(frame_decode(buffer_bytes(message), &arena, &frame, NULL, &error), RESULT_OK);
	for (uint32_t g = 0; g < frame.body.deltas.groups.len; g++) {
		const struct group *group = &frame.body.deltas.groups.entries[g];
		const struct rollup *rollup = &pipeline->rollups[group->rollup];
		const struct value *row = groups[group->rollup]++ == 0 ? one : other;
		for (size_t m = 0; m < rollup->measures_len; m++) {
			size_t field = rollup->measures[m].field;
			int128 sum = row[field].integer + (apart[group->rollup] ? 0 : other[field].integer);
			if (measure_of(group, m) != sum)
				fail_msg("%s of %s", rollup->measures[m].column, rollup->table);
		}
	}
	for (size_t i = 0; i < pipeline->rollups_len; i++)
		if (groups[i] != (apart[i] ? 2 : 1))
			fail_msg("%zu groups of %s", groups[i], pipeline->rollups[i].table);
	group_batch_fini(&batch);
	outbox_fini(&outbox);
	arena_fini(&arena);
}

/* How many columns of the rollup differ; one: the last that does. */
static size_t columns_differ(
    const struct rollup *rollup, const struct value *row, const struct value *other, size_t *one)
{
	struct value columns[2][PIPELINE_COLUMNS_MAX];
	struct calendar calendar = {0};
	size_t differ = 0;
	group_columns_of_row(rollup, row, &calendar, columns[0]);
	group_columns_of_row(rollup, other, &calendar, columns[1]);
	for (size_t i = 0; i < rollup->by_len; i++)
		if (columns[0][i].kind == VALUE_TEXT ? !bytes_equal(columns[0][i].text, columns[1][i].text)
		                                     : columns[0][i].integer != columns[1][i].integer) {
			*one = i;
			differ++;
		}
	return differ;
}

/* Whichever column two rows differ in, alone: they are two groups of every rollup that has it, and one of the others. */
static void test_every_column_makes_a_group(void **state)
{
	(void)state;
	struct pipeline pipeline;
	struct group_deltas deltas;
	struct error error;
	struct value base[PIPELINE_FIELDS_MAX], members[MEMBERS_MAX];
	bool alone[PIPELINE_ROLLUPS_MAX][PIPELINE_COLUMNS_MAX] = {0};
	if (pipeline_parse(&pipeline, "columns",
	        (struct bytes){(const uint8_t *)members_pipeline, sizeof members_pipeline - 1}, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	group_deltas_init(&deltas, &pipeline);
	members_first(&pipeline, base);
	for (size_t f = 0; f < pipeline.record.fields_len; f++) {
		size_t members_len = members_of(&pipeline.record.fields[f], members);
		for (size_t m = 0; m < members_len; m++) {
			struct value row[PIPELINE_FIELDS_MAX];
			bool apart[PIPELINE_ROLLUPS_MAX];
			memcpy(row, base, sizeof row);
			row[f] = members[m];
			for (size_t i = 0; i < pipeline.rollups_len; i++) {
				size_t column = 0, differ = columns_differ(&pipeline.rollups[i], base, row, &column);
				apart[i] = differ > 0;
				alone[i][column] = alone[i][column] || differ == 1;
			}
			expect_groups(&deltas, base, row, apart);
		}
	}
	for (size_t i = 0; i < pipeline.rollups_len; i++)
		for (size_t j = 0; j < pipeline.rollups[i].by_len; j++)
			if (!alone[i][j])
				fail_msg("no two rows differ in %s of %s alone", pipeline.rollups[i].by[j].column,
				    pipeline.rollups[i].table);
	group_deltas_fini(&deltas);
	pipeline_fini(&pipeline);
}

static void test_delta_overflow_is_an_error(void **state)
{
	(void)state;
	struct pipeline pipeline;
	struct group_deltas deltas;
	struct error error;
	load(&pipeline);
	group_deltas_init(&deltas, &pipeline);
	struct value values[HARNESS_FIELDS] = {
	    [1] = {.kind = VALUE_TEXT, .text = {(const uint8_t *)"toys", 4}},
	    [3] = {.kind = VALUE_INTEGER, .integer = 5},
	    [4] = {.kind = VALUE_INTEGER, .integer = 0},
	};
	assert_int_equal(group_deltas_add(&deltas, values, &error), RESULT_OK);
	deltas.tables[PER_CATEGORY].entries[0]->measures[0] = (int128)(~(unsigned __int128)0 >> 1) - 4;
	assert_int_equal(group_deltas_add(&deltas, values, &error), RESULT_CONFIG);
	assert_non_null(
	    strstr(error.text, "total_sales of per_category would exceed 128 bits within one epoch. What to do: "));
	group_deltas_fini(&deltas);
	pipeline_fini(&pipeline);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table_adds_and_clears),
	    cmocka_unit_test(test_measure_overflow),
	    cmocka_unit_test(test_group_as_in_a_frame),
	    cmocka_unit_test(test_key_bytes),
	    cmocka_unit_test(test_foreign_keys_are_refused),
	    cmocka_unit_test(test_calendar),
	    cmocka_unit_test(test_plan),
	    cmocka_unit_test(test_folded_equals_direct),
	    cmocka_unit_test(test_every_column_makes_a_group),
	    cmocka_unit_test(test_delta_overflow_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
