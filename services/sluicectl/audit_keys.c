/* services/sluicectl/audit_keys.c - see audit_keys.h. */
#include "services/sluicectl/audit_keys.h"

#include <inttypes.h>
#include <string.h>

#include "services/sluicectl/audit_letters.h"
#include "services/sluicectl/audit_table.h"

/* The first record of a key in a partition. */
struct first {
	struct first *next;
	uint32_t partition;
	int64_t offset, timestamp_ms;
	struct bytes content;
};

struct key_entry {
	struct table_entry head; /* key: text of the key's field */
	bool has_row;
	struct bytes row; /* its content */
	struct first *firsts;
	const struct first *accepted; /* NULL: it lies before what Kafka holds, or there is no record at all */
	struct bytes due; /* the content that counts; data NULL: the key has no record */
};

struct keys {
	struct spool *spool;
	struct report *report;
	struct totals *totals;
	struct table table;
};

/* --- items ----------------------------------------------------------------------------------------------------- */

void keys_put_row(struct spool *spool, struct bytes key, struct bytes content)
{
	const struct key_record row = {.key = key, .content = content};
	key_record_put(spool, LANE_ROWS, &row);
}

void keys_put_record(struct spool *spool, const struct key_record *record)
{
	key_record_put(spool, LANE_RECORDS, record);
}

/* Takes the next one, and the entry of its key. */
static bool item_take(
    struct keys *keys, struct spool_cursor *cursor, struct key_record *record, struct key_entry **entry)
{
	uint64_t hash;
	if (!key_record_next(cursor, record, &hash))
		return false;
	*entry = table_get(&keys->table, hash, record->key, sizeof **entry);
	return true;
}

static struct bytes keep(struct keys *keys, struct bytes bytes)
{
	return (struct bytes){arena_clone(&keys->table.arena, bytes.data, bytes.len), bytes.len};
}

/* --- words ----------------------------------------------------------------------------------------------------- */

static void print_key(const struct pipeline *pipeline, const struct key_entry *entry, struct buffer *out)
{
	buffer_printf(out, "%s '", pipeline->record.fields[pipeline->record.key].name);
	buffer_append(out, entry->head.key.data, entry->head.key.len);
	buffer_append_text(out, "'");
}

static void print_place(const struct first *first, struct buffer *out)
{
	buffer_printf(
	    out, " (the record at partition %" PRIu32 ", offset %" PRId64 ")", first->partition, first->offset);
}

static void say_extra(struct keys *keys, const struct key_entry *entry, struct bytes row, const char *expected)
{
	struct difference difference = {.kind = DIFFERENCE_ROW_EXTRA};
	print_key(keys->report->pipeline, entry, &difference.key);
	buffer_append_text(&difference.expected, expected);
	content_print(&difference.found, keys->report->pipeline, row, NULL);
	report_add(keys->report, &difference);
}

static void say_missing(struct keys *keys, const struct key_entry *entry)
{
	struct difference difference = {.kind = DIFFERENCE_ROW_MISSING};
	print_key(keys->report->pipeline, entry, &difference.key);
	content_print(&difference.expected, keys->report->pipeline, entry->accepted->content, NULL);
	print_place(entry->accepted, &difference.expected);
	buffer_append_text(&difference.found, "no row");
	report_add(keys->report, &difference);
}

static void say_different(struct keys *keys, const struct key_entry *entry)
{
	struct difference difference = {.kind = DIFFERENCE_ROW};
	const struct pipeline *pipeline = keys->report->pipeline;
	print_key(pipeline, entry, &difference.key);
	content_print(&difference.expected, pipeline, entry->accepted->content, &entry->row);
	print_place(entry->accepted, &difference.expected);
	content_print(&difference.found, pipeline, entry->row, &entry->accepted->content);
	report_add(keys->report, &difference);
}

/* --- rule ------------------------------------------------------------------------------------------------------ */

static void take_rows(struct keys *keys, const struct spool_stream *rows)
{
	struct spool_cursor cursor;
	struct key_record row;
	struct key_entry *entry;
	spool_cursor_open(&cursor, keys->spool, rows);
	while (item_take(keys, &cursor, &row, &entry)) {
		if (entry->has_row) {
			say_extra(keys, entry, row.content, "one row of this key");
			continue;
		}
		entry->has_row = true;
		entry->row = keep(keys, row.content);
	}
	spool_cursor_close(&cursor);
}

