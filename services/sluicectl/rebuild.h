/* services/sluicectl/rebuild.h - sluicectl rebuild: a checkpoint where there is none any more.
 *
 * database: the totals at the frontier are the rollups' whole state, and become a file of a checkpoint whose cut is the
 * frontier's, with the sums that the tables add up to; where the frontier says that they must add up to something else, it is refused. What dedup remembers is left empty: the table itself holds every key that was ever accepted, its primary key
 * notices a repeat, and the writer then compares the record with the row (a late duplicate). So nothing has to be guessed that
 * the table does not hold: hash, partition and Kafka timestamp of a row.
 * kafka: the job's start is named as checkpoint (0,0) again, and the next start replays the log in silence up to the frontier.
 * Exact only while no decision was retired: one partition, or (0,0) is still named; and by the file that it was filled by.
 *
 * Under the fence and the writer's advisory lock, so that no job runs meanwhile; the names change in one transaction, after the
 * files: a rebuild that is killed has changed nothing.
 */
#ifndef REBUILD_H
#define REBUILD_H

#include "common/postgres/postgres_connection.h"
#include "common/state/checkpoint_store.h"
#include "common/state/sums.h"
#include "services/sluicectl/audit_progress.h"

/* Within the transaction that holds the frontier: all totals as one file. */
struct rebuilt {
	struct file_entry file; /* its name is static text's or the caller's */
	char name[64];
	uint64_t totals;
	struct sums sums; /* of the tables */
};
enum result rebuild_totals(struct postgres *postgres, const struct pipeline *pipeline, struct checkpoint_store *store,
    struct epoch_id checkpoint, bool dry_run, struct progress *progress, struct rebuilt *rebuilt,
    struct error *error) MUST_USE;

/* The same from the database, behind a frontier that is moved before, in the same transaction. at: its cut, held; attempt: that of the
 * checkpoint. *moved: the frontier's row is not what was read any more. */
struct rebuild_move {
	enum result (*move)(void *context, struct postgres *postgres, const struct cut *at, uint64_t attempt,
	    bool *moved, struct error *error);
	void *context;
};
enum result rebuild_behind(const struct pipeline *pipeline, bool dry_run, const struct rebuild_move *how,
    struct epoch_id *checkpoint, struct error *error) MUST_USE;

#endif
