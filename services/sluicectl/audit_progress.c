/* services/sluicectl/audit_progress.c - see audit_progress.h. */
#include "services/sluicectl/audit_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/timestamp.h"

enum { BAR_WIDTH = 30, REDRAW_US = 200000 };

void progress_open(struct progress *progress)
{
	*progress = (struct progress){.on = isatty(STDERR_FILENO) == 1};
}

void progress_show(struct progress *progress, const char *step, uint64_t done, uint64_t total)
{
	if (!progress->on)
		return;
	uint64_t now_us = clock_monotonic_us();
	if (progress->step == step && now_us - progress->drawn_us < REDRAW_US)
		return;
	progress->step = step;
	progress->drawn_us = now_us;
	if (total == 0) {
		(void)fprintf(stderr, "\r\033[K%s %" PRIu64, step, done);
		return;
	}
	char bar[BAR_WIDTH + 1];
	double share = done < total ? (double)done / (double)total : 1.0;
	size_t full = (size_t)(share * BAR_WIDTH);
	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '=', full);
	bar[BAR_WIDTH] = '\0';
	(void)fprintf(stderr, "\r\033[K%s [%s] %3d %%", step, bar, (int)(share * 100));
}

void progress_clear(struct progress *progress)
{
	if (progress->on && progress->step != NULL)
		(void)fprintf(stderr, "\r\033[K");
	progress->step = NULL;
}
