/* tests/sim/main.c - walks worlds from seeds; see sim.h and walks.h.
 *
 *   sim [--seeds N] [--first S] [--steps N] [--jobs N] [--job totals|search]
 *                                                         N worlds; the first seed that fails is named
 *   sim --minutes M [--first S] [--jobs N]                as many as go into it; what is found is listed in the end, a line a kind
 *   sim --seed S [--job search] [--only LIST] [--trace]   one world again, readably; of its faults only these
 *   sim --seed S [--job search] --shrink                  one that fails, made short
 *   sim_mutants --mutant NAME | --all-mutants             switches a rule off; a mutant that lives on is a failure
 *
 * --job says which job's worlds are walked, then of the job of documents as many as of the other.
 *
 * --coverage also prints which rows of the coordinator's tables were passed. From COVERED seeds on, a row or a fault that never
 * came is a failure.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "tests/sim/mutants.h"
#include "tests/sim/shrink.h"
#include "tests/sim/walks.h"

enum { COVERED = 2000, MINUTES_MAX = 100000, CODE_VIOLATION = 1, CODE_USAGE = 2 };

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

/* --- a short one -------------------------------------------------------------------------------------------------------------- */

struct shrinking {
	struct options options;
	char violation[VIOLATION_MAX]; /* in words: numbers differ from walk to walk */
};

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

/* The first of its words. */
static bool is_new(const struct findings *findings, uint64_t place)
{
	char words[VIOLATION_MAX], before[VIOLATION_MAX];
	words_of(findings->kept[place].violation, words);
	for (uint64_t i = 0; i < place; i++) {
		words_of(findings->kept[i].violation, before);
		if (strcmp(words, before) == 0)
			return false;
	}
	return true;
}

static int run_on(const struct options *options)
{
	const struct findings *findings = walk_on(options);
	uint64_t kinds = 0;
	for (uint64_t i = 0; i < findings->found && i < FINDINGS_MAX; i++) {
		const struct finding *finding = &findings->kept[i];
		if (!is_new(findings, i))
			continue;
		(void)printf("%" PRIu64 ". seed %" PRIu64 " of job %s fails: %s\n", ++kinds, finding->seed,
		    job_kind_name(finding->job), finding->violation);
		run_shrink(options, finding->job, finding->seed);
	}
	(void)printf("walked %" PRIu64 " seeds from %" PRIu64 " on: %" PRIu64 " fail, of %" PRIu64 " kinds\n",
	    findings->walked, options->first, findings->found, kinds);
	return findings->found == 0 ? EXIT_SUCCESS : CODE_VIOLATION;
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
		else if (strcmp(argv[i], "--minutes") == 0)
			good = number(argv[++i], &options->minutes) && options->minutes >= 1 &&
			       options->minutes <= MINUTES_MAX;
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
		            "       sim --minutes M [--first S] [--steps N] [--jobs N] [--job totals|search]\n"
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
	if (options.one)
		return run_one(&options);
	return options.minutes != 0 ? run_on(&options) : run_protocol(&options);
}
