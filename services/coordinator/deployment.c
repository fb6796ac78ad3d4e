#include "services/coordinator/deployment.h"

#include "common/base/error.h"

/* Rows stand in the order of states and events, so that a pair is found by its place. */
const struct transition deployment_table[] = {
    /* gathering */
    {STATE_GATHERING, EVENT_GATHERED, STATE_FENCING, ACTION_FENCE, "a new attempt begins"},
    {STATE_GATHERING, EVENT_FENCED, STATE_GATHERING, ACTION_NONE, "an answer to an attempt that is over"},
    {STATE_GATHERING, EVENT_OUTBID, STATE_GATHERING, ACTION_NONE, "an answer to an attempt that is over"},
    {STATE_GATHERING, EVENT_DESCRIBED, STATE_GATHERING, ACTION_NONE, "an answer to an attempt that is over"},
    {STATE_GATHERING, EVENT_CUT_SET, STATE_GATHERING, ACTION_NONE, "an answer to an attempt that is over"},
    {STATE_GATHERING, EVENT_DEPLOYED, STATE_GATHERING, ACTION_NONE, "an answer to an attempt that is over"},
    {STATE_GATHERING, EVENT_READY, STATE_GATHERING, ACTION_NONE, "an answer to an attempt that is over"},
    {STATE_GATHERING, EVENT_BROKEN, STATE_GATHERING, ACTION_NONE, "nobody takes part yet"},
    {STATE_GATHERING, EVENT_CONFIG, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    {STATE_GATHERING, EVENT_REFUSED, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    /* fencing */
    {STATE_FENCING, EVENT_GATHERED, STATE_FENCING, ACTION_NONE, "late comers are standbys"},
    {STATE_FENCING, EVENT_FENCED, STATE_DESCRIBING, ACTION_DESCRIBE, "no older writer can commit any more"},
    {STATE_FENCING, EVENT_OUTBID, STATE_GATHERING, ACTION_OUTBID, "somebody took a higher number: go above it"},
    {STATE_FENCING, EVENT_DESCRIBED, STATE_FENCING, ACTION_NONE, "said before, or not asked for"},
    {STATE_FENCING, EVENT_CUT_SET, STATE_FENCING, ACTION_NONE, "said before, or not asked for"},
    {STATE_FENCING, EVENT_DEPLOYED, STATE_FENCING, ACTION_NONE, "said before, or not asked for"},
    {STATE_FENCING, EVENT_READY, STATE_FENCING, ACTION_NONE, "said before, or not asked for"},
    {STATE_FENCING, EVENT_BROKEN, STATE_GATHERING, ACTION_CANCEL, "no partial repair"},
    {STATE_FENCING, EVENT_CONFIG, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    {STATE_FENCING, EVENT_REFUSED, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    /* describing */
    {STATE_DESCRIBING, EVENT_GATHERED, STATE_DESCRIBING, ACTION_NONE, "late comers are standbys"},
    {STATE_DESCRIBING, EVENT_FENCED, STATE_DESCRIBING, ACTION_NONE, "said before, or not asked for"},
    {STATE_DESCRIBING, EVENT_OUTBID, STATE_GATHERING, ACTION_OUTBID, "another coordinator is at work: go above it"},
    {STATE_DESCRIBING, EVENT_DESCRIBED, STATE_CHOOSING, ACTION_CHOOSE, "the topic is known"},
    {STATE_DESCRIBING, EVENT_CUT_SET, STATE_DESCRIBING, ACTION_NONE, "said before, or not asked for"},
    {STATE_DESCRIBING, EVENT_DEPLOYED, STATE_DESCRIBING, ACTION_NONE, "said before, or not asked for"},
    {STATE_DESCRIBING, EVENT_READY, STATE_DESCRIBING, ACTION_NONE, "said before, or not asked for"},
    {STATE_DESCRIBING, EVENT_BROKEN, STATE_GATHERING, ACTION_CANCEL, "no partial repair"},
    {STATE_DESCRIBING, EVENT_CONFIG, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    {STATE_DESCRIBING, EVENT_REFUSED, STATE_CONFIRMING, ACTION_CONFIRM,
        "it may have slept: what it knows may be long past"},
    /* choosing */
    {STATE_CHOOSING, EVENT_GATHERED, STATE_CHOOSING, ACTION_NONE, "late comers are standbys"},
    {STATE_CHOOSING, EVENT_FENCED, STATE_CHOOSING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CHOOSING, EVENT_OUTBID, STATE_GATHERING, ACTION_OUTBID, "another coordinator is at work: go above it"},
    {STATE_CHOOSING, EVENT_DESCRIBED, STATE_CHOOSING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CHOOSING, EVENT_CUT_SET, STATE_DEPLOYING, ACTION_DEPLOY, "every later attempt starts from the same offsets"},
    {STATE_CHOOSING, EVENT_DEPLOYED, STATE_CHOOSING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CHOOSING, EVENT_READY, STATE_CHOOSING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CHOOSING, EVENT_BROKEN, STATE_GATHERING, ACTION_CANCEL, "no partial repair"},
    {STATE_CHOOSING, EVENT_CONFIG, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    {STATE_CHOOSING, EVENT_REFUSED, STATE_CONFIRMING, ACTION_CONFIRM,
        "it may have slept: what it knows may be long past"},
    /* deploying */
    {STATE_DEPLOYING, EVENT_GATHERED, STATE_DEPLOYING, ACTION_NONE, "late comers are standbys"},
    {STATE_DEPLOYING, EVENT_FENCED, STATE_DEPLOYING, ACTION_NONE, "said before, or not asked for"},
    {STATE_DEPLOYING, EVENT_OUTBID, STATE_GATHERING, ACTION_OUTBID, "another coordinator is at work: go above it"},
    {STATE_DEPLOYING, EVENT_DESCRIBED, STATE_DEPLOYING, ACTION_NONE, "said before, or not asked for"},
    {STATE_DEPLOYING, EVENT_CUT_SET, STATE_DEPLOYING, ACTION_NONE, "said before, or not asked for"},
    {STATE_DEPLOYING, EVENT_DEPLOYED, STATE_CONNECTING, ACTION_CONNECT, "all addresses are known"},
    {STATE_DEPLOYING, EVENT_READY, STATE_DEPLOYING, ACTION_NONE, "said before, or not asked for"},
    {STATE_DEPLOYING, EVENT_BROKEN, STATE_GATHERING, ACTION_CANCEL, "no partial repair"},
    {STATE_DEPLOYING, EVENT_CONFIG, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    {STATE_DEPLOYING, EVENT_REFUSED, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    /* connecting */
    {STATE_CONNECTING, EVENT_GATHERED, STATE_CONNECTING, ACTION_NONE, "late comers are standbys"},
    {STATE_CONNECTING, EVENT_FENCED, STATE_CONNECTING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CONNECTING, EVENT_OUTBID, STATE_GATHERING, ACTION_OUTBID, "another coordinator is at work: go above it"},
    {STATE_CONNECTING, EVENT_DESCRIBED, STATE_CONNECTING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CONNECTING, EVENT_CUT_SET, STATE_CONNECTING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CONNECTING, EVENT_DEPLOYED, STATE_CONNECTING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CONNECTING, EVENT_READY, STATE_RUNNING, ACTION_START, "nothing is sent into the void"},
    {STATE_CONNECTING, EVENT_BROKEN, STATE_GATHERING, ACTION_CANCEL, "no partial repair"},
    {STATE_CONNECTING, EVENT_CONFIG, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    {STATE_CONNECTING, EVENT_REFUSED, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    /* running */
    {STATE_RUNNING, EVENT_GATHERED, STATE_RUNNING, ACTION_NONE, "late comers are standbys"},
    {STATE_RUNNING, EVENT_FENCED, STATE_RUNNING, ACTION_NONE, "said before, or not asked for"},
    {STATE_RUNNING, EVENT_OUTBID, STATE_GATHERING, ACTION_OUTBID, "another coordinator is at work: go above it"},
    {STATE_RUNNING, EVENT_DESCRIBED, STATE_RUNNING, ACTION_NONE, "said before, or not asked for"},
    {STATE_RUNNING, EVENT_CUT_SET, STATE_RUNNING, ACTION_NONE, "said before, or not asked for"},
    {STATE_RUNNING, EVENT_DEPLOYED, STATE_RUNNING, ACTION_NONE, "said before, or not asked for"},
    {STATE_RUNNING, EVENT_READY, STATE_RUNNING, ACTION_NONE, "said before, or not asked for"},
    {STATE_RUNNING, EVENT_BROKEN, STATE_GATHERING, ACTION_CANCEL, "no partial repair"},
    {STATE_RUNNING, EVENT_CONFIG, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    {STATE_RUNNING, EVENT_REFUSED, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    /* confirming */
    {STATE_CONFIRMING, EVENT_GATHERED, STATE_CONFIRMING, ACTION_NONE, "late comers are standbys"},
    {STATE_CONFIRMING, EVENT_FENCED, STATE_STOPPED, ACTION_STOP,
        "nobody else has changed anything since: trying again would not help"},
    {STATE_CONFIRMING, EVENT_OUTBID, STATE_GATHERING, ACTION_OUTBID,
        "another coordinator is at work: what was read is past"},
    {STATE_CONFIRMING, EVENT_DESCRIBED, STATE_CONFIRMING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CONFIRMING, EVENT_CUT_SET, STATE_CONFIRMING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CONFIRMING, EVENT_DEPLOYED, STATE_CONFIRMING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CONFIRMING, EVENT_READY, STATE_CONFIRMING, ACTION_NONE, "said before, or not asked for"},
    {STATE_CONFIRMING, EVENT_BROKEN, STATE_GATHERING, ACTION_CANCEL, "no partial repair"},
    {STATE_CONFIRMING, EVENT_CONFIG, STATE_STOPPED, ACTION_STOP, "trying again would not help"},
    {STATE_CONFIRMING, EVENT_REFUSED, STATE_CONFIRMING, ACTION_NONE, "said before, or not asked for"},
    /* stopped */
    {STATE_STOPPED, EVENT_GATHERED, STATE_STOPPED, ACTION_NONE, "over is over"},
    {STATE_STOPPED, EVENT_FENCED, STATE_STOPPED, ACTION_NONE, "over is over"},
    {STATE_STOPPED, EVENT_OUTBID, STATE_STOPPED, ACTION_NONE, "over is over"},
    {STATE_STOPPED, EVENT_DESCRIBED, STATE_STOPPED, ACTION_NONE, "over is over"},
    {STATE_STOPPED, EVENT_CUT_SET, STATE_STOPPED, ACTION_NONE, "over is over"},
    {STATE_STOPPED, EVENT_DEPLOYED, STATE_STOPPED, ACTION_NONE, "over is over"},
    {STATE_STOPPED, EVENT_READY, STATE_STOPPED, ACTION_NONE, "over is over"},
    {STATE_STOPPED, EVENT_BROKEN, STATE_STOPPED, ACTION_NONE, "over is over"},
    {STATE_STOPPED, EVENT_CONFIG, STATE_STOPPED, ACTION_NONE, "over is over"},
    {STATE_STOPPED, EVENT_REFUSED, STATE_STOPPED, ACTION_NONE, "over is over"},
};
_Static_assert(sizeof deployment_table / sizeof *deployment_table == (size_t)STATES * EVENTS, "every pair has a row");

const struct transition *deployment_transition(enum deployment_state state, enum deployment_event event)
{
	const struct transition *transition = &deployment_table[(size_t)state * EVENTS + (size_t)event];
	CHECK(transition->state == state && transition->event == event);
	return transition;
}

const char *deployment_state_name(enum deployment_state state)
{
	static const char *const names[] = {
#define STATE(name, what) [STATE_##name] = #name,
	    DEPLOYMENT_STATES(STATE)
#undef STATE
	};
	return names[state];
}

const char *deployment_event_name(enum deployment_event event)
{
	static const char *const names[] = {
#define EVENT(name, what) [EVENT_##name] = #name,
	    DEPLOYMENT_EVENTS(EVENT)
#undef EVENT
	};
	return names[event];
}

void deployment_diagram(struct buffer *out)
{
	buffer_append_text(out, "digraph deployment {\n\tnode [shape=box, style=rounded];\n");
	for (size_t i = 0; i < (size_t)STATES * EVENTS; i++) {
		const struct transition *row = &deployment_table[i];
		if (row->action != ACTION_NONE)
			buffer_printf(out, "\t%s -> %s [label=\"%s\"];\n", deployment_state_name(row->state),
			    deployment_state_name(row->next), deployment_event_name(row->event));
	}
	buffer_append_text(out, "}\n");
}
