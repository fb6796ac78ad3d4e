/* services/sink/postgres_commit.c - see postgres_commit.h. */
#include "services/sink/postgres_commit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/key_group.h"
#include "common/base/mutant.h"
#include "common/postgres/ddl.h"
#include "common/postgres/postgres_counts.h"

enum part { PART_ROWS, PART_LETTERS, PART_DECISIONS, PARTS };

/* One transaction on its way. */
struct run {
	struct postgres_commit *commit;
	struct postgres *postgres;
	const struct transaction *transaction;
	enum part parts[PARTS]; /* the COPYs in the order of the string */
	size_t parts_len;
	size_t asked; /* how many of them the server has asked for */
	bool copying; /* the last of these is not over */
	bool advanced; /* the frontier has answered */
	size_t rollup; /* from this one on, totals have not answered */
	bool committed;
	enum sink_outcome outcome;
	struct error *error;
};

static struct bytes text_bytes(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

enum sink_outcome postgres_commit_prepare(struct postgres_commit *commit, struct postgres *postgres,
    const struct pipeline *pipeline, const char *job, struct error *error)
{
	commit->pipeline = pipeline;
	commit->job = job;
	buffer_clear(&commit->sql);
	totals_prepare_print(&commit->totals, pipeline, postgres->schema, &commit->sql);
	postgres_objects_prepare_print(&commit->objects, &commit->sql);
	written_prepare_print(&commit->objects, pipeline, &commit->sql);
	commit->frontier = key_hash(text_bytes(job));
	buffer_append(&commit->sql, "", 1);
	enum sink_outcome outcome = postgres_query(postgres, NULL, error, (const char *)commit->sql.data, 0, NULL);
	return outcome == SINK_DONE ? written_possible(postgres, error) : outcome;
}

const char *postgres_commit_place(const struct postgres_commit *commit, char text[PLACE_TEXT_MAX])
{
	places_print(&commit->totals.places, commit->frontier, text);
	return text;
}

/* ---- the string ---- */

static void sums_literal(const struct pipeline *pipeline, const struct sums *sums, struct buffer *sql)
{
	struct buffer text = {0};

	if (sums == NULL || !sums->known) {
		buffer_append_text(sql, "NULL");
		return;
	}
	sums_print(pipeline, sums, &text);
	sql_literal(sql, buffer_bytes(&text));
	buffer_fini(&text);
}

static void advance_print(struct postgres_commit *commit, const struct transaction *transaction, struct buffer *sql)
{
	const struct epoch_id *from = &transaction->predecessor, *to = &transaction->epoch;
	char place[PLACE_TEXT_MAX] = PLACE_NOWHERE;

	buffer_printf(sql, "BEGIN;\nSELECT sluice.frontier_advance%s(", transaction->checkpoint ? "_checkpoint" : "");
	sql_literal(sql, text_bytes(commit->job));
	buffer_printf(sql, ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", '", transaction->fence,
	    from->attempt, from->n, to->attempt, to->n);
	cut_print(transaction->cut, sql);
	buffer_append_text(sql, "', '");
	counters_print(&transaction->counters, sql);
	buffer_append_text(sql, "', ");
	sums_literal(commit->pipeline, transaction->after, sql);
	if (way_is_place(&commit->way))
		postgres_commit_place(commit, place);
	buffer_printf(sql, ", '%s', '", place);
	marks_print(transaction->marks, sql);
	buffer_append_text(sql, "');\n");
}

static void copy_rows_print(const struct pipeline *pipeline, const char *schema, struct buffer *sql)
{
	buffer_append_text(sql, "COPY ");
	sql_table(sql, schema, pipeline->record.table);
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		buffer_append_text(sql, i ? ", " : " (");
		sql_identifier(sql, pipeline->record.fields[i].name);
	}
	buffer_append_text(sql, ") FROM STDIN (FORMAT binary);\n");
}

