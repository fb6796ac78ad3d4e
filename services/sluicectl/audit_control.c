/* services/sluicectl/audit_control.c - see audit_control.h. */
#include "services/sluicectl/audit_control.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "services/sluicectl/audit_http.h"

const char *const control_counter_names[CONTROL_COUNTERS] = {"consumed", "accepted", "dead"};

static bool small_number(const struct tree_node *node, int64_t most, uint32_t *number)
{
	int64_t value;
	if (!tree_integer(node, &value) || value > most)
		return false;
	*number = (uint32_t)value;
	return true;
}

static bool large_number(const struct tree_node *node, uint64_t *number)
{
	int64_t value;
	if (!tree_integer(node, &value))
		return false;
	*number = (uint64_t)value;
	return true;
}

static int compare_offsets(const void *a, const void *b)
{
	const struct control_offset *left = a, *right = b;
	return (left->partition > right->partition) - (left->partition < right->partition);
}

/* A partition in decimal digits, as it is written. */
static bool partition_of(struct bytes name, uint32_t *partition)
{
	uint64_t number = 0;
	if (name.len == 0 || name.len > 10 || (name.len > 1 && name.data[0] == '0'))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] < '0' || name.data[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(name.data[i] - '0');
	}
	*partition = (uint32_t)number;
	return number <= INT32_MAX;
}

static bool read_cut(struct control_cut *cut, const struct tree_node *node)
{
	size_t len = 0;
	if (node->kind != TREE_OBJECT)
		return false;
	for (const struct tree_node *member = node->first; member != NULL; member = member->next)
		if (++len > CONTROL_PARTITIONS_MAX)
			return false;
	cut->offsets = memory_new((len + 1) * sizeof cut->offsets[0]);
	for (const struct tree_node *member = node->first; member != NULL; member = member->next) {
		struct control_offset *offset = &cut->offsets[cut->len];
		if (!partition_of(member->name, &offset->partition) || !tree_integer(member, &offset->offset))
			return false;
		cut->len++;
	}
	qsort(cut->offsets, cut->len, sizeof cut->offsets[0], compare_offsets);
	for (size_t i = 1; i < cut->len; i++)
		if (cut->offsets[i].partition == cut->offsets[i - 1].partition)
			return false;
	return true;
}

static bool read_optional_cut(struct control_cut *cut, bool *there, const struct tree_node *node)
{
	*there = node != NULL && node->kind != TREE_NULL;
	return !*there || read_cut(cut, node);
}

static bool copy_text(char *to, size_t room, const struct tree_node *node)
{
	struct bytes text;
	if (!tree_text(node, &text) || text.len >= room || (text.len > 0 && memchr(text.data, '\0', text.len) != NULL))
		return false;
	memcpy(to, text.data, text.len);
	to[text.len] = '\0';
	return true;
}

const char *control_read(struct control *control, const char *job, uint32_t writer, const struct tree_node *source)
{
	struct bytes of_job, name = {(const uint8_t *)job, strlen(job)};
	const struct tree_node *counters = tree_member(source, "counters");
	*control = (struct control){0};
	if (!tree_text(tree_member(source, "job"), &of_job) || !bytes_equal(of_job, name))
		return "job is another one";
	if (!small_number(tree_member(source, "writer"), CONTROL_WRITERS_MAX, &control->writer) ||
	    control->writer != writer)
		return "writer is not the number of its id";
	if (!small_number(tree_member(source, "writers"), CONTROL_WRITERS_MAX, &control->writers) ||
	    control->writers == 0)
		return "writers is no number of writers";
	if (!small_number(tree_member(source, "first_group"), INT32_MAX, &control->first_group) ||
	    !small_number(tree_member(source, "groups"), INT32_MAX, &control->groups) ||
	    !small_number(tree_member(source, "key_groups"), INT32_MAX, &control->key_groups))
		return "first_group, groups or key_groups is no number";
	if (!large_number(tree_member(source, "attempt"), &control->attempt) ||
	    !large_number(tree_member(source, "epoch"), &control->epoch))
		return "attempt or epoch is no number";
	if (!read_optional_cut(&control->cut, &control->started, tree_member(source, "cut")))
		return "cut is none";
	if (!read_optional_cut(&control->start, &control->has_start, tree_member(source, "start")))
		return "start is none";
	if (!read_optional_cut(&control->since, &control->has_since, tree_member(source, "since")))
		return "since is none";
	for (size_t i = 0; i < CONTROL_COUNTERS; i++)
		if (!large_number(tree_member(counters, control_counter_names[i]), &control->counters[i]))
			return "counters are none";
	if (!copy_text(control->fingerprint, sizeof control->fingerprint, tree_member(source, "fingerprint")))
		return "fingerprint is none";
	if (!copy_text(control->index, sizeof control->index, tree_member(source, "index")))
		return "index is none";
	return NULL;
}

void control_fini(struct control *control)
{
	free(control->cut.offsets);
	free(control->start.offsets);
	free(control->since.offsets);
	*control = (struct control){0};
}

void control_path(struct buffer *path, const char *verb, const char *job, uint32_t writer)
{
	buffer_printf(path, "/" CONTROL_INDEX "/%s/", verb);
	http_encode(path, job);
	buffer_printf(path, ".%" PRIu32, writer);
}

bool control_version_read(struct control_version *version, const struct tree_node *answer)
{
	return tree_integer(tree_member(answer, "_seq_no"), &version->seq_no) &&
	       tree_integer(tree_member(answer, "_primary_term"), &version->term);
}

void control_version_put(const struct control_version *version, struct buffer *path)
{
	buffer_printf(path, "?if_seq_no=%" PRId64 "&if_primary_term=%" PRId64, version->seq_no, version->term);
}

int64_t control_cut_at(const struct control_cut *cut, uint32_t partition)
{
	const struct control_offset key = {.partition = partition};
	const struct control_offset *found =
	    cut->len > 0 ? bsearch(&key, cut->offsets, cut->len, sizeof key, compare_offsets) : NULL;
	return found != NULL ? found->offset : 0;
}

size_t controls_active(const struct control *controls, size_t len)
{
	uint64_t next = 0;
	for (size_t i = 0; i < len; i++) {
		const struct control *control = &controls[i];
		if (control->writer != i || control->key_groups != controls[0].key_groups ||
		    control->first_group != next)
			return 0;
		next += control->groups;
		if (next == control->key_groups)
			return i + 1;
	}
	return 0;
}
