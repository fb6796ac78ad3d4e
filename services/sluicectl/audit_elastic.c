/* services/sluicectl/audit_elastic.c - see audit_elastic.h. */
#include "services/sluicectl/audit_elastic.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/mutant.h"

enum { ESCAPED_BYTES = 6, FIELD_BYTES = 64, PAGE_LEAST = 10 };

static const struct bytes no_body;

/* So many that a page of the longest ones has room in an answer. */
static size_t page_documents(const struct pipeline *pipeline)
{
	uint64_t longest = FIELD_BYTES;
	for (size_t i = 0; i < pipeline->record.fields_len; i++)
		longest += strlen(pipeline->record.fields[i].name) + FIELD_BYTES +
		           (uint64_t)pipeline->record.fields[i].length_max * ESCAPED_BYTES;
	uint64_t record_most = (uint64_t)pipeline->record.max_record_bytes * ESCAPED_BYTES;
	uint64_t room = HTTP_ANSWER_BYTES / (longest < record_most ? longest : record_most);
	return room > PAGE_DOCUMENTS ? PAGE_DOCUMENTS : room < PAGE_LEAST ? PAGE_LEAST : (size_t)room;
}

enum result elastic_open(struct elastic *elastic, const struct pipeline *pipeline, struct error *error)
{
	*elastic = (struct elastic){.page = page_documents(pipeline)};
	return http_open(&elastic->http, &pipeline->sinks.elasticsearch, error);
}

void elastic_close(struct elastic *elastic)
{
	http_close(&elastic->http);
	tree_fini(&elastic->tree);
	buffer_fini(&elastic->path);
	buffer_fini(&elastic->body);
	buffer_fini(&elastic->scroll);
}

/* --- asking ---------------------------------------------------------------------------------------------------- */

/* Asks for path with body; the answer is in tree. Any status but 200 and 404 is a fault. */
static enum result ask(
    struct elastic *elastic, const char *method, struct bytes body, enum http_repeat repeat, struct error *error)
{
	struct http *http = &elastic->http;
	buffer_append(&elastic->path, "", 1);
	const char *path = (const char *)elastic->path.data;
	enum result result = http_ask(http, method, path, body, repeat, error);
	if (result != RESULT_OK)
		return result;
	const char *trouble = tree_read(&elastic->tree, buffer_bytes(&http->answer));
	if (trouble != NULL)
		return error_set(error, RESULT_CONFIG, "Elasticsearch: %s: the answer to %s %s (status %ld) %s",
		    http->settings->urls[http->host], method, path, http->status, trouble);
	if (http->status == 200 || http->status == 404)
		return RESULT_OK;
	struct bytes reason;
	(void)tree_text(tree_member(tree_member(elastic->tree.root, "error"), "reason"), &reason);
	return error_set(error, RESULT_CONFIG, "Elasticsearch: %s: %s %s: status %ld: %.*s",
	    http->settings->urls[http->host], method, path, http->status,
	    reason.len < ERROR_TEXT_MAX / 2 ? (int)reason.len : ERROR_TEXT_MAX / 2,
	    reason.len > 0 ? (const char *)reason.data : "");
}

enum result elastic_get(
    struct elastic *elastic, const char *index, const char *id, const struct tree_node **source, struct error *error)
{
	buffer_clear(&elastic->path);
	buffer_append_text(&elastic->path, "/");
	http_encode(&elastic->path, index);
	buffer_append_text(&elastic->path, "/_doc/");
	http_encode(&elastic->path, id);
	*source = NULL;
	enum result result = ask(elastic, "GET", no_body, HTTP_AGAIN, error);
	if (result == RESULT_OK && elastic->http.status == 200)
		*source = tree_member(elastic->tree.root, "_source");
	return result;
}

enum result elastic_describe(
    struct elastic *elastic, const char *indices, const struct tree_node **root, struct error *error)
{
	buffer_clear(&elastic->path);
	buffer_printf(
	    &elastic->path, "/%s?ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all", indices);
	enum result result = ask(elastic, "GET", no_body, HTTP_AGAIN, error);
	*root = result == RESULT_OK && elastic->http.status == 200 ? elastic->tree.root : NULL;
	return result;
}

