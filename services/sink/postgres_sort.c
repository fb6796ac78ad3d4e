/* services/sink/postgres_sort.c - orders the rows of an epoch by key; see postgres_rows.h.
 *
 * A radix sort over eight bytes of the keys, behind what all of them have in common; keys that agree in these as well are
 * compared whole. Random keys (uuids) need no comparison at all, counted ones (tx-00000017) none either.
 */
#include "services/sink/postgres_rows.h"

#include <stdlib.h>

enum { DIGITS = 8, RADIX = 256 };

static struct bytes key_of(const struct epoch_rows *rows, uint32_t place)
{
	const struct row_place *row = &rows->places[place];
	return (struct bytes){rows->encoded.data + row->at + row->key_at, row->key_len};
}

static size_t common_prefix(const struct epoch_rows *rows)
{
	struct bytes first = key_of(rows, 0);
	size_t common = first.len;

	for (uint32_t i = 1; i < rows->len && common; i++) {
		struct bytes key = key_of(rows, i);
		size_t len = 0, most = key.len < common ? key.len : common;
		while (len < most && key.data[len] == first.data[len])
			len++;
		common = len;
	}
	return common;
}

static void order_fill(struct epoch_rows *rows)
{
	size_t common = common_prefix(rows);

	for (uint32_t i = 0; i < rows->len; i++) {
		struct bytes key = key_of(rows, i), behind = {key.data + common, key.len - common};
		rows->order[i] = (struct row_order){bytes_prefix(behind), i};
	}
}

/* Stable; leaves the result in order. Digits that are the same everywhere cost nothing. */
static void radix_sort(struct epoch_rows *rows)
{
	uint32_t counts[DIGITS][RADIX] = {0};

	for (size_t i = 0; i < rows->len; i++)
		for (unsigned digit = 0; digit < DIGITS; digit++)
			counts[digit][(rows->order[i].prefix >> (8 * digit)) & 0xff]++;
	for (unsigned digit = 0; digit < DIGITS; digit++) {
		uint32_t at = 0, *starts = counts[digit];
		if (starts[(rows->order[0].prefix >> (8 * digit)) & 0xff] == rows->len)
			continue;
		for (size_t value = 0; value < RADIX; value++) {
			uint32_t count = starts[value];
			starts[value] = at;
			at += count;
		}
		for (size_t i = 0; i < rows->len; i++)
			rows->spare[starts[(rows->order[i].prefix >> (8 * digit)) & 0xff]++] = rows->order[i];
		struct row_order *sorted = rows->spare;
		rows->spare = rows->order;
		rows->order = sorted;
	}
}

static int compare_whole(const void *a, const void *b, void *context)
{
	const struct epoch_rows *rows = context;
	const struct row_order *left = a, *right = b;
	int order = bytes_compare(key_of(rows, left->place), key_of(rows, right->place));

	if (order == 0) /* the same key twice: the database will say so */
		order = left->place < right->place ? -1 : left->place > right->place;
	return order;
}

static void runs_sort(struct epoch_rows *rows)
{
	for (size_t start = 0, end; start < rows->len; start = end) {
		for (end = start + 1; end < rows->len && rows->order[end].prefix == rows->order[start].prefix;)
			end++;
		if (end - start > 1)
			qsort_r(rows->order + start, end - start, sizeof rows->order[0], compare_whole, rows);
	}
}

void epoch_rows_sort(struct epoch_rows *rows)
{
	if (rows->len == 0)
		return;
	order_fill(rows);
	radix_sort(rows);
	runs_sort(rows);
}
