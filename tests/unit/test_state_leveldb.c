/* Protects: after any restore an actor's state is exactly what its checkpoint held, whatever the cache of this machine was;
 * what a checkpoint that was given up had changed is in the next one; a damaged file is noticed. */
#include "tests/unit/state_bed.h"

static void test_nothing_at_first(void **state)
{
	struct bed *bed = *state;
	start(bed, 1, 0, true);
	change_some(bed, 100);
	check_all(bed);
}

/* With the cache, without it, and again: always what the checkpoint held, never what came after it. */
static void test_restore_is_exact(void **state)
{
	struct bed *bed = *state;
	start(bed, 2, 0, true);
	for (int round = 0; round < 12; round++) {
		change_some(bed, 60);
		uint32_t n = checkpoint(bed, true);
		check_all(bed);
		change_some(bed, 40); /* lost */
		check_all(bed);
		settle_for(bed, 30);
		start(bed, 2, n, round % 3 != 1);
	}
}

/* Many checkpoints in a row: files are merged, and older ones stay whole. */
static void test_long_chain_and_fallback(void **state)
{
	struct bed *bed = *state;
	start(bed, 1, 0, true);
	for (int i = 0; i < 40; i++) {
		change_some(bed, 20);
		(void)checkpoint(bed, true);
	}
	struct frame_manifest manifest;
	struct error error;
	bool found, whole;
	assert_int_equal(
	    bed->store->ops->get_manifest(bed->store, epoch(bed->n), &bed->arena, &manifest, &found, &error),
	    RESULT_OK);
	assert_true(found && manifest.files.len < 12);
	for (uint32_t n = bed->n; n > bed->n - 5; n--) {
		assert_int_equal(
		    bed->store->ops->get_manifest(bed->store, epoch(n), &bed->arena, &manifest, &found, &error),
		    RESULT_OK);
		assert_int_equal(bed->store->ops->check_files(bed->store, &manifest.files, &whole, &error), RESULT_OK);
		assert_true(whole);
		start(bed, 1, n, true);
	}
}

static void test_given_up_is_in_the_next(void **state)
{
	struct bed *bed = *state;
	start(bed, 1, 0, true);
	change_some(bed, 50);
	(void)checkpoint(bed, true);
	change_some(bed, 50);
	(void)checkpoint(bed, false);
	change_some(bed, 50);
	(void)checkpoint(bed, false);
	check_all(bed);
	change_some(bed, 50);
	uint32_t n = checkpoint(bed, true);
	check_all(bed);
	start(bed, 1, n, false);
}

static void test_other_parallelism(void **state)
{
	static const uint32_t actors[] = {1, 2, 3, 1, 3, 2, 1};
	struct bed *bed = *state;
	uint32_t n = 0;
	for (size_t i = 0; i < sizeof actors / sizeof *actors; i++) {
		start(bed, actors[i], n, true);
		for (int k = 0; k < 5; k++) {
			change_some(bed, 30);
			n = checkpoint(bed, true);
		}
		check_all(bed);
		settle(bed);
		close_actors(bed);
	}
}

static void test_damage_is_noticed(void **state)
{
	struct bed *bed = *state;
	char path[256];
	start(bed, 1, 0, true);
	change_some(bed, 100);
	uint32_t good = checkpoint(bed, true);
	change_some(bed, 100);
	uint32_t bad = checkpoint(bed, true);
	close_actors(bed);
	folder_remove(bed->cache);
	(void)snprintf(path, sizeof path, "%s/shop/totals/checkpoints/1.%u/2.0", bed->checkpoints, bad);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, 40, SEEK_SET), 0);
	assert_int_not_equal(fputc('#', file), EOF);
	assert_int_equal(fclose(file), 0);
	open_actors(bed, 1);
	assert_int_equal(restore(bed, bad), STATE_DAMAGED);
	start(bed, 1, good, true);
}

/* A file is in the way where a folder has to be: the checkpoint fails, the attempt goes on, and nothing is lost. */
static void test_storage_fails_for_a_while(void **state)
{
	struct bed *bed = *state;
	struct state_event event;
	char path[256];
	start(bed, 1, 0, true);
	change_some(bed, 100);
	(void)snprintf(path, sizeof path, "%s/shop/totals/checkpoints", bed->checkpoints);
	assert_int_equal(remove(path), 0); /* the folder, which is empty */
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_true(state_freeze(bed->actors[0], epoch(++bed->n), epoch(0)));
	assert_int_equal(await(bed->actors[0], &event), STATE_NOT_WRITTEN);
	assert_int_equal(remove(path), 0);
	change_some(bed, 20);
	uint32_t n = checkpoint(bed, true);
	start(bed, 1, n, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_nothing_at_first, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_restore_is_exact, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_long_chain_and_fallback, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_given_up_is_in_the_next, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_other_parallelism, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_damage_is_noticed, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_storage_fails_for_a_while, open_bed, close_bed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
