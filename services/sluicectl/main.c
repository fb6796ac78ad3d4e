/* services/sluicectl/main.c - sluicectl: finds the verb, reads its options, loads the pipeline file. */
#include "services/sluicectl/sluicectl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/output.h"
#include "common/base/settings.h"

static const struct verb *const verbs[] = {
    &verb_init,
    &verb_validate,
    &verb_status,
    &verb_checkpoint,
    &verb_audit,
    &verb_rebuild,
    &verb_reset,
    &verb_skip,
    &verb_accept,
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static const struct option_row shared[] = {
    {"--config", "FILE", "SLUICE_CONFIG", "/etc/sluice/pipeline.yaml", AT(config), "the pipeline file"},
    {"-o", "FORMAT", NULL, "table", AT(output), "table or json"},
    {"--help", NULL, NULL, NULL, AT(help), "this text"},
};
enum { SHARED = sizeof shared / sizeof *shared, ROWS_MAX = VERB_ROWS_MAX + SHARED };

/* --- options of a verb ------------------------------------------------------------------------------------------ */

/* Its own rows, then those of every verb. */
static size_t rows_of(const struct verb *verb, struct option_row rows[ROWS_MAX])
{
	CHECK(verb->rows_len <= VERB_ROWS_MAX);
	memcpy(rows, verb->rows, verb->rows_len * sizeof *rows);
	memcpy(rows + verb->rows_len, shared, sizeof shared);
	return verb->rows_len + SHARED;
}

static bool has_option(const struct verb *verb, const char *argument)
{
	struct option_row rows[ROWS_MAX];
	return option_find(rows, rows_of(verb, rows), argument) != NULL;
}

/* "rebuild, reset and skip have it" */
static void print_owners(const char *const *owners, size_t len, struct buffer *out)
{
	for (size_t i = 0; i < len; i++)
		buffer_printf(out, "%s%s", i == 0 ? "" : i + 1 == len ? " and " : ", ", owners[i]);
	buffer_append_text(out, len == 1 ? " has it" : " have it");
}

/* An option that only other verbs have: says which. False: there is none among the arguments. */
static bool name_owners(const struct verb *verb, int argc, char *const *argv)
{
	for (int i = 1; i < argc; i++) {
		const char *owners[VERBS];
		struct buffer words = {0};
		size_t len = 0;
		if (argv[i][0] != '-' || has_option(verb, argv[i]))
			continue;
		for (size_t j = 0; j < VERBS; j++)
			if (has_option(verbs[j], argv[i]))
				owners[len++] = verbs[j]->name;
		if (len == 0)
			continue;
		print_owners(owners, len, &words);
		(void)fprintf(stderr, "sluicectl: %s has no option %.*s; %.*s (see sluicectl %s --help)\n", verb->name,
		    (int)strcspn(argv[i], "="), argv[i], (int)words.len, (const char *)words.data, verb->name);
		buffer_fini(&words);
		return true;
	}
	return false;
}

/* 0, or the exit code. argv[0] is the verb. */
static int read_arguments(const struct verb *verb, int argc, char *const *argv, struct arguments *arguments)
{
	struct option_row rows[ROWS_MAX];
	struct option_words words;
	struct error error;
	*arguments = (struct arguments){0};
	if (options_parse(rows, rows_of(verb, rows), arguments, argc, argv, &words, &error) != RESULT_OK)
		return name_owners(verb, argc, argv) ? EXIT_USAGE : sluicectl_refuse("%s", error.text);
	arguments->json = strcmp(arguments->output, "json") == 0;
	if (arguments->help)
		return 0;
	if (!arguments->json && strcmp(arguments->output, "table") != 0)
		return sluicectl_refuse("-o %s: it is table or json", arguments->output);
	if (words.len > (verb->takes_file ? 1 : 0))
		return sluicectl_refuse("%s takes no argument %s (see sluicectl %s --help)", verb->name,
		    words.words[words.len - 1], verb->name);
	if (words.len == 0)
		return 0;
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--config", strlen("--config")) == 0)
			return sluicectl_refuse("%s: the pipeline file is named twice", verb->name);
	arguments->config = words.words[0];
	return 0;
}

/* --- help ------------------------------------------------------------------------------------------------------- */

static void print_help(FILE *out)
{
	(void)fputs("usage: sluicectl VERB [OPTIONS]\n\n", out);
	for (size_t i = 0; i < VERBS; i++)
		(void)fprintf(out, "  %-12s %s\n", verbs[i]->name, verbs[i]->what);
	(void)fputs("\nsluicectl VERB --help says what a verb takes. --version is the version.\n"
	            "Exit codes of all verbs: 2 wrong usage, 69 a service is away, 74 the output could not be written, "
	            "78 a person has to change something.\n",
	    out);
}

static void print_verb_help(const struct verb *verb)
{
	struct option_row rows[ROWS_MAX];
	size_t rows_len = rows_of(verb, rows);
	(void)printf(
	    "usage: sluicectl %s%s [OPTIONS]\n\n%s.\n", verb->name, verb->takes_file ? " [FILE]" : "", verb->what);
	if (verb->exits != NULL)
		(void)printf("Exit codes: %s.\n", verb->exits);
	(void)putchar('\n');
	options_help(stdout, rows, rows_len);
}

/* --- what verbs share ------------------------------------------------------------------------------------------- */

int sluicectl_refuse(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)fputs("sluicectl: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	return EXIT_USAGE;
}

int sluicectl_fail(const struct error *error)
{
	(void)fprintf(stderr, "sluicectl: %s\n", error->text);
	return error->code == RESULT_CONFIG ? EXIT_CONFIG : EXIT_UNAVAILABLE;
}

void print_buffer(struct buffer *text)
{
	(void)fwrite(text->data, 1, text->len, stdout);
	buffer_fini(text);
}

void json_text(struct buffer *out, const char *name, const char *text)
{
	buffer_printf(out, "\"%s\": ", name);
	buffer_append_json(out, (struct bytes){(const uint8_t *)text, strlen(text)});
}

void sluicectl_pause_ms(long ms)
{
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
	while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
		continue;
}

enum result sluicectl_job(const struct arguments *arguments, enum job_kind *kind, struct error *error)
{
	if (arguments->job != NULL && !job_kind_parse(arguments->job, kind))
		return error_set(error, RESULT_CONFIG, "no job %s: --job is totals or search", arguments->job);
	return RESULT_OK;
}

enum result sluicectl_jobs(
    const struct arguments *arguments, const struct pipeline *pipeline, bool wanted[JOBS], struct error *error)
{
	enum job_kind only = JOBS;
	if (sluicectl_job(arguments, &only, error) != RESULT_OK)
		return error->code;
	if (only != JOBS && job_check_on(pipeline, only, error) != RESULT_OK)
		return error->code;
	for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++)
		wanted[kind] = only == JOBS ? job_is_on(pipeline, kind) : kind == only;
	return RESULT_OK;
}

