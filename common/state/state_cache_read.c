/* common/state/state_cache_read.c - get and scan: what an actor sees of its cache while the other thread may change it. */
#include <stdlib.h>
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

/* --- scan: of several slices the newest value of a key counts ------------------------------------------------------- */

struct source {
	struct level_walk *walk;
	struct bytes key, value; /* key group, key */
	bool more;
};

/* Of one slice: the walk was begun at its first key. */
static enum result step(struct source *source, uint8_t slice, struct error *error)
{
	enum result result = level_walk_next(source->walk, &source->key, &source->value, &source->more, error);
	if (result != RESULT_OK || !source->more)
		return result;
	if (source->key.len < PREFIX_BYTES)
		return error_set(error, RESULT_CORRUPT, "a key of the cache is too short");
	source->more = source->key.data[0] == slice;
	source->key = (struct bytes){source->key.data + SLICE_BYTES, source->key.len - SLICE_BYTES};
	return RESULT_OK;
}

static uint8_t slice_of(const struct source *source)
{
	return source->key.data[-SLICE_BYTES];
}

/* Past the key in all of them. */
static enum result pass(struct source *sources, uint32_t len, struct bytes key, struct error *error)
{
	struct buffer done = {0};
	enum result result = RESULT_OK;
	buffer_append(&done, key.data, key.len);
	for (uint32_t i = 0; i < len && result == RESULT_OK; i++)
		if (sources[i].more && bytes_equal(sources[i].key, buffer_bytes(&done)))
			result = step(&sources[i], slice_of(&sources[i]), error);
	buffer_fini(&done);
	return result;
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
		const size_t group = PREFIX_BYTES - SLICE_BYTES;
		struct bytes key = {least->key.data + group, least->key.len - group};
		if (!visit(context, key, least->value))
			return RESULT_OK;
		if (pass(sources, len, least->key, error) != RESULT_OK)
			return error->code;
	}
}

static enum result open_sources(
    const struct cache_store *store, struct source *sources, uint32_t *len, struct error *error)
{
	enum result result = store->level == NULL ? not_open(error) : RESULT_OK;
	for (uint32_t i = 0; i < store->slices_len && result == RESULT_OK; i++) {
		const uint8_t slice = (uint8_t)i;
		struct source *source = &sources[(*len)++];
		*source = (struct source){.walk = level_walk_new(store->level, (struct bytes){&slice, sizeof slice})};
		result = step(source, slice, error);
	}
	return result;
}

enum result state_cache_scan(struct state_cache *cache, state_visit *visit, void *context, struct error *error)
{
	enum result result = RESULT_OK;
	uint32_t len = 0;
	(void)pthread_mutex_lock(&cache->mutex);
	struct source *sources = memory_new((size_t)cache->stores_len * SLICES_MAX * sizeof *sources);
	for (uint32_t i = 0; i < cache->stores_len && result == RESULT_OK; i++)
		if (cache->stores[i].generation >= cache->hidden_below)
			result = open_sources(&cache->stores[i], sources, &len, error);
	if (result == RESULT_OK)
		result = merge(sources, len, visit, context, error);
	for (uint32_t i = 0; i < len; i++)
		level_walk_free(sources[i].walk);
	free(sources);
	(void)pthread_mutex_unlock(&cache->mutex);
	return state_cache_judge(cache, result);
}
