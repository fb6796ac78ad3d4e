/* common/state/state_slices.c - begins the slices of a store, and shares the memory of filters among them; see state_cache.h.
 *
 * Their number stays small as a generation grows: a slice has room for an eighth of it. As memory gets short, new filters
 * have fewer bits a key; when it is used up, the largest is halved, or the new one is made smaller.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/state/state_cache.h"

enum { SLICES_GROWTH = 8 };
#define SLICE_KEYS_LEAST UINT64_C(250000)

void cache_filter_path(const struct state_cache *cache, uint64_t generation, uint32_t slice, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s/%" PRIu64 ".filter.%u", cache->folder, generation, slice);
}

static uint64_t keys_of(const struct cache_store *store)
{
	uint64_t keys = 0;
	for (uint32_t i = 0; i < store->slices_len; i++)
		keys += store->slices[i].keys;
	return keys;
}

static size_t filter_bytes(const struct state_cache *cache)
{
	size_t bytes = 0;
	for (uint32_t i = 0; i < cache->stores_len; i++)
		for (uint32_t k = 0; k < cache->stores[i].slices_len; k++)
			bytes += cache->stores[i].slices[k].filter.bytes;
	return bytes;
}

/* NULL: none can be halved. */
static struct key_filter *largest_filter(struct state_cache *cache, char path[PATH_MAX])
{
	struct key_filter *largest = NULL;
	for (uint32_t i = 0; i < cache->stores_len; i++)
		for (uint32_t k = 0; k < cache->stores[i].slices_len; k++) {
			struct key_filter *filter = &cache->stores[i].slices[k].filter;
			if (!key_filter_can_be_halved(filter) || (largest != NULL && filter->bytes <= largest->bytes))
				continue;
			largest = filter;
			cache_filter_path(cache, cache->stores[i].generation, k, path);
		}
	return largest;
}

/* 16, 12, then 10 bits a key: the filter errs for one key in a thousand, in 250, in 120. */
static size_t wished_bytes(const struct state_cache *cache, uint64_t keys)
{
	size_t used = filter_bytes(cache), bytes = (size_t)keys * KEY_FILTER_BYTES;
	if (used >= cache->filter_bytes / 2)
		bytes = used < cache->filter_bytes / 4 * 3 ? bytes / 4 * 3 : bytes / 8 * 5;
	return bytes < KEY_FILTER_LEAST_BYTES ? KEY_FILTER_LEAST_BYTES : bytes;
}

/* So many bytes or fewer for a new filter. */
static enum result free_filter_bytes(struct state_cache *cache, size_t *bytes, struct error *error)
{
	char path[PATH_MAX];
	while (*bytes > KEY_FILTER_LEAST_BYTES && filter_bytes(cache) + *bytes > cache->filter_bytes) {
		struct key_filter *largest = largest_filter(cache, path);
		if (largest == NULL || largest->bytes < *bytes)
			*bytes /= 2;
		else if (key_filter_halve(largest, path, error) != RESULT_OK)
			return error->code;
	}
	return RESULT_OK;
}

static enum result begin_slice(
    struct state_cache *cache, struct cache_store *store, uint64_t expected_keys, struct error *error)
{
	char path[PATH_MAX];
	struct cache_slice slice = {0};
	size_t bytes = wished_bytes(cache, expected_keys);
	if (cache->sliced) {
		cache_filter_path(cache, store->generation, store->slices_len, path);
		if (free_filter_bytes(cache, &bytes, error) != RESULT_OK ||
		    key_filter_make(&slice.filter, path, bytes, error) != RESULT_OK)
			return error->code;
	}
	store->slices[store->slices_len++] = slice;
	return RESULT_OK;
}

/* The other thread asks the filters and counts the slices under the lock. */
enum result cache_slice_room(struct state_cache *cache, struct cache_store *store, uint64_t keys, struct error *error)
{
	enum result result = RESULT_OK;
	uint64_t share = keys_of(store) / SLICES_GROWTH, least = share > SLICE_KEYS_LEAST ? share : SLICE_KEYS_LEAST;
	uint64_t expected = keys == 0 ? least : (least + keys - 1) / keys * keys; /* when it is full */
	bool full = store->slices_len > 0 && cache->sliced && store->slices_len < SLICES_MAX &&
	            store->slices[store->slices_len - 1].keys >= least;
	(void)pthread_mutex_lock(&cache->mutex);
	if (store->slices_len == 0 || full)
		result = begin_slice(cache, store, expected, error);
	if (result == RESULT_OK)
		store->slices[store->slices_len - 1].keys += keys;
	(void)pthread_mutex_unlock(&cache->mutex);
	return result;
}
