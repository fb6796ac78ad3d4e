/* common/postgres/postgres_counts.h - the columns counters and sums, of sluice.frontier and sluice.checkpoints.
 *
 * sums.h tells what sums are.
 */
#ifndef POSTGRES_COUNTS_H
#define POSTGRES_COUNTS_H

#include <libpq-fe.h>

#include "common/state/sums.h"

/* ", counters ..., sums ...": the columns of a SELECT, taken apart. */
void counts_sql(const struct pipeline *pipeline, struct buffer *out);
/* column: the first of them. False: the sums are none. */
bool counts_take(const PGresult *result, int row, int column, const struct pipeline *pipeline, struct counts *counts);

/* {"consumed": 3, ...} */
void counters_print(const struct counters *counters, struct buffer *out);

#endif
