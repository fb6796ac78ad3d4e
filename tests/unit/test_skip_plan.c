/* Protects: a skip never goes back, nor to where the log has nothing, and moves only what has to move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/sluicectl/skip.h"

/* The job is at 10, 20 and 30; the log holds 15 to 40, 5 to 40, 30 to 30, and 7 to 9 of a partition that the job does not know. */
static struct cut_entry cut_entries[] = {{0, 10}, {1, 20}, {2, 30}};
static struct cut_entry begin_entries[] = {{0, 15}, {1, 5}, {2, 30}, {3, 7}};
static struct cut_entry end_entries[] = {{0, 40}, {1, 40}, {2, 30}, {3, 9}};
static const struct cut at = {cut_entries, 3}, begins = {begin_entries, 4}, ends = {end_entries, 4};

/* due: "0:10-15 3:0-7", or words of the refusal. */
static void expect(const char *to, enum result code, const char *due)
{
	struct skip_wish wish;
	struct skips skips = {0};
	struct error error = {0};
	struct buffer found = {0};
	enum result result = skip_wish_parse(to, &wish, &error);
	if (result == RESULT_OK)
		result = skip_plan(&wish, &at, &begins, &ends, &skips, &error);
	for (uint32_t i = 0; i < skips.len; i++)
		buffer_printf(&found, "%s%u:%lld-%lld", i > 0 ? " " : "", skips.entries[i].partition,
		    (long long)skips.entries[i].from, (long long)skips.entries[i].to);
	buffer_append(&found, "", 1);
	if (result != code)
		fail_msg("--to %s: %s, %s", to, result_name(result), error.text);
	if (code == RESULT_OK)
		assert_string_equal((const char *)found.data, due);
	else if (strstr(error.text, due) == NULL)
		fail_msg("--to %s: %s", to, error.text);
	buffer_fini(&found);
	free(skips.entries);
	cut_fini(&wish.to);
}

static void earliest_moves_what_is_gone(void **state)
{
	(void)state;
	expect("earliest", RESULT_OK, "0:10-15 3:0-7");
}

static void offsets_move_what_they_name(void **state)
{
	(void)state;
	expect("0:15", RESULT_OK, "0:10-15");
	expect("1:40,0:16", RESULT_OK, "0:10-16 1:20-40");
	expect("1:20", RESULT_OK, ""); /* it is there already */
	expect("2:30", RESULT_OK, "");
	expect("3:9", RESULT_OK, "3:0-9");
}

static void never_back_and_never_beyond(void **state)
{
	(void)state;
	expect("1:19", RESULT_CONFIG, "never goes back to 19");
	expect("1:0", RESULT_CONFIG, "never goes back");
	expect("1:41", RESULT_CONFIG, "ends at offset 40");
	expect("2:31", RESULT_CONFIG, "ends at offset 30");
	expect("0:14", RESULT_CONFIG, "begins at offset 15");
	expect("0:11,1:30", RESULT_CONFIG, "begins at offset 15");
	expect("4:0", RESULT_CONFIG, "no partition 4");
}

static void what_is_no_place_is_refused(void **state)
{
	static const char *const wrong[] = {"", "latest", "Earliest", "0", "0:", ":1", "0:1,", ",0:1", "0:1,,1:2",
	    "0:-1", "-1:5", "0:1 ", "0:1,0:2", "0:9223372036854775807", "0:9223372036854775808",
	    "0:99999999999999999999", "2147483648:1", "0:0x10", "0:1;1:2"};
	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		expect(wrong[i], RESULT_CONFIG, "it is earliest, or an offset");
}

static void a_cut_is_moved(void **state)
{
	(void)state;
	struct cut cut = {0};
	struct skip entries[] = {{0, 10, 15}, {3, 0, 7}};
	const struct skips skips = {entries, 2};
	cut_copy(&cut, &at);
	skip_apply(&skips, &cut);
	assert_int_equal(cut.len, 4);
	assert_int_equal(cut_get(&cut, 0, -1), 15);
	assert_int_equal(cut_get(&cut, 1, -1), 20);
	assert_int_equal(cut_get(&cut, 3, -1), 7);
	cut_fini(&cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(earliest_moves_what_is_gone),
	    cmocka_unit_test(offsets_move_what_they_name),
	    cmocka_unit_test(never_back_and_never_beyond),
	    cmocka_unit_test(what_is_no_place_is_refused),
	    cmocka_unit_test(a_cut_is_moved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
