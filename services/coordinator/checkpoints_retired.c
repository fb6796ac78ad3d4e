#include "services/coordinator/checkpoints_parts.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "common/base/mutant.h"

static bool is_kept(const struct checkpoint_keeper *keeper, struct epoch_id epoch)
{
	for (uint32_t i = 0; i < keeper->kept_len; i++)
		if (epoch_equal(keeper->kept[i].epoch, epoch))
			return true;
	return false;
}

bool checkpoint_keeper_retire(struct checkpoint_keeper *keeper, struct frame_retire *retire)
{
	uint32_t retain = keeper->config.pipeline->checkpoint.retain + (MUTANT(retired_too_late) ? 1 : 0) -
	                  (MUTANT(retired_too_early) ? 1 : 0);
	uint32_t surplus = keeper->kept_len > retain ? keeper->kept_len - retain : 0;
	struct epoch_id base = checkpoint_keeper_base(keeper)->epoch;
	*retire = (struct frame_retire){.kept = keeper->kept[surplus].epoch, .oldest_cut = keeper->kept[surplus].cut};
	if (keeper->retiring)
		return false;
	retire->checkpoints.entries = memory_resize(NULL, keeper->named_len + 1, sizeof *retire->checkpoints.entries);
	for (uint32_t i = 0; i < keeper->named_len; i++) {
		struct epoch_id named = keeper->named[i];
		bool old = epoch_compare(named, keeper->kept[surplus].epoch) < 0;
		bool given_up = epoch_compare(named, base) < 0 && !is_kept(keeper, named);
		if (old || given_up)
			retire->checkpoints.entries[retire->checkpoints.len++] =
			    (struct checkpoint_entry){.epoch = named};
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
	checkpoint_forget_kept(keeper, place);
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
		named.entries[named.len++] = (struct checkpoint_entry){.epoch = keeper->named[i]};
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
			if (epoch_equal(keeper->named[k], retired->entries[i].epoch))
				checkpoint_forget_named(keeper, k);
		for (uint32_t k = keeper->kept_len; k-- > 0;)
			if (epoch_equal(keeper->kept[k].epoch, retired->entries[i].epoch) && keeper->kept_len > 1)
				remove_kept(keeper, k);
	}
	keeper->retiring = false;
	CRASH_POINT(retired_files);
	sweep(keeper);
}
