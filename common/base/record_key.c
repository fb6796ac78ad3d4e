#include "common/base/record_key.h"

#include <string.h>

/* The first byte says what follows. */
enum { FORM_TEXT = 0, FORM_UUID = 1, UUID_BYTES = 16, UUID_TEXT = 36, DIGIT = 16 };

static const char digits[] = "0123456789abcdef";

/* Only the spelling that comes out again: lower case. Anything else lacks the bit DIGIT. */
static const uint8_t digit_of[256] = {
    ['0'] = DIGIT | 0,
    ['1'] = DIGIT | 1,
    ['2'] = DIGIT | 2,
    ['3'] = DIGIT | 3,
    ['4'] = DIGIT | 4,
    ['5'] = DIGIT | 5,
    ['6'] = DIGIT | 6,
    ['7'] = DIGIT | 7,
    ['8'] = DIGIT | 8,
    ['9'] = DIGIT | 9,
    ['a'] = DIGIT | 10,
    ['b'] = DIGIT | 11,
    ['c'] = DIGIT | 12,
    ['d'] = DIGIT | 13,
    ['e'] = DIGIT | 14,
    ['f'] = DIGIT | 15,
};
static const uint8_t places[UUID_BYTES] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
static const uint8_t dashes[] = {8, 13, 18, 23};

static bool pack_uuid(struct bytes text, uint8_t *out)
{
	uint8_t seen = UINT8_MAX;
	if (text.len != UUID_TEXT)
		return false;
	for (size_t i = 0; i < sizeof dashes; i++)
		if (text.data[dashes[i]] != '-')
			return false;
	for (size_t i = 0; i < UUID_BYTES; i++) {
		uint8_t high = digit_of[text.data[places[i]]], low = digit_of[text.data[places[i] + 1]];
		seen &= high & low;
		out[i] = (uint8_t)(high << 4 | (low & 15));
	}
	return (seen & DIGIT) != 0;
}

struct bytes record_key_pack(struct bytes text, uint8_t *room)
{
	room[0] = FORM_UUID;
	if (pack_uuid(text, room + 1))
		return (struct bytes){room, 1 + UUID_BYTES};
	room[0] = FORM_TEXT;
	if (text.len > 0)
		memcpy(room + 1, text.data, text.len);
	return (struct bytes){room, 1 + text.len};
}

bool record_key_unpack(struct bytes packed, struct buffer *text)
{
	char uuid[UUID_TEXT];
	memset(uuid, '-', sizeof uuid);
	if (packed.len == 0 || packed.data[0] > FORM_UUID ||
	    (packed.data[0] == FORM_UUID && packed.len != 1 + UUID_BYTES))
		return false;
	if (packed.data[0] == FORM_TEXT) {
		buffer_append(text, packed.data + 1, packed.len - 1);
		return true;
	}
	for (size_t i = 0; i < UUID_BYTES; i++) {
		uuid[places[i]] = digits[packed.data[1 + i] >> 4];
		uuid[places[i] + 1] = digits[packed.data[1 + i] & 15];
	}
	buffer_append(text, uuid, sizeof uuid);
	return true;
}
