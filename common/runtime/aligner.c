#include "common/runtime/aligner.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/mutant.h"

void aligner_init(struct aligner *aligner)
{
	*aligner = (struct aligner){0};
}

void aligner_add(struct aligner *aligner, uint32_t channel)
{
	aligner->channels = memory_resize(aligner->channels, aligner->len + 1, sizeof *aligner->channels);
	aligner->closed = memory_resize(aligner->closed, aligner->len + 1, sizeof *aligner->closed);
	aligner->channels[aligner->len] = channel;
	aligner->closed[aligner->len++] = false;
}

void aligner_fini(struct aligner *aligner)
{
	free(aligner->channels);
	free(aligner->closed);
	cut_fini(&aligner->merged.cut);
	marks_fini(&aligner->merged.marks);
	free(aligner->merged.shares.entries);
	*aligner = (struct aligner){0};
}

static uint32_t place_of(const struct aligner *aligner, uint32_t channel)
{
	for (uint32_t i = 0; i < aligner->len; i++)
		if (aligner->channels[i] == channel)
			return i;
	panic("channel %u is not an input", channel);
}

bool aligner_accepts(const struct aligner *aligner, uint32_t channel)
{
	return !aligner->closed[place_of(aligner, channel)];
}

void aligner_add_share(struct aligner *aligner, uint32_t actor, const struct counters *counters)
{
	struct shares *shares = &aligner->merged.shares;
	for (uint32_t i = 0; i < shares->len; i++)
		if (shares->entries[i].actor == actor) {
			if (MUTANT(sum_counters))
				counters_add(&shares->entries[i].counters, counters);
			return; /* the same share, come on another path */
		}
	shares->entries = memory_resize(shares->entries, shares->len + 1, sizeof *shares->entries);
	shares->entries[shares->len++] = (struct share){actor, *counters};
}

static void begin(struct aligner *aligner, const struct frame_barrier *barrier)
{
	struct frame_barrier *merged = &aligner->merged;
	merged->epoch = barrier->epoch;
	merged->base = barrier->base;
	merged->checkpoint = barrier->checkpoint;
	merged->lift = barrier->lift;
	merged->stop = barrier->stop;
	merged->cut.len = 0;
	merged->marks.len = 0;
	merged->shares.len = 0;
}

enum result aligner_barrier(
    struct aligner *aligner, uint32_t channel, const struct frame_barrier *barrier, bool *aligned, struct error *error)
{
	struct frame_barrier *merged = &aligner->merged;
	uint32_t place = place_of(aligner, channel);
	*aligned = false;
	CHECK(!aligner->closed[place]);
	if (aligner->closed_len == 0)
		begin(aligner, barrier);
	if (!epoch_equal(merged->epoch, barrier->epoch) || !epoch_equal(merged->base, barrier->base) ||
	    merged->checkpoint != barrier->checkpoint || merged->lift != barrier->lift || merged->stop != barrier->stop)
		return error_set(error, RESULT_CORRUPT, "channel %u brings barrier %llu.%llu, the others %llu.%llu",
		    channel, (unsigned long long)barrier->epoch.attempt, (unsigned long long)barrier->epoch.n,
		    (unsigned long long)merged->epoch.attempt, (unsigned long long)merged->epoch.n);
	if (!cut_union(&merged->cut, &barrier->cut))
		return error_set(error, RESULT_CORRUPT, "two barriers of one epoch name different offsets");
	for (uint32_t i = 0; i < barrier->marks.len; i++)
		marks_add(&merged->marks, &barrier->marks.entries[i]);
	for (uint32_t i = 0; i < barrier->shares.len; i++)
		aligner_add_share(aligner, barrier->shares.entries[i].actor, &barrier->shares.entries[i].counters);
	aligner->closed[place] = true;
	if (++aligner->closed_len < aligner->len)
		return RESULT_OK;
	memset(aligner->closed, 0, aligner->len * sizeof *aligner->closed);
	aligner->closed_len = 0;
	*aligned = true;
	return RESULT_OK;
}
