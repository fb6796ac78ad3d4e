/* common/state/state_restore.h - makes a cache hold what a checkpoint's files say.
 *
 * Reuses what is there: a cache of the checkpoint itself, or of one in its line, to which only the files written since are
 * added. Anything else is thrown away and filled anew, file after file.
 *
 * Errors:  as state_port.h; *damaged: the files are not what they should be, another checkpoint may be.
 * Threads: one; rows_done and rows_all may be read by others meanwhile.
 */
#ifndef STATE_STATE_RESTORE_H
#define STATE_STATE_RESTORE_H

#include "common/state/state_cache.h"
#include "common/state/state_files.h"

struct state_restore {
	const struct state_config *config;
	struct state_cache *cache; /* zeroed; it is opened here */
	const struct file_list *base; /* of the checkpoint */
	_Atomic uint64_t rows_done, rows_all;
};

/* line: the checkpoints that it was built on. */
enum result state_restore_run(struct state_restore *restore, struct epoch_id checkpoint, const struct checkpoints *line,
    bool *damaged, struct error *error) MUST_USE;

#endif
