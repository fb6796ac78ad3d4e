/* A pipeline file means the same to everybody, and a mistake in it is named with its line before anything starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "common/base/pipeline.h"
#include "common/base/settings.h"

/* Each case below changes a piece of this text. */
static const char base[] = "job: shop\n" /* line 1 */
                           "source:\n" /* 2 */
                           "  topic: sales\n" /* 3 */
                           "  start: earliest\n" /* 4 */
                           "  kafka: {bootstrap.servers: \"localhost:9092\", group.id: shop}\n" /* 5 */
                           "record:\n" /* 6 */
                           "  table: purchases\n" /* 7 */
                           "  key: id\n" /* 8 */
                           "  event_time: at\n" /* 9 */
                           "  time_zone: UTC\n" /* 10 */
                           "  fields:\n" /* 11 */
                           "    - {name: id, type: string(36), required: true, aliases: [ID]}\n" /* 12 */
                           "    - {name: at, type: timestamp, required: true}\n" /* 13 */
                           "    - {name: shop, type: string(20), required: true, index: by_shop}\n" /* 14 */
                           "    - {name: amount, type: \"decimal(10,2)\"}\n" /* 15 */
                           "    - {name: pieces, type: integer, required: true}\n" /* 16 */
                           "    - {name: note, type: string(200)}\n" /* 17 */
                           "rollups:\n" /* 18 */
                           "  - table: per_shop\n" /* 19 */
                           "    by:\n" /* 20 */
                           "      - {column: day, day: at}\n" /* 21 */
                           "      - {column: shop, field: shop}\n" /* 22 */
                           "    measures:\n" /* 23 */
                           "      - {column: total, sum: amount, type: \"decimal(15,2)\"}\n" /* 24 */
                           "      - {column: pieces, sum: pieces, type: \"decimal(20,0)\"}\n" /* 25 */
                           "epoch: {min_interval: 10ms}\n" /* 26 */
                           "parallelism:\n" /* 27 */
                           "  ingest: 2\n"; /* 28 */

/* base with one piece replaced; from "" appends. The caller frees. */
static char *changed(const char *from, const char *to)
{
	const char *place = from[0] == '\0' ? base + strlen(base) : strstr(base, from);
	assert_non_null(place);
	char *text = malloc(strlen(base) + strlen(to) + 1);
	memcpy(text, base, (size_t)(place - base));
	(void)sprintf(text + (place - base), "%s%s", to, place + strlen(from));
	return text;
}

static enum result parse(struct pipeline *pipeline, const char *text, struct error *error)
{
	return pipeline_parse(pipeline, "test.yaml", (struct bytes){(const uint8_t *)text, strlen(text)}, error);
}

static struct pipeline parsed(const char *text)
{
	struct pipeline pipeline;
	struct error error;
	if (parse(&pipeline, text, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	return pipeline;
}

static struct pipeline parsed_changed(const char *from, const char *to)
{
	char *text = changed(from, to);
	struct pipeline pipeline = parsed(text);
	free(text);
	return pipeline;
}

static void expect_error(const char *text, const char *expected)
{
	struct pipeline pipeline;
	struct error error = {0};
	enum result result = parse(&pipeline, text, &error);
	if (result != RESULT_CONFIG || error.code != RESULT_CONFIG)
		fail_msg("accepted: %s", expected);
	assert_string_equal(error.text, expected);
	pipeline_fini(&pipeline); /* does no harm after a failure */
}

/* Folders as users of other systems have them in their environment. */
static void test_folders(void **state)
{
	(void)state;
	static const char *const folders[][2] = {{"/srv/state", "/srv/state"}, {"file:///srv/state", "/srv/state"},
	    {"file:/srv/state", "/srv/state"}, {"file://localhost/srv/my state", "/srv/my state"}, {"here", "here"}};
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
		struct buffer text = {0};
		buffer_printf(&text, "checkpoint: {dir: \"%s\"}\nstate: {dir: \"%s\"}\n", folders[i][0], folders[i][0]);
		buffer_append(&text, "", 1);
		struct pipeline pipeline = parsed_changed("", (const char *)text.data);
		assert_string_equal(pipeline.checkpoint.dir, folders[i][1]);
		assert_string_equal(pipeline.state.dir, folders[i][1]);
		pipeline_fini(&pipeline);
		buffer_fini(&text);
	}
}

static uint32_t mistakes_in(const char *text, char *told, size_t told_size)
{
	char path[] = "/tmp/test_pipeline.XXXXXX";
	int fd = mkstemp(path);
	struct mistakes mistakes = {0};
	struct pipeline pipeline;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
	enum result result = pipeline_check(&pipeline, path, &mistakes);
	(void)unlink(path);
	assert_int_equal(result, mistakes.len == 0 ? RESULT_OK : RESULT_CONFIG);
	(void)snprintf(told, told_size, "%.*s", (int)mistakes.lines.len, (const char *)mistakes.lines.data);
	buffer_fini(&mistakes.lines);
	pipeline_fini(&pipeline);
	return mistakes.len;
}

/* All of them in the order of the file's parts; what only follows from another one is not told. */
static void test_all_mistakes(void **state)
{
	(void)state;
	char told[8192];
	static const char wrong[] =
	    "job: x!\n"
	    "sauce: {}\n"
	    "source: {topic: t, start: tomorrow}\n"
	    "record:\n"
	    "  table: t\n"
	    "  key: id\n"
	    "  event_time: at\n"
	    "  fields:\n"
	    "    - {name: id, type: string(36), required: true}\n"
	    "    - {name: at, type: time, required: true}\n"
	    "    - {name: n, type: integer, index: \"\"}\n"
	    "rollups: [{table: a, by: [{column: d, day: at}], measures: [{column: m, sum: n, type: integer}]}]\n"
	    "epoch: {min_interval: soon, max_in_flight: 0}\n";
	static const char *const words[] = {"job at line 1", "'sauce' at line 2", "source.start at line 3",
	    "record.fields[1].type at line 10", "record.fields[2].index at line 11", "epoch.min_interval at line 13",
	    "epoch.max_in_flight at line 13"};
	assert_int_equal(mistakes_in(wrong, told, sizeof told), sizeof words / sizeof words[0]);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strstr(told, words[i]) == NULL)
			fail_msg("%s is not told:\n%s", words[i], told);
	assert_int_equal(mistakes_in("{}", told, sizeof told), 7); /* all that is needed */
	assert_int_equal(mistakes_in("job: [\n", told, sizeof told), 1);
	struct buffer many = {0};
	buffer_append_text(&many, "job: x\n");
	for (int i = 0; i < 100; i++)
		buffer_printf(&many, "wrong%d: 1\n", i);
	buffer_append(&many, "", 1);
	assert_int_equal(mistakes_in((const char *)many.data, told, sizeof told), MISTAKES_MAX);
	buffer_fini(&many);
}

/* --- what is read ---------------------------------------------------------------------------------------------- */

static void test_defaults(void **state)
{
	(void)state;
	struct pipeline pipeline = parsed(base);
	assert_string_equal(pipeline.path, "test.yaml");
	assert_string_equal(pipeline.job, "shop");
	assert_int_equal(pipeline.source.start.at, START_EARLIEST);
	assert_int_equal(pipeline.source.kafka_len, 2);
	assert_string_equal(pipeline.source.kafka[0].name, "bootstrap.servers");
	assert_string_equal(pipeline.source.kafka[0].value, "localhost:9092");
	assert_string_equal(pipeline.source.kafka[1].name, "group.id");
	assert_int_equal(pipeline.record.max_record_bytes, 256 * 1024);
	assert_int_equal(pipeline.record.max_future_us, INT64_C(86400000000));
	assert_int_equal(pipeline.duplicates.retention_us, INT64_C(86400000000));
	assert_string_equal(pipeline.sinks.postgres_url, "");
	assert_int_equal(pipeline.sinks.elasticsearch.urls_len, 0);
	assert_string_equal(pipeline.sinks.elasticsearch.url, "");
	assert_string_equal(pipeline.sinks.elasticsearch.index, "purchases"); /* the table's name */
	assert_string_equal(pipeline.sinks.elasticsearch.compression, "none");
	assert_int_equal(pipeline.sinks.elasticsearch.max_batch_bytes, 1 << 20);
	assert_int_equal(pipeline.sinks.elasticsearch.max_requests, 2);
	assert_int_equal(pipeline.sinks.elasticsearch.timeout_us, 30000000);
	assert_int_equal(pipeline.epoch.min_interval_us, 10000);
	assert_int_equal(pipeline.epoch.max_in_flight, 3);
	assert_int_equal(pipeline.epoch.max_bytes, 1 << 20);
	assert_int_equal(pipeline.epoch.max_bytes_behind, 6 << 20);
	assert_string_equal(pipeline.checkpoint.dir, "/var/lib/sluice/checkpoints");
	assert_int_equal(pipeline.checkpoint.interval_us, 5000000);
	assert_int_equal(pipeline.checkpoint.timeout_us, 60000000);
	assert_int_equal(pipeline.checkpoint.retain, 3);
	assert_int_equal(pipeline.parallelism.ingest, 2);
	assert_int_equal(pipeline.parallelism.dedup, 2);
	assert_int_equal(pipeline.parallelism.rollup, 1);
	assert_int_equal(pipeline.parallelism.search, 1);
	assert_int_equal(pipeline.key_groups, 128);
	assert_string_equal(pipeline.coordinator.listen, "tcp://127.0.0.1:7710");
	pipeline_fini(&pipeline);
}

