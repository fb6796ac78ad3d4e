#include "services/coordinator/pacing.h"

void pacing_start(struct pacing *pacing, const struct pipeline *pipeline, bool silent, uint64_t now_us)
{
	*pacing = (struct pacing){
	    .min_interval_us = pipeline->epoch.min_interval_us,
	    .max_in_flight = pipeline->epoch.max_in_flight,
	    .ingests = pipeline->parallelism.ingest,
	    .oldest_us = now_us,
	    .silent = silent,
	};
}

void pacing_pending(struct pacing *pacing, const struct frame_pending *pending)
{
	uint32_t index = actor_index((uint32_t)pending->actor);
	if (index >= pacing->ingests)
		return;
	pacing->pending[index] =
	    (struct pending){true, pending->after, pending->waiting, pending->full, pending->at_ceiling};
}

bool pacing_committed(struct pacing *pacing, uint64_t n, uint64_t took_us, bool silent, uint64_t now_us)
{
	if (n != pacing->committed + 1 || n > pacing->injected)
		return false;
	pacing->committed = n;
	pacing->oldest_us = now_us;
	if (!silent)
		pacing->commit_us = pacing->commit_us ? (pacing->commit_us * 3 + took_us) / 4 : took_us;
	return true;
}

enum pace pacing_next(const struct pacing *pacing, uint64_t now_us, uint64_t *wake_us)
{
	bool waiting = false, full = false, ceiling = true;
	*wake_us = 0;
	for (uint32_t i = 0; i < pacing->ingests; i++) {
		const struct pending *pending = &pacing->pending[i];
		bool counts = pending->said && pending->after == pacing->injected;
		waiting |= counts && pending->waiting;
		full |= counts && pending->full;
		ceiling &= counts && pending->at_ceiling;
	}
	if (pacing->injected - pacing->committed >= pacing->max_in_flight)
		return PACE_WAIT;
	if (pacing->silent && ceiling)
		return PACE_LIFT;
	if (full)
		return PACE_INJECT;
	if (!waiting)
		return PACE_WAIT;
	uint64_t interval = pacing->commit_us * 2;
	if (interval < pacing->min_interval_us)
		interval = pacing->min_interval_us;
	if (now_us >= pacing->injected_us + interval)
		return PACE_INJECT;
	*wake_us = pacing->injected_us + interval;
	return PACE_WAIT;
}

uint64_t pacing_inject(struct pacing *pacing, bool lift, uint64_t now_us)
{
	if (pacing->injected == pacing->committed)
		pacing->oldest_us = now_us;
	if (lift)
		pacing->silent = false;
	pacing->injected_us = now_us;
	return ++pacing->injected;
}
