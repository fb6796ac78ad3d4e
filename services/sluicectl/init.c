/* services/sluicectl/init.c - sluicectl init: schema and tables in PostgreSQL. */
#include "common/postgres/postgres_schema.h"
#include "services/sluicectl/sluicectl.h"

#include <stdlib.h>
#include <string.h>

/* A line of the report each: "created table x". */
static void print_json(const struct pipeline *pipeline, const struct buffer *report, struct buffer *out)
{
	char job[JOB_NAME_MAX];
	const uint8_t *at = report->data, *end = report->data + report->len;
	buffer_append_text(out, "{");
	json_text(out, "job", job_name(pipeline, JOB_TOTALS, job));
	buffer_append_text(out, ", \"report\": [");
	while (at < end) {
		const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
		if (line_end == NULL)
			line_end = end;
		buffer_append_text(out, at > report->data ? ", " : "");
		buffer_append_json(out, (struct bytes){at, (size_t)(line_end - at)});
		at = line_end + 1;
	}
	buffer_append_text(out, "]}\n");
}

static int run(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct buffer report = {0}, out = {0};
	struct error error = {0};
	if (postgres_init(pipeline, "sluicectl", &report, &error) != RESULT_OK) {
		print_buffer(&report);
		return sluicectl_fail(&error);
	}
	if (!arguments->json) {
		print_buffer(&report);
		return EXIT_SUCCESS;
	}
	print_json(pipeline, &report, &out);
	print_buffer(&out);
	buffer_fini(&report);
	return EXIT_SUCCESS;
}

const struct verb verb_init = {
    .name = "init",
    .run = run,
    .what = "makes schema and tables in PostgreSQL where they are missing; harmless when repeated",
    .exits = "0 they are there, 69 PostgreSQL is away, 78 refused",
};
