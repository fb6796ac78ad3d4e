/* tests/sim/main.c - walks worlds from seeds; see sim.h.
 *
 *   sim [--seeds N] [--first S] [--steps N] [--jobs N] [--job totals|search]
 *                                                         N worlds; the first seed that fails is named
 *   sim --seed S [--job search] [--only LIST] [--trace]   one world again, readably; of its faults only these
 *   sim --seed S [--job search] --shrink                  one that fails, made short
 *   sim_mutants --mutant NAME | --all-mutants             switches a rule off; a mutant that lives on is a failure
 *
 * A seed has a world of the job of totals, and every fourth one also one of the job of documents (search); --job says which
 * ones are walked, then of the job of documents as many as of the other.
 *
 * --coverage also prints which rows of the coordinator's tables were passed. From COVERED seeds on, a row or a fault that never
 * came is a failure.
 *
 * Every twentieth world is walked twice: both walks must send the same bytes. A world that ends in a panic or in a
 * sanitizer's complaint fails like any other: worlds are walked in child processes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "tests/sim/coverage.h"
#include "tests/sim/mutants.h"
#include "tests/sim/shrink.h"
#include "tests/sim/sim.h"

enum { JOBS_MAX = 64, TWICE_EVERY = 20, SEARCH_EVERY = 4, COVERED = 2000, CODE_VIOLATION = 1, CODE_USAGE = 2 };

struct options {
	uint64_t seeds, first, steps, jobs;
	enum job_kind job; /* JOBS: both */
	bool trace, one, all_mutants, coverage, shrink;
	const char *mutant;
	const struct omitted *omitted;
};

/* What a child leaves behind, whatever becomes of it. */
struct report {
	struct statistics statistics[JOBS];
	struct coverage coverage[JOBS];
	uint64_t faults; /* of the world walked last */
	enum job_kind job; /* being walked, or the one that failed */
	uint64_t seed; /* likewise */
	uint64_t failed; /* seed + 1 */
	char violation[VIOLATION_MAX + 32];
};

#ifdef SLUICE_MUTANTS
/* One for the whole program, like a build: chosen before the first world is made. */
static const char *chosen_mutant;

bool mutant_is_chosen(const char *name)
{
	return chosen_mutant != NULL && strcmp(chosen_mutant, name) == 0;
}
#endif

static const struct {
	const char *name, *what;
	uint64_t first, walks;
	enum job_kind job;
} mutants[] = {
#define ROW(name, first, walks, what) {#name, what, first, walks, JOB_TOTALS},
    MUTANTS(ROW)
#undef ROW
#define ROW(name, first, walks, what) {#name, what, first, walks, JOB_SEARCH},
        SEARCH_MUTANTS(ROW)
#undef ROW
};
enum { MUTANTS_LEN = sizeof mutants / sizeof *mutants };

/* --- one world ---------------------------------------------------------------------------------------------------------------- */

static bool walk(const struct options *options, enum job_kind job, uint64_t seed, uint64_t *hash, struct report *report)
{
	struct world *world = memory_new(sizeof *world);
	coverage_to(&report->coverage[job]);
	world_init(world, job, seed, options->trace, options->omitted);
	bool good = world_run(world, options->steps);
	*hash = world->trace_hash ^ world->step;
	if (!good && report->failed == 0) {
		report->failed = seed + 1;
		report->job = job;
		(void)snprintf(
		    report->violation, sizeof report->violation, "step %" PRIu64 ": %s", world->step, world->violation);
	}
	report->faults = world->faults;
	statistics_add(&report->statistics[job], &world->statistics);
	world_fini(world);
	coverage_to(NULL);
	free(world);
	return good;
}

static bool walk_checked(const struct options *options, enum job_kind job, uint64_t seed, struct report *report)
{
	struct report ignored = {0};
	uint64_t hash, again;
	report->seed = seed;
	report->job = job;
	if (!walk(options, job, seed, &hash, report))
		return false;
	if (options->trace || seed % TWICE_EVERY != 0)
		return true;
	if (walk(options, job, seed, &again, &ignored) && hash == again)
		return true;
	report->failed = seed + 1;
	(void)snprintf(report->violation, sizeof report->violation, "the same seed walked twice, differently");
	return false;
}

/* --- many --------------------------------------------------------------------------------------------------------------------- */

static bool is_walked(const struct options *options, enum job_kind job, uint64_t seed)
{
	return options->job == job || (options->job == JOBS && (job == JOB_TOTALS || seed % SEARCH_EVERY == 0));
}

static void walk_share(const struct options *options, uint64_t job, struct report *reports)
{
	for (uint64_t i = job; i < options->seeds; i += options->jobs) {
		for (uint64_t k = 0; k < options->jobs; k++)
			if (reports[k].failed != 0 && reports[k].failed <= options->first + i)
				return; /* an earlier seed has failed: this one does not matter */
		for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++)
			if (is_walked(options, kind, options->first + i) &&
			    !walk_checked(options, kind, options->first + i, &reports[job]))
				return;
	}
}

