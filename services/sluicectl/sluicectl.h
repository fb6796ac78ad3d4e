/* services/sluicectl/sluicectl.h - what a person types: a verb, then its options.
 *
 * A verb is a `const struct verb` in a file of its own, with rows for the options that only it has, and a row in the table of
 * main.c. An option that a verb has no row for is refused. Every verb has --config, -o and --help besides, and understands
 * -o json: one JSON value on stdout. What went wrong is told on stderr.
 */
#ifndef SLUICECTL_H
#define SLUICECTL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/job.h"
#include "common/base/options.h"

enum { EXIT_UNAVAILABLE = 69, VERB_ROWS_MAX = 12 };

/* Options that a verb has no row for are NULL or false. */
struct arguments {
	const char *config, *output;
	const char *coordinator, *wait, *from, *job, *max_age, *to;
	bool ddl, dry_run, check, yes, with_index, help;
	bool json; /* what output says */
};

struct verb {
	const char *name;
	int (*run)(const struct arguments *, const struct pipeline *); /* the exit code */
	int (*run_file)(const struct arguments *); /* instead, of a verb that loads the pipeline file itself; or NULL */
	const char *what; /* a line, without a full stop */
	const char *exits; /* exit codes besides 2 (usage) and 78 (a person has to change something), or NULL */
	bool takes_file; /* `sluicectl VERB FILE` is `sluicectl VERB --config FILE` */
	size_t rows_len;
	struct option_row rows[VERB_ROWS_MAX];
};

#define AT(member) .offset = offsetof(struct arguments, member)
#define ROW_COORDINATOR                                                                                                \
	{                                                                                                              \
		"--coordinator", "URL", "SLUICE_COORDINATOR", NULL, AT(coordinator),                                   \
		    "control link (default: coordinator.listen of the pipeline file)"                                  \
	}
#define ROW_JOB(what)                                                                                                  \
	{                                                                                                              \
		"--job", "JOB", NULL, NULL, AT(job), what                                                              \
	}

extern const struct verb verb_init, verb_validate, verb_status, verb_checkpoint, verb_audit, verb_rebuild, verb_reset,
    verb_skip, verb_accept;

/* *kind: what --job says; without it, as it was. CONFIG: there is no such job. */
enum result sluicectl_job(const struct arguments *arguments, enum job_kind *kind, struct error *error) MUST_USE;
/* Which jobs a verb is about: what --job says, otherwise every one that is on. CONFIG: there is no such job, or it is off. */
enum result sluicectl_jobs(const struct arguments *arguments, const struct pipeline *pipeline, bool wanted[JOBS],
    struct error *error) MUST_USE;

/* "sluicectl: words" on stderr; returns the exit code. */
int sluicectl_refuse(const char *format, ...) __attribute__((format(printf, 1, 2))); /* usage: 2 */
int sluicectl_fail(const struct error *error); /* 78 where a person has to act, 69 where a service is away */

void sluicectl_pause_ms(long ms);
/* Writes it to stdout and frees it. */
void print_buffer(struct buffer *text);
/* "name": "text" */
void json_text(struct buffer *out, const char *name, const char *text);

#endif
