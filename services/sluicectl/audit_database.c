/* services/sluicectl/audit_database.c - the audit's snapshot of PostgreSQL; see audit.h.
 *
 * Rows are cast to the types that the audit reads, so that a column that somebody has changed is seen as what it holds.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "common/postgres/ddl.h"
#include "common/postgres/postgres_connection.h"
#include "common/postgres/postgres_schema.h"
#include "services/sluicectl/audit.h"
#include "services/sluicectl/audit_binary.h"
#include "services/sluicectl/audit_keys.h"
#include "services/sluicectl/audit_letters.h"

struct database {
	struct audit *audit;
	struct postgres postgres;
	size_t rollup; /* whose totals are read */
	struct buffer content;
};

typedef void database_on_row(struct database *database, const struct bytes *columns);

/* --- reading a table ------------------------------------------------------------------------------------------- */

static enum sink_outcome broken(struct error *error)
{
	(void)error_set(error, RESULT_CONFIG, "PostgreSQL: COPY sent what is no row");
	return SINK_CONFIG;
}

static enum sink_outcome take_rows(struct database *database, struct binary_reader *reader, size_t columns_len,
    database_on_row *on_row, struct error *error)
{
	struct bytes columns[PIPELINE_FIELDS_MAX];
	enum binary_step step;
	while ((step = binary_next(reader, columns, columns_len)) == BINARY_ROW)
		on_row(database, columns);
	return step == BINARY_BROKEN ? broken(error) : SINK_DONE;
}

/* What the server says at the end of a COPY; also drains the link. */
static enum sink_outcome copy_finish(struct postgres *postgres, enum sink_outcome outcome, struct error *error)
{
	PGresult *result;
	for (;;) {
		if (!postgres_next(postgres, &result))
			return postgres_lost(postgres, error);
		if (result == NULL)
			return outcome;
		if (PQresultStatus(result) != PGRES_COMMAND_OK && outcome == SINK_DONE)
			outcome = postgres_fault(postgres, result, error);
		PQclear(result);
	}
}

/* Calls on_row for each row of a query. */
static enum sink_outcome copy_out(
    struct database *database, struct buffer *query, size_t columns_len, database_on_row *on_row, struct error *error)
{
	struct postgres *postgres = &database->postgres;
	struct binary_reader reader = {0};
	struct buffer sql = {0};
	PGresult *result = NULL;
	char *message = NULL;
	size_t len = 0;
	buffer_printf(&sql, "COPY (%.*s) TO STDOUT (FORMAT binary)", (int)query->len, (const char *)query->data);
	buffer_append(&sql, "", 1);
	bool sent = postgres_send(postgres, (const char *)sql.data) && postgres_next(postgres, &result);
	enum sink_outcome outcome = SINK_DONE;
	if (!sent) {
		outcome = postgres_lost(postgres, error);
		goto out;
	}
	if (PQresultStatus(result) != PGRES_COPY_OUT) {
		outcome = postgres_fault(postgres, result, error);
		goto out;
	}
	while (outcome == SINK_DONE) {
		if (!postgres_copy_get(postgres, &message, &len)) {
			outcome = postgres_lost(postgres, error);
			goto out;
		}
		if (message == NULL)
			break;
		binary_feed(&reader, (struct bytes){(const uint8_t *)message, len});
		PQfreemem(message);
		outcome = take_rows(database, &reader, columns_len, on_row, error);
	}
	if (outcome == SINK_DONE)
		outcome = copy_finish(postgres, outcome, error);
out:
	PQclear(result);
	binary_fini(&reader);
	buffer_fini(&sql);
	return outcome;
}

/* --- rows ------------------------------------------------------------------------------------------------------ */

static const char *cast_of(enum field_type type)
{
	switch (type) {
	case FIELD_STRING:
		return "text";
	case FIELD_INTEGER:
		return "bigint";
	case FIELD_DECIMAL:
		return "numeric";
	case FIELD_TIMESTAMP:
		return "timestamp";
	}
	return NULL;
}

