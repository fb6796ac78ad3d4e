/* services/sink/postgres_frontier.c - see postgres_frontier.h. */
#include "services/sink/postgres_frontier.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/postgres/postgres_counts.h"

static const char *skip(const char *at, char wanted)
{
	while (at && isspace((unsigned char)*at))
		at++;
	return at && *at == wanted ? at + 1 : NULL;
}

static const char *number(const char *at, int64_t least, int64_t most, int64_t *value)
{
	char *end = NULL;

	while (at && isspace((unsigned char)*at))
		at++;
	if (!at || !(isdigit((unsigned char)*at) || *at == '-'))
		return NULL;
	errno = 0;
	*value = strtoll(at, &end, 10);
	return errno == 0 && end != at && *value >= least && *value <= most ? end : NULL;
}

bool cut_parse(const char *text, struct cut *cut)
{
	const char *at = skip(text, '{');
	bool more = at && !skip(at, '}');

	if (at && !more)
		at = skip(at, '}');
	while (at && more) {
		int64_t partition = 0, offset = 0;
		at = number(skip(at, '"'), 0, UINT32_MAX, &partition);
		at = number(skip(skip(at, '"'), ':'), 0, INT64_MAX, &offset);
		if (!at)
			break;
		cut_set(cut, (uint32_t)partition, offset);
		more = skip(at, ',') != NULL;
		at = skip(at, more ? ',' : '}');
	}
	if (!at || *at) {
		cut_fini(cut);
		return false;
	}
	return true;
}

/* "11:00c0ffee00c0ffee", or two of them, in quotes. */
static const char *marks_text(const char *at, uint32_t partition, struct marks *marks)
{
	char text[MARKS_TEXT_MAX];
	const char *begin = skip(at, '"'), *end = begin ? strchr(begin, '"') : NULL;

	if (!end || (size_t)(end - begin) >= sizeof text)
		return NULL;
	memcpy(text, begin, (size_t)(end - begin));
	text[end - begin] = '\0';
	return marks_add_text(marks, partition, text) ? end + 1 : NULL;
}

bool marks_parse(const char *text, struct marks *marks)
{
	const char *at = skip(text, '{');
	bool more = at && !skip(at, '}');

	if (at && !more)
		at = skip(at, '}');
	while (at && more) {
		int64_t partition = 0;
		at = number(skip(at, '"'), 0, UINT32_MAX, &partition);
		at = marks_text(skip(skip(at, '"'), ':'), (uint32_t)partition, marks);
		if (!at)
			break;
		more = skip(at, ',') != NULL;
		at = skip(at, more ? ',' : '}');
	}
	if (!at || *at) {
		marks_fini(marks);
		return false;
	}
	return true;
}

static uint64_t unsigned_value(const PGresult *result, int row, int column)
{
	return strtoull(PQgetvalue(result, row, column), NULL, 10); /* a bigint that we wrote, or nothing */
}

enum {
	FRONTIER_FENCE,
	FRONTIER_ATTEMPT,
	FRONTIER_EPOCH,
	FRONTIER_CUT,
	FRONTIER_FINGERPRINT,
	FRONTIER_MARKS,
	FRONTIER_COUNTS
};

static void frontier_sql(struct buffer *out, const struct pipeline *pipeline, bool for_update)
{
	buffer_append_text(out, "SELECT fence, attempt, epoch, cut, fingerprint, marks");
	counts_sql(pipeline, out);
	buffer_printf(out, " FROM sluice.frontier WHERE job = $1%s", for_update ? " FOR UPDATE" : "");
	buffer_append(out, "", 1);
}

static enum sink_outcome frontier_take(const PGresult *result, const struct pipeline *pipeline, const char *job,
    struct frontier *frontier, struct error *error)
{
	struct counts counts;

	if (PQntuples(result) != 1) {
		error_stop(error, STOP_MEMORY_DAMAGED, "the frontier of job %s is gone from the database", job);
		return SINK_CONFIG;
	}
	frontier->fence = unsigned_value(result, 0, FRONTIER_FENCE);
	frontier->last.attempt = unsigned_value(result, 0, FRONTIER_ATTEMPT);
	frontier->last.n = unsigned_value(result, 0, FRONTIER_EPOCH);
	frontier->started = !PQgetisnull(result, 0, FRONTIER_CUT);
	snprintf(
	    frontier->fingerprint, sizeof frontier->fingerprint, "%s", PQgetvalue(result, 0, FRONTIER_FINGERPRINT));
	if (!counts_take(result, 0, FRONTIER_COUNTS, pipeline, &counts)) {
		error_stop(error, STOP_MEMORY_DAMAGED, "the sums in the frontier of job %s are none", job);
		return SINK_CONFIG;
	}
	frontier->counters = counts.counters;
	frontier->sums = counts.sums;
	if (frontier->started && !cut_parse(PQgetvalue(result, 0, FRONTIER_CUT), &frontier->cut)) {
		error_stop(error, STOP_MEMORY_DAMAGED, "the cut in the frontier of job %s is not one: %.200s", job,
		    PQgetvalue(result, 0, FRONTIER_CUT));
		return SINK_CONFIG;
	}
	if (!marks_parse(PQgetvalue(result, 0, FRONTIER_MARKS), &frontier->marks)) {
		error_stop(error, STOP_MEMORY_DAMAGED, "the marks in the frontier of job %s are none: %.200s", job,
		    PQgetvalue(result, 0, FRONTIER_MARKS));
		return SINK_CONFIG;
	}
	return SINK_DONE;
}

