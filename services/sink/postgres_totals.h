/* services/sink/postgres_totals.h - the totals of an epoch, one EXECUTE a rollup.
 *
 * Each rollup has a prepared statement whose parameters are arrays: the places where the groups' rows are thought to lie
 * (postgres_places.h), and one a column. Rows that lie there are updated, the others are upserted; it answers where they
 * lie now. The arrays are collected in one pass over the groups. A second statement does the same and brings one row to
 * another page.
 */
#ifndef POSTGRES_TOTALS_H
#define POSTGRES_TOTALS_H

#include <libpq-fe.h>

#include "common/base/pipeline.h"
#include "proto/cut.h"
#include "services/sink/postgres_places.h"

enum { TOTALS_COLUMNS_MAX = PIPELINE_COLUMNS_MAX + PIPELINE_MEASURES_MAX };

struct totals {
	struct buffer columns[PIPELINE_ROLLUPS_MAX][TOTALS_COLUMNS_MAX];
	struct buffer places_text[PIPELINE_ROLLUPS_MAX];
	struct buffer hashes[PIPELINE_ROLLUPS_MAX]; /* uint64_t, one a group */
	size_t groups[PIPELINE_ROLLUPS_MAX];
	struct way ways[PIPELINE_ROLLUPS_MAX];
	bool by_place[PIPELINE_ROLLUPS_MAX]; /* in this epoch */
	size_t apart[PIPELINE_ROLLUPS_MAX]; /* the group, from 1 on, that goes to another page now; 0: none */
	struct places places;
};

/* PREPARE totals_<n> ... and apart_<n> ...; for every rollup, and what the session has to be set to. All places are forgotten. */
void totals_prepare_print(
    struct totals *totals, const struct pipeline *pipeline, const char *schema, struct buffer *out);
/* CORRUPT when a group is not what the pipeline file declares, CONFIG when a measure is beyond its column's precision. */
enum result totals_build(struct totals *totals, const struct pipeline *pipeline, const struct groups *chunks,
    size_t chunks_len, struct error *error) MUST_USE;
/* EXECUTE totals_<n> (...) or apart_<n> (...); for every rollup that has groups. */
void totals_execute_print(const struct totals *totals, const struct pipeline *pipeline, struct buffer *out);
/* What the EXECUTE of this rollup answered. */
void totals_learn(struct totals *totals, size_t rollup, const PGresult *result);
void totals_fini(struct totals *totals);

#endif
