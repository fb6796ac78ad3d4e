/* services/sluicectl/audit_search_keys.h - the documents that have to be, and whether they are.
 *
 * The rule. A key with a valid record in front of the job's cut has one document, unless every one of those records has a dead
 * letter. A document says what the first record of its key in some partition says that has no dead letter, or one before that
 * which Elasticsearch took in the end; anywhere in the log as far as it was read: the job may be ahead of its cut. A dead
 * letter names a valid record of its key, and says what it says. Where the index has a date, all this holds for a key and an
 * index: a key whose records are of several months has a document in each.
 *
 * Where several partitions' records of a key say different things, it was the first to arrive that counts, and PostgreSQL may
 * have seen another one come first: such keys are counted, and are no difference.
 * Where Kafka does not hold the beginning, a document may stem from a record that is gone.
 */
#ifndef AUDIT_SEARCH_KEYS_H
#define AUDIT_SEARCH_KEYS_H

#include "services/sluicectl/audit_item.h"
#include "services/sluicectl/audit_report.h"

struct search_letter {
	uint32_t partition;
	int64_t offset;
	struct bytes key, content;
};

void search_put_document(struct spool *spool, struct bytes key, struct bytes content);
void search_put_letter(struct spool *spool, const struct search_letter *letter);
/* content as document_expect makes it. */
void search_put_record(struct spool *spool, const struct key_record *record);

/* After the last of all: fills report and report->search. */
void search_compare(struct spool *spool, struct report *report);

#endif
