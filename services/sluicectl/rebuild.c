/* services/sluicectl/rebuild.c - see rebuild.h. */
#include "services/sluicectl/rebuild.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/job.h"
#include "common/base/timestamp.h"
#include "common/postgres/postgres_counts.h"
#include "common/postgres/postgres_schema.h"
#include "services/sluicectl/same_log.h"
#include "services/sluicectl/sluicectl.h"

struct rebuild {
	const struct pipeline *pipeline;
	bool dry_run, from_kafka;
	const struct rebuild_move *move; /* or NULL */
	char job[JOB_NAME_MAX];
	struct postgres postgres;
	struct checkpoint_store *store; /* NULL with dry_run */
	struct progress progress;
	/* of the frontier's row */
	uint64_t fence;
	char *cut_text, *start_text; /* the latter "": not known */
	struct cut cut;
	struct sums sums;
	bool counted_from_start; /* these */
	bool decisions_whole, meant_always; /* no decision was retired; the file's meaning was never another */
	/* what comes of it */
	struct epoch_id checkpoint;
	struct rebuilt rebuilt;
};

static enum result ask(struct rebuild *rebuild, PGresult **result, struct error *error, const char *sql, int len,
    const char *const *params)
{
	enum sink_outcome outcome = postgres_query(&rebuild->postgres, result, error, sql, len, params);
	if (outcome == SINK_DONE)
		return RESULT_OK;
	error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
	return error->code;
}

/* {"0": 12, "3": 4}, one row of the answer an entry: jsonb's own reading. */
static enum result read_cut(struct rebuild *rebuild, const char *text, struct cut *cut, struct error *error)
{
	PGresult *result = NULL;
	if (ask(rebuild, &result, error, "SELECT key::bigint, value::bigint FROM jsonb_each_text($1::jsonb) ORDER BY 1",
	        1, &text) != RESULT_OK)
		return error->code;
	for (int i = 0; i < PQntuples(result); i++)
		cut_set(cut, (uint32_t)strtoul(PQgetvalue(result, i, 0), NULL, 10),
		    strtoll(PQgetvalue(result, i, 1), NULL, 10));
	PQclear(result);
	return RESULT_OK;
}

enum { FENCE, CUT, START, FINGERPRINT, MEANING, MEANT_ALWAYS, DECISIONS_WHOLE, FROM_START, COUNTS };

static void put_frontier_query(const struct rebuild *rebuild, bool hold, struct buffer *sql)
{
	buffer_append_text(sql, "SELECT fence");
	if (hold) {
		buffer_append_text(sql,
		    ", cut::text, coalesce(start::text, ''), fingerprint, meaning, meant_epoch = 0 AND meant_attempt = "
		    "0, "
		    "EXISTS (SELECT FROM sluice.checkpoints c WHERE c.job = f.job AND c.attempt = 0 AND c.epoch = 0), "
		    "counted_from_start");
		counts_sql(rebuild->pipeline, sql);
	}
	buffer_printf(
	    sql, " FROM sluice.frontier f WHERE f.job = $1 AND f.cut IS NOT NULL%s", hold ? " FOR UPDATE" : "");
	buffer_append(sql, "", 1);
}

static enum result take_frontier(struct rebuild *rebuild, const PGresult *result, struct error *error)
{
	struct counts counts;
	rebuild->cut_text = text_clone(PQgetvalue(result, 0, CUT));
	rebuild->start_text = text_clone(PQgetvalue(result, 0, START));
	rebuild->meant_always = PQgetvalue(result, 0, MEANT_ALWAYS)[0] == 't';
	rebuild->decisions_whole = PQgetvalue(result, 0, DECISIONS_WHOLE)[0] == 't';
	rebuild->counted_from_start = PQgetvalue(result, 0, FROM_START)[0] == 't';
	if (!counts_take(result, 0, COUNTS, rebuild->pipeline, &counts))
		return error_set(error, RESULT_CONFIG, "the sums in the frontier of job %s are none", rebuild->job);
	rebuild->sums = counts.sums;
	return postgres_meaning_check(rebuild->pipeline, PQgetvalue(result, 0, FINGERPRINT),
	           PQgetvalue(result, 0, MEANING), error) == SINK_DONE
	           ? RESULT_OK
	           : error->code;
}

