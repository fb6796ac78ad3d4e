/* proto/wire.h - a bounded cursor over msgpack: takes what is expected, or fails and stays failed.
 *
 * Errors: `bad` is set by the first thing that is not as expected and never cleared; after it everything reads as zero.
 *         So a reader asks once, at the end (wire_done).
 * Limits: a declared count is refused when it exceeds the bytes that are left; nothing here allocates.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

struct wire {
	const uint8_t *at, *end;
	bool bad;
};

struct wire wire_open(struct bytes bytes);
uint32_t wire_array(struct wire *wire);
uint32_t wire_map(struct wire *wire);
uint64_t wire_unsigned(struct wire *wire);
int64_t wire_signed(struct wire *wire);
uint32_t wire_unsigned32(struct wire *wire);
bool wire_flag(struct wire *wire);
struct bytes wire_text(struct wire *wire);
struct bytes wire_blob(struct wire *wire);
/* Takes a nil if there is one. */
bool wire_nil(struct wire *wire);
/* What comes next is a str (a group key's columns are either). */
bool wire_is_text(const struct wire *wire);
bool wire_done(const struct wire *wire);

#endif
