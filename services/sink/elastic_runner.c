/* services/sink/elastic_runner.c - see elastic_runner.h. */
#include "services/sink/elastic_runner.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"

enum sink_outcome elastic_runner_look(
    struct elastic_runner *runner, const char *job, const struct control *found, struct error *error)
{
	uint64_t now_us = clock_monotonic_us();

	if (runner->coordinator[0] == '\0' || found->runner[0] == '\0' ||
	    strcmp(found->runner, runner->coordinator) == 0 || MUTANT(rival_unseen))
		return SINK_DONE;
	if (runner->since_us == 0 || (found->seq_no != runner->seq_no && !MUTANT(rival_taken_for_dead))) {
		runner->seq_no = found->seq_no;
		runner->since_us = now_us;
	}
	if (now_us - runner->since_us >= (uint64_t)RUNNER_SILENCE_MS * 1000) {
		log_info("job %s was run by another coordinator, %s, which has been silent for %d s", job,
		    found->runner, RUNNER_SILENCE_MS / 1000);
		return SINK_DONE;
	}
	error_set(error, RESULT_RETRY,
	    "job %s is run by another coordinator, %.200s. End one of the two (scripts/down in its run directory), or, "
	    "where this is another pipeline, give it a `job:` of its own; this one takes over when that one has been "
	    "silent for %d s",
	    job, found->runner, RUNNER_SILENCE_MS / 1000);
	return SINK_UNKNOWN;
}
