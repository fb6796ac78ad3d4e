#include "common/state/state_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/state/files.h"
#include "common/state/state_leveldb.h"

enum {
	FOLDERS_MAX = 64, /* of one actor on one machine, each with a living process */
	STORE_NAME_MAX = 64,
	KIB = 1024,
};

/* --- broken or not ------------------------------------------------------------------------------------------------ */

enum result state_cache_judge(struct state_cache *cache, enum result result)
{
	if (result == RESULT_CORRUPT && !atomic_exchange(&cache->broken, true))
		identity_remove(cache->folder);
	return result;
}

/* Both threads remove it after they set or saw the flag: so it is gone whichever came last. */
static enum result write_identity(struct state_cache *cache, struct error *error)
{
	struct cache_identity *identity = &cache->identity;
	identity->stores_len = cache->stores_len;
	for (uint32_t i = 0; i < cache->stores_len; i++) {
		const struct cache_store *store = &cache->stores[i];
		identity->stores[i].generation = store->generation;
		identity->stores[i].slices_len = store->slices_len;
		for (uint32_t k = 0; k < store->slices_len; k++)
			identity->stores[i].slices[k] = store->slices[k].keys;
	}
	enum result result = identity_write(cache->folder, cache->about, identity, error);
	if (atomic_load(&cache->broken)) {
		identity_remove(cache->folder);
		return error_set(error, RESULT_CORRUPT, "the cache in %s is broken", cache->folder);
	}
	return result;
}

/* --- the folder --------------------------------------------------------------------------------------------------- */

static void folder_path(const struct state_config *config, int i, char path[PATH_MAX])
{
	(void)snprintf(
	    path, PATH_MAX, "%s/%s/%u.%u.%d", config->cache_dir, config->job, config->role, config->index, i);
}

/* -1: another process holds it (or just removed it: then the lock is one on a file that is no longer there). */
static int lock_folder(const char *path)
{
	char lock[PATH_MAX + 8];
	struct stat held, there;
	(void)snprintf(lock, sizeof lock, "%s/lock", path);
	int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 && stat(lock, &there) == 0 &&
	    held.st_ino == there.st_ino && held.st_dev == there.st_dev)
		return fd;
	(void)close(fd);
	return -1;
}

/* Of this actor, behind ours, and nobody's: a process that had to take another one died. */
static void remove_leftovers(const struct state_config *config, int ours)
{
	char path[PATH_MAX];
	for (int i = ours + 1; i < FOLDERS_MAX; i++) {
		folder_path(config, i, path);
		if (access(path, F_OK) != 0)
			continue;
		int fd = lock_folder(path);
		if (fd >= 0) {
			folder_remove(path);
			(void)close(fd);
		}
	}
}

static enum result take_folder(struct state_cache *cache, const struct state_config *config, struct error *error)
{
	char path[PATH_MAX];
	for (int i = 0; i < FOLDERS_MAX; i++) {
		folder_path(config, i, path);
		if (folders_make(path, error) != RESULT_OK)
			return error_wrap(error, "state.dir");
		if (access(path, W_OK) != 0)
			return file_failed(error, "write to", path);
		cache->lock_fd = lock_folder(path);
		if (cache->lock_fd < 0)
			continue;
		cache->folder = text_clone(path);
		remove_leftovers(config, i);
		return RESULT_OK;
	}
	return error_set(
	    error, RESULT_RETRY, "%d processes hold caches of the same actor below %s", FOLDERS_MAX, config->cache_dir);
}

/* --- stores ------------------------------------------------------------------------------------------------------- */

static void store_path(const struct state_cache *cache, uint64_t generation, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s/%" PRIu64, cache->folder, generation);
}

static void close_store(struct cache_store *store)
{
	level_close(store->level);
	for (uint32_t i = 0; i < store->slices_len; i++)
		key_filter_close(&store->slices[i].filter);
}

static void remove_store(const struct state_cache *cache, const struct cache_store *store)
{
	char path[PATH_MAX];
	store_path(cache, store->generation, path);
	folder_remove(path);
	for (uint32_t i = 0; i < store->slices_len; i++) {
		cache_filter_path(cache, store->generation, i, path);
		(void)unlink(path);
	}
}

static enum result open_filters(
    struct state_cache *cache, struct cache_store *store, const struct store_identity *identity, struct error *error)
{
	char path[PATH_MAX];
	for (; store->slices_len < identity->slices_len; store->slices_len++) {
		struct cache_slice *slice = &store->slices[store->slices_len];
		slice->keys = identity->slices[store->slices_len];
		cache_filter_path(cache, store->generation, store->slices_len, path);
		if (cache->sliced && key_filter_open(&slice->filter, path, error) != RESULT_OK)
			return error->code;
	}
	return RESULT_OK;
}

