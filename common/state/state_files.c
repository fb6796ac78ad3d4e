#include "common/state/state_files.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 128 };

/* --- the list ------------------------------------------------------------------------------------------------------- */

void file_list_fini(struct file_list *list)
{
	for (uint32_t i = 0; i < list->len; i++)
		free((char *)list->entries[i].name);
	free(list->entries);
	*list = (struct file_list){0};
}

void file_list_add(struct file_list *list, const struct file_entry *file)
{
	list->entries = memory_resize(list->entries, list->len + 1, sizeof *list->entries);
	uint32_t place = list->len++;
	for (; place > 0 && epoch_compare(list->entries[place - 1].written, file->written) > 0; place--)
		list->entries[place] = list->entries[place - 1];
	list->entries[place] = *file;
	list->entries[place].name = text_clone(file->name);
}

void file_list_copy(struct file_list *to, const struct file_list *from)
{
	file_list_fini(to);
	for (uint32_t i = 0; i < from->len; i++)
		file_list_add(to, &from->entries[i]);
}

bool file_list_next_generation(const struct file_list *list, uint64_t at_least, uint64_t *generation)
{
	bool found = false;
	for (uint32_t i = 0; i < list->len; i++)
		if (list->entries[i].generation >= at_least && (!found || list->entries[i].generation < *generation)) {
			*generation = list->entries[i].generation;
			found = true;
		}
	return found;
}

/* false: it has nothing of ours. */
static bool cut_to_groups(const struct state_config *config, struct file_entry *file)
{
	uint32_t end = file->first_group + file->groups_len, mine = config->first_group + config->groups_len;
	if (file->first_group < config->first_group)
		file->first_group = config->first_group;
	if (end > mine)
		end = mine;
	if (file->role != config->role || file->first_group >= end)
		return false;
	file->groups_len = end - file->first_group;
	return true;
}

enum result state_files_of(const struct state_config *config, struct epoch_id checkpoint, struct file_list *list,
    struct checkpoints *line, struct arena *arena, struct error *error)
{
	struct frame_manifest manifest;
	bool found = false;
	file_list_fini(list);
	*line = (struct checkpoints){0};
	if (epoch_equal(checkpoint, (struct epoch_id){0}))
		return RESULT_OK;
	enum result result =
	    config->store->ops->get_manifest(config->store, checkpoint, arena, &manifest, &found, error);
	if (result != RESULT_OK)
		return result;
	if (!found)
		return error_set(error, RESULT_CORRUPT, "checkpoint %" PRIu64 ".%" PRIu64 " has no manifest",
		    checkpoint.attempt, checkpoint.n);
	for (uint32_t i = 0; i < manifest.files.len; i++) {
		struct file_entry file = manifest.files.entries[i];
		if (cut_to_groups(config, &file))
			file_list_add(list, &file);
	}
	*line = manifest.line;
	return RESULT_OK;
}

/* --- layers ----------------------------------------------------------------------------------------------------------- */

uint64_t layers_keys(const struct overlay *const *layers, uint32_t layers_len)
{
	uint64_t keys = 0;
	for (uint32_t i = 0; i < layers_len; i++)
		keys += layers[i]->len;
	return keys;
}

/* The first bytes of a key as a number decide nearly always, without going to the entry. */
struct sorting {
	uint64_t prefix;
	const struct overlay_entry *entry;
};

static int compare_entries(const void *a, const void *b)
{
	const struct sorting *one = a, *other = b;
	if (one->prefix != other->prefix)
		return one->prefix < other->prefix ? -1 : 1;
	return bytes_compare(overlay_key(one->entry), overlay_key(other->entry));
}

static bool is_in_newer(
    const struct overlay *const *layers, uint32_t layer, uint32_t group, const struct overlay_entry *entry)
{
	struct overlay_place ignored;
	for (uint32_t i = 0; i < layer; i++)
		if (overlay_find(layers[i], group, entry->hash, overlay_key(entry), &ignored) != NULL)
			return true;
	return false;
}

