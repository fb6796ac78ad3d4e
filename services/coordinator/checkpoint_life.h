/* services/coordinator/checkpoint_life.h - the life of a checkpoint: a table of (state, event) -> (state, action, why).
 *
 * One at a time. Its epoch is injected, every dedup and rollup actor writes its state, the sink commits the epoch; when
 * all of this is there, the manifest is written, and only that makes it a checkpoint. Total, like deployment.h.
 */
#ifndef CHECKPOINT_LIFE_H
#define CHECKPOINT_LIFE_H

#include "common/base/buffer.h"

#define CHECKPOINT_STATES(STATE)                                                                                       \
	STATE(IDLE, "none is under way")                                                                               \
	STATE(WRITING, "injected: actors write, the sink commits")                                                     \
	STATE(UNCERTAIN, "the manifest was sent to storage, and no answer came")

#define CHECKPOINT_EVENTS(EVENT)                                                                                       \
	EVENT(INJECTED, "its barrier is on the way")                                                                   \
	EVENT(ALL_THERE, "every actor's state and the sink's commit")                                                  \
	EVENT(STORED, "the manifest is durable")                                                                       \
	EVENT(UNANSWERED, "storage failed while the manifest was written")                                             \
	EVENT(MISSING, "storage answers, and the manifest is not there")                                               \
	EVENT(DECLINED, "an actor could not write its state")                                                          \
	EVENT(EXPIRED, "it takes longer than checkpoint.timeout")                                                      \
	EVENT(OVER, "the attempt is over")

enum checkpoint_state {
#define STATE(name, what) CHECKPOINT_##name,
	CHECKPOINT_STATES(STATE)
#undef STATE
	    CHECKPOINT_STATES_LEN
};
enum checkpoint_event {
#define EVENT(name, what) CHECKPOINT_EVENT_##name,
	CHECKPOINT_EVENTS(EVENT)
#undef EVENT
	    CHECKPOINT_EVENTS_LEN
};
enum checkpoint_action {
	CHECKPOINT_NOTHING,
	CHECKPOINT_STORE, /* write the manifest */
	CHECKPOINT_PUBLISH, /* it is the base now: tell everybody, retire the oldest */
	CHECKPOINT_ABANDON, /* its changes will be in the next one */
	CHECKPOINT_FORGET, /* the next attempt looks what became of it */
};

struct checkpoint_transition {
	enum checkpoint_state state;
	enum checkpoint_event event;
	enum checkpoint_state next;
	enum checkpoint_action action;
	const char *why;
};
extern const struct checkpoint_transition checkpoint_table[];

const struct checkpoint_transition *checkpoint_transition(enum checkpoint_state state, enum checkpoint_event event);
const char *checkpoint_state_name(enum checkpoint_state state);
/* Graphviz. */
void checkpoint_diagram(struct buffer *out);

#endif
