#include "tests/sim/coverage.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

static struct coverage *counted;

static const char *const checkpoint_events[] = {
#define EVENT(name, what) #name,
    CHECKPOINT_EVENTS(EVENT)
#undef EVENT
};

const struct transition *__real_deployment_transition(enum deployment_state state, enum deployment_event event);
const struct transition *__wrap_deployment_transition(enum deployment_state state, enum deployment_event event);
const struct checkpoint_transition *__real_checkpoint_transition(
    enum checkpoint_state state, enum checkpoint_event event);
const struct checkpoint_transition *__wrap_checkpoint_transition(
    enum checkpoint_state state, enum checkpoint_event event);

const struct transition *__wrap_deployment_transition(enum deployment_state state, enum deployment_event event)
{
	if (counted != NULL)
		counted->deployment[(size_t)state * EVENTS + (size_t)event]++;
	return __real_deployment_transition(state, event);
}

const struct checkpoint_transition *__wrap_checkpoint_transition(
    enum checkpoint_state state, enum checkpoint_event event)
{
	if (counted != NULL)
		counted->checkpoint[(size_t)state * CHECKPOINT_EVENTS_LEN + (size_t)event]++;
	return __real_checkpoint_transition(state, event);
}

void coverage_to(struct coverage *coverage)
{
	counted = coverage;
}

void coverage_add(struct coverage *into, const struct coverage *from)
{
	for (size_t i = 0; i < sizeof into->deployment / sizeof *into->deployment; i++)
		into->deployment[i] += from->deployment[i];
	for (size_t i = 0; i < sizeof into->checkpoint / sizeof *into->checkpoint; i++)
		into->checkpoint[i] += from->checkpoint[i];
}

/* Rows that no walk can pass: neither sink nor log of this world ever says that only a person can help (the integration tests
 * have such ones), except about checkpoints and pipeline files; and a writer finds a higher fence only where it raises its own. */
static bool is_out_of_reach(enum job_kind job, const struct transition *row)
{
	bool about_cuts = job == JOB_TOTALS && (row->state == STATE_DESCRIBING || row->state == STATE_CHOOSING);
	return row->event == EVENT_CONFIG || (row->event == EVENT_REFUSED && !about_cuts) ||
	       (row->event == EVENT_OUTBID && row->state != STATE_FENCING);
}

static bool passed(uint64_t count, bool needed, const char *state, const char *event, const char *why)
{
	(void)printf(
	    "%10" PRIu64 "  %s: %s (%s)%s\n", count, state, event, why, count || !needed ? "" : "   <-- never");
	return count || !needed;
}

bool coverage_print(enum job_kind job, const struct coverage *coverage)
{
	bool all = true;
	for (size_t i = 0; i < sizeof coverage->deployment / sizeof *coverage->deployment; i++) {
		const struct transition *row = &deployment_table[i];
		if (row->action != ACTION_NONE || row->next != row->state)
			all &= passed(coverage->deployment[i], !is_out_of_reach(job, row),
			    deployment_state_name(row->state), deployment_event_name(row->event), row->why);
	}
	for (size_t i = 0; job == JOB_TOTALS && i < sizeof coverage->checkpoint / sizeof *coverage->checkpoint; i++) {
		const struct checkpoint_transition *row = &checkpoint_table[i];
		if (row->action != CHECKPOINT_NOTHING || row->next != row->state)
			all &= passed(coverage->checkpoint[i], true, checkpoint_state_name(row->state),
			    checkpoint_events[row->event], row->why);
	}
	return all;
}
