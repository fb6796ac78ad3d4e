/* services/aggregator/actor_state.h - what dedup and rollup do alike with their state: restore it, write it at checkpoints,
 * tell the coordinator.
 *
 * Errors: CORRUPT where the state is broken: the attempt ends, the next one restores it. A checkpoint that could not be
 *         written is reported and given up; the attempt goes on.
 */
#ifndef ACTOR_STATE_H
#define ACTOR_STATE_H

#include "common/runtime/actor.h"
#include "common/state/state.h"

struct actor_state {
	struct state *state;
	struct actor *actor;
	struct epoch_id restored; /* from this checkpoint */
	uint64_t began_us, said_us; /* restore, and its last word to the coordinator */
};

/* Takes the port. The key groups of an actor are neighbours. */
void actor_state_init(
    struct actor_state *state, struct actor *actor, struct state_port *port, uint32_t key_groups, uint32_t actors);
void actor_state_fini(struct actor_state *state);
/* Of an actor: first and number. */
uint32_t actor_groups(uint32_t index, uint32_t key_groups, uint32_t actors, uint32_t *first);

void actor_state_deploy(struct actor_state *state, const struct frame_deploy *deploy);
void actor_state_complete(struct actor_state *state, const struct frame_checkpoint_complete *complete);
/* At the end of the epoch that this barrier ends. */
void actor_state_barrier(struct actor_state *state, const struct frame_barrier *barrier, struct outbox *outbox);
enum result actor_state_tick(
    struct actor_state *state, uint64_t now_us, struct outbox *outbox, struct error *error) MUST_USE;

#endif
