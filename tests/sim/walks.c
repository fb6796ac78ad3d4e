#include "tests/sim/walks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/timestamp.h"

enum { TWICE_EVERY = 20, SEARCH_EVERY = 4 };

void words_of(const char *violation, char *words)
{
	size_t len = 0;
	const char *at = strncmp(violation, "step ", 5) == 0 ? strchr(violation, ':') : violation;
	for (; at != NULL && *at != '\0' && len + 1 < VIOLATION_MAX; at++)
		if (*at < '0' || *at > '9')
			words[len++] = *at;
	words[len] = '\0';
}

/* --- one world ---------------------------------------------------------------------------------------------------------------- */

bool walk(const struct options *options, enum job_kind job, uint64_t seed, uint64_t *hash, struct report *report)
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
static void judge_child(int status, struct report *report)
{
	if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) || report->failed != 0)
		return;
	report->failed = report->seed + 1;
	(void)snprintf(report->violation, sizeof report->violation, "ended by %s %d: a panic, or a sanitizer's finding",
	    WIFSIGNALED(status) ? "signal" : "exit code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

void walk_all(const struct options *options, struct report *result)
{
	size_t size = JOBS_MAX * sizeof(struct report);
	struct report *reports = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[JOBS_MAX];
	CHECK(reports != MAP_FAILED);
	for (uint64_t job = 0; job < options->jobs; job++)
		start_child(options, job, reports, &children[job]);
	*result = (struct report){0};
	for (uint64_t job = 0; job < options->jobs; job++) {
		int status;
		CHECK(waitpid(children[job], &status, 0) == children[job]);
		judge_child(status, &reports[job]);
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

/* --- on and on --------------------------------------------------------------------------------------------------------------- */

static void note_finding(struct findings *findings, struct report *report)
{
	uint64_t place = __atomic_fetch_add(&findings->found, 1, __ATOMIC_RELAXED);
	if (place < FINDINGS_MAX) {
		struct finding *finding = &findings->kept[place];
		finding->job = report->job;
		finding->seed = report->failed - 1;
		memcpy(finding->violation, report->violation, sizeof finding->violation);
	}
	report->failed = 0;
}

static void walk_share_on(
    const struct options *options, uint64_t end_us, struct findings *findings, struct report *report)
{
	while (clock_monotonic_us() < end_us) {
		uint64_t seed = options->first + __atomic_fetch_add(&findings->next, 1, __ATOMIC_RELAXED);
		for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++)
			if (is_walked(options, kind, seed) && !walk_checked(options, kind, seed, report))
				note_finding(findings, report);
		(void)__atomic_fetch_add(&findings->walked, 1, __ATOMIC_RELAXED);
	}
}

static pid_t start_child_on(
    const struct options *options, uint64_t end_us, struct findings *findings, struct report *report)
{
	(void)fflush(NULL);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child != 0)
		return child;
	walk_share_on(options, end_us, findings, report);
	(void)fflush(NULL);
	exit(EXIT_SUCCESS);
}

/* Whoever dies at a seed is followed by another one that goes on behind it. */
struct findings *walk_on(const struct options *options)
{
	struct findings *findings =
	    mmap(NULL, sizeof *findings, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t end_us = clock_monotonic_us() + options->minutes * 60 * 1000000;
	pid_t children[JOBS_MAX];
	CHECK(findings != MAP_FAILED);
	for (uint64_t job = 0; job < options->jobs; job++)
		children[job] = start_child_on(options, end_us, findings, &findings->reports[job]);
	for (uint64_t left = options->jobs; left > 0;) {
		int status;
		pid_t child = waitpid(-1, &status, 0);
		uint64_t job = 0;
		while (job < options->jobs && children[job] != child)
			job++;
		CHECK(child > 0 && job < options->jobs);
		judge_child(status, &findings->reports[job]);
		if (findings->reports[job].failed == 0) {
			left--;
			continue;
		}
		note_finding(findings, &findings->reports[job]);
		(void)__atomic_fetch_add(&findings->walked, 1, __ATOMIC_RELAXED);
		children[job] = start_child_on(options, end_us, findings, &findings->reports[job]);
	}
	return findings;
}
