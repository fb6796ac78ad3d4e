/* services/coordinator/writers.c - what several writers say, put together; see coordinator_state.h. */
#include <stdlib.h>

#include "common/base/mutant.h"
#include "services/coordinator/coordinator_state.h"

void forget_writers(struct coordinator *coordinator)
{
	for (uint32_t i = 0; i < coordinator->topology.writers; i++) {
		struct cut cut = coordinator->writers[i].cut;
		cut.len = 0;
		coordinator->writers[i] = (struct writer_said){.cut = cut};
	}
}

struct writer_said *writer_said(struct coordinator *coordinator, uint64_t actor)
{
	for (uint32_t i = 0; i < coordinator->topology.writers; i++)
		if (actor_id(ROLE_WRITER, i) == actor)
			return &coordinator->writers[i];
	return NULL;
}

/* A writer that was never started has nothing to say about the cut: the others' key groups are all of them. */
static void put_together(struct coordinator *coordinator, const struct frame_fenced *last)
{
	struct cut cut = coordinator->fenced.cut;
	struct counters counters = {0};
	bool started = false;
	cut.len = 0;
	for (uint32_t i = 0; i < coordinator->topology.writers; i++) {
		const struct writer_said *writer = &coordinator->writers[i];
		counters_add(&counters, &writer->counters);
		if (!writer->started)
			continue;
		if (started && MUTANT(begin_at_greatest))
			cut_raise(&cut, &writer->cut);
		else if (started)
			cut_lower(&cut, &writer->cut);
		else
			cut_copy(&cut, &writer->cut);
		started = true;
	}
	coordinator->fenced = *last;
	coordinator->fenced.cut = cut;
	coordinator->fenced.counters = counters;
	coordinator->fenced.started = started;
}

bool others_fenced(const struct coordinator *coordinator)
{
	for (uint32_t i = 1; i < coordinator->topology.writers; i++)
		if (!coordinator->writers[i].fenced)
			return false;
	return !coordinator->writers[0].fenced;
}

bool all_fenced(struct coordinator *coordinator, struct writer_said *writer, const struct frame_fenced *fenced)
{
	writer->fenced = true;
	writer->started = fenced->started;
	writer->counters = fenced->counters;
	cut_copy(&writer->cut, &fenced->cut);
	for (uint32_t i = 0; i < coordinator->topology.writers; i++)
		if (!coordinator->writers[i].fenced && !MUTANT(fenced_by_one))
			return false;
	put_together(coordinator, fenced);
	return true;
}

bool all_cut_set(struct coordinator *coordinator, struct writer_said *writer, const struct frame_cut_set *set)
{
	writer->cut_set = true;
	cut_copy(&writer->cut, &set->cut);
	for (uint32_t i = 0; i < coordinator->topology.writers; i++)
		if (!coordinator->writers[i].cut_set && !MUTANT(cut_set_by_one))
			return false;
	return true;
}

bool writer_committed(struct coordinator *coordinator, struct writer_said *writer,
    const struct frame_committed *committed, uint64_t *n, struct cut *cut, struct counters *counters)
{
	if (committed->epoch.attempt != coordinator->attempt || committed->epoch.n != writer->committed + 1)
		return false;
	writer->committed = committed->epoch.n;
	writer->counters = committed->counters;
	cut_copy(&writer->cut, &committed->cut);
	*n = writer->committed;
	*counters = (struct counters){0};
	cut_copy(cut, &writer->cut);
	for (uint32_t i = 0; i < coordinator->topology.writers; i++) {
		const struct writer_said *other = &coordinator->writers[i];
		if (other->committed < *n && !MUTANT(committed_by_one))
			*n = other->committed;
		counters_add(counters, &other->counters);
		cut_lower(cut, &other->cut);
	}
	return true;
}
