/* services/sluicectl/job_state.h - what a job is at: by its coordinator or, where that has ended, by what it has left.
 *
 * Blocking: until the coordinator answers, JOB_STATE_ANSWER_MS at most.
 */
#ifndef JOB_STATE_H
#define JOB_STATE_H

#include "common/base/pipeline.h"
#include "common/state/stop_note.h"
#include "services/sluicectl/sluicectl.h"

enum { JOB_STATE_ANSWER_MS = 2000 };

/* Why it had to stop, as its coordinator wrote it down; nobody else would know. False: there is no such word. */
bool job_state_note(const struct pipeline *pipeline, const char *job, struct stop_note *note);

/* Of a job that has committed nothing, so that there is nothing to audit. Says what is the case, and whether that passes (RETRY). */
enum result job_state_nothing(
    const struct arguments *arguments, const struct pipeline *pipeline, const char *job, struct error *error);

#endif
