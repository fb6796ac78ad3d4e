/* services/aggregator/rollup_sums.h - what all totals of a rollup actor add up to (common/state/sums.h), kept with its state.
 *
 * In the state they stand by key group, so that they go with the groups to whichever actors own them next. They are put there at the
 * barriers of checkpoints only: between two of them nobody could restore them.
 */
#ifndef ROLLUP_SUMS_H
#define ROLLUP_SUMS_H

#include "common/state/state.h"
#include "common/state/sums.h"

struct rollup_sums {
	const struct pipeline *pipeline;
	struct state *state; /* borrowed */
	uint32_t first_group, groups_len;
	uint32_t first[PIPELINE_ROLLUPS_MAX]; /* of a rollup's measures among all */
	uint32_t measures_len; /* of all rollups */
	struct sum *by_group; /* measures_len per key group */
	bool *changed; /* since they were put into the state, per key group */
	struct sums before, after; /* of the whole actor: when the epoch began, and now */
	struct groups said; /* scratch, of rollup_sums_say */
	struct sum *said_sums;
};

void rollup_sums_init(struct rollup_sums *sums, const struct pipeline *pipeline, struct state *state,
    uint32_t first_group, uint32_t groups_len);
void rollup_sums_fini(struct rollup_sums *sums);

/* Once, when the state is restored. */
enum result rollup_sums_load(struct rollup_sums *sums, struct error *error) MUST_USE;
/* An amount is added to a measure of a group, in this key group. */
enum result rollup_sums_add(struct rollup_sums *sums, uint32_t key_group, uint64_t hash, uint32_t rollup, uint32_t m,
    int128 amount, struct error *error) MUST_USE;
/* At the barrier of a checkpoint: what changed goes into the state, right before that is frozen. */
enum result rollup_sums_keep(struct rollup_sums *sums, struct error *error) MUST_USE;
/* At every barrier: what it says to the writer, valid until the next call. The next epoch begins. */
struct groups rollup_sums_say(struct rollup_sums *sums);

#endif
