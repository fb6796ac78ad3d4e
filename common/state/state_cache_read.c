/* common/state/state_cache_read.c - get and scan: what an actor sees of its cache while the other thread may change it. */
#include <string.h>

#include "common/state/state_cache.h"

/* The other thread could not open it again; it says so, too. */
static enum result not_open(struct error *error)
{
	return error_set(error, RESULT_CORRUPT, "a store of the cache could not be opened again");
}

enum result state_cache_get(struct state_cache *cache, uint32_t group, uint64_t hash, struct bytes key,
    struct buffer *value, bool *found, struct error *error)
{
	uint8_t stored[GROUP_BYTES + OVERLAY_KEY_MAX]; /* not zeroed: it is large, and most keys are never seen */
	enum result result = RESULT_OK;
	*found = false;
	CHECK(key.len <= OVERLAY_KEY_MAX);
	stored[0] = (uint8_t)(group >> 8);
	stored[1] = (uint8_t)group;
	(void)pthread_mutex_lock(&cache->mutex);
	for (uint32_t i = cache->stores_len; i-- > 0 && !*found && result == RESULT_OK;) {
		const struct cache_store *store = &cache->stores[i];
		if (store->generation < cache->hidden_below || !key_filter_may_hold(&store->filter, hash))
			continue;
		memcpy(stored + GROUP_BYTES, key.data, key.len);
		result = store->level == NULL ? not_open(error)
		                              : level_get(store->level, (struct bytes){stored, GROUP_BYTES + key.len},
		                                    value, found, error);
	}
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

/* --- scan: of several stores the newest value of a key counts ------------------------------------------------------- */

struct source {
	struct level_walk *walk;
	struct bytes key, value;
	bool more;
};

static enum result step(struct source *source, struct error *error)
{
	return level_walk_next(source->walk, &source->key, &source->value, &source->more, error);
}

static enum result merge(struct source *sources, uint32_t len, state_visit *visit, void *context, struct error *error)
{
	for (;;) {
		const struct source *least = NULL; /* of equal keys the newest, which is the last */
		for (uint32_t i = len; i-- > 0;)
			if (sources[i].more && (least == NULL || bytes_compare(sources[i].key, least->key) < 0))
				least = &sources[i];
		if (least == NULL)
			return RESULT_OK;
		if (least->key.len < GROUP_BYTES)
			return error_set(error, RESULT_CORRUPT, "a key of the cache is too short");
		struct bytes key = {least->key.data + GROUP_BYTES, least->key.len - GROUP_BYTES};
		if (!visit(context, key, least->value))
			return RESULT_OK;
		struct buffer done = {0};
		buffer_append(&done, least->key.data, least->key.len);
		enum result result = RESULT_OK;
		for (uint32_t i = 0; i < len && result == RESULT_OK; i++)
			if (sources[i].more && bytes_equal(sources[i].key, buffer_bytes(&done)))
				result = step(&sources[i], error);
		buffer_fini(&done);
		if (result != RESULT_OK)
			return result;
	}
}

enum result state_cache_scan(struct state_cache *cache, state_visit *visit, void *context, struct error *error)
{
	struct source sources[STORES_MAX];
	enum result result = RESULT_OK;
	uint32_t len = 0;
	(void)pthread_mutex_lock(&cache->mutex);
	for (uint32_t i = 0; i < cache->stores_len && result == RESULT_OK; i++) {
		if (cache->stores[i].generation < cache->hidden_below)
			continue;
		if (cache->stores[i].level == NULL) {
			result = not_open(error);
			break;
		}
		sources[len] = (struct source){.walk = level_walk_new(cache->stores[i].level)};
		result = step(&sources[len++], error);
	}
	if (result == RESULT_OK)
		result = merge(sources, len, visit, context, error);
	for (uint32_t i = 0; i < len; i++)
		level_walk_free(sources[i].walk);
	(void)pthread_mutex_unlock(&cache->mutex);
	return state_cache_judge(cache, result);
}
