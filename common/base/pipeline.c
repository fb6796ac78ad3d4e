#include "common/base/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/pipeline_draft.h"
#include "common/base/timestamp.h"

/* --- what a single value may be -------------------------------------------------------------------------------- */

bool name_is_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
	size_t len = strlen(name);
	return len > 0 && len <= PIPELINE_NAME_MAX && (name[0] < '0' || name[0] > '9') && strspn(name, letters) == len;
}

bool column_is_valid(const char *name)
{
	static const char *const taken[] = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};
	for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
		if (strcmp(name, taken[i]) == 0)
			return false;
	return name_is_valid(name);
}

static bool table_is_valid(const char *name)
{
	return name_is_valid(name) && strcmp(name, "dead_letters") != 0;
}

static bool schema_is_valid(const char *name)
{
	if (name[0] == '\0')
		return true;
	return name_is_valid(name) && strcmp(name, "sluice") != 0 && strcmp(name, "information_schema") != 0 &&
	       strncmp(name, "pg_", 3) != 0;
}

static bool job_is_valid(const char *job)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t len = strlen(job);
	return len > 0 && len <= PIPELINE_NAME_MAX && job[0] != '_' && job[0] != '-' && strspn(job, letters) == len;
}

/* What a Kafka broker takes. */
static bool topic_is_valid(const char *topic)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = strlen(topic);
	return len > 0 && len <= 249 && strspn(topic, letters) == len && strcmp(topic, ".") != 0 &&
	       strcmp(topic, "..") != 0;
}

static bool zone_is_known(const char *name)
{
	return time_zone_check(name, NULL) == RESULT_OK;
}

static bool policy_is_built(const char *policy)
{
	return strcmp(policy, "first") == 0;
}

/* host:port, also [::1]:port */
static bool address_is_valid(const char *address)
{
	const char *colon = strrchr(address, ':');
	uint64_t port;
	return colon != NULL && colon > address && strpbrk(address, "/ @") == NULL &&
	       count_parse(colon + 1, 65535, &port) && port > 0;
}

static bool compression_is_valid(const char *name)
{
	return strcmp(name, "none") == 0 || strcmp(name, "gzip") == 0;
}

static bool is_not_built(const char *text)
{
	(void)text;
	return false;
}

/* A folder of this machine, also as file:///path; folder_strip makes a path of it. */
static bool folder_is_valid(const char *text)
{
	return text[0] != '\0' && (strstr(text, "://") == NULL || strncmp(text, "file:///", 8) == 0 ||
	                              strncmp(text, "file://localhost/", 17) == 0);
}

static void folder_strip(char *text)
{
	size_t skip = strncmp(text, "file://localhost/", 17) == 0 ? 16
	              : strncmp(text, "file:///", 8) == 0         ? 7
	              : strncmp(text, "file:/", 6) == 0           ? 5
	                                                          : 0;
	memmove(text, text + skip, strlen(text + skip) + 1);
}

static bool listen_is_valid(const char *listen)
{
	return strncmp(listen, "tcp://", 6) == 0 && address_is_valid(listen + 6);
}

/* --- the table ------------------------------------------------------------------------------------------------- */

#define IN(member) SETTING_AT(struct pipeline_draft, pipeline.member)
#define DRAFT(member) SETTING_AT(struct pipeline_draft, member)
#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define MS UINT64_C(1000)
#define SECOND (1000 * MS)
#define DAY (86400 * SECOND)
#define CENTURY (36500 * DAY)

