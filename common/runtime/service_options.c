#include "common/runtime/service_options.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct option_row {
	const char *name;
	const char *value; /* what stands for the value in --help; NULL: a flag */
	const char *variable;
	const char *fallback;
	size_t offset; /* const char *, or bool for a flag */
	const char *what;
};

#define AT(member) .offset = offsetof(struct service_options, member)

static const struct option_row rows[] = {
    {"--config", "FILE", "SLUICE_CONFIG", "/etc/sluice/pipeline.yaml", AT(config), "the pipeline file"},
    {"--name", "NAME", "SLUICE_NAME", NULL, AT(name), "name of this worker (default: role, host and pid)"},
    {"--coordinator", "URL", "SLUICE_COORDINATOR", NULL, AT(coordinator),
        "the coordinator's control link (default: coordinator.listen of the pipeline file)"},
    {"--advertise", "HOST", "SLUICE_ADVERTISE", NULL, AT(advertise),
        "the host under which other workers reach this one (default: 127.0.0.1)"},
    {"--log-format", "FORMAT", "SLUICE_LOG_FORMAT", "auto", AT(log_format), "json, text, or auto: text on a terminal"},
    {"--log-level", "LEVEL", "SLUICE_LOG_LEVEL", "info", AT(log_level), "debug, info, warn or error"},
    {"--help", NULL, NULL, NULL, AT(help), "this text"},
    {"--version", NULL, NULL, NULL, AT(version), "the version"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static const char **text_of(struct service_options *options, const struct option_row *row)
{
	return (const char **)(void *)((char *)options + row->offset);
}

/* An empty variable is as good as none: compose files like to set them so. */
static void apply_defaults(struct service_options *options)
{
	*options = (struct service_options){.help = false};
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].value == NULL)
			continue;
		const char *value = getenv(rows[i].variable);
		*text_of(options, &rows[i]) = value != NULL && *value != '\0' ? value : rows[i].fallback;
	}
}

static const struct option_row *find_row(const char *argument, size_t len)
{
	for (size_t i = 0; i < ROWS; i++)
		if (strlen(rows[i].name) == len && memcmp(rows[i].name, argument, len) == 0)
			return &rows[i];
	return NULL;
}

/* --name VALUE or --name=VALUE; moves *at to the last argument used. */
static enum result parse_one(struct service_options *options, int argc, char *const *argv, int *at, struct error *error)
{
	const char *argument = argv[*at], *value = strchr(argument, '=');
	size_t len = value != NULL ? (size_t)(value - argument) : strlen(argument);
	const struct option_row *row = find_row(argument, len);
	if (row == NULL)
		return error_set(error, RESULT_CONFIG, "unknown argument %s (see --help)", argument);
	if (row->value == NULL) {
		if (value != NULL)
			return error_set(error, RESULT_CONFIG, "%s takes no value", row->name);
		*(bool *)(void *)((char *)options + row->offset) = true;
		return RESULT_OK;
	}
	if (value == NULL && *at + 1 == argc)
		return error_set(error, RESULT_CONFIG, "%s needs a value: %s %s", row->name, row->name, row->value);
	*text_of(options, row) = value != NULL ? value + 1 : argv[++*at];
	if (**text_of(options, row) == '\0')
		return error_set(error, RESULT_CONFIG, "%s has an empty value", row->name);
	return RESULT_OK;
}

static bool is_log_format(const char *text)
{
	return strcmp(text, "auto") == 0 || strcmp(text, "json") == 0 || strcmp(text, "text") == 0;
}

enum result service_options_parse(struct service_options *options, int argc, char *const *argv, struct error *error)
{
	apply_defaults(options);
	for (int at = 1; at < argc; at++)
		if (parse_one(options, argc, argv, &at, error) != RESULT_OK)
			return error->code;
	if (!is_log_format(options->log_format))
		return error_set(
		    error, RESULT_CONFIG, "log format %s is not one of json, text, auto", options->log_format);
	if (!log_level_parse(options->log_level, &options->least))
		return error_set(
		    error, RESULT_CONFIG, "log level %s is not one of debug, info, warn, error", options->log_level);
	return RESULT_OK;
}

void service_options_help(FILE *out, const char *program, const char *about)
{
	(void)fprintf(out, "%s - %s\n\nusage: %s [ARGUMENT...]\n\n", program, about, program);
	for (size_t i = 0; i < ROWS; i++) {
		char left[40];
		(void)snprintf(left, sizeof left, "%s %s", rows[i].name, rows[i].value ? rows[i].value : "");
		(void)fprintf(out, "  %-20s %s", left, rows[i].what);
		if (rows[i].fallback != NULL)
			(void)fprintf(out, " (default: %s)", rows[i].fallback);
		if (rows[i].variable != NULL)
			(void)fprintf(out, " [%s]", rows[i].variable);
		(void)fprintf(out, "\n");
	}
	(void)fprintf(out,
	    "\nAn argument goes before the environment variable in brackets.\n"
	    "Exit codes: 0 ended as asked, %d wrong usage, %d a person has to act (do not restart).\n",
	    EXIT_USAGE, EXIT_CONFIG);
}
