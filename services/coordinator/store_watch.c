/* services/coordinator/store_watch.c - see store_watch.h. */
#include "services/coordinator/store_watch.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/buffer.h"
#include "common/base/log.h"
#include "common/base/timestamp.h"

struct watched {
	struct checkpoint_store store;
	struct checkpoint_store *inner;
	pthread_t thread;
	pthread_mutex_t lock; /* guards everything below */
	pthread_cond_t changed;
	const char *call; /* what is under way, in words; NULL: nothing */
	uint64_t began_us;
	bool told, ended;
};

/* ---- the thread that tells ---- */

static bool has_lasted(const struct watched *watched)
{
	return watched->call && clock_monotonic_us() - watched->began_us >= (uint64_t)STORE_SILENCE_MS * 1000;
}

/* Until the call that is under way has lasted so long, or something changes. */
static void wait_a_while(struct watched *watched)
{
	uint64_t until_us = watched->began_us + (uint64_t)STORE_SILENCE_MS * 1000;
	struct timespec until = {.tv_sec = (time_t)(until_us / 1000000), .tv_nsec = (long)(until_us % 1000000) * 1000};

	if (watched->call && !watched->told)
		(void)pthread_cond_timedwait(&watched->changed, &watched->lock, &until);
	else
		(void)pthread_cond_wait(&watched->changed, &watched->lock);
}

static void *tell(void *context)
{
	struct watched *watched = context;

	(void)pthread_mutex_lock(&watched->lock);
	while (!watched->ended) {
		if (!watched->told && has_lasted(watched)) {
			watched->told = true;
			log_warn("waiting for the checkpoint folder %s, %s takes more than %.1f s: until that is done, "
			         "no epoch begins and nobody is answered",
			    watched->inner->ops->root(watched->inner), watched->call, STORE_SILENCE_MS / 1e3);
		}
		wait_a_while(watched);
	}
	(void)pthread_mutex_unlock(&watched->lock);
	return NULL;
}

/* ---- each call, with a note of it ---- */

static struct checkpoint_store *begin(struct checkpoint_store *store, const char *call)
{
	struct watched *watched = (struct watched *)store;

	(void)pthread_mutex_lock(&watched->lock);
	watched->call = call;
	watched->began_us = clock_monotonic_us();
	watched->told = false;
	(void)pthread_cond_signal(&watched->changed);
	(void)pthread_mutex_unlock(&watched->lock);
	return watched->inner;
}

static enum result end(struct checkpoint_store *store, enum result result)
{
	struct watched *watched = (struct watched *)store;

	(void)pthread_mutex_lock(&watched->lock);
	if (watched->told)
		log_info("the checkpoint folder has answered, %s took %.1f s", watched->call,
		    (double)(clock_monotonic_us() - watched->began_us) / 1e6);
	watched->call = NULL;
	(void)pthread_mutex_unlock(&watched->lock);
	return result;
}

/* NAME, its words, and the parameters and arguments behind the store's. */
#define WATCHED(name, words, parameters, arguments)                                                                    \
	static enum result name parameters                                                                             \
	{                                                                                                              \
		struct checkpoint_store *inner = begin(store, words);                                                  \
		return end(store, inner->ops->name arguments);                                                         \
	}
WATCHED(take_attempt, "taking a number",
    (struct checkpoint_store * store, uint64_t at_least, uint64_t *attempt, struct error *error),
    (inner, at_least, attempt, error))
WATCHED(put_manifest, "writing a manifest",
    (struct checkpoint_store * store, const struct frame_manifest *manifest, bool *existed, struct error *error),
    (inner, manifest, existed, error))
WATCHED(get_manifest, "reading a manifest",
    (struct checkpoint_store * store, struct epoch_id epoch, struct arena *arena, struct frame_manifest *manifest,
        bool *found, struct error *error),
    (inner, epoch, arena, manifest, found, error))
WATCHED(check_files, "looking for files",
    (struct checkpoint_store * store, const struct files *files, bool *whole, struct error *error),
    (inner, files, whole, error))
WATCHED(verify_files, "reading files",
    (struct checkpoint_store * store, const struct files *files, bool *whole, struct error *error),
    (inner, files, whole, error))
WATCHED(remove_manifest, "removing a manifest",
    (struct checkpoint_store * store, struct epoch_id epoch, struct error *error), (inner, epoch, error))
WATCHED(remove_file, "removing a file", (struct checkpoint_store * store, const char *name, struct error *error),
    (inner, name, error))
WATCHED(sweep, "removing what is left over",
    (struct checkpoint_store * store, uint64_t oldest, const struct checkpoints *named, const struct files *files,
        struct error *error),
    (inner, oldest, named, files, error))

static const char *root(struct checkpoint_store *store)
{
	struct checkpoint_store *inner = ((struct watched *)store)->inner;

	return inner->ops->root(inner);
}

static void close_store(struct checkpoint_store *store)
{
	struct watched *watched = (struct watched *)store;

	(void)pthread_mutex_lock(&watched->lock);
	watched->ended = true;
	(void)pthread_cond_signal(&watched->changed);
	(void)pthread_mutex_unlock(&watched->lock);
	(void)pthread_join(watched->thread, NULL);
	(void)pthread_cond_destroy(&watched->changed);
	(void)pthread_mutex_destroy(&watched->lock);
	watched->inner->ops->close(watched->inner);
	free(watched);
}

static const struct checkpoint_store_ops watched_ops = {
    .take_attempt = take_attempt,
    .put_manifest = put_manifest,
    .get_manifest = get_manifest,
    .check_files = check_files,
    .verify_files = verify_files,
    .remove_manifest = remove_manifest,
    .remove_file = remove_file,
    .sweep = sweep,
    .root = root,
    .close = close_store,
};

struct checkpoint_store *store_watch(struct checkpoint_store *inner)
{
	struct watched *watched = memory_new(sizeof *watched);
	pthread_condattr_t attributes;

	watched->store.ops = &watched_ops;
	watched->inner = inner;
	(void)pthread_mutex_init(&watched->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&watched->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	CHECK(pthread_create(&watched->thread, NULL, tell, watched) == 0);
	return &watched->store;
}