const struct setting_row pipeline_settings[] = {
    {"job", SETTING_TEXT, .needed = true, IN(job), .valid = job_is_valid,
        .expects = "small letters, digits, _ and -, beginning with a letter or digit, at most 63",
        .help = "name of the pipeline; its jobs are <job>/totals and <job>/search"},
    {"source.topic", SETTING_TEXT, .needed = true, IN(source.topic), .valid = topic_is_valid,
        .expects = "the name of a Kafka topic", .help = "the topic that is read"},
    {"source.start", SETTING_NODE, DRAFT(nodes.start), .print = print_start,
        .help =
            "earliest (default), latest, {timestamp: T} or {offsets: {partition: offset}}; where nothing was read yet"},
    {"source.kafka", SETTING_NODE, DRAFT(nodes.kafka), .print = print_kafka,
        .help = "settings of librdkafka, handed on unchanged"},
    {"record.table", SETTING_TEXT, .needed = true, IN(record.table), .valid = table_is_valid, .expects = NAME_EXPECTS,
        .help = "the table that holds one row a record"},
    {"record.key", SETTING_NODE, .needed = true, DRAFT(nodes.key), .print = print_key,
        .help = "the field that identifies a record: a required string"},
    {"record.event_time", SETTING_NODE, .needed = true, DRAFT(nodes.event_time), .print = print_event_time,
        .help = "the field that says when it happened: a required timestamp"},
    {"record.time_zone", SETTING_TEXT, .fallback = "UTC", IN(record.time_zone), .valid = zone_is_known,
        .expects = "UTC or an IANA name such as Europe/Berlin that this machine knows",
        .help = "the zone whose wall clock is stored and decides the day"},
    {"record.max_record_bytes", SETTING_SIZE, .fallback = "256KiB", IN(record.max_record_bytes), .least = KIB,
        .most = 3 * MIB, .help = "longer records become dead letters"},
    {"record.max_future", SETTING_DURATION, .fallback = "1d", IN(record.max_future_us), .most = CENTURY,
        .help = "how much later than Kafka's timestamp an event time may be"},
    {"record.fields", SETTING_NODE, .needed = true, DRAFT(nodes.fields), .print = print_fields,
        .help = "list of {name, type, required, aliases, index}; types string(n), integer, decimal(p,s), timestamp"},
    {"duplicates.policy", SETTING_TEXT, .fallback = "first", DRAFT(unbuilt.policy), .valid = policy_is_built,
        .expects = "first (last is not supported yet)", .print = print_policy, .help = "which record of a key stays"},
    {"duplicates.retention", SETTING_DURATION, .fallback = "24h", IN(duplicates.retention_us), .most = CENTURY,
        .help = "how long a key is remembered at least, in Kafka's time"},
    {"rollups", SETTING_NODE, .needed = true, DRAFT(nodes.rollups), .print = print_rollups,
        .help = "list of {table, by, measures}; by: {column, field|day|month|year}; measures: {column, sum, type}"},
    {"sinks.postgres.url", SETTING_TEXT, .fallback = "", IN(sinks.postgres_url),
        .help = "connection string; empty: libpq's own PG* variables"},
    {"sinks.postgres.schema", SETTING_TEXT, .fallback = "", IN(sinks.postgres_schema), .valid = schema_is_valid,
        .expects = "a name of small letters, digits and _, not sluice, information_schema or pg_...",
        .help =
            "of the tables; empty: what the user's search_path gives at the very first start, and kept from then on"},
    {"sinks.elasticsearch.url", SETTING_TEXT, .fallback = "", IN(sinks.elasticsearch.url),
        .help = "http[s]://[user:password@]host[:port]; neither it nor hosts: there is no search job"},
    {"sinks.elasticsearch.hosts", SETTING_TEXT, .fallback = "", IN(sinks.elasticsearch.hosts),
        .help = "more of them, with commas between; the next one is taken where one does not answer"},
    {"sinks.elasticsearch.index", SETTING_TEXT, IN(sinks.elasticsearch.index), .valid = index_is_valid,
        .expects = INDEX_EXPECTS, .help = "of the documents; a date is the event time's (default: record.table)"},
    {"sinks.elasticsearch.user", SETTING_TEXT, .fallback = "", IN(sinks.elasticsearch.user),
        .help = "for basic authentication"},
    {"sinks.elasticsearch.password", SETTING_TEXT, .fallback = "", IN(sinks.elasticsearch.password),
        .print = print_elasticsearch_password, .help = "for basic authentication"},
    {"sinks.elasticsearch.api_key", SETTING_TEXT, .fallback = "", IN(sinks.elasticsearch.api_key),
        .print = print_elasticsearch_api_key, .help = "instead of a user: id:key, or its encoded form"},
    {"sinks.elasticsearch.ca_file", SETTING_TEXT, .fallback = "", IN(sinks.elasticsearch.ca_file),
        .help = "certificates of the authorities that are trusted, PEM; empty: the system's"},
    {"sinks.elasticsearch.compression", SETTING_TEXT, .fallback = "none", IN(sinks.elasticsearch.compression),
        .valid = compression_is_valid, .expects = "none or gzip", .help = "of what is sent: none or gzip"},
    {"sinks.elasticsearch.max_batch_bytes", SETTING_SIZE, .fallback = "1MiB", IN(sinks.elasticsearch.max_batch_bytes),
        .least = 64 * KIB, .most = 64 * MIB, .help = "what one request carries, before compression"},
    {"sinks.elasticsearch.max_requests", SETTING_COUNT, .fallback = "2", IN(sinks.elasticsearch.max_requests),
        .least = 1, .most = 16, .help = "requests of one writer at a time"},
    {"sinks.elasticsearch.timeout", SETTING_DURATION, .fallback = "30s", IN(sinks.elasticsearch.timeout_us),
        .least = SECOND, .most = 600 * SECOND, .help = "a request without an answer is sent again after it"},
    {"epoch.min_interval", SETTING_DURATION, .fallback = "10ms", IN(epoch.min_interval_us), .most = 60 * SECOND,
        .help = "shortest time between two commits"},
    {"epoch.max_in_flight", SETTING_COUNT, .fallback = "3", IN(epoch.max_in_flight), .least = 1, .most = 64,
        .help = "epochs under way at a time"},
    {"epoch.max_bytes", SETTING_SIZE, .fallback = "1MiB", IN(epoch.max_bytes), .least = 64 * KIB, .most = 64 * MIB,
        .help = "what an ingest sends in an epoch"},
    {"epoch.max_bytes_behind", SETTING_SIZE, .fallback = "6MiB", IN(epoch.max_bytes_behind), .least = 64 * KIB,
        .most = 64 * MIB, .help = "the same while a backlog is drained; at least max_bytes"},
    {"checkpoint.dir", SETTING_TEXT, .fallback = "/var/lib/sluice/checkpoints", IN(checkpoint.dir),
        .valid = folder_is_valid, .expects = "a folder, /path or file:///path",
        .help = "where checkpoints are kept; every process must reach it"},
    {"checkpoint.interval", SETTING_DURATION, .fallback = "5s", IN(checkpoint.interval_us), .least = 10 * MS,
        .most = DAY, .help = "time from one checkpoint to the next"},
    {"checkpoint.timeout", SETTING_DURATION, .fallback = "60s", IN(checkpoint.timeout_us), .least = 100 * MS,
        .most = DAY,
        .help = "a checkpoint that takes longer is given up; doubled for the next attempt where that ended one"},
    {"checkpoint.min_pause", SETTING_DURATION, .fallback = "0s", IN(checkpoint.min_pause_us), .most = DAY,
        .help = "rest from the end of a checkpoint to the next"},
    {"checkpoint.max_records", SETTING_COUNT, .fallback = "250000", IN(checkpoint.max_records), .least = 1,
        .most = 1000000000, .help = "a checkpoint is early after so many: bounds what changed, which lies in memory"},
    {"checkpoint.tolerable_failures", SETTING_COUNT, .fallback = "3", IN(checkpoint.tolerable_failures), .most = 1000,
        .help = "more failures in a row end the attempt"},
    {"checkpoint.retain", SETTING_COUNT, .fallback = "3", IN(checkpoint.retain), .least = 2, .most = 1000,
        .help = "checkpoints kept"},
    {"state.dir", SETTING_TEXT, .fallback = "/var/lib/sluice/state", IN(state.dir), .valid = folder_is_valid,
        .expects = "a folder, /path or file:///path",
        .help = "cache of state on this machine's own disk; rebuilt where it is missing"},
    {"state.memory", SETTING_SIZE, .fallback = "32MiB", IN(state.memory_bytes), .least = 8 * MIB,
        .most = 65536 * (uint64_t)MIB, .help = "filters, caches and buffers of one dedup or rollup actor"},
    {"parallelism.ingest", SETTING_COUNT, .fallback = "2", IN(parallelism.ingest), .least = 1, .most = PARALLELISM_MAX,
        .help = "actors that read and parse"},
    {"parallelism.dedup", SETTING_COUNT, .fallback = "2", IN(parallelism.dedup), .least = 1, .most = PARALLELISM_MAX,
        .help = "actors that own record keys"},
    {"parallelism.rollup", SETTING_COUNT, .fallback = "1", IN(parallelism.rollup), .least = 1, .most = PARALLELISM_MAX,
        .help = "actors that own totals"},
    {"parallelism.search", SETTING_COUNT, .fallback = "1", IN(parallelism.search), .least = 1, .most = PARALLELISM_MAX,
        .help = "writers of the search job"},
    {"key_groups", SETTING_COUNT, .fallback = "128", IN(key_groups), .least = 1, .most = KEY_GROUPS_MAX,
        .help = "units of state; fixed once data was written"},
    {"coordinator.listen", SETTING_TEXT, .fallback = "tcp://127.0.0.1:7710", IN(coordinator.listen),
        .valid = listen_is_valid, .expects = "tcp://host:port", .help = "where workers find the coordinator"},
    {"coordinator.http", SETTING_TEXT, DRAFT(unbuilt.http), .valid = is_not_built,
        .expects = "no such line: an API and a web page are not built yet", .help = "not built yet: leave it out"},
};
const size_t pipeline_settings_len = sizeof pipeline_settings / sizeof pipeline_settings[0];

