/* services/coordinator/remembered.h - what exactness rests on outside the log, compared with what it was when it was first seen.
 *
 * Whoever finds a fact (an ingest, the coordinator itself) tells name and value; the writer tells what is remembered, and remembers
 * what is new. Which facts there are, and what a difference means, stands in a table in remembered.c.
 */
#ifndef REMEMBERED_H
#define REMEMBERED_H

#include "common/base/error.h"
#include "proto/cut.h"

#define FACT_START "source.start"
#define FACT_ZONE_RULES "time_zone.rules" /* see time_zone_rules; the coordinator's own */

/* CONFIG, with the difference named, where a fact differs that must not. Otherwise *remember gets what is to be remembered from now
 * on; the arena's. What somebody should know is logged. */
enum result remembered_compare(const struct facts *remembered, const struct facts *found, struct facts *remember,
    struct arena *arena, struct error *error) MUST_USE;

#endif
