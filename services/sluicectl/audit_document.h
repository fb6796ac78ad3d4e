/* services/sluicectl/audit_document.h - what Elasticsearch holds of a record: documents and dead letters, as the audit reads them.
 *
 * The content of a document is that of a record whose times are points in time (document_expect). What no record can be
 * (a text where a number belongs, a digit behind the scale, a field that is not declared) stands in it as AUDIT_FOREIGN,
 * so that it is equal to no record's. A field that is null and one that is not there are the same.
 */
#ifndef AUDIT_DOCUMENT_H
#define AUDIT_DOCUMENT_H

#include "services/sluicectl/audit_time.h"
#include "services/sluicectl/audit_tree.h"
#include "services/sluicectl/audit_value.h"

enum { INDEX_NAME_MAX = 256 };

/* The index as the pipeline file writes it: transactions, or transactions-%Y.%m by the event time. */
struct index_pattern {
	const char *pattern;
	bool dated;
};

struct index_pattern index_pattern_of(const char *pattern);
/* What is searched: transactions, or transactions-*,-transactions-dead-letters; encoded for a path. */
void index_print_search(const struct index_pattern *index, struct buffer *out);
/* Is it one that the pattern makes? */
bool index_is_of_pattern(const struct index_pattern *index, struct bytes name);
/* transactions-dead-letters */
void index_print_letters(const struct index_pattern *index, struct buffer *out);
/* Where a document of this event time belongs. False: it has no name. */
bool index_name(const struct index_pattern *index, int64_t wall_us, char name[INDEX_NAME_MAX]);

/* What names a document: its id, and its index where that has a date. */
void search_print_key(const struct index_pattern *index, struct bytes name, struct bytes id, struct buffer *out);

/* The content that the document of this record has. */
void document_expect(struct buffer *content, const struct audit_zone *zone, struct bytes record);
/* source: the object, or NULL. */
void document_content(struct buffer *content, const struct pipeline *pipeline, const struct audit_zone *zone,
    const struct tree_node *source);

/* A dead letter as Elasticsearch holds it. */
struct document_letter {
	struct bytes topic, key, document, index, reason;
	int64_t partition, offset;
	bool document_cut; /* it was too long for a letter, or none could be made: what it says is not known */
	const char *trouble; /* what it lacks; NULL: nothing */
};
void document_letter_read(struct document_letter *letter, struct bytes id, const struct tree_node *source);

#endif
