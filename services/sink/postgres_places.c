/* services/sink/postgres_places.c - see postgres_places.h. */
#include "services/sink/postgres_places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_LEAST = 2, PATIENCE_MOST = 4096 };

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

size_t places_print(const struct places *places, uint64_t hash, char text[PLACE_TEXT_MAX])
{
	const struct place *place = &places->slots[hash % PLACES];

	if (place->hash != hash || place->line == 0)
		return (size_t)snprintf(text, PLACE_TEXT_MAX, PLACE_NOWHERE);
	return (size_t)snprintf(text, PLACE_TEXT_MAX, "(%u,%u)", place->block, place->line);
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
	bool earlier =
	    new_place.block < place->block || (new_place.block == place->block && new_place.line < place->line);
	if (place->hash == hash && place->line && new_place.line && earlier)
		way->reused = true;
	*place = new_place;
}
