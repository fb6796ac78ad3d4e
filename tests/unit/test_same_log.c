/* Protects: no place is written down of another log than the one that was read. What is gone says nothing, and is no reason to refuse; one
 * record that differs is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "services/sluicectl/same_log.h"

static enum result look(const struct recall *recalls, uint32_t len, struct same_log *found, struct error *error)
{
	static char topic[] = "sales";
	struct recall copies[4];
	const struct pipeline pipeline = {.source = {.topic = topic}};
	memcpy(copies, recalls, len * sizeof *copies);
	const struct description description = {.partitions = 4, .recalls = copies, .recalls_len = len};
	*error = (struct error){0};
	return same_log_check(&pipeline, &description, found, error);
}

static const struct recall same = {{0, 466, 7}, RECALLED_THERE, 7, 0};
static const struct recall gone = {{1, 467, 7}, RECALLED_GONE, 0, 0};

static void test_same(void **state)
{
	const struct recall recalls[] = {same, gone};
	struct same_log found;
	struct error error;
	(void)state;
	assert_int_equal(look(recalls, 0, &found, &error), RESULT_OK);
	assert_int_equal(look(recalls, 2, &found, &error), RESULT_OK);
	assert_int_equal(found.same, 1);
	assert_int_equal(found.gone, 1);
}

static void test_another(void **state)
{
	const struct recall others[] = {{{2, 468, 7}, RECALLED_THERE, 8, 0}, {{2, 468, 7}, RECALLED_SHORT, 0, 468},
	    {{2, 468, 7}, RECALLED_ABSENT, 0, 0}};
	struct same_log found;
	struct error error;
	(void)state;
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		const struct recall recalls[] = {same, gone, others[i]};
		assert_int_equal(look(recalls, 3, &found, &error), RESULT_CONFIG);
		if (strstr(error.text, "topic sales is not the one that was read: partition 2") == NULL ||
		    strstr(error.text, "offset 468") == NULL || strstr(error.text, "What to do: ") == NULL)
			fail_msg("%s", error.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_same), cmocka_unit_test(test_another)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