/* Nobody commits while this transaction holds the row. */
static enum result read_frontier(struct rebuild *rebuild, bool hold, struct error *error)
{
	PGresult *result = NULL;
	struct buffer sql = {0};
	const char *job = rebuild->job;
	put_frontier_query(rebuild, hold, &sql);
	enum result outcome = ask(rebuild, &result, error, (const char *)sql.data, 1, &job);
	buffer_fini(&sql);
	if (outcome == RESULT_OK && PQntuples(result) != 1)
		outcome = error_set(error, RESULT_CONFIG, "job %s was never started: there is nothing to rebuild", job);
	if (outcome == RESULT_OK)
		rebuild->fence = strtoull(PQgetvalue(result, 0, FENCE), NULL, 10);
	if (outcome == RESULT_OK && hold)
		outcome = take_frontier(rebuild, result, error);
	PQclear(result);
	if (outcome == RESULT_OK && hold)
		outcome = read_cut(rebuild, rebuild->cut_text, &rebuild->cut, error);
	return outcome;
}

static enum result lock_free(struct rebuild *rebuild, struct error *error)
{
	enum sink_outcome outcome = postgres_lock_free(&rebuild->postgres, rebuild->job, error);
	if (outcome == SINK_DONE)
		return RESULT_OK;
	error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
	return error->code;
}

/* From here on a writer of before cannot commit. */
static enum result raise_fence(struct rebuild *rebuild, struct error *error)
{
	char number[24];
	const char *params[] = {rebuild->job, number};
	if (read_frontier(rebuild, false, error) != RESULT_OK)
		return error->code;
	rebuild->checkpoint = (struct epoch_id){rebuild->fence + 1, 0};
	if (rebuild->dry_run)
		return RESULT_OK;
	if (rebuild->store->ops->take_attempt(
	        rebuild->store, rebuild->fence + 1, &rebuild->checkpoint.attempt, error) != RESULT_OK)
		return error->code;
	(void)snprintf(number, sizeof number, "%" PRIu64, rebuild->checkpoint.attempt);
	return ask(rebuild, NULL, error, "UPDATE sluice.frontier SET fence = $2 WHERE job = $1 AND fence < $2::bigint",
	    2, params);
}

static enum result check_kafka(const struct rebuild *rebuild, struct error *error)
{
	static const char instead[] = "use --from database";
	if (rebuild->start_text[0] == '\0')
		return error_set(error, RESULT_CONFIG, "the database does not say where the job started: %s", instead);
	if (!rebuild->meant_always)
		return error_set(error, RESULT_CONFIG,
		    "the log was read by another pipeline file at first, so a replay would judge it otherwise: %s",
		    instead);
	if (!rebuild->decisions_whole && rebuild->cut.len > 1)
		return error_set(error, RESULT_CONFIG,
		    "decisions about repeats between partitions have been retired with older checkpoints, so a replay "
		    "from the "
		    "start might decide otherwise: %s",
		    instead);
	return RESULT_OK;
}

static enum result write_manifest(struct rebuild *rebuild, const struct cut *cut, struct error *error)
{
	struct checkpoint_store *store = rebuild->store;
	struct frame_manifest manifest = {
	    .job = rebuild->job,
	    .epoch = rebuild->checkpoint,
	    .cut = *cut,
	    .fingerprint = rebuild->pipeline->fingerprint,
	    .key_groups = rebuild->pipeline->key_groups,
	    .created_us = clock_realtime_us(),
	};
	struct frame_manifest found;
	struct arena arena = {0};
	bool existed, there = false;
	if (rebuild->rebuilt.file.bytes > 0)
		manifest.files = (struct files){&rebuild->rebuilt.file, 1};
	enum result result = store->ops->put_manifest(store, &manifest, &existed, error);
	if (result == RESULT_OK && existed)
		result = store->ops->get_manifest(store, manifest.epoch, &arena, &found, &there, error);
	if (result == RESULT_OK && existed && (!there || !cut_equal(&found.cut, cut)))
		result = error_set(error, RESULT_CONFIG,
		    "the checkpoint folder holds another checkpoint %" PRIu64 ".%" PRIu64 ": empty it first",
		    manifest.epoch.attempt, manifest.epoch.n);
	arena_fini(&arena);
	return result;
}

/* What the tables add up to is what the state is made of, and from now on what the frontier says. */
static enum result check_sums(const struct rebuild *rebuild, struct error *error)
{
	char words[512];
	if (!rebuild->counted_from_start || !rebuild->sums.known ||
	    sums_agree(rebuild->pipeline, &rebuild->rebuilt.sums, "the table", &rebuild->sums, "the frontier", words,
	        sizeof words))
		return RESULT_OK;
	return error_stop(error, STOP_TABLES_DIFFER, "%s: somebody else has changed the tables", words);
}

/* The names: none but this one. What is replayed from the start has nothing; where the frontier has not counted from there, it cannot be
 * compared with that. */
