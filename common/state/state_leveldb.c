/* common/state/state_leveldb.c - hands one request at a time to a thread that may block; see state_port.h.
 *
 * The mutex guards `request` and `answered`. What a request points to, the answer and the lists of files belong to the
 * thread from the moment the request is set until answered is.
 */
#include "common/base/crash_point.h"
#include "common/state/state_leveldb.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/key_group.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "common/state/state_restore.h"
#include "common/state/state_tiers.h"

enum {
	GENERATIONS_MAX = 32, /* then the newest takes what comes until one expires */
	KEY_BYTES = 64, /* about, with its value */
	MERGE_FACTOR = 3, /* times the bytes that changed are merged at a checkpoint, */
	MERGE_BYTES_LEAST = 8 * 1024 * 1024,
	MERGE_BYTES_MOST = 48 * 1024 * 1024,
};

enum request_kind { REQUEST_NONE, REQUEST_RESTORE, REQUEST_WRITE, REQUEST_APPLY, REQUEST_CLOSE };

struct request {
	enum request_kind kind;
	struct epoch_id checkpoint, base;
	const struct overlay *const *layers;
	uint32_t layers_len;
};

struct state_leveldb {
	struct state_port port; /* first: the port is this struct */
	struct state_config config; /* its texts are ours */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct request request; /* kind NONE: nothing to do */
	bool busy, answered;
	struct state_answer answer;
	/* the thread's */
	struct state_cache cache;
	struct epoch_id complete; /* that the cache holds */
	struct file_list base, written; /* of that one; of the last one written */
	struct state_restore restoring;
	struct epoch_id written_checkpoint;
	struct layer_run run; /* what it wrote: the layers are there until it is applied, as are its entries */
	uint64_t written_generation, written_keep_from;
	struct file_tiers tiers;
	/* shared */
	_Atomic uint64_t generation; /* the newest of the last checkpoint applied */
	_Atomic uint64_t keep_from; /* generations below are hidden */
	struct buffer value; /* the owner's, for get */
};

static struct state_leveldb *self_of(struct state_port *port)
{
	return (struct state_leveldb *)port;
}

/* --- the thread: restore ----------------------------------------------------------------------------------------------- */

static enum result restore(struct state_leveldb *self, const struct request *request, struct error *error)
{
	struct checkpoints line;
	struct arena arena = {0};
	uint64_t began_us = clock_monotonic_us(), newest = 0;
	enum result result = state_files_of(&self->config, request->checkpoint, &self->base, &line, &arena, error);
	self->answer.damaged = result == RESULT_CORRUPT;
	if (result == RESULT_OK)
		result = state_restore_run(&self->restoring, request->checkpoint, &line, &self->answer.damaged, error);
	for (uint32_t i = 0; i < self->base.len; i++)
		if (self->base.entries[i].generation > newest)
			newest = self->base.entries[i].generation;
	atomic_store(&self->generation, newest);
	self->complete = request->checkpoint;
	if (result == RESULT_OK && atomic_load(&self->restoring.rows_all) > 0)
		log_info("state %u.%u: %" PRIu64 " entries of checkpoint %" PRIu64 ".%" PRIu64
		         " taken into the cache in %" PRIu64 " ms",
		    self->config.role, self->config.index, atomic_load(&self->restoring.rows_done),
		    request->checkpoint.attempt, request->checkpoint.n, (clock_monotonic_us() - began_us) / 1000);
	arena_fini(&arena);
	return result;
}

/* --- the thread: checkpoints ---------------------------------------------------------------------------------------------- */

static uint32_t count_generations(const struct file_list *list)
{
	uint32_t count = 0;
	for (uint64_t generation = 0; file_list_next_generation(list, generation, &generation); generation++)
		count++;
	return count;
}

static int64_t newest_of(const struct request *request)
{
	int64_t newest_ms = INT64_MIN;
	for (uint32_t i = 0; i < request->layers_len; i++)
		if (request->layers[i]->newest_ms > newest_ms)
			newest_ms = request->layers[i]->newest_ms;
	return newest_ms;
}