static struct audit_value foreign(const char *text)
{
	return (struct audit_value){.kind = AUDIT_FOREIGN, .text = {(const uint8_t *)text, strlen(text)}};
}

static struct audit_value value_of(const struct field *field, struct bytes column)
{
	struct audit_value value = {.kind = AUDIT_NULL};
	audit_sum units;
	if (column.data == NULL)
		return value;
	switch (field->type) {
	case FIELD_STRING:
		value.kind = AUDIT_TEXT;
		value.text = column;
		break;
	case FIELD_INTEGER:
		value.kind = AUDIT_NUMBER;
		value.number = binary_integer(column);
		break;
	case FIELD_DECIMAL:
		value.kind = AUDIT_NUMBER;
		if (!binary_numeric(column, field->scale, &units) || units > INT64_MAX || units < INT64_MIN)
			return foreign("a number that the declared type cannot hold");
		value.number = (int64_t)units;
		break;
	case FIELD_TIMESTAMP:
		value.kind = AUDIT_TIME;
		if (!binary_time(column, &value.number))
			return foreign("infinity");
		break;
	}
	return value;
}

static void on_row(struct database *database, const struct bytes *columns)
{
	struct audit *audit = database->audit;
	const struct pipeline *pipeline = audit->pipeline;
	buffer_clear(&database->content);
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		struct audit_value value = value_of(&pipeline->record.fields[i], columns[i]);
		content_add(&database->content, &value);
	}
	keys_put_row(&audit->spool, columns[pipeline->record.key], buffer_bytes(&database->content));
	progress_show(
	    &audit->progress, "PostgreSQL: rows", ++audit->report.rows, audit->report.counters_found[AUDIT_ACCEPTED]);
}

static enum sink_outcome read_rows(struct database *database, struct error *error)
{
	const struct pipeline *pipeline = database->audit->pipeline;
	struct buffer sql = {0};
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		buffer_append_text(&sql, i ? ", " : "SELECT ");
		sql_identifier(&sql, pipeline->record.fields[i].name);
		buffer_printf(&sql, "::%s", cast_of(pipeline->record.fields[i].type));
	}
	buffer_append_text(&sql, " FROM ");
	sql_table(&sql, database->postgres.schema, pipeline->record.table);
	enum sink_outcome outcome = copy_out(database, &sql, pipeline->record.fields_len, on_row, error);
	buffer_fini(&sql);
	return outcome;
}

/* --- totals ---------------------------------------------------------------------------------------------------- */

static enum field_type type_of(const struct pipeline *pipeline, const struct group_column *column)
{
	return column->part == PART_FIELD ? pipeline->record.fields[column->field].type : FIELD_INTEGER;
}

static void on_total(struct database *database, const struct bytes *columns)
{
	const struct pipeline *pipeline = database->audit->pipeline;
	const struct rollup *rollup = &pipeline->rollups[database->rollup];
	audit_sum sums[PIPELINE_MEASURES_MAX] = {0};
	buffer_clear(&database->content);
	for (size_t i = 0; i < rollup->by_len; i++) {
		struct audit_value value = {.kind = columns[i].data != NULL ? AUDIT_NUMBER : AUDIT_NULL};
		if (value.kind == AUDIT_NUMBER && type_of(pipeline, &rollup->by[i]) == FIELD_STRING)
			value = (struct audit_value){.kind = AUDIT_TEXT, .text = columns[i]};
		else if (value.kind == AUDIT_NUMBER)
			value.number =
			    rollup->by[i].part == PART_DAY ? binary_day(columns[i]) : binary_integer(columns[i]);
		content_add(&database->content, &value);
	}
	for (size_t i = 0; i < rollup->measures_len; i++)
		if (!binary_numeric(columns[rollup->by_len + i], rollup->measures[i].scale, &sums[i]))
			sums[i] = AUDIT_SUM_FOREIGN;
	totals_put_found(&database->audit->totals, database->rollup, buffer_bytes(&database->content), sums);
}

