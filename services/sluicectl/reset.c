/* services/sluicectl/reset.c - sluicectl reset: starts one job over; see reset.h. */
#include "services/sluicectl/reset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/runtime/control_client.h"

enum { ANSWER_MS = 1000 };

void reset_say(struct reset *reset, const char *what, const char *name, long long count, const char *fate)
{
	if (reset->json) {
		buffer_printf(&reset->said, "%s{", reset->said.len > 0 ? ", " : "");
		json_text(&reset->said, "what", what);
		buffer_append_text(&reset->said, ", ");
		json_text(&reset->said, "name", name);
		buffer_append_text(&reset->said, ", ");
		json_text(&reset->said, "fate", fate);
		buffer_printf(&reset->said, ", \"count\": %lld}", count);
		return;
	}
	buffer_printf(&reset->said, "%-16s%-40s %12lld  %s\n", what, name, count, fate);
}

/* A coordinator that answers for this job, with processes of it (or, of totals, with any: it holds the checkpoint folder). */
static enum result check_stopped(const struct reset *reset, const char *url, enum job_kind kind, struct error *error)
{
	struct arena arena = {0};
	struct frame answer;
	struct error unheard;
	enum result result = RESULT_OK;

	if (control_ask(url, reset->job, FRAME_STATUS, ANSWER_MS, &arena, &answer, &unheard) == RESULT_OK) {
		const struct frame_status_report *report = &answer.body.status_report;
		if (strcmp(report->job, reset->job) == 0 && (kind == JOB_TOTALS || report->workers.len > 0))
			result = error_set(error, RESULT_CONFIG,
			    "job %s is running: its coordinator answers at %s; stop it first (scripts/down%s)",
			    reset->job, url, kind == JOB_SEARCH ? ", or the processes of this job alone" : "");
	}
	arena_fini(&arena);
	return result;
}

static void print(struct reset *reset, bool dry_run)
{
	buffer_append(&reset->said, "", 1);
	if (reset->json)
		(void)printf("{\"job\": \"%s\", \"dry_run\": %s, \"reset\": [%s]}\n", reset->job,
		    dry_run ? "true" : "false", (const char *)reset->said.data);
	else
		(void)printf("%-16s%s\n%s%s", "job", reset->job, (const char *)reset->said.data,
		    dry_run ? "Nothing was changed.\n"
		            : "The next start of this job is a first one: it begins at source.start.\n");
}

static int run(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct reset reset = {.pipeline = pipeline, .json = arguments->json, .with_index = arguments->with_index};
	const char *url = arguments->coordinator ? arguments->coordinator : pipeline->coordinator.listen;
	enum job_kind kind;
	struct error error = {0};

	if (arguments->job == NULL)
		return sluicectl_refuse("which one? --job is totals or search");
	if (sluicectl_job(arguments, &kind, &error) != RESULT_OK)
		return sluicectl_refuse("%s", error.text);
	if (reset.with_index && kind != JOB_SEARCH)
		return sluicectl_refuse("--with-index is for --job search");
	if (arguments->yes == arguments->dry_run)
		return sluicectl_refuse("this cannot be undone: --dry-run says what it comes to, --yes does it");
	reset.change = arguments->yes;
	(void)job_name(pipeline, kind, reset.job);
	enum result result = job_check_on(pipeline, kind, &error);
	if (result == RESULT_OK)
		result = check_stopped(&reset, url, kind, &error);
	if (result == RESULT_OK)
		result = kind == JOB_TOTALS ? reset_totals(&reset, &error) : reset_search(&reset, &error);
	if (result == RESULT_OK)
		print(&reset, arguments->dry_run);
	buffer_fini(&reset.said);
	return result == RESULT_OK ? EXIT_SUCCESS : sluicectl_fail(&error);
}

const struct verb verb_reset = {
    .name = "reset",
    .run = run,
    .what = "ends what one job remembers and has written, so that it starts over; touches no other job",
    .exits = "0 done, 69 a service is away, 78 refused: it is running",
    .rows =
        {
            ROW_JOB("totals (tables, dead letters, checkpoints) or search (control documents)"),
            {"--with-index", NULL, NULL, NULL, AT(with_index), "search: its indices, too; otherwise documents stay"},
            {"--dry-run", NULL, NULL, NULL, AT(dry_run), "say what it comes to, and change nothing"},
            {"--yes", NULL, NULL, NULL, AT(yes), "do it"},
            ROW_COORDINATOR,
        },
    .rows_len = 5,
};
