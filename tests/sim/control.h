/* tests/sim/control.h - coordinators, and the control link between each worker and its coordinator.
 *
 * A session is one registration of one incarnation of a worker. Each direction is in order and loses messages only when
 * an end dies. A coordinator that does not know a worker's session tells it to start afresh.
 */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include "services/coordinator/coordinator.h"
#include "tests/sim/process.h"

enum { COORDINATORS_MAX = 2 };

struct coordinator_process {
	struct coordinator_port port; /* first */
	struct world *world;
	enum life life;
	struct setup setup;
	uint64_t incarnation, back_us;
	uint64_t attempt; /* of its last command about one */
	uint32_t slot;
	struct coordinator *coordinator;
	uint64_t ended; /* so many attempts, when it was looked at last; documents only */
	int64_t reported[PARTITIONS_MAX]; /* the cut that it told people last; documents only */
};

struct session {
	struct session *next;
	struct coordinator_process *coordinator; /* NULL: it is dead, or has given this worker up */
	struct process *process; /* NULL: it is dead, or has started afresh */
	char worker[32];
	struct queue events, commands;
};

void coordinator_process_start(struct coordinator_process *process, struct world *world, uint32_t slot);
void coordinator_process_kill(struct coordinator_process *process);
bool coordinator_process_due(const struct coordinator_process *process);

/* There is a coordinator with the same pipeline file. */
bool session_can_open(const struct world *world, const struct process *process);
/* A worker looks for a coordinator and registers; false: there is none. */
bool session_open(struct world *world, struct process *process);
struct session *session_of(const struct world *world, const struct process *process);
void session_report(struct session *session, struct buffer *message);
/* The worker's end is gone; a random part of what it said still arrives. */
void session_forget_process(struct world *world, const struct process *process);
/* The coordinator gives the worker up; the worker learns it later. */
void session_give_up(struct session *session, const char *why);

bool session_has_event(const struct world *world, const struct session *session);
void session_take_event(struct session *session);
bool session_has_command(const struct world *world, const struct session *session);
void session_take_command(struct session *session);
/* The newest one that can be restored; NULL: none. */
const struct identity *usable_checkpoint(const struct world *world);
void sessions_sweep(struct world *world);
void control_fini(struct world *world);

#endif
