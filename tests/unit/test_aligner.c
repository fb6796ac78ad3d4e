/* Alignment: a channel that delivered its barrier is closed until all have; what merges is united, never added. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/runtime/aligner.h"

static struct cut_entry first_offsets[] = {{0, 10}}, second_offsets[] = {{1, 20}}, other_offsets[] = {{0, 11}};

static struct frame_barrier barrier(uint64_t n, struct cut_entry *offsets, struct share *share)
{
	return (struct frame_barrier){.epoch = {3, n}, .cut = {offsets, 1}, .shares = {share, 1}};
}

static void test_union(void **state)
{
	struct aligner aligner;
	struct error error;
	bool aligned;
	struct share one = {1 << 16, {{5, 0, 0, 0, 1, 0}}}, two = {1 << 16 | 1, {{7, 0, 0, 0, 0, 0}}};
	(void)state;
	aligner_init(&aligner);
	for (uint32_t channel = 1; channel <= 3; channel++)
		aligner_add(&aligner, channel);
	struct frame_barrier a = barrier(1, first_offsets, &one), b = barrier(1, second_offsets, &two);
	assert_int_equal(aligner_barrier(&aligner, 2, &a, &aligned, &error), RESULT_OK);
	assert_false(aligned);
	assert_false(aligner_accepts(&aligner, 2));
	assert_true(aligner_accepts(&aligner, 1));
	assert_int_equal(aligner_barrier(&aligner, 1, &a, &aligned, &error), RESULT_OK); /* the same, on another path */
	assert_int_equal(aligner_barrier(&aligner, 3, &b, &aligned, &error), RESULT_OK);
	assert_true(aligned);
	assert_true(aligner_accepts(&aligner, 2));
	assert_int_equal(aligner.merged.cut.len, 2);
	assert_int_equal(cut_get(&aligner.merged.cut, 0, -1), 10);
	assert_int_equal(cut_get(&aligner.merged.cut, 1, -1), 20);
	assert_int_equal(aligner.merged.shares.len, 2);
	assert_int_equal(aligner.merged.shares.entries[0].counters.n[COUNTER_CONSUMED], 5);
	aligner_fini(&aligner);
}

static void test_disagreement(void **state)
{
	struct aligner aligner;
	struct error error;
	bool aligned;
	struct share share = {1 << 16, {{0}}};
	(void)state;
	for (int what = 0; what < 2; what++) {
		struct frame_barrier a = barrier(1, first_offsets, &share);
		struct frame_barrier b = what ? barrier(2, second_offsets, &share) : barrier(1, other_offsets, &share);
		aligner_init(&aligner);
		aligner_add(&aligner, 1);
		aligner_add(&aligner, 2);
		assert_int_equal(aligner_barrier(&aligner, 1, &a, &aligned, &error), RESULT_OK);
		assert_int_equal(aligner_barrier(&aligner, 2, &b, &aligned, &error), RESULT_CORRUPT);
		aligner_fini(&aligner);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_union), cmocka_unit_test(test_disagreement)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
