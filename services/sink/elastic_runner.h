/* services/sink/elastic_runner.h - one coordinator runs a search job: see sink_runner.h.
 *
 * The control document names the coordinator of whoever raised its fence last, and a writer at work changes it every five seconds at
 * least. Clocks are not compared, and Elasticsearch knows no sessions: alive is whose document changes while it is looked at.
 */
#ifndef ELASTIC_RUNNER_H
#define ELASTIC_RUNNER_H

#include "services/sink/elastic_control.h"

enum { RUNNER_SILENCE_MS = 15000 };

struct elastic_runner {
	char coordinator[RUNNER_NAME_MAX]; /* mine; empty: whoever writes is ended */
	int64_t seq_no; /* of another's document, as last seen */
	uint64_t since_us; /* it has not changed; 0: none was seen */
};

/* found: as it was just read. UNKNOWN: another one runs the job; the error says who. */
enum sink_outcome elastic_runner_look(
    struct elastic_runner *runner, const char *job, const struct control *found, struct error *error) MUST_USE;

#endif
