#include "common/state/state_merge.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { NOBODY = -1 };

struct source {
	struct delta_reader *reader;
	struct delta_entry head;
};

struct file_merge {
	struct source sources[MERGE_FILES_MAX]; /* oldest first */
	uint32_t len;
	int heap[MERGE_FILES_MAX]; /* of sources that have a head; the least is in front */
	uint32_t heap_len;
	int current; /* whose head was handed out */
};

static int compare_heads(const struct delta_entry *a, const struct delta_entry *b)
{
	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	return bytes_compare(a->key, b->key);
}

/* Of equal keys the newest file comes first. */
static bool is_before(const struct file_merge *merge, int a, int b)
{
	int order = compare_heads(&merge->sources[a].head, &merge->sources[b].head);
	return order != 0 ? order < 0 : a > b;
}

static void sift_down(struct file_merge *merge)
{
	int *heap = merge->heap;
	for (uint32_t at = 0;;) {
		uint32_t least = at, left = 2 * at + 1;
		for (uint32_t child = left; child < left + 2 && child < merge->heap_len; child++)
			if (is_before(merge, heap[child], heap[least]))
				least = child;
		if (least == at)
			return;
		int moved = heap[at];
		heap[at] = heap[least];
		heap[least] = moved;
		at = least;
	}
}

static void push(struct file_merge *merge, int source)
{
	int *heap = merge->heap;
	uint32_t at = merge->heap_len++;
	for (; at > 0 && is_before(merge, source, heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = source;
}

/* The source in front goes on. */
static enum result step(struct file_merge *merge, struct error *error)
{
	struct source *source = &merge->sources[merge->heap[0]];
	bool more;
	if (delta_reader_next(source->reader, &source->head, &more, error) != RESULT_OK)
		return error->code;
	if (!more)
		merge->heap[0] = merge->heap[--merge->heap_len];
	sift_down(merge);
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
	if (delta_reader_next(source->reader, &source->head, &more, error) != RESULT_OK)
		return error->code;
	if (more)
		push(merge, (int)merge->len - 1);
	return RESULT_OK;
}

enum result file_merge_open(struct file_merge **opened, const struct state_config *config,
    const struct file_entry *files, uint32_t len, struct error *error)
{
	struct file_merge *merge = memory_new(sizeof *merge);
	CHECK(len <= MERGE_FILES_MAX);
	merge->current = NOBODY;
	for (uint32_t i = 0; i < len; i++)
		if (add_source(merge, config, &files[i], error) != RESULT_OK) {
			file_merge_close(merge);
			return error->code;
		}
	*opened = merge;
	return RESULT_OK;
}

enum result file_merge_next(struct file_merge *merge, struct delta_entry *entry, bool *more, struct error *error)
{
	if (merge->current != NOBODY) {
		/* What was handed out lies in its reader: the others pass its key before it goes on itself. */
		int current = merge->current;
		merge->current = NOBODY;
		merge->heap[0] = merge->heap[--merge->heap_len];
		sift_down(merge);
		while (merge->heap_len > 0 &&
		       compare_heads(&merge->sources[merge->heap[0]].head, &merge->sources[current].head) == 0)
			if (step(merge, error) != RESULT_OK)
				return error->code;
		if (delta_reader_next(merge->sources[current].reader, &merge->sources[current].head, more, error) !=
		    RESULT_OK)
			return error->code;
		if (*more)
			push(merge, current);
	}
	*more = merge->heap_len > 0;
	if (*more) {
		merge->current = merge->heap[0];
		*entry = merge->sources[merge->current].head;
	}
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
