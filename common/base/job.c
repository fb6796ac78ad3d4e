#include "common/base/job.h"

#include <stdio.h>
#include <string.h>

static const char *const names[JOBS] = {[JOB_TOTALS] = "totals", [JOB_SEARCH] = "search"};

const char *job_kind_name(enum job_kind kind)
{
	return names[kind];
}

bool job_kind_parse(const char *text, enum job_kind *kind)
{
	for (enum job_kind i = JOB_TOTALS; i < JOBS; i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		*kind = i;
		return true;
	}
	return false;
}

const char *job_name(const struct pipeline *pipeline, enum job_kind kind, char out[JOB_NAME_MAX])
{
	(void)snprintf(out, JOB_NAME_MAX, "%s/%s", pipeline->job, names[kind]);
	return out;
}

bool job_is_on(const struct pipeline *pipeline, enum job_kind kind)
{
	return kind == JOB_TOTALS || pipeline->sinks.elasticsearch.urls_len > 0;
}

enum result job_check_on(const struct pipeline *pipeline, enum job_kind kind, struct error *error)
{
	if (job_is_on(pipeline, kind))
		return RESULT_OK;
	return error_set(error, RESULT_CONFIG,
	    "the job %s is off: sinks.elasticsearch.url in %s is empty (is ELASTICSEARCH_URL set?)", names[kind],
	    pipeline->path);
}