enum sink_outcome postgres_frontier_read(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    bool for_update, struct frontier *frontier, struct error *error)
{
	struct buffer sql = {0};
	PGresult *result = NULL;

	frontier_sql(&sql, pipeline, for_update);
	enum sink_outcome outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 1, &job);
	cut_fini(&frontier->cut);
	marks_fini(&frontier->marks);
	*frontier = (struct frontier){0};
	if (outcome == SINK_DONE)
		outcome = frontier_take(result, pipeline, job, frontier, error);
	PQclear(result);
	buffer_fini(&sql);
	return outcome;
}

enum sink_outcome postgres_checkpoints_read(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct sink_answer *answer, struct error *error)
{
	PGresult *result = NULL;
	struct buffer sql = {0};

	buffer_append_text(&sql, "SELECT attempt, epoch, cut, marks");
	counts_sql(pipeline, &sql);
	buffer_append_text(&sql, " FROM sluice.checkpoints WHERE job = $1 ORDER BY attempt DESC, epoch DESC");
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 1, &job);
	buffer_fini(&sql);
	if (outcome != SINK_DONE)
		return outcome;
	answer->checkpoints_len = (size_t)PQntuples(result);
	answer->checkpoints = memory_new((answer->checkpoints_len + 1) * sizeof answer->checkpoints[0]);
	for (size_t i = 0; i < answer->checkpoints_len && outcome == SINK_DONE; i++) {
		struct checkpoint_identity *checkpoint = &answer->checkpoints[i];
		checkpoint->epoch.attempt = unsigned_value(result, (int)i, 0);
		checkpoint->epoch.n = unsigned_value(result, (int)i, 1);
		if (!cut_parse(PQgetvalue(result, (int)i, 2), &checkpoint->cut) ||
		    !marks_parse(PQgetvalue(result, (int)i, 3), &checkpoint->marks) ||
		    !counts_take(result, (int)i, 4, pipeline, &checkpoint->counts)) {
			error_stop(error, STOP_MEMORY_DAMAGED,
			    "the cut, the marks, or the sums, of checkpoint %" PRIu64 ".%" PRIu64
			    " of job %s are not such",
			    checkpoint->epoch.attempt, checkpoint->epoch.n, job);
			outcome = SINK_CONFIG;
		}
	}
	PQclear(result);
	return outcome;
}

enum sink_outcome postgres_facts_read(
    struct postgres *postgres, const char *job, struct sink_answer *answer, struct error *error)
{
	PGresult *result = NULL;
	enum sink_outcome outcome = postgres_query(postgres, &result, error,
	    "SELECT name, value FROM sluice.remembered WHERE job = $1 ORDER BY name", 1, &job);

	for (int i = 0; outcome == SINK_DONE && i < PQntuples(result); i++)
		facts_add(&answer->remembered, &answer->arena, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
	PQclear(result);
	return outcome;
}

static bool verdict_parse(const char *text, enum verdict *verdict)
{
	for (*verdict = VERDICT_DUPLICATE; *verdict <= VERDICT_CONFLICT; (*verdict)++)
		if (strcmp(text, verdict_name(*verdict)) == 0)
			return true;
	return false;
}

enum sink_outcome postgres_decisions_read(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct sink_answer *answer, struct error *error)
{
	PGresult *result = NULL;
	const char *params[] = {job, pipeline->source.topic};
	enum sink_outcome outcome = postgres_query(postgres, &result, error,
	    "SELECT \"partition\", \"offset\", verdict FROM sluice.decisions WHERE job = $1 AND topic = $2 "
	    "ORDER BY \"partition\", \"offset\"",
	    2, params);

	if (outcome != SINK_DONE)
		return outcome;
	answer->decisions.len = (uint32_t)PQntuples(result);
	answer->decisions.entries = memory_new((answer->decisions.len + 1) * sizeof answer->decisions.entries[0]);
	for (uint32_t i = 0; i < answer->decisions.len && outcome == SINK_DONE; i++) {
		struct decision *decision = &answer->decisions.entries[i];
		decision->partition = (uint32_t)unsigned_value(result, (int)i, 0);
		decision->offset = (int64_t)unsigned_value(result, (int)i, 1);
		if (!verdict_parse(PQgetvalue(result, (int)i, 2), &decision->verdict)) {
			error_stop(error, STOP_MEMORY_DAMAGED, "sluice.decisions holds the unknown verdict %.40s",
			    PQgetvalue(result, (int)i, 2));
			outcome = SINK_CONFIG;
		}
	}
	PQclear(result);
	return outcome;
}
