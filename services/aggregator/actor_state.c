#include "services/aggregator/actor_state.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/crash_point.h"
#include "common/base/key_group.h"
#include "common/base/mutant.h"

enum { SAY_EVERY_US = 1000000 };

uint32_t actor_groups(uint32_t index, uint32_t key_groups, uint32_t actors, uint32_t *first)
{
	uint32_t len = 0;
	*first = 0;
	for (uint32_t group = 0; group < key_groups; group++)
		if (key_group_owner(group, key_groups, actors) == index) {
			*first = len == 0 ? group : *first;
			len++;
		}
	if (MUTANT(groups_off_by_one) && index > 0 && len > 1) {
		++*first;
		len--;
	}
	return len;
}

void actor_state_init(
    struct actor_state *state, struct actor *actor, struct state_port *port, uint32_t key_groups, uint32_t actors)
{
	uint32_t first, len = actor_groups(actor_index(actor->id), key_groups, actors, &first);
	*state = (struct actor_state){.state = state_new(port, first, len), .actor = actor};
	actor->event_fd = port->event_fd;
}

void actor_state_fini(struct actor_state *state)
{
	state_free(state->state);
}

void actor_state_deploy(struct actor_state *state, const struct frame_deploy *deploy)
{
	state->restored = deploy->base;
	state->actor->restoring = true;
	state->actor->wake_us = WAKE_NOW;
	state_restore(state->state, state->restored);
}

void actor_state_complete(struct actor_state *state, const struct frame_checkpoint_complete *complete)
{
	state_complete(state->state, complete->checkpoint);
}

static void say_done(
    const struct actor_state *state, const struct state_event *event, const char *failure, struct outbox *outbox)
{
	struct frame_snapshot_done done = {
	    .actor = state->actor->id, .checkpoint = event->checkpoint, .failure = failure, .files = event->files};
	CRASH_POINT(state_said);
	outbox_report(outbox, FRAME_SNAPSHOT_DONE, &done);
}

void actor_state_barrier(struct actor_state *state, const struct frame_barrier *barrier, struct outbox *outbox)
{
	struct state_event event = {.checkpoint = barrier->epoch};
	if (!barrier->checkpoint)
		return;
	if (!state_freeze(state->state, barrier->epoch, barrier->base))
		say_done(state, &event, "the checkpoint before it is still being written", outbox);
	CRASH_POINT(state_frozen);
	state->actor->wake_us = WAKE_NOW; /* a port without an eventfd may have answered at once */
}

/* Restoring may take a while: people see how far it is, and the coordinator that somebody is at work. */
static void say_progress(struct actor_state *state, uint64_t now_us, struct outbox *outbox)
{
	char text[160], name[ACTOR_NAME_MAX];
	if (!state->actor->restoring)
		return;
	if (state->began_us == 0)
		state->began_us = state->said_us = now_us;
	state->actor->wake_us = state->said_us + SAY_EVERY_US;
	if (now_us < state->actor->wake_us)
		return;
	(void)snprintf(text, sizeof text, "%s restores its state from checkpoint %" PRIu64 ".%" PRIu64 ": %u %%",
	    actor_name(state->actor->id, name), state->restored.attempt, state->restored.n,
	    state_progress(state->state));
	outbox_report(outbox, FRAME_WAITING,
	    &(struct frame_waiting){.actor = state->actor->id, .for_us = now_us - state->began_us, .text = text});
	state->said_us = now_us;
	state->actor->wake_us = now_us + SAY_EVERY_US;
}

enum result actor_state_tick(struct actor_state *state, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	struct state_event event;
	enum state_news news;
	state->actor->wake_us = WAKE_NEVER;
	while ((news = state_poll(state->state, &event)) != STATE_NOTHING) {
		switch (news) {
		case STATE_NOTHING:
			break;
		case STATE_RESTORED:
			state->actor->restoring = false;
			if (state->said_us != state->began_us)
				outbox_report(outbox, FRAME_WAITING,
				    &(struct frame_waiting){.actor = state->actor->id, .text = ""});
			break;
		case STATE_WRITTEN:
			say_done(state, &event, "", outbox);
			break;
		case STATE_NOT_WRITTEN:
			say_done(state, &event, event.error.text, outbox);
			break;
		case STATE_DAMAGED:
			/* No error: that would end the attempt before the coordinator knows why. */
			outbox_report(outbox, FRAME_DAMAGED,
			    &(struct frame_damaged){.checkpoint = event.checkpoint, .text = event.error.text});
			return RESULT_OK;
		case STATE_BROKEN:
			*error = event.error;
			return error->code;
		}
	}
	say_progress(state, now_us, outbox);
	return RESULT_OK;
}
