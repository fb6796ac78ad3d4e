#include "common/state/state_merge.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct source {
	struct delta_reader *reader;
	struct delta_entry head;
	uint64_t prefix; /* of the head's key: decides nearly always */
};

struct file_merge {
	struct source sources[MERGE_FILES_MAX]; /* oldest first */
	uint32_t len;
	uint32_t heap[MERGE_FILES_MAX]; /* of sources that have a head; the least is in front */
	uint32_t heap_len;
	bool handed_out; /* the head in front */
};

static int compare_heads(const struct source *a, const struct source *b)
{
	if (a->head.group != b->head.group)
		return a->head.group < b->head.group ? -1 : 1;
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	return bytes_compare(a->head.key, b->head.key);
}

/* Of equal keys the newest file comes first. */
static bool is_before(const struct file_merge *merge, uint32_t a, uint32_t b)
{
	int order = compare_heads(&merge->sources[a], &merge->sources[b]);
	return order != 0 ? order < 0 : a > b;
}

static void sift_down(struct file_merge *merge, uint32_t at)
{
	uint32_t *heap = merge->heap;
	for (;;) {
		uint32_t least = at, left = 2 * at + 1;
		for (uint32_t child = left; child < left + 2 && child < merge->heap_len; child++)
			if (is_before(merge, heap[child], heap[least]))
				least = child;
		if (least == at)
			return;
		uint32_t moved = heap[at];
		heap[at] = heap[least];
		heap[least] = moved;
		at = least;
	}
}

static enum result next_head(struct source *source, bool *more, struct error *error)
{
	if (delta_reader_next(source->reader, &source->head, more, error) != RESULT_OK)
		return error->code;
	if (*more)
		source->prefix = bytes_prefix(source->head.key);
	return RESULT_OK;
}

/* The source at this place of the heap goes on, or leaves it. */
static enum result step(struct file_merge *merge, uint32_t at, struct error *error)
{
	bool more;
	if (next_head(&merge->sources[merge->heap[at]], &more, error) != RESULT_OK)
		return error->code;
	if (!more)
		merge->heap[at] = merge->heap[--merge->heap_len];
	sift_down(merge, at);
	return RESULT_OK;
}

/* Older entries of the key in front: they come directly behind it. */
static enum result pass_older(struct file_merge *merge, struct error *error)
{
	const uint32_t *heap = merge->heap;
	while (merge->heap_len > 1) {
		uint32_t second = merge->heap_len > 2 && is_before(merge, heap[2], heap[1]) ? 2 : 1;
		if (compare_heads(&merge->sources[heap[0]], &merge->sources[heap[second]]) != 0)
			break;
		if (step(merge, second, error) != RESULT_OK)
			return error->code;
	}
	return RESULT_OK;
}

static enum result add_source(
    struct file_merge *merge, const struct state_config *config, const struct file_entry *file, struct error *error)
{
	const struct delta_summary expected = {file->rows, file->bytes, file->checksum};
	struct source *source = &merge->sources[merge->len];
	char path[PATH_MAX];
	bool more;
	if (snprintf(path, sizeof path, "%s/%s", config->store->ops->root(config->store), file->name) >= PATH_MAX)
		return error_set(error, RESULT_CORRUPT, "the name of a file is too long");
	if (delta_reader_open(&source->reader, path, &expected, file->first_group, file->groups_len, error) !=
	    RESULT_OK)
		return error->code;
	merge->len++;
	if (next_head(source, &more, error) != RESULT_OK)
		return error->code;
	if (more)
		merge->heap[merge->heap_len++] = merge->len - 1;
	return RESULT_OK;
}

enum result file_merge_open(struct file_merge **opened, const struct state_config *config,
    const struct file_entry *files, uint32_t len, struct error *error)
{
	struct file_merge *merge = memory_new(sizeof *merge);
	CHECK(len <= MERGE_FILES_MAX);
	for (uint32_t i = 0; i < len; i++)
		if (add_source(merge, config, &files[i], error) != RESULT_OK) {
			file_merge_close(merge);
			return error->code;
		}
	for (uint32_t at = merge->heap_len / 2; at-- > 0;)
		sift_down(merge, at);
	*opened = merge;
	return RESULT_OK;
}

enum result file_merge_next(struct file_merge *merge, struct delta_entry *entry, bool *more, struct error *error)
{
	/* What was handed out lies in its reader, so that one goes on last. */
	if (merge->handed_out && (pass_older(merge, error) != RESULT_OK || step(merge, 0, error) != RESULT_OK))
		return error->code;
	*more = merge->handed_out = merge->heap_len > 0;
	if (*more)
		*entry = merge->sources[merge->heap[0]].head;
	return RESULT_OK;
}

void file_merge_close(struct file_merge *merge)
{
	if (merge == NULL)
		return;
	for (uint32_t i = 0; i < merge->len; i++)
		delta_reader_close(merge->sources[i].reader);
	free(merge);
}
