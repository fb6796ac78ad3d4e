#include "services/coordinator/checkpoints.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"

enum {
	LOOK_AGAIN_US = 1000000,
	LINE_KEPT = 64, /* a cache that is older is rebuilt */
};

/* --- lists ---------------------------------------------------------------------------------------------------------- */

static void copy_files(struct arena *arena, struct files *to, const struct files *from)
{
	*to = (struct files){arena_clone(arena, from->entries, from->len * sizeof *from->entries), from->len};
	for (uint32_t i = 0; i < to->len; i++)
		to->entries[i].name = arena_clone(arena, from->entries[i].name, strlen(from->entries[i].name));
}

static void copy_line(struct arena *arena, struct checkpoints *to, const struct checkpoints *from)
{
	*to = (struct checkpoints){arena_clone(arena, from->entries, from->len * sizeof *from->entries), from->len};
	for (uint32_t i = 0; i < to->len; i++)
		to->entries[i].cut = (struct cut){0};
}

static void keep(struct checkpoint_keeper *keeper, uint32_t place, struct epoch_id epoch, const struct cut *cut,
    const struct files *files, const struct checkpoints *line)
{
	keeper->kept = memory_resize(keeper->kept, keeper->kept_len + 1, sizeof *keeper->kept);
	struct kept_checkpoint *kept = &keeper->kept[place];
	memmove(kept + 1, kept, (keeper->kept_len - place) * sizeof *kept);
	keeper->kept_len++;
	*kept = (struct kept_checkpoint){.epoch = epoch};
	cut_copy(&kept->cut, cut);
	copy_files(&kept->arena, &kept->files, files);
	copy_line(&kept->arena, &kept->line, line);
}

/* The base, and what that was built on. The entries are the caller's to free. */
static struct checkpoints line_of_next(const struct checkpoint_keeper *keeper)
{
	const struct kept_checkpoint *base = checkpoint_keeper_base(keeper);
	struct checkpoints line = {memory_resize(NULL, base->line.len + 1, sizeof *line.entries), 0};
	line.entries[line.len++] = (struct checkpoint_entry){.epoch = base->epoch};
	for (uint32_t i = 0; i < base->line.len && line.len < LINE_KEPT; i++)
		line.entries[line.len++] = base->line.entries[i];
	return line;
}

static void forget_kept(struct checkpoint_keeper *keeper, uint32_t place)
{
	struct kept_checkpoint *kept = &keeper->kept[place];
	cut_fini(&kept->cut);
	arena_fini(&kept->arena);
	keeper->kept_len--;
	memmove(kept, kept + 1, (keeper->kept_len - place) * sizeof *kept);
}

static void name(struct checkpoint_keeper *keeper, uint32_t place, struct epoch_id epoch, const struct cut *cut)
{
	keeper->named = memory_resize(keeper->named, keeper->named_len + 1, sizeof *keeper->named);
	struct named_checkpoint *named = &keeper->named[place];
	memmove(named + 1, named, (keeper->named_len - place) * sizeof *named);
	keeper->named_len++;
	*named = (struct named_checkpoint){.epoch = epoch};
	cut_copy(&named->cut, cut);
}

static void forget_named(struct checkpoint_keeper *keeper, uint32_t place)
{
	struct named_checkpoint *named = &keeper->named[place];
	cut_fini(&named->cut);
	keeper->named_len--;
	memmove(named, named + 1, (keeper->named_len - place) * sizeof *named);
}

static void forget_all(struct checkpoint_keeper *keeper)
{
	while (keeper->kept_len > 0)
		forget_kept(keeper, keeper->kept_len - 1);
	while (keeper->named_len > 0)
		forget_named(keeper, keeper->named_len - 1);
}

void checkpoint_keeper_init(struct checkpoint_keeper *keeper, const struct checkpoints_config *config)
{
	*keeper = (struct checkpoint_keeper){.config = *config};
	keeper->acked = memory_new(topology_actors(config->topology) * sizeof *keeper->acked);
}

