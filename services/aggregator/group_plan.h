/* services/aggregator/group_plan.h - which rollups are added to by every row, and which are folded once per epoch.
 *
 * A rollup is folded from another one where the other's columns and measures say everything about its own: the month
 * follows from the day, all categories of a day make up the day. What is folded costs nothing per row.
 */
#ifndef GROUP_PLAN_H
#define GROUP_PLAN_H

#include "common/base/pipeline.h"

struct group_plan {
	bool folded;
	/* Only of a folded one; the source itself is not folded: */
	size_t source; /* the other rollup */
	size_t columns[PIPELINE_COLUMNS_MAX]; /* for each column, the source's column to take or compute it from */
	size_t measures[PIPELINE_MEASURES_MAX]; /* for each measure, the source's */
};

/* One plan for each rollup of the pipeline. */
void group_plan_make(const struct pipeline *pipeline, struct group_plan plans[PIPELINE_ROLLUPS_MAX]);

#endif
