/* tests/sim/documents.c - a writer's port to the simulated Elasticsearch; see elastic.h.
 *
 * What a port has to do, beside what sink_port.h says:
 * - Document 0 counts the control documents that there may be: the fence raises the count, setting the cut leaves it, and only
 *   what is written when the surplus ones are deleted lowers it.
 * - Surplus documents go before the control document moves, or the cut that was told would go back with the next attempt; from the
 *   highest down, and only as they were left: who comes later may have taken them over.
 * - Until one of a key is accepted, one document of it is under way. All others are sent behind it: they change nothing, but one that is
 *   refused has its letter, however the log was cut into epochs.
 * - Documents of the next epoch may be sent at any time, but for those whose key this epoch has.
 * - Documents before the control document. A control document that is not as it was left: read it. A higher fence: fenced. My own
 *   epoch: done, the call was only late. The predecessor: a late touch; again.
 */
#include <inttypes.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/mutant.h"
#include "tests/sim/sim.h"

static struct document_port *port_of(struct sink_port *port)
{
	return (struct document_port *)port;
}

/* --- answers to the writer ----------------------------------------------------------------------------------------------- */

static void answer(struct document_port *port, enum sink_outcome outcome, const char *why)
{
	CHECK(port->asked != SINK_NOTHING && !port->answered);
	port->answer.outcome = outcome;
	port->answered = true;
	world_trace(port->world, "    writer %u of %s has its answer: %d, %s", port->writer, port->process->name,
	    (int)outcome, why);
	if (outcome != SINK_DONE)
		error_set(&port->answer.error, outcome == SINK_UNKNOWN ? RESULT_RETRY : RESULT_CORRUPT, "%s", why);
}

void document_tell_cut(const struct control *control, struct cut *cut)
{
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		if (control->cut[p] != UNNAMED)
			cut_set(cut, p, control->cut[p]);
}

bool document_is_regrouped(const struct document_port *port, const struct control *control)
{
	return control->first_group != port->first_group || control->groups != port->groups;
}

void document_answer_frontier(struct document_port *port)
{
	struct frontier *frontier = &port->answer.frontier;
	const struct control *seen = &port->seen;
	frontier->fence = seen->fence;
	frontier->last = seen->last;
	frontier->started = seen->started;
	frontier->counters = seen->counters;
	frontier->regrouped = seen->started && document_is_regrouped(port, seen);
	if (seen->started) {
		document_tell_cut(seen, &frontier->cut);
		marks_tell(seen->marks, &frontier->marks);
		cluster_tell(seen->cluster, &port->answer.remembered, &port->answer.arena);
		memcpy(frontier->fingerprint, port->world->pipeline.fingerprint, sizeof frontier->fingerprint);
	}
	answer(port, SINK_DONE, "done");
}

void document_answer_fenced(struct document_port *port, uint64_t fence)
{
	port->answer.frontier.fence = fence;
	port->world->statistics.fenced++;
	answer(port, SINK_FENCED, "another writer is here");
}

/* --- calls ------------------------------------------------------------------------------------------------------------------- */

static void write_own(struct document_port *port, enum call_kind kind)
{
	struct call *call = call_new(port, kind);
	call->expected = port->seen.there ? port->seen.sequence : 0;
	call->content = port->wanted;
}

void document_read(struct document_port *port, enum document_stage stage)
{
	port->stage = stage;
	(void)call_new(port, CALL_READ);
}

/* The highest one that is left; 0: none. */
static uint32_t next_surplus(const struct document_port *port)
{
	for (uint32_t k = WRITERS_MAX; k-- > 1;)
		if (port->surplus[k].there)
			return k;
	return 0;
}

static bool delete_surplus(struct document_port *port)
{
	uint32_t k = next_surplus(port);
	if (k == 0)
		return false;
	struct call *call = call_new(port, CALL_DELETE);
	port->stage = STAGE_SURPLUS;
	call->writer = k;
	call->expected = port->surplus[k].sequence;
	return true;
}

static void write_commit(struct document_port *port)
{
	port->stage = STAGE_CONTROL;
	items_count(port, &port->wanted.counters);
	write_own(port, CALL_COMMIT);
}

/* Documents of the next epoch, beside the call that the request waits for. */
static void send_early(struct document_port *port, uint32_t most)
{
	while (port->calls < most && random_chance(&port->world->random, 700) && items_send(port, port->next))
		continue;
}

/* Up to two bulk calls at a time; then the control document. */
static void send_items(struct document_port *port)
{
	port->stage = STAGE_ITEMS;
	while (port->calls < 2 && items_send(port, port->now))
		continue;
	send_early(port, 2);
	if (!items_settled(port))
		return;
	if (MUTANT(control_first))
		document_answer_frontier(port);
	else
		write_commit(port);
}

