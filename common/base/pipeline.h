/* common/base/pipeline.h - the pipeline file: what is read, what it means, where it goes.
 *
 * Loaded once at start and never changed. Every setting is a row of the table in pipeline.c (how to add one:
 * settings.h). The fingerprint covers what gives data its meaning (topic, schema, key, policies, time zone, rollups,
 * format version), not addresses and pacing.
 *
 * Ownership: pipeline_load fills caller's memory, everything inside belongs to it until pipeline_fini.
 * Errors:    CONFIG with file, line, and for an unknown key the nearest known one.
 */
#ifndef BASE_PIPELINE_H
#define BASE_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

enum {
	PIPELINE_FIELDS_MAX = 64,
	PIPELINE_ALIASES_MAX = 8,
	PIPELINE_ROLLUPS_MAX = 16,
	PIPELINE_COLUMNS_MAX = 8, /* of a rollup's group */
	PIPELINE_MEASURES_MAX = 8, /* of a rollup */
	PIPELINE_KAFKA_MAX = 64,
	PIPELINE_NAME_MAX = 63, /* bytes in a column, table or field name; PostgreSQL's own limit */
	PIPELINE_KEY_MAX = 255, /* characters in the key's type */
	PARALLELISM_MAX = 64,
	ELASTICSEARCH_HOSTS_MAX = 16,
};

enum field_type { FIELD_STRING, FIELD_INTEGER, FIELD_DECIMAL, FIELD_TIMESTAMP };

struct field {
	char *name; /* also its column in record.table */
	enum field_type type;
	uint32_t length_max; /* characters; FIELD_STRING */
	int precision, scale; /* FIELD_DECIMAL */
	bool required;
	char *aliases[PIPELINE_ALIASES_MAX];
	size_t aliases_len;
	char *index; /* name of the index to make on its column, or NULL */
};

enum group_part { PART_FIELD, PART_DAY, PART_MONTH, PART_YEAR };

/* A column of a rollup's group: a field (string or integer) as it is, or a part of a timestamp. */
struct group_column {
	char *column;
	enum group_part part;
	size_t field; /* place in record.fields; must be a required field */
};

struct measure {
	char *column;
	size_t field; /* an integer or a decimal field; null counts as nothing */
	int precision, scale; /* of the column; scale equals the field's (0 for an integer) */
};

struct rollup {
	char *table;
	struct group_column by[PIPELINE_COLUMNS_MAX];
	size_t by_len;
	struct measure measures[PIPELINE_MEASURES_MAX];
	size_t measures_len;
};

enum start_at { START_EARLIEST, START_LATEST, START_TIMESTAMP, START_OFFSETS };

/* source.start: `earliest`, `latest`, `{timestamp: 2024-01-15T00:00:00Z}` or `{offsets: {0: 100, 1: 250}}`. */
struct start_offset {
	uint32_t partition;
	int64_t offset;
};
struct start {
	enum start_at at;
	int64_t timestamp_ms;
	struct start_offset *offsets;
	size_t offsets_len;
};

struct setting {
	char *name, *value;
};

/* sinks.elasticsearch. Credentials that stood in a url are in user and password; the urls are without them. */
struct elasticsearch {
	char *url; /* http[s]://host:port[/path], or empty */
	char *hosts; /* such urls with commas between them, or empty */
	char *urls[ELASTICSEARCH_HOSTS_MAX]; /* of both; without a slash at the end */
	size_t urls_len; /* 0: there is no search job */
	char *index; /* may end with a date: transactions-%Y.%m */
	char *user, *password; /* empty user: none */
	char *api_key; /* as it stands behind `Authorization: ApiKey`; empty: none */
	char *ca_file; /* empty: the system's */
	char *compression; /* none, gzip */
	uint64_t max_batch_bytes; /* of one request's body, before compression; default 1 MiB */
	uint32_t max_requests; /* of one writer at a time; default 2 */
	uint64_t timeout_us; /* of one request; default 30 s */
};