/* --- reading --------------------------------------------------------------------------------------------------- */

enum result node_text(const struct yaml_node *node, const char **text, struct error *error)
{
	*text = node->text;
	return node->kind == YAML_TEXT ? RESULT_OK : yaml_error(node, error, "expected a single value");
}

enum result node_list(const struct yaml_node *node, size_t most, struct error *error)
{
	if (node->kind != YAML_LIST)
		return yaml_error(node, error, "expected a list");
	if (node->children == 0 || node->children > most)
		return yaml_error(node, error, "has %u entries, expected 1 to %zu", node->children, most);
	return RESULT_OK;
}

static enum result check_together(const struct pipeline_draft *draft, const struct yaml_node *root, struct error *error)
{
	const struct pipeline *pipeline = &draft->pipeline;
	const struct yaml_node *behind = yaml_member(yaml_member(root, "epoch"), "max_bytes_behind");
	if (behind != NULL && pipeline->epoch.max_bytes_behind < pipeline->epoch.max_bytes)
		return yaml_error(behind, error, "is below epoch.max_bytes");
	return RESULT_OK;
}

/* The result of a step; with a list of mistakes a failure is noted there, and the steps that do not depend on it follow. */
static bool went_wrong(struct pipeline_draft *draft, enum result result, const struct error *error)
{
	return result != RESULT_OK && !mistakes_add(draft->mistakes, error);
}

