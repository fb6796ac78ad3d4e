/* tests/sim/process.h - a worker process: hosts the real worker; can be killed, stopped, started afresh. */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include "common/runtime/worker.h"
#include "services/ingest/ingest.h"
#include "tests/sim/database.h"
#include "tests/sim/elastic.h"
#include "tests/sim/network.h"
#include "tests/sim/state.h"

enum { PROCESSES_MAX = 16, INGESTS_MAX = 4 };

/* The pipeline file that it was started with. */
struct setup {
	uint64_t generation;
	struct topology topology;
	struct pipeline pipeline; /* what it points to is the world's */
};

enum life { LIFE_DOWN, LIFE_UP, LIFE_STOPPED };

struct source_cursor {
	bool assigned;
	int64_t position; /* next offset to lend */
	int64_t heard; /* end as last heard, -1: not yet */
};

struct source {
	struct source_port port; /* first */
	struct world *world;
	struct source_cursor cursors[PARTITIONS_MAX];
	uint32_t lent;
	bool assigned;
	uint64_t doubts_before; /* of the log, when it was assigned */
	uint64_t seen[INGESTS_MAX]; /* log_version, by actor: an eventfd that was read empty */
};

struct process {
	struct host host; /* first */
	struct world *world;
	enum process_role role;
	uint32_t slot;
	enum life life;
	struct setup setup;
	bool old; /* left over: others run with a newer file, and it keeps its own */
	uint64_t pid, incarnation, back_us;
	char name[32];
	struct worker worker;
	struct ingest_process ingest;
	struct source source;
	struct sink sink;
	struct document_port documents[WRITERS_MAX]; /* by writer; of the job of documents */
	struct sim_state *states; /* of its dedup and rollup actors */
	bool restart_wanted, sink_open;
	bool leaves, stop_wanted; /* told to end by a person; and then by its coordinator */
	char why[160];
	struct connection *out[CHANNELS_MAX + 1], *in[CHANNELS_MAX + 1]; /* by channel */
};

void process_init(struct process *process, struct world *world, enum process_role role, uint32_t slot);
/* A new process takes the slot: nothing is left of the one before. */
void process_start(struct process *process);
struct setup setup_now(const struct world *world);
/* kill -9: a random part of what it sent still arrives. */
void process_kill(struct process *process);
/* exec: the same pid, everything else anew. */
void process_restart(struct process *process);
/* Takes a command; afterwards the process may have started itself afresh. */
void process_command(struct process *process, const struct frame *command);
void process_message(struct process *process, uint32_t channel, struct buffer *message);
void process_deliver(struct process *process, uint32_t channel);
void process_tick(struct process *process, uint32_t place);
/* Its actor may be ticked now: time has come, or its port has news. */
bool process_tick_due(const struct process *process, uint32_t place);

void source_init(struct source *source, struct world *world);
void source_fini(struct source *source);
bool source_has_news(const struct source *source, uint32_t ingest);

#endif
