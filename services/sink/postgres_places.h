/* services/sink/postgres_places.h - where the rows that change with every epoch lie, for those who changed them last.
 *
 * A row is found by its place (PostgreSQL's ctid) at once; through the index it is found after a walk over all its dead
 * versions, and while somebody holds a snapshot open these are as many as there were epochs. What stands here may be wrong:
 * a place is tried together with the key, and costs no more than the try. So the table may forget: two keys that want the
 * same slot take it from each other.
 *
 * But only a way through the index lets PostgreSQL tidy the page up, so that the space of dead versions is used again and the
 * table stays small. So it is taken now and then, and the more seldom, the longer no space has been used again.
 *
 * A row whose page is full goes to another one and is entered into the index anew, and a unique index then looks at every
 * version of it. Rows that change together fill their page together and would all do so in the same epoch, in which the
 * waits add up. So while no space is used again, they are brought apart before: one an epoch.
 */
#ifndef POSTGRES_PLACES_H
#define POSTGRES_PLACES_H

#include "common/base/buffer.h"

#define PLACE_NOWHERE "(4294967295,0)"
enum { PLACES = 16384, PLACE_TEXT_MAX = 24, PLACES_APART_MAX = 64 };

struct place {
	uint64_t hash; /* of the row's key */
	uint32_t block;
	uint16_t line; /* 0: there is no such line, and none is known */
};

struct places {
	struct place slots[PLACES];
};

struct way {
	uint32_t patience; /* so often by place */
	uint32_t taken;
	bool reused; /* a version was written before its predecessor since the index was used */
	uint32_t lines; /* of a page that a row left because it was full; 0: not seen */
};

/* By place this time, or through the index? */
bool way_is_place(struct way *way);

void places_forget(struct places *places);
/* As PostgreSQL reads it, one where nothing lies when none is known. Returns the length. */
size_t places_print(const struct places *places, uint64_t hash, char text[PLACE_TEXT_MAX]);
/* Which of these rows should go to another page than it would in this epoch: its number from 1 on; 0: none, or there are more
 * than PLACES_APART_MAX. */
size_t places_apart(const struct places *places, const uint64_t *hashes, size_t len, const struct way *way);
/* As PostgreSQL writes it; anything else is forgotten. way: NULL for a row that was brought apart. */
void places_learn(struct places *places, uint64_t hash, const char *text, struct way *way);

#endif
