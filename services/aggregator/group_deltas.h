/* services/aggregator/group_deltas.h - what the rows of one epoch add to every rollup's groups.
 *
 * Ownership: the pipeline is borrowed for the life of this.
 * Errors:    CONFIG where a sum does not fit into 128 bits: never a wrong number.
 */
#ifndef GROUP_DELTAS_H
#define GROUP_DELTAS_H

#include "common/runtime/actor.h"
#include "services/aggregator/group_batch.h"
#include "common/state/group_key.h"
#include "services/aggregator/group_plan.h"
#include "services/aggregator/group_table.h"

struct group_deltas {
	const struct pipeline *pipeline;
	struct group_plan plans[PIPELINE_ROLLUPS_MAX];
	struct group_table tables[PIPELINE_ROLLUPS_MAX];
	struct buffer key; /* of the row or group at hand */
	struct calendar calendar;
};

void group_deltas_init(struct group_deltas *deltas, const struct pipeline *pipeline);
void group_deltas_fini(struct group_deltas *deltas);

/* values: of an accepted row whose fields have their declared types. */
enum result group_deltas_add(struct group_deltas *deltas, const struct value *values, struct error *error) MUST_USE;
/* The epoch is over: folds what is folded once, puts every group into its owner's batch (one for each rollup actor)
 * and begins the next epoch. */
enum result group_deltas_send(struct group_deltas *deltas, struct group_batch *batches, uint32_t batches_len,
    struct outbox *outbox, struct error *error) MUST_USE;

#endif
