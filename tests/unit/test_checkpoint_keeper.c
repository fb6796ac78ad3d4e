/* When a checkpoint is due: after its interval, early when much has changed, never right after one that failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/coordinator/checkpoints.h"

enum { SECOND = 1000000, RECORDS = 1000 };

/* A folder that takes everything and holds nothing. */
static enum result put_manifest(
    struct checkpoint_store *store, const struct frame_manifest *manifest, bool *existed, struct error *error)
{
	(void)store, (void)manifest, (void)error;
	*existed = false;
	return RESULT_OK;
}

static enum result check_files(
    struct checkpoint_store *store, const struct files *files, bool *whole, struct error *error);

struct fixture {
	struct checkpoint_store_ops ops;
	struct checkpoint_store store;
	struct pipeline pipeline;
	struct topology topology;
	struct checkpoint_keeper keeper;
	uint64_t n;
	enum result looks; /* at files: how that ends, and whether they are there */
	bool unseen;
};

static enum result check_files(
    struct checkpoint_store *store, const struct files *files, bool *whole, struct error *error)
{
	const struct fixture *fixture =
	    (const struct fixture *)(const void *)((const char *)store - offsetof(struct fixture, store));
	(void)files;
	*whole = !fixture->unseen;
	if (fixture->looks != RESULT_OK || fixture->unseen)
		(void)error_set(error, fixture->looks, "/checkpoints/x is not there");
	return fixture->looks;
}

static int begin(void **state)
{
	struct fixture *fixture = memory_new(sizeof *fixture);
	struct cut start = {0};
	struct error error;
	*state = fixture;
	fixture->ops.put_manifest = put_manifest;
	fixture->ops.check_files = check_files;
	fixture->store.ops = &fixture->ops;
	fixture->topology = (struct topology){1, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]};
	fixture->pipeline.checkpoint.interval_us = 10 * SECOND;
	fixture->pipeline.checkpoint.timeout_us = 60 * SECOND;
	fixture->pipeline.checkpoint.min_pause_us = SECOND;
	fixture->pipeline.checkpoint.max_records = RECORDS;
	checkpoint_keeper_init(&fixture->keeper, &(struct checkpoints_config){.pipeline = &fixture->pipeline,
	                                             .job = "job",
	                                             .store = &fixture->store,
	                                             .topology = &fixture->topology});
	cut_set(&start, 0, 100);
	assert_int_equal(checkpoint_keeper_begin(&fixture->keeper, &start, &error), RESULT_OK);
	checkpoint_keeper_start(&fixture->keeper, 0);
	cut_fini(&start);
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;
	checkpoint_keeper_fini(&fixture->keeper);
	free(fixture);
	return 0;
}

static enum keeper_news commit(struct fixture *fixture, bool checkpoint, int64_t offset, uint64_t now_us)
{
	struct epoch_id epoch = {1, ++fixture->n};
	struct cut cut = {0};
	checkpoint_keeper_injected(&fixture->keeper, epoch, checkpoint, now_us);
	cut_set(&cut, 0, offset);
	enum keeper_news news = checkpoint_keeper_committed(&fixture->keeper, epoch, &cut, now_us);
	cut_fini(&cut);
	return news;
}

static enum keeper_news written(struct fixture *fixture, enum role role, const char *failure, uint64_t now_us)
{
	struct frame_snapshot_done done = {
	    .actor = actor_id(role, 0), .checkpoint = {1, fixture->n}, .failure = failure};
	return checkpoint_keeper_written(&fixture->keeper, &done, now_us);
}

static bool is_due(const struct fixture *fixture, uint64_t now_us)
{
	uint64_t wake_us;
	return checkpoint_keeper_due(&fixture->keeper, now_us, &wake_us);
}

static void test_interval(void **state)
{
	struct fixture *fixture = *state;
	assert_false(is_due(fixture, 20 * SECOND)); /* nothing changed */
	(void)commit(fixture, false, 101, SECOND);
	assert_false(is_due(fixture, 10 * SECOND - 1));
	assert_true(is_due(fixture, 10 * SECOND));
}

static void test_early_after_many_records(void **state)
{
	struct fixture *fixture = *state;
	(void)commit(fixture, false, 100 + RECORDS - 1, SECOND);
	assert_false(is_due(fixture, SECOND));
	(void)commit(fixture, false, 100 + RECORDS, SECOND);
	assert_true(is_due(fixture, SECOND));
	(void)commit(fixture, true, 100 + RECORDS + 10, SECOND);
	assert_false(is_due(fixture, SECOND)); /* it is under way */
	(void)written(fixture, ROLE_DEDUP, "", 2 * SECOND);
	assert_int_equal(written(fixture, ROLE_ROLLUP, "", 2 * SECOND), KEEPER_COMPLETE);
	/* Counted from that one's cut, and not before the pause is over. */
	(void)commit(fixture, false, 100 + 2 * RECORDS + 9, 2 * SECOND);
	assert_false(is_due(fixture, 5 * SECOND));
	(void)commit(fixture, false, 100 + 2 * RECORDS + 10, 2 * SECOND);
	assert_false(is_due(fixture, 3 * SECOND - 1));
	assert_true(is_due(fixture, 3 * SECOND));
}

