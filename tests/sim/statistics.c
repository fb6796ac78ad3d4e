#include "tests/sim/statistics.h"

#include <inttypes.h>
#include <stdio.h>

void statistics_add(struct statistics *into, const struct statistics *from)
{
#define STATISTIC(jobs, name, what) into->name += from->name;
	STATISTICS(STATISTIC)
#undef STATISTIC
}

enum { TOTALS = 1 << JOB_TOTALS, SEARCH = 1 << JOB_SEARCH, BOTH = TOTALS | SEARCH };

static bool row(uint64_t count, const char *what)
{
	(void)printf("%10" PRIu64 "  %s%s\n", count, what, count ? "" : "   <-- never");
	return count != 0;
}

bool statistics_print(enum job_kind kind, const struct statistics *statistics)
{
	bool all = true;
#define STATISTIC(jobs, name, what) all &= !((jobs)&1 << kind) || row(statistics->name, what);
	STATISTICS(STATISTIC)
#undef STATISTIC
	return all;
}
