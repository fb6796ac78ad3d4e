/* Protects: totals are absolute and exact, each touched group goes out once an epoch, and none that does not fit. */
#include "aggregator_harness.h"

#include "services/aggregator/rollup.h"
#include "tests/unit/members.h"

static const struct topology one = {1, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]};

struct delta {
	uint32_t rollup;
	struct column columns[2];
	uint32_t columns_len;
	int128 measures[2];
	uint32_t measures_len;
};
#define DAY(day, amount)                                                                                               \
	{                                                                                                              \
		PER_DAY, {{NULL, (day)}}, 1, {(amount)}, 1                                                             \
	}
#define DELTAS(...)                                                                                                    \
	(const struct delta[]){__VA_ARGS__}, sizeof((const struct delta[]){__VA_ARGS__}) / sizeof(struct delta)

static enum result send_deltas(struct harness *harness, uint32_t dedup, const struct delta *deltas, size_t len)
{
	struct arena arena = {0};
	struct group *groups = arena_take(&arena, len * sizeof *groups);
	for (size_t i = 0; i < len; i++)
		groups[i] = (struct group){.rollup = deltas[i].rollup,
		    .key = key_of(&arena, deltas[i].columns, deltas[i].columns_len),
		    .measures = {(const uint8_t *)deltas[i].measures, deltas[i].measures_len * sizeof(int128)}};
	const struct frame_deltas body = {.groups = {groups, (uint32_t)len}};
	enum result result =
	    harness_frame(harness, channel_from(harness, ROLE_DEDUP, dedup), FRAME_DELTAS, &body, false);
	arena_fini(&arena);
	return result;
}

static enum result send_barrier(struct harness *harness, uint32_t dedup, uint64_t n, bool lift)
{
	struct cut_entry position = {0, (int64_t)n};
	struct share shares[] = {{actor_id(ROLE_INGEST, 0), {{9, 0, 0, 0, 2, 0}}},
	    {actor_id(ROLE_DEDUP, dedup), {{0, 5 + dedup, 1, 1, 0, 0}}}};
	const struct frame_barrier body = {
	    .epoch = {ATTEMPT, n}, .lift = lift, .checkpoint = n == 2, .cut = {&position, 1}, .shares = {shares, 2}};
	return harness_frame(harness, channel_from(harness, ROLE_DEDUP, dedup), FRAME_BARRIER, &body, false);
}

static enum result finish(struct harness *harness, uint64_t n)
{
	enum result result = RESULT_OK;
	for (uint32_t i = 0; i < harness->topology.dedup && result == RESULT_OK; i++)
		result = send_barrier(harness, i, n, false);
	harness_take(harness);
	return result;
}

static const struct frame *totals(const struct harness *harness, size_t n)
{
	return sent(harness, channel_to(harness, ROLE_WRITER, 0), FRAME_TOTALS, n);
}

/* The total of a day in the frame; fails where it is not there exactly once. */
static int128 total_of_day(struct harness *harness, int64_t day)
{
	struct bytes key = key_of(&harness->arena, (struct column[]){{NULL, day}}, 1);
	int128 total = 0;
	int found = 0;
	for (size_t n = 0; totals(harness, n) != NULL; n++) {
		const struct groups *groups = &totals(harness, n)->body.totals.groups;
		for (uint32_t i = 0; i < groups->len; i++)
			if (groups->entries[i].rollup == PER_DAY && bytes_equal(groups->entries[i].key, key)) {
				total = measure_of(&groups->entries[i], 0);
				found++;
			}
	}
	assert_int_equal(found, 1);
	return total;
}

static void assert_stops(const struct error *error, const char *found)
{
	char text[ERROR_TEXT_MAX];
	(void)snprintf(text, sizeof text, "%s. What to do: %s", found, stop_way(STOP_TOTAL_BEYOND_COLUMN));
	assert_string_equal(error->text, text);
}