static void test_fields_and_rollups(void **state)
{
	(void)state;
	struct pipeline pipeline = parsed(base);
	const struct field *fields = pipeline.record.fields;
	assert_int_equal(pipeline.record.fields_len, 6);
	assert_int_equal(pipeline.record.key, 0);
	assert_int_equal(pipeline.record.event_time, 1);
	assert_string_equal(fields[0].name, "id");
	assert_int_equal(fields[0].type, FIELD_STRING);
	assert_int_equal(fields[0].length_max, 36);
	assert_true(fields[0].required);
	assert_int_equal(fields[0].aliases_len, 1);
	assert_string_equal(fields[0].aliases[0], "ID");
	assert_null(fields[0].index);
	assert_int_equal(fields[1].type, FIELD_TIMESTAMP);
	assert_string_equal(fields[2].index, "by_shop");
	assert_int_equal(fields[3].type, FIELD_DECIMAL);
	assert_int_equal(fields[3].precision, 10);
	assert_int_equal(fields[3].scale, 2);
	assert_false(fields[3].required);
	assert_int_equal(fields[4].type, FIELD_INTEGER);

	assert_int_equal(pipeline.rollups_len, 1);
	const struct rollup *rollup = &pipeline.rollups[0];
	assert_string_equal(rollup->table, "per_shop");
	assert_int_equal(rollup->by_len, 2);
	assert_string_equal(rollup->by[0].column, "day");
	assert_int_equal(rollup->by[0].part, PART_DAY);
	assert_int_equal(rollup->by[0].field, 1);
	assert_int_equal(rollup->by[1].part, PART_FIELD);
	assert_int_equal(rollup->by[1].field, 2);
	assert_int_equal(rollup->measures_len, 2);
	assert_string_equal(rollup->measures[0].column, "total");
	assert_int_equal(rollup->measures[0].field, 3);
	assert_int_equal(rollup->measures[0].precision, 15);
	assert_int_equal(rollup->measures[0].scale, 2);
	assert_int_equal(rollup->measures[1].field, 4);
	assert_int_equal(rollup->measures[1].scale, 0);
	pipeline_fini(&pipeline);
}

static void test_settings(void **state)
{
	(void)state;
	struct pipeline pipeline = parsed_changed("epoch: {min_interval: 10ms}\n",
	    "epoch: {min_interval: 2s, max_in_flight: 64, max_bytes: 8MiB}\n"
	    "checkpoint:\n"
	    "  dir: /srv/state\n"
	    "  interval: 1m\n"
	    "  timeout: 1h\n"
	    "  min_pause: 1s\n"
	    "  tolerable_failures: 0\n"
	    "  max_records: 7\n"
	    "  retain: 2\n"
	    "duplicates: {policy: first, retention: 7d}\n"
	    "sinks:\n"
	    "  postgres: {url: \"postgresql://h/db\"}\n"
	    "  elasticsearch: {url: \"\", index: sales}\n"
	    "key_groups: 32768\n"
	    "coordinator: {listen: \"tcp://[::1]:9000\"}\n");
	assert_int_equal(pipeline.epoch.min_interval_us, 2000000);
	assert_int_equal(pipeline.epoch.max_in_flight, 64);
	assert_int_equal(pipeline.epoch.max_bytes, 8 << 20);
	assert_int_equal(pipeline.epoch.max_bytes_behind, 8 << 20); /* never below max_bytes */
	assert_string_equal(pipeline.checkpoint.dir, "/srv/state");
	assert_int_equal(pipeline.checkpoint.interval_us, 60000000);
	assert_int_equal(pipeline.checkpoint.timeout_us, INT64_C(3600000000));
	assert_int_equal(pipeline.checkpoint.max_records, 7);
	assert_int_equal(pipeline.checkpoint.retain, 2);
	assert_int_equal(pipeline.duplicates.retention_us, INT64_C(604800000000));
	assert_string_equal(pipeline.sinks.postgres_url, "postgresql://h/db");
	assert_int_equal(pipeline.key_groups, 32768);
	assert_string_equal(pipeline.coordinator.listen, "tcp://[::1]:9000");
	pipeline_fini(&pipeline);
}

/* What stands between { and } of sinks.elasticsearch. */
static struct pipeline elastic(const char *settings)
{
	char line[1024];
	(void)snprintf(line, sizeof line, "sinks: {elasticsearch: {%s}}\n", settings);
	return parsed_changed("", line);
}

static void test_elasticsearch(void **state)
{
	(void)state;
	struct pipeline pipeline = elastic("url: \"https://me:a%40b%3ac@Host.example/es/\"");
	const struct elasticsearch *settings = &pipeline.sinks.elasticsearch;
	assert_string_equal(settings->url, "https://Host.example:443/es");
	assert_int_equal(settings->urls_len, 1);
	assert_string_equal(settings->urls[0], settings->url);
	assert_string_equal(settings->user, "me");
	assert_string_equal(settings->password, "a@b:c");
	pipeline_fini(&pipeline);

	/* One user for all, named once or every time; what is there already is not counted twice. */
	pipeline =
	    elastic("url: a, hosts: \"b:9201, HTTP://u:p@[::1]:7,,http://a:9200/ https://u:p@c\", index: s-%Y.%m.%d");
	assert_int_equal(settings->urls_len, 4);
	assert_string_equal(settings->urls[0], "http://a:9200");
	assert_string_equal(settings->urls[1], "http://b:9201");
	assert_string_equal(settings->urls[2], "http://[::1]:7");
	assert_string_equal(settings->urls[3], "https://c:443");
	assert_string_equal(settings->hosts, "http://b:9201,http://[::1]:7,https://c:443");
	assert_string_equal(settings->user, "u");
	assert_string_equal(settings->index, "s-%Y.%m.%d");
	pipeline_fini(&pipeline);

	pipeline = elastic("url: 'http://h:1', user: me, password: 'p w', compression: gzip, max_batch_bytes: 64KiB,"
	                   " max_requests: 16, timeout: 1s, ca_file: /x, index: x");
	assert_string_equal(settings->user, "me");
	assert_string_equal(settings->password, "p w");
	assert_string_equal(settings->compression, "gzip");
	assert_string_equal(settings->ca_file, "/x");
	assert_int_equal(settings->max_batch_bytes, 65536);
	assert_int_equal(settings->max_requests, 16);
	assert_int_equal(settings->timeout_us, 1000000);
	pipeline_fini(&pipeline);

	pipeline = elastic("url: '', hosts: ' ', api_key: 'aWQ6a2V5'");
	assert_int_equal(settings->urls_len, 0);
	assert_string_equal(settings->api_key, "aWQ6a2V5");
	pipeline_fini(&pipeline);
}

static void test_starts(void **state)
{
	(void)state;
	struct pipeline pipeline = parsed_changed("start: earliest", "start: latest");
	assert_int_equal(pipeline.source.start.at, START_LATEST);
	pipeline_fini(&pipeline);
	pipeline = parsed_changed("start: earliest", "start: {timestamp: 2024-01-15T01:00:00.5+01:00}");
	assert_int_equal(pipeline.source.start.at, START_TIMESTAMP);
	assert_int_equal(pipeline.source.start.timestamp_ms, INT64_C(1705276800500));
	pipeline_fini(&pipeline);
	pipeline = parsed_changed("start: earliest", "start: {offsets: {7: 250, 0: 9223372036854775807}}");
	const struct start *start = &pipeline.source.start;
	assert_int_equal(start->at, START_OFFSETS);
	assert_int_equal(start->offsets_len, 2);
	assert_int_equal(start->offsets[0].partition, 0);
	assert_true(start->offsets[0].offset == INT64_MAX);
	assert_int_equal(start->offsets[1].partition, 7);
	assert_int_equal(start->offsets[1].offset, 250);
	pipeline_fini(&pipeline);
}

/* Flow style all through, keys in another order, and the same block style again mean the same. */
static void test_styles(void **state)
{
	(void)state;
	static const char flow[] =
	    "{rollups: [{measures: [{type: \"decimal(15,2)\", sum: amount, column: total},"
	    " {type: 'decimal( 20 , 0 )', sum: pieces, column: pieces}],"
	    " by: [{day: at, column: day}, {field: shop, column: shop}], table: per_shop}],"
	    " record: {fields: [{aliases: [ID], required: true, type: string(36), name: id},"
	    " {name: at, type: timestamp, required: true},"
	    " {name: shop, index: other_index, type: string(20), required: true},"
	    " {name: amount, type: \"decimal(10,2)\"}, {name: pieces, type: integer, required: true},"
	    " {name: note, type: string(200)}],"
	    " max_future: 24h, time_zone: UTC, event_time: at, key: id, table: purchases},"
	    " sinks: , source: {topic: sales}, job: another}";
	struct pipeline one = parsed(base), other = parsed(flow);
	assert_string_equal(one.meaning, other.meaning);
	assert_string_equal(one.fingerprint, other.fingerprint);
	pipeline_fini(&one);
	pipeline_fini(&other);
}

/* --- ${...} ---------------------------------------------------------------------------------------------------- */

static void expect_topic(const char *written, const char *expected)
{
	char line[256];
	(void)snprintf(line, sizeof line, "topic: \"%s\"", written);
	struct pipeline pipeline = parsed_changed("topic: sales", line);
	assert_string_equal(pipeline.source.topic, expected);
	pipeline_fini(&pipeline);
}

