#include "common/state/state_restore.h"

#include "common/base/crash_point.h"
#include "common/base/key_group.h"
#include "common/base/mutant.h"
#include "common/state/state_merge.h"

/* From which checkpoint on the files have to be taken in: all that the cache holds already is left out. An identity is
 * given once for ever, so a cache of a checkpoint in the line of this one holds what that one held, whatever became of
 * the process that filled it; and one that was taking in a checkpoint of this line holds nothing but values that are
 * written over now. */
static bool is_in_line(const struct checkpoints *line, struct epoch_id checkpoint)
{
	for (uint32_t i = 0; i < line->len; i++)
		if (epoch_equal(line->entries[i].epoch, checkpoint))
			return true;
	return false;
}

static bool cache_is_of_line(const struct state_restore *restore, struct epoch_id checkpoint,
    const struct checkpoints *line, struct epoch_id *from)
{
	const struct cache_identity *identity = &restore->cache->identity;
	*from = identity->checkpoint;
	bool applying = !epoch_equal(identity->applying, identity->checkpoint);
	if (applying && !epoch_equal(identity->applying, checkpoint) && !is_in_line(line, identity->applying))
		return false;
	return epoch_equal(*from, checkpoint) || is_in_line(line, *from);
}

/* Sorted: leveldb then moves whole tables down instead of merging them. *damaged: a file is not what it should be. */
static enum result load_merged(
    struct state_restore *restore, struct file_merge *merge, bool *damaged, struct error *error)
{
	struct delta_entry entry;
	bool more = true;
	for (;;) {
		enum result result = file_merge_next(merge, &entry, &more, error);
		*damaged = result == RESULT_CORRUPT;
		if (result != RESULT_OK)
			return result;
		if (!more)
			return state_cache_flush(restore->cache, error);
		if (state_cache_put(restore->cache, entry.group, key_hash(entry.key), entry.key, entry.value, error) !=
		    RESULT_OK)
			return error->code;
		atomic_fetch_add_explicit(&restore->rows_done, 1, memory_order_relaxed);
	}
}

static enum result load_some(
    struct state_restore *restore, const struct file_entry *files, uint32_t len, bool *damaged, struct error *error)
{
	struct file_merge *merge;
	uint64_t rows = 0;
	for (uint32_t i = 0; i < len; i++)
		rows += files[i].rows;
	if (state_cache_room(restore->cache, files[0].generation, rows, error) != RESULT_OK)
		return error->code;
	enum result result = file_merge_open(&merge, restore->config, files, len, error);
	*damaged = result == RESULT_CORRUPT;
	if (result != RESULT_OK)
		return result;
	result = load_merged(restore, merge, damaged, error);
	file_merge_close(merge);
	return result;
}

/* The files of one generation after another, of each so many together as can be read at once, the oldest first. */
static enum result load_generation(
    struct state_restore *restore, struct epoch_id from, uint64_t generation, bool *damaged, struct error *error)
{
	struct file_entry some[MERGE_FILES_MAX];
	uint32_t len = 0;
	for (uint32_t i = 0; i < restore->base->len; i++) {
		const struct file_entry *file = &restore->base->entries[i];
		if (file->generation != generation || epoch_compare(file->written, from) <= 0)
			continue;
		some[len++] = *file;
		if (len == MERGE_FILES_MAX) {
			if (load_some(restore, some, len, damaged, error) != RESULT_OK)
				return error->code;
			len = 0;
		}
	}
	return len > 0 ? load_some(restore, some, len, damaged, error) : RESULT_OK;
}

static enum result load_files(struct state_restore *restore, struct epoch_id from, bool *damaged, struct error *error)
{
	uint64_t generation = 0;
	for (uint32_t i = 0; i < restore->base->len; i++)
		if (epoch_compare(restore->base->entries[i].written, from) > 0)
			atomic_fetch_add(&restore->rows_all, restore->base->entries[i].rows);
	while (file_list_next_generation(restore->base, generation, &generation)) {
		if (load_generation(restore, from, generation, damaged, error) != RESULT_OK)
			return error->code;
		generation++;
	}
	return RESULT_OK;
}

/* What the cache still has of generations below this one was forgotten meanwhile, somewhere else; without any file, all of it was. */
static uint64_t oldest_generation(const struct file_list *list)
{
	uint64_t oldest = MUTANT(cache_knows_more) ? 0 : UINT64_MAX;
	(void)file_list_next_generation(list, 0, &oldest);
	return oldest;
}

enum result state_restore_run(struct state_restore *restore, struct epoch_id checkpoint, const struct checkpoints *line,
    bool *damaged, struct error *error)
{
	struct epoch_id from;
	if (state_cache_open(restore->cache, restore->config, error) != RESULT_OK)
		return error->code;
	CRASH_POINT(restore_opened);
	if (!cache_is_of_line(restore, checkpoint, line, &from)) {
		from = (struct epoch_id){0};
		if (state_cache_clear(restore->cache, error) != RESULT_OK)
			return error->code;
	}
	if (epoch_equal(restore->cache->identity.checkpoint, checkpoint))
		return RESULT_OK;
	if (state_cache_begin(restore->cache, checkpoint, error) != RESULT_OK)
		return error->code;
	CRASH_POINT(restore_begun);
	if (load_files(restore, from, damaged, error) != RESULT_OK)
		return error->code;
	CRASH_POINT(restore_loaded);
	if (state_cache_end(restore->cache, oldest_generation(restore->base), error) != RESULT_OK)
		return error->code;
	CRASH_POINT(restore_ended);
	return RESULT_OK;
}