static void test_totals_are_absolute(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, rollup_new, ROLE_ROLLUP, 0, one);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(1, 100), DAY(2, -5))), RESULT_OK);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(1, 11))), RESULT_OK);
	assert_int_equal(harness.outbox.len, 0);
	assert_int_equal(finish(&harness, 1), RESULT_OK);
	assert_int_equal(harness.frames_len, 2); /* totals, then the barrier */
	assert_int_equal(harness.frames[0].header.kind, FRAME_TOTALS);
	assert_int_equal(harness.frames[1].header.kind, FRAME_BARRIER);
	assert_int_equal(totals(&harness, 0)->body.totals.groups.len, 2);
	assert_true(total_of_day(&harness, 1) == 111);
	assert_true(total_of_day(&harness, 2) == -5);

	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(2, 5))), RESULT_OK);
	assert_int_equal(finish(&harness, 2), RESULT_OK);
	assert_int_equal(totals(&harness, 0)->body.totals.groups.len, 1); /* only what was touched */
	assert_true(total_of_day(&harness, 2) == 0); /* nothing left, and the group stays */

	assert_int_equal(finish(&harness, 3), RESULT_OK);
	assert_int_equal(harness.frames_len, 1);
	assert_int_equal(harness.frames[0].header.kind, FRAME_BARRIER);
	harness_fini(&harness);
}

static void test_several_rollups_and_measures(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, rollup_new, ROLE_ROLLUP, 0, one);
	const struct delta units = {UNITS, {{"toys", 0}}, 1, {3, 250}, 2};
	const struct delta category = {PER_CATEGORY, {{NULL, DAY_ONE}, {"toys", 0}}, 2, {250}, 1};
	const struct delta month = {PER_MONTH, {{NULL, 2024}, {NULL, 1}}, 2, {250}, 1};
	assert_int_equal(send_deltas(&harness, 0, DELTAS(units, category, month, units)), RESULT_OK);
	assert_int_equal(finish(&harness, 1), RESULT_OK);
	const struct groups *groups = &totals(&harness, 0)->body.totals.groups;
	assert_int_equal(groups->len, 3);
	assert_int_equal(groups->entries[0].rollup, PER_CATEGORY); /* in the order in which they are declared */
	assert_true(measure_of(&groups->entries[0], 0) == 250);
	assert_int_equal(groups->entries[1].rollup, PER_MONTH);
	assert_int_equal(groups->entries[2].rollup, UNITS);
	assert_true(measure_of(&groups->entries[2], 0) == 6 && measure_of(&groups->entries[2], 1) == 500);
	harness_fini(&harness);
}

/* Deltas of one dedup actor behind its barrier wait; shares come through united, each actor's once. */
static void test_alignment(void **state)
{
	(void)state;
	const struct topology topology = {1, 2, 1, 1, .plan = &job_plans[JOB_TOTALS]};
	struct harness harness;
	harness_init(&harness, rollup_new, ROLE_ROLLUP, 0, topology);
	const struct actor_ops *ops = harness.actor->ops;
	assert_false(ops->accepts(harness.actor, channel_from(&harness, ROLE_DEDUP, 0))); /* not before START */
	const struct frame_start start = {.silent = false};
	assert_int_equal(harness_frame(&harness, 0, FRAME_START, &start, true), RESULT_OK);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(1, 100))), RESULT_OK);
	assert_int_equal(send_barrier(&harness, 0, 1, false), RESULT_OK);
	assert_int_equal(harness.outbox.len, 0);
	assert_false(ops->accepts(harness.actor, channel_from(&harness, ROLE_DEDUP, 0)));
	assert_true(ops->accepts(harness.actor, channel_from(&harness, ROLE_DEDUP, 1)));
	assert_int_equal(send_deltas(&harness, 1, DELTAS(DAY(1, 20))), RESULT_OK);
	assert_int_equal(send_barrier(&harness, 1, 1, false), RESULT_OK);
	harness_take(&harness);
	assert_true(total_of_day(&harness, 1) == 120);
	const struct frame_barrier *barrier =
	    &sent(&harness, channel_to(&harness, ROLE_WRITER, 0), FRAME_BARRIER, 0)->body.barrier;
	assert_int_equal(barrier->epoch.n, 1);
	assert_int_equal(barrier->cut.len, 1);
	assert_int_equal(barrier->cut.entries[0].offset, 1);
	assert_int_equal(barrier->shares.len, 3);
	uint64_t consumed = 0, accepted = 0;
	for (uint32_t i = 0; i < 3; i++) {
		consumed += barrier->shares.entries[i].counters.n[COUNTER_CONSUMED];
		accepted += barrier->shares.entries[i].counters.n[COUNTER_ACCEPTED];
	}
	assert_int_equal(consumed, 9);
	assert_int_equal(accepted, 11);
	assert_true(ops->accepts(harness.actor, channel_from(&harness, ROLE_DEDUP, 0)));
	assert_int_equal(send_barrier(&harness, 0, 2, false), RESULT_OK);
	assert_int_equal(send_barrier(&harness, 1, 3, false), RESULT_CORRUPT);
	harness_fini(&harness);
}

