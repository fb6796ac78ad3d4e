/* proto/letter.h - how much of a record a dead letter holds: whatever came from outside, its frame is one that travels.
 *
 * Key and payload are cut each to its own limit, and the detail says so. Both limits, the longest detail and a reason fit into one
 * frame with room to spare. The audit knows the rule by heart (services/sluicectl/audit_letters.h), it does not call it.
 */
#ifndef PROTO_LETTER_H
#define PROTO_LETTER_H

#include "proto/frame.h"

enum {
	LETTER_KEY_MAX = 512 * 1024,
	LETTER_PAYLOAD_MAX = 3 * 1024 * 1024,
	LETTER_DETAIL_MAX = 512, /* bytes, with what is added; longer ones are cut to make room for that */
	LETTER_REST_MAX = 64, /* reason, place and the frame's own bytes, a letter */
};

/* Bytes are only pointed to. detail: where the words stand from now on, if there is something to add to them. */
void letter_cut(struct letter *letter, char detail[LETTER_DETAIL_MAX]);

/* At most so many bytes of a frame. */
static inline size_t letter_size(const struct letter *letter)
{
	return letter->key.len + letter->payload.len + letter->detail.len + LETTER_REST_MAX;
}

#endif
