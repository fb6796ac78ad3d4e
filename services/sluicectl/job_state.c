#include "services/sluicectl/job_state.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/runtime/control_client.h"

bool job_state_note(const struct pipeline *pipeline, const char *job, struct stop_note *note)
{
	char root[PATH_MAX];
	return snprintf(root, sizeof root, "%s/%s", pipeline->checkpoint.dir, job) < (int)sizeof root &&
	       stop_note_read(root, note);
}

static enum result say_stopped(const char *job, const char *why, struct error *error)
{
	return error_set(error, RESULT_CONFIG, "job %s has stopped before it had committed anything: %s", job, why);
}

static enum result say_reported(const struct frame_status_report *report, struct error *error)
{
	const struct wait_entry *wait = report->waits.len > 0 ? &report->waits.entries[0] : NULL;

	if (strcmp(report->state, "STOPPED") == 0)
		return say_stopped(report->job, report->last_error, error);
	return error_set(error, RESULT_RETRY,
	    "job %s has committed nothing yet, and is %s%s%s%s%s; run again when it has", report->job, report->state,
	    wait ? ": " : "", wait ? wait->who : "", wait ? " waits: " : "", wait ? wait->text : "");
}

enum result job_state_nothing(
    const struct arguments *arguments, const struct pipeline *pipeline, const char *job, struct error *error)
{
	const char *url = arguments->coordinator ? arguments->coordinator : pipeline->coordinator.listen;
	struct arena arena = {0};
	struct frame answer;
	struct stop_note note;
	struct error unheard;
	enum result result = control_ask(url, job, FRAME_STATUS, JOB_STATE_ANSWER_MS, &arena, &answer, &unheard);

	if (result == RESULT_OK)
		result = say_reported(&answer.body.status_report, error);
	else if (job_state_note(pipeline, job, &note))
		result = say_stopped(job, note.text, error);
	else
		result = error_set(error, RESULT_CONFIG,
		    "job %s was never started, or has not committed anything: there is nothing to audit. Start it, and "
		    "run this again when `sluicectl status` says that it runs (now: %s)",
		    job, unheard.text);
	arena_fini(&arena);
	return result;
}
