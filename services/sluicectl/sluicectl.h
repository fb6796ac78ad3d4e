/* services/sluicectl/sluicectl.h - what a person types. A verb is a row in the table of main.c and a function here. */
#ifndef SLUICECTL_H
#define SLUICECTL_H

#include <stdbool.h>

#include "common/base/job.h"

enum { EXIT_UNAVAILABLE = 69 };

struct arguments {
	const char *config, *coordinator, *output, *wait, *from, *job;
	bool ddl, dry_run, help, version;
	bool json; /* what output says */
};

/* Which jobs a verb is about: what --job says, otherwise every one that is on. CONFIG: there is no such job, or it is off. */
enum result sluicectl_jobs(const struct arguments *arguments, const struct pipeline *pipeline, bool wanted[JOBS],
    struct error *error) MUST_USE;

/* Each returns the exit code. */
int verb_init(const struct arguments *arguments, const struct pipeline *pipeline);
int verb_validate(const struct arguments *arguments, const struct pipeline *pipeline);
int verb_checkpoint(const struct arguments *arguments, const struct pipeline *pipeline);
int verb_status(const struct arguments *arguments, const struct pipeline *pipeline);
int verb_audit(const struct arguments *arguments, const struct pipeline *pipeline);
int verb_rebuild(const struct arguments *arguments, const struct pipeline *pipeline);

#endif
