/* Places of rows: what is remembered, what is not believed, and how often the index is used. */
#include "services/sink/postgres_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct places places;

static const char *printed(uint64_t hash)
{
	static char text[PLACE_TEXT_MAX];
	size_t len = places_print(&places, hash, text);
	assert_int_equal(len, strlen(text));
	return text;
}

static void test_remembered(void **state)
{
	struct way way = {0};
	(void)state;
	places_forget(&places);
	assert_string_equal(printed(7), PLACE_NOWHERE);
	places_learn(&places, 7, "(4294967295,65535)", &way);
	places_learn(&places, 8, "(0,1)", &way);
	assert_string_equal(printed(7), "(4294967295,65535)");
	assert_string_equal(printed(8), "(0,1)");
	/* The same slot, another key. */
	places_learn(&places, 7 + PLACES, "(3,4)", &way);
	assert_string_equal(printed(7), PLACE_NOWHERE);
	assert_string_equal(printed(7 + PLACES), "(3,4)");
	assert_false(way.reused);
	places_forget(&places);
	assert_string_equal(printed(8), PLACE_NOWHERE);
	assert_string_equal(printed(0), PLACE_NOWHERE);
}

static void test_not_believed(void **state)
{
	static const char *const texts[] = {"", "(", "(1", "(1,", "(1,2", "(1,2) ", "(1,2))", "1,2", "(-1,2)", "(1,-2)",
	    "( 1,2)", "(4294967296,1)", "(1,65536)", "(99999999999999999999999,1)", "(1,0)", "(a,b)", "(1,2)', 'x"};
	struct way way = {0};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		places_forget(&places);
		places_learn(&places, 5, "(9,9)", &way);
		places_learn(&places, 5, texts[i], &way);
		assert_string_equal(printed(5), PLACE_NOWHERE);
	}
}

static unsigned by_place(struct way *way)
{
	unsigned taken = 0;
	while (way_is_place(way))
		taken++;
	return taken;
}

static void test_patience(void **state)
{
	struct way way = {0};
	(void)state;
	places_forget(&places);
	places_learn(&places, 1, "(5,5)", &way);
	assert_false(way_is_place(&way)); /* the first time nothing is known anyway */
	assert_int_equal(by_place(&way), 2);
	assert_int_equal(by_place(&way), 4);
	places_learn(&places, 1, "(5,6)", &way);
	places_learn(&places, 1, "(6,1)", &way);
	assert_int_equal(by_place(&way), 8);
	places_learn(&places, 1, "(6,0)", &way); /* of no use, but not seen before either */
	places_learn(&places, 1, "(6,3)", &way);
	places_learn(&places, 1, "(6,2)", &way); /* space is used again */
	places_learn(&places, 1, "(7,1)", &way);
	assert_int_equal(by_place(&way), 16);
	assert_int_equal(by_place(&way), 2);
	for (int i = 0; i < 40; i++)
		(void)by_place(&way);
	assert_int_equal(by_place(&way), 4096);
	places_learn(&places, 1, "(2,1)", &way);
	(void)by_place(&way);
	assert_int_equal(by_place(&way), 2);
}

static void at(uint64_t hash, unsigned block, unsigned line)
{
	char text[PLACE_TEXT_MAX];
	snprintf(text, sizeof text, "(%u,%u)", block, line);
	places_learn(&places, hash, text, NULL);
}

/* Rows that share a page are brought apart before it is full, and only while no space is used again. */
static void test_apart(void **state)
{
	const uint64_t hashes[] = {1, 2, 3};
	struct way way = {.patience = 4096};
	(void)state;
	places_forget(&places);
	assert_int_equal(places_apart(&places, hashes, 3, &way), 0);
	places_learn(&places, 1, "(5,120)", &way);
	assert_int_equal(way.lines, 0);
	places_learn(&places, 1, "(6,1)", &way);
	assert_int_equal(way.lines, 120);
	assert_false(way.reused);

	at(1, 7, 79);
	at(2, 7, 78);
	at(3, 7, 77);
	assert_int_equal(places_apart(&places, hashes, 3, &way), 0);
	at(2, 7, 80);
	assert_int_equal(places_apart(&places, hashes, 3, &way), 2);
	at(2, 8, 1);
	assert_int_equal(places_apart(&places, hashes, 3, &way), 0);
	at(1, 7, 81);
	assert_int_equal(places_apart(&places, hashes, 3, &way), 1);
	at(1, 8, 2);
	at(3, 7, 119); /* alone on its page, it may fill it */
	assert_int_equal(places_apart(&places, hashes, 3, &way), 0);
	assert_int_equal(way.lines, 120); /* what was moved says nothing of what fits */

	at(1, 7, 120);
	assert_int_equal(places_apart(&places, hashes, 3, &way), 1);
	way.patience = 32;
	assert_int_equal(places_apart(&places, hashes, 3, &way), 0);
	way.patience = 64;
	assert_int_equal(places_apart(&places, hashes, 3, &way), 1);
	at(3, 0, 0); /* nowhere */
	assert_int_equal(places_apart(&places, hashes, 3, &way), 0);

	uint64_t many[PLACES_APART_MAX + 1];
	for (uint64_t i = 0; i <= PLACES_APART_MAX; i++) {
		many[i] = i + 1;
		at(i + 1, 9, 100);
	}
	assert_int_equal(places_apart(&places, many, PLACES_APART_MAX, &way), 1);
	assert_int_equal(places_apart(&places, many, PLACES_APART_MAX + 1, &way), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_remembered),
	    cmocka_unit_test(test_not_believed),
	    cmocka_unit_test(test_patience),
	    cmocka_unit_test(test_apart),
	};
	return cmocka_run_group_tests_name("postgres_places", tests, NULL, NULL);
}
