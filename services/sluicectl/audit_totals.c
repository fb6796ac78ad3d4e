/* services/sluicectl/audit_totals.c - see audit_totals.h. */
#include "services/sluicectl/audit_totals.h"

#include <string.h>
#include <time.h>

#include "common/base/mutant.h"

static const int64_t day_us = INT64_C(86400) * 1000000;

struct group {
	struct table_entry head; /* key: number of the rollup, then its columns as a content */
	bool due, found;
	audit_sum due_sums[PIPELINE_MEASURES_MAX], found_sums[PIPELINE_MEASURES_MAX];
};

/* An item of the lanes: so much, then the key. */
struct total_head {
	audit_sum sums[PIPELINE_MEASURES_MAX];
};

void totals_init(struct totals *totals, struct spool *spool, struct report *report)
{
	*totals = (struct totals){.pipeline = report->pipeline, .spool = spool, .report = report};
}

void totals_fini(struct totals *totals)
{
	table_fini(&totals->table);
	buffer_fini(&totals->key);
	buffer_fini(&totals->item);
}

static void put(
    struct totals *totals, enum spool_lane_name lane, uint64_t hash, struct bytes key, const audit_sum *sums)
{
	struct total_head head = {0};
	size_t measures_len = totals->pipeline->rollups[key.data[0]].measures_len;
	memcpy(head.sums, sums, measures_len * sizeof sums[0]);
	buffer_clear(&totals->item);
	buffer_append(&totals->item, &head, sizeof head);
	buffer_append(&totals->item, key.data, key.len);
	spool_put(totals->spool, lane, hash, buffer_bytes(&totals->item));
}

/* --- what has to be -------------------------------------------------------------------------------------------- */

static struct audit_value part_of(const struct group_column *column, struct bytes content)
{
	struct audit_value value = content_field(content, column->field);
	if (column->part == PART_FIELD)
		return value;
	/* A row of the database may hold what no record can be: then it is in no group that anybody has. */
	if (value.kind != AUDIT_TIME)
		return (struct audit_value){.kind = AUDIT_NULL};
	int64_t day = value.number / day_us;
	time_t second = (time_t)(day * 86400);
	struct tm at;
	value.kind = AUDIT_NUMBER;
	CHECK(gmtime_r(&second, &at) != NULL);
	switch (column->part) {
	case PART_FIELD:
	case PART_DAY:
		value.number = day;
		break;
	case PART_MONTH:
		value.number = at.tm_mon + 1;
		break;
	case PART_YEAR:
		value.number = at.tm_year + 1900;
		break;
	}
	return value;
}

static void flush(struct totals *totals)
{
	struct group *group;
	for (size_t place = 0; (group = table_next(&totals->table, &place)) != NULL;)
		put(totals, LANE_TOTALS_DUE, group->head.hash, group->head.key, group->due_sums);
	table_clear(&totals->table);
}

static struct group *group_of(struct totals *totals, struct bytes key)
{
	return table_get(&totals->table, table_hash(key), key, sizeof(struct group));
}

void totals_add(struct totals *totals, struct bytes content)
{
	if (totals->table.entries_len + totals->pipeline->rollups_len > TOTALS_GROUPS)
		flush(totals);
	for (size_t i = 0; i < totals->pipeline->rollups_len; i++) {
		const struct rollup *rollup = &totals->pipeline->rollups[i];
		uint8_t number = (uint8_t)i;
		buffer_clear(&totals->key);
		buffer_append(&totals->key, &number, 1);
		for (size_t j = 0; j < rollup->by_len; j++) {
			struct audit_value value = part_of(&rollup->by[j], content);
			content_add(&totals->key, &value);
		}
		struct group *group = group_of(totals, buffer_bytes(&totals->key));
		for (size_t j = 0; j < rollup->measures_len; j++) {
			struct audit_value value = content_field(content, rollup->measures[j].field);
			group->due_sums[j] += value.kind == AUDIT_NUMBER ? value.number : 0;
		}
	}
}

void totals_put_found(struct totals *totals, size_t rollup, struct bytes group, const audit_sum *sums)
{
	uint8_t number = (uint8_t)rollup;
	buffer_clear(&totals->key);
	buffer_append(&totals->key, &number, 1);
	buffer_append(&totals->key, group.data, group.len);
	struct bytes key = buffer_bytes(&totals->key);
	put(totals, LANE_TOTALS, table_hash(key), key, sums);
	totals->report->totals[rollup]++;
}

