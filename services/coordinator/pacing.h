/* services/coordinator/pacing.h - when the next epoch is injected.
 *
 * Not a timer: an epoch is injected when data wait, the interval has passed, and fewer than max_in_flight are uncommitted.
 * The interval widens while commits take long, so that they fill no more than about half of the time; an ingest that
 * has used up its credit is not kept waiting. Latency is low at low load, epochs grow by themselves at high load.
 */
#ifndef PACING_H
#define PACING_H

#include "common/base/pipeline.h"
#include "common/runtime/topology.h"
#include "proto/frame.h"

/* What an ingest said last; counts only while `after` is the last epoch injected. */
struct pending {
	bool said;
	uint64_t after;
	bool waiting, full, at_ceiling;
};

struct pacing {
	uint64_t min_interval_us;
	uint32_t max_in_flight, ingests;
	uint64_t injected, committed; /* n of the last */
	uint64_t injected_us; /* when the last one was */
	uint64_t oldest_us; /* since when the oldest uncommitted one is under way, or was last committed before it */
	uint64_t commit_us; /* smoothed */
	bool silent; /* the lift has not been injected */
	struct pending pending[PARALLELISM_MAX];
};

void pacing_start(struct pacing *pacing, const struct pipeline *pipeline, bool silent, uint64_t now_us);
void pacing_pending(struct pacing *pacing, const struct frame_pending *pending);
/* false: epochs are committed in order, and this one was not next. */
bool pacing_committed(struct pacing *pacing, uint64_t n, uint64_t took_us, bool silent, uint64_t now_us) MUST_USE;

enum pace { PACE_WAIT, PACE_INJECT, PACE_LIFT };
/* *wake_us: when to ask again, 0: not before something is said. Does not change anything. */
enum pace pacing_next(const struct pacing *pacing, uint64_t now_us, uint64_t *wake_us);
/* n of the epoch to inject. */
uint64_t pacing_inject(struct pacing *pacing, bool lift, uint64_t now_us);

#endif