static enum result read_draft(struct pipeline_draft *draft, const struct yaml_node *root, struct error *error)
{
	struct pipeline *pipeline = &draft->pipeline;
	const struct mistakes *mistakes = draft->mistakes;
	if (went_wrong(draft,
	        settings_read_all(pipeline_settings, pipeline_settings_len, root, draft, draft->mistakes, error),
	        error) ||
	    went_wrong(draft, check_together(draft, root, error), error) ||
	    went_wrong(draft, read_start(draft, error), error) || went_wrong(draft, read_kafka(draft, error), error) ||
	    went_wrong(draft, read_elasticsearch(draft, root, error), error))
		return RESULT_CONFIG;
	uint32_t before = mistakes != NULL ? mistakes->len : 0;
	bool known = draft->nodes.fields != NULL && draft->nodes.key != NULL && draft->nodes.event_time != NULL;
	if (known && went_wrong(draft, read_record(draft, error), error))
		return RESULT_CONFIG;
	bool sound = known && (mistakes == NULL || mistakes->len == before);
	if (sound && draft->nodes.rollups != NULL && went_wrong(draft, read_rollups(draft, error), error))
		return RESULT_CONFIG;
	if (mistakes != NULL && mistakes->len > 0)
		return error_set(error, RESULT_CONFIG, "%u mistakes", mistakes->len);
	folder_strip(pipeline->checkpoint.dir);
	folder_strip(pipeline->state.dir);
	if (pipeline->epoch.max_bytes_behind < pipeline->epoch.max_bytes)
		pipeline->epoch.max_bytes_behind = pipeline->epoch.max_bytes;
	return RESULT_OK;
}

