/* services/sink/postgres_checkpoints.c - identities of checkpoints, and late duplicates; see postgres_writer.h. */
#include "services/sink/postgres_writer.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/crash_point.h"
#include "common/base/mutant.h"
#include "common/postgres/postgres_counts.h"
#include "services/sink/postgres_late.h"

enum { NUMBER_MAX = 24 };

static const char *number_print(char text[NUMBER_MAX], uint64_t number)
{
	snprintf(text, NUMBER_MAX, "%" PRIu64, number);
	return text;
}

static const char *cut_text(const struct cut *cut, struct buffer *out)
{
	cut_print(cut, out);
	buffer_append(out, "", 1);
	return (const char *)out->data;
}

static const char *marks_text(const struct marks *marks, struct buffer *out)
{
	marks_print(marks, out);
	buffer_append(out, "", 1);
	return (const char *)out->data;
}

static const char *facts_text(const struct facts *facts, struct buffer *out)
{
	facts_print(facts, out);
	buffer_append(out, "", 1);
	return (const char *)out->data;
}

static const char *counters_text(const struct checkpoint_identity *checkpoint, struct buffer *out)
{
	if (!checkpoint->counts.counted)
		return NULL;
	counters_print(&checkpoint->counts.counters, out);
	buffer_append(out, "", 1);
	return (const char *)out->data;
}

static const char *sums_text(const struct pipeline *pipeline, const struct sums *sums, struct buffer *out)
{
	if (!sums->known)
		return NULL;
	sums_print(pipeline, sums, out);
	buffer_append(out, "", 1);
	return (const char *)out->data;
}

enum sink_outcome postgres_writer_mark(struct postgres_writer *writer, uint64_t attempt, struct epoch_id predecessor,
    const struct checkpoint_identity *checkpoint, struct sink_answer *answer)
{
	char fence[NUMBER_MAX], at[2][NUMBER_MAX], identity[2][NUMBER_MAX];
	struct buffer cut = {0}, counters = {0}, sums = {0}, known_by = {0};
	const char *params[] = {writer->job, number_print(fence, attempt), number_print(at[0], predecessor.attempt),
	    number_print(at[1], predecessor.n), number_print(identity[0], checkpoint->epoch.attempt),
	    number_print(identity[1], checkpoint->epoch.n), cut_text(&checkpoint->cut, &cut),
	    counters_text(checkpoint, &counters), sums_text(writer->pipeline, &checkpoint->counts.sums, &sums),
	    marks_text(&checkpoint->marks, &known_by)};
	CRASH_POINT(mark_asked);
	enum sink_outcome outcome = postgres_query(&writer->postgres, NULL, &answer->error,
	    "SELECT sluice.checkpoint_mark($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", 10, params);
	CRASH_POINT(mark_done);

	buffer_fini(&cut);
	buffer_fini(&counters);
	buffer_fini(&sums);
	buffer_fini(&known_by);
	return postgres_refused(writer, outcome, answer);
}

static enum sink_outcome rename_checkpoint(struct postgres_writer *writer, uint64_t attempt, struct epoch_id from,
    struct epoch_id to, const char *facts, struct sink_answer *answer)
{
	char fence[NUMBER_MAX], old[2][NUMBER_MAX], new[2][NUMBER_MAX];
	const char *params[] = {writer->job, number_print(fence, attempt), number_print(old[0], from.attempt),
	    number_print(old[1], from.n), number_print(new[0], to.attempt), number_print(new[1], to.n),
	    writer->pipeline->fingerprint, writer->pipeline->meaning, writer->change == MEANING_MEASURES ? "t" : "f",
	    facts};
	return postgres_query(&writer->postgres, NULL, &answer->error,
	    "SELECT sluice.checkpoint_rename($1, $2, $3, $4, $5, $6, $7, $8, $9), sluice.facts_remember($1, $2, $10)",
	    10, params);
}

static enum sink_outcome choose_checkpoint(struct postgres_writer *writer, uint64_t attempt, struct epoch_id checkpoint,
    const char *facts, struct sink_answer *answer)
{
	char fence[NUMBER_MAX], identity[2][NUMBER_MAX];
	const char *params[] = {writer->job, number_print(fence, attempt),
	    number_print(identity[0], checkpoint.attempt), number_print(identity[1], checkpoint.n), facts};
	CRASH_POINT(choose_asked);
	enum sink_outcome outcome = postgres_query(&writer->postgres, NULL, &answer->error,
	    "SELECT sluice.checkpoint_choose($1, $2, $3, $4), sluice.facts_remember($1, $2, $5)", 5, params);
	CRASH_POINT(choose_done);
	return outcome;
}