static void test_variables(void **state)
{
	(void)state;
	(void)setenv("SLUICE_TEST_TOPIC", "from.env", 1);
	(void)setenv("SLUICE_TEST_EMPTY", "", 1);
	(void)setenv("SLUICE_TEST_NESTED", "${SLUICE_TEST_TOPIC}", 1);
	(void)unsetenv("SLUICE_TEST_UNSET");
	expect_topic("${SLUICE_TEST_TOPIC}", "from.env");
	expect_topic("${SLUICE_TEST_TOPIC:sales}", "from.env");
	expect_topic("${SLUICE_TEST_UNSET:sales}", "sales");
	expect_topic("a.${SLUICE_TEST_TOPIC}.${SLUICE_TEST_UNSET:b}${SLUICE_TEST_UNSET:}.c", "a.from.env.b.c");
	expect_topic("x${SLUICE_TEST_EMPTY:default}", "x"); /* set to nothing is set */

	struct pipeline pipeline = parsed_changed("group.id: shop",
	    "group.id: \"${{X}} $ {x} ${SLUICE_TEST_NESTED}\", a: \"${SLUICE_TEST_UNSET:tcp://h:1}\"");
	assert_string_equal(pipeline.source.kafka[1].value, "${X} $ {x} ${SLUICE_TEST_TOPIC}");
	assert_string_equal(pipeline.source.kafka[2].value, "tcp://h:1");
	pipeline_fini(&pipeline);

	/* In block style it needs no quotes; what comes in cannot change the shape of the file. */
	(void)setenv("SLUICE_TEST_SHAPE", "2\nrollup: 9", 1);
	pipeline = parsed_changed("topic: sales", "topic: ${SLUICE_TEST_TOPIC}");
	assert_string_equal(pipeline.source.topic, "from.env");
	pipeline_fini(&pipeline);
	char *text = changed("ingest: 2", "ingest: ${SLUICE_TEST_SHAPE}");
	expect_error(text, "test.yaml: parallelism.ingest at line 28: '2\nrollup: 9': expected a whole number");
	free(text);
}

static void test_secret_files(void **state)
{
	(void)state;
	char path[] = P_tmpdir "/test_pipeline_XXXXXX", line[256];
	int file = mkstemp(path);
	assert_true(file >= 0);
	assert_int_equal(write(file, "postgresql://h/db\n", 18), 18);
	(void)snprintf(line, sizeof line, "job: shop\nsinks: {postgres: {url: \"${file:%s}\"}}", path);
	struct pipeline pipeline = parsed_changed("job: shop", line);
	assert_string_equal(pipeline.sinks.postgres_url, "postgresql://h/db");
	pipeline_fini(&pipeline);

	assert_int_equal(pwrite(file, "a\0b", 3, 0), 3);
	char *text = changed("job: shop", line);
	char expected[256];
	(void)snprintf(
	    expected, sizeof expected, "test.yaml: sinks.postgres.url at line 2: file '%s' holds a NUL", path);
	expect_error(text, expected);
	assert_int_equal(ftruncate(file, 70000), 0);
	(void)snprintf(
	    expected, sizeof expected, "test.yaml: sinks.postgres.url at line 2: file '%s' is too long", path);
	expect_error(text, expected);
	free(text);
	(void)close(file);
	(void)unlink(path);

	assert_int_equal(mkfifo(path, 0600), 0); /* does not hang */
	text = changed("job: shop", line);
	(void)snprintf(
	    expected, sizeof expected, "test.yaml: sinks.postgres.url at line 2: '%s' is not an ordinary file", path);
	expect_error(text, expected);
	(void)unlink(path);
	(void)snprintf(expected, sizeof expected,
	    "test.yaml: sinks.postgres.url at line 2: cannot read file '%s': No such file or directory", path);
	expect_error(text, expected);
	free(text);
}

/* --- mistakes -------------------------------------------------------------------------------------------------- */

struct mistake {
	const char *from, *to;
	const char *expected; /* behind "test.yaml: " */
};

static void expect_mistakes(const struct mistake *mistakes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char expected[ERROR_TEXT_MAX];
		char *text = changed(mistakes[i].from, mistakes[i].to);
		(void)snprintf(expected, sizeof expected, "test.yaml: %s", mistakes[i].expected);
		expect_error(text, expected);
		free(text);
	}
}
#define EXPECT_MISTAKES(mistakes) expect_mistakes(mistakes, sizeof(mistakes) / sizeof((mistakes)[0]))

#define NAME_WORDS "expected a name of small letters, digits and _ that does not begin with a digit, at most 63 bytes"
#define COLUMN_WORDS NAME_WORDS ", and none of PostgreSQL's own columns"
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_unknown_keys(void **state)
{
	(void)state;
	static const struct mistake mistakes[] = {
	    {"epoch: {", "epochs: {", "unknown key 'epochs' at line 26; did you mean 'epoch'?"},
	    {"job:", "jbo:", "unknown key 'jbo' at line 1; did you mean 'job'?"},
	    {"rollups:", "Rollups:", "unknown key 'Rollups' at line 18; did you mean 'rollups'?"},
	    {"min_interval", "min_intervall",
	        "unknown key 'min_intervall' in epoch at line 26; did you mean 'min_interval'?"},
	    {"  ingest: 2", "  igest: 2", "unknown key 'igest' in parallelism at line 28; did you mean 'ingest'?"},
	    {"index: by_shop", "idx: by_shop",
	        "unknown key 'idx' in record.fields[2] at line 14; did you mean 'index'?"},
	    {"{column: day, day: at}", "{column: day, dya: at}",
	        "unknown key 'dya' in rollups[0].by[0] at line 21; did you mean 'day'?"},
	    {"sum: amount", "summe: amount",
	        "unknown key 'summe' in rollups[0].measures[0] at line 24; did you mean 'sum'?"},
	    {"epoch: {", "epoch.max_bytes: 1MiB\nepoch: {",
	        "unknown key 'epoch.max_bytes' at line 26; did you mean 'epoch'?"},
	    {"epoch: {", "sinks: {postgres: {uri: x}}\nepoch: {",
	        "unknown key 'uri' in sinks.postgres at line 26; did you mean 'url'?"},
	    {"topic: sales", "topic: sales\n  partition: 1",
	        "unknown key 'partition' in source at line 4; there is topic, start, kafka"},
	};
	EXPECT_MISTAKES(mistakes);
}

static void test_missing_keys(void **state)
{
	(void)state;
	static const struct mistake mistakes[] = {
	    {"job: shop\n", "", "missing key 'job' (in the map at line 1)"},
	    {"  topic: sales\n", "", "missing key 'source.topic' (in the map at line 2)"},
	    {"topic: sales", "topic:", "missing key 'source.topic' (in the map at line 2)"},
	    {"topic: sales", "topic: null", "missing key 'source.topic' (in the map at line 2)"},
	    {"  key: id\n", "", "missing key 'record.key' (in the map at line 6)"},
	    {"  event_time: at\n", "", "missing key 'record.event_time' (in the map at line 6)"},
	    {"name: amount, ", "", "missing key 'record.fields[3].name' (in the map at line 15)"},
	    {", type: integer", "", "missing key 'record.fields[4].type' (in the map at line 16)"},
	    {"  - table: per_shop\n    by:", "  - by:", "missing key 'rollups[0].table' (in the map at line 19)"},
	    {", sum: amount", "", "missing key 'rollups[0].measures[0].sum' (in the map at line 24)"},
	    {", type: \"decimal(15,2)\"", "", "missing key 'rollups[0].measures[0].type' (in the map at line 24)"},
	    {"day: at", "day: ~", "rollups[0].by[0] at line 21: one of field, day, month and year is missing"},
	};
	EXPECT_MISTAKES(mistakes);
	expect_error("job: shop\n", "test.yaml: missing key 'source.topic' (in the map at line 1)");
	expect_error("source: {topic: x}\nrecord:\n", "test.yaml: missing key 'job' (in the map at line 1)");
}

