/* common/state/state_files.h - which files an actor's state is made of, and how a checkpoint adds one.
 *
 * Files are immutable: what is merged away (state_tiers.h) stays in the folder for as long as an older checkpoint names
 * it.
 *
 * Threads: one.
 */
#ifndef STATE_STATE_FILES_H
#define STATE_STATE_FILES_H

#include "common/state/checkpoint_store.h"
#include "common/state/delta_file.h"
#include "common/state/overlay.h"
#include "common/state/state_leveldb.h"

/* Names are the list's own. */
struct file_list {
	struct file_entry *entries; /* oldest first */
	uint32_t len;
};
void file_list_fini(struct file_list *list);
void file_list_add(struct file_list *list, const struct file_entry *file);
void file_list_copy(struct file_list *to, const struct file_list *from);
/* The lowest generation of its files from at_least on; false: there is none. */
bool file_list_next_generation(const struct file_list *list, uint64_t at_least, uint64_t *generation);

/* The manifest's files that concern this actor, cut to its key groups, oldest first. line: the checkpoints it was built
 * on, into the arena. RETRY: storage is away. CORRUPT: it cannot be used. */
enum result state_files_of(const struct state_config *config, struct epoch_id checkpoint, struct file_list *list,
    struct checkpoints *line, struct arena *arena, struct error *error) MUST_USE;

/* The entries of layers (newest first) as one run, sorted by key group and key, a key once. */
struct layer_run {
	const struct overlay_entry **entries;
	size_t len;
	size_t *ends; /* of each of the actor's key groups, in entries */
};
void layer_run_make(
    struct layer_run *run, const struct state_config *config, const struct overlay *const *layers, uint32_t layers_len);
void layer_run_fini(struct layer_run *run);
uint64_t layers_keys(const struct overlay *const *layers, uint32_t layers_len);

/* Adds a file with what changed to the list; none where nothing did. newest_ms: Kafka's, of its newest entry. */
enum result state_files_write(const struct state_config *config, struct epoch_id checkpoint, uint64_t generation,
    int64_t newest_ms, const struct layer_run *run, struct file_list *list, struct error *error) MUST_USE;

#endif
