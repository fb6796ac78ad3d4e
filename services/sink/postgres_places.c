/* services/sink/postgres_places.c - see postgres_places.h. */
#include "services/sink/postgres_places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_LEAST = 2, PATIENCE_MOST = 4096, PATIENCE_APART = 64 };

bool way_is_place(struct way *way)
{
	if (way->taken < way->patience) {
		way->taken++;
		return true;
	}
	way->taken = 0;
	way->patience = way->reused || !way->patience       ? PATIENCE_LEAST
	                : way->patience * 2 > PATIENCE_MOST ? PATIENCE_MOST
	                                                    : way->patience * 2;
	way->reused = false;
	return false;
}

void places_forget(struct places *places)
{
	memset(places, 0, sizeof *places);
}

static const struct place *place_of(const struct places *places, uint64_t hash)
{
	const struct place *place = &places->slots[hash % PLACES];

	return place->hash == hash && place->line ? place : NULL;
}

size_t places_print(const struct places *places, uint64_t hash, char text[PLACE_TEXT_MAX])
{
	const struct place *place = place_of(places, hash);

	if (!place)
		return (size_t)snprintf(text, PLACE_TEXT_MAX, PLACE_NOWHERE);
	return (size_t)snprintf(text, PLACE_TEXT_MAX, "(%u,%u)", place->block, place->line);
}

/* A page two thirds of which are used takes in no row from elsewhere (fillfactor 50): a row that is taken out there goes to
 * another one. */
static bool is_filling(const struct place *place, const struct way *way)
{
	return place && place->line * 3 >= way->lines * 2;
}

size_t places_apart(const struct places *places, const uint64_t *hashes, size_t len, const struct way *way)
{
	if (way->patience < PATIENCE_APART || way->lines == 0 || len > PLACES_APART_MAX)
		return 0;
	for (size_t i = 0; i < len; i++) {
		const struct place *one = place_of(places, hashes[i]);
		for (size_t j = i + 1; is_filling(one, way) && j < len; j++) {
			const struct place *other = place_of(places, hashes[j]);
			if (other && other->block == one->block)
				return i + 1;
		}
	}
	return 0;
}

static const char *number(const char *at, char before, unsigned long most, unsigned long *value)
{
	char *end = NULL;

	if (!at || at[0] != before || at[1] < '0' || at[1] > '9')
		return NULL;
	errno = 0;
	*value = strtoul(at + 1, &end, 10);
	return errno == 0 && *value <= most ? end : NULL;
}

static void way_learn(struct way *way, const struct place *from, const struct place *to)
{
	if (to->block < from->block || (to->block == from->block && to->line < from->line))
		way->reused = true;
	else if (to->block > from->block)
		way->lines = from->line;
}

void places_learn(struct places *places, uint64_t hash, const char *text, struct way *way)
{
	struct place *place = &places->slots[hash % PLACES];
	unsigned long block = 0, line = 0;
	const char *end = number(number(text, '(', UINT32_MAX, &block), ',', UINT16_MAX, &line);
	struct place new_place = {.hash = hash};

	if (end && strcmp(end, ")") == 0) {
		new_place.block = (uint32_t)block;
		new_place.line = (uint16_t)line;
	}
	if (way && place->hash == hash && place->line && new_place.line)
		way_learn(way, place, &new_place);
	*place = new_place;
}
