/* services/sink/sink_port.c - see sink_port.h. */
#include "services/sink/sink_port.h"

#include "common/base/error.h"

static const struct {
	const char *words;
	bool of_checkpoints;
} requests[SINK_REQUEST_KINDS] = {[SINK_NOTHING] = {"asks for nothing", false},
#define SINK_REQUEST_ROW(kind, words, of_checkpoints) [SINK_##kind] = {words, of_checkpoints},
    SINK_REQUESTS(SINK_REQUEST_ROW)
#undef SINK_REQUEST_ROW
};

const char *sink_request_words(enum sink_request_kind kind)
{
	return requests[kind].words;
}

bool sink_request_is_of_checkpoints(enum sink_request_kind kind)
{
	return requests[kind].of_checkpoints;
}
