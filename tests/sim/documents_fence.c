/* tests/sim/documents_fence.c - a writer raises the fence in its control document, writer 0 also in those of writers that are no more;
 * see elastic.h. */
#include "common/base/mutant.h"
#include "tests/sim/sim.h"

/* Written by this request: so many steps, and others come between. */
static bool is_mine(const struct document_port *port, const struct control *found, const struct control *seen)
{
	return seen->there && seen->fence == port->attempt && found->there && found->sequence == seen->sequence;
}

/* What is found takes the place of what was seen. The higher one of its fence and the highest so far. */
static uint64_t look_at(
    const struct document_port *port, const struct control *found, struct control *seen, uint64_t highest)
{
	if (is_mine(port, found, seen))
		return highest;
	*seen = *found;
	return found->there && found->fence > highest ? found->fence : highest;
}

/* Surplus: what is there behind the last writer, as far as document 0 counts. */
static uint64_t look_at_all(struct document_port *port, const struct call *call)
{
	uint64_t highest = look_at(port, &call->found[port->writer], &port->seen, 0), own = highest;
	for (uint32_t k = port->writers; port->writer == 0 && k < port->seen.writers; k++)
		highest = look_at(port, &call->found[k], &port->surplus[k], highest);
	return MUTANT(surplus_fence_unread) ? own : highest;
}

/* Its own document first, then the surplus ones; those that carry its number already are done. */
static void fence_next(struct document_port *port)
{
	uint32_t writer = port->writer;
	struct control *control = &port->seen;
	if (control->there && control->fence == port->attempt)
		for (writer = port->writers; writer < WRITERS_MAX; writer++) {
			control = &port->surplus[writer];
			if (control->there && control->fence != port->attempt)
				break;
		}
	if (writer < WRITERS_MAX) {
		struct call *call = call_new(port, CALL_FENCE);
		port->stage = STAGE_CONTROL;
		call->writer = writer;
		call->expected = control->there ? control->sequence : 0;
		call->content = *control;
		call->content.fence = port->attempt;
		if (!control->there || (control->writers < port->writers && !MUTANT(count_raised_late)))
			call->content.writers = port->writers;
		return;
	}
	for (uint32_t k = port->writers; k < WRITERS_MAX; k++) {
		struct cut cut = {0};
		if (!port->surplus[k].there || !port->surplus[k].started)
			continue;
		document_tell_cut(&port->surplus[k], &cut);
		if (port->answer.surplus)
			cut_lower(&port->answer.surplus_cut, &cut);
		else
			cut_copy(&port->answer.surplus_cut, &cut);
		port->answer.surplus = true;
		port->world->statistics.surplus_found++;
		cut_fini(&cut);
	}
	port->world->statistics.regrouped += port->seen.started && document_is_regrouped(port, &port->seen);
	document_answer_frontier(port);
}

void document_fence_on_answer(struct document_port *port, const struct call *call)
{
	if (port->stage == STAGE_READ) {
		uint64_t fence = look_at_all(port, call);
		if (fence > port->attempt || (fence == port->attempt && !MUTANT(fence_taken_twice))) {
			port->world->statistics.outbid++;
			document_answer_fenced(port, fence);
			return;
		}
		fence_next(port);
	} else if (call->conflict) {
		document_read(port, STAGE_READ);
	} else {
		if (call->writer == port->writer)
			port->seen = call->content;
		else
			port->surplus[call->writer] = call->content;
		fence_next(port);
	}
}
