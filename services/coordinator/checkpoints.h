/* services/coordinator/checkpoints.h - takes checkpoints, knows which there are, and retires the oldest.
 *
 * The database names what may be restored (an identity is part of its epoch's transaction); the folder holds manifests
 * and files. Only what both have is a checkpoint. Identities are deleted first, under the fence, then manifests, then the
 * files that no kept manifest names.
 *
 * Ownership: texts and lists are copied.
 */
#ifndef CHECKPOINTS_H
#define CHECKPOINTS_H

#include "common/base/pipeline.h"
#include "common/runtime/topology.h"
#include "common/state/checkpoint_store.h"
#include "services/coordinator/checkpoint_life.h"

/* A complete one: its manifest is in the folder. */
struct kept_checkpoint {
	struct epoch_id epoch;
	struct cut cut; /* the heap's */
	struct files files; /* the arena's */
	struct checkpoints line; /* that it was built on, newest first, without cuts; the arena's */
	struct arena arena;
};

struct checkpoints_config {
	const struct pipeline *pipeline;
	const char *job;
	struct checkpoint_store *store;
	const struct topology *topology;
};

/* The struct is checkpoints, its list apart: struct checkpoints is the frame's. */
struct checkpoint_keeper {
	struct checkpoints_config config;
	struct kept_checkpoint *kept; /* oldest first; the last one is the base */
	uint32_t kept_len;
	struct epoch_id *named; /* by the database, as far as we know; oldest first */
	uint32_t named_len;
	struct epoch_id *damaged; /* not to be restored again while we live */
	uint32_t damaged_len;
	struct epoch_id verified; /* its files were read from end to end, and are good */
	char meant[33]; /* fingerprint of what the database was filled with; empty: by nobody yet */
	struct epoch_id since; /* the checkpoint since which it has that meaning: none before it is restored */
	bool retiring; /* RETIRE is under way */
	/* the one under way */
	enum checkpoint_state state;
	struct epoch_id epoch;
	uint64_t begun_us;
	bool *acked; /* by the actor's place in the topology */
	bool committed;
	struct cut cut;
	struct files files;
	uint32_t files_capacity;
	struct arena arena; /* their names */
	/* when the next one is due */
	uint64_t due_us, earliest_us; /* after the interval; after min_pause */
	uint64_t records; /* since the base, up to the last commit */
	/* Wishes are numbered from 1. A checkpoint answers those that were there when it was injected; where the attempt ends
	 * first they stay open. */
	uint64_t wished, carried; /* the last one; the last one that the checkpoint under way answers */
	uint64_t answered,
	    granted; /* the last one answered either way; the last one answered by a complete checkpoint */
	bool changed; /* epochs were injected since the last one */
	/* what people are told */
	uint64_t completed, failed, failed_in_row, took_us, added_bytes;
	uint64_t failing_us; /* when the first of those in a row was given up */
	int64_t completed_us; /* instant */
	char why[512]; /* the last one failed */
	bool unseen; /* for its files were not there */
	bool expired; /* for it took too long */
	uint32_t doubled; /* so often checkpoint.timeout is, until one is complete */
};

void checkpoint_keeper_init(struct checkpoint_keeper *keeper, const struct checkpoints_config *config);
void checkpoint_keeper_fini(struct checkpoint_keeper *keeper);

/* Chooses among what the database names: the newest whose manifest and files are there, never one that was damaged.
 * *found false: there is none. *passed_over: newer ones were not usable. */
enum result checkpoint_keeper_choose(struct checkpoint_keeper *keeper, const struct checkpoints *named, bool *found,
    bool *passed_over, struct error *error) MUST_USE;
/* Checkpoint 0: what the start was resolved to. The first manifest wins; cut becomes its cut. */
enum result checkpoint_keeper_begin(struct checkpoint_keeper *keeper, struct cut *cut, struct error *error) MUST_USE;
/* The base once more, under a new identity and with the pipeline file's meaning: same files, same cut. It is the base now; it
 * counts only when the database names it. As nothing before it is restored any more, its files are read beforehand: a damaged
 * base is not renamed, nor chosen again. RETRY: not now, or not this one. Blocks as long as reading takes, once a checkpoint. */
enum result checkpoint_keeper_rename(
    struct checkpoint_keeper *keeper, struct epoch_id renamed, struct error *error) MUST_USE;
const struct kept_checkpoint *checkpoint_keeper_base(const struct checkpoint_keeper *keeper);
void checkpoint_keeper_damaged(struct checkpoint_keeper *keeper, struct epoch_id epoch);

/* An attempt begins to run, from the base; or is over. */
void checkpoint_keeper_start(struct checkpoint_keeper *keeper, uint64_t now_us);
/* The attempt ends for those that failed. If they took too long, those of the next attempt may take twice as long: else a timeout that is
 * too short would end attempt after attempt, each with more to replay. */
void checkpoint_keeper_be_patient(struct checkpoint_keeper *keeper);
void checkpoint_keeper_stop(struct checkpoint_keeper *keeper);
/* One as soon as possible, for a person or because somebody leaves: the wish's number. */
uint64_t checkpoint_keeper_wish(struct checkpoint_keeper *keeper);
/* Whether the next epoch should be one, and when to ask again (0: not before something happens). */
bool checkpoint_keeper_due(const struct checkpoint_keeper *keeper, uint64_t now_us, uint64_t *wake_us);
void checkpoint_keeper_injected(
    struct checkpoint_keeper *keeper, struct epoch_id epoch, bool checkpoint, uint64_t now_us);

/* What happened to the one under way; news of others is ignored, but commits of every epoch have to be told. */
enum keeper_news { KEEPER_NOTHING, KEEPER_COMPLETE, KEEPER_ABANDONED };
enum keeper_news checkpoint_keeper_written(
    struct checkpoint_keeper *keeper, const struct frame_snapshot_done *done, uint64_t now_us);
enum keeper_news checkpoint_keeper_committed(
    struct checkpoint_keeper *keeper, struct epoch_id epoch, const struct cut *at, uint64_t now_us);
enum keeper_news checkpoint_keeper_tick(struct checkpoint_keeper *keeper, uint64_t now_us);
uint64_t checkpoint_keeper_wake_us(const struct checkpoint_keeper *keeper, uint64_t now_us);

/* What to retire now; false: nothing, or it is under way already. The list's memory is the caller's to free. */
bool checkpoint_keeper_retire(struct checkpoint_keeper *keeper, struct frame_retire *retire);
/* The database names them no longer: manifests and files go. Errors are logged: a sweep comes again. */
void checkpoint_keeper_retired(struct checkpoint_keeper *keeper, const struct checkpoints *retired);

#endif
