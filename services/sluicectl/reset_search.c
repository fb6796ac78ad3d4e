/* services/sluicectl/reset_search.c - what Elasticsearch holds of a job; see reset.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/sluicectl/audit_control.h"
#include "services/sluicectl/audit_document.h"
#include "services/sluicectl/audit_elastic.h"
#include "services/sluicectl/reset.h"

enum { NAMES_MAX = 1 << 16 };

struct names {
	char **names;
	size_t len;
};

struct search {
	struct reset *reset;
	struct elastic elastic;
	struct index_pattern index;
	struct names controls; /* ids of control documents */
	struct names claims; /* indices that are this job's */
	struct names taken; /* and those that are another's */
	size_t claimed; /* of the claims: the others are of the pipeline file, and claimed by nobody */
};

static void names_add(struct names *names, const char *name, size_t len)
{
	CHECK(names->len < NAMES_MAX);
	names->names = memory_resize(names->names, names->len + 1, sizeof *names->names);
	char *copy = memory_new(len + 1);
	memcpy(copy, name, len);
	names->names[names->len++] = copy;
}

static bool names_have(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->len; i++)
		if (strcmp(names->names[i], name) == 0)
			return true;
	return false;
}

static void names_fini(struct names *names)
{
	for (size_t i = 0; i < names->len; i++)
		free(names->names[i]);
	free(names->names);
	*names = (struct names){0};
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

/* 200 and 404 are answers; 409 is somebody else's doing. */
static enum result ask(struct search *search, const char *method, const char *path, struct error *error)
{
	struct http *http = &search->elastic.http;
	enum result result = http_ask(http, method, path, (struct bytes){0}, HTTP_AGAIN, error);

	if (result != RESULT_OK || http->status == 200 || http->status == 404)
		return result;
	if (http->status == 409)
		return error_set(error, RESULT_CONFIG,
		    "job %s is running (its control document has just changed): stop it first", search->reset->job);
	return error_set(error, RESULT_CONFIG, "Elasticsearch at %s: %s %s: %ld %.*s", http->settings->urls[http->host],
	    method, path, http->status, http->answer.len < 300 ? (int)http->answer.len : 300,
	    (const char *)http->answer.data);
}

static const char *path_of(struct buffer *path, const char *front, const char *name, const char *behind)
{
	buffer_clear(path);
	buffer_append_text(path, front);
	http_encode(path, name);
	buffer_append_text(path, behind);
	buffer_append(path, "", 1);
	return (const char *)path->data;
}

/* --- sluice-control ---------------------------------------------------------------------------------------------- */

static enum result on_control(
    void *context, struct bytes index, struct bytes id, const struct tree_node *source, struct error *error)
{
	static const char front[] = "index:";
	struct search *search = context;
	const char *job = search->reset->job, *text = (const char *)id.data;
	size_t len = strlen(job);
	struct bytes owner;
	(void)index;
	(void)error;

	if (id.len > sizeof front - 1 && memcmp(text, front, sizeof front - 1) == 0) {
		bool mine = tree_text(tree_member(source, "owner"), &owner) && owner.len == len &&
		            memcmp(owner.data, job, len) == 0;
		names_add(
		    mine ? &search->claims : &search->taken, text + sizeof front - 1, id.len - (sizeof front - 1));
	} else if (id.len > len + 1 && memcmp(text, job, len) == 0 && text[len] == '.') {
		names_add(&search->controls, text, id.len);
	}
	return RESULT_OK;
}

/* Under the sequence number that is read, so that a writer at work is noticed. */
static enum result control_delete_print(struct search *search, const char *id, struct buffer *out, struct error *error)
{
	struct elastic *elastic = &search->elastic;
	struct buffer path = {0};
	struct control_version version;

	enum result result = ask(search, "GET", path_of(&path, "/" CONTROL_INDEX "/_doc/", id, ""), error);
	buffer_fini(&path);
	if (result != RESULT_OK || elastic->http.status != 200)
		return result;
	if (tree_read(&elastic->tree, buffer_bytes(&elastic->http.answer)) != NULL ||
	    !control_version_read(&version, elastic->tree.root))
		return error_set(
		    error, RESULT_CONFIG, "Elasticsearch: document %s of index " CONTROL_INDEX " cannot be read", id);
	buffer_append_text(out, "{\"delete\": {");
	json_text(out, "_id", id);
	buffer_printf(
	    out, ", \"if_seq_no\": %" PRId64 ", \"if_primary_term\": %" PRId64 "}}\n", version.seq_no, version.term);
	return RESULT_OK;
}

/* What the answer to the deletions says of one of them. */
static enum result deletion_judge(const struct search *search, const struct tree_node *item, struct error *error)
{
	const struct tree_node *said = tree_member(item, "delete");
	int64_t status = 0;

	(void)tree_integer(tree_member(said, "status"), &status);
	if (status == 200 || status == 404)
		return RESULT_OK;
	if (status == 409)
		return error_set(error, RESULT_CONFIG,
		    "job %s is running (its control document has just changed): stop it first", search->reset->job);
	return error_set(error, RESULT_RETRY,
	    "Elasticsearch: a control document of job %s was not deleted: status %" PRId64, search->reset->job, status);
}

/* In one request: where one was gone and others there, a start would take the cut of these for that of all. */
static enum result controls_delete(struct search *search, const struct buffer *deletions, struct error *error)
{
	struct elastic *elastic = &search->elastic;
	enum result result =
	    http_ask(&elastic->http, "POST", "/" CONTROL_INDEX "/_bulk", buffer_bytes(deletions), HTTP_ONCE, error);

	if (result != RESULT_OK)
		return result;
	if (elastic->http.status != 200 || tree_read(&elastic->tree, buffer_bytes(&elastic->http.answer)) != NULL)
		return error_set(error, RESULT_RETRY, "Elasticsearch does not delete the control documents: status %ld",
		    elastic->http.status);
	const struct tree_node *items = tree_member(elastic->tree.root, "items");
	for (const struct tree_node *at = items ? items->first : NULL; at != NULL && result == RESULT_OK; at = at->next)
		result = deletion_judge(search, at, error);
	return result;
}

static enum result controls_end(struct search *search, struct error *error)
{
	const struct names *controls = &search->controls;
	struct buffer deletions = {0};
	enum result result = RESULT_OK;

	reset_say(search->reset, "control", search->reset->job, (long long)controls->len, "control documents, deleted");
	for (size_t i = 0; i < controls->len && result == RESULT_OK && search->reset->change; i++)
		result = control_delete_print(search, controls->names[i], &deletions, error);
	if (result == RESULT_OK && deletions.len > 0)
		result = controls_delete(search, &deletions, error);
	buffer_fini(&deletions);
	return result;
}

/* --- indices ----------------------------------------------------------------------------------------------------- */

/* Those that nobody has claimed and that the pipeline file names. */
static enum result unclaimed_find(struct search *search, struct error *error)
{
	struct buffer path = {0}, names = {0}, letters = {0};
	index_print_search(&search->index, &names);
	index_print_letters(&search->index, &letters);
	buffer_printf(&names, ",%.*s", (int)letters.len, (const char *)letters.data);
	buffer_append(&names, "", 1);
	buffer_append(&letters, "", 1);
	search->claimed = search->claims.len;
	buffer_printf(&path,
	    "/%s/_settings?ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all"
	    "&filter_path=*.settings.index.uuid",
	    (const char *)names.data);
	buffer_append(&path, "", 1);
	enum result result = ask(search, "GET", (const char *)path.data, error);
	if (result == RESULT_OK && search->elastic.http.status == 200 &&
	    tree_read(&search->elastic.tree, buffer_bytes(&search->elastic.http.answer)) == NULL)
		for (const struct tree_node *at = search->elastic.tree.root->first; at != NULL; at = at->next) {
			char name[INDEX_NAME_MAX] = "";
			if (at->name.len >= sizeof name)
				continue;
			memcpy(name, at->name.data, at->name.len);
			bool ours = index_is_of_pattern(&search->index, at->name) ||
			            strcmp(name, (const char *)letters.data) == 0;
			if (ours && !names_have(&search->claims, name) && !names_have(&search->taken, name))
				names_add(&search->claims, name, strlen(name));
		}
	buffer_fini(&path);
	buffer_fini(&names);
	buffer_fini(&letters);
	return result;
}

/* What would be refused when half of it is done. name: as the job has it; at: what Elasticsearch has under it. */
static enum result index_check(
    const struct search *search, const char *name, const struct tree_node *at, struct error *error)
{
	const struct http *http = &search->elastic.http;
	const struct tree_node *settings = tree_member(tree_member(at, "settings"), "index");
	const struct bytes own = {(const uint8_t *)name, strlen(name)}, yes = {(const uint8_t *)"true", 4};
	bool stream = at->name.len > 4 && memcmp(at->name.data, ".ds-", 4) == 0;
	struct bytes value;

	if (!bytes_equal(at->name, own))
		return error_set(error, RESULT_CONFIG,
		    "Elasticsearch at %s: %s is no index, but %s of %.*s: nothing was changed. What to do: remove it "
		    "(DELETE /%s%.*s%s%s), and run this again; or leave out --with-index, then no index is touched",
		    http->settings->urls[http->host], name, stream ? "a data stream" : "an alias", (int)at->name.len,
		    (const char *)at->name.data, stream ? "_data_stream" : "", stream ? 0 : (int)at->name.len,
		    (const char *)at->name.data, stream ? "/" : "/_alias/", name);
	if (tree_text(tree_member(tree_member(settings, "blocks"), "read_only"), &value) && bytes_equal(value, yes))
		return error_set(error, RESULT_CONFIG,
		    "Elasticsearch at %s: index %s may not be deleted (index.blocks.read_only): nothing was changed. "
		    "What "
		    "to do: PUT /%s/_settings {\"index.blocks.read_only\": null}, and run this again",
		    http->settings->urls[http->host], name, name);
	return RESULT_OK;
}

/* One that nobody has claimed, with documents that are no job's, is somebody's; see strangers_refuse of the sink. */
static enum result strangers_check(struct search *search, const char *name, const char *letters, struct error *error)
{
	const struct pipeline *pipeline = search->reset->pipeline;
	const char *field =
	    strcmp(name, letters) == 0 ? "partition" : pipeline->record.fields[pipeline->record.key].name;
	struct buffer path = {0}, behind = {0};
	int64_t count = 0;

	buffer_printf(&behind, "/_count?q=NOT%%20_exists_:%s", field);
	buffer_append(&behind, "", 1);
	enum result result = ask(search, "GET", path_of(&path, "/", name, (const char *)behind.data), error);
	if (result == RESULT_OK && search->elastic.http.status == 200 &&
	    tree_read(&search->elastic.tree, buffer_bytes(&search->elastic.http.answer)) == NULL)
		(void)tree_integer(tree_member(search->elastic.tree.root, "count"), &count);
	buffer_fini(&path);
	buffer_fini(&behind);
	if (result != RESULT_OK || count == 0)
		return result;
	return error_stop(error, STOP_INDEX_OF_ANOTHER,
	    "index %s has %" PRId64 " documents that no job of Sluice has written: it is somebody's, and nothing was "
	    "changed",
	    name, count);
}

static enum result name_check(struct search *search, const char *name, struct error *error)
{
	struct buffer path = {0};
	const struct tree_node *root;

	http_encode(&path, name);
	buffer_append(&path, "", 1);
	enum result result = elastic_describe(&search->elastic, (const char *)path.data, &root, error);
	for (const struct tree_node *at = root != NULL ? root->first : NULL; result == RESULT_OK && at != NULL;
	     at = at->next)
		result = index_check(search, name, at, error);
	buffer_fini(&path);
	return result;
}

/* Also of a name that the pipeline file says and nothing is claimed under: the next start would be refused. */
static enum result indices_check(struct search *search, struct error *error)
{
	struct buffer letters = {0};
	enum result result = RESULT_OK;

	if (!search->reset->with_index)
		return RESULT_OK;
	index_print_letters(&search->index, &letters);
	buffer_append(&letters, "", 1);
	for (size_t i = 0; i < search->claims.len && result == RESULT_OK; i++)
		result = name_check(search, search->claims.names[i], error);
	for (size_t i = search->claimed; i < search->claims.len && result == RESULT_OK; i++)
		result = strangers_check(search, search->claims.names[i], (const char *)letters.data, error);
	if (result == RESULT_OK && !search->index.dated)
		result = name_check(search, search->index.pattern, error);
	if (result == RESULT_OK)
		result = name_check(search, (const char *)letters.data, error);
	buffer_fini(&letters);
	return result;
}

static enum result index_end(struct search *search, const char *name, struct error *error)
{
	const struct reset *reset = search->reset;
	struct buffer path = {0};
	int64_t count = 0;

	enum result result = ask(search, "GET", path_of(&path, "/", name, "/_count"), error);
	if (result == RESULT_OK && search->elastic.http.status == 200 &&
	    tree_read(&search->elastic.tree, buffer_bytes(&search->elastic.http.answer)) == NULL)
		(void)tree_integer(tree_member(search->elastic.tree.root, "count"), &count);
	reset_say(search->reset, "index", name, count,
	    reset->with_index ? "documents, deleted" : "documents, left as they are");
	if (result == RESULT_OK && reset->change && reset->with_index)
		result = ask(search, "DELETE", path_of(&path, "/", name, ""), error);
	if (result == RESULT_OK && reset->change) {
		struct buffer id = {0};
		buffer_printf(&id, "index:%s", name);
		buffer_append(&id, "", 1);
		result =
		    ask(search, "DELETE", path_of(&path, "/" CONTROL_INDEX "/_doc/", (const char *)id.data, ""), error);
		buffer_fini(&id);
	}
	buffer_fini(&path);
	return result;
}

static enum result template_end(struct search *search, struct error *error)
{
	struct buffer path = {0}, name = {0};
	enum result result = RESULT_OK;

	if (search->index.dated && search->reset->with_index && search->reset->change) {
		buffer_printf(&name, "sluice-%s", search->reset->pipeline->job);
		buffer_append(&name, "", 1);
		result = ask(search, "DELETE", path_of(&path, "/_index_template/", (const char *)name.data, ""), error);
	}
	buffer_fini(&path);
	buffer_fini(&name);
	return result;
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

static enum result find(struct search *search, struct error *error)
{
	enum result result = elastic_open(&search->elastic, search->reset->pipeline, error);

	if (result == RESULT_OK)
		result = elastic_refresh(&search->elastic, CONTROL_INDEX, error);
	if (result == RESULT_OK)
		result = elastic_scan(&search->elastic, CONTROL_INDEX, on_control, search, error);
	return result == RESULT_OK ? unclaimed_find(search, error) : result;
}

enum result reset_search(struct reset *reset, struct error *error)
{
	struct search search = {.reset = reset, .index = index_pattern_of(reset->pipeline->sinks.elasticsearch.index)};
	enum result result = find(&search, error);

	if (result == RESULT_OK)
		result = indices_check(&search, error);
	/* Documents of which no control document knows would be there with the next start; the other way round they would be lost. */
	if (result == RESULT_OK)
		result = controls_end(&search, error);
	bool begun = result == RESULT_OK && reset->change;
	for (size_t i = 0; i < search.claims.len && result == RESULT_OK; i++)
		result = index_end(&search, search.claims.names[i], error);
	if (result == RESULT_OK)
		result = template_end(&search, error);
	if (result != RESULT_OK && begun)
		(void)error_wrap(
		    error, "the control documents are deleted, the rest is not: run this again when it is mended");
	elastic_close(&search.elastic);
	names_fini(&search.controls);
	names_fini(&search.claims);
	names_fini(&search.taken);
	return result;
}
