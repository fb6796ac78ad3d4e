/* common/base/crash_point.c - see crash_point.h. */
#include "common/base/crash_point.h"

#ifdef SLUICE_CRASH_POINTS

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CRASH_POINT_NAME(name, kind, when) #name,
static const char *const names[] = {CRASH_POINTS(CRASH_POINT_NAME)};

void crash_point_pass(enum crash_point point)
{
	const char *folder = getenv("SLUICE_CRASH_FOLDER");
	char path[PATH_MAX];

	if (!folder)
		return;
	snprintf(path, sizeof path, "%s/%s", folder, names[point]);
	if (unlink(path) != 0)
		return;
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

#endif
