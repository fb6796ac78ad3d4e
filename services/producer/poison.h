/* services/producer/poison.h - records that a pipeline must refuse, one kind after the other.
 *
 * Each kind is a good transaction with one thing wrong, or something else altogether. Every one of them has to end as
 * exactly one dead letter. (They are wrong for the shipped pipeline file.)
 */
#ifndef PRODUCER_POISON_H
#define PRODUCER_POISON_H

#include "services/producer/values.h"

/* How many kinds there are, the very large message among them. */
size_t poison_kinds(void);
const char *poison_name(size_t kind);
/* Which kind the nth poisoned record is: all in turn, the very large one (900 kB) only every 1000th. */
size_t poison_kind_of(uint64_t n);
/* Spoils the transaction in place. False: the record is to be sent without a payload, as a tombstone. */
bool poison_spoil(struct transaction *transaction, size_t kind);

#endif