/* Mostly the row, or another partition's first record, says the same and is kept already. */
static struct bytes content_keep(struct keys *keys, const struct key_entry *entry, struct bytes content)
{
	if (entry->has_row && bytes_equal(entry->row, content))
		return entry->row;
	for (const struct first *first = entry->firsts; first != NULL; first = first->next)
		if (bytes_equal(first->content, content))
			return first->content;
	return keep(keys, content);
}

static void take_first(struct keys *keys, struct key_entry *entry, const struct key_record *record)
{
	for (const struct first *first = entry->firsts; first != NULL; first = first->next)
		if (first->partition == record->partition)
			return;
	struct first *first = arena_take(&keys->table.arena, sizeof *first);
	*first = (struct first){.next = entry->firsts,
	    .partition = record->partition,
	    .offset = record->offset,
	    .timestamp_ms = record->timestamp_ms,
	    .content = content_keep(keys, entry, record->content)};
	entry->firsts = first;
}

static void take_firsts(struct keys *keys, const struct spool_stream *records)
{
	struct spool_cursor cursor;
	struct key_record record;
	struct key_entry *entry;
	spool_cursor_open(&cursor, keys->spool, records);
	while (item_take(keys, &cursor, &record, &entry))
		take_first(keys, entry, &record);
	spool_cursor_close(&cursor);
}

/* The first record that the row agrees with; where it agrees with none, the earliest by Kafka's clock. */
static const struct first *choose(const struct key_entry *entry, bool *agrees)
{
	const struct first *chosen = NULL;
	*agrees = false;
	for (const struct first *first = entry->firsts; first != NULL; first = first->next) {
		bool same = entry->has_row && bytes_equal(first->content, entry->row);
		bool earlier = chosen == NULL || first->timestamp_ms < chosen->timestamp_ms ||
		               (first->timestamp_ms == chosen->timestamp_ms && first->partition < chosen->partition);
		if ((same && !*agrees) || (same == *agrees && earlier))
			chosen = first;
		*agrees = *agrees || same;
	}
	return chosen;
}

static void decide(struct keys *keys, struct key_entry *entry)
{
	bool agrees;
	struct report *report = keys->report;
	entry->accepted = choose(entry, &agrees);
	if (entry->accepted != NULL)
		entry->due = entry->accepted->content;
	if (entry->has_row && !agrees && report->partial) {
		report->rows_unproved += entry->accepted == NULL;
		entry->accepted = NULL;
		entry->due = entry->row;
	} else if (entry->accepted == NULL) {
		say_extra(keys, entry, entry->row, "no row: there is no record of this key before the cut");
	} else if (!entry->has_row) {
		say_missing(keys, entry);
	} else if (!agrees) {
		say_different(keys, entry);
	}
	report->counters_due[AUDIT_ACCEPTED] += entry->accepted != NULL;
	if (report->partial && entry->has_row)
		totals_add(keys->totals, entry->row);
	else if (!report->partial && entry->accepted != NULL)
		totals_add(keys->totals, entry->due);
}

static void judge_repeats(struct keys *keys, const struct spool_stream *records)
{
	struct spool_cursor cursor;
	struct key_record record;
	struct key_entry *entry;
	uint64_t *counters = keys->report->counters_due;
	spool_cursor_open(&cursor, keys->spool, records);
	while (item_take(keys, &cursor, &record, &entry)) {
		const struct first *accepted = entry->accepted;
		if (accepted != NULL && accepted->partition == record.partition && accepted->offset == record.offset)
			continue;
		if (bytes_equal(record.content, entry->due)) {
			counters[AUDIT_DUPLICATES]++;
			continue;
		}
		counters[AUDIT_CONFLICTS]++;
		const struct letter letter = {.partition = record.partition,
		    .offset = record.offset,
		    .key = record.key,
		    .payload = record.content,
		    .reason = {(const uint8_t *)"conflict", 8}};
		letter_put_conflict(keys->spool, &letter);
	}
	spool_cursor_close(&cursor);
}

static void on_part(void *context, const struct spool_stream *rows, const struct spool_stream *records)
{
	struct keys *keys = context;
	struct key_entry *entry;
	take_rows(keys, rows);
	take_firsts(keys, records);
	for (size_t place = 0; (entry = table_next(&keys->table, &place)) != NULL;)
		decide(keys, entry);
	judge_repeats(keys, records);
	table_clear(&keys->table);
}

void keys_compare(struct spool *spool, struct report *report, struct totals *totals)
{
	struct keys keys = {.spool = spool, .report = report, .totals = totals};
	spool_each_part(spool, LANE_ROWS, LANE_RECORDS, on_part, &keys);
	table_fini(&keys.table);
}