void checkpoint_keeper_fini(struct checkpoint_keeper *keeper)
{
	forget_all(keeper);
	cut_fini(&keeper->cut);
	arena_fini(&keeper->arena);
	free(keeper->kept);
	free(keeper->named);
	free(keeper->damaged);
	free(keeper->acked);
	free(keeper->files.entries);
}

const struct kept_checkpoint *checkpoint_keeper_base(const struct checkpoint_keeper *keeper)
{
	CHECK(keeper->kept_len > 0);
	return &keeper->kept[keeper->kept_len - 1];
}

/* --- which one to restore --------------------------------------------------------------------------------------------- */

void checkpoint_keeper_damaged(struct checkpoint_keeper *keeper, struct epoch_id epoch)
{
	keeper->damaged = memory_resize(keeper->damaged, keeper->damaged_len + 1, sizeof *keeper->damaged);
	keeper->damaged[keeper->damaged_len++] = epoch;
}

static bool is_damaged(const struct checkpoint_keeper *keeper, struct epoch_id epoch)
{
	for (uint32_t i = 0; i < keeper->damaged_len; i++)
		if (epoch_equal(keeper->damaged[i], epoch))
			return true;
	return false;
}

static enum result check_meaning(
    const struct checkpoint_keeper *keeper, const struct frame_manifest *manifest, struct error *error)
{
	const struct pipeline *pipeline = keeper->config.pipeline;
	const char *meant = keeper->meant[0] != '\0' ? keeper->meant : pipeline->fingerprint;
	if (epoch_compare(manifest->epoch, keeper->since) >= 0 && strcmp(manifest->fingerprint, meant) != 0)
		return error_set(error, RESULT_CONFIG,
		    "the checkpoint folder belongs to a pipeline file of another meaning (fingerprint %s, %s has %s)",
		    manifest->fingerprint, keeper->meant[0] != '\0' ? "the database" : "this file", meant);
	if (manifest->key_groups != pipeline->key_groups)
		return error_set(error, RESULT_CONFIG,
		    "the checkpoints have %" PRIu64
		    " key groups, the pipeline file has %u: their number is fixed for a job",
		    manifest->key_groups, pipeline->key_groups);
	return RESULT_OK;
}

/* Whole: manifest and files are there. Anything but a word of storage that is away makes it unusable, loudly. */
static enum result look_at(struct checkpoint_keeper *keeper, const struct checkpoint_entry *entry, struct arena *arena,
    struct frame_manifest *manifest, bool *whole, struct error *error)
{
	struct checkpoint_store *store = keeper->config.store;
	const struct epoch_id epoch = entry->epoch;
	bool found = false;
	*whole = false;
	if (is_damaged(keeper, epoch))
		return RESULT_OK;
	enum result result = store->ops->get_manifest(store, epoch, arena, manifest, &found, error);
	if (result == RESULT_OK && found)
		result = check_meaning(keeper, manifest, error);
	if (result == RESULT_OK && found)
		result = store->ops->check_files(store, &manifest->files, whole, error);
	if (result == RESULT_OK && !found)
		log_info("checkpoint %" PRIu64 ".%" PRIu64 " was never completed", epoch.attempt, epoch.n);
	else if (result == RESULT_OK && !*whole)
		log_error("checkpoint %" PRIu64 ".%" PRIu64 " cannot be used: %s", epoch.attempt, epoch.n, error->text);
	if (result == RESULT_CORRUPT) {
		log_error("checkpoint %" PRIu64 ".%" PRIu64 " is damaged: %s", epoch.attempt, epoch.n, error->text);
		result = RESULT_OK;
	}
	return result;
}

