/* tests/sim/sim.h - one world of the simulation: the real actors, worker and coordinator on a simulated outside.
 *
 * Real: services/coordinator, services/ingest with its parser, services/aggregator, services/sink/writer, the worker of
 * common/runtime and the codec; every frame travels as bytes. Simulated: processes, the control link and channels
 * (network.c, process.c, control.c), Kafka (source.c), PostgreSQL (database.c, sink.c), the checkpoint folder (store.c),
 * the caches of state (state.c), time. world.c takes one event a step, fault.c breaks things, oracle.c says what the database must hold.
 *
 * A world has one job. That of totals is all of the above; that of documents (search) has Elasticsearch in PostgreSQL's place
 * (elastic.h), and neither aggregators nor checkpoints.
 *
 * A violation is kept (the first one) and ends the walk. Everything random comes from the world's seed: the same seed
 * takes the same steps and sends the same bytes.
 */
#ifndef SIM_H
#define SIM_H

#include "common/base/pipeline.h"
#include "common/runtime/topology.h"
#include "tests/sim/control.h"
#include "tests/sim/database.h"
#include "tests/sim/log_records.h"
#include "tests/sim/process.h"
#include "tests/sim/random.h"
#include "tests/sim/shrink.h"
#include "tests/sim/state.h"
#include "tests/sim/statistics.h"
#include "tests/sim/store.h"

enum { VIOLATION_MAX = 1400, SNAPSHOTS = 4, STALE_MAX = 48, ATTEMPTS_KEPT = 64 };

/* What one attempt was told when it raised the fence. */
struct attempt_note {
	uint64_t attempt;
	int64_t cut[PARTITIONS_MAX]; /* the frontier's; 0 where it named no offset */
	int64_t base[PARTITIONS_MAX]; /* of the checkpoint that was restored: replay begins there */
	uint8_t decided[PARTITIONS_MAX][RECORDS_MAX];
	uint8_t replayed[PARTITIONS_MAX][RECORDS_MAX];
	bool broken_link; /* a frame was lost on purpose */
	bool altered; /* it reads a record again that is another one now */
	uint64_t injected; /* n of the last epoch */
};

/* How often each kind of event is taken when several can happen. */
enum event_class {
	CLASS_NETWORK,
	CLASS_INBOX,
	CLASS_TICK,
	CLASS_EVENT,
	CLASS_COMMAND,
	CLASS_DATABASE,
	CLASS_ANSWER,
	CLASS_STATE,
	CLASSES
};

/* What a coordinator said when it ended the job: behind it another pipeline file may count. */
struct clean_stop {
	bool said; /* that a last checkpoint was taken; false: nothing is promised */
	struct epoch_id last; /* the frontier then */
};

struct stale_message {
	uint32_t channel;
	uint64_t attempt;
	struct buffer bytes;
};

struct world {
	uint64_t seed, step, now_us;
	enum job_kind kind;
	struct random random;
	const struct omitted *omitted; /* faults that do not happen; NULL: all do */
	uint64_t faults; /* so many were drawn so far */
	bool trace, settling;
	struct pipeline files[2][2]; /* [wide][roomy] */
	struct pipeline pipeline; /* what the processes have: one of these, borrowed */
	struct file_kind file; /* which one */
	bool
	    stopped_cleanly; /* the coordinator has ended the job: everything is started again, perhaps with another file */
	struct clean_stop clean; /* the last one */
	bool refused; /* the file may not follow what the database has */
	struct topology topology;
	uint64_t generation; /* of the pipeline file, where several are in use */
	char job[JOB_NAME_MAX];
	uint32_t expected_ingest, expected_aggregators;
	uint32_t weights[CLASSES], fault_permille, produce_permille, drop_permille, loss_permille, records_max;
	bool names_fixed;

	uint64_t blow_us; /* a second fault, to follow a choice; 0: none */
	bool blow_loses_choice;

	struct record_log log;
	bool log_refused; /* it is not the one that was read */
	bool source_away;
	uint64_t log_version; /* changes when an ingest would be woken */
	uint64_t source_back_us;
	struct database database;
	struct database snapshots[SNAPSHOTS]; /* a ring: states that a failover may go back to */
	uint32_t snapshots_len;
	bool database_away, database_changed; /* the latter: in this step */
	uint64_t database_back_us; /* of Elasticsearch, too */
	struct elastic elastic;
	struct call *calls; /* a list, oldest first */
	struct store store;
	struct cache caches[CACHES_MAX];

	struct process processes[PROCESSES_MAX];
	uint32_t processes_len;
	struct coordinator_process coordinators[COORDINATORS_MAX];
	struct session *sessions; /* a list, oldest first */
	struct connection *connections; /* likewise */
	struct task *tasks;
	uint64_t next_id; /* of pids, incarnations, listeners, connections */
	struct listener *listeners;

	struct stale_message stale[STALE_MAX];
	uint32_t stale_next;
	struct attempt_note notes[ATTEMPTS_KEPT]; /* by attempt modulo their number */

	struct statistics statistics;
	uint64_t trace_hash;
	bool nothing_usable; /* of the checkpoints that the database named when a fence was read behind last */
	bool declared; /* the job stopped with a clear word, and rightly so: the walk ends */
	char violation[VIOLATION_MAX];
};

void world_init(struct world *world, enum job_kind kind, uint64_t seed, bool trace, const struct omitted *omitted);
void world_fini(struct world *world);
/* Faults for so many steps, then none, until the database holds the whole log. False: world->violation says what. */
bool world_run(struct world *world, uint64_t steps) __attribute__((warn_unused_result));

/* Only the first one is kept. */
void world_violate(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line of the trace: what this step did. Also part of the trace's hash. */
void world_trace(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_hash(struct world *world, struct bytes bytes);
struct attempt_note *world_note(struct world *world, uint64_t attempt);

/* A new process; in the place of one that is gone for good, if there is one. */
void world_add_process(struct world *world, enum process_role role, uint32_t slot);

/* pipelines.c: which files the processes have. Of a job of totals there are four, of one of documents there is one. */
void make_totals_pipeline(struct world *world);
void make_search_pipeline(struct world *world);
void pipelines_fini(struct world *world);
/* From now on the processes have this one. */
void take_pipeline(struct world *world, struct file_kind file);

/* fault.c: breaks something. */
void fault_happen(struct world *world);
/* What is restored has been chosen; passed_over: newer checkpoints were erased. A second fault may follow soon. */
void fault_after_choice(struct world *world, bool passed_over);
/* When it is due. */
void fault_blow(struct world *world);
/* The connection breaks at a moment when a commit or another request is under way. */
void fault_lose_answer(struct world *world, struct sink *sink);
/* The person who was refused goes back to the file before. */
void fault_back(struct world *world);
/* Everything is stopped, and comes back. */
void fault_stop_all(struct world *world);
/* When what breaks now comes back. */
uint64_t fault_later(struct world *world);
/* Faults are over: whoever is stopped or dead comes back, what is away too; one coordinator stays. */
void fault_end(struct world *world);

/* fault_search.c: of the job of documents. */
/* Those with an older pipeline file end for good. */
void fault_end_old(struct world *world);
void fault_elastic_goes(struct world *world);
void fault_rescale_documents(struct world *world);
void fault_start_beside(struct world *world);
void fault_leave(struct world *world);
void fault_cut_off(struct world *world);
void fault_lose_attempts(struct world *world);

/* oracle.c: compares the database with the log and the recorded decisions. */
void oracle_check(struct world *world);
/* The database holds the whole log. */
bool oracle_complete(const struct world *world);

#endif