static enum result name_it(struct rebuild *rebuild, const char *cut, struct error *error)
{
	char attempt[24];
	struct buffer sums = {0};
	const char *params[] = {rebuild->job, attempt, cut, NULL};
	(void)snprintf(attempt, sizeof attempt, "%" PRIu64, rebuild->checkpoint.attempt);
	if (!rebuild->from_kafka) {
		sums_print(rebuild->pipeline, &rebuild->rebuilt.sums, &sums);
		buffer_append(&sums, "", 1);
		params[3] = (const char *)sums.data;
	}
	enum result result = ask(rebuild, NULL, error, "DELETE FROM sluice.checkpoints WHERE job = $1", 1, params);
	if (result == RESULT_OK && rebuild->from_kafka)
		result = ask(rebuild, NULL, error,
		    "INSERT INTO sluice.checkpoints (job, attempt, epoch, cut, counters, sums) SELECT f.job, $2, 0, "
		    "$3, "
		    "CASE WHEN counted_from_start THEN '{}'::jsonb END, CASE WHEN counted_from_start THEN '{}'::jsonb "
		    "END "
		    "FROM sluice.frontier f WHERE f.job = $1",
		    3, params);
	else if (result == RESULT_OK)
		result = ask(rebuild, NULL, error,
		    "WITH f AS (UPDATE sluice.frontier SET sums = $4 WHERE job = $1 RETURNING job, counters, sums, "
		    "marks) "
		    "INSERT INTO sluice.checkpoints (job, attempt, epoch, cut, counters, sums, marks) "
		    "SELECT job, $2, 0, $3, counters, sums, marks FROM f",
		    4, params);
	buffer_fini(&sums);
	return result;
}

static enum result move_frontier(struct rebuild *rebuild, struct error *error)
{
	bool moved = false;
	if (rebuild->move == NULL)
		return RESULT_OK;
	enum result result = rebuild->move->move(
	    rebuild->move->context, &rebuild->postgres, &rebuild->cut, rebuild->checkpoint.attempt, &moved, error);
	if (result != RESULT_OK || !moved || rebuild->dry_run)
		return result;
	free(rebuild->cut_text);
	free(rebuild->start_text);
	rebuild->cut_text = rebuild->start_text = NULL;
	rebuild->cut.len = 0;
	return read_frontier(rebuild, true, error);
}

static enum result within_transaction(struct rebuild *rebuild, struct error *error)
{
	uint64_t fence = rebuild->fence;
	struct cut start = {0};
	if (read_frontier(rebuild, true, error) != RESULT_OK)
		return error->code;
	if (rebuild->fence != (rebuild->dry_run ? fence : rebuild->checkpoint.attempt))
		return error_set(error, RESULT_CONFIG, "a job has started meanwhile: stop it, and try again");
	enum result result = move_frontier(rebuild, error);
	if (result != RESULT_OK)
		return result;
	if (rebuild->from_kafka) {
		result = check_kafka(rebuild, error);
		rebuild->checkpoint = (struct epoch_id){0};
		if (result == RESULT_OK)
			result = read_cut(rebuild, rebuild->start_text, &start, error);
	} else {
		result = rebuild_totals(&rebuild->postgres, rebuild->pipeline, rebuild->store, rebuild->checkpoint,
		    rebuild->dry_run, &rebuild->progress, &rebuild->rebuilt, error);
		if (result == RESULT_OK)
			result = check_sums(rebuild, error);
	}
	CRASH_POINT(rebuild_written);
	if (result == RESULT_OK && !rebuild->dry_run)
		result = write_manifest(rebuild, rebuild->from_kafka ? &start : &rebuild->cut, error);
	CRASH_POINT(rebuild_manifest);
	if (result == RESULT_OK && !rebuild->dry_run)
		result = name_it(rebuild, rebuild->from_kafka ? rebuild->start_text : rebuild->cut_text, error);
	CRASH_POINT(rebuild_named);
	cut_fini(&start);
	return result;
}

static enum result run(struct rebuild *rebuild, struct error *error)
{
	const struct pipeline *pipeline = rebuild->pipeline;
	struct postgres_objects objects = {0};
	enum sink_outcome outcome = postgres_connect(&rebuild->postgres, pipeline, "sluicectl rebuild", error);
	if (outcome == SINK_DONE && !rebuild->dry_run)
		outcome = postgres_schema_apply(&rebuild->postgres, pipeline, rebuild->job, &objects, NULL, error);
	if (outcome == SINK_DONE && rebuild->dry_run)
		outcome = postgres_schema_check(&rebuild->postgres, rebuild->job, error);
	enum result result = outcome == SINK_DONE     ? RESULT_OK
	                     : outcome == SINK_CONFIG ? (error->code = RESULT_CONFIG)
	                                              : (error->code = RESULT_RETRY);
	if (result == RESULT_OK)
		result = lock_free(rebuild, error);
	if (result == RESULT_OK)
		result = same_log_or_refuse(pipeline, rebuild->job, JOB_TOTALS, rebuild->move != NULL, error);
	if (result == RESULT_OK && !rebuild->dry_run) /* which makes folders */
		result = checkpoint_folder_open(&rebuild->store, pipeline->checkpoint.dir, rebuild->job, error);
	if (result == RESULT_OK)
		result = raise_fence(rebuild, error);
	CRASH_POINT(rebuild_begun);
	if (result == RESULT_OK)
		result = ask(rebuild, NULL, error, "BEGIN; SET LOCAL statement_timeout = 0", 0, NULL);
	if (result == RESULT_OK)
		result = within_transaction(rebuild, error);
	if (result == RESULT_OK)
		result = ask(rebuild, NULL, error, rebuild->dry_run ? "ROLLBACK" : "COMMIT", 0, NULL);
	progress_clear(&rebuild->progress);
	return result;
}

