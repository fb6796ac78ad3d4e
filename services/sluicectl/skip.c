/* services/sluicectl/skip.c - the verb; see skip.h.
 *
 * Of totals: the frontier's cut is moved in the transaction in which a checkpoint is made of the database (rebuild.h), so the checkpoint
 * lies at the new cut, and it does not matter which of the records in front of that are still there.
 */
#include "services/sluicectl/skip.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/sluicectl/rebuild.h"
#include "services/sluicectl/same_log.h"
#include "services/sluicectl/sluicectl.h"

struct skipping {
	const struct pipeline *pipeline;
	char job[JOB_NAME_MAX];
	enum job_kind kind;
	bool change; /* otherwise it is only told */
	struct skip_wish wish;
	struct cut begins, ends; /* of the log */
	struct skips skips;
	struct epoch_id checkpoint; /* of totals */
};

/* --- what is written down ------------------------------------------------------------------------------------------ */

static enum result ask(struct postgres *postgres, PGresult **result, const char *sql, int len,
    const char *const *params, struct error *error)
{
	enum sink_outcome outcome = postgres_query(postgres, result, error, sql, len, params);
	if (outcome == SINK_DONE)
		return RESULT_OK;
	return error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
}

/* As if by an empty epoch: a failover that loses it is noticed by the next commit. */
static enum result move_frontier(
    struct skipping *skipping, struct postgres *postgres, struct cut *cut, uint64_t attempt, struct error *error)
{
	struct buffer text = {0};
	char number[24];
	(void)snprintf(number, sizeof number, "%" PRIu64, attempt);
	skip_apply(&skipping->skips, cut);
	cut_print(cut, &text);
	buffer_append(&text, "", 1);
	const char *params[] = {skipping->job, (const char *)text.data, number};
	enum result result = ask(postgres, NULL,
	    "UPDATE sluice.frontier SET cut = $2::jsonb, attempt = $3::bigint, epoch = 0, committed_at = "
	    "clock_timestamp() WHERE job = $1",
	    3, params, error);
	buffer_fini(&text);
	return result;
}

static enum result write_down(
    const struct skipping *skipping, struct postgres *postgres, const struct skip *skip, struct error *error)
{
	char detail[160];
	(void)snprintf(detail, sizeof detail,
	    "{\"partition\": %" PRIu32 ", \"from\": %" PRId64 ", \"to\": %" PRId64 "}", skip->partition, skip->from,
	    skip->to);
	const char *params[] = {skipping->job, detail};
	return ask(postgres, NULL,
	    "INSERT INTO sluice.interventions (job, verb, detail) VALUES ($1, 'skip', $2::jsonb)", 2, params, error);
}

/* Within the transaction of the rebuild. */
static enum result move(
    void *context, struct postgres *postgres, const struct cut *at, uint64_t attempt, bool *moved, struct error *error)
{
	struct skipping *skipping = context;
	struct cut cut = {0};
	enum result result =
	    skip_plan(&skipping->wish, at, &skipping->begins, &skipping->ends, &skipping->skips, error);
	*moved = result == RESULT_OK && skipping->skips.len > 0;
	cut_copy(&cut, at);
	if (*moved && skipping->change)
		result = move_frontier(skipping, postgres, &cut, attempt, error);
	for (uint32_t i = 0; *moved && skipping->change && i < skipping->skips.len && result == RESULT_OK; i++)
		result = write_down(skipping, postgres, &skipping->skips.entries[i], error);
	cut_fini(&cut);
	return result;
}

/* --- what is told -------------------------------------------------------------------------------------------------- */

static void print_json(const struct skipping *skipping, struct buffer *out)
{
	buffer_append_text(out, "{");
	json_text(out, "job", skipping->job);
	buffer_printf(out, ", \"done\": %s, \"skipped\": [", skipping->change ? "true" : "false");
	for (uint32_t i = 0; i < skipping->skips.len; i++) {
		const struct skip *skip = &skipping->skips.entries[i];
		buffer_printf(out, "%s{\"partition\": %" PRIu32 ", \"from\": %" PRId64 ", \"to\": %" PRId64 "}",
		    i > 0 ? ", " : "", skip->partition, skip->from, skip->to);
	}
	buffer_append_text(out, "]");
	if (skipping->kind == JOB_TOTALS)
		buffer_printf(out, ", \"checkpoint\": \"%" PRIu64 ".%" PRIu64 "\"", skipping->checkpoint.attempt,
		    skipping->checkpoint.n);
	buffer_append_text(out, "}\n");
}