static const int128 limit = INT64_C(1000000000000000); /* DECIMAL(15,2) */

static void test_total_that_does_not_fit(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, rollup_new, ROLE_ROLLUP, 0, one);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(DAY_ONE, limit - 1))), RESULT_OK);
	assert_int_equal(finish(&harness, 1), RESULT_OK);
	assert_true(total_of_day(&harness, DAY_ONE) == limit - 1);
	/* Over the limit and back within one epoch: a refund may come first or last. */
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(DAY_ONE, 1), DAY(DAY_ONE, -2))), RESULT_OK);
	assert_int_equal(finish(&harness, 2), RESULT_OK);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(DAY_ONE, 2))), RESULT_OK);
	assert_int_equal(finish(&harness, 3), RESULT_CONFIG);
	assert_stops(&harness.error, "total_sales of per_day {2024-01-15} would exceed DECIMAL(15,2)");
	assert_null(sent(&harness, channel_to(&harness, ROLE_WRITER, 0), FRAME_BARRIER, 0));
	harness_fini(&harness);

	harness_init(&harness, rollup_new, ROLE_ROLLUP, 0, one);
	const struct delta units = {UNITS, {{"toys, \xc3\xbc", 0}}, 1, {0, -limit}, 2};
	assert_int_equal(send_deltas(&harness, 0, DELTAS(units)), RESULT_OK);
	assert_int_equal(finish(&harness, 1), RESULT_CONFIG);
	assert_stops(&harness.error, "sales of units {toys, \xc3\xbc} would exceed DECIMAL(15,2)");
	harness_fini(&harness);
}

static void test_128_bits_are_never_passed(void **state)
{
	(void)state;
	const int128 most = (int128)(~(unsigned __int128)0 >> 1);
	struct harness harness;
	harness_init(&harness, rollup_new, ROLE_ROLLUP, 0, one);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(1, most))), RESULT_OK);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(1, 1))), RESULT_CONFIG);
	assert_stops(&harness.error, "total_sales of per_day {1970-01-02} would exceed DECIMAL(15,2)");
	harness_fini(&harness);
}

/* A replay cuts the log elsewhere: what no reader saw must not stop it. The lifting epoch's cut is the frontier's. */
static void test_silence_is_not_judged(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, rollup_new, ROLE_ROLLUP, 0, one);
	assert_int_equal(
	    harness_frame(&harness, 0, FRAME_START, &(struct frame_start){.silent = true}, true), RESULT_OK);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(1, limit))), RESULT_OK);
	assert_int_equal(send_barrier(&harness, 0, 1, false), RESULT_OK);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(1, -1))), RESULT_OK);
	assert_int_equal(send_barrier(&harness, 0, 2, true), RESULT_OK);
	assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(1, 1))), RESULT_OK);
	assert_int_equal(send_barrier(&harness, 0, 3, false), RESULT_CONFIG);
	harness_fini(&harness);
}

