/* services/sink/postgres_writer.c - see postgres_writer.h. */
#include "services/sink/postgres_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/job.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "services/sink/postgres_frontier.h"
#include "services/sink/postgres_runner.h"
#include "common/postgres/postgres_schema.h"

enum { RAISE_WITHIN_MS = 20000, RAISE_LOCK_MS = 1000, NUMBER_MAX = 24, WORDS_MAX = 240 };

void postgres_writer_init(
    struct postgres_writer *writer, const struct pipeline *pipeline, const char *application_name, int stop_fd)
{
	char job[JOB_NAME_MAX];

	*writer = (struct postgres_writer){
	    .postgres = {.stop_fd = stop_fd},
	    .pipeline = pipeline,
	    .application_name = text_clone(application_name),
	    .job = text_clone(job_name(pipeline, JOB_TOTALS, job)),
	};
	writer->lock = postgres_lock_key(writer->job);
	writer->wait = (struct postgres_wait){.pipeline = pipeline, .other = {.stop_fd = stop_fd, .reads_only = true}};
}

void postgres_writer_fini(struct postgres_writer *writer)
{
	postgres_fini(&writer->postgres);
	postgres_wait_fini(&writer->wait);
	postgres_commit_fini(&writer->commit);
	free(writer->application_name);
	free(writer->job);
}

static enum sink_outcome fenced(const struct frontier *frontier, uint64_t attempt, struct error *error)
{
	error_set(error, RESULT_CORRUPT, "another writer has raised the fence to %" PRIu64 "; this one has %" PRIu64,
	    frontier->fence, attempt);
	return SINK_FENCED;
}

enum sink_outcome postgres_refused(
    struct postgres_writer *writer, enum sink_outcome outcome, struct sink_answer *answer)
{
	struct error ignored;

	postgres_rollback(&writer->postgres);
	if (outcome == SINK_FENCED && postgres_frontier_read(&writer->postgres, writer->pipeline, writer->job, false,
	                                  &answer->frontier, &ignored) != SINK_DONE)
		answer->frontier.fence = 0;
	return outcome;
}

/* One try, that does not wait long for an older writer's open transaction. */
static enum sink_outcome fence_update(
    struct postgres_writer *writer, uint64_t attempt, bool *raised, struct error *error)
{
	char number[NUMBER_MAX], sql[96];
	PGresult *result = NULL;
	enum sink_outcome outcome;

	snprintf(sql, sizeof sql, "SET lock_timeout = %d", RAISE_LOCK_MS);
	outcome = postgres_query(&writer->postgres, NULL, error, sql, 0, NULL);
	if (outcome != SINK_DONE)
		return outcome;
	snprintf(number, sizeof number, "%" PRIu64, attempt);
	const char *params[] = {writer->job, number};
	outcome = postgres_query(&writer->postgres, &result, error,
	    "UPDATE sluice.frontier SET fence = $2 WHERE job = $1 AND fence < $2::bigint", 2, params);
	*raised = outcome == SINK_DONE && strcmp(PQcmdTuples(result), "1") == 0;
	PQclear(result);
	if (outcome != SINK_DONE)
		return outcome;
	snprintf(sql, sizeof sql, "SET lock_timeout = %d", POSTGRES_LOCK_MS);
	return postgres_query(&writer->postgres, NULL, error, sql, 0, NULL);
}

static enum sink_outcome fence_raise(struct postgres_writer *writer, uint64_t attempt, struct sink_answer *answer)
{
	uint64_t began_us = clock_monotonic_us();
	enum sink_outcome outcome;
	bool raised = false;

	for (;;) {
		outcome = fence_update(writer, attempt, &raised, &answer->error);
		if (outcome == SINK_DONE)
			break;
		/* A stopped process may hold the row for ever: end its backend, then raise. */
		if (strcmp(writer->postgres.state, "55P03") != 0 ||
		    clock_monotonic_us() - began_us > RAISE_WITHIN_MS * 1000ULL)
			return outcome;
		outcome = postgres_holder_end(writer, attempt, &answer->error);
		if (outcome != SINK_DONE)
			return outcome;
	}
	if (raised)
		return SINK_DONE;
	outcome = postgres_frontier_read(
	    &writer->postgres, writer->pipeline, writer->job, false, &answer->frontier, &answer->error);
	return outcome == SINK_DONE ? fenced(&answer->frontier, attempt, &answer->error) : outcome;
}

