/* common/state/checkpoint_store.h - the checkpoint folder: attempt numbers, manifests, and the files that they name.
 *
 * Implemented by checkpoint_folder.c (files), tests/sim (memory).
 * Layout: <dir>/<job>/attempts/<n>, <dir>/<job>/checkpoints/<attempt>.<n>/manifest, and beside it the files of that
 * checkpoint, <actor>; <dir>/<job>/stopped is stop_note.h's. A manifest is one MANIFEST frame. A file is immutable and complete
 * from the moment it has its name.
 *
 * Errors:   RETRY: storage is away or full; CONFIG: no permission, not a folder; CORRUPT: a manifest that does not verify.
 * Blocking: every call may block for as long as the storage does.
 * Threads:  calls for different names may come from different threads at once.
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
	/* Are these files there, with the sizes that they should have? *whole false: error says which one is not. Their
	 * checksums are verified by whoever reads them. */
	enum result (*check_files)(struct checkpoint_store *, const struct files *, bool *whole, struct error *);
	/* Reads them from end to end: as check_files, with their checksums. Takes as long as the storage needs for that. */
	enum result (*verify_files)(struct checkpoint_store *, const struct files *, bool *whole, struct error *);
	/* One that is not there is no error, for both. */
	enum result (*remove_manifest)(struct checkpoint_store *, struct epoch_id, struct error *);
	enum result (*remove_file)(struct checkpoint_store *, const char *name, struct error *);
	/* Removes what is left of checkpoints of attempts before `oldest` (given up on the way, or their removal was
	 * interrupted): the manifests of all but `named`, then all files but `files`. */
	enum result (*sweep)(struct checkpoint_store *, uint64_t oldest, const struct checkpoints *named,
	    const struct files *files, struct error *);
	/* Where names of files begin, for whoever writes and reads them: <dir>/<job>. */
	const char *(*root)(struct checkpoint_store *);
	void (*close)(struct checkpoint_store *);
};
struct checkpoint_store {
	const struct checkpoint_store_ops *ops;
};

/* Makes the folders where they are missing. */
enum result checkpoint_folder_open(
    struct checkpoint_store **store, const char *dir, const char *job, struct error *error) MUST_USE;
/* The highest number that was taken, without taking one; 0: none. root: as above. */
enum result checkpoint_folder_attempt(const char *root, uint64_t *attempt, struct error *error) MUST_USE;

#endif
