/* services/sluicectl/audit_keys.h - the rows that have to be, and whether they are.
 *
 * The rule needs no table of decisions. A key with valid records before the cut has one row, and what it holds is what the
 * first record of the key in some partition says: in one partition the first one counts, between partitions the one that
 * came first, and only the database knows which. Every other record of the key is a duplicate, if it says the same as the
 * row, and otherwise a conflict, which has a dead letter. Where Kafka does not hold the beginning, the row may stem from a
 * record that is gone: then it is the conflicts of the others that prove it.
 *
 * What follows from it is handed on: rows to the totals, conflicts to the letters, and the counters.
 */
#ifndef AUDIT_KEYS_H
#define AUDIT_KEYS_H

#include "services/sluicectl/audit_item.h"
#include "services/sluicectl/audit_report.h"
#include "services/sluicectl/audit_totals.h"

void keys_put_row(struct spool *spool, struct bytes key, struct bytes content);
void keys_put_record(struct spool *spool, const struct key_record *record);

/* After the last of both: before letters and totals are compared. */
void keys_compare(struct spool *spool, struct report *report, struct totals *totals);

#endif
