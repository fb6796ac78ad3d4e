/* common/base/record_key.h - the form in which a record's key is kept as state: a UUID takes 17 bytes instead of 36.
 *
 * Keys of transactions mostly are UUIDs, and most of what dedup costs, in memory, in files and in time, is the length of its
 * keys. Two keys have the same kept form exactly if they are the same text. The form is part of the files' format.
 */
#ifndef BASE_RECORD_KEY_H
#define BASE_RECORD_KEY_H

#include "common/base/buffer.h"

enum { RECORD_KEY_ADDED = 1 /* a kept key is at most this longer than its text */ };

/* room: RECORD_KEY_ADDED bytes more than the text has. The result lies in it. */
struct bytes record_key_pack(struct bytes text, uint8_t *room);
/* The other way round, appended; false: it is no kept key. */
bool record_key_unpack(struct bytes packed, struct buffer *text) __attribute__((warn_unused_result));

#endif
