/* services/sink/elastic_index.c - see elastic_index.h. */
#include "services/sink/elastic_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/timestamp.h"
#include "services/sink/elastic_answer.h"
#include "services/sink/elastic_control.h"
#include "services/sink/elastic_letters.h"

enum { WATCH_US = 5000000, TEMPLATE_PRIORITY = 200 };

/* What was acknowledged has to survive a power cut. */
#define DURABLE "\"index.translog.durability\":\"request\""

/* --- mappings ---------------------------------------------------------------------------------------------------- */

static void field_put(const struct field *field, struct buffer *out)
{
	buffer_printf(out, "\"%s\":", field->name);
	switch (field->type) {
	case FIELD_STRING:
		buffer_append_text(
		    out, "{\"type\":\"text\",\"fields\":{\"keyword\":{\"type\":\"keyword\",\"ignore_above\":256}}}");
		break;
	case FIELD_INTEGER:
		buffer_append_text(out, "{\"type\":\"long\"}");
		break;
	case FIELD_DECIMAL:
		buffer_append_text(out, "{\"type\":\"scaled_float\",\"scaling_factor\":1");
		for (int i = 0; i < field->scale; i++)
			buffer_append_text(out, "0");
		buffer_append_text(out, "}");
		break;
	case FIELD_TIMESTAMP:
		buffer_append_text(out, "{\"type\":\"date\",\"format\":\"strict_date_optional_time\"}");
		break;
	}
}

void mapping_put(const struct pipeline *pipeline, struct buffer *out)
{
	buffer_append_text(out, "{\"properties\":{");
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		buffer_append_text(out, i > 0 ? "," : "");
		field_put(&pipeline->record.fields[i], out);
	}
	buffer_append_text(out, "}}");
}

static const char control_body[] =
    "{\"settings\":{\"number_of_shards\":1,\"auto_expand_replicas\":\"0-1\"," DURABLE "},"
    "\"mappings\":{\"dynamic\":false,\"properties\":{\"job\":{\"type\":\"keyword\"},\"writer\":{\"type\":\"integer\"},"
    "\"index\":{\"type\":\"keyword\"},\"fence\":{\"type\":\"long\"},\"attempt\":{\"type\":\"long\"},"
    "\"epoch\":{\"type\":\"long\"},\"committed_at\":{\"type\":\"date\"}}}}";

static const char letters_body[] =
    "{\"settings\":{" DURABLE "},\"mappings\":{\"dynamic\":false,\"properties\":{\"reason\":{\"type\":\"keyword\"},"
    "\"detail\":{\"type\":\"text\"},\"topic\":{\"type\":\"keyword\"},\"partition\":{\"type\":\"integer\"},"
    "\"offset\":{\"type\":\"long\"},\"key\":{\"type\":\"keyword\",\"ignore_above\":1024},"
    "\"document\":{\"type\":\"text\",\"index\":false},\"document_bytes\":{\"type\":\"long\"},"
    "\"index\":{\"type\":\"keyword\"},\"at\":{\"type\":\"date\"}}}}";

/* --- asking ------------------------------------------------------------------------------------------------------ */

static enum sink_outcome trouble(struct indices *indices, bool sent, const char *what, struct error *error)
{
	const struct http_request *request = indices->request;
	enum elastic_verdict verdict = ELASTIC_AWAY;
	struct elastic_error words;

	if (!sent) {
		error_set(error, RESULT_RETRY, "the process is ending");
		return SINK_UNKNOWN;
	}
	if (request->status != 0) {
		elastic_error_read(request, &words);
		verdict = elastic_judge(request->status, words.type, words.reason);
	}
	if (request->unsafe || (verdict != ELASTIC_AWAY && verdict != ELASTIC_BUSY)) {
		elastic_error_say(indices->http, request, error, RESULT_CONFIG, what);
		return SINK_CONFIG;
	}
	elastic_error_say(indices->http, request, error, RESULT_RETRY, what);
	return SINK_UNKNOWN;
}

static bool ask(struct indices *indices, const char *method, struct bytes body)
{
	indices->request->method = method;
	indices->request->body = body;
	bool sent = http_do(indices->http, indices->request);
	indices->request->body = (struct bytes){0};
	return sent;
}

static void path_set(struct indices *indices, const char *format, const char *name)
{
	buffer_clear(&indices->request->path);
	buffer_append_text(&indices->request->path, "/");
	buffer_append_text(&indices->request->path, name);
	buffer_append_text(&indices->request->path, format);
}

static enum sink_outcome index_find(struct indices *indices, const char *name, bool *found, struct error *error)
{
	path_set(indices, "", name);
	bool sent = ask(indices, "HEAD", (struct bytes){0});
	long status = indices->request->status;
	*found = sent && status == 200;
	if (sent && (status == 200 || status == 404))
		return SINK_DONE;
	return trouble(indices, sent, "asking for an index", error);
}

