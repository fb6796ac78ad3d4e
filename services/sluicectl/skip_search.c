/* services/sluicectl/skip_search.c - of the search job; see skip.h.
 *
 * Each control document is changed by a compare-and-swap on what was read, so a writer that is at work meanwhile notices, and so do we.
 * That of writer 0 goes first, and with the move it says what was passed over: among what it remembers, which no writer takes away.
 * Interrupted behind it, the job's cut is still where it was, for it is the least of all; run again, the rest follows.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "services/sluicectl/audit_control.h"
#include "services/sluicectl/audit_http.h"
#include "services/sluicectl/skip.h"

struct writer_document {
	struct control control;
	struct control_version version;
};

struct search_skip {
	const char *job;
	struct http http;
	struct writer_document documents[CONTROL_WRITERS_MAX];
	uint32_t len;
	struct cut cut; /* the job's: the least of all */
};

/* *there: false where there is none of this writer. */
static enum result document_read(struct search_skip *search, uint32_t writer, bool *there, struct error *error)
{
	struct writer_document *document = &search->documents[writer];
	struct http *http = &search->http;
	struct buffer path = {0};
	struct tree tree = {0};
	const char *trouble = NULL;
	control_path(&path, "_doc", search->job, writer);
	buffer_append(&path, "", 1);
	enum result result = http_ask(http, "GET", (const char *)path.data, (struct bytes){0}, HTTP_AGAIN, error);
	*there = result == RESULT_OK && http->status == 200;
	if (*there && (tree_read(&tree, buffer_bytes(&http->answer)) != NULL ||
	                  !control_version_read(&document->version, tree.root)))
		trouble = "it has no sequence number";
	else if (*there)
		trouble = control_read(&document->control, search->job, writer, tree_member(tree.root, "_source"));
	if (trouble != NULL)
		result = error_set(error, RESULT_CONFIG, "the control document %s.%" PRIu32 " of Elasticsearch: %s",
		    search->job, writer, trouble);
	else if (result == RESULT_OK && !*there && http->status != 404)
		result = error_set(error, RESULT_CONFIG,
		    "Elasticsearch answers %ld to what sluice-control holds of job %s", http->status, search->job);
	tree_fini(&tree);
	buffer_fini(&path);
	return result;
}

/* A partition that one of them does not name is at its beginning there. */
static void job_cut_lower(struct cut *cut, const struct control *control, bool first)
{
	for (size_t i = 0; first && i < control->cut.len; i++)
		cut_set(cut, control->cut.offsets[i].partition, control->cut.offsets[i].offset);
	for (uint32_t i = 0; i < cut->len; i++) {
		int64_t offset = control_cut_at(&control->cut, cut->entries[i].partition);
		if (offset < cut->entries[i].offset)
			cut->entries[i].offset = offset;
	}
}

static enum result documents_read(struct search_skip *search, struct error *error)
{
	bool there = true;
	while (there && search->len < CONTROL_WRITERS_MAX) {
		if (document_read(search, search->len, &there, error) != RESULT_OK)
			return error->code;
		if (there && search->documents[search->len].control.started)
			job_cut_lower(&search->cut, &search->documents[search->len].control, search->len == 0);
		search->len += there;
	}
	if (search->len == 0 || !search->documents[0].control.started)
		return error_set(
		    error, RESULT_CONFIG, "job %s was never started: it has no cut to be moved", search->job);
	return RESULT_OK;
}

/* Where it stays behind, and of writer 0 what is passed over. False: it is there already. */
static bool move_print(const struct writer_document *document, const struct skips *skips, struct buffer *body)
{
	char now[TIMESTAMP_TEXT_MAX];
	uint32_t moved = 0;
	(void)timestamp_print(clock_realtime_us(), now);
	buffer_append_text(body, "{\"doc\": {\"cut\": {");
	for (uint32_t i = 0; i < skips->len; i++) {
		const struct skip *skip = &skips->entries[i];
		if (control_cut_at(&document->control.cut, skip->partition) < skip->to)
			buffer_printf(
			    body, "%s\"%" PRIu32 "\": %" PRId64, moved++ > 0 ? ", " : "", skip->partition, skip->to);
	}
	buffer_append_text(body, "}");
	for (uint32_t i = 0; document->control.writer == 0 && i < skips->len; i++) {
		const struct skip *skip = &skips->entries[i];
		buffer_printf(body, "%s\"" CONTROL_SKIP "%" PRIu32 ".%" PRId64 "\": \"%" PRId64 " %.19sZ\"%s",
		    i == 0 ? ", \"remembered\": {" : ", ", skip->partition, skip->from, skip->to, now,
		    i + 1 == skips->len ? "}" : "");
	}
	buffer_append_text(body, "}}");
	return moved > 0 || document->control.writer == 0;
}

static enum result document_move(
    struct search_skip *search, uint32_t writer, const struct skips *skips, struct error *error)
{
	const struct writer_document *document = &search->documents[writer];
	struct http *http = &search->http;
	struct buffer path = {0}, body = {0};
	enum result result = RESULT_OK;
	control_path(&path, "_update", search->job, writer);
	control_version_put(&document->version, &path);
	buffer_append(&path, "", 1);
	if (document->control.started && move_print(document, skips, &body)) {
		result = http_ask(http, "POST", (const char *)path.data, buffer_bytes(&body), HTTP_ONCE, error);
		if (result == RESULT_OK && http->status != 200)
			result = error_set(error, http->status == 409 ? RESULT_CONFIG : RESULT_RETRY,
			    "Elasticsearch answers %ld: the control document of writer %" PRIu32
			    " has just changed; stop the job, and run this again",
			    http->status, writer);
	}
	buffer_fini(&path);
	buffer_fini(&body);
	return result;
}

enum result skip_search(const struct pipeline *pipeline, const char *job, const struct skip_wish *wish,
    const struct cut *begins, const struct cut *ends, bool change, struct skips *skips, struct error *error)
{
	struct search_skip *search = memory_new(sizeof *search);
	*search = (struct search_skip){.job = job};
	enum result result = http_open(&search->http, &pipeline->sinks.elasticsearch, error);
	if (result == RESULT_OK) {
		result = documents_read(search, error);
		if (result == RESULT_OK)
			result = skip_plan(wish, &search->cut, begins, ends, skips, error);
		for (uint32_t i = 0; change && i < search->len && result == RESULT_OK && skips->len > 0; i++)
			result = document_move(search, i, skips, error);
		http_close(&search->http);
	}
	for (uint32_t i = 0; i < search->len; i++)
		control_fini(&search->documents[i].control);
	cut_fini(&search->cut);
	free(search);
	return result;
}