static void test_bad_values(void **state)
{
	(void)state;
	static const struct mistake mistakes[] = {
	    {"job: shop", "job: Shop",
	        "job at line 1: 'Shop': expected small letters, digits, _ and -, beginning with a letter or digit, at "
	        "most 63"},
	    {"job: shop", "job: \"\"",
	        "job at line 1: '': expected small letters, digits, _ and -, beginning with a letter or digit, at most "
	        "63"},
	    {"job: shop", "job: a/b",
	        "job at line 1: 'a/b': expected small letters, digits, _ and -, beginning with a letter or digit, at "
	        "most 63"},
	    {"job: shop", "job: " X64,
	        "job at line 1: '" X64
	        "': expected small letters, digits, _ and -, beginning with a letter or digit, at most 63"},
	    {"epoch: {", "sinks: {postgres: {schema: sluice}}\nepoch: {",
	        "sinks.postgres.schema at line 26: 'sluice': expected a name of small letters, digits and _, not "
	        "sluice, "
	        "information_schema or pg_..."},
	    {"epoch: {", "sinks: {postgres: {schema: pg_toast}}\nepoch: {",
	        "sinks.postgres.schema at line 26: 'pg_toast': expected a name of small letters, digits and _, not "
	        "sluice, "
	        "information_schema or pg_..."},
	    {"epoch: {", "sinks: {postgres: {schema: a.b}}\nepoch: {",
	        "sinks.postgres.schema at line 26: 'a.b': expected a name of small letters, digits and _, not sluice, "
	        "information_schema or pg_..."},
	    {"topic: sales", "topic: my sales",
	        "source.topic at line 3: 'my sales': expected the name of a Kafka topic"},
	    {"topic: sales", "topic: ..", "source.topic at line 3: '..': expected the name of a Kafka topic"},
	    {"topic: sales", "topic: [a]", "source.topic at line 3: expected a single value, not a list"},
	    {"start: earliest", "start: yesterday",
	        "source.start at line 4: expected earliest, latest, {timestamp: ...} or {offsets: {...}}"},
	    {"start: earliest", "start: {timestamps: 1}",
	        "source.start.timestamps at line 4: expected earliest, latest, {timestamp: ...} or {offsets: {...}}"},
	    {"start: earliest", "start: {timestamp: \"2024-01-15T00:00:00\"}",
	        "source.start.timestamp at line 4: '2024-01-15T00:00:00': expected a time with its offset, such as "
	        "2024-01-15T00:00:00Z"},
	    {"start: earliest", "start: {timestamp: x}",
	        "source.start.timestamp at line 4: 'x': expected a time with its offset, such as 2024-01-15T00:00:00Z"},
	    {"start: earliest", "start: {offsets: {}}",
	        "source.start.offsets at line 4: expected a map of partitions and offsets, such as {0: 100, 1: 250}"},
	    {"start: earliest", "start: {offsets: {a: 1}}",
	        "source.start.offsets.a at line 4: 'a': expected the number of a partition"},
	    {"start: earliest", "start: {offsets: {2147483648: 1}}",
	        "source.start.offsets.2147483648 at line 4: '2147483648': expected the number of a partition"},
	    {"start: earliest", "start: {offsets: {0: -1}}",
	        "source.start.offsets.0 at line 4: '-1': expected an offset"},
	    {"\"localhost:9092\"", "\"\"",
	        "source.kafka.bootstrap.servers at line 5: is empty; expected host:port,..."},
	    {"group.id: shop", "group id: shop",
	        "source.kafka.group id at line 5: expected the name of a setting of librdkafka"},
	    {"group.id: shop", "group.id: [shop]", "source.kafka.group.id at line 5: expected a single value"},
	    {"kafka: {bootstrap.servers: \"localhost:9092\", group.id: shop}", "kafka: localhost",
	        "source.kafka at line 5: expected a map of at most 64 settings of librdkafka"},
	    {"time_zone: UTC", "time_zone: Europe/Bonn",
	        "record.time_zone at line 10: 'Europe/Bonn': expected UTC or an IANA name such as Europe/Berlin that "
	        "this machine knows"},
	    {"time_zone: UTC", "max_record_bytes: 4MiB",
	        "record.max_record_bytes at line 10: '4MiB': expected 1KiB to 3MiB"},
	    {"10ms", "10", "epoch.min_interval at line 26: '10': expected a duration such as 10ms, 5s, 1m, 24h or 1d"},
	    {"10ms", "1.5s",
	        "epoch.min_interval at line 26: '1.5s': expected a duration such as 10ms, 5s, 1m, 24h or 1d"},
	    {"10ms", "61s", "epoch.min_interval at line 26: '61s': expected 0s to 1m"},
	    {"min_interval: 10ms", "max_bytes: 63KiB", "epoch.max_bytes at line 26: '63KiB': expected 64KiB to 64MiB"},
	    {"min_interval: 10ms", "max_bytes: 65MiB", "epoch.max_bytes at line 26: '65MiB': expected 64KiB to 64MiB"},
	    {"min_interval: 10ms", "max_bytes: lots",
	        "epoch.max_bytes at line 26: 'lots': expected a size such as 256KiB, 1MiB, 64MB or a number of bytes"},
	    {"min_interval: 10ms", "max_bytes_behind: 512KiB",
	        "epoch.max_bytes_behind at line 26: is below epoch.max_bytes"},
	    {"min_interval: 10ms", "max_in_flight: 0", "epoch.max_in_flight at line 26: '0': expected 1 to 64"},
	    {"min_interval: 10ms", "max_in_flight: 65", "epoch.max_in_flight at line 26: '65': expected 1 to 64"},
	    {"epoch: {min_interval: 10ms}", "epoch: fast", "epoch at line 26: expected a map of settings"},
	    {"ingest: 2", "ingest: 0", "parallelism.ingest at line 28: '0': expected 1 to 64"},
	    {"ingest: 2", "ingest: 65", "parallelism.ingest at line 28: '65': expected 1 to 64"},
	    {"ingest: 2", "ingest: -1", "parallelism.ingest at line 28: '-1': expected a whole number"},
	    {"ingest: 2", "ingest: 02", "parallelism.ingest at line 28: '02': expected a whole number"},
	    {"ingest: 2", "ingest: 4294967297", "parallelism.ingest at line 28: '4294967297': expected 1 to 64"},
	    {"", "key_groups: 0\n", "key_groups at line 29: '0': expected 1 to 32768"},
	    {"", "key_groups: 32769\n", "key_groups at line 29: '32769': expected 1 to 32768"},
	    {"", "checkpoint: {retain: 1}\n", "checkpoint.retain at line 29: '1': expected 2 to 1000"},
	    {"", "checkpoint: {dir: \"\"}\n",
	        "checkpoint.dir at line 29: '': expected a folder, /path or file:///path"},
	    {"", "checkpoint: {dir: \"s3://bucket/path\"}\n",
	        "checkpoint.dir at line 29: 's3://bucket/path': expected a folder, /path or file:///path"},
	    {"", "state: {dir: \"file://elsewhere/path\"}\n",
	        "state.dir at line 29: 'file://elsewhere/path': expected a folder, /path or file:///path"},
	    {"", "coordinator: {http: \"127.0.0.1:8081\"}\n",
	        "coordinator.http at line 29: '127.0.0.1:8081': expected no such line: an API and a web page are not "
	        "built yet"},
	    {"", "checkpoint: {min_pause: 2d}\n", "checkpoint.min_pause at line 29: '2d': expected 0s to 1d"},
	    {"", "checkpoint: {tolerable_failures: many}\n",
	        "checkpoint.tolerable_failures at line 29: 'many': expected a whole number"},
	    {"", "duplicates: {policy: last}\n",
	        "duplicates.policy at line 29: 'last': expected first (last is not supported yet)"},
	    {"ingest: 2", "search: 0", "parallelism.search at line 28: '0': expected 1 to 64"},
	    {"", "coordinator: {listen: \"127.0.0.1:7710\"}\n",
	        "coordinator.listen at line 29: '127.0.0.1:7710': expected tcp://host:port"},
	    {"", "coordinator: {listen: \"tcp://h:65536\"}\n",
	        "coordinator.listen at line 29: 'tcp://h:65536': expected tcp://host:port"},
	};
	EXPECT_MISTAKES(mistakes);
}

/* And no mistake in a text that may hold a password repeats it. */
static void test_bad_elasticsearch(void **state)
{
	(void)state;
#define SEVENTEEN "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"
#define INDEX_WORDS                                                                                                    \
	"expected small letters, digits, _ - and . that begin with a letter or digit, at most 180, not "               \
	"sluice-control; at the end there may be a date of %Y %m %d"
	static const struct {
		const char *settings, *expected;
	} mistakes[] = {
	    {"url: 'ftp://me:hunter2@h'", "url at line 29: it has to begin with http:// or https://"},
	    {"url: 'http://me:hunter2@'", "url at line 29: there is no host"},
	    {"url: 'http://@h'", "url at line 29: there is an @, and no user in front of it"},
	    {"url: 'http://me:hunter2'", "url at line 29: the port is not a number from 1 to 65535"},
	    {"url: 'http://h:0'", "url at line 29: the port is not a number from 1 to 65535"},
	    {"url: 'http://h:65536'", "url at line 29: the port is not a number from 1 to 65535"},
	    {"url: 'http://h:99999999999'", "url at line 29: the port is not a number from 1 to 65535"},
	    {"url: 'http://h!:1'", "url at line 29: the host has a letter that is none of a host's name"},
	    {"url: 'http://h/a?hunter2'", "url at line 29: behind the port there may only be a path"},
	    {"url: 'http://me:%4@h'", "url at line 29: in user and password, a % has to be followed by two hexadecimal "
	                              "digits (a % itself is %25)"},
	    {"url: 'http://a,http://b'", "url at line 29: there is more than one; the others go into hosts"},
	    {"url: 'http://a:hunter2@h', hosts: 'http://b:hunter2@i'",
	        "hosts at line 29: another user or password stands elsewhere; one is for all hosts"},
	    {"url: 'http://a:hunter2@h', user: b",
	        "url at line 29: another user or password stands elsewhere; one is for all hosts"},
	    {"hosts: '" SEVENTEEN "'", "hosts at line 29: there are more hosts than 16"},
	    {"url: a, user: 'a:b'", "user at line 29: there is a letter in it that no user's name has"},
	    {"url: 'http://a%3ab:hunter2@h'", "line 29: user: there is a letter in it that no user's name has"},
	    {"url: a, password: hunter2", "password at line 29: there is no user that it belongs to; set "
	                                  "sinks.elasticsearch.user"},
	    {"url: a, user: b, password: \"hunter2\\n\"",
	        "password at line 29: there is a letter in it that no password has"},
	    {"url: a, user: b, api_key: hunter2", "api_key at line 29: there is a user as well; expected one of them"},
	    {"url: a, api_key: 'hunter 2'", "api_key at line 29: there is a letter in it that no API key has"},
	    {"compression: zstd", "compression at line 29: 'zstd': expected none or gzip"},
	    {"max_batch_bytes: 1KiB", "max_batch_bytes at line 29: '1KiB': expected 64KiB to 64MiB"},
	    {"max_requests: 17", "max_requests at line 29: '17': expected 1 to 16"},
	    {"timeout: 10ms", "timeout at line 29: '10ms': expected 1s to 10m"},
	    {"index: ''", "index at line 29: '': " INDEX_WORDS},
	    {"index: sluice-control", "index at line 29: 'sluice-control': " INDEX_WORDS},
	    {"index: Sales", "index at line 29: 'Sales': " INDEX_WORDS},
	    {"index: -sales", "index at line 29: '-sales': " INDEX_WORDS},
	    {"index: '%Y'", "index at line 29: '%Y': " INDEX_WORDS},
	    {"index: 'sales%Y'", "index at line 29: 'sales%Y': " INDEX_WORDS},
	    {"index: 'sales-%H'", "index at line 29: 'sales-%H': " INDEX_WORDS},
	    {"index: 'sales-%'", "index at line 29: 'sales-%': " INDEX_WORDS},
	    {"index: 'sales-%Y-x'", "index at line 29: 'sales-%Y-x': " INDEX_WORDS},
	    {"index: 'sa*'", "index at line 29: 'sa*': " INDEX_WORDS},
	    {"indx: x", "unknown key 'indx' in sinks.elasticsearch at line 29; did you mean 'index'?"},
	};
	for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
		char line[512], expected[512];
		const char *words = mistakes[i].expected;
		bool whole = strncmp(words, "unknown", 7) == 0;
		(void)snprintf(line, sizeof line, "sinks: {elasticsearch: {%s}}\n", mistakes[i].settings);
		(void)snprintf(
		    expected, sizeof expected, "test.yaml: %s%s", whole ? "" : "sinks.elasticsearch.", words);
		if (strncmp(words, "line", 4) == 0)
			(void)snprintf(expected, sizeof expected, "test.yaml: sinks.elasticsearch at %s", words);
		char *text = changed("", line);
		expect_error(text, expected);
		assert_null(strstr(expected, "hunter2"));
		free(text);
	}
}

