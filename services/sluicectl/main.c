/* services/sluicectl/main.c - sluicectl: init, validate, checkpoint, status, audit, rebuild. */
#include "services/sluicectl/sluicectl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/options.h"
#include "common/postgres/ddl.h"
#include "common/postgres/postgres_schema.h"

static const struct {
	const char *name;
	int (*run)(const struct arguments *, const struct pipeline *);
	const char *what;
} verbs[] = {
    {"init", verb_init, "makes schema and tables in PostgreSQL where they are missing; harmless when repeated"},
    {"validate", verb_validate, "checks the pipeline file and prints what it comes to, secrets left out"},
    {"checkpoint", verb_checkpoint,
        "takes a checkpoint now and waits until it is complete; exit 0: it is, 1: it failed"},
    {"status", verb_status, "asks the coordinator how the job is; exit 0: running, 1: not, 69: no coordinator"},
    {"audit", verb_audit,
        "proves rows, totals, documents, dead letters and counters from Kafka; exit 0: exact, 1: not, 69: a service is "
        "away"},
    {"rebuild", verb_rebuild,
        "writes a checkpoint anew where the checkpoint folder is lost and the database holds a frontier; exit 0: there "
        "is "
        "one, 78: refused, 69: a service is away"},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

#define AT(member) .offset = offsetof(struct arguments, member)
static const struct option_row rows[] = {
    {"--config", "FILE", "SLUICE_CONFIG", "/etc/sluice/pipeline.yaml", AT(config), "the pipeline file"},
    {"--coordinator", "URL", "SLUICE_COORDINATOR", NULL, AT(coordinator),
        "status: control link (default: coordinator.listen of the pipeline file)"},
    {"--job", "JOB", NULL, NULL, AT(job),
        "status, audit: totals (PostgreSQL) or search (Elasticsearch) only; otherwise every job that is on"},
    {"--wait", "SECONDS", NULL, "0", AT(wait), "status: wait so long until the job runs"},
    {"--ddl", NULL, NULL, NULL, AT(ddl), "validate: print the tables' DDL instead"},
    {"--from", "SOURCE", NULL, "database", AT(from),
        "rebuild: database (at once, from the totals), or kafka (the next start replays the log from the job's start)"},
    {"--dry-run", NULL, NULL, NULL, AT(dry_run), "rebuild: say what would be done, and change nothing"},
    {"-o", "FORMAT", NULL, "table", AT(output), "json or table"},
    {"--help", NULL, NULL, NULL, AT(help), "this text"},
    {"--version", NULL, NULL, NULL, AT(version), "the version"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void print_help(void)
{
	(void)puts("usage: sluicectl VERB [OPTIONS]\n");
	for (size_t i = 0; i < VERBS; i++)
		(void)printf("  %-26s %s\n", verbs[i].name, verbs[i].what);
	(void)putchar('\n');
	options_help(stdout, rows, ROWS);
}

static void print_buffer(struct buffer *text)
{
	(void)fwrite(text->data, 1, text->len, stdout);
	buffer_fini(text);
}

enum result sluicectl_jobs(
    const struct arguments *arguments, const struct pipeline *pipeline, bool wanted[JOBS], struct error *error)
{
	enum job_kind only = JOBS;
	if (arguments->job != NULL && !job_kind_parse(arguments->job, &only))
		return error_set(error, RESULT_CONFIG, "no job %s: --job is totals or search", arguments->job);
	if (only != JOBS && job_check_on(pipeline, only, error) != RESULT_OK)
		return error->code;
	for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++)
		wanted[kind] = only == JOBS ? job_is_on(pipeline, kind) : kind == only;
	return RESULT_OK;
}

int verb_init(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct buffer report = {0};
	struct error error = {0};
	(void)arguments;
	enum result result = postgres_init(pipeline, "sluicectl", &report, &error);
	print_buffer(&report);
	if (result == RESULT_OK)
		return EXIT_SUCCESS;
	(void)fprintf(stderr, "sluicectl: %s\n", error.text);
	return result == RESULT_CONFIG ? EXIT_CONFIG : EXIT_UNAVAILABLE;
}

int verb_validate(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct buffer text = {0};
	if (arguments->ddl)
		ddl_print(pipeline, &text);
	else
		pipeline_print(pipeline, &text);
	print_buffer(&text);
	return EXIT_SUCCESS;
}

static int run(const struct arguments *arguments, const char *word)
{
	struct pipeline pipeline;
	struct error error;
	for (size_t i = 0; i < VERBS; i++) {
		if (strcmp(verbs[i].name, word) != 0)
			continue;
		if (pipeline_load(&pipeline, arguments->config, &error) != RESULT_OK) {
			(void)fprintf(stderr, "sluicectl: %s\n", error.text);
			return EXIT_CONFIG;
		}
		int code = verbs[i].run(arguments, &pipeline);
		pipeline_fini(&pipeline);
		return code;
	}
	(void)fprintf(stderr, "sluicectl: no verb %s (see --help)\n", word);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct arguments arguments;
	struct option_words words;
	struct error error;
	log_open("sluicectl", "text", LOG_WARN);
	if (options_parse(rows, ROWS, &arguments, argc, argv, &words, &error) != RESULT_OK) {
		(void)fprintf(stderr, "sluicectl: %s\n", error.text);
		return EXIT_USAGE;
	}
	if (arguments.version) {
		(void)puts("sluicectl " SLUICE_VERSION);
		return EXIT_SUCCESS;
	}
	arguments.json = strcmp(arguments.output, "json") == 0;
	if (arguments.help || words.len != 1 || (!arguments.json && strcmp(arguments.output, "table") != 0)) {
		print_help();
		return arguments.help ? EXIT_SUCCESS : EXIT_USAGE;
	}
	int code = run(&arguments, words.words[0]);
	/* nng's threads may hang at exit. */
	(void)fflush(NULL);
	_exit(code);
}