static void start_child(const struct options *options, uint64_t job, struct report *reports, pid_t *child)
{
	(void)fflush(NULL);
	*child = fork();
	CHECK(*child >= 0);
	if (*child != 0)
		return;
	walk_share(options, job, reports);
	(void)fflush(NULL);
	exit(EXIT_SUCCESS); /* leaks are looked for here */
}

/* A child that ended by a signal or a sanitizer has failed at the seed that it was walking. */
static void await_child(pid_t child, struct report *report)
{
	int status;
	CHECK(waitpid(child, &status, 0) == child);
	if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) || report->failed != 0)
		return;
	report->failed = report->seed + 1;
	(void)snprintf(report->violation, sizeof report->violation, "ended by %s %d: a panic, or a sanitizer's finding",
	    WIFSIGNALED(status) ? "signal" : "exit code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* The earliest seed that fails, with all statistics. */
static void walk_all(const struct options *options, struct report *result)
{
	size_t size = JOBS_MAX * sizeof(struct report);
	struct report *reports = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[JOBS_MAX];
	CHECK(reports != MAP_FAILED);
	for (uint64_t job = 0; job < options->jobs; job++)
		start_child(options, job, reports, &children[job]);
	*result = (struct report){0};
	for (uint64_t job = 0; job < options->jobs; job++) {
		await_child(children[job], &reports[job]);
		for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++) {
			statistics_add(&result->statistics[kind], &reports[job].statistics[kind]);
			coverage_add(&result->coverage[kind], &reports[job].coverage[kind]);
		}
		if (reports[job].faults > result->faults)
			result->faults = reports[job].faults;
		if (reports[job].failed != 0 && (result->failed == 0 || reports[job].failed < result->failed)) {
			result->failed = reports[job].failed;
			result->job = reports[job].job;
			memcpy(result->violation, reports[job].violation, sizeof result->violation);
		}
	}
	(void)munmap(reports, size);
}

/* --- a short one -------------------------------------------------------------------------------------------------------------- */

struct shrinking {
	struct options options;
	char violation[VIOLATION_MAX]; /* in words: numbers differ from walk to walk */
};

static void words_of(const char *violation, char *words)
{
	size_t len = 0;
	const char *at = strncmp(violation, "step ", 5) == 0 ? strchr(violation, ':') : violation;
	for (; at != NULL && *at != '\0' && len + 1 < VIOLATION_MAX; at++)
		if (*at < '0' || *at > '9')
			words[len++] = *at;
	words[len] = '\0';
}

static bool fails_the_same(void *context, const struct omitted *omitted)
{
	struct shrinking *shrinking = context;
	struct report report;
	char words[VIOLATION_MAX];
	shrinking->options.omitted = omitted;
	walk_all(&shrinking->options, &report);
	words_of(report.violation, words);
	return report.failed != 0 && strcmp(words, shrinking->violation) == 0;
}

static void run_shrink(const struct options *options, enum job_kind job, uint64_t seed)
{
	static struct omitted omitted;
	struct shrinking shrinking = {.options = *options};
	struct report report;
	char left[512];
	shrinking.options.first = seed;
	shrinking.options.job = job;
	shrinking.options.seeds = shrinking.options.jobs = 1;
	walk_all(&shrinking.options, &report);
	words_of(report.violation, shrinking.violation);
	omitted = (struct omitted){.faults = report.faults < SHRINK_FAULTS_MAX ? report.faults : SHRINK_FAULTS_MAX};
	if (report.failed == 0 || omitted.faults == 0)
		return;
	uint64_t faults = shrink(&omitted, fails_the_same, &shrinking);
	omitted_print(&omitted, left, sizeof left);
	(void)printf("%" PRIu64 " of its %" PRIu64 " faults are enough; to see them:\n  --seed %" PRIu64
	             " --job %s --only %s --trace\n",
	    faults, report.faults, seed, job_kind_name(job), left);
}

static int run_protocol(const struct options *options)
{
	struct report result;
	bool all = true;
	walk_all(options, &result);
	for (enum job_kind job = JOB_TOTALS; job < JOBS; job++) {
		if (options->job != JOBS && options->job != job)
			continue;
		(void)printf("job %s:\n", job_kind_name(job));
		if (options->coverage)
			all &= coverage_print(job, &result.coverage[job]);
		all &= statistics_print(job, &result.statistics[job]);
	}
	if (result.failed != 0) {
		(void)printf("seed %" PRIu64 " of job %s fails: %s\n", result.failed - 1, job_kind_name(result.job),
		    result.violation);
		run_shrink(options, result.job, result.failed - 1);
		return CODE_VIOLATION;
	}
	(void)printf(
	    "nothing found in %" PRIu64 " seeds%s\n", options->seeds, all ? "" : ", but not everything was tried");
	return all || options->seeds < COVERED ? EXIT_SUCCESS : CODE_VIOLATION;
}

