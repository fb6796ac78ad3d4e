/* services/sink/elastic_claim.c - see elastic_claim.h. */
#include "services/sink/elastic_claim.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "services/sink/elastic_answer.h"
#include "services/sink/elastic_control.h"
#include "services/sink/elastic_json.h"

static void path_put(struct http_request *request, const char *verb, const char *index)
{
	struct buffer id = {0};

	buffer_printf(&id, "index:%s", index);
	buffer_append(&id, "", 1);
	buffer_clear(&request->path);
	buffer_printf(&request->path, "/" CONTROL_INDEX "/%s/", verb);
	http_put_escaped(&request->path, (const char *)id.data);
	buffer_fini(&id);
}

static bool ask(struct http *http, struct http_request *request, const char *method, struct bytes body)
{
	request->method = method;
	request->body = body;
	bool sent = http_do(http, request);
	request->body = (struct bytes){0};
	return sent;
}

static bool text_take(const struct json_value *value, char *to, size_t room)
{
	if (value->kind != JSON_TEXT || value->text.len >= room)
		return false;
	memcpy(to, value->text.data, value->text.len);
	to[value->text.len] = '\0';
	return true;
}

static bool on_claim_value(void *context, const struct json_reader *json, const struct json_value *value)
{
	struct claim *claim = context;

	if (json_at(json, "_seq_no") && value->kind == JSON_INTEGER)
		claim->seq_no = value->integer;
	if (json_at(json, "_primary_term") && value->kind == JSON_INTEGER)
		claim->primary_term = value->integer;
	if (json_at(json, "_source.owner"))
		return text_take(value, claim->owner, sizeof claim->owner);
	if (json_at(json, "_source.uuid"))
		return text_take(value, claim->uuid, sizeof claim->uuid);
	return true;
}

enum sink_outcome claim_read(
    struct http *http, struct http_request *request, const char *index, struct claim *claim, struct error *error)
{
	*claim = (struct claim){.seq_no = -1, .primary_term = -1};
	path_put(request, "_doc", index);
	bool sent = ask(http, request, "GET", (struct bytes){0});
	if (!sent || (request->status != 200 && request->status != 404))
		return elastic_trouble(http, request, sent, "asking whose an index is", error);
	if (request->status == 404)
		return SINK_DONE;
	claim->exists = json_scan(buffer_bytes(&request->answer), on_claim_value, claim) && claim->seq_no >= 0 &&
	                claim->primary_term >= 0 && claim->owner[0] != '\0';
	if (claim->exists)
		return SINK_DONE;
	error_set(error, RESULT_RETRY, "document index:%s of index " CONTROL_INDEX " at %s cannot be read", index,
	    http_where(http, request));
	return SINK_UNKNOWN;
}

enum sink_outcome claim_write(
    struct http *http, struct http_request *request, const char *index, struct claim *claim, struct error *error)
{
	struct buffer body = {0};
	char now[TIMESTAMP_TEXT_MAX];

	(void)timestamp_print(clock_realtime_us(), now);
	path_put(request, claim->exists ? "_doc" : "_create", index);
	if (claim->exists)
		buffer_printf(&request->path, "?if_seq_no=%" PRId64 "&if_primary_term=%" PRId64, claim->seq_no,
		    claim->primary_term);
	buffer_printf(&body, "{\"index\":\"%s\",\"owner\":\"%s\",\"uuid\":\"%s\",\"since\":\"%.23sZ\"}", index,
	    claim->owner, claim->uuid, now);
	bool sent = ask(http, request, "PUT", buffer_bytes(&body));
	buffer_fini(&body);
	if (sent && (request->status == 200 || request->status == 201))
		return SINK_DONE;
	if (sent && request->status == 409) {
		error_set(error, RESULT_RETRY, "the owner of index %s changes all the time", index);
		return SINK_MOVED;
	}
	return elastic_trouble(http, request, sent, "writing down whose an index is", error);
}
