#include "services/aggregator/group_deltas.h"

#include "common/base/key_group.h"
#include "common/base/mutant.h"

void group_deltas_init(struct group_deltas *deltas, const struct pipeline *pipeline)
{
	*deltas = (struct group_deltas){.pipeline = pipeline};
	group_plan_make(pipeline, deltas->plans);
	for (size_t i = 0; i < pipeline->rollups_len; i++)
		group_table_init(&deltas->tables[i], (uint32_t)pipeline->rollups[i].measures_len);
}

void group_deltas_fini(struct group_deltas *deltas)
{
	for (size_t i = 0; i < PIPELINE_ROLLUPS_MAX; i++)
		group_table_fini(&deltas->tables[i]);
	buffer_fini(&deltas->key);
}

/* The group of these columns, which is there afterwards. */
static struct group_entry *group_at(struct group_deltas *deltas, size_t rollup, const struct value *columns)
{
	struct group_table *table = &deltas->tables[rollup];
	group_key_write(&deltas->key, columns, deltas->pipeline->rollups[rollup].by_len);
	struct bytes key = buffer_bytes(&deltas->key);
	uint64_t hash = key_hash(key);
	struct group_entry *entry = group_table_find(table, key, hash);
	return entry ? entry : group_table_add(table, key, hash);
}

static enum result too_large(const struct group_deltas *deltas, size_t rollup, size_t measure, struct error *error)
{
	const struct rollup *declared = &deltas->pipeline->rollups[rollup];
	return error_stop(error, STOP_OUR_FAULT, "%s of %s would exceed 128 bits within one epoch",
	    declared->measures[measure].column, declared->table);
}

enum result group_deltas_add(struct group_deltas *deltas, const struct value *values, struct error *error)
{
	for (size_t i = 0; i < deltas->pipeline->rollups_len; i++) {
		const struct rollup *rollup = &deltas->pipeline->rollups[i];
		struct value columns[PIPELINE_COLUMNS_MAX];
		if (deltas->plans[i].folded)
			continue;
		group_columns_of_row(rollup, values, &deltas->calendar, columns);
		struct group_entry *entry = group_at(deltas, i, columns);
		for (size_t m = MUTANT(first_measure_left_out) ? 1 : 0; m < rollup->measures_len; m++) {
			const struct value *value = &values[rollup->measures[m].field];
			if (value->kind == VALUE_INTEGER && !measure_add(&entry->measures[m], value->integer))
				return too_large(deltas, i, m, error);
		}
	}
	return RESULT_OK;
}

static void columns_of_source(
    struct group_deltas *deltas, size_t rollup, const struct value *source, struct value *columns)
{
	const struct group_plan *plan = &deltas->plans[rollup];
	const struct rollup *to = &deltas->pipeline->rollups[rollup], *from = &deltas->pipeline->rollups[plan->source];
	for (size_t i = 0; i < to->by_len; i++) {
		columns[i] = source[plan->columns[i]];
		if (to->by[i].part != from->by[plan->columns[i]].part)
			columns[i].integer =
			    calendar_part(&deltas->calendar, to->by[i].part, (int32_t)columns[i].integer);
	}
}

static enum result fold(struct group_deltas *deltas, size_t rollup, struct error *error)
{
	const struct pipeline *pipeline = deltas->pipeline;
	const struct group_plan *plan = &deltas->plans[rollup];
	const struct group_table *from = &deltas->tables[plan->source];
	for (uint32_t i = 0; i < from->len; i++) {
		struct value source[PIPELINE_COLUMNS_MAX], columns[PIPELINE_COLUMNS_MAX];
		CHECK(group_key_read(
		    &pipeline->rollups[plan->source], pipeline->record.fields, from->entries[i]->key, source));
		columns_of_source(deltas, rollup, source, columns);
		struct group_entry *entry = group_at(deltas, rollup, columns);
		for (size_t m = 0; m < pipeline->rollups[rollup].measures_len; m++)
			if (!measure_add(&entry->measures[m], from->entries[i]->measures[plan->measures[m]]))
				return too_large(deltas, rollup, m, error);
	}
	return RESULT_OK;
}

enum result group_deltas_send(struct group_deltas *deltas, struct group_batch *batches, uint32_t batches_len,
    struct outbox *outbox, struct error *error)
{
	const struct pipeline *pipeline = deltas->pipeline;
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		if (deltas->plans[i].folded && fold(deltas, i, error) != RESULT_OK)
			return error->code;
	}
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		const struct group_table *table = &deltas->tables[i];
		for (uint32_t g = 0; g < table->len; g++) {
			const struct group_entry *entry = table->entries[g];
			uint32_t owner = key_group_owner(
			    key_group(entry->hash, pipeline->key_groups), pipeline->key_groups, batches_len);
			struct group group = group_of_entry(table, (uint32_t)i, entry);
			group_batch_put(&batches[owner], &group, outbox);
		}
	}
	for (uint32_t owner = 0; owner < batches_len; owner++)
		group_batch_flush(&batches[owner], outbox);
	for (size_t i = 0; i < pipeline->rollups_len; i++)
		group_table_clear(&deltas->tables[i]);
	return RESULT_OK;
}
