/* A time means the same day in every row and every total, whatever way it was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/timestamp.h"

#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (24 * HOUR_US)

static struct time_zone zone_of(const char *name)
{
	struct time_zone zone;
	struct error error;
	if (time_zone_open(&zone, name, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	return zone;
}

static enum timestamp_verdict parse(struct time_zone *zone, const char *text, int64_t *wall_us, int64_t *instant_us)
{
	/* A copy of exactly its size: the sanitizer sees a byte read too far. */
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1);
	memcpy(copy, text, len);
	enum timestamp_verdict verdict = timestamp_parse(zone, copy, len, wall_us, instant_us);
	free(copy);
	return verdict;
}

struct vector {
	const char *text;
	const char *wall; /* as timestamp_print shows it */
	const char *instant; /* NULL: the same */
};

static void expect(const char *zone_name, const struct vector *vectors, size_t count)
{
	struct time_zone zone = zone_of(zone_name);
	for (size_t i = 0; i < count; i++) {
		int64_t wall_us, instant_us;
		char text[TIMESTAMP_TEXT_MAX];
		if (parse(&zone, vectors[i].text, &wall_us, &instant_us) != TIMESTAMP_OK)
			fail_msg("%s is refused", vectors[i].text);
		size_t len = timestamp_print(wall_us, text);
		assert_string_equal(text, vectors[i].wall);
		assert_int_equal(len, strlen(text));
		(void)timestamp_print(instant_us, text);
		assert_string_equal(text, vectors[i].instant ? vectors[i].instant : vectors[i].wall);
	}
}
#define EXPECT(zone, vectors) expect(zone, vectors, sizeof(vectors) / sizeof((vectors)[0]))

static void test_forms(void **state)
{
	(void)state;
	static const struct vector vectors[] = {
	    {"2024-01-15T10:00:00.123456+0000", "2024-01-15T10:00:00.123456", NULL},
	    {"2026-02-09T15:32:30.123456+0000", "2026-02-09T15:32:30.123456", NULL},
	    {"2024-01-15T10:00:00+00:00", "2024-01-15T10:00:00.000000", NULL},
	    {"2024-01-15T10:00:00+00", "2024-01-15T10:00:00.000000", NULL},
	    {"2024-01-15T10:00:00-00:00", "2024-01-15T10:00:00.000000", NULL},
	    {"2024-01-15T10:00:00Z", "2024-01-15T10:00:00.000000", NULL},
	    {"2024-01-15t10:00:00z", "2024-01-15T10:00:00.000000", NULL},
	    {"2024-01-15 10:00:00", "2024-01-15T10:00:00.000000", NULL},
	    {"2024-01-15T10:00", "2024-01-15T10:00:00.000000", NULL},
	    {"2024-01-15T10:00Z", "2024-01-15T10:00:00.000000", NULL},
	    {"2024-01-15 10:00+0530", "2024-01-15T04:30:00.000000", NULL},
	    /* fractions are cut after six digits, never rounded */
	    {"2024-01-15T10:00:00.1", "2024-01-15T10:00:00.100000", NULL},
	    {"2024-01-15T10:00:00.000001Z", "2024-01-15T10:00:00.000001", NULL},
	    {"2024-01-15T23:59:59.9999999", "2024-01-15T23:59:59.999999", NULL},
	    {"2024-01-15T23:59:59.123456789123456789123456789Z", "2024-01-15T23:59:59.123456", NULL},
	    {"2024-01-15T23:59:59.0000009Z", "2024-01-15T23:59:59.000000", NULL},
	    /* offsets that change the day, the month and the year */
	    {"2024-01-15T02:00:00+0530", "2024-01-14T20:30:00.000000", NULL},
	    {"2024-01-15T22:00:00-0530", "2024-01-16T03:30:00.000000", NULL},
	    {"2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00.000000", NULL},
	    {"2024-01-01T00:15:00+00:30", "2023-12-31T23:45:00.000000", NULL},
	    {"2024-12-31T12:00:00-23:59", "2025-01-01T11:59:00.000000", NULL},
	    {"2024-01-15T10:00:00+05:45", "2024-01-15T04:15:00.000000", NULL},
	    /* leap days */
	    {"2024-02-29T00:00:00", "2024-02-29T00:00:00.000000", NULL},
	    {"2000-02-29T12:00:00", "2000-02-29T12:00:00.000000", NULL},
	    {"2400-02-29T12:00:00", "2400-02-29T12:00:00.000000", NULL},
	    /* the limits */
	    {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000", NULL},
	    {"1969-12-31T23:30:00-01:00", "1970-01-01T00:30:00.000000", NULL},
	    {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999", NULL},
	};
	EXPECT("UTC", vectors);
	EXPECT("Etc/UTC", vectors);
}

static void test_not_times(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "now", "2024", "2024-01-15", "2024-01-15T", "2024-01-15T10",
	    "2024-01-15T10:", "2024-01-15T10:0", "2024-01-15T10:00:", "2024-01-15T10:00:0", "2024-01-15T10:00:00.",
	    "2024-01-15T10:00:00.Z", "2024-01-15T10:00:00,5", "2024-01-15T10:00.5", "2024-01-15T24:00:00",
	    "2024-01-15T23:59:60", "2024-01-15T23:60:00", "2024-00-15T10:00:00", "2024-13-15T10:00:00",
	    "2024-01-00T10:00:00", "2024-01-32T10:00:00", "2023-02-29T10:00:00", "2100-02-29T10:00:00",
	    "2024-02-30T10:00:00", "2024-04-31T10:00:00", "24-01-15T10:00:00", "02024-01-15T10:00:00",
	    "+2024-01-15T10:00:00", "-2024-01-15T10:00:00", "12024-01-15T10:00:00", "2024/01/15T10:00:00",
	    "2024-1-15T10:00:00", "2024-01-15  10:00:00", "2024-01-15_10:00:00", " 2024-01-15T10:00:00",
	    "2024-01-15T10:00:00 ", "2024-01-15T10:00:00 Z", "2024-01-15T10:00:00ZZ", "2024-01-15T10:00:00UTC",
	    "2024-01-15T10:00:00+", "2024-01-15T10:00:00+0", "2024-01-15T10:00:00+000",
	    "2024-01-15T10:00:00+00:", "2024-01-15T10:00:00+00:0", "2024-01-15T10:00:00+24:00",
	    "2024-01-15T10:00:00+00:60", "2024-01-15T10:00:00+00:00:00", "2024-01-15T10:00:00*0000",
	    "2024-01-15T1a:00:00", "2o24-01-15T10:00:00", "2024-01-15T-1:00:00", "20240115T100000Z", "1705312800"};
	struct time_zone zone = zone_of("UTC");
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		int64_t wall_us, instant_us;
		if (parse(&zone, texts[i], &wall_us, &instant_us) != TIMESTAMP_SYNTAX)
			fail_msg("'%s' is not refused", texts[i]);
	}
	int64_t wall_us, instant_us;
	assert_int_equal(timestamp_parse(&zone, "2024-01-15T10:00:00\0", 20, &wall_us, &instant_us), TIMESTAMP_SYNTAX);
}

