/* common/base/timestamp.h - points in time from text and numbers, as wall clock of the pipeline's time zone.
 *
 * Units: instant_us = microseconds since 1970-01-01T00:00:00Z. wall_us = the same count for what a clock on the wall
 *        of the zone shows, as PostgreSQL's `timestamp` without time zone holds it. day = days since 1970-01-01.
 * Forms: 2024-01-15T10:00:00.123456+0000, +00:00, +00, Z or z, no offset (then it is wall clock of the zone already),
 *        `T`, `t` or one space between date and time; fraction optional, of any length, cut (not rounded) after six
 *        digits; seconds may be missing ("10:00"). A plain date is not a point in time and is refused. Numbers:
 *        integer seconds, milliseconds or microseconds since 1970, told apart by size (below 1e11 s, below 1e14 ms,
 *        otherwise us). Second 60 is refused; so is hour 24.
 * Daylight saving: a wall clock without offset is stored as written, also where the zone skips or repeats it (rows
 *        and totals then still agree on the day). Where an instant is needed for it (the check against max_future),
 *        a skipped time is read with the offset before the change and a repeated one with the earlier offset.
 * Limits: wall clock years 1970 to 9999; else TIMESTAMP_RANGE.
 * Threads: time_zone_open sets the process's TZ once, before other threads start; the rest may run on any thread.
 */
#ifndef BASE_TIMESTAMP_H
#define BASE_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

enum timestamp_verdict { TIMESTAMP_OK, TIMESTAMP_SYNTAX, TIMESTAMP_RANGE };

enum { TIMESTAMP_TEXT_MAX = 40 };

struct time_zone {
	char name[64];
	bool utc; /* no table needed */
	int64_t cached_slot; /* the quarter of an hour whose offset is known: offsets change at quarters only */
	int64_t cached_offset_us;
	int64_t cached_wall_slot; /* the same for wall clocks without an offset of their own */
	int64_t cached_wall_offset_us;
};

/* CONFIG when the zone is unknown here; changes nothing. */
enum result time_zone_check(const char *name, struct error *error) MUST_USE;

/* CONFIG when the zone is unknown here. name: an IANA name such as Europe/Berlin, or UTC. */
enum result time_zone_open(struct time_zone *zone, const char *name, struct error *error) MUST_USE;

/* What the zone's clocks show from ZONE_FIRST_YEAR on, as this machine knows it: four hexadecimal digits per year, in which a change of
 * its rules shows. The same however the rules are written down, so not a hash of the file. Beyond the last year the rules go on
 * as they are there. Sets TZ, as time_zone_open does. */
enum { ZONE_FIRST_YEAR = 1970, ZONE_YEARS = 100, ZONE_RULES_MAX = 4 * ZONE_YEARS + 1 };
enum result time_zone_rules(const char *name, char out[ZONE_RULES_MAX], struct error *error) MUST_USE;
/* "they differ in 2022 to 2069": of two such texts that differ. */
void zone_rules_difference(const char *was, const char *is, char *out, size_t room);

enum timestamp_verdict timestamp_parse(
    struct time_zone *zone, const char *text, size_t len, int64_t *wall_us, int64_t *instant_us);
enum timestamp_verdict timestamp_from_number(
    struct time_zone *zone, int64_t number, int64_t *wall_us, int64_t *instant_us);

int64_t time_zone_wall(struct time_zone *zone, int64_t instant_us);
int64_t time_zone_instant(struct time_zone *zone, int64_t wall_us);

struct civil {
	int32_t year;
	int32_t month, day; /* from 1 */
};
int32_t day_of(int64_t wall_us);
struct civil civil_from_day(int32_t day);
int32_t day_from_civil(struct civil civil);

/* "2024-01-15T10:00:00.123456", as PostgreSQL reads it; returns the length. */
size_t timestamp_print(int64_t wall_us, char out[TIMESTAMP_TEXT_MAX]);
/* "2024-01-15" */
size_t day_print(int32_t day, char out[TIMESTAMP_TEXT_MAX]);

int64_t clock_realtime_us(void);
uint64_t clock_monotonic_us(void);

#endif
