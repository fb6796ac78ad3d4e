/* common/runtime/service_options.h - the arguments that all worker processes understand.
 *
 * How to add one: a member here and a row in the table of service_options.c; --help comes from the table.
 * An argument goes before its environment variable; what neither says stays NULL, and the pipeline file or the default
 * decides.
 *
 * Ownership: texts point into argv and the environment.
 */
#ifndef RUNTIME_SERVICE_OPTIONS_H
#define RUNTIME_SERVICE_OPTIONS_H

#include <stdio.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/job.h"

struct service_options {
	const char *config; /* never NULL */
	const char *job;
	enum job_kind kind; /* what job says */
	const char *name; /* of the worker */
	const char *coordinator; /* url */
	const char *advertise; /* host */
	const char *log_format;
	const char *log_level;
	enum log_level least; /* what log_level says */
	bool help, version;
};

/* CONFIG: wrong usage (exit EXIT_USAGE), with the argument named. */
enum result service_options_parse(
    struct service_options *options, int argc, char *const *argv, struct error *error) MUST_USE;
/* about: one line on what the program does. */
void service_options_help(FILE *out, const char *program, const char *about);

#endif
