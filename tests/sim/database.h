/* tests/sim/database.h - the database: exact semantics of sink_port.h, one transaction per step.
 *
 * A request becomes a task: work that a backend has in hand. The backend may carry it out at any later step, also when
 * its writer has long stopped listening, unless somebody ends it first. A database that fails over is a copy of an
 * older state of itself.
 */
#ifndef SIM_DATABASE_H
#define SIM_DATABASE_H

#include "services/sink/sink_port.h"
#include "tests/sim/log_records.h"

struct world;

enum { MONTHS_MAX = 2, UNNAMED = -1, SLOW_MOST_US = 8000000, IDENTITIES_MAX = 128 };

/* A measure of a group: there or not. */
struct total {
	bool there;
	int64_t minor;
};

struct totals {
	struct total by_group[DAYS_MAX][GROUPS_MAX], by_day[DAYS_MAX], by_month[MONTHS_MAX];
};

struct stored_row {
	bool there;
	uint32_t partition;
	int64_t offset;
};

/* What all totals add up to: struct sums, of this pipeline's three rollups with one measure each. */
enum { ROLLUPS = 3 };
struct flat_sums {
	bool known;
	struct sum of[ROLLUPS];
};
static inline struct flat_sums sums_flat(const struct sums *sums)
{
	return (struct flat_sums){sums->known, {sums->of[0][0], sums->of[1][0], sums->of[2][0]}};
}
static inline struct sums sums_whole(const struct flat_sums *flat)
{
	struct sums sums = {.known = flat->known};
	for (uint32_t i = 0; i < ROLLUPS; i++)
		sums.of[i][0] = flat->of[i];
	return sums;
}

/* A row of the table of checkpoints. */
struct identity {
	struct epoch_id epoch;
	int64_t cut[PARTITIONS_MAX]; /* UNNAMED */
	bool counted;
	struct counters counters;
	struct flat_sums sums;
	struct stored_mark marks[PARTITIONS_MAX];
};

/* A pipeline file: of a wide one amounts have more digits, so it accepts more records; of a roomy one totals have. */
struct file_kind {
	bool wide, roomy;
};

/* Flat, so that a state is kept by assignment. */
struct database {
	uint64_t fence;
	struct epoch_id last;
	struct file_kind file; /* the one that counts, from the frontier on */
	struct epoch_id since; /* the checkpoint since which it does */
	uint8_t judged[PARTITIONS_MAX][RECORDS_MAX]; /* by which one, of records before that; enum judge */
	bool started, failed_over; /* since the fence was last raised */
	int64_t cut[PARTITIONS_MAX]; /* UNNAMED */
	struct stored_mark marks[PARTITIONS_MAX];
	uint32_t cluster; /* remembered; 0: not yet */
	int64_t base[PARTITIONS_MAX]; /* where the job started */
	struct identity checkpoints[IDENTITIES_MAX]; /* oldest first */
	uint32_t checkpoints_len;
	struct counters counters;
	struct flat_sums sums;
	struct stored_row rows[KEYS_MAX];
	struct totals totals;
	uint8_t letters[PARTITIONS_MAX][RECORDS_MAX]; /* by place in the log; enum letter_kind */
	uint8_t decisions[PARTITIONS_MAX][RECORDS_MAX]; /* the table: enum verdict, 0: none */
	uint8_t decided[PARTITIONS_MAX]
	               [RECORDS_MAX]; /* the same, but for ever: what retire deletes was decided all the same */
};
enum judge { JUDGE_NOW, JUDGE_NARROW, JUDGE_WIDE };
enum letter_kind { LETTER_NONE, LETTER_DEAD, LETTER_CONFLICT };

