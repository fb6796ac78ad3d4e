#include "common/runtime/service_options.h"

#include <string.h>

#include "common/base/options.h"

#define AT(member) .offset = offsetof(struct service_options, member)

static const struct option_row rows[] = {
    {"--config", "FILE", "SLUICE_CONFIG", "/etc/sluice/pipeline.yaml", AT(config), "the pipeline file"},
    {"--job", "JOB", "SLUICE_JOB", "totals", AT(job), "which job it works for: totals or search"},
    {"--name", "NAME", "SLUICE_NAME", NULL, AT(name),
        "name of this worker; otherwise role, host and a number drawn at random"},
    {"--coordinator", "URL", "SLUICE_COORDINATOR", NULL, AT(coordinator),
        "the coordinator's control link; otherwise coordinator.listen of the pipeline file"},
    {"--advertise", "HOST", "SLUICE_ADVERTISE", NULL, AT(advertise),
        "the host under which other workers reach this one; otherwise 127.0.0.1"},
    {"--log-format", "FORMAT", "SLUICE_LOG_FORMAT", "auto", AT(log_format), "json, text, or auto: text on a terminal"},
    {"--log-level", "LEVEL", "SLUICE_LOG_LEVEL", "info", AT(log_level), "debug, info, warn or error"},
    {"--help", NULL, NULL, NULL, AT(help), "this text"},
    {"--version", NULL, NULL, NULL, AT(version), "the version"},
};
enum { ROWS = sizeof rows / sizeof *rows };

enum result service_options_parse(struct service_options *options, int argc, char *const *argv, struct error *error)
{
	if (options_parse(rows, ROWS, options, argc, argv, NULL, error) != RESULT_OK)
		return error->code;
	if (!log_format_is_known(options->log_format))
		return error_set(
		    error, RESULT_CONFIG, "log format %s is not one of json, text, auto", options->log_format);
	if (!job_kind_parse(options->job, &options->kind))
		return error_set(error, RESULT_CONFIG, "job %s is not one of totals, search", options->job);
	if (!log_level_parse(options->log_level, &options->least))
		return error_set(
		    error, RESULT_CONFIG, "log level %s is not one of debug, info, warn, error", options->log_level);
	return RESULT_OK;
}

void service_options_help(FILE *out, const char *program, const char *about)
{
	(void)fprintf(out, "%s - %s\n\nusage: %s [ARGUMENT...]\n\n", program, about, program);
	options_help(out, rows, ROWS);
	(void)fprintf(out,
	    "\nAn argument goes before the environment variable in brackets.\n"
	    "Exit codes: 0 ended as asked, %d wrong usage, %d a person has to act (do not restart).\n",
	    EXIT_USAGE, EXIT_CONFIG);
}
