#include "common/base/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

#define SECOND_US INT64_C(1000000)
#define SLOT_US (INT64_C(900) * SECOND_US)
#define DAY_S INT64_C(86400)
#define DAY_US (DAY_S * SECOND_US)
#define SLOT_NONE INT64_MIN
#define WALL_END_US (INT64_C(2932897) * DAY_US) /* 10000-01-01 */

enum { DAYS_TO_1970 = 719162 /* from 0001-01-01 */, DAYS_IN_400_YEARS = 146097, DAYS_IN_100_YEARS = 36524 };

/* Rounds down, also below zero; by is positive. */
static int64_t floor_divide(int64_t number, int64_t by)
{
	int64_t quotient = number / by;
	return number % by < 0 ? quotient - 1 : quotient;
}

/* --- dates ----------------------------------------------------------------------------------------------------- */

static const int16_t month_start[2][13] = {
    {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365},
    {0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366},
};

static bool is_leap(int32_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int32_t day_from_civil(struct civil civil)
{
	int64_t years = (int64_t)civil.year - 1;
	int64_t cycle = floor_divide(years, 400);
	int64_t rest = years - cycle * 400;
	int64_t days = cycle * DAYS_IN_400_YEARS + rest * 365 + rest / 4 - rest / 100;
	return (int32_t)(days + month_start[is_leap(civil.year)][civil.month - 1] + civil.day - 1 - DAYS_TO_1970);
}

struct civil civil_from_day(int32_t day)
{
	int64_t days = (int64_t)day + DAYS_TO_1970;
	int64_t cycle = floor_divide(days, DAYS_IN_400_YEARS);
	int32_t rest = (int32_t)(days - cycle * DAYS_IN_400_YEARS);
	/* The last century of a cycle and the last year of four are a day longer than the others. */
	int32_t century = rest / DAYS_IN_100_YEARS < 3 ? rest / DAYS_IN_100_YEARS : 3;
	rest -= century * DAYS_IN_100_YEARS;
	int32_t four = rest / 1461;
	rest -= four * 1461;
	int32_t one = rest / 365 < 3 ? rest / 365 : 3;
	rest -= one * 365;

	struct civil civil = {.year = (int32_t)(cycle * 400) + century * 100 + four * 4 + one + 1};
	const int16_t *starts = month_start[is_leap(civil.year)];
	int32_t month = rest / 32; /* right, or one too low */
	if (rest >= starts[month + 1])
		month++;
	civil.month = month + 1;
	civil.day = rest - starts[month] + 1;
	return civil;
}

int32_t day_of(int64_t wall_us)
{
	return (int32_t)floor_divide(wall_us, DAY_US);
}

/* --- time zones ------------------------------------------------------------------------------------------------ */

static bool zone_name_is_plain(const char *name)
{
	size_t len = strlen(name);
	if (len == 0 || len >= sizeof((struct time_zone *)0)->name || name[0] == '/')
		return false;
	if (strstr(name, "..") != NULL)
		return false;
	/* localtime is this machine's zone and right/ counts leap seconds: neither means the same everywhere. */
	if (strcmp(name, "localtime") == 0 || strncmp(name, "right/", 6) == 0)
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") == len;
}

/* glibc takes UTC, without a word, for a name that it does not find. */
static bool zone_file_exists(const char *name)
{
	const char *folder = getenv("TZDIR");
	char path[4096], magic[4] = {0};
	int len = snprintf(path, sizeof path, "%s/%s", folder && *folder ? folder : "/usr/share/zoneinfo", name);
	if (len < 0 || (size_t)len >= sizeof path)
		return false;
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	bool found = fread(magic, sizeof magic, 1, file) == 1 && memcmp(magic, "TZif", 4) == 0;
	(void)fclose(file);
	return found;
}

static bool zone_is_utc(const char *name)
{
	return strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0;
}

enum result time_zone_check(const char *name, struct error *error)
{
	if (zone_is_utc(name) || (zone_name_is_plain(name) && zone_file_exists(name)))
		return RESULT_OK;
	return error_set(error, RESULT_CONFIG,
	    "unknown time zone '%s': expected UTC or an IANA name such as Europe/Berlin (package tzdata)", name);
}

enum result time_zone_open(struct time_zone *zone, const char *name, struct error *error)
{
	enum result result = time_zone_check(name, error);
	if (result != RESULT_OK)
		return result;
	*zone = (struct time_zone){.utc = zone_is_utc(name), .cached_slot = SLOT_NONE, .cached_wall_slot = SLOT_NONE};
	memcpy(zone->name, name, strlen(name) + 1);
	if (!zone->utc) {
		CHECK(setenv("TZ", name, 1) == 0);
		tzset();
	}
	return RESULT_OK;
}

/* What the wall clock is ahead of UTC at a second since 1970, as the C library knows it. */
static int64_t library_offset_us(int64_t instant_us)
{
	time_t second = (time_t)floor_divide(instant_us, SECOND_US);
	struct tm broken_down;
	CHECK(localtime_r(&second, &broken_down) != NULL);
	return (int64_t)broken_down.tm_gmtoff * SECOND_US;
}

static int64_t zone_offset_us(struct time_zone *zone, int64_t instant_us)
{
	int64_t slot = floor_divide(instant_us, SLOT_US);
	if (slot == zone->cached_slot)
		return zone->cached_offset_us;
	int64_t offset_us = library_offset_us(slot * SLOT_US);
	if (offset_us != library_offset_us(slot * SLOT_US + SLOT_US - SECOND_US))
		return library_offset_us(instant_us); /* a change within a quarter: Liberia in 1972 */
	zone->cached_slot = slot;
	zone->cached_offset_us = offset_us;
	return offset_us;
}

int64_t time_zone_wall(struct time_zone *zone, int64_t instant_us)
{
	return zone->utc ? instant_us : instant_us + zone_offset_us(zone, instant_us);
}

/* The offset that a wall clock is read with. A day to either side there are the offsets before and after a change
 * that may lie between. Where only one of them leads to an instant that shows this wall clock, it is the one; where
 * both do (repeated) or none (skipped), it is the one before. */
static int64_t wall_offset_us(int64_t wall_us)
{
	int64_t before = library_offset_us(wall_us - DAY_US), after = library_offset_us(wall_us + DAY_US);
	if (library_offset_us(wall_us - before) == before || library_offset_us(wall_us - after) != after)
		return before;
	return after;
}

int64_t time_zone_instant(struct time_zone *zone, int64_t wall_us)
{
	if (zone->utc)
		return wall_us;
	int64_t slot = floor_divide(wall_us, SLOT_US);
	if (slot != zone->cached_wall_slot) {
		int64_t offset_us = wall_offset_us(slot * SLOT_US);
		if (offset_us != wall_offset_us(slot * SLOT_US + SLOT_US - SECOND_US))
			return wall_us - wall_offset_us(wall_us);
		zone->cached_wall_slot = slot;
		zone->cached_wall_offset_us = offset_us;
	}
	return wall_us - zone->cached_wall_offset_us;
}

/* --- what it rests on --------------------------------------------------------------------------------------------- */

/* The first second of (from, to] with another offset than from's; to has another one. */
static int64_t change_between(int64_t from, int64_t to)
{
	int64_t offset = library_offset_us(from * SECOND_US);
	while (to - from > 1) {
		int64_t middle = from + (to - from) / 2;
		if (library_offset_us(middle * SECOND_US) == offset)
			from = middle;
		else
			to = middle;
	}
	return to;
}

/* Whatever changes in a zone stays so for longer than a day. */
static uint16_t year_hash(int32_t year)
{
	int64_t second = (int64_t)day_from_civil((struct civil){year, 1, 1}) * DAY_S;
	int64_t end = (int64_t)day_from_civil((struct civil){year + 1, 1, 1}) * DAY_S;
	int64_t offset = library_offset_us(second * SECOND_US);
	uint64_t hash = XXH3_64bits(&offset, sizeof offset);
	for (; second < end; second += DAY_S) {
		int64_t next = library_offset_us((second + DAY_S) * SECOND_US);
		if (next == offset)
			continue;
		int64_t change[2] = {change_between(second, second + DAY_S), next};
		hash = XXH3_64bits_withSeed(change, sizeof change, hash);
		offset = next;
	}
	return (uint16_t)hash;
}

enum result time_zone_rules(const char *name, char out[ZONE_RULES_MAX], struct error *error)
{
	struct time_zone zone;
	enum result result = time_zone_open(&zone, name, error);
	for (int32_t i = 0; i < ZONE_YEARS && result == RESULT_OK; i++)
		(void)snprintf(out + (size_t)4 * (size_t)i, 5, "%04x", zone.utc ? 0 : year_hash(ZONE_FIRST_YEAR + i));
	return result;
}

void zone_rules_difference(const char *was, const char *is, char *out, size_t room)
{
	int first = -1, last = -1;
	bool whole = strlen(was) == ZONE_RULES_MAX - 1 && strlen(is) == ZONE_RULES_MAX - 1;
	for (int i = 0; i < ZONE_YEARS && whole; i++) {
		if (memcmp(was + (size_t)4 * (size_t)i, is + (size_t)4 * (size_t)i, 4) == 0)
			continue;
		first = first < 0 ? ZONE_FIRST_YEAR + i : first;
		last = ZONE_FIRST_YEAR + i;
	}
	if (first < 0)
		(void)snprintf(out, room, "they differ");
	else if (first == last)
		(void)snprintf(out, room, "they differ in %d", first);
	else
		(void)snprintf(out, room, "they differ in %d to %d", first, last);
}

/* --- reading --------------------------------------------------------------------------------------------------- */

/* Reads exactly count digits; -1 where there are fewer. */
static int32_t take_digits(const char **at, const char *end, int count)
{
	int32_t number = 0;
	if (end - *at < count)
		return -1;
	for (int i = 0; i < count; i++) {
		unsigned digit = (unsigned)(unsigned char)**at - '0';
		if (digit > 9)
			return -1;
		number = number * 10 + (int32_t)digit;
		(*at)++;
	}
	return number;
}

static bool take_byte(const char **at, const char *end, char byte)
{
	if (*at == end || **at != byte)
		return false;
	(*at)++;
	return true;
}

static bool take_date(const char **at, const char *end, int32_t *day)
{
	struct civil civil;
	civil.year = take_digits(at, end, 4);
	if (civil.year < 0 || !take_byte(at, end, '-'))
		return false;
	civil.month = take_digits(at, end, 2);
	if (civil.month < 1 || civil.month > 12 || !take_byte(at, end, '-'))
		return false;
	civil.day = take_digits(at, end, 2);
	const int16_t *starts = month_start[is_leap(civil.year)];
	if (civil.day < 1 || civil.day > starts[civil.month] - starts[civil.month - 1])
		return false;
	*day = day_from_civil(civil);
	return true;
}

/* Any number of digits, of which six count. */
static bool take_fraction(const char **at, const char *end, int64_t *fraction_us)
{
	const char *first = *at;
	int64_t unit = SECOND_US / 10;
	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		*fraction_us += (**at - '0') * unit;
		unit /= 10;
	}
	return *at > first;
}