static int run_one(const struct options *options)
{
	struct report report = {0};
	uint64_t hash;
	enum job_kind job = options->job == JOBS ? JOB_TOTALS : options->job;
	bool good = walk(options, job, options->first, &hash, &report);
	statistics_print(job, &report.statistics[job]);
	(void)printf(
	    "seed %" PRIu64 ", bytes %016" PRIx64 ": %s\n", options->first, hash, good ? "good" : report.violation);
	return good ? EXIT_SUCCESS : CODE_VIOLATION;
}

static int run_mutants(const struct options *options)
{
	int alive = 0;
#ifdef SLUICE_MUTANTS
	for (size_t i = 0; i < MUTANTS_LEN; i++) {
		struct report result;
		if (!options->all_mutants && strcmp(options->mutant, mutants[i].name) != 0)
			continue;
		chosen_mutant = mutants[i].name;
		struct options walks = *options;
		walks.job = mutants[i].job;
		if (options->shrink)
			run_shrink(options, walks.job, options->first);
		if (options->one)
			return run_one(&walks) == EXIT_SUCCESS ? CODE_VIOLATION : EXIT_SUCCESS;
		if (options->all_mutants) {
			walks.first = mutants[i].first;
			walks.seeds = mutants[i].walks;
		}
		walk_all(&walks, &result);
		if (result.failed == 0)
			(void)printf("%-26s lives on after %" PRIu64 " seeds   <-- %s\n", mutants[i].name, walks.seeds,
			    mutants[i].what);
		else
			(void)printf(
			    "%-26s seed %5" PRIu64 "  %s\n", mutants[i].name, result.failed - 1, result.violation);
		(void)fflush(stdout);
		alive += result.failed == 0;
	}
#else
	(void)options;
	(void)fputs("sim: the rules cannot be switched off in this program; sim_mutants can\n", stderr);
	alive = 1;
#endif
	return alive ? CODE_VIOLATION : EXIT_SUCCESS;
}

/* --- options ------------------------------------------------------------------------------------------------------------------ */

static bool number(const char *text, uint64_t *value)
{
	char *end;
	if (text == NULL || *text < '0' || *text > '9')
		return false;
	*value = strtoull(text, &end, 10);
	return *end == '\0';
}

static bool known_mutant(const char *name)
{
	for (size_t i = 0; name != NULL && i < MUTANTS_LEN; i++)
		if (strcmp(name, mutants[i].name) == 0)
			return true;
	return false;
}

static struct omitted only;

static bool parse(struct options *options, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		bool good = true;
		if (strcmp(argv[i], "--seeds") == 0)
			good = number(argv[++i], &options->seeds);
		else if (strcmp(argv[i], "--first") == 0)
			good = number(argv[++i], &options->first);
		else if (strcmp(argv[i], "--steps") == 0)
			good = number(argv[++i], &options->steps);
		else if (strcmp(argv[i], "--jobs") == 0)
			good = number(argv[++i], &options->jobs) && options->jobs >= 1 && options->jobs <= JOBS_MAX;
		else if (strcmp(argv[i], "--seed") == 0)
			good = options->one = number(argv[++i], &options->first);
		else if (strcmp(argv[i], "--mutant") == 0)
			good = known_mutant(options->mutant = argv[++i]);
		else if (strcmp(argv[i], "--all-mutants") == 0)
			options->all_mutants = true;
		else if (strcmp(argv[i], "--job") == 0)
			good = argv[++i] != NULL && job_kind_parse(argv[i], &options->job);
		else if (strcmp(argv[i], "--trace") == 0)
			options->trace = true;
		else if (strcmp(argv[i], "--coverage") == 0)
			options->coverage = true;
		else if (strcmp(argv[i], "--shrink") == 0)
			options->shrink = true;
		else if (strcmp(argv[i], "--only") == 0)
			good = omitted_parse(&only, argv[++i]) && (options->omitted = &only);
		else
			good = false;
		if (!good)
			return false;
	}
	return options->one || (!options->trace && !options->shrink && !options->omitted);
}

int main(int argc, char **argv)
{
	struct options options = {.job = JOBS, .seeds = 300, .steps = 2500, .jobs = 1};
	if (!parse(&options, argc, argv)) {
		(void)fputs("usage: sim [--seeds N] [--first S] [--steps N] [--jobs N] [--job totals|search]\n"
		            "       sim --seed S [--job totals|search] [--steps N] [--only LIST] [--trace] | --shrink\n"
		            "       sim_mutants --mutant NAME | --all-mutants [...]\n",
		    stderr);
		return CODE_USAGE;
	}
	log_open("sim", "text", options.trace ? LOG_WARN : (enum log_level)(LOG_ERROR + 1));
	if (options.mutant != NULL || options.all_mutants)
		return run_mutants(&options);
	if (options.shrink)
		run_shrink(&options, options.job == JOBS ? JOB_TOTALS : options.job, options.first);
	return options.one ? run_one(&options) : run_protocol(&options);
}
