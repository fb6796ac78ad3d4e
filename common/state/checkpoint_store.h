/* common/state/checkpoint_store.h - the checkpoint folder: attempt numbers and manifests.
 *
 * Implemented by checkpoint_folder.c (files), tests/sim (memory).
 * Layout: <dir>/<job>/attempts/<n>, <dir>/<job>/checkpoints/<attempt>.<n>/manifest. A manifest is one MANIFEST frame.
 *
 * Errors:   RETRY: storage is away or full; CONFIG: no permission, not a folder; CORRUPT: a manifest that does not verify.
 * Blocking: every call may block for as long as the storage does.
 */
#ifndef STATE_CHECKPOINT_STORE_H
#define STATE_CHECKPOINT_STORE_H

#include "common/base/error.h"
#include "proto/frame.h"

struct checkpoint_store;
struct checkpoint_store_ops {
	/* Takes a number that nobody has taken: at least at_least, and above all that were ever taken. Exclusive create. */
	enum result (*take_attempt)(struct checkpoint_store *, uint64_t at_least, uint64_t *attempt, struct error *);
	/* Durable, and only where there is none: *existed tells, and then nothing is written. */
	enum result (*put_manifest)(
	    struct checkpoint_store *, const struct frame_manifest *, bool *existed, struct error *);
	/* The manifest's lists and texts are the arena's. */
	enum result (*get_manifest)(struct checkpoint_store *, struct epoch_id, struct arena *, struct frame_manifest *,
	    bool *found, struct error *);
	void (*close)(struct checkpoint_store *);
};
struct checkpoint_store {
	const struct checkpoint_store_ops *ops;
};

/* Makes the folders where they are missing. */
enum result checkpoint_folder_open(
    struct checkpoint_store **store, const char *dir, const char *job, struct error *error) MUST_USE;

#endif