static void test_out_of_range(void **state)
{
	(void)state;
	static const char *const texts[] = {"1969-12-31T23:59:59.999999Z", "1970-01-01T00:59:59+01:00",
	    "0000-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "1900-02-28T00:00:00", "9999-12-31T23:30:00-00:30"};
	struct time_zone zone = zone_of("UTC");
	int64_t wall_us, instant_us;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_int_equal(parse(&zone, texts[i], &wall_us, &instant_us), TIMESTAMP_RANGE);

	/* The limit is the wall clock's, not the instant's. */
	zone = zone_of("Europe/Berlin");
	assert_int_equal(parse(&zone, "9999-12-31T23:30:00Z", &wall_us, &instant_us), TIMESTAMP_RANGE);
	assert_int_equal(parse(&zone, "1969-12-31T23:30:00Z", &wall_us, &instant_us), TIMESTAMP_OK);
	assert_int_equal(wall_us, 30 * MINUTE_US);
	assert_int_equal(instant_us, -30 * MINUTE_US);
	zone = zone_of("America/New_York");
	assert_int_equal(parse(&zone, "1970-01-01T04:30:00Z", &wall_us, &instant_us), TIMESTAMP_RANGE);
	assert_int_equal(parse(&zone, "9999-12-31T23:30:00", &wall_us, &instant_us), TIMESTAMP_OK);
	assert_int_equal(instant_us - wall_us, 5 * HOUR_US);
}

static void test_numbers(void **state)
{
	(void)state;
	static const struct {
		int64_t number;
		enum timestamp_verdict verdict;
		int64_t wall_us;
	} vectors[] = {
	    {0, TIMESTAMP_OK, 0},
	    {1705312800, TIMESTAMP_OK, 1705312800000000},
	    {1705312800123, TIMESTAMP_OK, 1705312800123000},
	    {1705312800123456, TIMESTAMP_OK, 1705312800123456},
	    {99999999999, TIMESTAMP_OK, 99999999999000000},
	    {100000000000, TIMESTAMP_OK, 100000000000000},
	    {99999999999999, TIMESTAMP_OK, 99999999999999000},
	    {100000000000000, TIMESTAMP_OK, 100000000000000},
	    {253402300799999999, TIMESTAMP_OK, 253402300799999999},
	    {253402300800000000, TIMESTAMP_RANGE, 0},
	    {INT64_MAX, TIMESTAMP_RANGE, 0},
	    {-1, TIMESTAMP_RANGE, 0},
	    {-1705312800000, TIMESTAMP_RANGE, 0},
	    {INT64_MIN, TIMESTAMP_RANGE, 0},
	};
	struct time_zone zone = zone_of("UTC");
	int64_t wall_us, instant_us;
	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		assert_int_equal(
		    timestamp_from_number(&zone, vectors[i].number, &wall_us, &instant_us), vectors[i].verdict);
		if (vectors[i].verdict == TIMESTAMP_OK) {
			assert_int_equal(wall_us, vectors[i].wall_us);
			assert_int_equal(instant_us, vectors[i].wall_us);
		}
	}
	zone = zone_of("Europe/Berlin");
	assert_int_equal(timestamp_from_number(&zone, 1720000000, &wall_us, &instant_us), TIMESTAMP_OK);
	assert_int_equal(instant_us, 1720000000 * SECOND_US);
	assert_int_equal(wall_us, 1720007200 * SECOND_US);
	assert_int_equal(timestamp_from_number(&zone, -1800, &wall_us, &instant_us), TIMESTAMP_OK);
	assert_int_equal(wall_us, 30 * MINUTE_US);
}

