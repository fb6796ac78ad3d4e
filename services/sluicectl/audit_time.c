/* services/sluicectl/audit_time.c - see audit_time.h. */
#include "services/sluicectl/audit_time.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/error.h"

static const int64_t second_us = 1000000, day_seconds = 86400;
static const int64_t year_10000_us = INT64_C(253402300800) * 1000000;

void audit_zone_use(struct audit_zone *zone, const char *name)
{
	zone->utc = strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0;
	CHECK(setenv("TZ", name, 1) == 0);
	tzset();
}

/* How far the wall clock is ahead of UTC, in seconds, at a point in time. */
static int64_t ahead_at(const struct audit_zone *zone, int64_t seconds)
{
	time_t at = (time_t)seconds;
	struct tm local;
	if (zone->utc)
		return 0;
	CHECK(localtime_r(&at, &local) != NULL);
	return local.tm_gmtoff;
}

static int64_t seconds_of(int64_t us)
{
	return us / second_us - (us % second_us < 0 ? 1 : 0);
}

/* The earliest point in time at which the clock shows this; where it is skipped, what the clock would show had it not
 * been put forward. Every change of the clock is less than a day. */
static int64_t instant_of(const struct audit_zone *zone, int64_t wall_us)
{
	int64_t wall = seconds_of(wall_us);
	int64_t old = ahead_at(zone, wall - day_seconds), later = ahead_at(zone, wall + day_seconds);
	bool old_is_right = ahead_at(zone, wall - old) == old, later_is_right = ahead_at(zone, wall - later) == later;
	return wall_us - (old_is_right || !later_is_right ? old : later) * second_us;
}

static const char *check_years(int64_t wall_us)
{
	return wall_us < 0 || wall_us >= year_10000_us ? "time_out_of_range" : NULL;
}

/* A text that is read from its left. */
struct reading {
	const uint8_t *at, *end;
};

static bool skip_one_of(struct reading *text, const char *wanted)
{
	if (text->at == text->end || *text->at == '\0' || strchr(wanted, *text->at) == NULL)
		return false;
	text->at++;
	return true;
}

/* A number of exactly so many digits, from least to most. */
static bool read_number(struct reading *text, int digits, int least, int most, int *number)
{
	*number = 0;
	for (int i = 0; i < digits; i++) {
		if (text->at == text->end || *text->at < '0' || *text->at > '9')
			return false;
		*number = *number * 10 + (*text->at++ - '0');
	}
	return *number >= least && *number <= most;
}

static int days_in(int year, int month)
{
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	switch (month) {
	case 2:
		return leap ? 29 : 28;
	case 4:
	case 6:
	case 9:
	case 11:
		return 30;
	default:
		return 31;
	}
}

static bool read_date(struct reading *text, struct tm *parts)
{
	int year, month, day;
	if (!read_number(text, 4, 0, 9999, &year) || !skip_one_of(text, "-") || !read_number(text, 2, 1, 12, &month) ||
	    !skip_one_of(text, "-") || !read_number(text, 2, 1, days_in(year, month), &day))
		return false;
	parts->tm_year = year - 1900;
	parts->tm_mon = month - 1;
	parts->tm_mday = day;
	return true;
}

static bool read_fraction(struct reading *text, int64_t *us)
{
	int64_t worth = second_us;
	const uint8_t *first = text->at;
	while (text->at < text->end && *text->at >= '0' && *text->at <= '9') {
		worth /= 10;
		*us += worth * (*text->at++ - '0');
	}
	return text->at > first;
}

static bool read_clock(struct reading *text, struct tm *parts, int64_t *fraction_us)
{
	if (!read_number(text, 2, 0, 23, &parts->tm_hour) || !skip_one_of(text, ":") ||
	    !read_number(text, 2, 0, 59, &parts->tm_min))
		return false;
	if (!skip_one_of(text, ":"))
		return true;
	if (!read_number(text, 2, 0, 59, &parts->tm_sec))
		return false;
	return !skip_one_of(text, ".") || read_fraction(text, fraction_us);
}