/* --- requests ------------------------------------------------------------------------------------------------------------------ */

static void start_fence(struct document_port *port)
{
	items_forget(port);
	port->seen = (struct control){0};
	memset(port->surplus, 0, sizeof port->surplus);
	document_read(port, STAGE_READ);
}

/* What other key groups came to is not counted any more; what stays as it is is not written. */
static void start_set_cut(struct document_port *port, const struct cut *cut, const struct facts *remember)
{
	struct control *wanted = &port->wanted;
	bool stays = wanted->started && !document_is_regrouped(port, wanted);
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++) {
		stays &= wanted->cut[p] == cut_get(cut, p, UNNAMED);
		wanted->base[p] = wanted->cut[p] = cut_get(cut, p, UNNAMED);
	}
	bool remembers = port->writer == 0 && cluster_of(remember) != 0;
	if (!documents_overtaken(port->world, port->attempt)) {
		marks_check_own(port->world, "an attempt at this control document", port->seen.marks);
		check_cluster(port->world, port->seen.cluster);
	}
	if (stays && !remembers) {
		document_answer_frontier(port);
		return;
	}
	port->stage = STAGE_CONTROL;
	if (remembers)
		wanted->cluster = cluster_of(remember);
	if (stays) {
		memcpy(wanted->base, port->seen.base, sizeof wanted->base);
		write_own(port, CALL_SET_CUT);
		return;
	}
	if (MUTANT(count_lowered_early) || wanted->writers < port->writers)
		wanted->writers = port->writers;
	wanted->started = true;
	wanted->first_group = port->first_group;
	wanted->groups = port->groups;
	wanted->counters = (struct counters){0};
	write_own(port, CALL_SET_CUT);
}

static void check_predecessor(const struct document_port *port)
{
	if (!epoch_equal(port->seen.last, port->predecessor) || port->seen.fence != port->attempt)
		world_violate(port->world,
		    "writer %u of attempt %" PRIu64 " believes its frontier at %" PRIu64 ".%" PRIu64
		    ", its port has seen it at %" PRIu64 ".%" PRIu64,
		    port->writer, port->attempt, port->predecessor.attempt, port->predecessor.n,
		    port->seen.last.attempt, port->seen.last.n);
}

static void start_commit(struct document_port *port, const struct transaction *transaction)
{
	check_predecessor(port);
	items_take(port, transaction);
	port->wanted.last = transaction->epoch;
	marks_store(port->wanted.marks, transaction->marks);
	marks_check(port->world, "a control document", port->wanted.marks, NULL, port->wanted.cut);
	port->wanted.writers = port->writers;
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		port->wanted.cut[p] = cut_get(transaction->cut, p, UNNAMED);
	if (MUTANT(control_first))
		write_commit(port);
	else if (MUTANT(surplus_deleted_late) || !delete_surplus(port))
		send_items(port);
}

static void start_touch(struct document_port *port)
{
	port->wanted.writers = port->writers;
	check_predecessor(port);
	if (delete_surplus(port))
		return;
	port->stage = STAGE_CONTROL;
	write_own(port, CALL_TOUCH);
}

static void port_start(struct sink_port *sink, const struct sink_request *request)
{
	struct document_port *port = port_of(sink);
	CHECK(port->asked == SINK_NOTHING && (port->calls == 0 || request->kind == SINK_COMMIT));
	CHECK(!sink_request_is_of_checkpoints(request->kind));
	sink_answer_clear(&port->answer);
	port->asked = request->kind;
	port->attempt = request->attempt;
	port->predecessor = request->predecessor;
	port->wanted = port->seen;
	port->wanted.there = true;
	if (request->kind == SINK_FENCE)
		start_fence(port);
	else if (request->kind == SINK_SET_CUT)
		start_set_cut(port, request->cut, request->remember);
	else if (request->kind == SINK_COMMIT)
		start_commit(port, request->transaction);
	else if (request->kind == SINK_LOOK)
		document_read(port, STAGE_READ);
	else
		start_touch(port);
}

/* --- what a call's answer leads to --------------------------------------------------------------------------------------------- */

/* The control document is not as it was left. */
static void on_conflict(struct document_port *port, const struct control *found)
{
	bool fenced = !found->there || found->fence != port->attempt;
	bool predecessor = epoch_equal(found->last, port->predecessor);
	if (fenced) {
		document_answer_fenced(port, found->fence);
	} else if (port->asked == SINK_COMMIT && epoch_equal(found->last, port->wanted.last)) {
		port->world->statistics.late_was_mine++;
		port->seen = *found;
		document_answer_frontier(port);
	} else if (port->asked != SINK_SET_CUT && predecessor) {
		port->world->statistics.late_touches++;
		port->seen = *found;
		port->stage = STAGE_CONTROL;
		write_own(port, port->asked == SINK_COMMIT ? CALL_COMMIT : CALL_TOUCH);
	} else {
		world_violate(
		    port->world, "writer %u has the fence, and finds its control document moved", port->writer);
		answer(port, SINK_MOVED, "the control document was moved");
	}
}

