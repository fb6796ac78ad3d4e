#include <stdlib.h>
#include <string.h>

#include "common/base/pipeline_draft.h"
#include "common/base/timestamp.h"

enum { OFFSETS_MAX = 4096 };

/* An instant: a wall clock alone would depend on the pipeline's zone, which has nothing to do with Kafka's time. */
static enum result read_start_timestamp(struct start *start, const struct yaml_node *node, struct error *error)
{
	struct time_zone utc;
	const char *text;
	int64_t wall_us, instant_us;
	uint64_t number;
	enum result result = time_zone_open(&utc, "UTC", error);
	if (result == RESULT_OK)
		result = node_text(node, &text, error);
	if (result != RESULT_OK)
		return result;
	size_t len = strlen(text);
	enum timestamp_verdict verdict = TIMESTAMP_SYNTAX;
	if (count_parse(text, INT64_MAX, &number))
		verdict = timestamp_from_number(&utc, (int64_t)number, &wall_us, &instant_us);
	else if (len > 10 && strpbrk(text + 10, "Zz+-") != NULL)
		verdict = timestamp_parse(&utc, text, len, &wall_us, &instant_us);
	if (verdict != TIMESTAMP_OK)
		return yaml_error(
		    node, error, "'%.64s': expected a time with its offset, such as 2024-01-15T00:00:00Z", text);
	start->at = START_TIMESTAMP;
	start->timestamp_ms = instant_us / 1000;
	return RESULT_OK;
}

static int compare_offsets(const void *a, const void *b)
{
	uint32_t left = ((const struct start_offset *)a)->partition;
	uint32_t right = ((const struct start_offset *)b)->partition;
	return left < right ? -1 : left > right;
}

static enum result read_start_offsets(struct start *start, const struct yaml_node *node, struct error *error)
{
	if (node->kind != YAML_MAP || node->children == 0 || node->children > OFFSETS_MAX)
		return yaml_error(node, error, "expected a map of partitions and offsets, such as {0: 100, 1: 250}");
	start->at = START_OFFSETS;
	start->offsets = memory_new(node->children * sizeof *start->offsets);
	for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
		uint64_t partition, offset;
		if (!count_parse(child->key, INT32_MAX, &partition))
			return yaml_error(child, error, "'%.64s': expected the number of a partition", child->key);
		if (child->kind != YAML_TEXT || !count_parse(child->text, INT64_MAX, &offset))
			return yaml_error(child, error, "'%.64s': expected an offset", child->text);
		start->offsets[start->offsets_len++] =
		    (struct start_offset){.partition = (uint32_t)partition, .offset = (int64_t)offset};
	}
	qsort(start->offsets, start->offsets_len, sizeof *start->offsets, compare_offsets);
	return RESULT_OK;
}

enum result read_start(struct pipeline_draft *draft, struct error *error)
{
	static const char expected[] = "expected earliest, latest, {timestamp: ...} or {offsets: {...}}";
	struct start *start = &draft->pipeline.source.start;
	const struct yaml_node *node = draft->nodes.start;
	start->at = START_EARLIEST;
	if (node == NULL || (node->kind == YAML_TEXT && strcmp(node->text, "earliest") == 0))
		return RESULT_OK;
	if (node->kind == YAML_TEXT && strcmp(node->text, "latest") == 0) {
		start->at = START_LATEST;
		return RESULT_OK;
	}
	if (node->kind != YAML_MAP || node->children != 1)
		return yaml_error(node, error, "%s", expected);
	if (strcmp(node->first->key, "timestamp") == 0)
		return read_start_timestamp(start, node->first, error);
	if (strcmp(node->first->key, "offsets") == 0)
		return read_start_offsets(start, node->first, error);
	return yaml_error(node->first, error, "%s", expected);
}

static bool kafka_name_is_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	return strspn(name, letters) == strlen(name);
}

enum result read_kafka(struct pipeline_draft *draft, struct error *error)
{
	struct pipeline *pipeline = &draft->pipeline;
	const struct yaml_node *node = draft->nodes.kafka;
	if (node == NULL)
		return RESULT_OK;
	if (node->kind != YAML_MAP || node->children > PIPELINE_KAFKA_MAX)
		return yaml_error(
		    node, error, "expected a map of at most %d settings of librdkafka", PIPELINE_KAFKA_MAX);
	for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
		const char *value;
		if (!kafka_name_is_valid(child->key))
			return yaml_error(child, error, "expected the name of a setting of librdkafka");
		enum result result = node_text(child, &value, error);
		if (result != RESULT_OK)
			return result;
		if (strcmp(child->key, "bootstrap.servers") == 0 && value[0] == '\0')
			return yaml_error(child, error, "is empty; expected host:port,...");
		pipeline->source.kafka[pipeline->source.kafka_len++] =
		    (struct setting){.name = text_clone(child->key), .value = text_clone(value)};
	}
	return RESULT_OK;
}
