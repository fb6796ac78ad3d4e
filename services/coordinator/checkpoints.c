#include "services/coordinator/checkpoints_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"

enum { LINE_KEPT = 64 /* a cache that is older is rebuilt */ };

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

void checkpoint_keep(struct checkpoint_keeper *keeper, uint32_t place, struct epoch_id epoch, const struct cut *cut,
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

struct checkpoints checkpoint_line_of_next(const struct checkpoint_keeper *keeper)
{
	const struct kept_checkpoint *base = checkpoint_keeper_base(keeper);
	struct checkpoints line = {memory_resize(NULL, base->line.len + 1, sizeof *line.entries), 0};
	line.entries[line.len++] = (struct checkpoint_entry){.epoch = base->epoch};
	for (uint32_t i = 0; i < base->line.len && line.len < LINE_KEPT; i++)
		line.entries[line.len++] = base->line.entries[i];
	return line;
}

void checkpoint_forget_kept(struct checkpoint_keeper *keeper, uint32_t place)
{
	struct kept_checkpoint *kept = &keeper->kept[place];
	cut_fini(&kept->cut);
	arena_fini(&kept->arena);
	keeper->kept_len--;
	memmove(kept, kept + 1, (keeper->kept_len - place) * sizeof *kept);
}

void checkpoint_name(struct checkpoint_keeper *keeper, uint32_t place, struct epoch_id epoch)
{
	keeper->named = memory_resize(keeper->named, keeper->named_len + 1, sizeof *keeper->named);
	struct epoch_id *named = &keeper->named[place];
	memmove(named + 1, named, (keeper->named_len - place) * sizeof *named);
	keeper->named_len++;
	*named = epoch;
}

void checkpoint_forget_named(struct checkpoint_keeper *keeper, uint32_t place)
{
	struct epoch_id *named = &keeper->named[place];
	keeper->named_len--;
	memmove(named, named + 1, (keeper->named_len - place) * sizeof *named);
}

static void forget_all(struct checkpoint_keeper *keeper)
{
	while (keeper->kept_len > 0)
		checkpoint_forget_kept(keeper, keeper->kept_len - 1);
	keeper->named_len = 0;
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
		return error_stop(error, STOP_CHECKPOINTS_OF_ANOTHER,
		    "the checkpoint folder belongs to a pipeline file of another meaning (fingerprint %s, %s has %s)",
		    manifest->fingerprint, keeper->meant[0] != '\0' ? "the database" : "this file", meant);
	if (manifest->key_groups != pipeline->key_groups)
		return error_stop(error, STOP_CHECKPOINTS_OF_ANOTHER,
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
			checkpoint_keep(keeper, 0, entry->epoch, &manifest.cut, &manifest.files, &manifest.line);
		/* Newer ones are erased with the choice; older ones without a manifest only have to be retired. */
		if (result == RESULT_OK && keeper->kept_len > 0)
			checkpoint_name(keeper, 0, entry->epoch);
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
		checkpoint_keep(keeper, 0, manifest.epoch, cut, &nothing, &nobody);
		checkpoint_name(keeper, 0, manifest.epoch);
	}
	arena_fini(&arena);
	return result;
}

/* Whoever restores it from a cache does not read them, and there would be no other checkpoint to fall back to. */
static enum result verify_base(struct checkpoint_keeper *keeper, struct error *error)
{
	struct checkpoint_store *store = keeper->config.store;
	const struct kept_checkpoint *base = checkpoint_keeper_base(keeper);
	bool whole = true;
	if (epoch_equal(keeper->verified, base->epoch) || MUTANT(renamed_unread))
		return RESULT_OK;
	enum result result = store->ops->verify_files(store, &base->files, &whole, error);
	if (result != RESULT_OK)
		return result;
	if (whole) {
		keeper->verified = base->epoch;
		return RESULT_OK;
	}
	log_error("checkpoint %" PRIu64 ".%" PRIu64 " cannot take on another meaning, it is damaged: %s",
	    base->epoch.attempt, base->epoch.n, error->text);
	checkpoint_keeper_damaged(keeper, base->epoch);
	error->code = RESULT_RETRY;
	return error_wrap(error, "checkpoint %" PRIu64 ".%" PRIu64 " is damaged", base->epoch.attempt, base->epoch.n);
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
	    .line = checkpoint_line_of_next(keeper),
	    .files = base->files,
	};
	bool existed;
	enum result result = verify_base(keeper, error);
	if (result == RESULT_OK)
		result = store->ops->put_manifest(store, &manifest, &existed, error);
	if (result == RESULT_OK) {
		/* What is kept moves when one is added: the lists are copied from the manifest's own. */
		struct cut cut = {0};
		struct arena arena = {0};
		struct files files;
		cut_copy(&cut, &base->cut);
		copy_files(&arena, &files, &base->files);
		checkpoint_keep(keeper, keeper->kept_len, renamed, &cut, &files, &manifest.line);
		checkpoint_name(keeper, keeper->named_len, renamed);
		cut_fini(&cut);
		arena_fini(&arena);
	}
	free(manifest.line.entries);
	return result;
}
