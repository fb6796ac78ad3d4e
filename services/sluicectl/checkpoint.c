/* services/sluicectl/checkpoint.c - sluicectl checkpoint: takes one now. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "common/runtime/control_client.h"
#include "services/sluicectl/sluicectl.h"

enum {
	ANSWER_MS = 2000,
	LOOK_EVERY_MS = 20,
	WAIT_US = 5000000, /* beyond checkpoint.timeout */
};

static void print(const struct frame_status_report *report, bool json)
{
	if (json)
		(void)printf("{\"job\": \"%s\", \"checkpoint\": \"%" PRIu64 ".%" PRIu64 "\", \"took_us\": %" PRIu64
		             ", \"bytes\": %" PRIu64 ", \"whole_bytes\": %" PRIu64 "}\n",
		    report->job, report->checkpoint.attempt, report->checkpoint.n, report->checkpoint_took_us,
		    report->checkpoint_bytes, report->checkpoint_whole_bytes);
	else
		(void)printf("checkpoint %" PRIu64 ".%" PRIu64 " is complete: %.1f ms, %" PRIu64 " bytes new\n",
		    report->checkpoint.attempt, report->checkpoint.n, (double)report->checkpoint_took_us / 1e3,
		    report->checkpoint_bytes);
}

static int away(const char *url, const struct error *error)
{
	(void)fprintf(stderr, "sluicectl: no coordinator at %s: %s\n", url, error->text);
	return EXIT_UNAVAILABLE;
}

/* Asked until the coordinator counts one more, complete or failed. The first question is harmless: whose coordinator is it? */
static int take(const struct arguments *arguments, const struct pipeline *pipeline, struct arena *arena)
{
	const char *url = arguments->coordinator ? arguments->coordinator : pipeline->coordinator.listen;
	uint64_t deadline = clock_monotonic_us() + pipeline->checkpoint.timeout_us + WAIT_US;
	uint64_t completed = 0, failed = 0;
	char job[JOB_NAME_MAX];
	struct error error = {0};
	struct frame answer;
	if (control_ask(url, job_name(pipeline, JOB_TOTALS, job), FRAME_STATUS, ANSWER_MS, arena, &answer, &error) !=
	    RESULT_OK)
		return away(url, &error);
	if (strcmp(answer.body.status_report.job, job) != 0) {
		error_set(&error, RESULT_CONFIG,
		    "the coordinator at %s runs %s, not %s: is --coordinator that of another pipeline?", url,
		    answer.body.status_report.job, job);
		return sluicectl_fail(&error);
	}
	for (bool first = true; clock_monotonic_us() < deadline; first = false) {
		arena_clear(arena);
		if (control_ask(url, job, first ? FRAME_CHECKPOINT : FRAME_STATUS, ANSWER_MS, arena, &answer, &error) !=
		    RESULT_OK)
			return away(url, &error);
		const struct frame_status_report *report = &answer.body.status_report;
		if (first) {
			completed = report->checkpoints_completed;
			failed = report->checkpoints_failed;
		} else if (report->checkpoints_completed > completed) {
			print(report, arguments->json);
			return EXIT_SUCCESS;
		} else if (report->checkpoints_failed > failed) {
			(void)fprintf(stderr, "sluicectl: the checkpoint failed; the coordinator's log says why\n");
			return EXIT_FAILURE;
		}
		sluicectl_pause_ms(LOOK_EVERY_MS);
	}
	(void)fprintf(stderr, "sluicectl: no checkpoint in time; sluicectl status says what is waited for\n");
	return EXIT_FAILURE;
}

static int run(const struct arguments *arguments, const struct pipeline *pipeline)
{
	enum job_kind kind = JOB_TOTALS;
	struct arena arena = {0};
	if (arguments->job != NULL && !job_kind_parse(arguments->job, &kind))
		return sluicectl_refuse("no job %s: --job is totals or search", arguments->job);
	if (kind != JOB_TOTALS)
		return sluicectl_refuse(
		    "the job %s has no checkpoints: where it is stands in Elasticsearch, in index sluice-control",
		    job_kind_name(kind));
	int code = take(arguments, pipeline, &arena);
	arena_fini(&arena);
	return code;
}

const struct verb verb_checkpoint = {
    .name = "checkpoint",
    .run = run,
    .what = "takes a checkpoint now and waits until it is complete",
    .exits = "0 it is complete, 1 it failed, 69 no coordinator answers",
    .rows = {ROW_COORDINATOR, ROW_JOB("totals: the one that has checkpoints")},
    .rows_len = 2,
};