static void test_groups_of_others(void **state)
{
	(void)state;
	const struct topology topology = {1, 1, 2, 1, .plan = &job_plans[JOB_TOTALS]};
	int mine[2] = {0, 0};
	for (int64_t day = 0; day < 50; day++)
		for (uint32_t r = 0; r < 2; r++) {
			struct harness harness;
			harness_init(&harness, rollup_new, ROLE_ROLLUP, r, topology);
			struct bytes key = key_of(&harness.arena, (struct column[]){{NULL, day}}, 1);
			bool own = rollup_owner(&harness, key) == r;
			assert_int_equal(
			    send_deltas(&harness, 0, DELTAS(DAY(day, 1))), own ? RESULT_OK : RESULT_CORRUPT);
			mine[r] += own;
			harness_fini(&harness);
		}
	assert_int_equal(mine[0] + mine[1], 50);
	assert_true(mine[0] > 0 && mine[1] > 0);
}

static void test_malformed_deltas(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, rollup_new, ROLE_ROLLUP, 0, one);
	static const struct {
		struct delta delta;
		const char *text;
	} cases[] = {
	    {{4, {{NULL, 1}}, 1, {1}, 1}, "a delta for rollup 4 of 4"},
	    {{PER_DAY, {{NULL, 1}}, 1, {1}, 0}, "a delta of per_day with 0 bytes of measures"},
	    {{PER_DAY, {{NULL, 1}}, 1, {1, 1}, 2}, "a delta of per_day with 32 bytes of measures"},
	    {{PER_DAY, {{"x", 0}}, 1, {1}, 1}, "a delta's key is not one of per_day"},
	    {{PER_DAY, {{NULL, 1}, {NULL, 1}}, 2, {1}, 1}, "a delta's key is not one of per_day"},
	    {{PER_MONTH, {{NULL, 2024}, {NULL, 13}}, 2, {1}, 1}, "a delta's key is not one of per_month"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(send_deltas(&harness, 0, &cases[i].delta, 1), RESULT_CORRUPT);
		assert_string_equal(harness.error.text, cases[i].text);
	}
	uint32_t in = channel_from(&harness, ROLE_DEDUP, 0);
	const struct frame_dead_letters letters = {.letters = {NULL, 0}};
	assert_int_equal(harness_frame(&harness, in, FRAME_DEAD_LETTERS, &letters, false), RESULT_CORRUPT);
	assert_string_equal(harness.error.text, "channel 2 may not carry DEAD_LETTERS");
	const struct frame_barrier stale = {.epoch = {ATTEMPT + 1, 1}};
	assert_int_equal(harness_frame(&harness, in, FRAME_BARRIER, &stale, false), RESULT_CORRUPT);
	assert_int_equal(
	    harness_frame(&harness, 0, FRAME_DEPLOY, &(struct frame_deploy){.partitions = 1}, true), RESULT_OK);
	harness_fini(&harness);
}

static void test_many_totals_are_split(void **state)
{
	(void)state;
	struct harness harness;
	uint32_t groups = 0;
	harness_init(&harness, rollup_new, ROLE_ROLLUP, 0, one);
	for (int round = 0; round < 2; round++) { /* the second through a grown table, all touched again */
		for (int64_t day = 0; day < 10000; day++)
			assert_int_equal(send_deltas(&harness, 0, DELTAS(DAY(day, day))), RESULT_OK);
		assert_int_equal(finish(&harness, (uint64_t)round + 1), RESULT_OK);
	}
	assert_true(totals(&harness, 1) != NULL);
	for (size_t n = 0; totals(&harness, n) != NULL; n++) {
		const struct frame *frame = totals(&harness, n);
		assert_true(frame->encoded_body.len <= FRAME_BODY_TARGET);
		for (uint32_t i = 0; i < frame->body.totals.groups.len; i++, groups++)
			assert_true(measure_of(&frame->body.totals.groups.entries[i], 0) == 2 * (int128)groups);
	}
	assert_int_equal(groups, 10000);
	harness_fini(&harness);
}

