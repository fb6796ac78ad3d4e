/* Cuts put together: what several writers, or an epoch and a frontier, come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/cut.h"

static struct cut cut_of(const int64_t *offsets, uint32_t len)
{
	struct cut cut = {0};
	for (uint32_t i = 0; i < len; i++)
		if (offsets[i] >= 0)
			cut_set(&cut, i, offsets[i]);
	return cut;
}

static void assert_cut(struct cut *cut, const int64_t *offsets, uint32_t len)
{
	struct cut expected = cut_of(offsets, len);
	assert_true(cut_equal(cut, &expected));
	cut_fini(&expected);
	cut_fini(cut);
}

static const int64_t one[] = {5, 7, -1, 9}, other[] = {6, 3, 4, -1};

static void the_later_of_both(void **state)
{
	struct cut cut = cut_of(one, 4), by = cut_of(other, 4);
	(void)state;
	cut_raise(&cut, &by);
	assert_cut(&cut, (const int64_t[]){6, 7, 4, 9}, 4);
	cut_fini(&by);
}

/* What only one of them names is not named: it may begin at offset 0. */
static void the_earlier_of_both(void **state)
{
	struct cut cut = cut_of(one, 4), by = cut_of(other, 4), nothing = {0};
	(void)state;
	cut_lower(&cut, &by);
	assert_int_equal(cut.len, 2);
	cut_lower(&cut, &cut);
	assert_cut(&cut, (const int64_t[]){5, 3}, 2);
	cut_lower(&by, &nothing);
	assert_int_equal(by.len, 0);
	cut_fini(&by);
}

/* Each counter alone, and none into another. */
static void counters_add_up(void **state)
{
	(void)state;
	struct counters sum = {0};
	for (int i = 0; i < COUNTERS; i++) {
		struct counters single = {0};
		single.n[i] = (UINT64_C(1) << 40) + (uint64_t)i;
		counters_add(&sum, &single);
		counters_add(&sum, &single);
		for (int j = 0; j < COUNTERS; j++)
			assert_true(sum.n[j] == (j <= i ? 2 * ((UINT64_C(1) << 40) + (uint64_t)j) : 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_later_of_both), cmocka_unit_test(the_earlier_of_both),
	    cmocka_unit_test(counters_add_up)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
