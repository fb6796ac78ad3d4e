/* tests/sim/store.h - the checkpoint folder in memory: attempt numbers, manifests, files. */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "common/state/checkpoint_store.h"
#include "tests/sim/state.h"

struct world;

struct stored_manifest {
	struct stored_manifest *next;
	struct epoch_id epoch;
	struct buffer frame;
	struct buffer own; /* its frame, where one of another history is in its place */
};

struct store {
	struct checkpoint_store store; /* first */
	struct world *world;
	uint64_t taken; /* highest number */
	struct stored_manifest *manifests;
	struct stored_file *files;
	bool foreign; /* so are files */
	uint32_t failures, spared; /* calls that will fail; and before them, that will not */
};

void store_init(struct store *store, struct world *world);
void store_fini(struct store *store);
/* One of the failures that were ordered is due now. */
bool store_fails(struct store *store);
/* NULL: there is none. */
struct stored_file *store_file(const struct store *store, const char *name);
/* Whether it is the one that a manifest lists. */
bool stored_file_verifies(const struct stored_file *file, const struct file_entry *listed);
void store_put_file(struct store *store, const char *name, const struct entries *entries);
/* Puts files of another history in the place of the rollups' of this checkpoint, with a manifest that tells their checksums; false: it
 * has none. Where another manifest names such a file, it does not verify. */
bool store_alter(struct store *store, struct epoch_id checkpoint);
void store_put_back(struct store *store);
bool store_has_manifest(const struct store *store, struct epoch_id epoch);

#endif
