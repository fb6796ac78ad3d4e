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

enum progress { WAITS, COMPLETE, FAILED, FORGOTTEN };

/* What has become of a wish. A coordinator that has started afresh counts anew, and knows nothing of it. */
static enum progress progress_of(uint64_t wish, const struct frame_status_report *report)
{
	if (report->wish < wish)
		return FORGOTTEN;
	if (report->wish_granted >= wish)
		return COMPLETE;
	return report->wish_answered >= wish || strcmp(report->state, "STOPPED") == 0 ? FAILED : WAITS;
}

/* Asks until this very wish is answered, not one of somebody else's. */
static int take(const struct arguments *arguments, const struct pipeline *pipeline, struct arena *arena)
{
	const char *url = arguments->coordinator ? arguments->coordinator : pipeline->coordinator.listen;
	uint64_t deadline = clock_monotonic_us() + pipeline->checkpoint.timeout_us + WAIT_US;
	uint64_t wish = 0; /* 0: to be made */
	char job[JOB_NAME_MAX];
	struct error error = {0};
	struct frame answer;
	(void)job_name(pipeline, JOB_TOTALS, job);
	while (clock_monotonic_us() < deadline) {
		arena_clear(arena);
		enum frame_kind question = wish == 0 ? FRAME_CHECKPOINT : FRAME_STATUS;
		enum result result = control_ask(url, job, question, ANSWER_MS, arena, &answer, &error);
		if (result != RESULT_OK)
			return result == RESULT_CONFIG ? sluicectl_fail(&error) : away(url, &error);
		const struct frame_status_report *report = &answer.body.status_report;
		if (wish == 0)
			wish = report->wish;
		switch (progress_of(wish, report)) {
		case COMPLETE:
			print(report, arguments->json);
			return EXIT_SUCCESS;
		case FAILED:
			(void)fprintf(stderr, "sluicectl: the checkpoint failed; the coordinator's log says why\n");
			return EXIT_FAILURE;
		case FORGOTTEN:
			wish = 0;
			break;
		case WAITS:
			break;
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
	struct error error = {0};
	if (sluicectl_job(arguments, &kind, &error) != RESULT_OK)
		return sluicectl_refuse("%s", error.text);
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
