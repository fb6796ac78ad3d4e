#include "proto/letter.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mutant.h"

enum { ADDED_MAX = 160 };

_Static_assert(
    LETTER_KEY_MAX + LETTER_PAYLOAD_MAX + LETTER_DETAIL_MAX + LETTER_REST_MAX < FRAME_MAX - FRAME_HEADER_SIZE,
    "the largest letter is a frame that travels");

/* Appends to the words what was cut; the number of bytes that are in use then. */
static size_t cut(struct bytes *bytes, const char *name, size_t most, char *added, size_t used)
{
	if (bytes->len <= most)
		return used;
	int len = snprintf(added + used, ADDED_MAX - used, "%s%s of %zu bytes cut to %zu", used == 0 ? " (" : ", ",
	    name, bytes->len, most);
	bytes->len = most;
	CHECK(len > 0 && used + (size_t)len < ADDED_MAX - 1);
	return used + (size_t)len;
}

/* Between characters. */
static size_t text_len(struct bytes text, size_t most)
{
	if (text.len <= most)
		return text.len;
	while (most > 0 && (text.data[most] & 0xc0) == 0x80)
		most--;
	return most;
}

void letter_cut(struct letter *letter, char detail[LETTER_DETAIL_MAX])
{
	char added[ADDED_MAX];
	size_t used = 0;
	if (!MUTANT(letter_key_whole))
		used = cut(&letter->key, "key", LETTER_KEY_MAX, added, used);
	used = cut(&letter->payload, "payload", LETTER_PAYLOAD_MAX, added, used);
	if (used > 0)
		added[used++] = ')';
	size_t words = text_len(letter->detail, LETTER_DETAIL_MAX - used);
	if (words > 0)
		memcpy(detail, letter->detail.data, words);
	memcpy(detail + words, added, used);
	letter->detail = (struct bytes){(const uint8_t *)detail, words + used};
}
