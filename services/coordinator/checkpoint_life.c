#include "services/coordinator/checkpoint_life.h"

#include "common/base/error.h"

#define ROW(from, event, to, action, why)                                                                              \
	{                                                                                                              \
		CHECKPOINT_##from, CHECKPOINT_EVENT_##event, CHECKPOINT_##to, CHECKPOINT_##action, why                 \
	}

/* Rows stand in the order of states and events, so that a pair is found by its place. */
const struct checkpoint_transition checkpoint_table[] = {
    ROW(IDLE, INJECTED, WRITING, NOTHING, "a new one begins"),
    ROW(IDLE, ALL_THERE, IDLE, NOTHING, "news of one that was given up"),
    ROW(IDLE, STORED, IDLE, NOTHING, "news of one that was given up"),
    ROW(IDLE, UNANSWERED, IDLE, NOTHING, "news of one that was given up"),
    ROW(IDLE, MISSING, IDLE, NOTHING, "news of one that was given up"),
    ROW(IDLE, DECLINED, IDLE, NOTHING, "news of one that was given up"),
    ROW(IDLE, EXPIRED, IDLE, NOTHING, "nothing to expire"),
    ROW(IDLE, OVER, IDLE, NOTHING, "nothing to forget"),
    ROW(WRITING, INJECTED, WRITING, NOTHING, "one at a time"),
    ROW(WRITING, ALL_THERE, WRITING, STORE, "not before the sink: a checkpoint must never be ahead of the database"),
    ROW(WRITING, STORED, IDLE, PUBLISH, "complete"),
    ROW(WRITING, UNANSWERED, UNCERTAIN, NOTHING, "it may be there or not: look before it is called either"),
    ROW(WRITING, MISSING, WRITING, NOTHING, "nobody has looked"),
    ROW(WRITING, DECLINED, IDLE, ABANDON, "its changes will be in the next one"),
    ROW(WRITING, EXPIRED, IDLE, ABANDON, "its changes will be in the next one"),
    ROW(WRITING, OVER, IDLE, FORGET, "the next attempt restores what the database names and storage holds"),
    ROW(UNCERTAIN, INJECTED, UNCERTAIN, NOTHING, "one at a time"),
    ROW(UNCERTAIN, ALL_THERE, UNCERTAIN, NOTHING, "known already"),
    ROW(UNCERTAIN, STORED, IDLE, PUBLISH, "it was written after all"),
    ROW(UNCERTAIN, UNANSWERED, UNCERTAIN, NOTHING, "storage is still away"),
    ROW(UNCERTAIN, MISSING, IDLE, ABANDON, "it was not written"),
    ROW(UNCERTAIN, DECLINED, UNCERTAIN, NOTHING, "all had written before"),
    ROW(UNCERTAIN, EXPIRED, UNCERTAIN, NOTHING, "neither may be assumed before storage answers"),
    ROW(UNCERTAIN, OVER, IDLE, FORGET, "the next attempt restores what the database names and storage holds"),
};
_Static_assert(
    sizeof checkpoint_table / sizeof *checkpoint_table == (size_t)CHECKPOINT_STATES_LEN * CHECKPOINT_EVENTS_LEN,
    "every pair has a row");

const struct checkpoint_transition *checkpoint_transition(enum checkpoint_state state, enum checkpoint_event event)
{
	const struct checkpoint_transition *transition =
	    &checkpoint_table[(size_t)state * CHECKPOINT_EVENTS_LEN + (size_t)event];
	CHECK(transition->state == state && transition->event == event);
	return transition;
}

const char *checkpoint_state_name(enum checkpoint_state state)
{
	static const char *const names[] = {
#define STATE(name, what) [CHECKPOINT_##name] = #name,
	    CHECKPOINT_STATES(STATE)
#undef STATE
	};
	return names[state];
}

void checkpoint_diagram(struct buffer *out)
{
	static const char *const events[] = {
#define EVENT(name, what) [CHECKPOINT_EVENT_##name] = #name,
	    CHECKPOINT_EVENTS(EVENT)
#undef EVENT
	};
	buffer_append_text(out, "digraph checkpoint {\n\tnode [shape=box, style=rounded];\n");
	for (size_t i = 0; i < (size_t)CHECKPOINT_STATES_LEN * CHECKPOINT_EVENTS_LEN; i++) {
		const struct checkpoint_transition *row = &checkpoint_table[i];
		if (row->state != row->next || row->action != CHECKPOINT_NOTHING)
			buffer_printf(out, "\t%s -> %s [label=\"%s\"];\n", checkpoint_state_name(row->state),
			    checkpoint_state_name(row->next), events[row->event]);
	}
	buffer_append_text(out, "}\n");
}
