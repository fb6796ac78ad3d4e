/* tests/sim/documents_items.c - the documents of an epoch and of the next: which may be sent, and what became of them; see elastic.h. */
#include <stdlib.h>

#include "common/base/mutant.h"
#include "tests/sim/sim.h"

enum { BULK_MOST = 4 };

/* --- one epoch, and the next ------------------------------------------------------------------------------------------------- */

static void list_fill(
    struct document_port *port, struct item_list *list, const struct epoch_bodies *bodies, const struct cut *handled)
{
	struct changes *changes = changes_of_rows(port->world, bodies->bodies, bodies->len);
	list->epoch = bodies->epoch;
	list->len = 0;
	for (uint32_t i = 0; i < changes->rows_len; i++) {
		uint32_t partition = changes->rows[i].partition;
		int64_t offset = changes->rows[i].offset;
		if (handled != NULL && offset < cut_get(handled, partition, 0)) {
			port->world->statistics.rows_handled++;
			continue;
		}
		list->items[list->len] = (struct item){.number = list->len,
		    .key = changes->rows[i].key,
		    .partition = partition,
		    .place = log_place(&port->world->log.partitions[partition], offset),
		    .offset = offset};
		list->len++;
	}
	free(changes);
}

void items_forget(struct document_port *port)
{
	port->lists[0].len = port->lists[1].len = 0;
	port->lists[0].epoch = port->lists[1].epoch = (struct epoch_id){0, 0};
}

void items_take(struct document_port *port, const struct transaction *transaction)
{
	const struct epoch_bodies now = {transaction->epoch, transaction->rows, transaction->rows_len};
	const struct epoch_bodies *next = &transaction->next;
	bool again = epoch_equal(port->now->epoch, now.epoch);
	if (again && random_chance(&port->world->random, 500)) /* whoever sends everything again is right, too */
		list_fill(port, port->now, &now, transaction->handled);
	if (!again) {
		struct item_list *turn = port->next;
		port->next = port->now;
		port->now = turn;
		port->next->epoch = (struct epoch_id){0, 0};
		port->next->len = 0;
	}
	if (!epoch_equal(port->now->epoch, now.epoch))
		list_fill(port, port->now, &now, transaction->handled);
	if (next->epoch.n > 0 && !epoch_equal(port->next->epoch, next->epoch))
		list_fill(port, port->next, next, transaction->handled);
}

bool items_settled(const struct document_port *port)
{
	for (uint32_t i = 0; i < port->now->len; i++)
		if (port->now->items[i].state != ITEM_ACCEPTED && port->now->items[i].state != ITEM_DEAD)
			return false;
	return true;
}

/* --- what may be sent ---------------------------------------------------------------------------------------------------------- */

static bool has_key(const struct item_list *list, uint32_t key)
{
	for (uint32_t i = 0; i < list->len; i++)
		if (list->items[i].key == key)
			return true;
	return false;
}

/* May this one be sent now? Not while it is open whether one of its key in front of it is accepted. */
static bool item_is_next(struct document_port *port, const struct item_list *list, struct item *item)
{
	bool accepted = false;
	if (item->state != ITEM_WAITING)
		return false;
	if (MUTANT(keys_in_any_order))
		return true;
	if (list == port->next && has_key(port->now, item->key) && !MUTANT(next_in_any_order)) {
		port->world->statistics.items_behind++;
		return false;
	}
	for (const struct item *before = list->items; before != item; before++) {
		if (before->key != item->key)
			continue;
		accepted |= before->state == ITEM_ACCEPTED;
		if (!accepted && (before->state == ITEM_WAITING || before->state == ITEM_SENT))
			return false;
		if (MUTANT(refused_hides) || (accepted && MUTANT(accepted_hides))) {
			item->state = ITEM_ACCEPTED;
			return false;
		}
	}
	return true;
}

bool items_send(struct document_port *port, struct item_list *list)
{
	uint32_t most = random_between(&port->world->random, 1, BULK_MOST);
	struct call *call = NULL;
	for (uint32_t i = 0; i < list->len && most > 0; i++) {
		struct item *item = &list->items[i];
		if (item->state != ITEM_REFUSED && !item_is_next(port, list, item))
			continue;
		if (call == NULL)
			call = call_new(port, CALL_BULK);
		call->list = list;
		item->letter = item->state == ITEM_REFUSED;
		item->state = item->letter ? ITEM_LETTER_SENT : ITEM_SENT;
		call->items[call->items_len++] = *item;
		port->world->statistics.items_early += list == port->next;
		most--;
	}
	return call != NULL;
}

/* --- what became of them -------------------------------------------------------------------------------------------------------- */

void items_count(const struct document_port *port, struct counters *counters)
{
	uint64_t *n = counters->n;
	for (uint32_t i = 0; i < port->now->len; i++) {
		n[COUNTER_CONSUMED]++;
		n[port->now->items[i].state == ITEM_DEAD ? COUNTER_DEAD : COUNTER_ACCEPTED]++;
	}
}

void items_answered(struct document_port *port, const struct call *call)
{
	(void)port;
	for (uint32_t i = 0; i < call->items_len; i++)
		call->list->items[call->items[i].number].state = call->items[i].state;
}

static void list_again(struct item_list *list, bool stored)
{
	for (uint32_t i = 0; i < list->len; i++) {
		struct item *item = &list->items[i];
		if (item->state == ITEM_SENT)
			item->state = stored ? ITEM_ACCEPTED : ITEM_WAITING;
		else if (item->state == ITEM_LETTER_SENT)
			item->state = ITEM_REFUSED;
	}
}

void items_again(struct document_port *port)
{
	list_again(port->now, false);
	list_again(port->next, MUTANT(next_lost_counts));
}