static enum result open_store(struct state_cache *cache, const struct store_identity *identity, struct error *error)
{
	char path[PATH_MAX];
	struct cache_store store = {.generation = identity->generation};
	if (cache->stores_len == STORES_MAX)
		return error_set(error, RESULT_CORRUPT, "more than %d generations", STORES_MAX);
	store_path(cache, store.generation, path);
	if (open_filters(cache, &store, identity, error) != RESULT_OK ||
	    level_open(&store.level, path, &cache->limits, error) != RESULT_OK) {
		close_store(&store);
		return error->code;
	}
	(void)pthread_mutex_lock(&cache->mutex);
	uint32_t place = cache->stores_len++;
	for (; place > 0 && cache->stores[place - 1].generation > store.generation; place--)
		cache->stores[place] = cache->stores[place - 1];
	cache->stores[place] = store;
	(void)pthread_mutex_unlock(&cache->mutex);
	return RESULT_OK;
}

/* A store that is written to no more is opened again, so that it holds no write buffer. */
static enum result settle_store(struct state_cache *cache, struct cache_store *store, struct error *error)
{
	char path[PATH_MAX];
	store_path(cache, store->generation, path);
	(void)pthread_mutex_lock(&cache->mutex);
	level_close(store->level);
	store->level = NULL;
	enum result result = level_open(&store->level, path, &cache->limits, error);
	(void)pthread_mutex_unlock(&cache->mutex);
	return result;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static bool is_of_store(const struct store_identity *store, const char *name)
{
	char other[STORE_NAME_MAX];
	(void)snprintf(other, sizeof other, "%" PRIu64, store->generation);
	if (strcmp(name, other) == 0)
		return true;
	for (uint32_t i = 0; i < store->slices_len; i++) {
		(void)snprintf(other, sizeof other, "%" PRIu64 ".filter.%u", store->generation, i);
		if (strcmp(name, other) == 0)
			return true;
	}
	return false;
}

static bool is_of_identity(const struct cache_identity *identity, const char *name)
{
	if (strcmp(name, "lock") == 0 || strcmp(name, "identity") == 0)
		return true;
	for (uint32_t i = 0; i < identity->stores_len; i++)
		if (is_of_store(&identity->stores[i], name))
			return true;
	return false;
}

/* What a process left that was killed while it made or dropped something. */
static void remove_strays(const struct state_cache *cache)
{
	char path[PATH_MAX + NAME_MAX];
	DIR *dir = opendir(cache->folder);
	if (dir == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    is_of_identity(&cache->identity, entry->d_name))
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", cache->folder, entry->d_name);
		folder_remove(path);
	}
	(void)closedir(dir);
}

enum result state_cache_clear(struct state_cache *cache, struct error *error)
{
	(void)pthread_mutex_lock(&cache->mutex);
	for (uint32_t i = 0; i < cache->stores_len; i++)
		close_store(&cache->stores[i]);
	cache->stores_len = 0;
	(void)pthread_mutex_unlock(&cache->mutex);
	cache->identity = (struct cache_identity){0};
	identity_remove(cache->folder);
	remove_strays(cache);
	atomic_store(&cache->broken, false);
	return write_identity(cache, error);
}

/* Twice the write buffer, the block cache, the indexes of open tables and the filters are the memory in all. */
static void set_limits(struct state_cache *cache, size_t memory)
{
	cache->filter_bytes = memory / 8 * 5;
	cache->limits = (struct level_limits){
	    .cache = level_cache_new(memory / 12),
	    .write_buffer = memory / 12,
	    .file_bytes = (size_t)8 * KIB * KIB,
	    .files_open = (int)(memory / 8 / ((size_t)64 * KIB)), /* each holds an index of about this size */
	};
}

enum result state_cache_open(struct state_cache *cache, const struct state_config *config, struct error *error)
{
	*cache = (struct state_cache){.lock_fd = -1, .open = true, .sliced = config->generation_ms != INT64_MAX};
	CHECK(pthread_mutex_init(&cache->mutex, NULL) == 0);
	set_limits(cache, (size_t)config->memory_bytes);
	cache->batch = level_batch_new();
	if (identity_about(config, &cache->about, error) != RESULT_OK || take_folder(cache, config, error) != RESULT_OK)
		return error->code;
	if (!identity_read(cache->folder, cache->about, &cache->identity))
		return state_cache_clear(cache, error);
	remove_strays(cache);
	for (uint32_t i = 0; i < cache->identity.stores_len; i++) {
		if (open_store(cache, &cache->identity.stores[i], error) == RESULT_OK)
			continue;
		if (error->code != RESULT_CORRUPT)
			return error->code;
		log_warn("the cache in %s is thrown away: %s", cache->folder, error->text);
		return state_cache_clear(cache, error);
	}
	return RESULT_OK;
}

