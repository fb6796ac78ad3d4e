/* tests/sim/coverage.h - which rows of the coordinator's two tables the walks went through.
 *
 * The program is linked such that every look into a table is counted first (ld's --wrap), so nothing in the real code knows.
 */
#ifndef SIM_COVERAGE_H
#define SIM_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/job.h"
#include "services/coordinator/checkpoint_life.h"
#include "services/coordinator/deployment.h"

struct coverage {
	uint64_t deployment[STATES * EVENTS];
	uint64_t checkpoint[CHECKPOINT_STATES_LEN * CHECKPOINT_EVENTS_LEN];
};

/* Where rows are counted from now on; NULL: nowhere. */
void coverage_to(struct coverage *coverage);
void coverage_add(struct coverage *into, const struct coverage *from);
/* Prints how often each row was passed that does something, and which ones never were. False: one that should have been
 * in this job. */
bool coverage_print(enum job_kind job, const struct coverage *coverage);

#endif
