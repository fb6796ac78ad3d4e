#include "tests/sim/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

enum { FOREIGN = 1 /* checksum of all files of another history; 0: of all others */ };

/* A call that fails may have done its work all the same. */
static bool fails(struct store *store, bool *done)
{
	*done = true;
	if (store->failures == 0 || store->world->settling)
		return false;
	if (store->spared > 0) {
		store->spared--;
		return false;
	}
	store->failures--;
	*done = random_chance(&store->world->random, 500);
	store->world->statistics.store_failed++;
	world_trace(store->world, "    storage fails, its work is %s", *done ? "done" : "not done");
	return true;
}

static enum result failure(struct error *error)
{
	return error_set(error, RESULT_RETRY, "storage is away");
}

static enum result store_take_attempt(
    struct checkpoint_store *port, uint64_t at_least, uint64_t *attempt, struct error *error)
{
	struct store *store = (struct store *)port;
	uint64_t next = store->taken + 1 > at_least ? store->taken + 1 : at_least;
	bool done, failed = fails(store, &done);
	if (done)
		store->taken = next;
	if (failed)
		return failure(error);
	*attempt = next;
	return RESULT_OK;
}

static struct stored_manifest **find_manifest(struct store *store, struct epoch_id epoch)
{
	struct stored_manifest **at = &store->manifests;
	while (*at != NULL && !epoch_equal((*at)->epoch, epoch))
		at = &(*at)->next;
	return at;
}

static void remove_manifest(struct stored_manifest **at)
{
	struct stored_manifest *gone = *at;
	*at = gone->next;
	buffer_fini(&gone->frame);
	buffer_fini(&gone->own);
	free(gone);
}

bool store_has_manifest(const struct store *store, struct epoch_id epoch)
{
	return *find_manifest((struct store *)store, epoch) != NULL;
}

static enum result store_put_manifest(
    struct checkpoint_store *port, const struct frame_manifest *manifest, bool *existed, struct error *error)
{
	struct store *store = (struct store *)port;
	struct frame_header header = {.kind = FRAME_MANIFEST};
	struct frame_manifest timeless = *manifest;
	struct stored_manifest **at = find_manifest(store, manifest->epoch);
	bool done, failed = fails(store, &done);
	*existed = *at != NULL;
	timeless.created_us = 0;
	for (uint32_t i = 0; i < manifest->files.len; i++)
		if (store_file(store, manifest->files.entries[i].name) == NULL)
			world_violate(store->world, "a manifest names a file that is not there: %s",
			    manifest->files.entries[i].name);
	if (done && !*existed) {
		*at = memory_new(sizeof **at);
		(*at)->epoch = manifest->epoch;
		frame_encode(&(*at)->frame, &header, &timeless);
		store->world->statistics.manifests++;
	}
	return failed ? failure(error) : RESULT_OK;
}

static enum result store_get_manifest(struct checkpoint_store *port, struct epoch_id epoch, struct arena *arena,
    struct frame_manifest *manifest, bool *found, struct error *error)
{
	struct store *store = (struct store *)port;
	struct stored_manifest *stored = *find_manifest(store, epoch);
	struct frame frame;
	bool done;
	*found = false;
	if (fails(store, &done))
		return failure(error);
	if (stored == NULL)
		return RESULT_OK;
	if (frame_decode(buffer_bytes(&stored->frame), arena, &frame, NULL, error) != RESULT_OK)
		return error->code;
	*manifest = frame.body.manifest;
	*found = true;
	return RESULT_OK;
}

/* --- files --------------------------------------------------------------------------------------------------------- */

bool store_fails(struct store *store)
{
	bool ignored;
	return fails(store, &ignored);
}