enum result checkpoint_keeper_choose(struct checkpoint_keeper *keeper, const struct checkpoints *named, bool *found,
    bool *passed_over, struct error *error)
{
	enum result result = RESULT_OK;
	forget_all(keeper);
	*passed_over = false;
	for (uint32_t i = 0; i < named->len && result == RESULT_OK; i++) {
		const struct checkpoint_entry *entry = &named->entries[i];
		struct frame_manifest manifest;
		struct arena arena = {0};
		bool whole;
		/* From before the pipeline file was changed: to be retired one day, but never the base. */
		bool older = epoch_compare(entry->epoch, keeper->since) < 0 && !MUTANT(meaning_forgotten);
		result = look_at(keeper, entry, &arena, &manifest, &whole, error);
		if (result == RESULT_OK && whole && (!older || keeper->kept_len > 0))
			keep(keeper, 0, entry->epoch, &manifest.cut, &manifest.files, &manifest.line);
		/* Newer ones are erased with the choice; older ones without a manifest only have to be retired. */
		if (result == RESULT_OK && keeper->kept_len > 0)
			name(keeper, 0, entry->epoch, &entry->cut);
		*passed_over |= keeper->kept_len == 0;
		arena_fini(&arena);
	}
	*found = keeper->kept_len > 0;
	return result;
}

enum result checkpoint_keeper_begin(struct checkpoint_keeper *keeper, struct cut *cut, struct error *error)
{
	static const struct files nothing;
	static const struct checkpoints nobody;
	struct checkpoint_store *store = keeper->config.store;
	struct frame_manifest manifest = {
	    .job = keeper->config.job,
	    .cut = *cut,
	    .fingerprint = keeper->config.pipeline->fingerprint,
	    .key_groups = keeper->config.pipeline->key_groups,
	    .created_us = clock_realtime_us(),
	};
	struct arena arena = {0};
	bool existed = false, found = false;
	enum result result = store->ops->put_manifest(store, &manifest, &existed, error);
	if (result == RESULT_OK && existed)
		result = store->ops->get_manifest(store, manifest.epoch, &arena, &manifest, &found, error);
	if (result == RESULT_OK && found)
		result = check_meaning(keeper, &manifest, error);
	if (result == RESULT_OK && found)
		cut_copy(cut, &manifest.cut);
	if (result == RESULT_OK) {
		forget_all(keeper);
		keep(keeper, 0, manifest.epoch, cut, &nothing, &nobody);
		name(keeper, 0, manifest.epoch, cut);
	}
	arena_fini(&arena);
	return result;
}

enum result checkpoint_keeper_rename(struct checkpoint_keeper *keeper, struct epoch_id renamed, struct error *error)
{
	struct checkpoint_store *store = keeper->config.store;
	const struct kept_checkpoint *base = checkpoint_keeper_base(keeper);
	struct frame_manifest manifest = {
	    .job = keeper->config.job,
	    .epoch = renamed,
	    .cut = base->cut,
	    .fingerprint = keeper->config.pipeline->fingerprint,
	    .key_groups = keeper->config.pipeline->key_groups,
	    .created_us = clock_realtime_us(),
	    .line = line_of_next(keeper),
	    .files = base->files,
	};
	bool existed;
	enum result result = store->ops->put_manifest(store, &manifest, &existed, error);
	if (result == RESULT_OK) {
		/* What is kept moves when one is added: the lists are copied from the manifest's own. */
		struct cut cut = {0};
		struct arena arena = {0};
		struct files files;
		cut_copy(&cut, &base->cut);
		copy_files(&arena, &files, &base->files);
		keep(keeper, keeper->kept_len, renamed, &cut, &files, &manifest.line);
		name(keeper, keeper->named_len, renamed, &cut);
		cut_fini(&cut);
		arena_fini(&arena);
	}
	free(manifest.line.entries);
	return result;
}

/* --- the one under way --------------------------------------------------------------------------------------------------- */

void checkpoint_keeper_start(struct checkpoint_keeper *keeper, uint64_t now_us)
{
	keeper->due_us = now_us + keeper->config.pipeline->checkpoint.interval_us;
	keeper->records = 0;
	keeper->changed = false;
	keeper->failed_in_row = 0;
	keeper->retiring = false;
}