static enum sink_outcome read_totals(struct database *database, struct error *error)
{
	const struct pipeline *pipeline = database->audit->pipeline;
	const struct rollup *rollup = &pipeline->rollups[database->rollup];
	struct buffer sql = {0};
	for (size_t i = 0; i < rollup->by_len; i++) {
		buffer_append_text(&sql, i ? ", " : "SELECT ");
		sql_identifier(&sql, rollup->by[i].column);
		buffer_printf(
		    &sql, "::%s", rollup->by[i].part == PART_DAY ? "date" : cast_of(type_of(pipeline, &rollup->by[i])));
	}
	for (size_t i = 0; i < rollup->measures_len; i++) {
		buffer_append_text(&sql, ", ");
		sql_identifier(&sql, rollup->measures[i].column);
		buffer_append_text(&sql, "::numeric");
	}
	buffer_append_text(&sql, " FROM ");
	sql_table(&sql, database->postgres.schema, rollup->table);
	enum sink_outcome outcome = copy_out(database, &sql, rollup->by_len + rollup->measures_len, on_total, error);
	buffer_fini(&sql);
	return outcome;
}

/* --- dead letters ---------------------------------------------------------------------------------------------- */

enum { LETTER_PARTITION, LETTER_OFFSET, LETTER_KEY, LETTER_PAYLOAD, LETTER_RAW, LETTER_REASON, LETTER_COLUMNS };

static void on_letter(struct database *database, const struct bytes *columns)
{
	struct audit *audit = database->audit;
	const struct letter letter = {.partition = (uint32_t)binary_integer(columns[LETTER_PARTITION]),
	    .offset = binary_integer(columns[LETTER_OFFSET]),
	    .key = columns[LETTER_KEY],
	    .payload = columns[LETTER_PAYLOAD],
	    .payload_raw = binary_flag(columns[LETTER_RAW]),
	    .reason = columns[LETTER_REASON]};
	letter_put_found(&audit->spool, &audit->reader, &letter);
	progress_show(&audit->progress, "PostgreSQL: dead letters", ++audit->report.letters, 0);
}

static enum sink_outcome read_letters(struct database *database, struct error *error)
{
	const char *job = database->audit->report.job, *topic = database->audit->pipeline->source.topic;
	struct buffer sql = {0};
	buffer_append_text(&sql, "SELECT \"partition\"::bigint, \"offset\"::bigint, key::bytea, payload::bytea, "
	                         "payload_raw::boolean, reason::text FROM ");
	sql_table(&sql, database->postgres.schema, DEAD_LETTERS_TABLE);
	buffer_append_text(&sql, " WHERE job = ");
	sql_literal(&sql, (struct bytes){(const uint8_t *)job, strlen(job)});
	/* One that names another topic, or another sink, is not the letter of its record. */
	buffer_append_text(&sql, " AND sink = '" POSTGRES_SINK_NAME "' AND topic = ");
	sql_literal(&sql, (struct bytes){(const uint8_t *)topic, strlen(topic)});
	enum sink_outcome outcome = copy_out(database, &sql, LETTER_COLUMNS, on_letter, error);
	buffer_fini(&sql);
	return outcome;
}

/* --- frontier -------------------------------------------------------------------------------------------------- */

enum { FRONTIER_ATTEMPT, FRONTIER_EPOCH, FRONTIER_FINGERPRINT, FRONTIER_MEANING, FRONTIER_COUNTERS };

static enum sink_outcome take_frontier(struct audit *audit, const PGresult *result, struct error *error)
{
	struct report *report = &audit->report;
	if (PQntuples(result) != 1) {
		report->nothing = true;
		(void)error_set(error, RESULT_CONFIG, "job %s has no frontier", report->job);
		return SINK_CONFIG;
	}
	report->attempt = strtoull(PQgetvalue(result, 0, FRONTIER_ATTEMPT), NULL, 10);
	report->epoch = strtoull(PQgetvalue(result, 0, FRONTIER_EPOCH), NULL, 10);
	for (int i = 0; i < AUDIT_COUNTERS; i++)
		report->counters_found[i] = strtoull(PQgetvalue(result, 0, FRONTIER_COUNTERS + i), NULL, 10);
	return postgres_meaning_check(audit->pipeline, PQgetvalue(result, 0, FRONTIER_FINGERPRINT),
	    PQgetvalue(result, 0, FRONTIER_MEANING), error);
}

