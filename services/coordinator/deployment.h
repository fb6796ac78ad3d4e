/* services/coordinator/deployment.h - the life of a job's attempts: a table of (state, event) -> (state, action, why).
 *
 * Total: every pair has a row, also where nothing happens, because news from different processes is unordered.
 * `sluice-coordinator --diagram` prints it.
 */
#ifndef DEPLOYMENT_H
#define DEPLOYMENT_H

#include "common/base/buffer.h"

#define DEPLOYMENT_STATES(STATE)                                                                                       \
	STATE(GATHERING, "waiting for processes")                                                                      \
	STATE(FENCING, "the writer raises the fence and reads the frontier")                                           \
	STATE(DESCRIBING, "an ingest looks at the topic")                                                              \
	STATE(CHOOSING, "the writer records the start, or the checkpoint that is restored")                            \
	STATE(DEPLOYING, "workers make actors and listen")                                                             \
	STATE(CONNECTING, "channels are dialed and greeted")                                                           \
	STATE(RUNNING, "epochs flow")                                                                                  \
	STATE(CONFIRMING, "the writer says whether the fence is this attempt's still; then the job stops")             \
	STATE(STOPPED, "the job is over; a person has to act")

#define DEPLOYMENT_EVENTS(EVENT)                                                                                       \
	EVENT(GATHERED, "enough processes are there")                                                                  \
	EVENT(FENCED, "the writer reports the frontier")                                                               \
	EVENT(OUTBID, "the database knows a higher fence")                                                             \
	EVENT(DESCRIBED, "partitions and start are known")                                                             \
	EVENT(CUT_SET, "start and checkpoint are recorded")                                                            \
	EVENT(DEPLOYED, "every worker listens")                                                                        \
	EVENT(READY, "every channel is greeted")                                                                       \
	EVENT(BROKEN, "a process that takes part is lost, reports a failure or takes too long")                        \
	EVENT(CONFIG, "something that only a person can change")                                                       \
	EVENT(REFUSED, "the same, as far as what was read under the fence is true still")

enum deployment_state {
#define STATE(name, what) STATE_##name,
	DEPLOYMENT_STATES(STATE)
#undef STATE
	    STATES
};
enum deployment_event {
#define EVENT(name, what) EVENT_##name,
	DEPLOYMENT_EVENTS(EVENT)
#undef EVENT
	    EVENTS
};
enum deployment_action {
	ACTION_NONE,
	ACTION_FENCE, /* take an attempt number, place the actors, PREPARE the writer */
	ACTION_DESCRIBE, /* look for the checkpoint to restore, PREPARE an ingest */
	ACTION_CHOOSE, /* SET_CUT where the job has never been started (and write checkpoint 0), else CHOOSE */
	ACTION_DEPLOY,
	ACTION_CONNECT,
	ACTION_START,
	ACTION_CANCEL, /* everybody starts afresh; then gather again */
	ACTION_OUTBID, /* the same, with a number above the fence that was found */
	ACTION_CONFIRM, /* PREPARE the writer once more */
	ACTION_STOP, /* everybody exits with 78 */
	ACTIONS
};

struct transition {
	enum deployment_state state;
	enum deployment_event event;
	enum deployment_state next;
	enum deployment_action action;
	const char *why;
};
extern const struct transition deployment_table[];

const struct transition *deployment_transition(enum deployment_state state, enum deployment_event event);
const char *deployment_state_name(enum deployment_state state); /* "running" */
const char *deployment_event_name(enum deployment_event event);
/* Graphviz. */
void deployment_diagram(struct buffer *out);

#endif
