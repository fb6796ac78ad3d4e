/* Which facts are refused, which noted, and what is remembered from then on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/timestamp.h"
#include "services/coordinator/remembered.h"

/* One per row of the table: its name, two values, and the words of a refusal; NULL: it is noted, or what was first is kept. */
static char berlin[ZONE_RULES_MAX], lisbon[ZONE_RULES_MAX];
static const struct {
	const char *name, *was, *is, *words;
	bool kept;
} rows[] = {
    {"kafka.cluster_id", "one", "two", "'one' is remembered, now it is 'two'", false},
    {"kafka.isolation.level", "read_committed", "read_uncommitted", "isolation.level", false},
    {"kafka.plugin.library.paths", "", "x.so", "plugin.library.paths", false},
    {"kafka.retention.ms", "1000", "-1", NULL, false},
    {"time_zone.rules", berlin, lisbon, "they differ in ", false},
    {"source.start", "earliest", "latest", NULL, true},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

struct bed {
	struct arena arena;
	struct facts remember;
	struct error error;
};

static enum result compare(struct bed *bed, const char *name, const char *was, const char *is)
{
	struct fact before = {name, was}, now = {name, is};
	const struct facts remembered = {&before, was != NULL}, found = {&now, is != NULL};
	return remembered_compare(&remembered, &found, &bed->remember, &bed->arena, &bed->error);
}

static void each_row(void **state)
{
	struct error error;
	(void)state;
	assert_int_equal(time_zone_rules("Europe/Berlin", berlin, &error), RESULT_OK);
	assert_int_equal(time_zone_rules("Europe/Lisbon", lisbon, &error), RESULT_OK);
	for (size_t i = 0; i < ROWS; i++) {
		struct bed bed = {0};
		assert_int_equal(compare(&bed, rows[i].name, NULL, rows[i].is), RESULT_OK); /* new */
		assert_int_equal(bed.remember.len, 1);
		assert_string_equal(facts_get(&bed.remember, rows[i].name), rows[i].is);
		assert_int_equal(compare(&bed, rows[i].name, rows[i].is, rows[i].is), RESULT_OK); /* the same */
		assert_int_equal(bed.remember.len, 0);
		assert_int_equal(compare(&bed, rows[i].name, rows[i].was, NULL), RESULT_OK); /* not told any more */
		assert_int_equal(bed.remember.len, 0);
		enum result result = compare(&bed, rows[i].name, rows[i].was, rows[i].is);
		assert_int_equal(result, rows[i].words != NULL ? RESULT_CONFIG : RESULT_OK);
		if (rows[i].words != NULL) {
			assert_non_null(strstr(bed.error.text, rows[i].words));
			assert_non_null(strstr(bed.error.text, rows[i].name));
			assert_non_null(strstr(bed.error.text, "What to do: "));
		} else if (rows[i].kept) {
			assert_int_equal(bed.remember.len, 0);
		} else {
			assert_string_equal(facts_get(&bed.remember, rows[i].name), rows[i].is);
		}
		arena_fini(&bed.arena);
	}
}

/* Of a program that knows more: no reason to stop. */
static void others_are_left_alone(void **state)
{
	struct bed bed = {0};
	(void)state;
	assert_int_equal(compare(&bed, "table.transactions", "a", "b"), RESULT_OK);
	assert_int_equal(bed.remember.len, 0);
	arena_fini(&bed.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_row),
	    cmocka_unit_test(others_are_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