static void test_bad_fields(void **state)
{
	(void)state;
	static const struct mistake mistakes[] = {
	    {"name: note", "name: Note", "record.fields[5].name at line 17: 'Note': " COLUMN_WORDS},
	    {"name: note", "name: 1note", "record.fields[5].name at line 17: '1note': " COLUMN_WORDS},
	    {"name: note", "name: ctid", "record.fields[5].name at line 17: 'ctid': " COLUMN_WORDS},
	    {"name: note", "name: \"a b\"", "record.fields[5].name at line 17: 'a b': " COLUMN_WORDS},
	    {"name: note", "name: " X64, "record.fields[5].name at line 17: '" X64 "': " COLUMN_WORDS},
	    {"table: purchases", "table: Purchases", "record.table at line 7: 'Purchases': " NAME_WORDS},
	    {"table: purchases", "table: dead_letters", "record.table at line 7: 'dead_letters': " NAME_WORDS},
	    {"index: by_shop", "index: by-shop", "record.fields[2].index at line 14: 'by-shop': " NAME_WORDS},
	    {"name: note", "name: shop",
	        "record.fields[5] at line 17: field 'shop' already has the name or alias 'shop'"},
	    {"name: note", "aliases: [x, ID], name: note",
	        "record.fields[5] at line 17: field 'id' already has the name or alias 'ID'"},
	    {"aliases: [ID]", "aliases: [ID, ID]",
	        "record.fields[0] at line 12: field 'id' has the name or alias 'ID' twice"},
	    {"aliases: [ID]", "aliases: [id]",
	        "record.fields[0] at line 12: field 'id' has the name or alias 'id' twice"},
	    {"aliases: [ID]", "aliases: ID", "record.fields[0].aliases at line 12: expected a list"},
	    {"aliases: [ID]", "aliases: [1,2,3,4,5,6,7,8,9]",
	        "record.fields[0].aliases at line 12: has 9 entries, expected 1 to 8"},
	    {"aliases: [ID]", "aliases: [\"\"]",
	        "record.fields[0].aliases[0] at line 12: expected a text of 1 to 255 bytes without control characters"},
	    {"aliases: [ID]", "aliases: [a, \"b\\n\"]",
	        "record.fields[0].aliases[1] at line 12: expected a text of 1 to 255 bytes without control characters"},
	    {"aliases: [ID]", "aliases: [[a]]", "record.fields[0].aliases[0] at line 12: expected a single value"},
	    {"required: true, aliases", "required: yes, aliases",
	        "record.fields[0].required at line 12: 'yes': expected true or false"},
	    {"string(36)", "text",
	        "record.fields[0].type at line 12: unknown type 'text': expected string(n), integer, decimal(p,s) or "
	        "timestamp"},
	    {"string(36)", "string",
	        "record.fields[0].type at line 12: unknown type 'string': expected string(n), integer, decimal(p,s) or "
	        "timestamp"},
	    {"string(36)", "string(36)x",
	        "record.fields[0].type at line 12: unknown type 'string(36)x': expected string(n), integer, "
	        "decimal(p,s) or timestamp"},
	    {"string(36)", "string(-1)",
	        "record.fields[0].type at line 12: unknown type 'string(-1)': expected string(n), integer, "
	        "decimal(p,s) or timestamp"},
	    {"string(200)", "string(0)",
	        "record.fields[5].type at line 17: 'string(0)': expected string(1) to string(10485760)"},
	    {"string(200)", "string(10485761)",
	        "record.fields[5].type at line 17: 'string(10485761)': expected string(1) to string(10485760)"},
	    {"string(36)", "string(256)", "record.key at line 8: the key may have at most 255 characters: string(255)"},
	    {"\"decimal(10,2)\"", "\"decimal(19,2)\"",
	        "record.fields[3].type at line 15: 'decimal(19,2)': a field's precision may be 1 to 18"},
	    {"\"decimal(10,2)\"", "\"decimal(0,0)\"",
	        "record.fields[3].type at line 15: 'decimal(0,0)': a field's precision may be 1 to 18"},
	    {"\"decimal(10,2)\"", "\"decimal(2,3)\"",
	        "record.fields[3].type at line 15: 'decimal(2,3)': the scale is above the precision"},
	    {"\"decimal(10,2)\"", "decimal(10,2)",
	        "unknown key '2)' in record.fields[3] at line 15; there is name, type, required, aliases, index"},
	    {"key: id", "key: ID", "record.key at line 8: there is no field 'ID' in record.fields"},
	    {"key: id", "key: note", "record.key at line 8: field 'note' must be a string with required: true"},
	    {"key: id", "key: pieces", "record.key at line 8: field 'pieces' must be a string with required: true"},
	    {"event_time: at", "event_time: shop",
	        "record.event_time at line 9: field 'shop' must be a timestamp with required: true"},
	    {"timestamp, required: true", "timestamp",
	        "record.event_time at line 9: field 'at' must be a timestamp with required: true"},
	    {"name: note", "index: by_shop, name: note",
	        "record.fields[5] at line 17: index 'by_shop' is declared twice"},
	    {"name: note", "index: purchases, name: note",
	        "record.fields[5] at line 17: index 'purchases' is called like a table"},
	    {"- {name: note, type: string(200)}", "- {name: note, type: string(674), index: by_note}",
	        "record.fields[5] at line 17: index 'by_note': a value of string(674) may take 2708 bytes, and a row "
	        "of an "
	        "index in PostgreSQL 2704 at most; leave the index out, or let the field have at most string(673)"},
	    {"- {name: note, type: string(200)}", "- note", "record.fields[5] at line 17: expected a map"},
	};
	EXPECT_MISTAKES(mistakes);
}

static void test_bad_rollups(void **state)
{
	(void)state;
	static const struct mistake mistakes[] = {
	    {"table: per_shop", "table: purchases",
	        "rollups[0] at line 19: the name 'purchases' is taken by another table or index"},
	    {"table: per_shop", "table: dead_letters",
	        "rollups[0] at line 19: the name 'dead_letters' is taken by another table or index"},
	    {"table: per_shop", "table: by_shop",
	        "rollups[0] at line 19: the name 'by_shop' is taken by another table or index"},
	    {"epoch: {",
	        "  - {table: per_shop, by: [{column: y, year: at}], measures: [{column: t, sum: pieces, type: "
	        "\"decimal(9,0)\"}]}\nepoch: {",
	        "rollups[1] at line 26: the name 'per_shop' is taken by another table or index"},
	    {"table: per_shop", "table: per-shop", "rollups[0].table at line 19: 'per-shop': " NAME_WORDS},
	    {"{column: day,", "{column: Day,", "rollups[0].by[0].column at line 21: 'Day': " COLUMN_WORDS},
	    {"{column: day, day: at}", "{column: day, day: when}",
	        "rollups[0].by[0].day at line 21: there is no field 'when' in record.fields"},
	    {"{column: day, day: at}", "{column: day, day: shop}",
	        "rollups[0].by[0].day at line 21: field 'shop' must be a timestamp"},
	    {"{column: day, day: at}", "{column: day, day: at, month: at}",
	        "rollups[0].by[0].month at line 21: only one of field, day, month and year may be given"},
	    {"field: shop", "field: note",
	        "rollups[0].by[1].field at line 22: field 'note' must be required: true, since a group cannot be null"},
	    {"field: shop", "field: at",
	        "rollups[0].by[1].field at line 22: field 'at' must be a string or an integer"},
	    {"{column: shop,", "{column: day,", "rollups[0] at line 19: table 'per_shop' has column 'day' twice"},
	    {"{column: total,", "{column: shop,", "rollups[0] at line 19: table 'per_shop' has column 'shop' twice"},
	    {"sum: amount", "sum: note",
	        "rollups[0].measures[0].sum at line 24: field 'note' must be an integer or a decimal"},
	    {"sum: amount", "sum: nothing",
	        "rollups[0].measures[0].sum at line 24: there is no field 'nothing' in record.fields"},
	    {"decimal(15,2)", "decimal(39,2)",
	        "rollups[0].measures[0].type at line 24: 'decimal(39,2)': a total's precision may be 1 to 38"},
	    {"decimal(15,2)", "decimal(15,3)",
	        "rollups[0].measures[0].type at line 24: 'decimal(15,3)': the scale must be 2, as that of field "
	        "'amount'"},
	    {"decimal(15,2)", "decimal(1,2)",
	        "rollups[0].measures[0].type at line 24: 'decimal(1,2)': the scale is above the precision"},
	    {"decimal(20,0)", "decimal(20,2)",
	        "rollups[0].measures[1].type at line 25: 'decimal(20,2)': the scale must be 0, as that of field "
	        "'pieces'"},
	    {"decimal(15,2)", "integer",
	        "rollups[0].measures[0].type at line 24: 'integer': expected decimal(p,s), in quotes inside { }"},
	    {"    measures:\n", "    measures: []\n    measure:\n",
	        "unknown key 'measure' in rollups[0] at line 24; did you mean 'measures'?"},
	};
	EXPECT_MISTAKES(mistakes);
	expect_error("job: a\nsource: {topic: t}\nrecord: {table: t, key: k, event_time: e, fields: []}\nrollups: []\n",
	    "test.yaml: record.fields at line 3: has 0 entries, expected 1 to 64");
}