/* What changed lies in the actors' memory. But one that failed is not tried again at once. */
static bool is_large(const struct checkpoint_keeper *keeper)
{
	return keeper->records >= keeper->config.pipeline->checkpoint.max_records && keeper->failed_in_row == 0;
}

bool checkpoint_keeper_due(const struct checkpoint_keeper *keeper, uint64_t now_us, uint64_t *wake_us)
{
	uint64_t due_us = is_large(keeper) ? keeper->earliest_us : keeper->due_us;
	*wake_us = 0;
	if (keeper->state != CHECKPOINT_IDLE)
		return false;
	if (keeper->asked)
		return true;
	if (keeper->changed && now_us < due_us)
		*wake_us = due_us;
	return keeper->changed && now_us >= due_us;
}

static bool all_there(const struct checkpoint_keeper *keeper)
{
	const struct topology *topology = keeper->config.topology;
	for (uint32_t i = 0; i < topology_actors(topology); i++) {
		enum role role = actor_role(topology_actor(topology, i));
		if ((role == ROLE_DEDUP || role == ROLE_ROLLUP) && !keeper->acked[i])
			return false;
	}
	return keeper->committed || MUTANT(manifest_first);
}

static enum checkpoint_event store_manifest(struct checkpoint_keeper *keeper)
{
	struct checkpoint_store *store = keeper->config.store;
	struct frame_manifest manifest = {
	    .job = keeper->config.job,
	    .epoch = keeper->epoch,
	    .cut = keeper->cut,
	    .fingerprint = keeper->config.pipeline->fingerprint,
	    .key_groups = keeper->config.pipeline->key_groups,
	    .created_us = clock_realtime_us(),
	    .line = line_of_next(keeper),
	    .files = keeper->files,
	};
	struct error error = {0};
	bool existed;
	enum result result = store->ops->put_manifest(store, &manifest, &existed, &error);
	free(manifest.line.entries);
	if (result == RESULT_OK || MUTANT(manifest_unsure))
		return CHECKPOINT_EVENT_STORED;
	log_warn("the manifest of checkpoint %" PRIu64 ".%" PRIu64 " may not have been written: %s",
	    keeper->epoch.attempt, keeper->epoch.n, error.text);
	return CHECKPOINT_EVENT_UNANSWERED;
}

static enum checkpoint_event look_again(const struct checkpoint_keeper *keeper)
{
	struct checkpoint_store *store = keeper->config.store;
	struct frame_manifest manifest;
	struct arena arena = {0};
	struct error error;
	bool found = false;
	enum result result = store->ops->get_manifest(store, keeper->epoch, &arena, &manifest, &found, &error);
	arena_fini(&arena);
	if (result == RESULT_RETRY || result == RESULT_CONFIG)
		return CHECKPOINT_EVENT_UNANSWERED;
	return result == RESULT_OK && found ? CHECKPOINT_EVENT_STORED : CHECKPOINT_EVENT_MISSING;
}

static void publish(struct checkpoint_keeper *keeper, uint64_t now_us)
{
	const struct pipeline *pipeline = keeper->config.pipeline;
	keeper->added_bytes = 0;
	for (uint32_t i = 0; i < keeper->files.len; i++)
		if (epoch_equal(keeper->files.entries[i].written, keeper->epoch))
			keeper->added_bytes += keeper->files.entries[i].bytes;
	struct checkpoints line = line_of_next(keeper);
	keep(keeper, keeper->kept_len, keeper->epoch, &keeper->cut, &keeper->files, &line);
	free(line.entries);
	keeper->took_us = now_us - keeper->begun_us;
	keeper->completed++;
	keeper->failed_in_row = 0;
	keeper->completed_us = clock_realtime_us();
	keeper->records = 0; /* since it was injected a few more: the next commit tells */
	keeper->earliest_us = now_us + pipeline->checkpoint.min_pause_us;
	keeper->due_us = keeper->begun_us + pipeline->checkpoint.interval_us;
	if (keeper->due_us < keeper->earliest_us)
		keeper->due_us = keeper->earliest_us;
	CRASH_POINT(checkpoint_published);
	log_info("checkpoint %" PRIu64 ".%" PRIu64 " is complete: %u files, %" PRIu64 " bytes new, %" PRIu64 " ms",
	    keeper->epoch.attempt, keeper->epoch.n, keeper->files.len, keeper->added_bytes, keeper->took_us / 1000);
}

