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

static struct marks marks_of(const char *const texts[], uint32_t partitions)
{
	struct marks marks = {0};
	for (uint32_t p = 0; p < partitions; p++)
		assert_true(texts[p] == NULL || marks_add_text(&marks, p, texts[p]));
	return marks;
}

static void assert_marks(const struct marks *marks, const char *text)
{
	struct buffer printed = {0};
	marks_print(marks, &printed);
	buffer_append(&printed, "", 1);
	assert_string_equal((const char *)printed.data, text);
	buffer_fini(&printed);
}

#define MARK "00c0ffee00c0ffee"

/* One or two per partition, as they are kept in databases. */
static void marks_are_written_and_read(void **state)
{
	static const char *const bad[] = {"", "7", "7:", "7:" MARK ",", "7:" MARK "x", ",7:" MARK, "7:" MARK ",8",
	    "-1:" MARK, "7:c0ffee", "7:" MARK " "};
	struct marks marks = marks_of((const char *const[]){"7:" MARK ",11:" MARK, NULL, "0:" MARK}, 3), none = {0};
	(void)state;
	assert_int_equal(marks.len, 3);
	assert_marks(&marks, "{\"0\": \"7:" MARK ",11:" MARK "\", \"2\": \"0:" MARK "\"}");
	assert_marks(&none, "{}");
	marks_fini(&marks);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(marks_add_text(&marks, 0, bad[i]));
	marks_fini(&marks);
}

/* Partition by partition, both marks together. */
static void later_marks_stay(void **state)
{
	struct marks marks = marks_of((const char *const[]){"7:" MARK ",11:" MARK, "5:" MARK, NULL, "1:" MARK}, 4);
	struct marks by = marks_of((const char *const[]){"8:" MARK ",10:" MARK, "4:" MARK ",6:" MARK, "3:" MARK}, 3);
	(void)state;
	marks_raise(&marks, &by);
	assert_marks(&marks, "{\"0\": \"7:" MARK ",11:" MARK "\", \"1\": \"4:" MARK ",6:" MARK "\", \"2\": \"3:" MARK
	                     "\", \"3\": \"1:" MARK "\"}");
	marks_fini(&marks);
	marks_fini(&by);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_later_of_both), cmocka_unit_test(the_earlier_of_both),
	    cmocka_unit_test(counters_add_up), cmocka_unit_test(marks_are_written_and_read),
	    cmocka_unit_test(later_marks_stay)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