static void test_not_yaml(void **state)
{
	(void)state;
	static const struct mistake mistakes[] = {
	    {"job: shop", "job: ${SLUICE_TEST_MISSING}",
	        "job at line 1: the environment variable SLUICE_TEST_MISSING is not set, and there is no default: "
	        "${SLUICE_TEST_MISSING:default}"},
	    {"group.id: shop", "group.id: \"${SLUICE_TEST_MISSING}\"",
	        "source.kafka.group.id at line 5: the environment variable SLUICE_TEST_MISSING is not set, and there "
	        "is no default: ${SLUICE_TEST_MISSING:default}"},
	    {"group.id: shop", "group.id: \"${X\"",
	        "source.kafka.group.id at line 5: ${ without its }; a literal one is written ${{...}}"},
	    {"group.id: shop", "group.id: \"${{X}\"",
	        "source.kafka.group.id at line 5: ${ without its }; a literal one is written ${{...}}"},
	    {"group.id: shop", "group.id: \"${}\"",
	        "source.kafka.group.id at line 5: '' cannot be the name of a variable"},
	    {"group.id: shop", "group.id: \"${1A}\"",
	        "source.kafka.group.id at line 5: '1A' cannot be the name of a variable"},
	    {"group.id: shop", "group.id: \"${A-B:c}\"",
	        "source.kafka.group.id at line 5: 'A-B' cannot be the name of a variable"},
	    {"group.id: shop", "group.id: \"${file:}\"",
	        "source.kafka.group.id at line 5: ${file:...} needs the name of a file"},
	    {"group.id: shop", "group.id: \"a\\0b\"", "source.kafka.group.id at line 5: a NUL in a text"},
	    {"group.id: shop", "group.id: a, group.id: b", "key 'group.id' at line 5 stands at line 5 already"},
	    {"", "job: again\n", "key 'job' at line 29 stands at line 1 already"},
	    {"kafka: {", "kafka: &a {", "line 5: anchors and aliases (& and *) are not supported here"},
	    {"topic: sales", "topic: &a sales", "line 3: anchors and aliases (& and *) are not supported here"},
	    {"topic: sales", "topic: *a", "line 3: anchors and aliases (& and *) are not supported here"},
	    {"[ID]", "&a [ID]", "line 12: anchors and aliases (& and *) are not supported here"},
	    {"topic: sales", "topic: !!str sales", "line 3: tags (!) are not supported here"},
	    {"kafka: {", "kafka: !map {", "line 5: tags (!) are not supported here"},
	    {"[ID]", "!list [ID]", "line 12: tags (!) are not supported here"},
	    {"", "---\njob: b\n", "line 29: a second document (---) is not supported here"},
	    {"", "? [a]\n: b\n", "line 29: a key must be a plain text"},
	    {"", "\"\": b\n", "line 29: a key must have 1 to 255 bytes"},
	    {"", "a: [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]\n", "line 29: nested deeper than 16"},
	};
	EXPECT_MISTAKES(mistakes);
	expect_error("", "test.yaml: empty");
	expect_error("# nothing but a comment\n", "test.yaml: empty");
	expect_error("- a\n- b\n", "test.yaml: line 1: expected a map of settings");
	expect_error("hello", "test.yaml: line 1: expected a map of settings");

	struct pipeline pipeline;
	struct error error;
	assert_int_equal(parse(&pipeline, "a: [1, 2\nb: 3\n", &error), RESULT_CONFIG);
	assert_non_null(strstr(error.text, "test.yaml: line 2: not YAML: "));
	assert_int_equal(parse(&pipeline, "a: \xff\n", &error), RESULT_CONFIG);
	assert_non_null(strstr(error.text, "not YAML"));
	assert_int_equal(parse(&pipeline, "a: 1\n", NULL), RESULT_CONFIG); /* nobody asks why */
}

static void test_limits(void **state)
{
	(void)state;
	struct buffer text = {0};
	struct pipeline pipeline;
	struct error error;
	for (int i = 0; i < 10001; i++)
		buffer_append_text(&text, i ? ",1" : "a: [1");
	buffer_append_text(&text, "]\n");
	assert_int_equal(pipeline_parse(&pipeline, "f", buffer_bytes(&text), &error), RESULT_CONFIG);
	assert_string_equal(error.text, "f: line 1: more than 10000 values");
	while (text.len <= 1024 * 1024)
		buffer_append_text(&text, "# a comment that makes the file too long\n");
	assert_int_equal(pipeline_parse(&pipeline, "f", buffer_bytes(&text), &error), RESULT_CONFIG);
	assert_string_equal(error.text, "f: longer than 1048576 bytes");
	buffer_fini(&text);

	/* A value that grows without end by what it refers to. */
	char *large = malloc(60001);
	memset(large, 'x', 60000);
	large[60000] = '\0';
	(void)setenv("SLUICE_TEST_LARGE", large, 1);
	char *changed_text = changed("group.id: shop", "group.id: \"${SLUICE_TEST_LARGE}${SLUICE_TEST_LARGE}\"");
	expect_error(changed_text, "test.yaml: source.kafka.group.id at line 5: longer than 65536 bytes");
	(void)unsetenv("SLUICE_TEST_LARGE");
	free(changed_text);
	free(large);
}

static void test_load(void **state)
{
	(void)state;
	struct pipeline pipeline;
	struct error error;
	assert_int_equal(pipeline_load(&pipeline, "/nowhere/pipeline.yaml", &error), RESULT_CONFIG);
	assert_string_equal(error.text, "cannot read pipeline file /nowhere/pipeline.yaml: No such file or directory");
	assert_int_equal(pipeline_load(&pipeline, "/", &error), RESULT_CONFIG);
	assert_string_equal(error.text, "cannot read pipeline file /: Is a directory");
}

/* --- what it means --------------------------------------------------------------------------------------------- */

static bool means_the_same(const char *from, const char *to)
{
	struct pipeline one = parsed(base), other = parsed_changed(from, to);
	bool same = strcmp(one.fingerprint, other.fingerprint) == 0;
	assert_int_equal(same, strcmp(one.meaning, other.meaning) == 0);
	pipeline_fini(&one);
	pipeline_fini(&other);
	return same;
}

static enum meaning_change meaning_of(const char *from, const char *to, const char *says)
{
	struct pipeline one = parsed(base);
	struct buffer other = {0}, words = {0};
	const char *at = strstr(one.meaning, from);
	assert_non_null(at);
	buffer_append(&other, one.meaning, (size_t)(at - one.meaning));
	buffer_append_text(&other, to);
	buffer_append(&other, at + strlen(from), strlen(at + strlen(from)) + 1);
	enum meaning_change change = pipeline_meaning_compare(one.meaning, (const char *)other.data, &words);
	buffer_append(&words, "", 1);
	assert_non_null(strstr((const char *)words.data, says));
	pipeline_fini(&one);
	buffer_fini(&other);
	buffer_fini(&words);
	return change;
}

/* What a job may go on with after a clean stop, and what its state and tables were made by. */
static void test_meaning_compare(void **state)
{
	/* What no release has written: neither read beyond its end, nor called the same without a word. */
	static const char *const odd[] = {"measure ", "field", "field a", "field  ", "measure a sum", "a\na", ""};
	for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		struct buffer said = {0};
		assert_int_equal(pipeline_meaning_compare(odd[i], "a", &said), MEANING_OTHER);
		assert_int_not_equal(said.len, 0);
		buffer_fini(&said);
	}
	(void)state;
	assert_int_equal(meaning_of("topic", "topic", ""), MEANING_SAME);
	assert_int_equal(
	    meaning_of("max_record_bytes 262144", "max_record_bytes 9", "is \"max_record_bytes 9\""), MEANING_LIMITS);
	assert_int_equal(meaning_of("max_future_us 86400000000", "max_future_us 0", "max_future"), MEANING_LIMITS);
	assert_int_equal(meaning_of("id string(36)", "id string(40)", "string(40)"), MEANING_LIMITS);
	assert_int_equal(meaning_of(" alias 2:ID", " alias 2:Id alias 1:x", "1:x"), MEANING_LIMITS);
	assert_int_equal(
	    meaning_of("amount decimal(10,2) optional", "amount decimal(12,2) required", "12"), MEANING_LIMITS);
	assert_int_equal(
	    meaning_of("total sum amount decimal(15,2)", "total sum amount decimal(18,2)", "18"), MEANING_MEASURES);

	assert_int_equal(meaning_of("amount decimal(10,2)", "amount decimal(10,3)", "10,3"), MEANING_OTHER);
	assert_int_equal(
	    meaning_of("total sum amount decimal(15,2)", "total sum amount decimal(15,1)", ""), MEANING_OTHER);
	assert_int_equal(meaning_of("total sum amount", "sum sum amount", ""), MEANING_OTHER);
	assert_int_equal(meaning_of("total sum amount", "total sum pieces", ""), MEANING_OTHER);
	assert_int_equal(meaning_of("pieces integer", "pieces string(9)", ""), MEANING_OTHER);
	assert_int_equal(meaning_of("field note string(200)", "field notes string(200)", ""), MEANING_OTHER);
	assert_int_equal(meaning_of("time_zone UTC", "time_zone Asia/Tokyo", "was \"time_zone UTC\""), MEANING_OTHER);
	assert_int_equal(meaning_of("key id", "key shop", ""), MEANING_OTHER);
	assert_int_equal(meaning_of("format 1", "format 2", ""), MEANING_OTHER);
	assert_int_equal(meaning_of("by shop field shop\n", "", "no longer \"by shop field shop\""), MEANING_OTHER);
	assert_int_equal(
	    meaning_of("field note", "field new integer optional\nfield note", "now also \"field new"), MEANING_OTHER);
	assert_int_equal(meaning_of("rollup per_shop\n", "rollup per_day\nby day day at\nrollup per_shop\n", "per_day"),
	    MEANING_OTHER);
}