/* --- one column at a time ---------------------------------------------------------------------------------------------- */

/* The group of a rollup, or with one column changed. Numbers are the same everywhere: a day and a shop of two rollups are equal bytes. */
static struct bytes group_of(struct harness *harness, size_t rollup, size_t changed)
{
	const struct rollup *declared = &harness->pipeline.rollups[rollup];
	struct column columns[PIPELINE_COLUMNS_MAX];
	for (size_t i = 0; i < declared->by_len; i++) {
		const struct group_column *by = &declared->by[i];
		bool text = by->part == PART_FIELD && harness->pipeline.record.fields[by->field].type == FIELD_STRING;
		columns[i] = (struct column){text ? (i == changed ? "a " : "a") : NULL, 7 + (i == changed)};
	}
	return key_of(&harness->arena, columns, (uint32_t)declared->by_len);
}

/* Adds number + m to every measure m of this group. */
static void add_group(struct harness *harness, size_t rollup, size_t changed, int64_t number)
{
	int128 measures[PIPELINE_MEASURES_MAX];
	for (size_t m = 0; m < PIPELINE_MEASURES_MAX; m++)
		measures[m] = number + (int64_t)m;
	struct group group = {.rollup = (uint32_t)rollup,
	    .key = group_of(harness, rollup, changed),
	    .measures = {
	        (const uint8_t *)measures, harness->pipeline.rollups[rollup].measures_len * sizeof measures[0]}};
	const struct frame_deltas body = {.groups = {&group, 1}};
	assert_int_equal(
	    harness_frame(harness, channel_from(harness, ROLE_DEDUP, 0), FRAME_DELTAS, &body, false), RESULT_OK);
}

/* Every group of every rollup that differs in one column, over three epochs: each has a total of its own. */
static void test_every_column_has_its_total(void **state)
{
	(void)state;
	struct harness harness;
	size_t groups = 0;
	harness_init_text(&harness, members_pipeline, rollup_new, ROLE_ROLLUP, 0, one);
	for (uint64_t n = 1; n <= 3; n++) {
		size_t seen = 0;
		groups = 0;
		arena_clear(&harness.arena);
		for (size_t r = 0; r < harness.pipeline.rollups_len; r++)
			for (size_t c = 0; c <= harness.pipeline.rollups[r].by_len; c++, groups++)
				add_group(&harness, r, c, (int64_t)(1000 * r + 10 * c + n));
		assert_int_equal(finish(&harness, n), RESULT_OK);
		for (size_t r = 0; r < harness.pipeline.rollups_len; r++)
			for (size_t c = 0; c <= harness.pipeline.rollups[r].by_len; c++) {
				struct bytes key = group_of(&harness, r, c);
				for (size_t f = 0; totals(&harness, f) != NULL; f++) {
					const struct groups *list = &totals(&harness, f)->body.totals.groups;
					for (uint32_t g = 0; g < list->len; g++) {
						if (list->entries[g].rollup != r ||
						    !bytes_equal(list->entries[g].key, key))
							continue;
						seen++;
						for (size_t m = 0; m < harness.pipeline.rollups[r].measures_len; m++)
							assert_true(
							    measure_of(&list->entries[g], m) ==
							    (int128)(n * (1000 * r + 10 * c + m) + n * (n + 1) / 2));
					}
				}
			}
		assert_int_equal(seen, groups);
	}
	harness_fini(&harness);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_totals_are_absolute),
	    cmocka_unit_test(test_every_column_has_its_total),
	    cmocka_unit_test(test_several_rollups_and_measures),
	    cmocka_unit_test(test_alignment),
	    cmocka_unit_test(test_total_that_does_not_fit),
	    cmocka_unit_test(test_128_bits_are_never_passed),
	    cmocka_unit_test(test_silence_is_not_judged),
	    cmocka_unit_test(test_groups_of_others),
	    cmocka_unit_test(test_malformed_deltas),
	    cmocka_unit_test(test_many_totals_are_split),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
