/* services/sluicectl/audit_time.h - the audit's own reading of points in time: DESIGN's forms, by the C library's calendar.
 *
 * Forms:   2024-01-15T10:00[:00[.123]] with T, t or a space, then nothing (wall clock of the zone), Z, z, +HH, +HHMM or
 *          +HH:MM; or a whole number of seconds, milliseconds or microseconds since 1970, told apart by its size.
 * Units:   wall_us: what a clock on the wall of the zone shows, instant_us: the point in time, both in microseconds
 *          since 1970.
 * Errors:  a function answers NULL, or the reason why the value is no time.
 * Threads: audit_zone_use sets TZ for the whole process.
 */
#ifndef AUDIT_TIME_H
#define AUDIT_TIME_H

#include "common/base/buffer.h"

struct audit_zone {
	bool utc;
};

/* name: a zone that the pipeline file was allowed to name. */
void audit_zone_use(struct audit_zone *zone, const char *name);

const char *time_read_text(const struct audit_zone *zone, struct bytes text, int64_t *wall_us, int64_t *instant_us);
/* The same of a document: only a text that names its offset, with no more digits than a microsecond has, is a point in time. */
bool time_read_instant(const struct audit_zone *zone, struct bytes text, int64_t *instant_us);
/* The point in time that a document of this row names. */
int64_t time_instant(const struct audit_zone *zone, int64_t wall_us);
/* What the clock of the zone shows. */
int64_t time_wall(const struct audit_zone *zone, int64_t instant_us);
/* text is a number as JSON writes one. */
const char *time_read_number(const struct audit_zone *zone, struct bytes text, int64_t *wall_us, int64_t *instant_us);

#endif