static void test_berlin(void **state)
{
	(void)state;
	static const struct vector vectors[] = {
	    {"2024-01-15T10:00:00Z", "2024-01-15T11:00:00.000000", "2024-01-15T10:00:00.000000"},
	    {"2024-07-15T10:00:00Z", "2024-07-15T12:00:00.000000", "2024-07-15T10:00:00.000000"},
	    {"2024-07-15T23:00:00Z", "2024-07-16T01:00:00.000000", "2024-07-15T23:00:00.000000"},
	    {"2024-07-15T12:00:00", "2024-07-15T12:00:00.000000", "2024-07-15T10:00:00.000000"},
	    {"2024-01-15T00:30:00", "2024-01-15T00:30:00.000000", "2024-01-14T23:30:00.000000"},
	    {"2024-07-15T12:00:00+0200", "2024-07-15T12:00:00.000000", "2024-07-15T10:00:00.000000"},
	    /* spring: 02:00 to 03:00 on 2024-03-31 does not exist; it is read with the offset before, +1 */
	    {"2024-03-31T01:59:59.999999", "2024-03-31T01:59:59.999999", "2024-03-31T00:59:59.999999"},
	    {"2024-03-31T02:00:00", "2024-03-31T02:00:00.000000", "2024-03-31T01:00:00.000000"},
	    {"2024-03-31T02:30:00", "2024-03-31T02:30:00.000000", "2024-03-31T01:30:00.000000"},
	    {"2024-03-31T03:00:00", "2024-03-31T03:00:00.000000", "2024-03-31T01:00:00.000000"},
	    {"2024-03-31T00:59:59.999999Z", "2024-03-31T01:59:59.999999", "2024-03-31T00:59:59.999999"},
	    {"2024-03-31T01:00:00Z", "2024-03-31T03:00:00.000000", "2024-03-31T01:00:00.000000"},
	    /* autumn: 02:00 to 03:00 on 2024-10-27 comes twice; it is read with the earlier offset, +2 */
	    {"2024-10-27T01:59:59", "2024-10-27T01:59:59.000000", "2024-10-26T23:59:59.000000"},
	    {"2024-10-27T02:00:00", "2024-10-27T02:00:00.000000", "2024-10-27T00:00:00.000000"},
	    {"2024-10-27T02:59:59.999999", "2024-10-27T02:59:59.999999", "2024-10-27T00:59:59.999999"},
	    {"2024-10-27T03:00:00", "2024-10-27T03:00:00.000000", "2024-10-27T02:00:00.000000"},
	    {"2024-10-27T00:30:00Z", "2024-10-27T02:30:00.000000", "2024-10-27T00:30:00.000000"},
	    {"2024-10-27T01:30:00Z", "2024-10-27T02:30:00.000000", "2024-10-27T01:30:00.000000"},
	    /* beyond the zone file's own list of changes */
	    {"2150-07-01T12:00:00Z", "2150-07-01T14:00:00.000000", "2150-07-01T12:00:00.000000"},
	};
	EXPECT("Europe/Berlin", vectors);
}