static enum sink_outcome index_make(struct indices *indices, const char *name, struct bytes body, struct error *error)
{
	struct elastic_error words;
	char what[320];

	path_set(indices, "", name);
	bool sent = ask(indices, "PUT", body);
	if (sent && indices->request->status == 200)
		return SINK_DONE;
	if (sent && indices->request->status == 400) {
		elastic_error_read(indices->request, &words);
		if (strcmp(words.type, "resource_already_exists_exception") == 0)
			return SINK_DONE; /* another writer was faster */
	}
	(void)snprintf(what, sizeof what, "making index %s", name);
	return trouble(indices, sent, what, error);
}

static enum sink_outcome index_ensure(struct indices *indices, const char *name, const char *body, struct error *error)
{
	bool found;
	enum sink_outcome outcome = index_find(indices, name, &found, error);

	if (outcome != SINK_DONE || found)
		return outcome;
	return index_make(indices, name, (struct bytes){(const uint8_t *)body, strlen(body)}, error);
}

enum sink_outcome indices_prepare_control(struct indices *indices, struct error *error)
{
	return index_ensure(indices, CONTROL_INDEX, control_body, error);
}

/* --- the index of documents -------------------------------------------------------------------------------------- */

static enum sink_outcome gone(struct indices *indices, const char *how, struct error *error)
{
	error_set(error, RESULT_CONFIG,
	    "index %s at %s %s, with documents that were written to it: restore it, or delete it and the documents "
	    "\"%s/search.*\" of index " CONTROL_INDEX " to fill it anew from the start of the topic",
	    indices->pipeline->sinks.elasticsearch.index, http_where(indices->http, indices->request), how,
	    indices->pipeline->job);
	return SINK_CONFIG;
}

/* Adds what is missing; what is mapped otherwise already cannot be changed. */
static enum sink_outcome mapping_check(struct indices *indices, struct error *error)
{
	const char *index = indices->pipeline->sinks.elasticsearch.index;
	struct buffer body = {0};

	mapping_put(indices->pipeline, &body);
	path_set(indices, "/_mapping", index);
	bool sent = ask(indices, "PUT", buffer_bytes(&body));
	buffer_fini(&body);
	if (sent && indices->request->status == 200)
		return SINK_DONE;
	enum sink_outcome outcome = trouble(indices, sent, "the mapping of the index", error);
	if (outcome == SINK_CONFIG && indices->request->status == 400) {
		struct elastic_error words;
		elastic_error_read(indices->request, &words);
		error_set(error, RESULT_CONFIG,
		    "index %s at %s does not have the mapping that the pipeline file's fields need (%.400s): take "
		    "another index in "
		    "sinks.elasticsearch.index, or delete this one and the documents \"%s/search.*\" of "
		    "index " CONTROL_INDEX " to fill it anew",
		    index, http_where(indices->http, indices->request), words.reason, indices->pipeline->job);
	}
	return outcome;
}

static enum sink_outcome documents_prepare(struct indices *indices, bool started, struct error *error)
{
	const char *index = indices->pipeline->sinks.elasticsearch.index;
	struct buffer body = {0};
	bool found;
	enum sink_outcome outcome = index_find(indices, index, &found, error);

	if (outcome == SINK_DONE && !found && started)
		return gone(indices, "is gone", error);
	if (outcome == SINK_DONE && !found) {
		buffer_append_text(&body, "{\"settings\":{" DURABLE "},\"mappings\":");
		mapping_put(indices->pipeline, &body);
		buffer_append_text(&body, "}");
		outcome = index_make(indices, index, buffer_bytes(&body), error);
		buffer_fini(&body);
	}
	/* Also of what was just made: another writer's pipeline file may be another one. */
	if (outcome == SINK_DONE)
		outcome = mapping_check(indices, error);
	indices->uuid[0] = '\0';
	return outcome == SINK_DONE ? indices_watch(indices, error) : outcome;
}

/* --- an index with a date ---------------------------------------------------------------------------------------- */

static void template_put(const struct pipeline *pipeline, const char *mark, struct buffer *out)
{
	const char *index = pipeline->sinks.elasticsearch.index;

	buffer_printf(out, "{\"index_patterns\":[\"%.*s*\"],\"priority\":%d,\"_meta\":{\"sluice\":\"%s\"},",
	    (int)strcspn(index, "%"), index, TEMPLATE_PRIORITY, mark);
	buffer_append_text(out, "\"template\":{\"settings\":{" DURABLE "},\"mappings\":");
	mapping_put(pipeline, out);
	buffer_append_text(out, "}}");
}