/* --- whether it is --------------------------------------------------------------------------------------------- */

static void print_group(
    const struct rollup *rollup, const struct pipeline *pipeline, struct bytes values, struct buffer *out)
{
	buffer_printf(out, "%s:", rollup->table);
	for (size_t i = 0; i < rollup->by_len; i++) {
		struct audit_value value;
		CHECK(content_next(&values, &value));
		buffer_printf(out, "%s %s ", i ? "," : "", rollup->by[i].column);
		if (rollup->by[i].part == PART_DAY && value.kind == AUDIT_NUMBER)
			audit_day_print(out, value.number);
		else if (rollup->by[i].part == PART_FIELD)
			audit_value_print(out, &pipeline->record.fields[rollup->by[i].field], &value);
		else if (value.kind == AUDIT_NUMBER)
			audit_sum_print(out, value.number, 0);
		else
			buffer_append_text(out, "nothing");
	}
}

static void print_sums(const struct rollup *rollup, const audit_sum *sums, struct buffer *out)
{
	for (size_t i = 0; i < rollup->measures_len; i++) {
		buffer_printf(out, "%s%s ", i ? ", " : "", rollup->measures[i].column);
		audit_sum_print(out, sums[i], rollup->measures[i].scale);
	}
}

static void say(struct totals *totals, enum difference_kind kind, const struct group *group)
{
	const struct rollup *rollup = &totals->pipeline->rollups[group->head.key.data[0]];
	struct bytes values = {group->head.key.data + 1, group->head.key.len - 1};
	struct difference difference = {.kind = kind};
	print_group(rollup, totals->pipeline, values, &difference.key);
	if (group->due)
		print_sums(rollup, group->due_sums, &difference.expected);
	else
		buffer_append_text(&difference.expected, "no such total");
	if (kind == DIFFERENCE_TOTAL_MISSING)
		buffer_append_text(&difference.found, "no such total");
	else
		print_sums(rollup, group->found_sums, &difference.found);
	report_add(totals->report, &difference);
}

static bool item_take(struct totals *totals, struct spool_cursor *cursor, struct total_head *head, struct group **group)
{
	struct spool_item item;
	if (!spool_next(cursor, &item))
		return false;
	CHECK(item.bytes.len > sizeof *head);
	memcpy(head, item.bytes.data, sizeof *head);
	struct bytes key = {item.bytes.data + sizeof *head, item.bytes.len - sizeof *head};
	*group = table_get(&totals->table, item.hash, key, sizeof **group);
	return true;
}

static void on_part(void *context, const struct spool_stream *found, const struct spool_stream *due)
{
	struct totals *totals = context;
	struct spool_cursor cursor;
	struct total_head head;
	struct group *group;
	spool_cursor_open(&cursor, totals->spool, due);
	while (item_take(totals, &cursor, &head, &group)) {
		group->due = true;
		for (size_t i = 0; i < PIPELINE_MEASURES_MAX; i++)
			group->due_sums[i] += head.sums[i];
	}
	spool_cursor_close(&cursor);
	spool_cursor_open(&cursor, totals->spool, found);
	while (item_take(totals, &cursor, &head, &group)) {
		bool twice = group->found;
		group->found = true;
		memcpy(group->found_sums, head.sums, sizeof head.sums);
		if (twice || !group->due)
			say(totals, DIFFERENCE_TOTAL_EXTRA, group);
		else if (memcmp(group->due_sums, group->found_sums,
		             MUTANT(audit_of_one_measure) ? sizeof group->due_sums[0] : sizeof group->due_sums) != 0)
			say(totals, DIFFERENCE_TOTAL, group);
	}
	spool_cursor_close(&cursor);
	for (size_t place = 0; (group = table_next(&totals->table, &place)) != NULL;)
		if (!group->found)
			say(totals, DIFFERENCE_TOTAL_MISSING, group);
	table_clear(&totals->table);
}

void totals_compare(struct totals *totals)
{
	flush(totals);
	spool_each_part(totals->spool, LANE_TOTALS, LANE_TOTALS_DUE, on_part, totals);
}