static enum sink_outcome read_frontier(struct database *database, struct error *error)
{
	struct audit *audit = database->audit;
	struct buffer sql = {0};
	PGresult *result = NULL;
	const char *job = audit->report.job;
	buffer_append_text(&sql, "SELECT attempt, epoch, fingerprint, meaning");
	for (size_t i = 0; i < AUDIT_COUNTERS; i++)
		buffer_printf(&sql, ", coalesce(counters ->> '%s', '0')", audit_counter_names[i]);
	buffer_append_text(&sql, " FROM sluice.frontier WHERE job = $1 AND cut IS NOT NULL");
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome =
	    postgres_query(&database->postgres, &result, error, (const char *)sql.data, 1, &job);
	if (outcome == SINK_DONE)
		outcome = take_frontier(audit, result, error);
	PQclear(result);
	buffer_fini(&sql);
	return outcome;
}

/* A frontier that knows where the job started says so; otherwise its first checkpoint does, while it is named. */
static const char partitions_sql[] =
    "SELECT p.key::bigint, p.value::bigint, coalesce(s.start ->> p.key, '0')::bigint, s.start IS NOT NULL, "
    "coalesce(s.meant_from ->> p.key, '0')::bigint "
    "FROM (SELECT f.cut, nullif(to_jsonb(f) -> 'meant_from', 'null') AS meant_from, coalesce(nullif(to_jsonb(f) -> "
    "'start', 'null'), (SELECT c.cut FROM sluice.checkpoints c "
    "WHERE c.job = f.job AND c.attempt = 0 AND c.epoch = 0)) AS start FROM sluice.frontier f WHERE f.job = $1) s, "
    "jsonb_each_text(s.cut) p ORDER BY 1";

static enum sink_outcome read_partitions(struct database *database, struct error *error)
{
	struct report *report = &database->audit->report;
	PGresult *result = NULL;
	const char *job = report->job;
	enum sink_outcome outcome = postgres_query(&database->postgres, &result, error, partitions_sql, 1, &job);
	if (outcome != SINK_DONE)
		return outcome;
	report->partitions_len = (size_t)PQntuples(result);
	report->partitions = memory_new((report->partitions_len + 1) * sizeof report->partitions[0]);
	bool start_known = true;
	for (size_t i = 0; i < report->partitions_len && outcome == SINK_DONE; i++) {
		struct audit_partition *partition = &report->partitions[i];
		int64_t number = strtoll(PQgetvalue(result, (int)i, 0), NULL, 10);
		partition->partition = (uint32_t)number;
		partition->cut = strtoll(PQgetvalue(result, (int)i, 1), NULL, 10);
		partition->start = strtoll(PQgetvalue(result, (int)i, 2), NULL, 10);
		partition->meant_from = strtoll(PQgetvalue(result, (int)i, 4), NULL, 10);
		start_known = start_known && *PQgetvalue(result, (int)i, 3) == 't';
		if (number < 0 || number > INT32_MAX || partition->start < 0 || partition->start > partition->cut) {
			(void)error_set(error, RESULT_CONFIG,
			    "the cut or the start of job %s is none: partition %" PRId64 " from %" PRId64
			    " to %" PRId64,
			    job, number, partition->start, partition->cut);
			outcome = SINK_CONFIG;
		}
	}
	PQclear(result);
	/* Offset 0 is right for `earliest`, also where Kafka begins later: then the beginning is gone. */
	if (outcome == SINK_DONE && !start_known && database->audit->pipeline->source.start.at != START_EARLIEST) {
		(void)error_set(error, RESULT_CONFIG,
		    "the database does not say any more where job %s started: its first checkpoint is gone", job);
		outcome = SINK_CONFIG;
	}
	return outcome;
}