/* What is going to be written, by table. */
static void written_expect(struct postgres_commit *commit, const struct transaction *transaction)
{
	struct written *written = &commit->written;
	size_t rollups_len = commit->pipeline->rollups_len, letters = 1 + rollups_len;

	*written = (struct written){.len = letters + 2};
	written->put[0] = commit->rows.len;
	for (size_t i = 0; i < rollups_len; i++) {
		written->put[1 + i] = commit->totals.groups[i];
		/* A row that goes to another page, where it is where it is thought to be. */
		written->deleted[1 + i] = commit->totals.apart[i] != 0;
	}
	for (size_t i = 0; i < transaction->letters_len; i++)
		written->put[letters] += transaction->letters[i].len;
	for (size_t i = 0; i < transaction->decisions_len; i++)
		written->put[letters + 1] += transaction->decisions[i].len;
}

static bool any_letters(const struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->letters_len; i++)
		if (transaction->letters[i].len)
			return true;
	return false;
}

static bool any_decisions(const struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->decisions_len; i++)
		if (transaction->decisions[i].len)
			return true;
	return false;
}

static void string_build(struct run *run)
{
	struct postgres_commit *commit = run->commit;
	struct buffer *sql = &commit->sql;

	buffer_clear(sql);
	advance_print(commit, run->transaction, sql);
	buffer_append_text(sql, WRITTEN_BEFORE);
	if (commit->rows.len) {
		run->parts[run->parts_len++] = PART_ROWS;
		copy_rows_print(commit->pipeline, run->postgres->schema, sql);
	}
	if (any_letters(run->transaction)) {
		run->parts[run->parts_len++] = PART_LETTERS;
		buffer_append_text(sql, "COPY ");
		sql_table(sql, run->postgres->schema, DEAD_LETTERS_TABLE);
		buffer_append_text(sql, " (job, topic, \"partition\", \"offset\", key, payload, payload_raw, "
		                        "reason, detail, sink, epoch) FROM STDIN (FORMAT binary);\n");
	}
	if (any_decisions(run->transaction)) {
		run->parts[run->parts_len++] = PART_DECISIONS;
		buffer_append_text(sql, "COPY sluice.decisions (job, topic, \"partition\", \"offset\", verdict, epoch) "
		                        "FROM STDIN (FORMAT binary);\n");
	}
	totals_execute_print(&commit->totals, commit->pipeline, sql);
	written_expect(commit, run->transaction);
	if (!MUTANT(written_unchecked))
		written_after_print(&commit->written, sql);
	if (!MUTANT(tables_unasked))
		buffer_append_text(sql, OBJECTS_ASK);
	/* A timeout would end the wait for a synchronous standby, and the commit would be acknowledged without it. */
	buffer_append_text(sql, "SET LOCAL statement_timeout = 0;\n");
	buffer_append(sql, "COMMIT", sizeof "COMMIT");
}

/* ---- the data ---- */

static void rows_send(const struct run *run, struct copy *copy)
{
	const struct epoch_rows *rows = &run->commit->rows;

	for (size_t i = 0; i < rows->len; i++)
		copy_tuple(copy, epoch_rows_tuple(rows, i));
}

static void letter_send(const struct run *run, const struct letter *letter, struct bytes epoch, struct copy *copy)
{
	copy_tuple_begin(copy, 11);
	copy_bytes(copy, text_bytes(run->commit->job));
	copy_bytes(copy, text_bytes(run->commit->pipeline->source.topic));
	copy_integer(copy, (int32_t)letter->partition);
	copy_bigint(copy, letter->offset);
	copy_bytes_or_null(copy, letter->key);
	copy_bytes_or_null(copy, letter->payload);
	copy_flag(copy, letter->payload_raw);
	copy_bytes(copy, letter->reason);
	copy_bytes_or_null(copy, letter->detail);
	copy_bytes(copy, text_bytes(POSTGRES_SINK_NAME));
	copy_bytes(copy, epoch);
}

