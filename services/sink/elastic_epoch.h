/* services/sink/elastic_epoch.h - the rows of an epoch as items to be stored, and what has become of each.
 *
 * Until a document of a key and index is stored, one is under way: the first in the order of arrival, and where that was refused
 * for good, the next one. So neither a retry nor a request beside it can change which record of a key stays. The others
 * (repeats) are sent behind it: they change nothing, but each has its own answer, the same whatever the cut into epochs.
 *
 * Ownership: items point into the transaction's rows; memory is reused from epoch to epoch.
 * Errors:    CORRUPT where the rows are not what the pipeline file says.
 */
#ifndef ELASTIC_EPOCH_H
#define ELASTIC_EPOCH_H

#include "services/sink/elastic_document.h"
#include "services/sink/sink_port.h"

enum item_state {
	ITEM_WAITING, /* in the queue */
	ITEM_SENT,
	ITEM_STORED, /* now, or there already */
	ITEM_REFUSED, /* its dead letter is not stored yet */
	ITEM_DEAD, /* its dead letter is stored */
	ITEM_REPEAT, /* of `first` */
	ITEM_BEHIND, /* the epoch before has its key */
};

struct epoch_item {
	const uint8_t *row, *key;
	uint32_t row_len, key_len;
	uint64_t hash;
	uint32_t period;
	enum item_state state;
	uint32_t first; /* REPEAT: the item with this key and index that came before it */
	uint32_t heir; /* DEAD: the repeat that has its turn, plus 1 */
};

struct epoch_items {
	struct document_plan *plan;
	struct epoch_item *items;
	size_t len, capacity;
	uint32_t *table; /* places of items, plus 1, by hash; table_len is a power of two */
	size_t table_len;
	uint32_t *queue; /* a ring of capacity entries: items that are WAITING */
	size_t queue_first, queue_len;
	struct epoch_id id; /* (0,0): there is none */
	struct row row; /* the one last decoded */
};

/* All rows that are not handled yet, in the order of arrival. before: the epoch that is to be committed first; NULL: none. */
enum result epoch_items_build(struct epoch_items *epoch, const struct epoch_bodies *rows, const struct cut *handled,
    const struct epoch_items *before, struct error *error) MUST_USE;
/* The epoch before is committed: what was BEHIND it may be sent. */
void epoch_items_release(struct epoch_items *epoch);
/* What is not settled is to be sent again. */
void epoch_items_again(struct epoch_items *epoch);
void epoch_items_forget(struct epoch_items *epoch);
void epoch_items_fini(struct epoch_items *epoch);

/* The next one that waits, now SENT; false: none. */
bool epoch_items_take(struct epoch_items *epoch, uint32_t *item);
/* Back into the queue: behind the others, or in front of them. */
void epoch_items_return(struct epoch_items *epoch, uint32_t item, bool in_front);
/* Every item that was in the queue is STORED or DEAD: the repeats whose turn it is are in the queue now. */
void epoch_items_resolve(struct epoch_items *epoch);
/* The row of an item; valid until the next call. */
const struct row *epoch_items_row(struct epoch_items *epoch, uint32_t item);
/* consumed, accepted and dead; each item is one of both. */
struct counters epoch_items_count(const struct epoch_items *epoch);

#endif
