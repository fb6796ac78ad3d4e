/* tests/sim/random.h - numbers from a seed: the same walk on every machine.
 *
 * Source: splitmix64 (Steele, Lea, Flood 2014).
 */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}
/* 0 .. below-1; 0 where below is 0. */
static inline uint32_t random_below(struct random *random, uint32_t below)
{
	return below ? (uint32_t)((random_next(random) >> 32) * below >> 32) : 0;
}
/* least .. most, both included. */
static inline uint32_t random_between(struct random *random, uint32_t least, uint32_t most)
{
	return least + random_below(random, most - least + 1);
}
/* True in this many of 1000 cases. */
static inline bool random_chance(struct random *random, uint32_t permille)
{
	return random_below(random, 1000) < permille;
}

#endif