/* Behind the fence: nobody changes it any more. */
static enum sink_outcome meaning_read(struct postgres_writer *writer, struct sink_answer *answer)
{
	struct buffer words = {0};
	PGresult *result = NULL;
	const char *job = writer->job;
	enum sink_outcome outcome = postgres_query(&writer->postgres, &result, &answer->error,
	    "SELECT coalesce(fingerprint, ''), coalesce(meaning, ''), meant_attempt, meant_epoch FROM sluice.frontier "
	    "WHERE job = $1",
	    1, &job);
	if (outcome == SINK_DONE && PQntuples(result) == 1) {
		answer->since.attempt = strtoull(PQgetvalue(result, 0, 2), NULL, 10); /* bigints that we wrote */
		answer->since.n = strtoull(PQgetvalue(result, 0, 3), NULL, 10);
		outcome = postgres_meaning_change(writer->pipeline, PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1),
		    &writer->change, &words, &answer->error);
		answer->replayable = writer->change == MEANING_MEASURES;
	}
	if (outcome == SINK_DONE && words.len > 0)
		snprintf(answer->changed, sizeof answer->changed, "%s", (const char *)words.data);
	PQclear(result);
	buffer_fini(&words);
	return outcome;
}

static enum sink_outcome fenced_read(struct postgres_writer *writer, uint64_t attempt, struct sink_answer *answer)
{
	struct postgres *postgres = &writer->postgres;
	struct frontier *frontier = &answer->frontier;
	enum sink_outcome outcome =
	    postgres_frontier_read(postgres, writer->pipeline, writer->job, false, frontier, &answer->error);

	if (outcome == SINK_DONE && frontier->fence != attempt)
		outcome = fenced(frontier, attempt, &answer->error);
	if (outcome == SINK_DONE && frontier->started)
		outcome = meaning_read(writer, answer);
	if (outcome == SINK_DONE)
		outcome = postgres_checkpoints_read(postgres, writer->pipeline, writer->job, answer, &answer->error);
	if (outcome == SINK_DONE)
		outcome = postgres_facts_read(postgres, writer->job, answer, &answer->error);
	if (outcome == SINK_DONE)
		outcome = postgres_decisions_read(postgres, writer->pipeline, writer->job, answer, &answer->error);
	return outcome;
}

enum sink_outcome postgres_writer_fence(struct postgres_writer *writer, uint64_t attempt, struct sink_answer *answer)
{
	struct postgres *postgres = &writer->postgres;
	enum sink_outcome outcome =
	    postgres_connect(postgres, writer->pipeline, writer->application_name, &answer->error);

	if (outcome == SINK_DONE)
		outcome = postgres_schema_apply(
		    postgres, writer->pipeline, writer->job, &writer->commit.objects, NULL, &answer->error);
	CRASH_POINT(fence_connected);
	if (outcome == SINK_DONE)
		outcome = postgres_runner_look(writer, &answer->error);
	if (outcome == SINK_DONE)
		outcome = fence_raise(writer, attempt, answer);
	CRASH_POINT(fence_raised);
	if (outcome == SINK_DONE)
		outcome = postgres_lock_take(writer, attempt, &answer->error);
	CRASH_POINT(fence_locked);
	if (outcome == SINK_DONE)
		outcome = postgres_runner_note(writer, &answer->error);
	if (outcome == SINK_DONE)
		outcome =
		    postgres_commit_prepare(&writer->commit, postgres, writer->pipeline, writer->job, &answer->error);
	if (outcome == SINK_DONE)
		outcome = fenced_read(writer, attempt, answer);
	CRASH_POINT(fence_read);
	/* The link also holds the lock: a writer that may not write does not keep it. */
	if (outcome != SINK_DONE)
		postgres_disconnect(postgres);
	return outcome;
}

enum sink_outcome postgres_writer_set_cut(struct postgres_writer *writer, uint64_t attempt, const struct cut *cut,
    const struct facts *remember, struct sink_answer *answer)
{
	char number[NUMBER_MAX];
	struct buffer text = {0}, facts = {0};

	snprintf(number, sizeof number, "%" PRIu64, attempt);
	cut_print(cut, &text);
	buffer_append(&text, "", 1);
	facts_print(remember, &facts);
	buffer_append(&facts, "", 1);
	const char *params[] = {writer->job, number, (const char *)text.data, writer->pipeline->fingerprint,
	    writer->pipeline->meaning ? writer->pipeline->meaning : "", (const char *)facts.data};
	CRASH_POINT(start_unset);
	enum sink_outcome outcome = postgres_query(&writer->postgres, NULL, &answer->error,
	    "SELECT sluice.frontier_start($1, $2, $3, $4, $5), sluice.facts_remember($1, $2, $6)", 6, params);
	CRASH_POINT(start_set);
	buffer_fini(&text);
	buffer_fini(&facts);
	return postgres_refused(writer, outcome, answer);
}