static enum sink_outcome read_skips(struct database *database, struct error *error)
{
	struct report *report = &database->audit->report;
	PGresult *result = NULL;
	const char *job = report->job;
	enum sink_outcome outcome = postgres_query(&database->postgres, &result, error,
	    "SELECT (detail ->> 'partition')::bigint, (detail ->> 'from')::bigint, (detail ->> 'to')::bigint, "
	    "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
	    "FROM sluice.interventions WHERE job = $1 AND verb = 'skip' ORDER BY id",
	    1, &job);
	for (int i = 0; outcome == SINK_DONE && i < PQntuples(result); i++) {
		struct audit_skip skip = {.partition = (uint32_t)strtoul(PQgetvalue(result, i, 0), NULL, 10),
		    .from = strtoll(PQgetvalue(result, i, 1), NULL, 10),
		    .to = strtoll(PQgetvalue(result, i, 2), NULL, 10)};
		(void)snprintf(skip.at, sizeof skip.at, "%s", PQgetvalue(result, i, 3));
		report_add_skip(report, &skip);
	}
	PQclear(result);
	return outcome;
}

static enum sink_outcome read_accepted(struct database *database, struct error *error)
{
	struct report *report = &database->audit->report;
	PGresult *result = NULL;
	const char *job = report->job;
	enum sink_outcome outcome = postgres_query(&database->postgres, &result, error,
	    "SELECT (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(detail) k), "
	    "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
	    "FROM sluice.interventions WHERE job = $1 AND verb = 'accept' ORDER BY id",
	    1, &job);
	report->accepted_len = outcome == SINK_DONE ? (size_t)PQntuples(result) : 0;
	report->accepted = memory_new((report->accepted_len + 1) * sizeof report->accepted[0]);
	for (size_t i = 0; i < report->accepted_len; i++) {
		struct audit_accepted *accepted = &report->accepted[i];
		(void)snprintf(accepted->names, sizeof accepted->names, "%s", PQgetvalue(result, (int)i, 0));
		(void)snprintf(accepted->at, sizeof accepted->at, "%s", PQgetvalue(result, (int)i, 1));
	}
	PQclear(result);
	return outcome;
}

/* --- snapshot -------------------------------------------------------------------------------------------------- */

static enum sink_outcome read_snapshot(struct database *database, struct error *error)
{
	uint64_t began_us = clock_monotonic_us();
	enum sink_outcome outcome = postgres_query(&database->postgres, NULL, error,
	    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0", 0, NULL);
	if (outcome == SINK_DONE)
		outcome = read_frontier(database, error);
	if (outcome == SINK_DONE)
		outcome = read_partitions(database, error);
	if (outcome == SINK_DONE)
		outcome = read_skips(database, error);
	if (outcome == SINK_DONE)
		outcome = read_accepted(database, error);
	for (database->rollup = 0; database->rollup < database->audit->pipeline->rollups_len; database->rollup++)
		if (outcome == SINK_DONE)
			outcome = read_totals(database, error);
	if (outcome == SINK_DONE)
		outcome = read_letters(database, error);
	if (outcome == SINK_DONE)
		outcome = read_rows(database, error);
	if (outcome == SINK_DONE)
		outcome = postgres_query(&database->postgres, NULL, error, "COMMIT", 0, NULL);
	database->audit->report.snapshot_seconds = (double)(clock_monotonic_us() - began_us) / 1e6;
	return outcome;
}

enum result audit_database_read(struct audit *audit, struct error *error)
{
	struct database database = {.audit = audit, .postgres = {.stop_fd = -1, .reads_only = true}};
	bool there = false;
	enum sink_outcome outcome = postgres_connect(&database.postgres, audit->pipeline, "sluicectl audit", error);
	if (outcome == SINK_DONE)
		outcome = postgres_schema_find(&database.postgres, &there, error);
	if (outcome == SINK_DONE && !there) {
		audit->report.nothing = true;
		(void)error_set(error, RESULT_CONFIG, "this database has no schema sluice");
		outcome = SINK_CONFIG;
	}
	if (outcome == SINK_DONE)
		outcome = read_snapshot(&database, error);
	postgres_fini(&database.postgres);
	buffer_fini(&database.content);
	if (outcome != SINK_DONE)
		return outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
	return spool_check(&audit->spool, error);
}
