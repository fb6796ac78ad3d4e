/* services/sink/sink_port.c - see sink_port.h. */
#include "services/sink/sink_port.h"

#include <stdlib.h>

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

void sink_answer_clear(struct sink_answer *answer)
{
	cut_fini(&answer->frontier.cut);
	marks_fini(&answer->frontier.marks);
	cut_fini(&answer->surplus_cut);
	for (size_t i = 0; i < answer->checkpoints_len; i++) {
		cut_fini(&answer->checkpoints[i].cut);
		marks_fini(&answer->checkpoints[i].marks);
	}
	arena_fini(&answer->arena);
	free(answer->checkpoints);
	free(answer->decisions.entries);
	*answer = (struct sink_answer){0};
}
