#include "services/aggregator/group_plan.h"

static bool column_follows(const struct group_column *column, const struct group_column *from)
{
	if (column->field != from->field)
		return false;
	return column->part == from->part || (column->part != PART_FIELD && from->part == PART_DAY);
}

static bool find_column(const struct group_column *column, const struct rollup *source, size_t *place)
{
	for (*place = 0; *place < source->by_len; (*place)++)
		if (column_follows(column, &source->by[*place]))
			return true;
	return false;
}

static bool find_measure(const struct measure *measure, const struct rollup *source, size_t *place)
{
	for (*place = 0; *place < source->measures_len; (*place)++)
		if (measure->field == source->measures[*place].field)
			return true;
	return false;
}

static bool can_fold(const struct rollup *rollup, const struct rollup *source, struct group_plan *plan)
{
	for (size_t i = 0; i < rollup->by_len; i++)
		if (!find_column(&rollup->by[i], source, &plan->columns[i]))
			return false;
	for (size_t i = 0; i < rollup->measures_len; i++)
		if (!find_measure(&rollup->measures[i], source, &plan->measures[i]))
			return false;
	return true;
}

/* Of two that say the same, the first in the file is the source: so there is no circle. */
static bool is_source(const struct pipeline *pipeline, size_t source, size_t rollup, struct group_plan *plan)
{
	struct group_plan back = {0};
	if (source == rollup || !can_fold(&pipeline->rollups[rollup], &pipeline->rollups[source], plan))
		return false;
	return source < rollup || !can_fold(&pipeline->rollups[source], &pipeline->rollups[rollup], &back);
}

/* Being a source is transitive and free of circles: whoever has a source has one that has none itself. */
void group_plan_make(const struct pipeline *pipeline, struct group_plan plans[PIPELINE_ROLLUPS_MAX])
{
	struct group_plan plan = {0};
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		plans[i].folded = false;
		for (size_t source = 0; source < pipeline->rollups_len; source++)
			plans[i].folded = plans[i].folded || is_source(pipeline, source, i, &plan);
	}
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		if (!plans[i].folded)
			continue;
		for (size_t source = 0; source < pipeline->rollups_len; source++) {
			if (plans[source].folded || !is_source(pipeline, source, i, &plan))
				continue;
			plan.folded = true;
			plan.source = source;
			plans[i] = plan;
			break;
		}
	}
}