static size_t take_group(const struct overlay *const *layers, uint32_t layers_len, uint32_t group, struct sorting *into)
{
	size_t len = 0;
	for (uint32_t i = 0; i < layers_len; i++) {
		const struct overlay_entry *entry;
		for (uint32_t at = 0; (entry = overlay_next(layers[i], group, &at)) != NULL;)
			if (!is_in_newer(layers, i, group, entry))
				into[len++] = (struct sorting){bytes_prefix(overlay_key(entry)), entry};
	}
	return len;
}

static size_t keys_of_group(const struct overlay *const *layers, uint32_t layers_len, uint32_t group)
{
	size_t keys = 0;
	for (uint32_t i = 0; i < layers_len; i++)
		keys += layers[i]->groups[group - layers[i]->first_group].len;
	return keys;
}

void layer_run_make(
    struct layer_run *run, const struct state_config *config, const struct overlay *const *layers, uint32_t layers_len)
{
	struct sorting *sorting = NULL;
	layer_run_fini(run);
	run->entries = memory_resize(NULL, layers_keys(layers, layers_len) + 1, sizeof *run->entries);
	run->ends = memory_resize(NULL, config->groups_len, sizeof *run->ends);
	for (uint32_t g = 0; g < config->groups_len; g++) {
		uint32_t group = config->first_group + g;
		sorting = memory_resize(sorting, keys_of_group(layers, layers_len, group) + 1, sizeof *sorting);
		size_t len = take_group(layers, layers_len, group, sorting);
		if (len > 1)
			qsort(sorting, len, sizeof *sorting, compare_entries);
		for (size_t i = 0; i < len; i++)
			run->entries[run->len++] = sorting[i].entry;
		run->ends[g] = run->len;
	}
	free(sorting);
}

void layer_run_fini(struct layer_run *run)
{
	free(run->entries);
	free(run->ends);
	*run = (struct layer_run){0};
}

/* --- writing --------------------------------------------------------------------------------------------------------------- */

static enum result put_all(
    const struct state_config *config, struct delta_writer *writer, const struct layer_run *run, struct error *error)
{
	uint32_t g = 0;
	for (size_t i = 0; i < run->len; i++) {
		while (i == run->ends[g])
			g++;
		const struct delta_entry entry = {
		    config->first_group + g, overlay_key(run->entries[i]), overlay_value(run->entries[i])};
		if (delta_writer_put(writer, &entry, error) != RESULT_OK)
			return error->code;
	}
	return RESULT_OK;
}

static enum result write_one(const struct state_config *config, const char *name, const struct layer_run *run,
    struct delta_summary *summary, struct error *error)
{
	struct delta_writer *writer;
	char path[PATH_MAX];
	if (snprintf(path, sizeof path, "%s/%s", config->store->ops->root(config->store), name) >= PATH_MAX)
		return error_stop(error, STOP_PIPELINE_FILE, "checkpoint.dir is too long a name");
	if (delta_writer_open(&writer, path, error) != RESULT_OK)
		return error->code;
	if (put_all(config, writer, run, error) == RESULT_OK)
		return delta_writer_finish(writer, summary, error);
	delta_writer_abandon(writer);
	return error->code;
}

enum result state_files_write(const struct state_config *config, struct epoch_id checkpoint, uint64_t generation,
    int64_t newest_ms, const struct layer_run *run, struct file_list *list, struct error *error)
{
	char name[NAME_BYTES_MAX];
	struct delta_summary summary;
	if (run->len == 0)
		return RESULT_OK;
	(void)snprintf(name, sizeof name, "checkpoints/%" PRIu64 ".%" PRIu64 "/%u.%u", checkpoint.attempt, checkpoint.n,
	    config->role, config->index);
	if (write_one(config, name, run, &summary, error) != RESULT_OK)
		return error->code;
	file_list_add(list, &(struct file_entry){.name = name,
	                        .written = checkpoint,
	                        .role = config->role,
	                        .first_group = config->first_group,
	                        .groups_len = config->groups_len,
	                        .generation = generation,
	                        .newest_ms = newest_ms,
	                        .rows = summary.rows,
	                        .bytes = summary.bytes,
	                        .checksum = summary.checksum});
	return RESULT_OK;
}