static void decision_send(const struct run *run, const struct decision *decision, struct bytes epoch, struct copy *copy)
{
	copy_tuple_begin(copy, 6);
	copy_bytes(copy, text_bytes(run->commit->job));
	copy_bytes(copy, text_bytes(run->commit->pipeline->source.topic));
	copy_integer(copy, (int32_t)decision->partition);
	copy_bigint(copy, decision->offset);
	copy_bytes(copy, text_bytes(verdict_name(decision->verdict)));
	copy_bytes(copy, epoch);
}

static bool part_send(struct run *run, enum part part)
{
	const struct transaction *transaction = run->transaction;
	struct copy *copy = &run->commit->copy;
	char text[48];

	snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu64, transaction->epoch.attempt, transaction->epoch.n);
	struct bytes epoch = text_bytes(text);
	copy_begin(copy, run->postgres);
	switch (part) {
	case PART_ROWS:
		rows_send(run, copy);
		break;
	case PART_LETTERS:
		for (size_t i = 0; i < transaction->letters_len; i++)
			for (uint32_t j = 0; j < transaction->letters[i].len; j++)
				letter_send(run, &transaction->letters[i].entries[j], epoch, copy);
		break;
	case PART_DECISIONS:
		for (size_t i = 0; i < transaction->decisions_len; i++)
			for (uint32_t j = 0; j < transaction->decisions[i].len; j++)
				decision_send(run, &transaction->decisions[i].entries[j], epoch, copy);
		break;
	case PARTS:
		break;
	}
	return copy_end(copy);
}

/* ---- the answers ---- */

/* "COPY transactions, line 7, column total_amount": 7; 0 when the context does not say. */
static size_t line_of(const PGresult *result, const char *table)
{
	const char *at = PQresultErrorField(result, PG_DIAG_CONTEXT);

	at = at ? strstr(at, "COPY ") : NULL;
	at = at ? strstr(at, table) : NULL;
	if (!at)
		return 0;
	at += strlen(table);
	while (*at && !isdigit((unsigned char)*at))
		at++;
	return strtoull(at, NULL, 10);
}

/* Data that the server refuses although ingest let it pass: says which record it was. */
static void record_name(struct run *run, const PGresult *result)
{
	const struct pipeline *pipeline = run->commit->pipeline;
	struct row *row = &run->commit->rows.row;
	size_t line = line_of(result, pipeline->record.table);

	if (!line || !epoch_rows_source(&run->commit->rows, pipeline, line - 1, row))
		return;
	struct bytes key = row->values[pipeline->record.key].text;
	error_wrap(run->error, "record %s/%u/%lld with key \"%.*s\"", pipeline->source.topic, row->partition,
	    (long long)row->offset, (int)key.len, key.data ? (const char *)key.data : "");
}

static void on_refused(struct run *run, const PGresult *result)
{
	const char *state = postgres_state(result);
	bool rows = run->copying && run->parts[run->asked - 1] == PART_ROWS;

	if (run->outcome != SINK_DONE)
		return; /* the first word counts */
	run->outcome = postgres_fault(run->postgres, result, run->error);
	if (run->outcome != SINK_CONFIG || (strncmp(state, "22", 2) != 0 && strncmp(state, "23", 2) != 0))
		return;
	if (rows && strcmp(state, "23505") == 0) {
		run->outcome = SINK_LATE; /* most likely: see late */
		postgres_words(run->postgres, result, run->error);
	}
	if (rows)
		record_name(run, result);
	else if (run->copying && run->parts[run->asked - 1] == PART_LETTERS)
		error_wrap(run->error, "a dead letter was refused");
}

/* Rows are answered by the frontier's statement, by those of the totals, with two columns, and by what is asked besides. Where the transaction fails after all, the places learned are wrong, and missed. */
static void on_rows(struct run *run, const PGresult *result)
{
	struct postgres_commit *commit = run->commit;

	if (!run->advanced) {
		run->advanced = true;
		places_learn(&commit->totals.places, commit->frontier, PQgetvalue(result, 0, 0), &commit->way);
		return;
	}
	if (PQnfields(result) != 2)
		return;
	while (run->rollup < commit->pipeline->rollups_len && !commit->totals.groups[run->rollup])
		run->rollup++;
	if (run->rollup < commit->pipeline->rollups_len)
		totals_learn(&commit->totals, run->rollup++, result);
}

