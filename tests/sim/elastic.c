/* tests/sim/elastic.c - the server: one call, or a part of a bulk call, a step; see elastic.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"
#include "tests/sim/sim.h"

enum {
	LATE_MOST_US = 30000000, /* without anybody who waits */
	SLOW_PART_US = 2000000,
};

void elastic_init(struct elastic *elastic)
{
	*elastic = (struct elastic){0};
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		elastic->cut[p] = elastic->base[p] = UNNAMED;
}

bool record_is_refused(const struct log_record *record)
{
	return record->group == 1 && record->day != 0;
}

/* --- calls --------------------------------------------------------------------------------------------------------------- */

struct call *call_new(struct document_port *port, enum call_kind kind)
{
	struct world *world = port->world;
	struct call *call = memory_new(sizeof *call), **end = &world->calls;
	call->kind = kind;
	call->port = port;
	call->attempt = port->attempt;
	call->writer = port->writer;
	while (*end != NULL)
		end = &(*end)->next;
	*end = call;
	port->calls++;
	return call;
}

static void call_free(struct world *world, struct call *call)
{
	struct call **at = &world->calls;
	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	free(call);
}

void calls_free(struct world *world)
{
	while (world->calls != NULL)
		call_free(world, world->calls);
}

bool call_due(const struct world *world, const struct call *call)
{
	return !call->answered && call->slow_until_us <= world->now_us;
}

bool call_answerable(const struct call *call)
{
	return call->answered && call->port != NULL && call->port->process->life == LIFE_UP;
}

void calls_leave(struct document_port *port, bool live_on)
{
	struct world *world = port->world;
	for (struct call *call = world->calls, *next; call != NULL; call = next) {
		next = call->next;
		if (call->port != port)
			continue;
		call->port = NULL;
		if (call->answered || !live_on)
			call_free(world, call);
		else if (random_chance(&world->random, 700))
			call->slow_until_us = world->now_us + random_below(&world->random, LATE_MOST_US);
	}
	port->calls = 0;
}

void elastic_go(struct world *world)
{
	for (uint32_t i = 0; i < world->processes_len; i++)
		for (uint32_t k = 0; k < WRITERS_MAX; k++)
			if (world->processes[i].documents[k].open && world->processes[i].documents[k].calls > 0)
				document_port_break(&world->processes[i].documents[k], false, "the server went away");
	for (struct call *call = world->calls, *next; call != NULL; call = next) {
		next = call->next;
		if (call->port == NULL)
			call_free(world, call);
	}
}

/* --- control documents --------------------------------------------------------------------------------------------------- */

static bool is_expected(const struct world *world, const struct call *call)
{
	const struct control *control = &world->elastic.controls[call->writer];
	return control->there ? control->sequence == call->expected : call->expected == 0;
}

/* What a writer had sent when it died, or gave up waiting. */
static void count_late(struct world *world, const struct call *call)
{
	if (call->port == NULL && call->conflict)
		world->statistics.late_calls_refused++;
	else if (call->port == NULL && call->kind == CALL_COMMIT)
		world->statistics.late_controls++;
}

static void write_control(struct world *world, struct call *call)
{
	struct control *control = &world->elastic.controls[call->writer];
	call->conflict = !is_expected(world, call) && !MUTANT(control_unconditional);
	count_late(world, call);
	if (call->conflict) {
		world->statistics.control_conflicts++;
		return;
	}
	call->content.there = true;
	call->content.sequence = ++world->elastic.sequence;
	documents_check_change(world, call, &call->content);
	*control = call->content;
	world->database_changed = true;
	world->statistics.document_commits += call->kind == CALL_COMMIT;
	world->statistics.document_touches += call->kind == CALL_TOUCH;
	world_trace(world, "    control document %u: fence %" PRIu64 ", epoch %" PRIu64 ".%" PRIu64, call->writer,
	    control->fence, control->last.attempt, control->last.n);
}

