/* services/producer/values.h - made-up transactions, as the e-commerce producer that people know sends them.
 *
 * A record is a function of the seed and its number: the same seed gives the same records, a repeat is made by making
 * its number again. total_amount is price times quantity in binary floating point and not rounded, because that is what
 * arrives in practice: 1627.5299999999997.
 */
#ifndef PRODUCER_VALUES_H
#define PRODUCER_VALUES_H

#include <stdint.h>

#include "common/base/buffer.h"

enum { VALUES_KEY_SIZE = 36 };

/* xorshift-multiply steps over a counter; good enough for test data, and the same on every machine. */
struct randomness {
	uint64_t state;
};
struct randomness randomness_of(uint64_t seed, uint64_t number);
uint64_t random_next(struct randomness *random);
/* Below limit (1 or more). */
uint32_t random_below(struct randomness *random, uint32_t limit);

struct transaction {
	char key[VALUES_KEY_SIZE]; /* transaction_id, a version 4 UUID; not terminated */
	struct buffer json;
};
void transaction_fini(struct transaction *transaction);

/* variant: 0 is the record itself; others have the same key and another quantity: conflicts. event_us: since 1970. */
void transaction_make(
    struct transaction *transaction, uint64_t seed, uint64_t number, uint32_t variant, int64_t event_us);

/* The shortest decimal text that reads back as the same double, as Python prints it ("542.0"). Room for 32 bytes. */
size_t double_print(double value, char out[32]);

#endif