static void print(const struct rebuild *rebuild, bool json)
{
	const char *source = rebuild->from_kafka ? "kafka" : "database";
	if (json) {
		(void)printf("{\"job\": \"%s\", \"from\": \"%s\", \"dry_run\": %s, \"checkpoint\": \"%" PRIu64
		             ".%" PRIu64 "\", \"cut\": %s, \"totals\": %" PRIu64 "}\n",
		    rebuild->job, source, rebuild->dry_run ? "true" : "false", rebuild->checkpoint.attempt,
		    rebuild->checkpoint.n, rebuild->from_kafka ? rebuild->start_text : rebuild->cut_text,
		    rebuild->rebuilt.totals);
		return;
	}
	(void)printf("job         %s\nfrontier    %s\ncheckpoint  %" PRIu64 ".%" PRIu64 " %s\n", rebuild->job,
	    rebuild->cut_text, rebuild->checkpoint.attempt, rebuild->checkpoint.n,
	    rebuild->dry_run ? "would be written; nothing was changed" : "is written and named");
	if (rebuild->from_kafka)
		(void)printf(
		    "from kafka  The next start replays the log from %s up to the frontier, in silence. If Kafka does "
		    "not hold it any more, that start is refused: then use --from database.\n",
		    rebuild->start_text);
	else
		(void)printf(
		    "from the    %" PRIu64
		    " totals. Keys are not in it: the table holds them. A repeat of a record of before is found by "
		    "its primary key and compared with its row: exact, but each stretch of them costs an attempt "
		    "or two.\n",
		    rebuild->rebuilt.totals);
}

static void rebuild_fini(struct rebuild *rebuild)
{
	postgres_fini(&rebuild->postgres);
	if (rebuild->store != NULL)
		rebuild->store->ops->close(rebuild->store);
	free(rebuild->cut_text);
	free(rebuild->start_text);
	cut_fini(&rebuild->cut);
}

enum result rebuild_behind(const struct pipeline *pipeline, bool dry_run, const struct rebuild_move *how,
    struct epoch_id *checkpoint, struct error *error)
{
	struct rebuild rebuild = {.pipeline = pipeline, .dry_run = dry_run, .move = how, .postgres = {.stop_fd = -1}};
	(void)job_name(pipeline, JOB_TOTALS, rebuild.job);
	progress_open(&rebuild.progress);
	enum result result = run(&rebuild, error);
	*checkpoint = rebuild.checkpoint;
	rebuild_fini(&rebuild);
	return result;
}

static int rebuild_job(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct rebuild rebuild = {.pipeline = pipeline, .dry_run = arguments->dry_run, .postgres = {.stop_fd = -1}};
	struct error error = {0};
	rebuild.from_kafka = strcmp(arguments->from, "kafka") == 0;
	if (!rebuild.from_kafka && strcmp(arguments->from, "database") != 0)
		return sluicectl_refuse("--from %s: it is kafka or database", arguments->from);
	(void)job_name(pipeline, JOB_TOTALS, rebuild.job);
	progress_open(&rebuild.progress);
	int code = EXIT_SUCCESS;
	if (run(&rebuild, &error) == RESULT_OK)
		print(&rebuild, arguments->json);
	else
		code = sluicectl_fail(&error);
	rebuild_fini(&rebuild);
	return code;
}

const struct verb verb_rebuild = {
    .name = "rebuild",
    .run = rebuild_job,
    .what = "writes a checkpoint anew where the checkpoint folder is lost and the database holds a frontier",
    .exits = "0 there is one, 69 a service is away, 78 refused",
    .rows =
        {
            {"--from", "SOURCE", NULL, "database", AT(from),
                "database (at once, from the totals), or kafka (the next start replays the log from the job's start)"},
            {"--dry-run", NULL, NULL, NULL, AT(dry_run), "say what would be done, and change nothing"},
        },
    .rows_len = 2,
};
