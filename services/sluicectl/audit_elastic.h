/* services/sluicectl/audit_elastic.h - what the audit asks of Elasticsearch: one document, a refresh, and all documents of an index.
 *
 * All documents come by a scroll in the order of the index: a snapshot, and the only one that Elasticsearch 7.17 with and
 * without its extensions, 8 and OpenSearch all have (a point in time is an extension in 7 and called otherwise in OpenSearch).
 * The same page cannot be asked for twice: a scan that is interrupted has to begin anew.
 *
 * Ownership: what an answer holds is borrowed until the next request.
 * Errors:    as in audit_http.h. RETRY also: a scan or a refresh did not reach everything. CONFIG also: an index that a search leaves out
 *            without a word (closed, frozen).
 * Limits:    a page has at most PAGE_DOCUMENTS documents, fewer where they may be long, and HTTP_ANSWER_BYTES.
 */
#ifndef AUDIT_ELASTIC_H
#define AUDIT_ELASTIC_H

#include "services/sluicectl/audit_http.h"
#include "services/sluicectl/audit_tree.h"

enum { PAGE_DOCUMENTS = 1000 };

struct elastic {
	struct http http;
	struct tree tree; /* the last answer */
	struct buffer path, body, scroll;
	size_t page; /* documents of one */
	int64_t expected, taken; /* of the scan: as many as the first page says there are */
};

enum result elastic_open(struct elastic *elastic, const struct pipeline *pipeline, struct error *error) MUST_USE;
void elastic_close(struct elastic *elastic);

/* source NULL: it is not there, neither is its index. */
enum result elastic_get(struct elastic *elastic, const char *index, const char *id, const struct tree_node **source,
    struct error *error) MUST_USE;

/* Mappings, settings and aliases, an object per index; root NULL: none of them is there. */
enum result elastic_describe(
    struct elastic *elastic, const char *indices, const struct tree_node **root, struct error *error) MUST_USE;

/* indices: as in a path, encoded. Those that are not there have no documents. */
enum result elastic_refresh(struct elastic *elastic, const char *indices, struct error *error) MUST_USE;
/* source NULL: the document has none. Answers what ends the scan, unless it is RESULT_OK. */
typedef enum result elastic_on_hit(
    void *context, struct bytes index, struct bytes id, const struct tree_node *source, struct error *error);
enum result elastic_scan(
    struct elastic *elastic, const char *indices, elastic_on_hit *on_hit, void *context, struct error *error) MUST_USE;

#endif
