/* services/sluicectl/validate.c - sluicectl validate: what the pipeline file comes to. */
#include "common/postgres/ddl.h"
#include "services/sluicectl/sluicectl.h"

#include <stdlib.h>

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

static int run(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct buffer out = {0};
	if (arguments->ddl)
		print_ddl(pipeline, arguments->json, &out);
	else if (arguments->json)
		print_json(pipeline, &out);
	else
		pipeline_print(pipeline, &out);
	print_buffer(&out);
	return EXIT_SUCCESS;
}

const struct verb verb_validate = {
    .name = "validate",
    .run = run,
    .what = "checks the pipeline file and prints what it comes to, secrets left out",
    .exits = "0 it is valid, 78 it is not",
    .takes_file = true,
    .rows = {{"--ddl", NULL, NULL, NULL, AT(ddl), "print the tables' DDL instead"}},
    .rows_len = 1,
};
