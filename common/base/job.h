/* common/base/job.h - the jobs of a pipeline: one a sink, with attempts, epochs and a frontier of its own.
 *
 * They share the code, the coordinator and the log, nothing else: a process hosts actors of one job only.
 */
#ifndef BASE_JOB_H
#define BASE_JOB_H

#include "common/base/pipeline.h"

enum job_kind {
	JOB_TOTALS, /* rows and totals, in PostgreSQL */
	JOB_SEARCH, /* a copy to search in, in Elasticsearch */
	JOBS
};
enum { JOB_NAME_MAX = PIPELINE_NAME_MAX + 8 };

const char *job_kind_name(enum job_kind kind); /* "totals" */
bool job_kind_parse(const char *text, enum job_kind *kind) MUST_USE;
/* "<pipeline job>/totals" */
const char *job_name(const struct pipeline *pipeline, enum job_kind kind, char out[JOB_NAME_MAX]);
/* The pipeline file names a place for what it writes. */
bool job_is_on(const struct pipeline *pipeline, enum job_kind kind);
/* The same, with words for a person: CONFIG, it does not. */
enum result job_check_on(const struct pipeline *pipeline, enum job_kind kind, struct error *error) MUST_USE;

#endif