/* Of the newest entry, but never later than our own clock says: a record from the future opens no generation. Where none has a time, that
 * clock's: otherwise they would be as old as can be. */
static uint64_t generation_for(const struct state_leveldb *self, int64_t newest_ms)
{
	int64_t now_ms = clock_realtime_us() / 1000;
	uint64_t number = 0, current = atomic_load(&self->generation);
	if (newest_ms > now_ms || newest_ms < 0)
		newest_ms = now_ms;
	if (newest_ms > 0 && self->config.generation_ms != INT64_MAX)
		number = (uint64_t)(newest_ms / self->config.generation_ms);
	return number > current && count_generations(&self->base) < GENERATIONS_MAX ? number : current;
}

/* Files of generations below `keep_from` serve nobody any more. */
static void begin_list(struct state_leveldb *self)
{
	file_list_fini(&self->written);
	for (uint32_t i = 0; i < self->base.len; i++)
		if (self->base.entries[i].generation >= self->written_keep_from)
			file_list_add(&self->written, &self->base.entries[i]);
}

static uint64_t merge_bytes(const struct request *request)
{
	uint64_t bytes = layers_keys(request->layers, request->layers_len) * KEY_BYTES * MERGE_FACTOR;
	return bytes < MERGE_BYTES_LEAST ? MERGE_BYTES_LEAST : bytes > MERGE_BYTES_MOST ? MERGE_BYTES_MOST : bytes;
}

static enum result write_files(struct state_leveldb *self, const struct request *request, struct error *error)
{
	if (!epoch_equal(request->base, self->complete))
		return error_set(error, RESULT_CORRUPT,
		    "a checkpoint on %" PRIu64 ".%" PRIu64 ", but the cache holds %" PRIu64 ".%" PRIu64,
		    request->base.attempt, request->base.n, self->complete.attempt, self->complete.n);
	self->written_checkpoint = request->checkpoint;
	self->written_generation = generation_for(self, newest_of(request));
	self->written_keep_from = atomic_load(&self->keep_from);
	begin_list(self);
	file_tiers_advance(&self->tiers, &self->config, request->checkpoint, atomic_load(&self->generation),
	    merge_bytes(request), &self->written);
	layer_run_make(&self->run, &self->config, request->layers, request->layers_len);
	enum result result = state_files_write(&self->config, request->checkpoint, self->written_generation,
	    newest_of(request), &self->run, &self->written, error);
	self->answer.files = (struct files){self->written.entries, self->written.len};
	return result;
}

static enum result apply_run(struct state_leveldb *self, struct error *error)
{
	const struct layer_run *run = &self->run;
	uint32_t g = 0;
	if (state_cache_room(&self->cache, self->written_generation, run->len, error) != RESULT_OK)
		return error->code;
	for (size_t i = 0; i < run->len; i++) {
		const struct overlay_entry *entry = run->entries[i];
		while (i == run->ends[g])
			g++;
		if (state_cache_put(&self->cache, self->config.first_group + g, entry->hash, overlay_key(entry),
		        overlay_value(entry), error) != RESULT_OK)
			return error->code;
	}
	return state_cache_flush(&self->cache, error);
}

/* Half taken in, the cache says so, and the next restore completes it or throws it away: the attempt ends here. */
static enum result apply(struct state_leveldb *self, const struct request *request, struct error *error)
{
	if (!epoch_equal(request->checkpoint, self->written_checkpoint))
		return error_set(error, RESULT_CORRUPT, "a checkpoint is complete that was not the last one written");
	enum result result = state_cache_begin(&self->cache, request->checkpoint, error);
	CRASH_POINT(apply_begun);
	if (result == RESULT_OK && self->run.len > 0)
		result = apply_run(self, error);
	layer_run_fini(&self->run);
	CRASH_POINT(apply_put);
	if (result == RESULT_OK)
		result = state_cache_end(&self->cache, self->written_keep_from, error);
	if (result != RESULT_OK)
		return error->code = RESULT_CORRUPT;
	CRASH_POINT(apply_ended);
	atomic_store(&self->generation, self->written_generation);
	self->complete = request->checkpoint;
	file_list_copy(&self->base, &self->written);
	return RESULT_OK;
}