/* What the C library shows at an instant. */
static int64_t library_wall(int64_t instant_us)
{
	time_t second = (time_t)(instant_us / SECOND_US);
	struct tm broken_down;
	assert_non_null(localtime_r(&second, &broken_down));
	return (int64_t)timegm(&broken_down) * SECOND_US + instant_us % SECOND_US;
}

/* The slow way: every half minute that could show this wall clock is looked at. */
static int64_t slow_instant(int64_t wall_us)
{
	int64_t before_us = 0;
	for (int64_t instant_us = wall_us - 26 * HOUR_US; instant_us < wall_us + 26 * HOUR_US;
	     instant_us += 30 * SECOND_US) {
		int64_t shown_us = library_wall(instant_us);
		if (shown_us == wall_us)
			return instant_us; /* the first: the earlier offset */
		if (shown_us > wall_us)
			break;
		before_us = shown_us - instant_us;
	}
	return wall_us - before_us;
}

static void test_zones_against_library(void **state)
{
	(void)state;
	/* Half an hour of summer, 45 minutes, a day left out, a change at 00:44:30, and the plain ones. */
	static const struct {
		const char *zone;
		int64_t around; /* a change, or 0 */
	} cases[] = {
	    {"Europe/Berlin", 1711846800},
	    {"Europe/Berlin", 1729990800},
	    {"America/New_York", 1710054000},
	    {"Australia/Lord_Howe", 1712415600},
	    {"Australia/Lord_Howe", 1728142200},
	    {"Asia/Kathmandu", 504901800},
	    {"Africa/Monrovia", 63593070},
	    {"America/St_Johns", 1710048600},
	    {"Pacific/Chatham", 1712412000},
	    {"Africa/Casablanca", 1712455200},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct time_zone zone = zone_of(cases[i].zone);
		unsigned seed = (unsigned)i + 1;
		/* Every half minute of the twelve hours around it, in no order, since the cache remembers the last one. */
		for (int round = 0; round < 1440; round++) {
			int64_t near_us = (round * 7 % 1440 - 720) * 30 * SECOND_US;
			int64_t instant_us = cases[i].around * SECOND_US + near_us;
			assert_int_equal(time_zone_wall(&zone, instant_us), library_wall(instant_us));
			int64_t wall_us = cases[i].around * SECOND_US + (rand_r(&seed) % 2880 - 1440) * 30 * SECOND_US;
			if (round % 12 == 0)
				assert_int_equal(time_zone_instant(&zone, wall_us), slow_instant(wall_us));
		}
		/* The cache must not answer for what lies next to it either. */
		for (int round = 0; round < 1440; round++) {
			int64_t instant_us = cases[i].around * SECOND_US + (round - 720) * 30 * SECOND_US;
			assert_int_equal(time_zone_wall(&zone, instant_us), library_wall(instant_us));
		}
	}
}

static void test_skipped_day(void **state)
{
	(void)state;
	/* Samoa had no 30 December 2011. Read with the offset before (-10), it is the instants of the 31st. */
	static const struct vector vectors[] = {
	    {"2011-12-29T23:59:59", "2011-12-29T23:59:59.000000", "2011-12-30T09:59:59.000000"},
	    {"2011-12-30T12:00:00", "2011-12-30T12:00:00.000000", "2011-12-30T22:00:00.000000"},
	    {"2011-12-31T00:00:00", "2011-12-31T00:00:00.000000", "2011-12-30T10:00:00.000000"},
	};
	EXPECT("Pacific/Apia", vectors);
}

static void test_unknown_zones(void **state)
{
	(void)state;
	static const char *const names[] = {"", "Mars/Olympus", "Europe/Berln", "europe", "Europe", "../etc/passwd",
	    "Europe/../UTC", "/usr/share/zoneinfo/UTC", ":UTC", "localtime", "right/UTC", "zone.tab", "UTC0",
	    "Europe/Berlin ", "CEST-1", "Europe//Berlin/",
	    "A/very/long/name/that/no/zone/has/and/that/would/not/fit/in/any/place/kept/for/it"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct time_zone zone;
		struct error error;
		if (time_zone_open(&zone, names[i], &error) != RESULT_CONFIG)
			fail_msg("'%s' is not refused", names[i]);
		assert_non_null(strstr(error.text, "unknown time zone"));
	}
	struct error error;
	assert_int_equal(time_zone_check("Europe/Berlin", &error), RESULT_OK);
	assert_int_equal(time_zone_check("Europe/Bonn", NULL), RESULT_CONFIG);
}