/* What a person has changed in it stays, as long as it was made for the same fields and index. */
static void template_mark(const struct pipeline *pipeline, char mark[32])
{
	struct buffer text = {0};

	template_put(pipeline, "", &text);
	(void)snprintf(mark, 32, "%016llx", (unsigned long long)key_hash(buffer_bytes(&text)));
	buffer_fini(&text);
}

static bool on_mark_value(void *context, const struct json_reader *json, const struct json_value *value)
{
	char *mark = context;
	const struct json_step *last = &json->steps[json->depth - 1];

	if (json->depth > 0 && json_step_is(last, "sluice") && value->kind == JSON_TEXT && value->text.len < 32) {
		memcpy(mark, value->text.data, value->text.len);
		mark[value->text.len] = '\0';
	}
	return true;
}

static enum sink_outcome template_prepare(struct indices *indices, struct error *error)
{
	const struct pipeline *pipeline = indices->pipeline;
	char mark[32], there[32] = "", name[128];
	struct buffer body = {0};

	template_mark(pipeline, mark);
	(void)snprintf(name, sizeof name, "_index_template/sluice-%s", pipeline->job);
	path_set(indices, "?filter_path=index_templates.index_template._meta", name);
	bool sent = ask(indices, "GET", (struct bytes){0});
	long status = indices->request->status;
	if (!sent || (status != 200 && status != 404))
		return trouble(indices, sent, "reading the index template", error);
	if (status == 200 && json_scan(buffer_bytes(&indices->request->answer), on_mark_value, there) &&
	    strcmp(mark, there) == 0)
		return SINK_DONE;
	template_put(pipeline, mark, &body);
	path_set(indices, "", name);
	sent = ask(indices, "PUT", buffer_bytes(&body));
	buffer_fini(&body);
	if (sent && indices->request->status == 200)
		return SINK_DONE;
	return trouble(indices, sent, "making the index template", error);
}

/* --- all --------------------------------------------------------------------------------------------------------- */

enum sink_outcome indices_prepare(struct indices *indices, bool started, struct error *error)
{
	char letters[INDEX_NAME_MAX];
	enum sink_outcome outcome;

	letters_index(indices->pipeline, letters);
	outcome = index_ensure(indices, letters, letters_body, error);
	if (outcome != SINK_DONE)
		return outcome;
	if (strchr(indices->pipeline->sinks.elasticsearch.index, '%') != NULL)
		return template_prepare(indices, error);
	return documents_prepare(indices, started, error);
}

struct uuid_reader {
	const char *wanted; /* "": the first is taken */
	char first[INDEX_UUID_MAX];
	bool found;
};

/* <index>.settings.index.uuid; an alias may stand for several. */
static bool on_uuid_value(void *context, const struct json_reader *json, const struct json_value *value)
{
	struct uuid_reader *reader = context;

	if (json->depth != 4 || !json_step_is(&json->steps[3], "uuid") || value->kind != JSON_TEXT)
		return true;
	if (value->text.len == 0 || value->text.len >= INDEX_UUID_MAX)
		return false;
	if (reader->first[0] == '\0')
		memcpy(reader->first, value->text.data, value->text.len);
	if (value->text.len == strlen(reader->wanted) && memcmp(value->text.data, reader->wanted, value->text.len) == 0)
		reader->found = true;
	return true;
}

enum sink_outcome indices_watch(struct indices *indices, struct error *error)
{
	const char *index = indices->pipeline->sinks.elasticsearch.index;
	struct uuid_reader reader = {.wanted = indices->uuid};

	if (strchr(index, '%') != NULL)
		return SINK_DONE;
	path_set(indices, "/_settings?filter_path=*.settings.index.uuid", index);
	bool sent = ask(indices, "GET", (struct bytes){0});
	if (sent && indices->request->status == 404)
		return gone(indices, "is gone", error);
	if (!sent || indices->request->status != 200)
		return trouble(indices, sent, "asking for an index", error);
	if (!json_scan(buffer_bytes(&indices->request->answer), on_uuid_value, &reader) || reader.first[0] == '\0') {
		error_set(error, RESULT_RETRY, "%s does not say which index %s is",
		    http_where(indices->http, indices->request), index);
		return SINK_UNKNOWN;
	}
	if (indices->uuid[0] == '\0')
		memcpy(indices->uuid, reader.first, sizeof reader.first);
	else if (!reader.found)
		return gone(indices, "was deleted and made anew", error);
	indices->watched_us = clock_monotonic_us();
	return SINK_DONE;
}

enum sink_outcome indices_watch_sometimes(struct indices *indices, struct error *error)
{
	return clock_monotonic_us() - indices->watched_us < WATCH_US ? SINK_DONE : indices_watch(indices, error);
}