/* A transaction, decoded and checked against the log when it was sent: the bytes may be gone when it runs. */
struct changes {
	struct epoch_id predecessor, epoch, renamed;
	bool checkpoint;
	struct file_kind file; /* the sender's */
	int64_t cut[PARTITIONS_MAX];
	struct stored_mark marks[PARTITIONS_MAX];
	uint32_t cluster; /* to be remembered; 0: nothing new */
	struct counters counters;
	bool counted; /* MARK */
	struct flat_sums before, sums;
	struct epoch_id retired[IDENTITIES_MAX];
	uint32_t retired_len;
	uint32_t rows_len, letters_len, decisions_len;
	struct {
		uint32_t key, partition;
		int64_t offset;
	} rows[PARTITIONS_MAX * RECORDS_MAX];
	struct {
		uint32_t partition, place;
		enum letter_kind kind;
	} letters[PARTITIONS_MAX * RECORDS_MAX];
	struct {
		uint32_t partition, place;
		enum verdict verdict;
	} decisions[PARTITIONS_MAX * RECORDS_MAX];
	struct totals totals; /* those named */
};

struct sink;
struct task {
	struct task *next;
	enum sink_request_kind kind;
	bool reads; /* FENCE, LOOK: the second statement, under the fence */
	uint64_t owner; /* of which port */
	struct sink *sink; /* who waits for the answer; NULL: nobody any more */
	uint64_t attempt, slow_until_us; /* the latter: not carried out before */
	struct changes *changes; /* of FENCE and LOOK: NULL; each kind uses what it needs of it */
};

struct sink {
	struct sink_port port; /* first */
	struct world *world;
	uint64_t id, attempt;
	char process[32];
	enum sink_request_kind asked;
	bool connected, busy, on_the_way, answered;
	bool unsure; /* a commit has got no answer: */
	struct epoch_id unsure_of;
	bool failed_over; /* the database had, when it gave the last answer */
	struct sink_answer answer;
};

void database_init(struct database *database);
void sink_init(struct sink *sink, struct world *world, const char *process);
/* The writer is gone; what its backend has in hand may still be carried out, if so wished. */
void sink_fini(struct sink *sink, bool backend_lives_on);

/* Its backend may go on now. */
bool task_due(const struct world *world, const struct task *task);
/* A backend carries out one task (or its first half). Takes it from the list. */
void task_run(struct world *world, struct task *task);
void tasks_free(struct world *world);
/* The answer that is on the way arrives. */
void sink_answer_arrive(struct sink *sink);
/* The connection breaks: the request's outcome is unknown. backend_lives_on: its work may still be carried out. */
void sink_break(struct sink *sink, bool backend_lives_on, const char *why);
/* Decodes and checks; reports violations. */
struct changes *changes_of(struct world *world, const struct transaction *transaction);
/* The rows only. */
struct changes *changes_of_rows(struct world *world, const struct bytes *bodies, size_t bodies_len);

/* Between database.c and checkpoints.c: */
bool fence_holds(const struct database *database, uint64_t attempt);
/* Fence, then predecessor. */
enum sink_outcome frontier_holds(struct world *world, const struct task *task);
void keep_snapshot(struct world *world);
/* A mutant's: a unique violation counts before, and without, the frontier's compare and swap; nobody ends old backends. */
bool violation_is_trusted(void);
/* Which pipeline file the database has, for whoever raises the fence. */
void tell_meaning(const struct world *world, struct sink_answer *answer);
/* checkpoints.c: identities and late duplicates */
void name_checkpoint(struct world *world, const struct identity *identity);
/* What the frontier has: a checkpoint that lies there. */
struct identity identity_here(const struct database *database, struct epoch_id epoch);
void tell_checkpoints(const struct world *world, struct sink_answer *answer);
/* Nobody begins to read another cluster than the one that is remembered. */
void check_cluster(struct world *world, uint32_t remembered);
enum sink_outcome run_mark(struct world *world, const struct task *task);
enum sink_outcome run_choose(struct world *world, const struct task *task);
enum sink_outcome run_retire(struct world *world, const struct task *task);
bool rows_are_late(const struct world *world, const struct changes *changes);
enum sink_outcome run_late(struct world *world, const struct task *task);

/* For a mutant: what a failover lost stays. */
void database_take_checkpoints(struct database *database, const struct database *from);

#endif