static enum result parse(
    struct pipeline *pipeline, const char *path, struct bytes text, struct mistakes *mistakes, struct error *error)
{
	struct error unheard;
	if (error == NULL)
		error = &unheard;
	*pipeline = (struct pipeline){0};
	struct yaml_tree tree;
	enum result result = yaml_tree_parse(&tree, text, error);
	if (result != RESULT_OK)
		return error_wrap(error, "%s", path);

	struct pipeline_draft *draft = memory_new(sizeof *draft);
	draft->mistakes = mistakes;
	result = read_draft(draft, tree.root, error);
	*pipeline = draft->pipeline;
	free(draft->unbuilt.policy);
	free(draft->unbuilt.http);
	free(draft);
	yaml_tree_fini(&tree);
	if (result != RESULT_OK) {
		pipeline_fini(pipeline);
		return error_wrap(error, "%s", path);
	}
	pipeline->path = text_clone(path);
	pipeline_make_meaning(pipeline);
	return RESULT_OK;
}

enum result pipeline_parse(struct pipeline *pipeline, const char *path, struct bytes text, struct error *error)
{
	return parse(pipeline, path, text, NULL, error);
}

/* At most a byte more than a pipeline file may have: enough for pipeline_parse to refuse it. */
static enum result read_file(const char *path, struct buffer *text, struct error *error)
{
	enum result result = RESULT_OK;
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return error_set(error, RESULT_CONFIG, "cannot read pipeline file %s: %s", path, strerror(errno));
	text->len = fread(buffer_reserve(text, YAML_BYTES_MAX + 1), 1, YAML_BYTES_MAX + 1, file);
	if (ferror(file) != 0)
		result = error_set(error, RESULT_CONFIG, "cannot read pipeline file %s: %s", path, strerror(errno));
	(void)fclose(file);
	return result;
}

static enum result load(struct pipeline *pipeline, const char *path, struct mistakes *mistakes, struct error *error)
{
	struct buffer text = {0};
	*pipeline = (struct pipeline){0};
	enum result result = read_file(path, &text, error);
	if (result == RESULT_OK)
		result = parse(pipeline, path, buffer_bytes(&text), mistakes, error);
	buffer_fini(&text);
	return result;
}

enum result pipeline_load(struct pipeline *pipeline, const char *path, struct error *error)
{
	return load(pipeline, path, NULL, error);
}

enum result pipeline_check(struct pipeline *pipeline, const char *path, struct mistakes *mistakes)
{
	struct error error;
	if (load(pipeline, path, mistakes, &error) == RESULT_OK)
		return RESULT_OK;
	if (mistakes->len == 0) /* nothing could be read of it */
		(void)mistakes_add(mistakes, &error);
	return RESULT_CONFIG;
}

void field_fini(struct field *field)
{
	free(field->name);
	for (size_t i = 0; i < field->aliases_len; i++)
		free(field->aliases[i]);
	free(field->index);
	*field = (struct field){0};
}

void rollup_fini(struct rollup *rollup)
{
	free(rollup->table);
	for (size_t i = 0; i < PIPELINE_COLUMNS_MAX; i++)
		free(rollup->by[i].column);
	for (size_t i = 0; i < PIPELINE_MEASURES_MAX; i++)
		free(rollup->measures[i].column);
	*rollup = (struct rollup){0};
}

void pipeline_fini(struct pipeline *pipeline)
{
	for (size_t i = 0; i < PIPELINE_FIELDS_MAX; i++)
		field_fini(&pipeline->record.fields[i]);
	for (size_t i = 0; i < PIPELINE_ROLLUPS_MAX; i++)
		rollup_fini(&pipeline->rollups[i]);
	for (size_t i = 0; i < pipeline->source.kafka_len; i++) {
		free(pipeline->source.kafka[i].name);
		free(pipeline->source.kafka[i].value);
	}
	for (size_t i = 0; i < pipeline->sinks.elasticsearch.urls_len; i++)
		free(pipeline->sinks.elasticsearch.urls[i]);
	free(pipeline->source.start.offsets);
	settings_free(pipeline_settings, pipeline_settings_len, pipeline, sizeof *pipeline);
	free(pipeline->path);
	free(pipeline->meaning);
	*pipeline = (struct pipeline){0};
}