static void test_days(void **state)
{
	(void)state;
	/* Every day of the 8030 years, one after the other, and against the C library. */
	struct civil expected = {1970, 1, 1};
	for (int32_t day = 0; day < 2932897; day++) {
		struct civil civil = civil_from_day(day);
		assert_true(civil.year == expected.year && civil.month == expected.month && civil.day == expected.day);
		assert_true(day_from_civil(civil) == day);
		static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
		bool leap = expected.year % 400 == 0 || (expected.year % 4 == 0 && expected.year % 100 != 0);
		if (++expected.day > lengths[expected.month - 1] + (leap && expected.month == 2)) {
			expected.day = 1;
			if (++expected.month > 12) {
				expected.month = 1;
				expected.year++;
			}
		}
	}
	assert_int_equal(expected.year, 10000);
	for (int32_t day = -800000; day < 0; day += 77) {
		time_t second = (time_t)day * 86400;
		struct tm broken_down;
		assert_non_null(gmtime_r(&second, &broken_down));
		struct civil civil = civil_from_day(day);
		assert_int_equal(civil.year, broken_down.tm_year + 1900);
		assert_int_equal(civil.month, broken_down.tm_mon + 1);
		assert_int_equal(civil.day, broken_down.tm_mday);
		assert_int_equal(day_from_civil(civil), day);
	}
	assert_int_equal(day_of(0), 0);
	assert_int_equal(day_of(DAY_US - 1), 0);
	assert_int_equal(day_of(DAY_US), 1);
	assert_int_equal(day_of(-1), -1);
	assert_int_equal(day_of(-DAY_US), -1);
	assert_int_equal(day_of(-DAY_US - 1), -2);
}

static void test_print(void **state)
{
	(void)state;
	char text[TIMESTAMP_TEXT_MAX];
	assert_int_equal(day_print(19737, text), 10);
	assert_string_equal(text, "2024-01-15");
	(void)day_print(0, text);
	assert_string_equal(text, "1970-01-01");
	assert_int_equal(timestamp_print(-1, text), 26);
	assert_string_equal(text, "1969-12-31T23:59:59.999999");
	assert_true(timestamp_print(INT64_MAX, text) < TIMESTAMP_TEXT_MAX);
	assert_string_equal(text, "294247-01-10T04:00:54.775807");
	assert_true(timestamp_print(INT64_MIN, text) < TIMESTAMP_TEXT_MAX);
}

static void test_clocks(void **state)
{
	(void)state;
	int64_t wall = (int64_t)time(NULL) * SECOND_US;
	int64_t now = clock_realtime_us();
	assert_true(now >= wall - SECOND_US && now < wall + 60 * SECOND_US);
	uint64_t first = clock_monotonic_us(), second = clock_monotonic_us();
	assert_true(second >= first && second - first < 60 * 1000000);
}

/* The same rules under two names; others; and a difference of one year. */
static void the_rules_of_a_zone(void **state)
{
	char kolkata[ZONE_RULES_MAX], again[ZONE_RULES_MAX], utc[ZONE_RULES_MAX], other[ZONE_RULES_MAX], words[64];
	struct error error;
	(void)state;
	assert_int_equal(time_zone_rules("Asia/Kolkata", kolkata, &error), RESULT_OK);
	assert_int_equal(time_zone_rules("Asia/Calcutta", again, &error), RESULT_OK);
	assert_string_equal(kolkata, again);
	assert_int_equal(strlen(kolkata), ZONE_RULES_MAX - 1);
	assert_int_equal(time_zone_rules("UTC", utc, &error), RESULT_OK);
	assert_int_equal(time_zone_rules("Asia/Dubai", other, &error), RESULT_OK);
	assert_string_not_equal(utc, other);
	memcpy(other, kolkata, sizeof other);
	other[4 * (2024 - ZONE_FIRST_YEAR)] ^= 1;
	zone_rules_difference(kolkata, other, words, sizeof words);
	assert_string_equal(words, "they differ in 2024");
	other[4 * (2022 - ZONE_FIRST_YEAR) + 3] ^= 1;
	zone_rules_difference(kolkata, other, words, sizeof words);
	assert_string_equal(words, "they differ in 2022 to 2024");
	zone_rules_difference("", other, words, sizeof words);
	assert_string_equal(words, "they differ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_not_times),
	    cmocka_unit_test(test_out_of_range),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_berlin),
	    cmocka_unit_test(test_zones_against_library),
	    cmocka_unit_test(test_skipped_day),
	    cmocka_unit_test(test_unknown_zones),
	    cmocka_unit_test(test_days),
	    cmocka_unit_test(test_print),
	    cmocka_unit_test(test_clocks),
	    cmocka_unit_test(the_rules_of_a_zone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