static void abandon(struct checkpoint_keeper *keeper, const char *why, uint64_t now_us)
{
	const struct pipeline *pipeline = keeper->config.pipeline;
	(void)snprintf(keeper->why, sizeof keeper->why, "%s", why);
	keeper->failed++;
	keeper->failed_in_row++;
	keeper->changed = true;
	keeper->due_us = now_us + pipeline->checkpoint.interval_us;
	log_warn("checkpoint %" PRIu64 ".%" PRIu64 " is given up: %s", keeper->epoch.attempt, keeper->epoch.n, why);
}

static enum keeper_news happen(
    struct checkpoint_keeper *keeper, enum checkpoint_event event, const char *why, uint64_t now_us)
{
	const struct checkpoint_transition *transition = checkpoint_transition(keeper->state, event);
	keeper->state = transition->next;
	switch (transition->action) {
	case CHECKPOINT_NOTHING:
	case CHECKPOINT_FORGET:
		return KEEPER_NOTHING;
	case CHECKPOINT_STORE:
		return happen(keeper, store_manifest(keeper), why, now_us);
	case CHECKPOINT_PUBLISH:
		publish(keeper, now_us);
		return KEEPER_COMPLETE;
	case CHECKPOINT_ABANDON:
		abandon(keeper, why, now_us);
		return KEEPER_ABANDONED;
	}
	return KEEPER_NOTHING;
}

void checkpoint_keeper_stop(struct checkpoint_keeper *keeper)
{
	(void)happen(keeper, CHECKPOINT_EVENT_OVER, "the attempt is over", 0);
}

void checkpoint_keeper_injected(
    struct checkpoint_keeper *keeper, struct epoch_id epoch, bool checkpoint, uint64_t now_us)
{
	keeper->changed = !checkpoint;
	if (!checkpoint)
		return;
	(void)happen(keeper, CHECKPOINT_EVENT_INJECTED, "", now_us);
	keeper->asked = false;
	keeper->epoch = epoch;
	keeper->begun_us = now_us;
	keeper->committed = false;
	keeper->cut.len = 0;
	keeper->files.len = 0;
	arena_clear(&keeper->arena);
	memset(keeper->acked, 0, topology_actors(keeper->config.topology) * sizeof *keeper->acked);
}

static uint32_t place_of(const struct topology *topology, uint32_t actor)
{
	uint32_t place = 0;
	while (place < topology_actors(topology) && topology_actor(topology, place) != actor)
		place++;
	return place;
}

static void add_files(struct checkpoint_keeper *keeper, const struct files *files)
{
	if (keeper->files.len + files->len > keeper->files_capacity) {
		keeper->files_capacity = (keeper->files.len + files->len) * 2;
		keeper->files.entries =
		    memory_resize(keeper->files.entries, keeper->files_capacity, sizeof *keeper->files.entries);
	}
	for (uint32_t i = 0; i < files->len; i++) {
		struct file_entry *entry = &keeper->files.entries[keeper->files.len++];
		*entry = files->entries[i];
		entry->name = arena_clone(&keeper->arena, entry->name, strlen(entry->name));
	}
}

static bool is_under_way(const struct checkpoint_keeper *keeper, struct epoch_id epoch)
{
	return keeper->state == CHECKPOINT_WRITING && epoch_equal(keeper->epoch, epoch);
}

