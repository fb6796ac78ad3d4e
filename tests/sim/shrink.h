/* tests/sim/shrink.h - a walk that fails is made short: faults are left out as long as it fails in the same way.
 *
 * Each fault of a walk has a number, and draws from numbers of its own: without it the others stay what they are.
 */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include <stdbool.h>
#include <stdint.h>

enum { SHRINK_FAULTS_MAX = 4096 };

/* The faults that are left out of a walk. */
struct omitted {
	uint64_t faults; /* how many there were, in the walk that was not shrunk */
	bool is[SHRINK_FAULTS_MAX];
};

/* Walks with these left out; true: fails in the same way as before. */
typedef bool (*shrink_walk)(void *context, const struct omitted *omitted);
/* Returns how many faults are left. */
uint64_t shrink(struct omitted *omitted, shrink_walk fails, void *context);
/* "3,17,40": what is left; and back. */
void omitted_print(const struct omitted *omitted, char *text, uint64_t size);
bool omitted_parse(struct omitted *omitted, const char *text);

#endif
