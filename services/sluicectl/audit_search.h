/* services/sluicectl/audit_search.h - what Elasticsearch holds of the search job, read as it is at one moment.
 *
 * In this order, so that everything in front of the cut is seen even while the job runs: the control documents (their cut), a
 * refresh, all documents, all dead letters; then the caller reads the log to what is its end by now, because documents may be
 * ahead of the cut.
 */
#ifndef AUDIT_SEARCH_H
#define AUDIT_SEARCH_H

#include "services/sluicectl/audit.h"
#include "services/sluicectl/audit_elastic.h"
#include "services/sluicectl/audit_item.h"

/* Fills report (job, cut, start, report->search) and the lane of documents and letters. */
enum result audit_search_read(struct audit *audit, struct error *error) MUST_USE;
/* A valid record of the log. */
void audit_search_take_record(struct audit *audit, const struct key_record *record);
/* After the log: documents, dead letters, counters. */
void audit_search_compare(struct audit *audit);

/* audit_search_control.c: reads the control documents into report->search, and takes from them the partitions of report, with
 * cut and start. */
enum result search_read_controls(struct audit *audit, struct elastic *elastic, struct error *error) MUST_USE;
enum result search_take_controls(struct audit *audit, struct error *error) MUST_USE;

/* audit_mapping.c: how the documents' indices (as in a path) map the fields. */
struct index_pattern;
enum result search_read_mappings(struct audit *audit, struct elastic *elastic, const struct index_pattern *pattern,
    const char *indices, struct error *error) MUST_USE;
/* And that of dead letters: what it is. */
enum result search_check_letters(
    struct audit *audit, struct elastic *elastic, const char *index, struct error *error) MUST_USE;

#endif
