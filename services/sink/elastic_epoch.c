/* services/sink/elastic_epoch.c - see elastic_epoch.h. */
#include "services/sink/elastic_epoch.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"

enum { CAPACITY_FIRST = 1024 };

/* --- the table: which keys have come ----------------------------------------------------------------------------- */

static bool same_document(const struct epoch_item *a, const struct epoch_item *b)
{
	return a->hash == b->hash && a->period == b->period && a->key_len == b->key_len &&
	       (a->key_len == 0 || memcmp(a->key, b->key, a->key_len) == 0);
}

/* The slot where an item is, or would be. */
static uint32_t *slot_of(const struct epoch_items *epoch, const struct epoch_item *item)
{
	size_t at = item->hash & (epoch->table_len - 1);

	while (epoch->table[at] != 0 && !same_document(&epoch->items[epoch->table[at] - 1], item))
		at = (at + 1) & (epoch->table_len - 1);
	return &epoch->table[at];
}

static bool has_key_of(const struct epoch_items *epoch, const struct epoch_item *item)
{
	return epoch != NULL && epoch->len > 0 && *slot_of(epoch, item) != 0;
}

/* Never more than half full. */
static void grow(struct epoch_items *epoch)
{
	epoch->capacity = epoch->capacity ? 2 * epoch->capacity : CAPACITY_FIRST;
	CHECK(epoch->capacity < UINT32_MAX / 4);
	epoch->items = memory_resize(epoch->items, epoch->capacity, sizeof *epoch->items);
	epoch->queue = memory_resize(epoch->queue, epoch->capacity, sizeof *epoch->queue);
	epoch->table_len = 2 * epoch->capacity;
	epoch->table = memory_resize(epoch->table, epoch->table_len, sizeof *epoch->table);
	memset(epoch->table, 0, epoch->table_len * sizeof *epoch->table);
	for (size_t i = 0; i < epoch->len; i++)
		if (epoch->items[i].state != ITEM_REPEAT)
			*slot_of(epoch, &epoch->items[i]) = (uint32_t)i + 1;
}

/* --- from rows to items ------------------------------------------------------------------------------------------ */

static void item_add(struct epoch_items *epoch, const struct epoch_items *before, const struct row *row)
{
	struct bytes key = row->values[epoch->plan->pipeline->record.key].text;

	if (epoch->len == epoch->capacity)
		grow(epoch);
	struct epoch_item *item = &epoch->items[epoch->len];
	*item = (struct epoch_item){
	    .row = row->encoded.data,
	    .row_len = (uint32_t)row->encoded.len,
	    .key = key.data,
	    .key_len = (uint32_t)key.len,
	    .hash = key_hash(key),
	    .period = document_period(epoch->plan, row),
	};
	uint32_t *slot = slot_of(epoch, item);
	if (*slot != 0) {
		item->state = ITEM_REPEAT;
		item->first = *slot - 1;
	} else {
		*slot = (uint32_t)epoch->len + 1;
		if (has_key_of(before, item))
			item->state = ITEM_BEHIND;
	}
	epoch->len++;
}

static enum result row_check(const struct epoch_items *epoch, const struct row *row, struct error *error)
{
	const struct pipeline *pipeline = epoch->plan->pipeline;

	if (row->values[pipeline->record.key].kind == VALUE_TEXT &&
	    row->values[pipeline->record.event_time].kind == VALUE_INTEGER)
		return RESULT_OK;
	return error_set(error, RESULT_CORRUPT, "record %s/%u/%lld has no key or no event time", pipeline->source.topic,
	    row->partition, (long long)row->offset);
}

static enum result body_add(struct epoch_items *epoch, struct bytes body, const struct cut *handled,
    const struct epoch_items *before, struct error *error)
{
	struct row *row = &epoch->row;
	struct rows_reader reader;
	int64_t handled_to = 0;
	uint32_t partition = 0;
	bool more = false, known = false;
	enum result result = rows_open(&reader, body, (uint32_t)epoch->plan->fields_len, error);

	while (result == RESULT_OK) {
		result = rows_next(&reader, row, &more, error);
		if (result != RESULT_OK || !more)
			return result;
		if (!known || row->partition != partition) {
			partition = row->partition;
			handled_to = handled ? cut_get(handled, partition, 0) : 0;
			known = true;
		}
		if (row->offset < handled_to)
			continue;
		result = row_check(epoch, row, error);
		if (result == RESULT_OK)
			item_add(epoch, before, row);
	}
	return result;
}