/* A part that did not answer is not taken for all. */
static enum result shards_check(const struct elastic *elastic, const struct tree_node *shards, struct error *error)
{
	const struct http *http = &elastic->http;
	int64_t failed = 0;

	(void)tree_integer(tree_member(shards, "failed"), &failed);
	if (failed > 0 && !MUTANT(shards_unread))
		return error_set(error, RESULT_RETRY,
		    "Elasticsearch: %s: %" PRId64 " of its shards did not answer (GET /_cat/shards and "
		    "/_cluster/allocation/explain say why); run again",
		    http->settings->urls[http->host], failed);
	return RESULT_OK;
}

enum result elastic_refresh(struct elastic *elastic, const char *indices, struct error *error)
{
	buffer_clear(&elastic->path);
	buffer_printf(&elastic->path,
	    "/%s/_refresh?ignore_unavailable=true&allow_no_indices=true&expand_wildcards=open,hidden", indices);
	enum result result = ask(elastic, "POST", no_body, HTTP_AGAIN, error);
	return result == RESULT_OK ? shards_check(elastic, tree_member(elastic->tree.root, "_shards"), error) : result;
}

/* --- what a search leaves out without a word --------------------------------------------------------------------- */

static const struct {
	const char *setting, *is, *verb;
} left_out[] = {
    {"verified_before_close", "closed", "_open"},
    {"frozen", "frozen", "_unfreeze"},
};

static enum result index_check(const struct http *http, const struct tree_node *index, struct error *error)
{
	const struct tree_node *settings = tree_member(tree_member(index, "settings"), "index");
	struct bytes value, name = index->name;

	for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
		if (tree_text(tree_member(settings, left_out[i].setting), &value) &&
		    bytes_equal(value, (struct bytes){(const uint8_t *)"true", 4}) && !MUTANT(left_out_unseen))
			return error_set(error, RESULT_CONFIG,
			    "Elasticsearch: %s: index %.*s is %s: POST /%.*s/%s changes that; then run again",
			    http->settings->urls[http->host], (int)name.len, (const char *)name.data, left_out[i].is,
			    (int)name.len, (const char *)name.data, left_out[i].verb);
	return RESULT_OK;
}

static enum result all_take_part(struct elastic *elastic, const char *indices, struct error *error)
{
	const struct tree_node *root;
	enum result result = elastic_describe(elastic, indices, &root, error);

	for (const struct tree_node *at = root != NULL ? root->first : NULL; result == RESULT_OK && at != NULL;
	     at = at->next)
		result = index_check(&elastic->http, at, error);
	return result;
}

/* --- scan ------------------------------------------------------------------------------------------------------ */

static enum result ask_first_page(struct elastic *elastic, const char *indices, struct error *error)
{
	buffer_clear(&elastic->path);
	buffer_printf(&elastic->path,
	    "/%s/_search?scroll=5m&ignore_unavailable=true&allow_no_indices=true&expand_wildcards=open,hidden"
	    "&allow_partial_search_results=false",
	    indices);
	buffer_clear(&elastic->body);
	buffer_printf(&elastic->body,
	    "{\"size\": %zu, \"sort\": [\"_doc\"], \"track_total_hits\": true, \"query\": {\"match_all\": {}}}",
	    elastic->page);
	enum result result = ask(elastic, "POST", buffer_bytes(&elastic->body), HTTP_AGAIN, error);
	const struct tree_node *hits = tree_member(elastic->tree.root, "hits");
	if (result == RESULT_OK && !tree_integer(tree_member(tree_member(hits, "total"), "value"), &elastic->expected))
		return error_set(
		    error, RESULT_CONFIG, "Elasticsearch: a search of %s does not say how much it finds", indices);
	return result;
}

