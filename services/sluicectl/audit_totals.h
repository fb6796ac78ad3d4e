/* services/sluicectl/audit_totals.h - the totals that have to be, and whether they are.
 *
 * Contents are folded by every rollup of the pipeline file, in 128 bits, at first in a table of TOTALS_GROUPS groups; when
 * that is full its sums go to the spool as parts of sums. So memory does not grow with the number of groups.
 */
#ifndef AUDIT_TOTALS_H
#define AUDIT_TOTALS_H

#include "services/sluicectl/audit_report.h"
#include "services/sluicectl/audit_spool.h"
#include "services/sluicectl/audit_table.h"
#include "services/sluicectl/audit_value.h"

enum { TOTALS_GROUPS = 32768 };

struct totals {
	const struct pipeline *pipeline;
	struct spool *spool;
	struct report *report;
	struct table table;
	struct buffer key, item;
};

void totals_init(struct totals *totals, struct spool *spool, struct report *report);
void totals_fini(struct totals *totals);

/* A row that has to be: its part of every total. */
void totals_add(struct totals *totals, struct bytes content);
/* A total of the database. group: the values of its columns as a content. */
void totals_put_found(struct totals *totals, size_t rollup, struct bytes group, const audit_sum *sums);
/* After the last of both. */
void totals_compare(struct totals *totals);

#endif
