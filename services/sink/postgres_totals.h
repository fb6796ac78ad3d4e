/* services/sink/postgres_totals.h - the totals of an epoch as upserts, one EXECUTE a rollup.
 *
 * Each rollup has a prepared statement whose parameters are arrays, one a column; the arrays are collected in one pass over
 * the groups.
 */
#ifndef POSTGRES_TOTALS_H
#define POSTGRES_TOTALS_H

#include "common/base/pipeline.h"
#include "proto/cut.h"

enum { TOTALS_COLUMNS_MAX = PIPELINE_COLUMNS_MAX + PIPELINE_MEASURES_MAX };

struct totals {
	struct buffer columns[PIPELINE_ROLLUPS_MAX][TOTALS_COLUMNS_MAX];
	size_t groups[PIPELINE_ROLLUPS_MAX];
};

/* PREPARE totals_<n> ...; for every rollup. */
void totals_prepare_print(const struct pipeline *pipeline, struct buffer *out);
/* CORRUPT when a group is not what the pipeline file declares, CONFIG when a measure is beyond its column's precision. */
enum result totals_build(struct totals *totals, const struct pipeline *pipeline, const struct groups *chunks,
    size_t chunks_len, struct error *error) MUST_USE;
/* EXECUTE totals_<n> (...); for every rollup that has groups. */
void totals_execute_print(const struct totals *totals, const struct pipeline *pipeline, struct buffer *out);
void totals_fini(struct totals *totals);

#endif
