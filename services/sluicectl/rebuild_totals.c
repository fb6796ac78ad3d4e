/* services/sluicectl/rebuild_totals.c - tables of totals become a file of the rollups' state; see rebuild.h. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/key_group.h"
#include "common/postgres/ddl.h"
#include "common/runtime/topology.h"
#include "common/state/delta_file.h"
#include "common/state/group_key.h"
#include "services/sluicectl/rebuild.h"

enum { FETCH_ROWS = 5000 };

/* As the rollup actor keeps it: the rollup's place and the group's key; the measures. */
struct total {
	uint32_t group;
	struct bytes key, value; /* the arena's */
};
struct totals {
	const struct pipeline *pipeline;
	struct total *entries;
	size_t len, capacity;
	struct arena arena;
	struct buffer key, row_key;
	struct sum *sums; /* PIPELINE_MEASURES_MAX per rollup, and these per key group */
	struct sums all;
};

static void put_column(struct buffer *sql, const struct rollup *rollup, size_t place)
{
	const struct group_column *by = &rollup->by[place];
	buffer_append_text(sql, by->part == PART_DAY ? "(" : "");
	sql_identifier(sql, by->column);
	buffer_append_text(sql, by->part == PART_DAY ? " - DATE '1970-01-01')::text" : "::text");
}

static void put_measure(struct buffer *sql, const struct measure *measure)
{
	buffer_append_text(sql, ", (");
	sql_identifier(sql, measure->column);
	buffer_append_text(sql, " * 1");
	for (int i = 0; i < measure->scale; i++)
		buffer_append_text(sql, "0");
	buffer_append_text(sql, ")::numeric(39, 0)::text");
}

static void put_query(struct buffer *sql, const char *schema, const struct rollup *rollup)
{
	buffer_append_text(sql, "DECLARE totals NO SCROLL CURSOR FOR SELECT ");
	for (size_t i = 0; i < rollup->by_len; i++) {
		buffer_append_text(sql, i > 0 ? ", " : "");
		put_column(sql, rollup, i);
	}
	for (size_t i = 0; i < rollup->measures_len; i++)
		put_measure(sql, &rollup->measures[i]);
	buffer_append_text(sql, " FROM ");
	sql_table(sql, schema, rollup->table);
	buffer_append(sql, "", 1);
}

static bool read_minor(const char *text, int128 *minor)
{
	bool negative = *text == '-';
	*minor = 0;
	for (text += negative; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(*minor, (int128)10, minor) ||
		    __builtin_add_overflow(*minor, (int128)(*text - '0'), minor))
			return false;
	*minor = negative ? -*minor : *minor;
	return *text == '\0';
}

static struct sum *sum_at(struct totals *totals, uint32_t group, size_t place, size_t m)
{
	return &totals->sums[((size_t)group * totals->pipeline->rollups_len + place) * PIPELINE_MEASURES_MAX + m];
}

static void add_entry(struct totals *totals, uint32_t group, struct bytes key, struct bytes value)
{
	if (totals->len == totals->capacity) {
		totals->capacity = totals->capacity ? totals->capacity * 2 : 1024;
		totals->entries = memory_resize(totals->entries, totals->capacity, sizeof *totals->entries);
	}
	totals->entries[totals->len++] = (struct total){
	    .group = group,
	    .key = {arena_clone(&totals->arena, key.data, key.len), key.len},
	    .value = {arena_clone(&totals->arena, value.data, value.len), value.len},
	};
}

static enum result take_row(struct totals *totals, size_t place, const PGresult *result, int row, struct error *error)
{
	const struct rollup *rollup = &totals->pipeline->rollups[place];
	struct value columns[PIPELINE_COLUMNS_MAX];
	int128 measures[PIPELINE_MEASURES_MAX] = {0};
	int at = 0;
	for (size_t i = 0; i < rollup->by_len; i++, at++) {
		const struct group_column *by = &rollup->by[i];
		const char *text = PQgetvalue(result, row, at);
		bool is_text =
		    by->part == PART_FIELD && totals->pipeline->record.fields[by->field].type == FIELD_STRING;
		columns[i] = is_text ? (struct value){.kind = VALUE_TEXT,
		                           .text = {(const uint8_t *)text, (size_t)PQgetlength(result, row, at)}}
		                     : (struct value){.kind = VALUE_INTEGER, .integer = strtoll(text, NULL, 10)};
	}
	for (size_t i = 0; i < rollup->measures_len; i++, at++)
		if (!read_minor(PQgetvalue(result, row, at), &measures[i]))
			return error_set(error, RESULT_CONFIG, "table %s: %s is no total", rollup->table,
			    PQgetvalue(result, row, at));
	group_key_write(&totals->key, columns, rollup->by_len);
	uint8_t first = (uint8_t)place;
	buffer_clear(&totals->row_key);
	buffer_append(&totals->row_key, &first, 1);
	buffer_append(&totals->row_key, totals->key.data, totals->key.len);
	uint64_t hash = key_hash(buffer_bytes(&totals->key));
	uint32_t group = key_group(hash, totals->pipeline->key_groups);
	add_entry(totals, group, buffer_bytes(&totals->row_key),
	    (struct bytes){(const uint8_t *)measures, rollup->measures_len * sizeof measures[0]});
	for (size_t m = 0; m < rollup->measures_len; m++) {
		sum_add(sum_at(totals, group, place, m), hash, measures[m]);
		sum_add(&totals->all.of[place][m], hash, measures[m]);
	}
	return RESULT_OK;
}