static void test_meaning(void **state)
{
	(void)state;
	struct pipeline pipeline = parsed(base);
	assert_string_equal(pipeline.meaning, "format 1\n"
	                                      "topic sales\n"
	                                      "table purchases\n"
	                                      "key id\n"
	                                      "event_time at\n"
	                                      "time_zone UTC\n"
	                                      "max_record_bytes 262144\n"
	                                      "max_future_us 86400000000\n"
	                                      "field id string(36) required alias 2:ID\n"
	                                      "field at timestamp required\n"
	                                      "field shop string(20) required\n"
	                                      "field amount decimal(10,2) optional\n"
	                                      "field pieces integer required\n"
	                                      "field note string(200) optional\n"
	                                      "duplicates first\n"
	                                      "rollup per_shop\n"
	                                      "by day day at\n"
	                                      "by shop field shop\n"
	                                      "measure total sum amount decimal(15,2)\n"
	                                      "measure pieces sum pieces decimal(20,0)\n"
	                                      "key_groups 128\n");
	/* Stored in databases: it may never change for the same text. */
	assert_string_equal(pipeline.fingerprint, "ec4e863ee1f42eafa4a7b062daf28dd1");
	pipeline_fini(&pipeline);

	assert_true(means_the_same("ingest: 2", "ingest: 7"));
	assert_true(means_the_same("10ms", "50ms"));
	assert_true(means_the_same("localhost:9092", "broker:9092"));
	assert_true(means_the_same("start: earliest", "start: latest"));
	assert_true(means_the_same(", index: by_shop", ""));
	assert_true(
	    means_the_same("", "coordinator: {listen: \"tcp://h:1\"}\nsinks: {postgres: {url: \"dbname=x\"}}\n"));
	assert_true(
	    means_the_same("", "sinks: {elasticsearch: {url: \"http://u:p@h\", index: x-%Y, compression: gzip}}\n"));
	assert_true(means_the_same("ingest: 2", "search: 7"));
	assert_true(means_the_same("", "duplicates: {retention: 48h}\ncheckpoint: {interval: 1s, dir: /x}\n"));
	assert_true(means_the_same("  key: id\n  event_time: at\n", "  event_time: at\n  key: id\n"));
	assert_true(means_the_same("name: id, type: string(36)", "type: string(36), name: id"));
	assert_true(means_the_same("time_zone: UTC", "max_future: 24h"));
	assert_true(means_the_same("job: shop", "job: other"));

	assert_false(means_the_same("topic: sales", "topic: sales2"));
	assert_false(means_the_same("table: purchases", "table: sold"));
	assert_false(means_the_same("time_zone: UTC", "time_zone: Europe/Berlin"));
	assert_false(means_the_same("time_zone: UTC", "max_future: 2d"));
	assert_false(means_the_same("time_zone: UTC", "max_record_bytes: 100KiB"));
	assert_false(means_the_same("string(200)", "string(201)"));
	assert_false(means_the_same("\"decimal(10,2)\"", "\"decimal(11,2)\""));
	assert_false(means_the_same("name: note", "required: true, name: note"));
	assert_false(means_the_same("[ID]", "[Id]"));
	assert_false(means_the_same("[ID]", "[ID, Id]"));
	assert_false(means_the_same("key: id", "key: shop"));
	assert_false(means_the_same("day: at", "month: at"));
	assert_false(means_the_same("decimal(15,2)", "decimal(16,2)"));
	assert_false(means_the_same("", "key_groups: 64\n"));
	assert_false(means_the_same("table: per_shop", "table: per_store"));
	/* One alias that looks like two is not two. */
	struct pipeline one = parsed_changed("[ID]", "[\"a alias 1:b\"]"), two = parsed_changed("[ID]", "[a, b]");
	assert_string_not_equal(one.fingerprint, two.fingerprint);
	pipeline_fini(&one);
	pipeline_fini(&two);
}

/* --- what is printed ------------------------------------------------------------------------------------------- */

static char *printed(const struct pipeline *pipeline)
{
	struct buffer text = {0};
	pipeline_print(pipeline, &text);
	buffer_append(&text, "", 1);
	return (char *)text.data;
}

static void test_print_reads_back(void **state)
{
	(void)state;
	static const char *const changes[][2] = {
	    {"", ""},
	    {"start: earliest", "start: {timestamp: 1705276800500}"},
	    {"start: earliest", "start: {offsets: {7: 250, 0: 1}}"},
	    {"[ID]", "[\"a \\\"b\\\" \\\\ c\", \"null\", \"${{HOME}}\", \"x: y\", \"\xc3\xa4\", \"-\"]"},
	    {"kafka: {bootstrap.servers: \"localhost:9092\", group.id: shop}", "kafka: {}"},
	    {"[ID]", "[\"a\\L\\P\\N\\uFEFFz\", \"${{a${b}}\", \"${{a}}}\", \"}${{}}{\"]"},
	    {"time_zone: UTC", "time_zone: America/New_York\n  max_record_bytes: 100001\n  max_future: 1500ms"},
	    {"", "key_groups: 1\ncheckpoint: {dir: \"/a b\"}\n"},
	    {"", "sinks: {elasticsearch: {url: \"https://u:p@h\", hosts: \"a,b:1\", index: \"x-%Y\", ca_file: /c}}\n"},
	    {"", "sinks: {elasticsearch: {url: h, api_key: \"a:b\", compression: gzip, max_requests: 3}}\n"},
	};
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		struct pipeline one = parsed_changed(changes[i][0], changes[i][1]);
		char *text = printed(&one);
		struct pipeline other = parsed(text);
		char *again = printed(&other);
		assert_string_equal(text, again);
		assert_string_equal(one.meaning, other.meaning);
		assert_int_equal(one.source.start.timestamp_ms, other.source.start.timestamp_ms);
		assert_int_equal(one.source.start.offsets_len, other.source.start.offsets_len);
		free(text);
		free(again);
		pipeline_fini(&one);
		pipeline_fini(&other);
	}
}

static void expect_redacted(const char *url, const char *expected)
{
	char line[512], quoted[512];
	(void)snprintf(line, sizeof line, "sinks: {postgres: {url: '%s'}}\n", url);
	struct pipeline pipeline = parsed_changed("", line);
	char *text = printed(&pipeline);
	(void)snprintf(quoted, sizeof quoted, "    url: \"%s\"\n", expected);
	if (strstr(text, quoted) == NULL)
		fail_msg("expected %s in %s", quoted, strstr(text, "    url:"));
	assert_null(strstr(text, "hunter2"));
	free(text);
	pipeline_fini(&pipeline);
}

static void test_secrets(void **state)
{
	(void)state;
	expect_redacted("postgresql://me:hunter2@h:5432/db", "postgresql://me:***@h:5432/db");
	expect_redacted("postgres://me:hunter2@/db?host=/run", "postgres://me:***@/db?host=/run");
	expect_redacted("postgresql://me@h/db?password=hunter2&x=1", "postgresql://me@h/db?password=***&x=1");
	expect_redacted("postgresql://h/db?x=1&sslpassword=hunter2", "postgresql://h/db?x=1&sslpassword=***");
	expect_redacted("postgresql://me:hunter2@hunter2@h/db", "postgresql://me:***@h/db");
	expect_redacted("postgresql://me:hun/hunter2?@h/db", "postgresql://me:***@h/db");
	expect_redacted("postgresql://h:5432/db", "postgresql://h:5432/db");
	expect_redacted("host=h password=hunter2 dbname=d", "host=h password=*** dbname=d");
	expect_redacted("PASSWORD  =  hunter2", "PASSWORD  =  ***");
	expect_redacted("password=''a b\\'' hunter2'' user=u", "password=*** user=u");
	expect_redacted("password=''hunter2", "password=***");
	expect_redacted("user=u passfile=/x", "user=u passfile=/x");

	struct pipeline pipeline = parsed_changed("group.id: shop",
	    "sasl.password: hunter2, ssl.key.password: hunter2, ssl.key.pem: hunter2, sasl.jaas.config: hunter2,"
	    " SASL.Password: hunter2, sasl.oauthbearer.client.secret: hunter2, sasl.username: me");
	char *text = printed(&pipeline);
	assert_null(strstr(text, "hunter2"));
	assert_non_null(strstr(text, "    sasl.password: \"***\"\n"));
	assert_non_null(strstr(text, "    sasl.username: me\n"));
	assert_string_equal(pipeline.source.kafka[1].value, "hunter2"); /* only the print hides it */
	free(text);
	pipeline_fini(&pipeline);
}

static void test_elasticsearch_secrets(void **state)
{
	(void)state;
	static const char *const settings[] = {"url: \"https://me:hunter2@h\"", "hosts: \"a,https://me:hunter2@h,b\"",
	    "url: h, user: me, password: hunter2", "url: h, api_key: hunter2"};
	for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
		struct pipeline pipeline = elastic(settings[i]);
		char *text = printed(&pipeline);
		assert_null(strstr(text, "hunter2"));
		assert_non_null(
		    strstr(text, i == 3 ? "    api_key: \"***\"\n" : "    user: me\n    password: \"***\"\n"));
		free(text);
		pipeline_fini(&pipeline);
	}
}

static void test_help(void **state)
{
	(void)state;
	struct buffer text = {0};
	pipeline_help(&text);
	buffer_append(&text, "", 1);
	assert_non_null(strstr((char *)text.data, "epoch.min_interval "));
	assert_non_null(strstr((char *)text.data, "(duration, default 10ms)\n"));
	assert_non_null(strstr((char *)text.data, "key_groups "));
	buffer_fini(&text);
}

/* --- the shipped file ------------------------------------------------------------------------------------------ */