/* What is left: the offset from UTC. */
static bool read_offset(struct reading *text, int64_t *seconds)
{
	int hours = 0, minutes = 0;
	*seconds = 0;
	if (skip_one_of(text, "Zz"))
		return text->at == text->end;
	bool west = text->at < text->end && *text->at == '-';
	if (!skip_one_of(text, "+-") || !read_number(text, 2, 0, 23, &hours))
		return false;
	if (text->at < text->end) {
		(void)skip_one_of(text, ":");
		if (!read_number(text, 2, 0, 59, &minutes))
			return false;
	}
	*seconds = ((int64_t)hours * 60 + minutes) * (west ? -60 : 60);
	return text->at == text->end;
}

const char *time_read_text(const struct audit_zone *zone, struct bytes bytes, int64_t *wall_us, int64_t *instant_us)
{
	struct reading text = {bytes.data, bytes.data + bytes.len};
	struct tm parts = {0};
	int64_t fraction_us = 0, offset;
	if (!read_date(&text, &parts) || !skip_one_of(&text, "Tt ") || !read_clock(&text, &parts, &fraction_us))
		return "invalid_time";
	int64_t written_us = (int64_t)timegm(&parts) * second_us + fraction_us;
	if (text.at == text.end) {
		*wall_us = written_us;
		*instant_us = instant_of(zone, written_us);
		return check_years(*wall_us);
	}
	if (!read_offset(&text, &offset))
		return "invalid_time";
	*instant_us = written_us - offset * second_us;
	*wall_us = *instant_us + ahead_at(zone, seconds_of(*instant_us)) * second_us;
	return check_years(*wall_us);
}

/* Behind the ten characters of the date there is a Z or a sign only where there is an offset. */
static bool names_offset(struct bytes text)
{
	for (size_t i = 10; i < text.len; i++)
		if (text.data[i] == 'Z' || text.data[i] == 'z' || text.data[i] == '+' || text.data[i] == '-')
			return true;
	return false;
}

bool time_read_instant(const struct audit_zone *zone, struct bytes text, int64_t *instant_us)
{
	int64_t wall_us;
	size_t point = 0, digits = 0;
	*instant_us = 0;
	while (point < text.len && text.data[point] != '.')
		point++;
	while (point + 1 + digits < text.len && text.data[point + 1 + digits] >= '0' &&
	       text.data[point + 1 + digits] <= '9')
		digits++;
	return digits <= 6 && names_offset(text) && time_read_text(zone, text, &wall_us, instant_us) == NULL;
}

int64_t time_instant(const struct audit_zone *zone, int64_t wall_us)
{
	return instant_of(zone, wall_us);
}

int64_t time_wall(const struct audit_zone *zone, int64_t instant_us)
{
	return instant_us + ahead_at(zone, seconds_of(instant_us)) * second_us;
}

const char *time_read_number(const struct audit_zone *zone, struct bytes text, int64_t *wall_us, int64_t *instant_us)
{
	static const int64_t most = INT64_C(1000000000000000000); /* more than year 9999 in microseconds */
	static const int64_t seconds_below = INT64_C(100000000000), milliseconds_below = INT64_C(100000000000000);
	bool negative = text.data[0] == '-';
	int64_t size = 0;
	for (size_t i = negative ? 1 : 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return "invalid_time";
		size = size < most / 10 ? size * 10 + (text.data[i] - '0') : most;
	}
	/* A clock is never ahead of UTC by more than a day. */
	if (size == most || (negative && size > day_seconds))
		return "time_out_of_range";
	int64_t unit_us = size < seconds_below ? second_us : size < milliseconds_below ? 1000 : 1;
	*instant_us = (negative ? -size : size) * unit_us;
	if (*instant_us > year_10000_us + day_seconds * second_us)
		return "time_out_of_range";
	*wall_us = *instant_us + ahead_at(zone, seconds_of(*instant_us)) * second_us;
	return check_years(*wall_us);
}