static bool take_clock(const char **at, const char *end, int64_t *clock_us)
{
	int64_t hour = take_digits(at, end, 2);
	if (hour < 0 || hour > 23 || !take_byte(at, end, ':'))
		return false;
	int64_t minute = take_digits(at, end, 2);
	if (minute < 0 || minute > 59)
		return false;
	int64_t second = 0, fraction_us = 0;
	if (take_byte(at, end, ':')) {
		second = take_digits(at, end, 2);
		if (second < 0 || second > 59)
			return false;
		if (take_byte(at, end, '.') && !take_fraction(at, end, &fraction_us))
			return false;
	}
	*clock_us = ((hour * 60 + minute) * 60 + second) * SECOND_US + fraction_us;
	return true;
}

/* Everything that is left: Z, z, +HH, +HHMM or +HH:MM. */
static bool take_offset(const char *at, const char *end, int64_t *offset_us)
{
	*offset_us = 0;
	if (take_byte(&at, end, 'Z') || take_byte(&at, end, 'z'))
		return at == end;
	bool west = *at == '-';
	if (!west && *at != '+')
		return false;
	at++;
	int64_t hours = take_digits(&at, end, 2), minutes = 0;
	if (at != end) {
		(void)take_byte(&at, end, ':');
		minutes = take_digits(&at, end, 2);
	}
	if (at != end || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	*offset_us = (hours * 60 + minutes) * 60 * SECOND_US * (west ? -1 : 1);
	return true;
}

static enum timestamp_verdict wall_check(int64_t wall_us)
{
	return wall_us >= 0 && wall_us < WALL_END_US ? TIMESTAMP_OK : TIMESTAMP_RANGE;
}

enum timestamp_verdict timestamp_parse(
    struct time_zone *zone, const char *text, size_t len, int64_t *wall_us, int64_t *instant_us)
{
	const char *at = text, *end = text + len;
	int32_t day;
	int64_t clock_us, offset_us;
	if (!take_date(&at, end, &day))
		return TIMESTAMP_SYNTAX;
	if (!take_byte(&at, end, 'T') && !take_byte(&at, end, 't') && !take_byte(&at, end, ' '))
		return TIMESTAMP_SYNTAX;
	if (!take_clock(&at, end, &clock_us))
		return TIMESTAMP_SYNTAX;

	int64_t written_us = day * DAY_US + clock_us;
	if (at == end) {
		*wall_us = written_us;
		*instant_us = time_zone_instant(zone, written_us);
		return wall_check(written_us);
	}
	if (!take_offset(at, end, &offset_us))
		return TIMESTAMP_SYNTAX;
	*instant_us = written_us - offset_us;
	*wall_us = time_zone_wall(zone, *instant_us);
	return wall_check(*wall_us);
}

enum timestamp_verdict timestamp_from_number(
    struct time_zone *zone, int64_t number, int64_t *wall_us, int64_t *instant_us)
{
	static const int64_t seconds_end = INT64_C(100000000000), milliseconds_end = INT64_C(100000000000000);
	int64_t unit_us = number < seconds_end ? SECOND_US : number < milliseconds_end ? 1000 : 1;
	/* A day to either side leaves room for the zone's offset, and none for an overflow. */
	if (number < -DAY_US / SECOND_US || number > (WALL_END_US + DAY_US) / unit_us)
		return TIMESTAMP_RANGE;
	*instant_us = number * unit_us;
	*wall_us = time_zone_wall(zone, *instant_us);
	return wall_check(*wall_us);
}

/* --- writing --------------------------------------------------------------------------------------------------- */

static char *put_digits(char *out, int32_t number, int count)
{
	for (int i = count - 1; i >= 0; i--) {
		out[i] = (char)('0' + number % 10);
		number /= 10;
	}
	return out + count;
}

static char *put_day(char *out, int32_t day)
{
	struct civil civil = civil_from_day(day);
	if (civil.year < 0 || civil.year > 9999)
		out += snprintf(out, 12, "%d", (int)civil.year); /* no row holds one; only a message may show it */
	else
		out = put_digits(out, civil.year, 4);
	*out++ = '-';
	out = put_digits(out, civil.month, 2);
	*out++ = '-';
	return put_digits(out, civil.day, 2);
}

size_t timestamp_print(int64_t wall_us, char out[TIMESTAMP_TEXT_MAX])
{
	int32_t day = day_of(wall_us);
	int64_t clock_us = wall_us % DAY_US + (wall_us % DAY_US < 0 ? DAY_US : 0);
	int32_t second = (int32_t)(clock_us / SECOND_US);
	char *at = put_day(out, day);
	*at++ = 'T';
	at = put_digits(at, second / 3600, 2);
	*at++ = ':';
	at = put_digits(at, second / 60 % 60, 2);
	*at++ = ':';
	at = put_digits(at, second % 60, 2);
	*at++ = '.';
	at = put_digits(at, (int32_t)(clock_us % SECOND_US), 6);
	*at = '\0';
	return (size_t)(at - out);
}

size_t day_print(int32_t day, char out[TIMESTAMP_TEXT_MAX])
{
	char *at = put_day(out, day);
	*at = '\0';
	return (size_t)(at - out);
}

/* --- clocks ---------------------------------------------------------------------------------------------------- */

static int64_t clock_us(clockid_t id)
{
	struct timespec now;
	CHECK(clock_gettime(id, &now) == 0);
	return (int64_t)now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

int64_t clock_realtime_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

uint64_t clock_monotonic_us(void)
{
	return (uint64_t)clock_us(CLOCK_MONOTONIC);
}