static void carry_out(struct state_leveldb *self, const struct request *request)
{
	struct error *error = &self->answer.error;
	self->answer = (struct state_answer){0};
	switch (request->kind) {
	case REQUEST_RESTORE:
		self->answer.result = restore(self, request, error);
		break;
	case REQUEST_WRITE:
		self->answer.result = write_files(self, request, error);
		break;
	case REQUEST_APPLY:
		self->answer.result = apply(self, request, error);
		break;
	case REQUEST_NONE:
	case REQUEST_CLOSE:
		break;
	}
}

static struct request request_wait(struct state_leveldb *self)
{
	(void)pthread_mutex_lock(&self->mutex);
	while (self->request.kind == REQUEST_NONE)
		(void)pthread_cond_wait(&self->changed, &self->mutex);
	struct request request = self->request;
	if (request.kind != REQUEST_CLOSE) /* that one stays */
		self->request.kind = REQUEST_NONE;
	(void)pthread_mutex_unlock(&self->mutex);
	return request;
}

static void *thread_run(void *context)
{
	struct state_leveldb *self = context;
	const uint64_t one = 1;
	for (;;) {
		struct request request = request_wait(self);
		if (request.kind == REQUEST_CLOSE)
			return NULL;
		carry_out(self, &request);
		(void)pthread_mutex_lock(&self->mutex);
		self->answered = true;
		(void)pthread_mutex_unlock(&self->mutex);
		ssize_t written = write(self->port.event_fd, &one, sizeof one);
		CHECK(written == sizeof one);
	}
}

/* --- the owner --------------------------------------------------------------------------------------------------------------- */

static void request_start(struct state_port *port, struct request request)
{
	struct state_leveldb *self = self_of(port);
	(void)pthread_mutex_lock(&self->mutex);
	CHECK(!self->busy);
	self->busy = true;
	self->request = request;
	(void)pthread_cond_signal(&self->changed);
	(void)pthread_mutex_unlock(&self->mutex);
}

static void on_restore(struct state_port *port, struct epoch_id checkpoint)
{
	request_start(port, (struct request){.kind = REQUEST_RESTORE, .checkpoint = checkpoint});
}

static void on_write(struct state_port *port, struct epoch_id checkpoint, struct epoch_id base,
    const struct overlay *const *layers, uint32_t layers_len)
{
	request_start(port, (struct request){REQUEST_WRITE, checkpoint, base, layers, layers_len});
}

static void on_apply(
    struct state_port *port, struct epoch_id checkpoint, const struct overlay *const *layers, uint32_t layers_len)
{
	request_start(port, (struct request){REQUEST_APPLY, checkpoint, checkpoint, layers, layers_len});
}

static uint32_t on_progress(struct state_port *port)
{
	uint64_t all = atomic_load(&self_of(port)->restoring.rows_all),
	         done = atomic_load(&self_of(port)->restoring.rows_done);
	return all == 0 || done > all ? 0 : (uint32_t)(done * 100 / all);
}

static bool on_answer(struct state_port *port, struct state_answer **answer)
{
	struct state_leveldb *self = self_of(port);
	uint64_t count;
	(void)pthread_mutex_lock(&self->mutex);
	bool answered = self->answered;
	(void)pthread_mutex_unlock(&self->mutex);
	if (!answered)
		return false;
	/* Whoever waits for the descriptor may have read it empty already, and the signal may come a moment later still. */
	(void)!read(port->event_fd, &count, sizeof count);
	self->answered = false;
	self->busy = false;
	*answer = &self->answer;
	return true;
}

