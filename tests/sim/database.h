/* tests/sim/database.h - the database: exact semantics of sink_port.h, one transaction a step.
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

enum { MONTHS_MAX = 2, UNNAMED = -1, SLOW_MOST_US = 8000000 };

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

/* Flat, so that a state is kept by assignment. */
struct database {
	uint64_t fence;
	struct epoch_id last;
	bool started, failed_over; /* since the fence was last raised */
	int64_t cut[PARTITIONS_MAX]; /* UNNAMED */
	int64_t base[PARTITIONS_MAX]; /* of checkpoint 0 */
	struct counters counters;
	struct stored_row rows[KEYS_MAX];
	struct totals totals;
	uint8_t letters[PARTITIONS_MAX][RECORDS_MAX]; /* by place in the log; enum letter_kind */
	uint8_t decisions[PARTITIONS_MAX][RECORDS_MAX]; /* enum verdict, 0: none */
};
enum letter_kind { LETTER_NONE, LETTER_DEAD, LETTER_CONFLICT };

/* A transaction, decoded and checked against the log when it was sent: the bytes may be gone when it runs. */
struct changes {
	struct epoch_id predecessor, epoch;
	int64_t cut[PARTITIONS_MAX];
	struct counters counters;
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

enum task_kind { TASK_FENCE, TASK_FENCE_READ, TASK_SET_CUT, TASK_COMMIT, TASK_LOOK, TASK_LOOK_READ, TASK_TOUCH };

struct sink;
struct task {
	struct task *next;
	enum task_kind kind;
	uint64_t owner; /* of which port */
	struct sink *sink; /* who waits for the answer; NULL: nobody any more */
	uint64_t attempt, slow_until_us; /* the latter: not carried out before */
	struct changes *changes; /* COMMIT; SET_CUT and TOUCH use cut and predecessor */
};

struct sink {
	struct sink_port port; /* first */
	struct world *world;
	uint64_t id, attempt;
	char process[32];
	enum task_kind asked;
	bool connected, busy, on_the_way, answered;
	bool unsure; /* a commit has got no answer: */
	struct epoch_id unsure_of;
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

#endif