enum sink_outcome postgres_writer_choose(struct postgres_writer *writer, uint64_t attempt, struct epoch_id checkpoint,
    struct epoch_id renamed, const struct facts *remember, struct sink_answer *answer)
{
	struct buffer text = {0};
	const char *facts = facts_text(remember, &text);
	enum sink_outcome outcome = epoch_equal(renamed, (struct epoch_id){0})
	                                ? choose_checkpoint(writer, attempt, checkpoint, facts, answer)
	                                : rename_checkpoint(writer, attempt, checkpoint, renamed, facts, answer);

	buffer_fini(&text);
	return postgres_refused(writer, outcome, answer);
}

static const char *identities_text(const struct epoch_id *checkpoints, size_t len, struct buffer *out)
{
	buffer_append_text(out, "[");
	for (size_t i = 0; i < len; i++)
		buffer_printf(
		    out, "%s[%" PRIu64 ", %" PRIu64 "]", i ? ", " : "", checkpoints[i].attempt, checkpoints[i].n);
	buffer_append(out, "]", 2);
	return (const char *)out->data;
}

enum sink_outcome postgres_writer_retire(struct postgres_writer *writer, uint64_t attempt,
    const struct epoch_id *checkpoints, size_t checkpoints_len, struct epoch_id kept, const struct cut *oldest_cut,
    struct sink_answer *answer)
{
	char fence[NUMBER_MAX], place[PLACE_TEXT_MAX], at[2][NUMBER_MAX];
	struct buffer identities = {0}, text = {0};
	const char *params[] = {writer->job, number_print(fence, attempt),
	    identities_text(checkpoints, checkpoints_len, &identities), writer->pipeline->source.topic,
	    cut_text(oldest_cut, &text), postgres_commit_place(&writer->commit, place),
	    number_print(at[0], kept.attempt), number_print(at[1], kept.n)};
	CRASH_POINT(retire_asked);
	enum sink_outcome outcome = postgres_query(&writer->postgres, NULL, &answer->error,
	    MUTANT(retention_unfenced)
	        ? "SELECT sluice.checkpoint_retire($1, (SELECT greatest($2::bigint, fence) FROM sluice.frontier "
	          "WHERE job = $1), $3, $4, $5, $6, $7, $8)"
	        : "SELECT sluice.checkpoint_retire($1, $2, $3, $4, $5, $6, $7, $8)",
	    8, params);
	CRASH_POINT(retire_done);

	buffer_fini(&identities);
	buffer_fini(&text);
	return postgres_refused(writer, outcome, answer);
}

static enum sink_outcome late_begin(
    struct postgres_writer *writer, uint64_t attempt, struct epoch_id predecessor, struct sink_answer *answer)
{
	char fence[NUMBER_MAX], at[2][NUMBER_MAX];
	const char *params[] = {writer->job, number_print(fence, attempt), number_print(at[0], predecessor.attempt),
	    number_print(at[1], predecessor.n)};
	enum sink_outcome outcome = postgres_query(&writer->postgres, NULL, &answer->error, "BEGIN", 0, NULL);

	if (outcome == SINK_DONE)
		outcome = postgres_query(
		    &writer->postgres, NULL, &answer->error, "SELECT sluice.frontier_hold($1, $2, $3, $4)", 4, params);
	return outcome;
}

enum sink_outcome postgres_writer_late(struct postgres_writer *writer, uint64_t attempt, struct epoch_id predecessor,
    const struct bytes *bodies, size_t bodies_len, struct sink_answer *answer)
{
	/* The commit that was late is over: its memory for rows is free. */
	struct epoch_rows *rows = &writer->commit.rows;

	if (epoch_rows_build(rows, writer->pipeline, bodies, bodies_len, &answer->error) != RESULT_OK)
		return SINK_CONFIG; /* error.code tells CORRUPT from CONFIG */
	CRASH_POINT(late_asked);
	enum sink_outcome outcome = late_begin(writer, attempt, predecessor, answer);
	if (outcome == SINK_DONE)
		outcome =
		    postgres_late_find(&writer->postgres, writer->pipeline, rows, &answer->decisions, &answer->error);
	CRASH_POINT(late_found);
	return postgres_refused(writer, outcome, answer);
}