struct pipeline {
	char *path;
	char *job; /* job names are <job>/totals and <job>/search */
	struct {
		char *topic;
		struct start start;
		struct setting kafka[PIPELINE_KAFKA_MAX]; /* handed to librdkafka unchanged */
		size_t kafka_len;
	} source;
	struct {
		char *table;
		size_t key; /* place in fields; a required string */
		size_t event_time; /* place in fields; a required timestamp */
		char *time_zone;
		uint32_t max_record_bytes; /* default 256 KiB */
		int64_t max_future_us; /* default 1 day */
		struct field fields[PIPELINE_FIELDS_MAX];
		size_t fields_len;
	} record;
	struct {
		int64_t retention_us; /* default 24 h */
	} duplicates; /* policy: only `first` so far */
	struct rollup rollups[PIPELINE_ROLLUPS_MAX];
	size_t rollups_len;
	struct {
		char *postgres_url; /* empty: libpq's own PG* variables */
		char *
		    postgres_schema; /* of the tables; empty: what the user's search_path gives at the very first start */
		struct elasticsearch elasticsearch;
	} sinks;
	struct {
		uint64_t min_interval_us; /* default 10 ms */
		uint32_t max_in_flight; /* default 3 */
		uint64_t max_bytes; /* default 1 MiB */
		uint64_t max_bytes_behind; /* default 6 MiB */
	} epoch;
	struct {
		char *dir;
		uint64_t interval_us, timeout_us, min_pause_us;
		uint32_t max_records; /* read since the last checkpoint: then the next one does not wait */
		uint32_t tolerable_failures, retain;
	} checkpoint;
	struct {
		char *dir; /* of this machine; a cache, rebuilt from the checkpoint folder where it is missing */
		uint64_t memory_bytes; /* of one dedup or rollup actor, beyond what changed since the last checkpoint */
	} state;
	struct {
		uint32_t ingest, dedup, rollup;
		uint32_t search; /* writers of the search job */
	} parallelism;
	uint32_t key_groups; /* default 128 */
	struct {
		char *listen; /* control link, tcp://host:port */
	} coordinator;
	char fingerprint[33]; /* 32 hexadecimal digits */
	/* The canonical text that the fingerprint is a hash of: lets a difference be named. */
	char *meaning;
};

enum result pipeline_load(struct pipeline *pipeline, const char *path, struct error *error) MUST_USE;
/* The same, but all mistakes are told (settings.h): where there are any, the pipeline is not loaded. */
struct mistakes;
enum result pipeline_check(struct pipeline *pipeline, const char *path, struct mistakes *mistakes) MUST_USE;
/* The same from memory; path is for messages only. */
enum result pipeline_parse(
    struct pipeline *pipeline, const char *path, struct bytes text, struct error *error) MUST_USE;
void pipeline_fini(struct pipeline *pipeline);

/* What a job's pipeline file means now against what it meant: words names the lines that differ. From the least change to the
 * greatest. MEASURES: only the digits before the point of totals: every record is judged as before, so a replay comes to the same.
 * LIMITS: also what a record has to be to be accepted (lengths, digits before the point, required or not, aliases,
 * max_record_bytes, max_future): no state and no row already written depends on it. */
enum meaning_change { MEANING_SAME, MEANING_MEASURES, MEANING_LIMITS, MEANING_OTHER };
enum meaning_change pipeline_meaning_compare(const char *was, const char *is, struct buffer *words);

/* The resolved file for people, with secrets (passwords in urls and settings) replaced by ***. */
void pipeline_print(const struct pipeline *pipeline, struct buffer *out);
/* The same as a JSON object. Counts are numbers, required is a boolean, all else texts. */
void pipeline_print_json(const struct pipeline *pipeline, struct buffer *out);
/* source.start as the file would say it. */
void pipeline_print_start(const struct pipeline *pipeline, struct buffer *out);
/* One line per setting: what it may be, its default, what it is for. */
void pipeline_help(struct buffer *out);

#endif