enum result epoch_items_build(struct epoch_items *epoch, const struct epoch_bodies *rows, const struct cut *handled,
    const struct epoch_items *before, struct error *error)
{
	epoch_items_forget(epoch);
	if (epoch->table_len > 0)
		memset(epoch->table, 0, epoch->table_len * sizeof *epoch->table);
	for (size_t i = 0; i < rows->len; i++) {
		enum result result = body_add(epoch, rows->bodies[i], handled, before, error);
		if (result != RESULT_OK)
			return result;
	}
	epoch->id = rows->epoch;
	epoch_items_again(epoch);
	return RESULT_OK;
}

void epoch_items_release(struct epoch_items *epoch)
{
	for (size_t i = 0; i < epoch->len; i++)
		if (epoch->items[i].state == ITEM_BEHIND)
			epoch_items_return(epoch, (uint32_t)i, false);
}

void epoch_items_again(struct epoch_items *epoch)
{
	epoch->queue_first = epoch->queue_len = 0;
	for (size_t i = 0; i < epoch->len; i++) {
		struct epoch_item *item = &epoch->items[i];
		if (item->state == ITEM_SENT || item->state == ITEM_REFUSED)
			item->state = ITEM_WAITING;
		if (item->state == ITEM_WAITING)
			epoch->queue[epoch->queue_len++] = (uint32_t)i;
	}
}

void epoch_items_forget(struct epoch_items *epoch)
{
	epoch->len = epoch->queue_first = epoch->queue_len = 0;
	epoch->id = (struct epoch_id){0, 0};
}

void epoch_items_fini(struct epoch_items *epoch)
{
	free(epoch->items);
	free(epoch->table);
	free(epoch->queue);
	*epoch = (struct epoch_items){0};
}

/* --- the queue --------------------------------------------------------------------------------------------------- */

bool epoch_items_take(struct epoch_items *epoch, uint32_t *item)
{
	if (epoch->queue_len == 0)
		return false;
	*item = epoch->queue[epoch->queue_first];
	epoch->queue_first = (epoch->queue_first + 1) % epoch->capacity;
	epoch->queue_len--;
	epoch->items[*item].state = ITEM_SENT;
	return true;
}

void epoch_items_return(struct epoch_items *epoch, uint32_t item, bool in_front)
{
	CHECK(epoch->queue_len < epoch->capacity);
	epoch->items[item].state = ITEM_WAITING;
	if (in_front) {
		epoch->queue_first = (epoch->queue_first + epoch->capacity - 1) % epoch->capacity;
		epoch->queue[epoch->queue_first] = item;
	} else {
		epoch->queue[(epoch->queue_first + epoch->queue_len) % epoch->capacity] = item;
	}
	epoch->queue_len++;
}

void epoch_items_resolve(struct epoch_items *epoch)
{
	for (size_t i = 0; i < epoch->len; i++) {
		struct epoch_item *item = &epoch->items[i];
		if (item->state != ITEM_REPEAT)
			continue;
		while (epoch->items[item->first].state == ITEM_DEAD && epoch->items[item->first].heir != 0)
			item->first = epoch->items[item->first].heir - 1;
		struct epoch_item *first = &epoch->items[item->first];
		if (first->state == ITEM_STORED) {
			epoch_items_return(epoch, (uint32_t)i, false);
		} else if (first->state == ITEM_DEAD) {
			first->heir = (uint32_t)i + 1;
			epoch_items_return(epoch, (uint32_t)i, false);
		}
	}
}

const struct row *epoch_items_row(struct epoch_items *epoch, uint32_t place)
{
	const struct epoch_item *item = &epoch->items[place];
	struct rows_reader reader = {item->row, item->row + item->row_len, 1, (uint32_t)epoch->plan->fields_len};
	struct error ignored;
	bool more = false;

	CHECK(rows_next(&reader, &epoch->row, &more, &ignored) == RESULT_OK && more); /* it was read before */
	return &epoch->row;
}

struct counters epoch_items_count(const struct epoch_items *epoch)
{
	struct counters counters = {.n = {[COUNTER_CONSUMED] = epoch->len}};

	for (size_t i = 0; i < epoch->len; i++) {
		CHECK(epoch->items[i].state == ITEM_STORED || epoch->items[i].state == ITEM_DEAD);
		counters.n[epoch->items[i].state == ITEM_STORED ? COUNTER_ACCEPTED : COUNTER_DEAD]++;
	}
	return counters;
}