/* --- main ------------------------------------------------------------------------------------------------------- */

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < VERBS; i++)
		if (strcmp(verbs[i]->name, name) == 0)
			return verbs[i];
	return NULL;
}

static int no_verb(const char *word)
{
	const struct verb *nearest = verbs[0];
	if (word[0] == '-')
		return sluicectl_refuse("the verb comes first: sluicectl VERB [OPTIONS] (see --help)");
	for (size_t i = 1; i < VERBS; i++)
		if (text_distance(word, verbs[i]->name) < text_distance(word, nearest->name))
			nearest = verbs[i];
	if (text_distance(word, nearest->name) <= 2)
		return sluicectl_refuse("no verb %s; did you mean %s? (see --help)", word, nearest->name);
	return sluicectl_refuse("no verb %s (see --help)", word);
}

static int run_verb(const struct verb *verb, int argc, char *const *argv)
{
	struct arguments arguments;
	struct pipeline pipeline;
	struct error error;
	int code = read_arguments(verb, argc, argv, &arguments);
	if (code != 0)
		return code;
	if (arguments.help) {
		print_verb_help(verb);
		return EXIT_SUCCESS;
	}
	if (verb->run_file != NULL)
		return verb->run_file(&arguments);
	if (pipeline_load(&pipeline, arguments.config, &error) != RESULT_OK)
		return sluicectl_fail(&error);
	code = verb->run(&arguments, &pipeline);
	pipeline_fini(&pipeline);
	return code;
}

static int run(int argc, char *const *argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	if (word[0] == '\0') {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		const struct verb *asked = argc > 2 ? find_verb(argv[2]) : NULL;
		if (asked != NULL)
			print_verb_help(asked);
		else
			print_help(stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(word, "--version") == 0) {
		(void)puts("sluicectl " SLUICE_VERSION);
		return EXIT_SUCCESS;
	}
	const struct verb *verb = find_verb(word);
	return verb != NULL ? run_verb(verb, argc - 1, argv + 1) : no_verb(word);
}

int main(int argc, char **argv)
{
	output_open();
	log_open("sluicectl", "text", LOG_WARN);
	/* A process tries again and again, a verb connects once: it has more time for that. PGCONNECT_TIMEOUT and the address go first. */
	(void)setenv("PGCONNECT_TIMEOUT", "15", 0);
	int code = output_end("sluicectl", run(argc, argv));
	/* nng's threads may hang at exit. */
	(void)fflush(NULL);
	_exit(code);
}
