/* common/runtime/actor.h - a deterministic state machine: frames and ticks in, frames out.
 *
 * Implemented by ingest.c, dedup.c, rollup.c, writer.c. Driven by a worker (worker.h), in production and in the
 * simulation alike. An actor embeds struct actor as its first member.
 *
 * Ownership: frames are borrowed for the call (their memory goes with it); what is sent is copied into the outbox.
 * Errors:    anything but OK ends the attempt; CONFIG ends the job.
 * Threads:   never on two at once; actors share nothing.
 */
#ifndef RUNTIME_ACTOR_H
#define RUNTIME_ACTOR_H

#include "common/base/error.h"
#include "common/runtime/topology.h"
#include "proto/frame.h"

struct actor;
struct outbox;

/* A frame of the data plane; or a command of the coordinator's: channel 0. */
typedef enum result actor_handler(
    struct actor *, uint32_t channel, const struct frame *, struct outbox *, struct error *);

struct actor_ops {
	/* May a frame be delivered from this channel now? No: it is left where it is. */
	bool (*accepts)(const struct actor *, uint32_t channel);
	/* By kind: of every frame that may travel to it, see FRAME_ROUTES. */
	actor_handler *handlers[FRAME_KINDS];
	/* wake_us has come, or event_fd was readable, or a frame or command was just handled. */
	enum result (*on_tick)(struct actor *, uint64_t now_us, struct outbox *, struct error *);
	void (*free)(struct actor *);
};

enum { WAKE_NEVER = 0, WAKE_NOW = 1 };

struct actor {
	const struct actor_ops *ops;
	uint32_t id;
	int event_fd; /* of its port, -1: none; several actors may share one */
	uint64_t wake_us; /* monotonic: tick me then; WAKE_NEVER, WAKE_NOW */
	bool restoring; /* its worker is not READY yet */
};

/* From the actor at the other end of the channel: CORRUPT where such a frame does not travel from there to here. */
enum result actor_frame(struct actor *actor, enum frame_party from, uint32_t channel, const struct frame *frame,
    struct outbox *outbox, struct error *error) MUST_USE;
/* One that is for others of the same worker is passed over. */
enum result actor_command(
    struct actor *actor, const struct frame *command, struct outbox *outbox, struct error *error) MUST_USE;

/* What a call to an actor sends, in order. channel 0 is the coordinator. */
struct outbox_item {
	uint32_t channel;
	enum frame_kind kind;
	struct buffer message; /* FRAME_HEADER_SIZE bytes of room, then the encoded body */
};
struct outbox {
	struct outbox_item *items;
	size_t len, capacity;
};
void outbox_send(struct outbox *outbox, uint32_t channel, enum frame_kind kind, const void *body);
void outbox_send_encoded(struct outbox *outbox, uint32_t channel, enum frame_kind kind, struct bytes encoded_body);
/* To the coordinator. */
void outbox_report(struct outbox *outbox, enum frame_kind kind, const void *body);
/* Frees what has not been taken. */
void outbox_clear(struct outbox *outbox);
void outbox_fini(struct outbox *outbox);

#endif
