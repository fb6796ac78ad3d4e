/* tests/sim/store.h - the checkpoint folder in memory: attempt numbers and the manifest of checkpoint 0. */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "common/state/checkpoint_store.h"

struct world;

struct store {
	struct checkpoint_store store; /* first */
	struct world *world;
	uint64_t taken; /* highest number */
	bool written;
	struct buffer manifest; /* a MANIFEST frame */
	uint32_t failures; /* calls that will fail */
};

void store_init(struct store *store, struct world *world);
void store_fini(struct store *store);

#endif