enum keeper_news checkpoint_keeper_written(
    struct checkpoint_keeper *keeper, const struct frame_snapshot_done *done, uint64_t now_us)
{
	char why[sizeof keeper->why], actor[ACTOR_NAME_MAX];
	uint32_t place = place_of(keeper->config.topology, (uint32_t)done->actor);
	if (!is_under_way(keeper, done->checkpoint) || place >= topology_actors(keeper->config.topology) ||
	    keeper->acked[place])
		return KEEPER_NOTHING;
	if (done->failure[0] != '\0') {
		(void)snprintf(why, sizeof why, "%s: %s", actor_name((uint32_t)done->actor, actor), done->failure);
		return happen(keeper, CHECKPOINT_EVENT_DECLINED, why, now_us);
	}
	keeper->acked[place] = true;
	add_files(keeper, &done->files);
	return all_there(keeper) ? happen(keeper, CHECKPOINT_EVENT_ALL_THERE, "", now_us) : KEEPER_NOTHING;
}

enum keeper_news checkpoint_keeper_committed(
    struct checkpoint_keeper *keeper, struct epoch_id epoch, const struct cut *at, uint64_t now_us)
{
	keeper->records = cut_distance(&checkpoint_keeper_base(keeper)->cut, at);
	/* Named by the database even if it has been given up meanwhile: to be retired then. */
	if (!epoch_equal(keeper->epoch, epoch) || keeper->committed)
		return KEEPER_NOTHING;
	keeper->committed = true;
	name(keeper, keeper->named_len, epoch, at);
	if (!is_under_way(keeper, epoch))
		return KEEPER_NOTHING;
	cut_copy(&keeper->cut, at);
	return all_there(keeper) ? happen(keeper, CHECKPOINT_EVENT_ALL_THERE, "", now_us) : KEEPER_NOTHING;
}

enum keeper_news checkpoint_keeper_tick(struct checkpoint_keeper *keeper, uint64_t now_us)
{
	char why[sizeof keeper->why];
	uint64_t timeout_us = keeper->config.pipeline->checkpoint.timeout_us;
	if (keeper->state == CHECKPOINT_UNCERTAIN && now_us >= keeper->due_us) {
		keeper->due_us = now_us + LOOK_AGAIN_US;
		return happen(keeper, look_again(keeper), "its manifest could not be written", now_us);
	}
	if (keeper->state != CHECKPOINT_WRITING || now_us < keeper->begun_us + timeout_us)
		return KEEPER_NOTHING;
	(void)snprintf(why, sizeof why, "it took more than %" PRIu64 " ms (%s)", timeout_us / 1000,
	    keeper->committed ? "an actor is still writing its state" : "its epoch is not committed");
	return happen(keeper, CHECKPOINT_EVENT_EXPIRED, why, now_us);
}

uint64_t checkpoint_keeper_wake_us(const struct checkpoint_keeper *keeper, uint64_t now_us)
{
	uint64_t wake_us = 0;
	switch (keeper->state) {
	case CHECKPOINT_IDLE:
		return checkpoint_keeper_due(keeper, now_us, &wake_us) ? now_us : wake_us;
	case CHECKPOINT_WRITING:
		return keeper->begun_us + keeper->config.pipeline->checkpoint.timeout_us;
	case CHECKPOINT_UNCERTAIN:
		return keeper->due_us;
	case CHECKPOINT_STATES_LEN:
		break;
	}
	return 0;
}

/* --- retiring -------------------------------------------------------------------------------------------------------------- */

static bool is_kept(const struct checkpoint_keeper *keeper, struct epoch_id epoch)
{
	for (uint32_t i = 0; i < keeper->kept_len; i++)
		if (epoch_equal(keeper->kept[i].epoch, epoch))
			return true;
	return false;
}