/* As the rollup actors keep them. */
static void add_sums(struct totals *totals)
{
	for (uint32_t group = 0; group < totals->pipeline->key_groups; group++) {
		for (size_t i = 0; i < totals->pipeline->rollups_len; i++) {
			for (enum sum_part part = SUM_PLAIN; part < SUM_PARTS; part++) {
				size_t measures_len = totals->pipeline->rollups[i].measures_len;
				uint128 numbers[PIPELINE_MEASURES_MAX];
				uint8_t room[SUM_KEY_LEN];
				for (size_t m = 0; m < measures_len; m++)
					numbers[m] = *sum_part(sum_at(totals, group, i, m), part);
				add_entry(totals, group, sum_key(room, group, i, part),
				    (struct bytes){(const uint8_t *)numbers, measures_len * sizeof numbers[0]});
			}
		}
	}
}

static enum result from_outcome(enum sink_outcome outcome, struct error *error)
{
	if (outcome == SINK_DONE)
		return RESULT_OK;
	error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
	return error->code;
}

static enum result read_table(
    struct postgres *postgres, struct totals *totals, size_t place, struct progress *progress, struct error *error)
{
	struct buffer sql = {0};
	char fetch[48];
	put_query(&sql, postgres->schema, &totals->pipeline->rollups[place]);
	(void)snprintf(fetch, sizeof fetch, "FETCH %d FROM totals", FETCH_ROWS);
	enum result result =
	    from_outcome(postgres_query(postgres, NULL, error, (const char *)sql.data, 0, NULL), error);
	for (bool more = true; more && result == RESULT_OK;) {
		PGresult *rows = NULL;
		result = from_outcome(postgres_query(postgres, &rows, error, fetch, 0, NULL), error);
		int len = result == RESULT_OK ? PQntuples(rows) : 0;
		for (int i = 0; i < len && result == RESULT_OK; i++)
			result = take_row(totals, place, rows, i, error);
		more = len > 0;
		PQclear(rows);
		progress_show(progress, "reading totals", totals->len, 0);
	}
	if (result == RESULT_OK)
		result = from_outcome(postgres_query(postgres, NULL, error, "CLOSE totals", 0, NULL), error);
	buffer_fini(&sql);
	return result;
}

static int compare(const void *a, const void *b)
{
	const struct total *one = a, *other = b;
	if (one->group != other->group)
		return one->group < other->group ? -1 : 1;
	return bytes_compare(one->key, other->key);
}

static enum result write_file(const struct totals *totals, struct checkpoint_store *store, const char *name,
    struct delta_summary *summary, struct error *error)
{
	struct delta_writer *writer;
	char path[PATH_MAX];
	if (snprintf(path, sizeof path, "%s/%s", store->ops->root(store), name) >= PATH_MAX)
		return error_set(error, RESULT_CONFIG, "checkpoint.dir is too long a name");
	if (delta_writer_open(&writer, path, error) != RESULT_OK)
		return error->code;
	for (size_t i = 0; i < totals->len; i++) {
		const struct total *total = &totals->entries[i];
		if (delta_writer_put(writer, &(struct delta_entry){total->group, total->key, total->value}, error) !=
		    RESULT_OK) {
			delta_writer_abandon(writer);
			return error->code;
		}
	}
	return delta_writer_finish(writer, summary, error);
}

enum result rebuild_totals(struct postgres *postgres, const struct pipeline *pipeline, struct checkpoint_store *store,
    struct epoch_id checkpoint, bool dry_run, struct progress *progress, struct rebuilt *rebuilt, struct error *error)
{
	struct totals totals = {.pipeline = pipeline, .all = {.known = true}};
	struct delta_summary summary = {0};
	enum result result = RESULT_OK;
	totals.sums = memory_new(
	    ((size_t)pipeline->key_groups * pipeline->rollups_len * PIPELINE_MEASURES_MAX + 1) * sizeof *totals.sums);
	for (size_t i = 0; i < pipeline->rollups_len && result == RESULT_OK; i++)
		result = read_table(postgres, &totals, i, progress, error);
	rebuilt->totals = totals.len;
	rebuilt->sums = totals.all;
	add_sums(&totals);
	if (result == RESULT_OK && totals.len > 1)
		qsort(totals.entries, totals.len, sizeof *totals.entries, compare);
	(void)snprintf(rebuilt->name, sizeof rebuilt->name, "checkpoints/%" PRIu64 ".%" PRIu64 "/%d.0",
	    checkpoint.attempt, checkpoint.n, (int)ROLE_ROLLUP);
	if (result == RESULT_OK && rebuilt->totals > 0 && !dry_run)
		result = write_file(&totals, store, rebuilt->name, &summary, error);
	rebuilt->file = (struct file_entry){.name = rebuilt->name,
	    .written = checkpoint,
	    .role = ROLE_ROLLUP,
	    .groups_len = pipeline->key_groups,
	    .rows = summary.rows,
	    .bytes = summary.bytes,
	    .checksum = summary.checksum};
	free(totals.sums);
	free(totals.entries);
	arena_fini(&totals.arena);
	buffer_fini(&totals.key);
	buffer_fini(&totals.row_key);
	return result;
}