static struct stored_file **find_file(struct store *store, const char *name)
{
	struct stored_file **at = &store->files;
	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

struct stored_file *store_file(const struct store *store, const char *name)
{
	return *find_file((struct store *)store, name);
}

bool stored_file_verifies(const struct stored_file *file, const struct file_entry *listed)
{
	return !file->damaged && listed->checksum == (file->foreign ? FOREIGN : 0);
}

static void remove_file(struct stored_file **at)
{
	struct stored_file *file = *at;
	if (file == NULL)
		return;
	*at = file->next;
	free(file);
}

void store_put_file(struct store *store, const char *name, const struct entries *entries)
{
	struct stored_file *file = memory_new(sizeof *file), **at = find_file(store, name);
	if (*at != NULL)
		world_violate(store->world, "a file is written twice: %s", name);
	remove_file(at);
	at = find_file(store, name);
	(void)snprintf(file->name, sizeof file->name, "%s", name);
	file->entries = *entries;
	*at = file;
}

static enum result store_check_files(
    struct checkpoint_store *port, const struct files *files, bool *whole, struct error *error)
{
	struct store *store = (struct store *)port;
	bool done;
	if (fails(store, &done))
		return failure(error);
	*whole = true;
	for (uint32_t i = 0; i < files->len && *whole; i++)
		*whole = store_file(store, files->entries[i].name) != NULL;
	if (!*whole)
		error_set(error, RESULT_CORRUPT, "a file is not there");
	return RESULT_OK;
}

static enum result store_verify_files(
    struct checkpoint_store *port, const struct files *files, bool *whole, struct error *error)
{
	struct store *store = (struct store *)port;
	enum result result = store_check_files(port, files, whole, error);
	for (uint32_t i = 0; i < files->len && result == RESULT_OK && *whole; i++)
		*whole = stored_file_verifies(store_file(store, files->entries[i].name), &files->entries[i]);
	if (result == RESULT_OK && !*whole)
		error_set(error, RESULT_CORRUPT, "a file does not verify");
	return result;
}

static enum result store_remove_manifest(struct checkpoint_store *port, struct epoch_id epoch, struct error *error)
{
	struct store *store = (struct store *)port;
	struct stored_manifest **at = find_manifest(store, epoch);
	bool done, failed = fails(store, &done);
	if (done && *at != NULL) {
		remove_manifest(at);
		store->world->statistics.retired++;
	}
	return failed ? failure(error) : RESULT_OK;
}

static enum result store_remove_file(struct checkpoint_store *port, const char *name, struct error *error)
{
	struct store *store = (struct store *)port;
	bool done, failed = fails(store, &done);
	if (done)
		remove_file(find_file(store, name));
	return failed ? failure(error) : RESULT_OK;
}

static bool names(const struct files *files, const char *name)
{
	for (uint32_t i = 0; i < files->len; i++)
		if (strcmp(files->entries[i].name, name) == 0)
			return true;
	return false;
}

static bool names_epoch(const struct checkpoints *named, struct epoch_id epoch)
{
	for (uint32_t i = 0; i < named->len; i++)
		if (epoch_equal(named->entries[i].epoch, epoch))
			return true;
	return false;
}

static enum result store_sweep(struct checkpoint_store *port, uint64_t oldest, const struct checkpoints *named,
    const struct files *files, struct error *error)
{
	struct store *store = (struct store *)port;
	bool done;
	if (fails(store, &done))
		return failure(error);
	for (struct stored_manifest **at = &store->manifests; *at != NULL;) {
		if ((*at)->epoch.attempt < oldest && !names_epoch(named, (*at)->epoch)) {
			remove_manifest(at);
			store->world->statistics.swept++;
		} else {
			at = &(*at)->next;
		}
	}
	for (struct stored_file **at = &store->files; *at != NULL;) {
		struct epoch_id epoch = {0};
		CHECK(sscanf((*at)->name, "checkpoints/%" SCNu64 ".%" SCNu64 "/", &epoch.attempt, &epoch.n) == 2);
		if (epoch.attempt < oldest && !names_epoch(named, epoch) && !names(files, (*at)->name))
			remove_file(at);
		else
			at = &(*at)->next;
	}
	return RESULT_OK;
}

bool store_alter(struct store *store, struct epoch_id checkpoint)
{
	struct arena arena = {0};
	struct frame frame;
	struct error error;
	struct files *files = &frame.body.manifest.files;
	struct stored_manifest *stored = *find_manifest(store, checkpoint);
	if (stored == NULL || frame_decode(buffer_bytes(&stored->frame), &arena, &frame, NULL, &error) != RESULT_OK)
		files = &(struct files){0};
	for (uint32_t i = 0; i < files->len; i++) {
		struct stored_file *file = store_file(store, files->entries[i].name);
		if (files->entries[i].role != (uint32_t)ROLE_ROLLUP || file == NULL)
			continue;
		store->foreign = file->foreign = true;
		files->entries[i].checksum = FOREIGN;
	}
	if (store->foreign) {
		stored->own = stored->frame;
		stored->frame = (struct buffer){0};
		frame_encode(&stored->frame, &frame.header, &frame.body.manifest);
	}
	arena_fini(&arena);
	return store->foreign;
}

void store_put_back(struct store *store)
{
	store->foreign = false;
	for (struct stored_file *file = store->files; file != NULL; file = file->next)
		file->foreign = false;
	for (struct stored_manifest *stored = store->manifests; stored != NULL; stored = stored->next) {
		if (stored->own.len == 0)
			continue;
		buffer_fini(&stored->frame);
		stored->frame = stored->own;
		stored->own = (struct buffer){0};
	}
}

static const char *store_root(struct checkpoint_store *port)
{
	(void)port;
	return "";
}

static void store_close(struct checkpoint_store *port)
{
	(void)port;
}

static const struct checkpoint_store_ops store_ops = {store_take_attempt, store_put_manifest, store_get_manifest,
    store_check_files, store_verify_files, store_remove_manifest, store_remove_file, store_sweep, store_root,
    store_close};

void store_init(struct store *store, struct world *world)
{
	*store = (struct store){.store = {&store_ops}, .world = world};
}

void store_fini(struct store *store)
{
	while (store->manifests != NULL)
		remove_manifest(&store->manifests);
	while (store->files != NULL)
		remove_file(&store->files);
}
