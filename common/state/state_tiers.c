#include "common/state/state_tiers.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

enum { TIER_FILES = 8, TIER_GROWTH = 8, TIER_FIRST_BYTES = 64 * 1024, TIERS = 10, NAME_BYTES_MAX = 128 };

static uint32_t tier_of(uint64_t bytes)
{
	uint32_t tier = 0;
	for (uint64_t most = TIER_FIRST_BYTES; bytes > most && tier < TIERS - 1; most *= TIER_GROWTH)
		tier++;
	return tier;
}

/* --- which files -------------------------------------------------------------------------------------------------- */

static void take_generation(const struct file_list *list, uint64_t generation, struct file_list *into)
{
	for (uint32_t i = 0; i < list->len; i++)
		if (list->entries[i].generation == generation)
			file_list_add(into, &list->entries[i]);
}

static void drop_first(struct file_list *list, uint32_t some)
{
	for (uint32_t i = 0; i < some; i++)
		free((char *)list->entries[i].name);
	memmove(list->entries, list->entries + some, (list->len - some) * sizeof *list->entries);
	list->len -= some;
}

/* Never between two files of one checkpoint: of these (they came from several actors) each has keys of its own. */
static void cut_to(struct file_list *list, uint32_t most)
{
	uint32_t len = list->len < most ? list->len : most;
	while (len > 0 && len < list->len && epoch_equal(list->entries[len - 1].written, list->entries[len].written))
		len--;
	while (list->len > len)
		free((char *)list->entries[--list->len].name);
}

/* Of what is in one generation, in the order of writing: the newest ones that fill a tier. */
static bool cut_to_full_tier(struct file_list *files)
{
	for (uint32_t tier = 0; tier < TIERS; tier++) {
		uint32_t run = 0;
		while (run < files->len && tier_of(files->entries[files->len - 1 - run].bytes) <= tier)
			run++;
		if (run >= TIER_FILES) {
			drop_first(files, files->len - run);
			return true;
		}
	}
	return false;
}

static bool choose(const struct file_list *list, uint64_t generation, struct file_list *chosen)
{
	take_generation(list, generation, chosen);
	if (cut_to_full_tier(chosen)) {
		cut_to(chosen, MERGE_FILES_MAX);
		if (chosen->len >= 2)
			return true;
	}
	for (uint32_t i = 0; i < list->len; i++) {
		file_list_fini(chosen);
		if (list->entries[i].generation >= generation)
			continue;
		take_generation(list, list->entries[i].generation, chosen);
		cut_to(chosen, MERGE_FILES_MAX);
		if (chosen->len >= 2)
			return true;
	}
	file_list_fini(chosen);
	return false;
}

static bool has(const struct file_list *list, const char *name)
{
	for (uint32_t i = 0; i < list->len; i++)
		if (strcmp(list->entries[i].name, name) == 0)
			return true;
	return false;
}

static bool has_sources(const struct file_tiers *tiers, const struct file_list *list)
{
	for (uint32_t i = 0; i < tiers->sources.len; i++)
		if (!has(list, tiers->sources.entries[i].name))
			return false;
	return true;
}

/* --- merging ------------------------------------------------------------------------------------------------------ */

/* A result that was in a list once may be named by a manifest: it is left to the sweep of old attempts. */
static void forget(struct file_tiers *tiers)
{
	file_merge_close(tiers->merge);
	delta_writer_abandon(tiers->writer);
	file_list_fini(&tiers->sources);
	free(tiers->name);
	*tiers = (struct file_tiers){.failed = tiers->failed};
}

static enum result begin(
    struct file_tiers *tiers, const struct state_config *config, struct epoch_id checkpoint, struct error *error)
{
	char path[PATH_MAX], name[NAME_BYTES_MAX];
	const struct file_entry *newest = &tiers->sources.entries[tiers->sources.len - 1];
	(void)snprintf(name, sizeof name, "checkpoints/%" PRIu64 ".%" PRIu64 "/%u.%u.merged", checkpoint.attempt,
	    checkpoint.n, config->role, config->index);
	tiers->name = text_clone(name);
	tiers->result = (struct file_entry){
	    .name = tiers->name,
	    .written = newest->written,
	    .role = config->role,
	    .first_group = config->first_group,
	    .groups_len = config->groups_len,
	    .generation = newest->generation,
	    .newest_ms = INT64_MIN,
	};
	for (uint32_t i = 0; i < tiers->sources.len; i++)
		if (tiers->sources.entries[i].newest_ms > tiers->result.newest_ms)
			tiers->result.newest_ms = tiers->sources.entries[i].newest_ms;
	(void)snprintf(path, sizeof path, "%s/%s", config->store->ops->root(config->store), name);
	if (file_merge_open(&tiers->merge, config, tiers->sources.entries, tiers->sources.len, error) != RESULT_OK)
		return error->code;
	return delta_writer_open(&tiers->writer, path, error);
}

static enum result finish(struct file_tiers *tiers, struct error *error)
{
	struct delta_summary summary;
	struct delta_writer *writer = tiers->writer;
	tiers->writer = NULL;
	if (delta_writer_finish(writer, &summary, error) != RESULT_OK)
		return error->code;
	tiers->result.rows = summary.rows;
	tiers->result.bytes = summary.bytes;
	tiers->result.checksum = summary.checksum;
	file_merge_close(tiers->merge);
	tiers->merge = NULL;
	return RESULT_OK;
}

static enum result work(struct file_tiers *tiers, uint64_t bytes_max, struct error *error)
{
	struct delta_entry entry;
	bool more = true;
	for (uint64_t bytes = 0; bytes < bytes_max; bytes += entry.key.len + entry.value.len) {
		if (file_merge_next(tiers->merge, &entry, &more, error) != RESULT_OK)
			return error->code;
		if (!more)
			return finish(tiers, error);
		if (delta_writer_put(tiers->writer, &entry, error) != RESULT_OK)
			return error->code;
	}
	return RESULT_OK;
}

static void replace(const struct file_tiers *tiers, struct file_list *list)
{
	struct file_list kept = {0};
	for (uint32_t i = 0; i < list->len; i++)
		if (!has(&tiers->sources, list->entries[i].name))
			file_list_add(&kept, &list->entries[i]);
	file_list_add(&kept, &tiers->result);
	file_list_fini(list);
	*list = kept;
}

void file_tiers_advance(struct file_tiers *tiers, const struct state_config *config, struct epoch_id checkpoint,
    uint64_t generation, uint64_t bytes_max, struct file_list *list)
{
	struct error error;
	enum result result = RESULT_OK;
	if (tiers->sources.len > 0 && tiers->merge == NULL && has(list, tiers->name))
		forget(tiers); /* a complete checkpoint names it */
	if (tiers->sources.len > 0 && !has_sources(tiers, list))
		forget(tiers); /* their generation went */
	if (tiers->sources.len == 0) {
		if (tiers->failed || !choose(list, generation, &tiers->sources))
			return;
		result = begin(tiers, config, checkpoint, &error);
	}
	if (result == RESULT_OK && tiers->merge != NULL)
		result = work(tiers, bytes_max, &error);
	if (result == RESULT_OK && tiers->merge == NULL)
		replace(tiers, list);
	if (result == RESULT_OK)
		return;
	log_warn("files of state %u.%u stay as many as they are: %s", config->role, config->index, error.text);
	tiers->failed = result == RESULT_CORRUPT;
	forget(tiers);
}

void file_tiers_fini(struct file_tiers *tiers)
{
	forget(tiers);
}
