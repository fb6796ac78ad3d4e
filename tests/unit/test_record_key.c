/* Protects: two keys are kept alike exactly if they are the same text, whatever looks nearly like a UUID. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/record_key.h"

#define UUID "0f9e8d7c-6b5a-4321-8fed-cba987654321"

static size_t check(const char *text, size_t len)
{
	uint8_t room[300];
	struct buffer again = {0};
	struct bytes packed = record_key_pack((struct bytes){(const uint8_t *)text, len}, room);
	assert_true(record_key_unpack(packed, &again));
	assert_int_equal(again.len, len);
	assert_memory_equal(again.data, text, len);
	buffer_fini(&again);
	return packed.len;
}

static void test_uuids_are_short(void **state)
{
	(void)state;
	assert_int_equal(check(UUID, 36), 17);
	assert_int_equal(check("00000000-0000-0000-0000-000000000000", 36), 17);
	assert_int_equal(check("ffffffff-ffff-ffff-ffff-ffffffffffff", 36), 17);
}

/* Every text that differs from a UUID in one place stays itself. */
static void test_near_misses_stay_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < 36; i++)
		for (int c = 0; c < 256; c++) {
			char text[] = UUID;
			text[i] = (char)c;
			bool uuid = i == 8 || i == 13 || i == 18 || i == 23
			                ? c == '-'
			                : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
			assert_int_equal(check(text, 36), uuid ? 17 : 37);
		}
	assert_int_equal(check(UUID, 35), 36);
	assert_int_equal(check(UUID "0", 37), 38);
	assert_int_equal(check("0F9E8D7C-6B5A-4321-8FED-CBA987654321", 36), 37);
}

static void test_other_texts(void **state)
{
	(void)state;
	assert_int_equal(check("tx-00000017", 11), 12);
	assert_int_equal(check("\x01"
	                       "0123456789abcdef",
	                     17),
	    18); /* looks like a kept UUID */
	assert_int_equal(check("", 0), 1);
}

static void test_what_is_no_kept_key(void **state)
{
	static const uint8_t none[] = {2, 'a'}, shorter[16] = {1}, longer[18] = {1};
	struct buffer text = {0};
	(void)state;
	assert_false(record_key_unpack((struct bytes){none, 0}, &text));
	assert_false(record_key_unpack((struct bytes){none, sizeof none}, &text));
	assert_false(record_key_unpack((struct bytes){shorter, sizeof shorter}, &text));
	assert_false(record_key_unpack((struct bytes){longer, sizeof longer}, &text));
	assert_int_equal(text.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_uuids_are_short),
	    cmocka_unit_test(test_near_misses_stay_text),
	    cmocka_unit_test(test_other_texts),
	    cmocka_unit_test(test_what_is_no_kept_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