static void on_control_written(struct document_port *port, const struct call *call)
{
	port->seen = call->content;
	if (port->asked == SINK_COMMIT && MUTANT(control_first))
		send_items(port);
	else if (port->asked != SINK_COMMIT || !MUTANT(surplus_deleted_late) || !delete_surplus(port))
		document_answer_frontier(port);
}

static void on_surplus_deleted(struct document_port *port, const struct call *call)
{
	if (call->conflict) {
		document_answer_fenced(port, port->attempt + 1);
		return;
	}
	port->surplus[call->writer].there = false;
	if (delete_surplus(port))
		return;
	if (port->asked == SINK_COMMIT && epoch_equal(port->seen.last, port->wanted.last)) {
		document_answer_frontier(port); /* a mutant's order */
	} else if (port->asked == SINK_COMMIT) {
		send_items(port);
	} else {
		port->stage = STAGE_CONTROL;
		write_own(port, CALL_TOUCH);
	}
}

static void on_look_call(struct document_port *port, const struct call *call)
{
	const struct control *found = &call->found[port->writer];
	if (!found->there || found->fence != port->attempt) {
		document_answer_fenced(port, found->fence);
		return;
	}
	port->seen = *found;
	document_answer_frontier(port);
}

/* Perhaps one of the next epoch, whatever else is under way. */
static void on_bulk_answer(struct document_port *port, const struct call *call)
{
	items_answered(port, call);
	if (port->asked != SINK_COMMIT || port->answered)
		return;
	if (port->stage == STAGE_ITEMS)
		send_items(port);
	else
		send_early(port, 3);
}

void document_port_on_answer(struct document_port *port, const struct call *call)
{
	if (port->asked == SINK_FENCE) {
		document_fence_on_answer(port, call);
	} else if (port->asked == SINK_LOOK) {
		on_look_call(port, call);
	} else if (call->kind == CALL_BULK) {
		on_bulk_answer(port, call);
	} else if (call->kind == CALL_DELETE) {
		on_surplus_deleted(port, call);
	} else if (call->kind == CALL_READ) {
		on_conflict(port, &call->found[port->writer]);
	} else if (call->conflict) {
		document_read(port, STAGE_CONFLICT);
	} else {
		on_control_written(port, call);
	}
}

/* --- life ------------------------------------------------------------------------------------------------------------------------ */

static bool port_answer(struct sink_port *sink, struct sink_answer **answer)
{
	struct document_port *port = port_of(sink);
	if (!port->answered)
		return false;
	port->answered = false;
	port->asked = SINK_NOTHING;
	*answer = &port->answer;
	return true;
}

static void port_close(struct sink_port *sink)
{
	(void)sink;
}

static const struct sink_port_ops document_ops = {
    .start = port_start,
    .answer = port_answer,
    .close = port_close,
};

struct sink_port *document_port_open(struct process *process, uint32_t writer)
{
	struct document_port *port = &process->documents[writer];
	const struct topology *topology = &process->setup.topology;
	uint32_t groups = process->world->pipeline.key_groups;
	*port = (struct document_port){.port = {&document_ops, -1},
	    .world = process->world,
	    .process = process,
	    .writer = writer,
	    .writers = topology->writers,
	    .now = &port->lists[0],
	    .next = &port->lists[1],
	    .open = true};
	for (uint32_t group = groups; group-- > 0;)
		if (key_group_owner(group, groups, topology->writers) == writer) {
			port->first_group = group;
			port->groups++;
		}
	return &port->port;
}

void document_port_close(struct document_port *port, bool calls_live_on)
{
	if (!port->open)
		return;
	calls_leave(port, calls_live_on);
	sink_answer_clear(&port->answer);
	port->open = false;
}

void document_port_break(struct document_port *port, bool calls_live_on, const char *why)
{
	bool again = port->asked == SINK_COMMIT && port->stage == STAGE_ITEMS && port->calls > 0;
	calls_leave(port, calls_live_on);
	items_again(port);
	if (port->asked == SINK_NOTHING || port->answered)
		return;
	if (again && random_chance(&port->world->random, 500)) {
		port->world->statistics.bulks_again++;
		send_items(port);
		return;
	}
	sink_answer_clear(&port->answer);
	answer(port, SINK_UNKNOWN, why);
}

void documents_lose_answer(struct world *world, struct call *call)
{
	world_trace(world, "fault: the connection of writer %u of %s breaks", call->writer, call->port->process->name);
	world->statistics.answer_lost++;
	document_port_break(call->port, true, "the connection is lost");
}
