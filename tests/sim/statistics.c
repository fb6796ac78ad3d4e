#include "tests/sim/statistics.h"

#include <inttypes.h>
#include <stdio.h>

void statistics_add(struct statistics *into, const struct statistics *from)
{
#define STATISTIC(name, what) into->name += from->name;
	STATISTICS(STATISTIC)
#undef STATISTIC
}

static bool row(uint64_t count, const char *what)
{
	(void)printf("%10" PRIu64 "  %s%s\n", count, what, count ? "" : "   <-- never");
	return count != 0;
}

bool statistics_print(const struct statistics *statistics)
{
	bool all = true;
#define STATISTIC(name, what) all &= row(statistics->name, what);
	STATISTICS(STATISTIC)
#undef STATISTIC
	return all;
}