static void put_scroll(struct elastic *elastic, const char *before)
{
	buffer_clear(&elastic->path);
	buffer_append_text(&elastic->path, "/_search/scroll");
	buffer_clear(&elastic->body);
	buffer_printf(&elastic->body, "{%s\"scroll_id\": ", before);
	buffer_append_json(&elastic->body, buffer_bytes(&elastic->scroll));
	buffer_append_text(&elastic->body, "}");
}

static enum result ask_next_page(struct elastic *elastic, struct error *error)
{
	put_scroll(elastic, "\"scroll\": \"5m\", ");
	enum result result = ask(elastic, "POST", buffer_bytes(&elastic->body), HTTP_ONCE, error);
	if (result == RESULT_OK && elastic->http.status == 404)
		return error_set(error, RESULT_RETRY, "Elasticsearch: it has forgotten the scan; run again");
	return result;
}

/* It would end by itself; this is only polite, and whatever comes back does not matter. */
static void end_scroll(struct elastic *elastic)
{
	struct error unheard;
	if (elastic->scroll.len == 0)
		return;
	put_scroll(elastic, "");
	(void)ask(elastic, "DELETE", buffer_bytes(&elastic->body), HTTP_ONCE, &unheard);
	buffer_clear(&elastic->scroll);
}

static enum result take_page(
    struct elastic *elastic, elastic_on_hit *on_hit, void *context, size_t *hits_len, struct error *error)
{
	const struct tree_node *root = elastic->tree.root;
	const struct tree_node *hits = tree_member(tree_member(root, "hits"), "hits");
	const struct tree_node *late = tree_member(root, "timed_out");
	int64_t failed = 0;
	struct bytes scroll, index, id;
	enum result result = RESULT_OK;
	*hits_len = 0;
	if (hits == NULL || hits->kind != TREE_ARRAY || !tree_text(tree_member(root, "_scroll_id"), &scroll) ||
	    !tree_integer(tree_member(tree_member(root, "_shards"), "failed"), &failed))
		return error_set(error, RESULT_CONFIG, "Elasticsearch: the answer to a scroll is none");
	buffer_clear(&elastic->scroll);
	buffer_append(&elastic->scroll, scroll.data, scroll.len);
	if (late != NULL && late->flag)
		return error_set(error, RESULT_RETRY,
		    "Elasticsearch: %s: a search ended before it was through (timed_out); run again",
		    elastic->http.settings->urls[elastic->http.host]);
	result = shards_check(elastic, tree_member(root, "_shards"), error);
	for (const struct tree_node *hit = hits->first; hit != NULL && result == RESULT_OK; hit = hit->next) {
		if (!tree_text(tree_member(hit, "_index"), &index) || !tree_text(tree_member(hit, "_id"), &id))
			return error_set(error, RESULT_CONFIG, "Elasticsearch: a document without index and id");
		result = on_hit(context, index, id, tree_member(hit, "_source"), error);
		++*hits_len;
	}
	elastic->taken += (int64_t)*hits_len;
	return result;
}

enum result elastic_scan(
    struct elastic *elastic, const char *indices, elastic_on_hit *on_hit, void *context, struct error *error)
{
	size_t hits_len = 0;
	elastic->taken = elastic->expected = 0;
	enum result result = all_take_part(elastic, indices, error);
	if (result == RESULT_OK)
		result = ask_first_page(elastic, indices, error);
	while (result == RESULT_OK) {
		result = take_page(elastic, on_hit, context, &hits_len, error);
		if (result != RESULT_OK || hits_len == 0)
			break;
		result = ask_next_page(elastic, error);
	}
	end_scroll(elastic);
	if (result == RESULT_OK) /* one may have been closed in front of the search */
		result = all_take_part(elastic, indices, error);
	if (result == RESULT_OK && elastic->taken != elastic->expected)
		return error_set(error, RESULT_RETRY,
		    "Elasticsearch: a scan brought %" PRId64 " of %" PRId64 " documents; run again", elastic->taken,
		    elastic->expected);
	return result;
}