static void delete_control(struct world *world, struct call *call)
{
	struct control *control = &world->elastic.controls[call->writer];
	if (!control->there)
		return;
	call->conflict = !is_expected(world, call) && !MUTANT(surplus_deleted_blindly);
	count_late(world, call);
	if (call->conflict)
		return;
	documents_check_change(world, call, NULL);
	*control = (struct control){0};
	world->elastic.sequence++;
	world->database_changed = true;
	world->statistics.surplus_deleted++;
	world_trace(world, "    control document %u is deleted", call->writer);
}

/* --- documents --------------------------------------------------------------------------------------------------------------- */

/* The mapping is looked at before the id is. */
static enum item_state put_item(struct world *world, const struct item *item)
{
	struct elastic *elastic = &world->elastic;
	struct stored_document *document = &elastic->documents[item->key];
	if (item->letter) {
		world->statistics.document_letters += !elastic->letters[item->partition][item->place];
		elastic->letters[item->partition][item->place] = true;
		return ITEM_DEAD;
	}
	if (record_is_refused(&world->log.partitions[item->partition].records[item->place]))
		return ITEM_REFUSED;
	if (document->there)
		world->statistics.documents_there++;
	else
		*document = (struct stored_document){true, item->partition, item->offset};
	return ITEM_ACCEPTED;
}

static struct item *any_left(struct world *world, struct call *call)
{
	uint32_t left = 0;
	for (uint32_t i = 0; i < call->items_len; i++)
		left += !call->items[i].done;
	uint32_t chosen = random_below(&world->random, left);
	for (uint32_t i = 0; i < call->items_len; i++)
		if (!call->items[i].done && chosen-- == 0)
			return &call->items[i];
	return NULL;
}

/* In any order: an item that was busy comes again behind others, and bulk calls go side by side. */
static void run_bulk(struct world *world, struct call *call)
{
	uint32_t most = random_between(&world->random, 1, call->items_len);
	for (struct item *item; most > 0 && (item = any_left(world, call)) != NULL; most--) {
		bool busy = random_chance(&world->random, 100);
		item->done = true;
		item->state = item->letter ? ITEM_REFUSED : ITEM_WAITING; /* busy: where it was */
		if (!busy)
			item->state = put_item(world, item);
		world->statistics.items_busy += busy;
		world->statistics.late_items += !busy && call->port == NULL;
		world->database_changed = true;
	}
	call->answered = any_left(world, call) == NULL;
	world->statistics.bulks_in_parts += !call->answered;
}

static const char *const call_names[] = {"reads the control documents", "raises the fence", "sets the cut", "commits",
    "touches", "deletes a control document", "writes documents"};

void call_run(struct world *world, struct call *call)
{
	struct document_port *port = call->port;
	world_trace(world, "the server, for %s, attempt %" PRIu64 ", writer %u: %s",
	    port ? port->process->name : "nobody", call->attempt, call->writer, call_names[call->kind]);
	bool cut_off =
	    world->elastic.cut_off_until_us > world->now_us && port != NULL && port->writer == world->elastic.cut_off;
	if (world->database_away || cut_off) {
		if (port != NULL)
			document_port_break(port, false, cut_off ? "it cannot be reached" : "the server is away");
		else
			call_free(world, call);
		return;
	}
	call->answered = true;
	switch (call->kind) {
	case CALL_READ:
		memcpy(call->found, world->elastic.controls, sizeof call->found);
		break;
	case CALL_FENCE:
	case CALL_SET_CUT:
	case CALL_COMMIT:
	case CALL_TOUCH:
		write_control(world, call);
		break;
	case CALL_DELETE:
		delete_control(world, call);
		break;
	case CALL_BULK:
		run_bulk(world, call);
		break;
	}
	if (!call->answered) {
		if (random_chance(&world->random, 200))
			call->slow_until_us = world->now_us + random_below(&world->random, SLOW_PART_US);
	} else if (port == NULL) {
		call_free(world, call);
	}
}

void call_arrive(struct world *world, struct call *call)
{
	struct document_port *port = call->port;
	struct call *mine = memory_new(sizeof *mine);
	world_trace(world, "an answer comes to writer %u of %s: %s%s", port->writer, port->process->name,
	    call_names[call->kind], call->conflict ? ", conflict" : "");
	*mine = *call;
	call_free(world, call);
	port->calls--;
	document_port_on_answer(port, mine);
	free(mine);
}