static void test_a_failed_one_is_not_repeated_at_once(void **state)
{
	struct fixture *fixture = *state;
	(void)commit(fixture, false, 100 + RECORDS, SECOND);
	(void)commit(fixture, true, 100 + RECORDS, SECOND);
	assert_int_equal(written(fixture, ROLE_DEDUP, "disk full", 2 * SECOND), KEEPER_ABANDONED);
	(void)commit(fixture, false, 100 + 2 * RECORDS, 3 * SECOND);
	assert_false(is_due(fixture, 12 * SECOND - 1));
	assert_true(is_due(fixture, 12 * SECOND));
}

/* Complete is what the coordinator sees; whoever comes last. */
static void test_files_that_are_not_seen(void **state)
{
	struct fixture *fixture = *state;
	fixture->unseen = true;
	(void)commit(fixture, true, 101, SECOND);
	(void)written(fixture, ROLE_DEDUP, "", 2 * SECOND);
	assert_int_equal(written(fixture, ROLE_ROLLUP, "", 2 * SECOND), KEEPER_ABANDONED);
	assert_true(fixture->keeper.unseen);
	assert_int_equal(fixture->keeper.failed_in_row, 1);
	assert_int_equal(fixture->keeper.completed, 0);
	assert_non_null(strstr(fixture->keeper.why, "/checkpoints/x is not there"));
	fixture->unseen = false;
	fixture->looks = RESULT_RETRY; /* storage is away: nobody knows */
	(void)commit(fixture, true, 102, 20 * SECOND);
	(void)written(fixture, ROLE_DEDUP, "", 21 * SECOND);
	assert_int_equal(written(fixture, ROLE_ROLLUP, "", 21 * SECOND), KEEPER_ABANDONED);
	assert_false(fixture->keeper.unseen);
	fixture->looks = RESULT_OK;
	(void)commit(fixture, true, 103, 40 * SECOND);
	(void)written(fixture, ROLE_DEDUP, "", 41 * SECOND);
	assert_int_equal(written(fixture, ROLE_ROLLUP, "", 41 * SECOND), KEEPER_COMPLETE);
}

static enum result remove_manifest(struct checkpoint_store *store, struct epoch_id epoch, struct error *error)
{
	(void)store, (void)epoch, (void)error;
	return RESULT_OK;
}

static enum result sweep(struct checkpoint_store *store, uint64_t oldest, const struct checkpoints *named,
    const struct files *files, struct error *error)
{
	(void)store, (void)oldest, (void)named, (void)files, (void)error;
	return RESULT_OK;
}

/* As many as checkpoint.retain says, not one less and not one more, whatever that number is; and decisions behind the oldest. */
static void test_as_many_are_kept_as_were_asked_for(void **state)
{
	struct fixture *fixture = *state;
	struct checkpoint_keeper *keeper = &fixture->keeper;
	fixture->ops.remove_manifest = remove_manifest;
	fixture->ops.sweep = sweep;
	for (uint32_t retain = 1; retain <= 4; retain++)
		for (int round = 0; round < 6; round++) {
			struct frame_retire order;
			uint32_t before = keeper->kept_len;
			fixture->pipeline.checkpoint.retain = retain;
			int64_t offset = 200 + (int64_t)fixture->n;
			(void)commit(fixture, true, offset, SECOND);
			(void)written(fixture, ROLE_DEDUP, "", 2 * SECOND);
			assert_int_equal(written(fixture, ROLE_ROLLUP, "", 2 * SECOND), KEEPER_COMPLETE);
			assert_int_equal(keeper->kept_len, before + 1);
			assert_int_equal(checkpoint_keeper_retire(keeper, &order), before + 1 > retain);
			if (before + 1 > retain) {
				assert_int_equal(order.checkpoints.len, before + 1 - retain);
				assert_true(epoch_equal(order.kept, keeper->kept[before + 1 - retain].epoch));
				assert_int_equal(cut_get(&order.oldest_cut, 0, 0),
				    cut_get(&keeper->kept[before + 1 - retain].cut, 0, -1));
				checkpoint_keeper_retired(keeper, &order.checkpoints);
				free(order.checkpoints.entries);
			}
			assert_int_equal(keeper->kept_len, before + 1 < retain ? before + 1 : retain);
			assert_int_equal(keeper->named_len, keeper->kept_len);
			assert_int_equal(cut_get(&checkpoint_keeper_base(keeper)->cut, 0, 0), offset);
		}
}