void state_cache_close(struct state_cache *cache)
{
	if (!cache->open)
		return;
	for (uint32_t i = 0; i < cache->stores_len; i++)
		close_store(&cache->stores[i]);
	level_batch_free(cache->batch);
	level_cache_free(cache->limits.cache);
	if (cache->lock_fd >= 0)
		(void)close(cache->lock_fd);
	(void)pthread_mutex_destroy(&cache->mutex);
	buffer_fini(&cache->key);
	free(cache->folder);
	free(cache->about);
	*cache = (struct state_cache){.lock_fd = -1};
}

/* --- taking in ---------------------------------------------------------------------------------------------------- */

enum result state_cache_begin(struct state_cache *cache, struct epoch_id checkpoint, struct error *error)
{
	cache->identity.applying = checkpoint;
	return write_identity(cache, error);
}

static struct cache_store *find_store(struct state_cache *cache, uint64_t generation)
{
	for (uint32_t i = 0; i < cache->stores_len; i++)
		if (cache->stores[i].generation == generation)
			return &cache->stores[i];
	return NULL;
}

enum result state_cache_room(struct state_cache *cache, uint64_t generation, uint64_t keys, struct error *error)
{
	struct cache_store *store = find_store(cache, generation);
	if (store == NULL) {
		if (cache->stores_len > 0 &&
		    settle_store(cache, &cache->stores[cache->stores_len - 1], error) != RESULT_OK)
			return state_cache_judge(cache, error->code);
		if (open_store(cache, &(struct store_identity){.generation = generation}, error) != RESULT_OK)
			return state_cache_judge(cache, error->code);
		store = find_store(cache, generation);
	}
	if (cache_slice_room(cache, store, keys, error) != RESULT_OK)
		return error->code;
	cache->target = store;
	return write_identity(cache, error);
}

/* The filter first: it may say too much, but never too little. */
enum result state_cache_flush(struct state_cache *cache, struct error *error)
{
	struct cache_store *store = cache->target;
	if (cache->batch_len == 0)
		return RESULT_OK;
	key_filter_add(&store->slices[store->slices_len - 1].filter, cache->batch_hashes, cache->batch_len);
	cache->batch_len = 0;
	return state_cache_judge(cache, level_write(store->level, cache->batch, error));
}

enum result state_cache_put(
    struct state_cache *cache, uint32_t group, uint64_t hash, struct bytes key, struct bytes value, struct error *error)
{
	const uint8_t prefix[PREFIX_BYTES] = {
	    (uint8_t)(cache->target->slices_len - 1), (uint8_t)(group >> 8), (uint8_t)group};
	buffer_clear(&cache->key);
	buffer_append(&cache->key, prefix, sizeof prefix);
	buffer_append(&cache->key, key.data, key.len);
	level_batch_put(cache->batch, buffer_bytes(&cache->key), value);
	cache->batch_hashes[cache->batch_len++] = hash;
	return cache->batch_len == CACHE_BATCH ? state_cache_flush(cache, error) : RESULT_OK;
}

enum result state_cache_end(struct state_cache *cache, uint64_t drop_below, struct error *error)
{
	struct cache_store dropped[STORES_MAX];
	uint32_t dropped_len = 0;
	CHECK(cache->batch_len == 0);
	(void)pthread_mutex_lock(&cache->mutex);
	while (dropped_len < cache->stores_len && cache->stores[dropped_len].generation < drop_below) {
		dropped[dropped_len] = cache->stores[dropped_len];
		dropped_len++;
	}
	cache->stores_len -= dropped_len;
	memmove(cache->stores, cache->stores + dropped_len, cache->stores_len * sizeof *cache->stores);
	(void)pthread_mutex_unlock(&cache->mutex);
	cache->identity.checkpoint = cache->identity.applying;
	enum result result = write_identity(cache, error);
	for (uint32_t i = 0; i < dropped_len; i++) {
		close_store(&dropped[i]);
		remove_store(cache, &dropped[i]);
	}
	return result;
}
