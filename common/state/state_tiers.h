/* common/state/state_tiers.h - keeps an actor's list of files short: several files become one, a piece at each checkpoint.
 *
 * Files of a generation are merged by size: as soon as eight of a tier lie at the end of the list they become one of the
 * next. So an entry is written again once a tier, and a list has about eight files a tier. A generation that is no
 * longer written to is merged into one file, once. A merge goes on at every checkpoint for as many bytes as a few times
 * what the checkpoint wrote itself, so that none takes long; its sources serve until it is done.
 *
 * The merged file says it was written by the checkpoint of its newest source: its entries are those that one knew, not
 * newer ones. So the order of the list stays right whatever was written meanwhile, and so does what an older cache lacks.
 *
 * Source:  O'Neil et al., The Log-Structured Merge-Tree (1996); size tiers as in Bigtable's merging compactions.
 * Errors:  none: a merge that fails is logged and given up, and its sources go on serving.
 * Threads: one.
 */
#ifndef STATE_STATE_TIERS_H
#define STATE_STATE_TIERS_H

#include "common/state/state_files.h"
#include "common/state/state_merge.h"

struct file_tiers {
	struct file_list sources; /* none: nothing is under way */
	struct file_merge *merge; /* NULL: it is done, and the result waits until a complete checkpoint names it */
	struct delta_writer *writer;
	struct file_entry result;
	char *name; /* of the result */
	bool failed; /* once: not again in this process */
};

/* list: of the last complete checkpoint; generation: that is written to. Merges about bytes_max bytes; list has the outcome. */
void file_tiers_advance(struct file_tiers *tiers, const struct state_config *config, struct epoch_id checkpoint,
    uint64_t generation, uint64_t bytes_max, struct file_list *list);
void file_tiers_fini(struct file_tiers *tiers);

#endif
