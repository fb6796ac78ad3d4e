/* common/state/state_identity.h - what a cache says of itself in a file beside its stores, so that it is never taken for
 * something else.
 *
 * It names the job, the role, the exact key groups, and the one checkpoint that it holds. The number of a checkpoint is
 * given once for ever within a checkpoint folder; a folder that is made anew begins at 1 again, so the folder has a
 * random name of its own (its lineage), which is here, too. So is the machine's boot: nothing is synced, and after a
 * power failure a cache may be torn.
 *
 * Errors: RETRY: the disk is full or away.
 */
#ifndef STATE_STATE_IDENTITY_H
#define STATE_STATE_IDENTITY_H

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/state/state_leveldb.h"

enum { STORES_MAX = 40, SLICES_MAX = 64 };

/* A leveldb: a generation, and how many keys were put into each of its slices. */
struct store_identity {
	uint64_t generation;
	uint64_t slices[SLICES_MAX];
	uint32_t slices_len;
};
struct cache_identity {
	struct epoch_id checkpoint; /* that it holds */
	struct epoch_id applying; /* that was being taken in; equal to checkpoint: none */
	struct store_identity stores[STORES_MAX];
	uint32_t stores_len;
};

/* The first lines: what has to be the same. The caller frees it. */
enum result identity_about(const struct state_config *config, char **about, struct error *error) MUST_USE;

/* It is either the old or the new one, whenever the process is killed. */
enum result identity_write(
    const char *folder, const char *about, const struct cache_identity *identity, struct error *error) MUST_USE;
/* false: there is none, or it is another's, or not whole. */
bool identity_read(const char *folder, const char *about, struct cache_identity *identity);
/* From now on nobody takes the cache for anything. */
void identity_remove(const char *folder);

#endif
