/* common/state/state_cache_read.c - get: what an actor sees of its cache while the other thread may change it. */
#include <string.h>

#include "common/state/state_cache.h"

/* The other thread could not open it again; it says so, too. */
static enum result not_open(struct error *error)
{
	return error_set(error, RESULT_CORRUPT, "a store of the cache could not be opened again");
}

void state_cache_prefetch(struct state_cache *cache, uint64_t hash)
{
	(void)pthread_mutex_lock(&cache->mutex);
	for (uint32_t i = 0; i < cache->stores_len; i++)
		for (uint32_t k = 0; k < cache->stores[i].slices_len; k++)
			key_filter_prefetch(&cache->stores[i].slices[k].filter, hash);
	(void)pthread_mutex_unlock(&cache->mutex);
}

/* The newest first: of the slices that may hold the key. */
static enum result get_from(const struct cache_store *store, const struct filter_mask *mask, struct bytes stored,
    uint8_t *slice, struct buffer *value, bool *found, struct error *error)
{
	enum result result = RESULT_OK;
	for (uint32_t i = store->slices_len; i-- > 0 && !*found && result == RESULT_OK;) {
		if (!key_filter_may_hold(&store->slices[i].filter, mask))
			continue;
		*slice = (uint8_t)i;
		result = store->level == NULL ? not_open(error) : level_get(store->level, stored, value, found, error);
	}
	return result;
}

enum result state_cache_get(struct state_cache *cache, uint32_t group, uint64_t hash, struct bytes key,
    struct buffer *value, bool *found, struct error *error)
{
	uint8_t stored[PREFIX_BYTES + OVERLAY_KEY_MAX]; /* not zeroed: it is large, and most keys are never seen */
	const struct filter_mask mask = filter_mask_of(hash);
	enum result result = RESULT_OK;
	*found = false;
	CHECK(key.len <= OVERLAY_KEY_MAX);
	stored[1] = (uint8_t)(group >> 8);
	stored[2] = (uint8_t)group;
	memcpy(stored + PREFIX_BYTES, key.data, key.len);
	(void)pthread_mutex_lock(&cache->mutex);
	for (uint32_t i = cache->stores_len; i-- > 0 && !*found && result == RESULT_OK;)
		if (cache->stores[i].generation >= cache->hidden_below)
			result = get_from(&cache->stores[i], &mask, (struct bytes){stored, PREFIX_BYTES + key.len},
			    stored, value, found, error);
	(void)pthread_mutex_unlock(&cache->mutex);
	return state_cache_judge(cache, result);
}

void state_cache_hide(struct state_cache *cache, uint64_t below)
{
	(void)pthread_mutex_lock(&cache->mutex);
	if (below > cache->hidden_below)
		cache->hidden_below = below;
	(void)pthread_mutex_unlock(&cache->mutex);
}
