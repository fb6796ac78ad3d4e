/* tests/sim/changes.c - a transaction taken apart and compared with the records it comes from. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/row.h"
#include "proto/wire.h"
#include "tests/sim/sim.h"

enum { FIELDS = 4, DAY_US_TEN = 10 };
static const int64_t day_numbers[DAYS_MAX] = {19696, 19722, 19723}; /* of day_texts, since 1970 */
static const int64_t hour_us = INT64_C(3600000000);

static bool is_text(const struct value *value, char letter, uint32_t number)
{
	char text[16];
	int len = snprintf(text, sizeof text, "%c%u", letter, number);
	return value->kind == VALUE_TEXT && value->text.len == (size_t)len &&
	       memcmp(value->text.data, text, (size_t)len) == 0;
}

static bool is_number(const struct value *value, int64_t number)
{
	return value->kind == VALUE_INTEGER && value->integer == number;
}

static void take_row(struct world *world, struct changes *changes, const struct row *row)
{
	const struct log_record *record = log_find(&world->log, row->partition, row->offset);
	if (record == NULL || !record_is_valid(world, record) || !is_text(&row->values[0], 'k', record->key) ||
	    !is_text(&row->values[1], 'g', record->group) || !is_number(&row->values[2], record->minor) ||
	    !is_number(&row->values[3], (day_numbers[record->day] * 24 + DAY_US_TEN) * hour_us)) {
		world_violate(
		    world, "a row that claims to be %u/%" PRId64 " is not that record", row->partition, row->offset);
		return;
	}
	CHECK(changes->rows_len < sizeof changes->rows / sizeof *changes->rows);
	changes->rows[changes->rows_len].key = record->key;
	changes->rows[changes->rows_len].partition = row->partition;
	changes->rows[changes->rows_len++].offset = row->offset;
}

static void take_rows(struct world *world, struct changes *changes, struct bytes body)
{
	static const uint32_t values_len = FIELDS;
	struct rows_reader reader;
	struct error error;
	struct row row;
	bool more = true;
	if (rows_open(&reader, body, values_len, &error) != RESULT_OK)
		goto bad;
	for (;;) {
		if (rows_next(&reader, &row, &more, &error) != RESULT_OK)
			goto bad;
		if (!more)
			return;
		take_row(world, changes, &row);
	}
bad:
	world_violate(world, "rows cannot be read: %s", error.text);
}

static void take_letter(struct world *world, struct changes *changes, const struct letter *letter)
{
	const struct log_record *record = log_find(&world->log, letter->partition, letter->offset);
	static const char conflict[] = "conflict";
	bool is_conflict = letter->reason.len == sizeof conflict - 1 &&
	                   memcmp(letter->reason.data, conflict, sizeof conflict - 1) == 0;
	if (record == NULL || record_is_valid(world, record) != is_conflict || letter->payload_raw == is_conflict ||
	    (!is_conflict && (letter->payload.len != record->payload_len ||
	                         memcmp(letter->payload.data, record->payload, record->payload_len) != 0))) {
		world_violate(world, "the dead letter of %u/%" PRId64 " is not right: %.*s, %.*s (%s)",
		    letter->partition, letter->offset, (int)letter->reason.len, (const char *)letter->reason.data,
		    (int)letter->detail.len, (const char *)letter->detail.data, record ? record->payload : "no record");
		return;
	}
	CHECK(changes->letters_len < sizeof changes->letters / sizeof *changes->letters);
	changes->letters[changes->letters_len].partition = letter->partition;
	changes->letters[changes->letters_len].place =
	    log_place(&world->log.partitions[letter->partition], letter->offset);
	changes->letters[changes->letters_len++].kind = is_conflict ? LETTER_CONFLICT : LETTER_DEAD;
}

