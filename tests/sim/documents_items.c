/* tests/sim/documents_items.c - the documents of one epoch: which may be sent, and what became of them; see elastic.h. */
#include <stdlib.h>

#include "common/base/mutant.h"
#include "tests/sim/sim.h"

enum { BULK_MOST = 4 };

void items_take(struct document_port *port, const struct transaction *transaction)
{
	struct changes *changes = changes_of_rows(port->world, transaction->rows, transaction->rows_len);
	port->items_len = 0;
	for (uint32_t i = 0; i < changes->rows_len; i++) {
		uint32_t partition = changes->rows[i].partition;
		int64_t offset = changes->rows[i].offset;
		if (transaction->handled != NULL && offset < cut_get(transaction->handled, partition, 0)) {
			port->world->statistics.rows_handled++;
			continue;
		}
		port->items[port->items_len] = (struct item){.number = port->items_len,
		    .key = changes->rows[i].key,
		    .partition = partition,
		    .place = log_place(&port->world->log.partitions[partition], offset),
		    .offset = offset};
		port->items_len++;
	}
	free(changes);
}

/* May this one be sent now? Behind one of its key it waits, or is there already. */
static bool item_is_next(struct document_port *port, struct item *item)
{
	if (item->state != ITEM_WAITING || MUTANT(keys_in_any_order))
		return item->state == ITEM_WAITING || item->state == ITEM_REFUSED;
	for (const struct item *before = port->items; before != item; before++) {
		if (before->key != item->key)
			continue;
		if (before->state == ITEM_WAITING || before->state == ITEM_SENT)
			return false;
		if (before->state == ITEM_ACCEPTED || MUTANT(refused_hides)) {
			item->state = ITEM_ACCEPTED;
			return false;
		}
	}
	return true;
}

/* A bulk call of some of what can be sent. False: there is nothing. */
bool items_send(struct document_port *port)
{
	uint32_t most = random_between(&port->world->random, 1, BULK_MOST);
	struct call *call = NULL;
	for (uint32_t i = 0; i < port->items_len && most > 0; i++) {
		struct item *item = &port->items[i];
		if (item->state != ITEM_REFUSED && !item_is_next(port, item))
			continue;
		if (call == NULL)
			call = call_new(port, CALL_BULK);
		item->letter = item->state == ITEM_REFUSED;
		item->state = item->letter ? ITEM_LETTER_SENT : ITEM_SENT;
		call->items[call->items_len++] = *item;
		most--;
	}
	return call != NULL;
}

void items_count(const struct document_port *port, struct counters *counters)
{
	uint64_t *n = counters->n;
	for (uint32_t i = 0; i < port->items_len; i++) {
		n[COUNTER_CONSUMED]++;
		n[port->items[i].state == ITEM_DEAD ? COUNTER_DEAD : COUNTER_ACCEPTED]++;
	}
}

void items_answered(struct document_port *port, const struct call *call)
{
	for (uint32_t i = 0; i < call->items_len; i++)
		port->items[call->items[i].number].state = call->items[i].state;
}

void items_again(struct document_port *port)
{
	for (uint32_t i = 0; i < port->items_len; i++) {
		struct item *item = &port->items[i];
		if (item->state == ITEM_SENT || item->state == ITEM_LETTER_SENT)
			item->state = item->state == ITEM_SENT ? ITEM_WAITING : ITEM_REFUSED;
	}
}