/* Where the tables have changed, that is said, too: it is behind what PostgreSQL found amiss, or counted. */
static enum sink_outcome explain(struct postgres_writer *writer, enum sink_outcome outcome, struct sink_answer *answer)
{
	struct postgres_objects objects = writer->commit.objects;
	struct error found;

	if ((outcome != SINK_CONFIG && outcome != SINK_LATE) || !postgres_alive(&writer->postgres) ||
	    MUTANT(refusal_unexplained))
		return outcome;
	if (postgres_objects_look(&writer->postgres, writer->pipeline, writer->job, &objects, &found) != SINK_CONFIG)
		return outcome;
	size_t len = error_found_len(&answer->error);
	error_wrap(&found, "%.*s", len < WORDS_MAX ? (int)len : WORDS_MAX, answer->error.text);
	answer->error = found;
	return SINK_CONFIG;
}

enum sink_outcome postgres_writer_commit(
    struct postgres_writer *writer, const struct transaction *transaction, struct sink_answer *answer)
{
	enum sink_outcome outcome =
	    postgres_commit_run(&writer->commit, &writer->postgres, transaction, &answer->error);
	bool by_server =
	    postgres_alive(&writer->postgres) && PQtransactionStatus(writer->postgres.link) != PQTRANS_IDLE;

	outcome = postgres_refused(writer, outcome, answer);
	return by_server ? explain(writer, outcome, answer) : outcome;
}

enum sink_outcome postgres_writer_touch(
    struct postgres_writer *writer, uint64_t attempt, struct epoch_id predecessor, struct sink_answer *answer)
{
	char fence[NUMBER_MAX], number[NUMBER_MAX], epoch[NUMBER_MAX];

	snprintf(fence, sizeof fence, "%" PRIu64, attempt);
	snprintf(number, sizeof number, "%" PRIu64, predecessor.attempt);
	snprintf(epoch, sizeof epoch, "%" PRIu64, predecessor.n);
	const char *params[] = {writer->job, fence, number, epoch};
	enum sink_outcome outcome = postgres_query(
	    &writer->postgres, NULL, &answer->error, "SELECT sluice.frontier_touch($1, $2, $3, $4)", 4, params);
	return postgres_refused(writer, outcome, answer);
}

/* Before anything is ended: a writer that has been fenced out must not end its successor. */
static enum sink_outcome fence_check(
    struct postgres_writer *writer, uint64_t attempt, bool for_update, struct sink_answer *answer)
{
	enum sink_outcome outcome = postgres_frontier_read(
	    &writer->postgres, writer->pipeline, writer->job, for_update, &answer->frontier, &answer->error);
	if (outcome == SINK_DONE && answer->frontier.fence != attempt)
		outcome = fenced(&answer->frontier, attempt, &answer->error);
	return outcome;
}

enum sink_outcome postgres_writer_look(struct postgres_writer *writer, uint64_t attempt, struct sink_answer *answer)
{
	struct postgres *postgres = &writer->postgres;
	int pid = writer->old_pid ? writer->old_pid : postgres->pid;
	enum sink_outcome outcome;

	/* Until the old backend is known to be gone, it is remembered, whatever happens to the new link. */
	if (!writer->old_pid) {
		writer->old_pid = pid;
		snprintf(writer->old_started, sizeof writer->old_started, "%s", postgres->started);
	}
	outcome = postgres_connect(postgres, writer->pipeline, writer->application_name, &answer->error);
	CRASH_POINT(look_connected);
	if (outcome == SINK_DONE)
		outcome = fence_check(writer, attempt, false, answer);
	if (outcome == SINK_DONE)
		outcome = postgres_backend_end(postgres, writer->old_pid, writer->old_started, &answer->error);
	CRASH_POINT(look_ended);
	if (outcome == SINK_DONE)
		outcome = postgres_lock_take(writer, attempt, &answer->error);
	if (outcome == SINK_DONE)
		outcome = postgres_objects_look(
		    postgres, writer->pipeline, writer->job, &writer->commit.objects, &answer->error);
	if (outcome == SINK_DONE)
		outcome =
		    postgres_commit_prepare(&writer->commit, postgres, writer->pipeline, writer->job, &answer->error);
	if (outcome == SINK_DONE)
		outcome = fence_check(writer, attempt, true, answer);
	CRASH_POINT(look_done);
	if (outcome == SINK_DONE)
		writer->old_pid = 0;
	else
		postgres_disconnect(postgres);
	return outcome;
}