static void take_decision(struct world *world, struct changes *changes, const struct decision *decision)
{
	if (log_find(&world->log, decision->partition, decision->offset) == NULL) {
		world_violate(world, "a decision about %u/%" PRId64 ", which is no record", decision->partition,
		    decision->offset);
		return;
	}
	CHECK(changes->decisions_len < sizeof changes->decisions / sizeof *changes->decisions);
	changes->decisions[changes->decisions_len].partition = decision->partition;
	changes->decisions[changes->decisions_len].place =
	    log_place(&world->log.partitions[decision->partition], decision->offset);
	changes->decisions[changes->decisions_len++].verdict = decision->verdict;
}

static uint32_t day_place(int64_t number)
{
	uint32_t place = 0;
	while (place < DAYS_MAX && day_numbers[place] != number)
		place++;
	return place;
}

/* The total that a group's key names; NULL: none that can be. */
static struct total *total_of(struct totals *totals, uint32_t rollup, struct bytes key)
{
	struct wire wire = wire_open(key);
	uint32_t columns = wire_array(&wire);
	if (rollup == 0 && columns == 2) {
		uint32_t day = day_place(wire_signed(&wire));
		struct bytes text = wire_text(&wire);
		if (day < DAYS_MAX && wire_done(&wire) && text.len == 2 && text.data[0] == 'g' && text.data[1] >= '0' &&
		    text.data[1] < '0' + GROUPS_MAX)
			return &totals->by_group[day][text.data[1] - '0'];
	} else if (rollup == 1 && columns == 1) {
		uint32_t day = day_place(wire_signed(&wire));
		if (day < DAYS_MAX && wire_done(&wire))
			return &totals->by_day[day];
	} else if (rollup == 2 && columns == 2) {
		int64_t year = wire_signed(&wire), month = wire_signed(&wire);
		if (wire_done(&wire) && year == 2023 && month == 12)
			return &totals->by_month[0];
		if (wire_done(&wire) && year == 2024 && month == 1)
			return &totals->by_month[1];
	}
	return NULL;
}

static void take_total(struct world *world, struct changes *changes, const struct group *group)
{
	struct total *total = total_of(&changes->totals, group->rollup, group->key);
	__int128 minor;
	if (total == NULL || group->measures.len != sizeof minor) {
		world_violate(world, "a total of rollup %u for a group that cannot be", group->rollup);
		return;
	}
	if (total->there)
		world_violate(world, "a group of rollup %u stands twice in one epoch", group->rollup);
	memcpy(&minor, group->measures.data, sizeof minor);
	*total = (struct total){true, (int64_t)minor};
}

struct changes *changes_of(struct world *world, const struct transaction *transaction)
{
	struct changes *changes = memory_new(sizeof *changes);
	changes->predecessor = transaction->predecessor;
	changes->epoch = transaction->epoch;
	changes->checkpoint = transaction->checkpoint;
	changes->counters = transaction->counters;
	changes->before = sums_flat(transaction->before);
	changes->sums = sums_flat(transaction->after);
	marks_store(changes->marks, transaction->marks);
	for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
		changes->cut[i] = cut_get(transaction->cut, i, UNNAMED);
	for (size_t i = 0; i < transaction->rows_len; i++)
		take_rows(world, changes, transaction->rows[i]);
	for (size_t i = 0; i < transaction->letters_len; i++)
		for (uint32_t j = 0; j < transaction->letters[i].len; j++)
			take_letter(world, changes, &transaction->letters[i].entries[j]);
	for (size_t i = 0; i < transaction->decisions_len; i++)
		for (uint32_t j = 0; j < transaction->decisions[i].len; j++)
			take_decision(world, changes, &transaction->decisions[i].entries[j]);
	for (size_t i = 0; i < transaction->totals_len; i++)
		for (uint32_t j = 0; j < transaction->totals[i].len; j++)
			take_total(world, changes, &transaction->totals[i].entries[j]);
	return changes;
}

struct changes *changes_of_rows(struct world *world, const struct bytes *bodies, size_t bodies_len)
{
	struct changes *changes = memory_new(sizeof *changes);
	for (size_t i = 0; i < bodies_len; i++)
		take_rows(world, changes, bodies[i]);
	return changes;
}