bool checkpoint_keeper_retire(struct checkpoint_keeper *keeper, struct frame_retire *retire)
{
	uint32_t retain = keeper->config.pipeline->checkpoint.retain;
	uint32_t surplus = keeper->kept_len > retain ? keeper->kept_len - retain : 0;
	struct epoch_id base = checkpoint_keeper_base(keeper)->epoch;
	*retire = (struct frame_retire){.oldest_cut = keeper->kept[surplus].cut};
	if (keeper->retiring)
		return false;
	retire->checkpoints.entries = memory_resize(NULL, keeper->named_len + 1, sizeof *retire->checkpoints.entries);
	for (uint32_t i = 0; i < keeper->named_len; i++) {
		const struct named_checkpoint *named = &keeper->named[i];
		bool old = epoch_compare(named->epoch, keeper->kept[surplus].epoch) < 0;
		bool given_up = epoch_compare(named->epoch, base) < 0 && !is_kept(keeper, named->epoch);
		if (old || given_up)
			retire->checkpoints.entries[retire->checkpoints.len++] =
			    (struct checkpoint_entry){named->epoch, named->cut};
	}
	keeper->retiring = retire->checkpoints.len > 0;
	if (!keeper->retiring)
		free(retire->checkpoints.entries);
	return keeper->retiring;
}

static bool names_file(const struct checkpoint_keeper *keeper, const char *file)
{
	for (uint32_t i = 0; i < keeper->kept_len; i++)
		for (uint32_t k = 0; k < keeper->kept[i].files.len; k++)
			if (strcmp(keeper->kept[i].files.entries[k].name, file) == 0)
				return true;
	return false;
}

static void complain(enum result result, const struct error *error)
{
	if (result != RESULT_OK)
		log_warn("what is left of old checkpoints is not removed now: %s", error->text);
}

/* Manifest first: a file that is gone must not be named by any. */
static void remove_kept(struct checkpoint_keeper *keeper, uint32_t place)
{
	struct checkpoint_store *store = keeper->config.store;
	struct kept_checkpoint gone = keeper->kept[place];
	struct error error;
	keeper->kept[place] = (struct kept_checkpoint){0};
	forget_kept(keeper, place);
	enum result result = store->ops->remove_manifest(store, gone.epoch, &error);
	CRASH_POINT(retired_manifest);
	for (uint32_t i = 0; i < gone.files.len && result == RESULT_OK; i++)
		if (!names_file(keeper, gone.files.entries[i].name))
			result = store->ops->remove_file(store, gone.files.entries[i].name, &error);
	complain(result, &error);
	cut_fini(&gone.cut);
	arena_fini(&gone.arena);
}

static void sweep(const struct checkpoint_keeper *keeper)
{
	struct checkpoint_store *store = keeper->config.store;
	struct checkpoints named = {memory_resize(NULL, keeper->named_len + 1, sizeof *named.entries), 0};
	struct files files = {0};
	struct error error;
	for (uint32_t i = 0; i < keeper->named_len; i++)
		named.entries[named.len++] = (struct checkpoint_entry){.epoch = keeper->named[i].epoch};
	for (uint32_t i = 0; i < keeper->kept_len; i++) {
		const struct files *more = &keeper->kept[i].files;
		files.entries = memory_resize(files.entries, files.len + more->len + 1, sizeof *files.entries);
		memcpy(files.entries + files.len, more->entries, more->len * sizeof *more->entries);
		files.len += more->len;
	}
	complain(store->ops->sweep(store, keeper->kept[0].epoch.attempt, &named, &files, &error), &error);
	free(named.entries);
	free(files.entries);
}

void checkpoint_keeper_retired(struct checkpoint_keeper *keeper, const struct checkpoints *retired)
{
	CRASH_POINT(retired_told);
	for (uint32_t i = 0; i < retired->len; i++) {
		for (uint32_t k = keeper->named_len; k-- > 0;)
			if (epoch_equal(keeper->named[k].epoch, retired->entries[i].epoch))
				forget_named(keeper, k);
		for (uint32_t k = keeper->kept_len; k-- > 0;)
			if (epoch_equal(keeper->kept[k].epoch, retired->entries[i].epoch) && keeper->kept_len > 1)
				remove_kept(keeper, k);
	}
	keeper->retiring = false;
	CRASH_POINT(retired_files);
	sweep(keeper);
}
