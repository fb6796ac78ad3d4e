/* common/base/sink_outcome.h - what is known when an outside store has answered, or has not. */
#ifndef BASE_SINK_OUTCOME_H
#define BASE_SINK_OUTCOME_H

#include "common/base/error.h"

enum sink_outcome {
	SINK_DONE,
	SINK_UNKNOWN, /* away, busy, or connection lost: a commit may have happened or not; look, then decide */
	SINK_FENCED, /* another writer has raised the fence: frontier.fence says how high */
	SINK_MOVED, /* the frontier is not at the predecessor */
	SINK_LATE, /* a row's key is in the table already, nothing was committed: see late */
	SINK_CONFIG, /* a person has to act */
};

#endif