static void print_table(const struct skipping *skipping, struct buffer *out)
{
	const char *word = skipping->change ? "skipped" : "to skip";
	buffer_printf(out, "job         %s\n", skipping->job);
	for (uint32_t i = 0; i < skipping->skips.len; i++) {
		const struct skip *skip = &skipping->skips.entries[i];
		buffer_printf(out, "%-11s %" PRIu32 ": %" PRId64 " to %" PRId64 ", %" PRId64 " records\n", word,
		    skip->partition, skip->from, skip->to, skip->to - skip->from);
	}
	if (skipping->skips.len == 0)
		buffer_printf(out, "%-11s nothing: all records behind the cut are there\n", word);
	if (skipping->change && skipping->kind == JOB_SEARCH)
		buffer_append_text(out, "start the job again\n");
	else if (skipping->change)
		buffer_printf(out, "checkpoint  %" PRIu64 ".%" PRIu64 " is written and named: start the job again\n",
		    skipping->checkpoint.attempt, skipping->checkpoint.n);
	else
		buffer_append_text(out, "nothing was changed\n");
}

static enum result skip_totals(struct skipping *skipping, struct error *error)
{
	const struct rebuild_move how = {move, skipping};
	return rebuild_behind(skipping->pipeline, !skipping->change, &how, &skipping->checkpoint, error);
}

static int run(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct skipping skipping = {.pipeline = pipeline, .change = arguments->yes && !arguments->dry_run};
	struct error error = {0};
	struct buffer out = {0};
	int code = EXIT_SUCCESS;
	if (arguments->to == NULL)
		return sluicectl_refuse("--to is missing: earliest, or offsets as in 0:500,2:800");
	if (skip_wish_parse(arguments->to, &skipping.wish, &error) != RESULT_OK)
		return sluicectl_refuse("%s", error.text);
	if (sluicectl_job(arguments, &skipping.kind, &error) != RESULT_OK)
		return sluicectl_refuse("%s", error.text);
	(void)job_name(pipeline, skipping.kind, skipping.job);
	enum result result = job_check_on(pipeline, skipping.kind, &error);
	if (result == RESULT_OK)
		result = skip_log_range(pipeline, &skipping.begins, &skipping.ends, &error);
	if (result == RESULT_OK && skipping.kind == JOB_SEARCH)
		result = same_log_or_refuse(pipeline, skipping.job, JOB_SEARCH, true, &error);
	if (result == RESULT_OK && skipping.kind == JOB_SEARCH)
		result = skip_search(pipeline, skipping.job, &skipping.wish, &skipping.begins, &skipping.ends,
		    skipping.change, &skipping.skips, &error);
	else if (result == RESULT_OK)
		result = skip_totals(&skipping, &error);
	if (result == RESULT_OK && arguments->json)
		print_json(&skipping, &out);
	else if (result == RESULT_OK)
		print_table(&skipping, &out);
	print_buffer(&out);
	if (result != RESULT_OK)
		code = sluicectl_fail(&error);
	else if (!skipping.change && !arguments->dry_run)
		code = sluicectl_refuse("say --yes to have that done, or --dry-run to see it only");
	free(skipping.skips.entries);
	cut_fini(&skipping.wish.to);
	cut_fini(&skipping.begins);
	cut_fini(&skipping.ends);
	return code;
}

const struct verb verb_skip = {
    .name = "skip",
    .run = run,
    .what = "moves a job that is stopped behind records that are gone, or that nobody wants; it is written down",
    .exits = "0 done, 69 a service is away, 78 refused",
    .rows =
        {
            {"--to", "PLACES", NULL, NULL, AT(to),
                "earliest (each partition whose records are gone, to where the log begins), or offsets: 0:500,2:800"},
            ROW_JOB("totals (the default) or search"),
            {"--yes", NULL, NULL, NULL, AT(yes), "do it"},
            {"--dry-run", NULL, NULL, NULL, AT(dry_run), "say what would be skipped, and change nothing"},
        },
    .rows_len = 4,
};
