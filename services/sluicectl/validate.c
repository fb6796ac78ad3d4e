/* services/sluicectl/validate.c - sluicectl validate: what the pipeline file comes to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "common/base/settings.h"
#include "common/postgres/ddl.h"
#include "services/sluicectl/sluicectl.h"

static void print_json(const struct pipeline *pipeline, struct buffer *out)
{
	char job[JOB_NAME_MAX];
	buffer_append_text(out, "{\"valid\": true, ");
	json_text(out, "file", pipeline->path);
	buffer_append_text(out, ", \"jobs\": {");
	for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++)
		if (job_is_on(pipeline, kind)) {
			buffer_append_text(out, kind > JOB_TOTALS ? ", " : "");
			json_text(out, job_kind_name(kind), job_name(pipeline, kind, job));
		}
	buffer_append_text(out, "}, ");
	json_text(out, "fingerprint", pipeline->fingerprint);
	buffer_append_text(out, ", \"settings\": ");
	pipeline_print_json(pipeline, out);
	buffer_append_text(out, "}\n");
}

static void print_ddl(const struct pipeline *pipeline, bool json, struct buffer *out)
{
	struct buffer ddl = {0};
	ddl_print(pipeline, &ddl);
	if (json) {
		buffer_append_text(out, "{\"ddl\": ");
		buffer_append_json(out, buffer_bytes(&ddl));
		buffer_append_text(out, "}\n");
	} else {
		buffer_append(out, ddl.data, ddl.len);
	}
	buffer_fini(&ddl);
}

/* librdkafka knows its settings; those that a person may set are checked one by one. */
static void check_kafka(const struct pipeline *pipeline, struct mistakes *mistakes)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	for (size_t i = 0; i < pipeline->source.kafka_len; i++) {
		const struct setting *setting = &pipeline->source.kafka[i];
		char why[256];
		struct error error;
		if (rd_kafka_conf_set(conf, setting->name, setting->value, why, sizeof why) == RD_KAFKA_CONF_OK)
			continue;
		error_set(&error, RESULT_CONFIG, "source.kafka.%s: librdkafka says: %s", setting->name, why);
		(void)mistakes_add(mistakes, &error);
	}
	rd_kafka_conf_destroy(conf);
}

static void print_mistakes(const struct arguments *arguments, const struct mistakes *mistakes)
{
	const char *at = (const char *)mistakes->lines.data, *end = at + mistakes->lines.len;
	struct buffer out = {0};
	buffer_append_text(&out, "{\"valid\": false, ");
	json_text(&out, "file", arguments->config);
	buffer_append_text(&out, ", \"mistakes\": [");
	for (bool first = true; at < end; first = false) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		bool named = memmem(at, (size_t)(line_end - at), arguments->config, strlen(arguments->config)) != NULL;
		(void)fprintf(stderr, "sluicectl: %s%s%.*s\n", named ? "" : arguments->config, named ? "" : ": ",
		    (int)(line_end - at), at);
		buffer_append_text(&out, first ? "" : ", ");
		buffer_append_json(&out, (struct bytes){(const uint8_t *)at, (size_t)(line_end - at)});
		at = line_end + 1;
	}
	if (mistakes->len >= MISTAKES_MAX)
		(void)fprintf(stderr, "sluicectl: there may be more: these are the first %d\n", MISTAKES_MAX);
	buffer_append_text(&out, "]}\n");
	if (!arguments->json)
		out.len = 0;
	print_buffer(&out);
}

static int run(const struct arguments *arguments)
{
	struct buffer out = {0};
	struct mistakes mistakes = {0};
	struct pipeline pipeline;
	if (pipeline_check(&pipeline, arguments->config, &mistakes) == RESULT_OK)
		check_kafka(&pipeline, &mistakes);
	if (mistakes.len > 0)
		print_mistakes(arguments, &mistakes);
	else if (arguments->ddl)
		print_ddl(&pipeline, arguments->json, &out);
	else if (arguments->json)
		print_json(&pipeline, &out);
	else
		pipeline_print(&pipeline, &out);
	print_buffer(&out);
	pipeline_fini(&pipeline);
	buffer_fini(&mistakes.lines);
	return mistakes.len > 0 ? EXIT_CONFIG : EXIT_SUCCESS;
}

const struct verb verb_validate = {
    .name = "validate",
    .run_file = run,
    .what = "checks the pipeline file, tells all its mistakes, or prints what it comes to, secrets left out",
    .exits = "0 it is valid, 78 it is not",
    .takes_file = true,
    .rows = {{"--ddl", NULL, NULL, NULL, AT(ddl), "print the tables' DDL instead"}},
    .rows_len = 1,
};