static void test_shipped(void **state)
{
	(void)state;
	static const struct {
		const char *name, *alias, *index;
		enum field_type type;
		int length; /* or the precision */
		bool required;
	} expected[] = {
	    {"transaction_id", "transactionId", NULL, FIELD_STRING, 36, true},
	    {"product_id", "productId", NULL, FIELD_STRING, 100, false},
	    {"product_name", "productName", NULL, FIELD_STRING, 255, false},
	    {"product_category", "productCategory", "idx_transactions_category", FIELD_STRING, 100, true},
	    {"product_price", "productPrice", NULL, FIELD_DECIMAL, 10, false},
	    {"product_quantity", "productQuantity", NULL, FIELD_INTEGER, 0, false},
	    {"product_brand", "productBrand", NULL, FIELD_STRING, 100, false},
	    {"total_amount", "totalAmount", NULL, FIELD_DECIMAL, 10, true},
	    {"currency", NULL, NULL, FIELD_STRING, 3, false},
	    {"customer_id", "customerId", NULL, FIELD_STRING, 255, false},
	    {"transaction_date", "transactionDate", "idx_transactions_date", FIELD_TIMESTAMP, 0, true},
	    {"payment_method", "paymentMethod", NULL, FIELD_STRING, 50, false},
	};
	static const char *const variables[] = {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "CHECKPOINT_DIR",
	    "SLUICE_COORDINATOR", "ELASTICSEARCH_URL", "ELASTICSEARCH_HOSTS", "ELASTICSEARCH_USER",
	    "ELASTICSEARCH_PASSWORD", "ELASTICSEARCH_CA_FILE", "ELASTICSEARCH_API_KEY"};
	enum { VARIABLES = sizeof variables / sizeof variables[0] };
	for (size_t i = 0; i < VARIABLES; i++)
		(void)unsetenv(variables[i]);
	struct pipeline pipeline;
	struct error error;
	if (pipeline_load(&pipeline, SOURCE_DIR "/compose/pipeline.yaml", &error) != RESULT_OK)
		fail_msg("%s", error.text);
	assert_string_equal(pipeline.job, "ecommerce-transactions");
	assert_string_equal(pipeline.source.topic, "financial_transactions");
	assert_string_equal(pipeline.source.kafka[0].value, "localhost:9092");
	assert_int_equal(pipeline.record.fields_len, 12);
	for (size_t i = 0; i < 12; i++) {
		const struct field *field = &pipeline.record.fields[i];
		assert_string_equal(field->name, expected[i].name);
		assert_int_equal(field->type, expected[i].type);
		assert_int_equal(
		    field->type == FIELD_DECIMAL ? (uint32_t)field->precision : field->length_max, expected[i].length);
		assert_int_equal(field->scale, field->type == FIELD_DECIMAL ? 2 : 0);
		assert_int_equal(field->required, expected[i].required);
		assert_int_equal(field->aliases_len, expected[i].alias != NULL);
		if (expected[i].alias != NULL)
			assert_string_equal(field->aliases[0], expected[i].alias);
		assert_int_equal(field->index != NULL, expected[i].index != NULL);
		if (expected[i].index != NULL)
			assert_string_equal(field->index, expected[i].index);
	}
	assert_int_equal(pipeline.record.key, 0);
	assert_int_equal(pipeline.record.event_time, 10);
	assert_non_null(strstr(pipeline.meaning, "rollup sales_per_category\n"
	                                         "by transaction_date day transaction_date\n"
	                                         "by category field product_category\n"
	                                         "measure total_sales sum total_amount decimal(15,2)\n"
	                                         "rollup sales_per_day\n"
	                                         "by transaction_date day transaction_date\n"
	                                         "measure total_sales sum total_amount decimal(15,2)\n"
	                                         "rollup sales_per_month\n"
	                                         "by year year transaction_date\n"
	                                         "by month month transaction_date\n"
	                                         "measure total_sales sum total_amount decimal(15,2)\n"));
	assert_string_equal(pipeline.fingerprint, "458c2fe65e5bc7399b18a6cc0c27e2d1");
	assert_string_equal(pipeline.sinks.postgres_url, "");
	assert_string_equal(pipeline.checkpoint.dir, "/var/lib/sluice/checkpoints");
	assert_string_equal(pipeline.coordinator.listen, "tcp://127.0.0.1:7710");
	assert_int_equal(pipeline.sinks.elasticsearch.urls_len, 0);
	assert_string_equal(pipeline.sinks.elasticsearch.index, "transactions");
	pipeline_fini(&pipeline);

	static const char *const values[VARIABLES] = {"broker:1", "dbname=x", "/srv/c", "tcp://10.0.0.1:99",
	    "https://h:9200", "https://i:9200,https://j:9200", "me", "hunter2", "/srv/ca.pem", ""};
	for (size_t i = 0; i < VARIABLES; i++)
		(void)setenv(variables[i], values[i], 1);
	assert_int_equal(pipeline_load(&pipeline, SOURCE_DIR "/compose/pipeline.yaml", &error), RESULT_OK);
	assert_string_equal(pipeline.source.kafka[0].value, values[0]);
	assert_string_equal(pipeline.sinks.postgres_url, values[1]);
	assert_string_equal(pipeline.checkpoint.dir, values[2]);
	assert_string_equal(pipeline.coordinator.listen, values[3]);
	assert_int_equal(pipeline.sinks.elasticsearch.urls_len, 3);
	assert_string_equal(pipeline.sinks.elasticsearch.url, values[4]);
	assert_string_equal(pipeline.sinks.elasticsearch.hosts, values[5]);
	assert_string_equal(pipeline.sinks.elasticsearch.user, values[6]);
	assert_string_equal(pipeline.sinks.elasticsearch.password, values[7]);
	assert_string_equal(pipeline.sinks.elasticsearch.ca_file, values[8]);
	assert_string_equal(pipeline.fingerprint, "458c2fe65e5bc7399b18a6cc0c27e2d1");
	pipeline_fini(&pipeline);
}

/* --- values ---------------------------------------------------------------------------------------------------- */

static void test_durations_and_sizes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t value;
		const char *printed;
	} durations[] = {{"10ms", 10000, "10ms"}, {"5s", 5000000, "5s"}, {"1m", 60000000, "1m"},
	    {"24h", UINT64_C(86400000000), "1d"}, {"1d", UINT64_C(86400000000), "1d"}, {"0s", 0, "0s"},
	    {"0ms", 0, "0s"}, {"1500ms", 1500000, "1500ms"}, {"90s", 90000000, "90s"}, {"7us", 7, "7us"},
	    {"2H", UINT64_C(7200000000), "2h"}},
	  sizes[] = {{"1MiB", 1048576, "1MiB"}, {"256KiB", 262144, "256KiB"}, {"1MB", 1000000, "1MB"},
	      {"64mb", 64000000, "64MB"}, {"64kb", 64000, "64kB"}, {"3gib", UINT64_C(3221225472), "3GiB"},
	      {"1048577", 1048577, "1048577B"}, {"12B", 12, "12B"}, {"0", 0, "0"}};
	uint64_t value;
	for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
		struct buffer text = {0};
		assert_true(duration_parse(durations[i].text, &value));
		assert_true(value == durations[i].value);
		duration_print(value, &text);
		buffer_append(&text, "", 1);
		assert_string_equal((char *)text.data, durations[i].printed);
		buffer_fini(&text);
	}
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct buffer text = {0};
		assert_true(size_parse(sizes[i].text, &value));
		assert_true(value == sizes[i].value);
		size_print(value, &text);
		buffer_append(&text, "", 1);
		assert_string_equal((char *)text.data, sizes[i].printed);
		buffer_fini(&text);
	}
	static const char *const bad[] = {"", "s", "ms", "10", "10 ms", "-1s", "+1s", "1.5s", "1e3s", "10msx", "01s",
	    "18446744073709551616us", "213503983d", "99999999999999999999999999s", "1w"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(duration_parse(bad[i], &value));
	static const char *const bad_sizes[] = {
	    "", "MiB", "1 MiB", "-1", "1TB", "1.5MiB", "0x10", "17179869184GiB", "18446744073709551616"};
	for (size_t i = 0; i < sizeof bad_sizes / sizeof bad_sizes[0]; i++)
		assert_false(size_parse(bad_sizes[i], &value));
	assert_true(count_parse("18446744073709551615", UINT64_MAX, &value) && value == UINT64_MAX);
	assert_false(count_parse("18446744073709551615", UINT64_MAX - 1, &value));
}

static void test_distance(void **state)
{
	(void)state;
	assert_int_equal(text_distance("epoch", "epoch"), 0);
	assert_int_equal(text_distance("Epoch", "epOch"), 0);
	assert_int_equal(text_distance("epochs", "epoch"), 1);
	assert_int_equal(text_distance("epcoh", "epoch"), 1);
	assert_int_equal(text_distance("epoc", "epoch"), 1);
	assert_int_equal(text_distance("", "abc"), 3);
	assert_int_equal(text_distance("kitten", "sitting"), 3);
	assert_true(text_distance(X64, "x") == SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_fields_and_rollups),
	    cmocka_unit_test(test_settings),
	    cmocka_unit_test(test_elasticsearch),
	    cmocka_unit_test(test_starts),
	    cmocka_unit_test(test_styles),
	    cmocka_unit_test(test_variables),
	    cmocka_unit_test(test_secret_files),
	    cmocka_unit_test(test_folders),
	    cmocka_unit_test(test_all_mistakes),
	    cmocka_unit_test(test_unknown_keys),
	    cmocka_unit_test(test_missing_keys),
	    cmocka_unit_test(test_bad_values),
	    cmocka_unit_test(test_bad_elasticsearch),
	    cmocka_unit_test(test_bad_fields),
	    cmocka_unit_test(test_bad_rollups),
	    cmocka_unit_test(test_not_yaml),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_meaning),
	    cmocka_unit_test(test_meaning_compare),
	    cmocka_unit_test(test_print_reads_back),
	    cmocka_unit_test(test_secrets),
	    cmocka_unit_test(test_elasticsearch_secrets),
	    cmocka_unit_test(test_help),
	    cmocka_unit_test(test_shipped),
	    cmocka_unit_test(test_durations_and_sizes),
	    cmocka_unit_test(test_distance),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
