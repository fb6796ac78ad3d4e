/* services/sluicectl/audit_progress.h - a bar on stderr while a person waits; nothing where stderr is no terminal. */
#ifndef AUDIT_PROGRESS_H
#define AUDIT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool on;
	uint64_t drawn_us;
	const char *step; /* the one drawn last */
};

void progress_open(struct progress *progress);
/* total 0: nobody knows how much is to come. May be called for every item. */
void progress_show(struct progress *progress, const char *step, uint64_t done, uint64_t total);
void progress_clear(struct progress *progress);

#endif
