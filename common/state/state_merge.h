/* common/state/state_merge.h - several files of a checkpoint as one sorted run: of equal keys the newest counts.
 *
 * Ownership: the files are copied; names are borrowed only for open.
 * Errors:    those of delta_file.h.
 * Limits:    MERGE_FILES_MAX files at once: each takes about 300 KiB while it is read.
 * Threads:   one.
 */
#ifndef STATE_STATE_MERGE_H
#define STATE_STATE_MERGE_H

#include "common/state/delta_file.h"
#include "common/state/state_leveldb.h"

enum { MERGE_FILES_MAX = 64 };

struct file_merge;
/* files: oldest first. */
enum result file_merge_open(struct file_merge **merge, const struct state_config *config,
    const struct file_entry *files, uint32_t len, struct error *error) MUST_USE;
/* *more false: that was all. The entry is valid until the next call. */
enum result file_merge_next(
    struct file_merge *merge, struct delta_entry *entry, bool *more, struct error *error) MUST_USE;
void file_merge_close(struct file_merge *merge);

#endif
