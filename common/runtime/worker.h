/* common/runtime/worker.h - what a process does with its actors: obeys the coordinator, checks channels, delivers.
 *
 * Everything here is deterministic; sockets, threads and time belong to the host: runner.c in production (nng), the
 * simulation in tests/sim. Life of a worker process: REGISTER, [PREPARE], DEPLOY, CONNECT, START, ..., CANCEL: it starts
 * itself afresh (exec) and registers again. It obeys one attempt in its life, and nothing older.
 *
 * Channels between actors of this worker are queues; the others are the host's. Either way a frame carries attempt,
 * channel and sequence, and a gap ends the attempt: nothing is ever sent again.
 */
#ifndef RUNTIME_WORKER_H
#define RUNTIME_WORKER_H

#include "common/base/error.h"
#include "common/base/pipeline.h"
#include "common/runtime/actor.h"
#include "common/runtime/topology.h"

enum { CHANNEL_URL_MAX = 256, WORKER_NAME_MAX = 128 };

struct host;
struct host_ops {
	/* Listens for the one sender of this channel; writes the address to give to it. */
	enum result (*listen)(struct host *, uint32_t channel, char url[CHANNEL_URL_MAX], struct error *);
	enum result (*dial)(struct host *, uint32_t channel, const char *url, struct error *);
	/* Takes the message (clears it). Never blocks: what is in flight is bounded by the epoch credit. */
	void (*send)(struct host *, uint32_t channel, struct buffer *message);
	/* The worker has taken a message from this channel's inbox: there is room for one more. */
	void (*taken)(struct host *, uint32_t channel);
	/* Takes the message (FRAME_HEADER_SIZE of room, encoded body): an event for the coordinator. */
	void (*report)(struct host *, enum frame_kind kind, uint64_t attempt, struct buffer *message);
	/* Starts the process afresh: does not return in production. */
	void (*restart)(struct host *, const char *why);
	/* Ends the process with this exit code: does not return in production. */
	void (*stop)(struct host *, int code, const char *why);
	/* Makes an actor of a role this process can host; NULL with error. The host's service knows how. */
	struct actor *(*create)(struct host *, uint32_t actor, uint64_t attempt, struct error *);
};
struct host {
	const struct host_ops *ops;
};

struct worker_channel {
	uint32_t id;
	struct edge edge;
	bool here_from, here_to; /* which ends are actors of this worker */
	bool greeted; /* inbound from outside: HELLO came in */
	uint64_t sequence_out, sequence_in;
	struct buffer *inbox; /* messages, oldest first; a ring */
	uint32_t inbox_first, inbox_len, inbox_capacity;
};

enum worker_state {
	WORKER_REGISTERED,
	WORKER_PREPARED,
	WORKER_DEPLOYED,
	WORKER_CONNECTED,
	WORKER_STARTED,
	WORKER_OVER
};

struct worker {
	struct host *host;
	char name[WORKER_NAME_MAX];
	uint32_t job; /* frame_job(job name) */
	struct topology topology;
	enum worker_state state;
	uint64_t attempt;
	struct actor **actors;
	uint32_t actors_len;
	struct worker_channel *channels; /* by place: channel id - 1 */
	uint32_t channels_len;
	uint32_t next_channel; /* fairness */
	bool ready_said;
	struct arena arena;
	struct outbox outbox;
};

/* What a process of any host says when it registers. text: the caller's, as long as the registration is used. */
struct frame_registration worker_registration(enum process_role process, uint64_t pid, uint64_t identity,
    const char *job, const struct pipeline *pipeline, const struct topology *topology, const char *zone_rules,
    char text[TOPOLOGY_TEXT_MAX]);

void worker_init(
    struct worker *worker, struct host *host, const char *name, const char *job, const struct topology *topology);
void worker_fini(struct worker *worker);

/* A frame of the coordinator's. Failures are handled inside: FAILED is reported, or the host restarts. */
void worker_command(struct worker *worker, const struct frame *command);
/* It has a handler of its own. */
bool worker_takes(enum frame_kind kind);
/* A message came in on a channel from outside; takes it. */
void worker_message(struct worker *worker, uint32_t channel, struct buffer *message);
/* The other end of a channel is gone. */
void worker_channel_lost(struct worker *worker, uint32_t channel, const char *why);
/* Reports FAILED: something of the host's broke. */
void worker_fail(struct worker *worker, const struct error *error);

/* One thing to do, for the simulation: is there a message that its actor accepts? */
bool worker_deliverable(const struct worker *worker, uint32_t channel);
void worker_deliver(struct worker *worker, uint32_t channel);
void worker_tick(struct worker *worker, uint32_t place, uint64_t now_us);

/* Delivers whatever can be delivered and ticks whoever is due; true: there may be more to do at once. */
bool worker_run(struct worker *worker, uint64_t now_us);
/* When worker_run wants to be called at the latest; 0: no time. */
uint64_t worker_wake_us(const struct worker *worker);

#endif