static void on_prefetch(struct state_port *port, uint64_t hash)
{
	state_cache_prefetch(&self_of(port)->cache, hash);
}

static enum result on_get(
    struct state_port *port, uint32_t group, uint64_t hash, struct bytes key, struct bytes *value, struct error *error)
{
	struct state_leveldb *self = self_of(port);
	bool found;
	buffer_clear(&self->value);
	enum result result = state_cache_get(&self->cache, group, hash, key, &self->value, &found, error);
	*value = found ? buffer_bytes(&self->value) : (struct bytes){0};
	return result;
}

static void on_expire(struct state_port *port, int64_t before_ms)
{
	struct state_leveldb *self = self_of(port);
	if (self->config.generation_ms == INT64_MAX || before_ms < self->config.generation_ms)
		return;
	/* The newest generation of the last checkpoint applied stays, whatever the records' clock says: all that came with it lies
	 * there or later. It is still found in the layers while the answer of that apply has not been taken, and what is found
	 * behind this barrier has to be in the files. Decided here, once: what is left out of the files is what get no longer
	 * finds, to the entry. */
	uint64_t below = (uint64_t)(before_ms / self->config.generation_ms), newest = atomic_load(&self->generation);
	if (!MUTANT(newest_forgotten))
		below = below < newest ? below : newest;
	if (below <= atomic_load(&self->keep_from))
		return;
	state_cache_hide(&self->cache, below);
	atomic_store(&self->keep_from, below);
}

static void self_free(struct state_leveldb *self)
{
	state_cache_close(&self->cache);
	file_tiers_fini(&self->tiers);
	layer_run_fini(&self->run);
	file_list_fini(&self->base);
	file_list_fini(&self->written);
	buffer_fini(&self->value);
	if (self->port.event_fd >= 0)
		(void)close(self->port.event_fd);
	(void)pthread_cond_destroy(&self->changed);
	(void)pthread_mutex_destroy(&self->mutex);
	free((char *)self->config.cache_dir);
	free((char *)self->config.job);
	free(self);
}

static void on_close(struct state_port *port)
{
	struct state_leveldb *self = self_of(port);
	(void)pthread_mutex_lock(&self->mutex);
	self->request.kind = REQUEST_CLOSE;
	(void)pthread_cond_signal(&self->changed);
	(void)pthread_mutex_unlock(&self->mutex);
	(void)pthread_join(self->thread, NULL);
	self_free(self);
}

static const struct state_port_ops ops = {
    .restore = on_restore,
    .write = on_write,
    .apply = on_apply,
    .progress = on_progress,
    .answer = on_answer,
    .prefetch = on_prefetch,
    .get = on_get,
    .expire = on_expire,
    .close = on_close,
};

/* Signals are for the process's main thread. */
static int thread_start(struct state_leveldb *self)
{
	sigset_t all, old;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int failed = pthread_create(&self->thread, NULL, thread_run, self);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return failed;
}

enum result state_leveldb_open(struct state_port **port, const struct state_config *config, struct error *error)
{
	struct state_leveldb *self = memory_new(sizeof *self);
	self->config = *config;
	self->config.cache_dir = text_clone(config->cache_dir);
	self->config.job = text_clone(config->job);
	self->port.ops = &ops;
	self->cache.lock_fd = -1;
	self->restoring.config = &self->config;
	self->restoring.cache = &self->cache;
	self->restoring.base = &self->base;
	(void)pthread_mutex_init(&self->mutex, NULL);
	(void)pthread_cond_init(&self->changed, NULL);
	self->port.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int failed = self->port.event_fd < 0 ? errno : thread_start(self);
	if (failed != 0) {
		self_free(self);
		return error_set(error, RESULT_RETRY, "cannot start the thread that keeps state: %s", strerror(failed));
	}
	*port = &self->port;
	return RESULT_OK;
}