/* false: the link is lost. */
static bool on_result(struct run *run, const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_COPY_IN) {
		CHECK(run->asked < run->parts_len);
		run->copying = true;
		bool sent = part_send(run, run->parts[run->asked++]);
		CRASH_POINT(commit_copying);
		if (run->asked == run->parts_len)
			CRASH_POINT(commit_sent);
		return sent;
	}
	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
		run->copying = false;
		run->committed = strcmp(PQcmdStatus((PGresult *)result), "COMMIT") == 0;
		if (status == PGRES_TUPLES_OK)
			on_rows(run, result);
	} else {
		on_refused(run, result);
	}
	return true;
}

static enum sink_outcome drive(struct run *run)
{
	PGresult *result = NULL;

	CRASH_POINT(commit_encoded);
	if (!postgres_send(run->postgres, (const char *)run->commit->sql.data))
		return postgres_lost(run->postgres, run->error);
	for (;;) {
		if (!postgres_next(run->postgres, &result))
			return postgres_lost(run->postgres, run->error);
		if (!result)
			break;
		bool here = on_result(run, result);
		PQclear(result);
		if (!here)
			return postgres_lost(run->postgres, run->error);
	}
	if (run->committed)
		CRASH_POINT(commit_answered);
	if (run->outcome == SINK_DONE && !run->committed) {
		error_set(run->error, RESULT_RETRY, "PostgreSQL did not say COMMIT");
		run->outcome = SINK_UNKNOWN;
	}
	return run->outcome;
}

/* The totals grow by what the rows bring. */
static enum result rows_add_up(const struct epoch_rows *rows, const struct pipeline *pipeline,
    const struct transaction *transaction, struct error *error)
{
	char text[2][DECIMAL_TEXT_MAX];

	for (size_t i = 0; i < pipeline->rollups_len && transaction->after != NULL; i++) {
		const struct rollup *rollup = &pipeline->rollups[i];
		for (size_t m = 0; m < rollup->measures_len; m++) {
			const struct measure *measure = &rollup->measures[m];
			uint128 grown = transaction->after->of[i][m].plain - transaction->before->of[i][m].plain;
			int128 brought = rows->sums[measure->field];
			if (grown == (uint128)brought || MUTANT(rows_not_added_up))
				continue;
			(void)decimal_print(brought, measure->scale, text[0]);
			(void)decimal_print((int128)grown, measure->scale, text[1]);
			return error_stop(error, STOP_STATE_DIFFERS,
			    "the rows of epoch %" PRIu64 ".%" PRIu64
			    " bring %s of %s, but %s of %s grows by %s; nothing of it "
			    "is written",
			    transaction->epoch.attempt, transaction->epoch.n, text[0],
			    pipeline->record.fields[measure->field].name, measure->column, rollup->table, text[1]);
		}
	}
	return RESULT_OK;
}

enum sink_outcome postgres_commit_run(struct postgres_commit *commit, struct postgres *postgres,
    const struct transaction *transaction, struct error *error)
{
	struct run run = {.commit = commit, .postgres = postgres, .transaction = transaction, .error = error};

	if (!postgres_alive(postgres))
		return postgres_lost(postgres, error);
	enum result result =
	    epoch_rows_build(&commit->rows, commit->pipeline, transaction->rows, transaction->rows_len, error);
	if (result == RESULT_OK)
		result = rows_add_up(&commit->rows, commit->pipeline, transaction, error);
	if (result == RESULT_OK)
		result = totals_build(
		    &commit->totals, commit->pipeline, transaction->totals, transaction->totals_len, error);
	if (result != RESULT_OK)
		return SINK_CONFIG; /* error.code tells CORRUPT from CONFIG */
	string_build(&run);
	return drive(&run);
}

void postgres_commit_fini(struct postgres_commit *commit)
{
	epoch_rows_fini(&commit->rows);
	totals_fini(&commit->totals);
	buffer_fini(&commit->copy.chunk);
	buffer_fini(&commit->sql);
}
