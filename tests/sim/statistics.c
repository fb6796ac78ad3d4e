#include "tests/sim/statistics.h"

#include <inttypes.h>
#include <stdio.h>

void statistics_add(struct statistics *into, const struct statistics *from)
{
#define STATISTIC(name, what) into->name += from->name;
	STATISTICS(STATISTIC)
#undef STATISTIC
}

void statistics_print(const struct statistics *statistics)
{
#define STATISTIC(name, what) (void)printf("%10" PRIu64 "  %s\n", statistics->name, what);
	STATISTICS(STATISTIC)
#undef STATISTIC
}
