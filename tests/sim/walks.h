/* tests/sim/walks.h - many worlds, in child processes: a panic or a sanitizer's complaint fails like any other finding.
 *
 * A seed has a world of the job of totals, and every fourth one also one of the job of documents (search). Every twentieth world
 * is walked twice: both walks must send the same bytes.
 */
#ifndef SIM_WALKS_H
#define SIM_WALKS_H

#include "tests/sim/coverage.h"
#include "tests/sim/sim.h"

enum { JOBS_MAX = 64, FINDINGS_MAX = 256 };

struct options {
	uint64_t seeds, first, steps, jobs, minutes;
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

/* What a walk of many found that goes on. */
struct finding {
	enum job_kind job;
	uint64_t seed;
	char violation[VIOLATION_MAX + 32];
};
struct findings {
	uint64_t walked; /* seeds: all from the first one on */
	uint64_t found; /* in all; no more than FINDINGS_MAX are kept */
	struct finding kept[FINDINGS_MAX];
	struct report reports[JOBS_MAX]; /* of the children */
	uint64_t next;
};

/* One world. False: it failed, and the report says how. */
bool walk(const struct options *options, enum job_kind job, uint64_t seed, uint64_t *hash, struct report *report);
/* The earliest seed that fails, with all statistics. */
void walk_all(const struct options *options, struct report *result);
/* For options.minutes on options.jobs processors, whatever is found. Shared memory, to be unmapped by the end of the process. */
struct findings *walk_on(const struct options *options);
/* A violation without its numbers, which differ from walk to walk: so long as violation is. */
void words_of(const char *violation, char *words);

#endif