/* Its epoch is committed long afterwards, and the database names it then. */
static void test_one_given_up_is_retired(void **state)
{
	struct fixture *fixture = *state;
	struct checkpoint_keeper *keeper = &fixture->keeper;
	struct frame_retire order;
	struct cut cut = {0};
	const struct epoch_id given_up = {1, ++fixture->n};
	fixture->pipeline.checkpoint.retain = 3;
	checkpoint_keeper_injected(keeper, given_up, true, SECOND);
	(void)written(fixture, ROLE_DEDUP, "the disk is full", 2 * SECOND);
	checkpoint_keeper_injected(keeper, (struct epoch_id){1, ++fixture->n}, true, 4 * SECOND);
	cut_set(&cut, 0, 110);
	(void)checkpoint_keeper_committed(keeper, given_up, &cut, 5 * SECOND);
	cut_set(&cut, 0, 120);
	(void)checkpoint_keeper_committed(keeper, (struct epoch_id){1, fixture->n}, &cut, 5 * SECOND);
	(void)written(fixture, ROLE_DEDUP, "", 6 * SECOND);
	assert_int_equal(written(fixture, ROLE_ROLLUP, "", 6 * SECOND), KEEPER_COMPLETE);
	assert_true(checkpoint_keeper_retire(keeper, &order));
	assert_int_equal(order.checkpoints.len, 1);
	assert_true(epoch_equal(order.checkpoints.entries[0].epoch, given_up));
	free(order.checkpoints.entries);
	cut_fini(&cut);
}

/* Of every checkpoint but the newest that was named, which was never completed. */
static const struct epoch_id newest = {3, 0};

static enum result get_manifest(struct checkpoint_store *store, struct epoch_id epoch, struct arena *arena,
    struct frame_manifest *manifest, bool *found, struct error *error)
{
	(void)store, (void)arena, (void)error;
	*manifest = (struct frame_manifest){.epoch = epoch, .job = "job", .fingerprint = "of another file"};
	*found = !epoch_equal(epoch, newest);
	return RESULT_OK;
}

/* What was judged by the old file must not be read again by the new one. */
static void test_none_from_before_a_change_is_restored(void **state)
{
	struct fixture *fixture = *state;
	struct checkpoint_entry entries[] = {{.epoch = newest}, {.epoch = {2, 5}}, {.epoch = {2, 3}}};
	const struct checkpoints named = {entries, 3};
	struct error error;
	bool found = true, passed_over;
	fixture->ops.get_manifest = get_manifest;
	fixture->keeper.since = newest;
	assert_int_equal(checkpoint_keeper_choose(&fixture->keeper, &named, &found, &passed_over, &error), RESULT_OK);
	assert_false(found);
	fixture->keeper.since = (struct epoch_id){2, 5};
	(void)snprintf(fixture->keeper.meant, sizeof fixture->keeper.meant, "of another file");
	assert_int_equal(checkpoint_keeper_choose(&fixture->keeper, &named, &found, &passed_over, &error), RESULT_OK);
	assert_true(found && passed_over);
	assert_true(epoch_equal(checkpoint_keeper_base(&fixture->keeper)->epoch, entries[1].epoch));
}

static enum result verify_files(
    struct checkpoint_store *store, const struct files *files, bool *whole, struct error *error)
{
	const struct fixture *fixture =
	    (const struct fixture *)(const void *)((const char *)store - offsetof(struct fixture, store));
	(void)files;
	*whole = !fixture->unseen;
	return *whole ? RESULT_OK : (error_set(error, RESULT_OK, "a checksum differs"));
}

/* The choice is for good, and whoever restores it from a cache never reads its files. */
static void test_a_damaged_one_is_not_renamed(void **state)
{
	struct fixture *fixture = *state;
	struct error error;
	fixture->ops.verify_files = verify_files;
	(void)commit(fixture, true, 200, SECOND);
	(void)written(fixture, ROLE_DEDUP, "", SECOND);
	assert_int_equal(written(fixture, ROLE_ROLLUP, "", SECOND), KEEPER_COMPLETE);
	fixture->unseen = true;
	assert_int_equal(checkpoint_keeper_rename(&fixture->keeper, newest, &error), RESULT_RETRY);
	assert_non_null(strstr(error.text, "damaged"));
	assert_int_equal(fixture->keeper.kept_len, 2);
	fixture->unseen = false;
	assert_int_equal(checkpoint_keeper_rename(&fixture->keeper, newest, &error), RESULT_OK);
	assert_true(epoch_equal(checkpoint_keeper_base(&fixture->keeper)->epoch, newest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_interval, begin, end),
	    cmocka_unit_test_setup_teardown(test_as_many_are_kept_as_were_asked_for, begin, end),
	    cmocka_unit_test_setup_teardown(test_early_after_many_records, begin, end),
	    cmocka_unit_test_setup_teardown(test_a_failed_one_is_not_repeated_at_once, begin, end),
	    cmocka_unit_test_setup_teardown(test_files_that_are_not_seen, begin, end),
	    cmocka_unit_test_setup_teardown(test_one_given_up_is_retired, begin, end),
	    cmocka_unit_test_setup_teardown(test_none_from_before_a_change_is_restored, begin, end),
	    cmocka_unit_test_setup_teardown(test_a_damaged_one_is_not_renamed, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
