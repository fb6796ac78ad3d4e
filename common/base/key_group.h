/* common/base/key_group.h - which actor owns a key.
 *
 * A key group is the hash of a key modulo a fixed number; actors own ranges of groups. The hash is XXH3-64 with seed 0
 * and must never change: state files are sorted by it.
 */
#ifndef BASE_KEY_GROUP_H
#define BASE_KEY_GROUP_H

#include <stdint.h>

#include <xxhash.h>

#include "common/base/buffer.h"

enum { KEY_GROUPS_DEFAULT = 128, KEY_GROUPS_MAX = 32768 };

static inline uint64_t key_hash(struct bytes key)
{
	return XXH3_64bits(key.data, key.len);
}
static inline uint32_t key_group(uint64_t hash, uint32_t groups)
{
	return (uint32_t)(hash % groups);
}
/* Group g of n belongs to actor g * actors / n: ranges that differ by one group at most. */
static inline uint32_t key_group_owner(uint32_t group, uint32_t groups, uint32_t actors)
{
	return (uint32_t)((uint64_t)group * actors / groups);
}

#endif
