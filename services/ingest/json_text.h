/* services/ingest/json_text.h - what stands between the quotes of a JSON string, and what a JSON number looks like. */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"

/* Length of the escape that begins with the backslash at text, a pair of surrogates being one; 0: broken, or half of a
 * pair. Does not look behind end. */
size_t json_escape_len(const uint8_t *text, const uint8_t *end);

/* The text of a string whose escapes are known to be whole, to out, which has room for string.len bytes. Returns the
 * length: escapes are never shorter than what they stand for. */
size_t json_unescape(struct bytes string, uint8_t *out);

/* JSON's grammar of a number, over all of the text. */
bool json_number_valid(struct bytes text);

/* Whether a valid number is a whole one, however it is written: 12.00 and 1.2e1 are. Linear in len for any exponent. */
bool json_number_whole(struct bytes text);

#endif
