/* services/sink/elastic_control.c - see elastic_control.h. */
#include "services/sink/elastic_control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/key_group.h"
#include "common/base/mutant.h"
#include "common/base/settings.h"
#include "common/base/timestamp.h"
#include "services/sink/elastic_answer.h"

/* Offsets by partition. */
struct cut_member {
	const char *name;
	size_t offset;
};
static const struct cut_member cuts[] = {
    {"cut", offsetof(struct control, cut)},
    {"start", offsetof(struct control, start)},
    {"since", offsetof(struct control, since)},
};
enum { CUTS = sizeof cuts / sizeof cuts[0], FACT_MAX = 4096 };

/* --- as text ----------------------------------------------------------------------------------------------------- */

void control_print(const struct controls *controls, uint32_t writer, const struct control *control, struct buffer *out)
{
	const struct counters *counters = &control->counters;
	char now[TIMESTAMP_TEXT_MAX];

	(void)timestamp_print(clock_realtime_us(), now);
	/* Names of jobs and indices have small alphabets; a fingerprint is hexadecimal. */
	buffer_printf(out,
	    "{\"job\":\"%s\",\"writer\":%" PRIu32 ",\"writers\":%" PRIu32 ",\"first_group\":%" PRIu32
	    ",\"groups\":%" PRIu32 ",\"key_groups\":%" PRIu32 ",\"index\":\"%s\",\"fence\":%" PRIu64
	    ",\"attempt\":%" PRIu64 ",\"epoch\":%" PRIu64,
	    controls->job, writer, control->writers, control->first_group, control->groups, control->key_groups,
	    control->index, control->fence, control->last.attempt, control->last.n);
	if (control->runner[0] != '\0') {
		buffer_append_text(out, ",\"runner\":");
		buffer_append_json(out, (struct bytes){(const uint8_t *)control->runner, strlen(control->runner)});
	}
	for (size_t i = 0; i < CUTS && control->started; i++) {
		const struct cut *cut = (const struct cut *)((const char *)control + cuts[i].offset);
		if (cut->len == 0 && cuts[i].offset != offsetof(struct control, cut))
			continue;
		buffer_printf(out, ",\"%s\":", cuts[i].name);
		cut_print(cut, out);
	}
	if (control->marks.len > 0) {
		buffer_append_text(out, ",\"marks\":");
		marks_print(&control->marks, out);
	}
	if (control->remembered.len > 0) {
		buffer_append_text(out, ",\"remembered\":");
		facts_print(&control->remembered, out);
	}
	buffer_printf(out,
	    ",\"counters\":{\"consumed\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"dead\":%" PRIu64
	    "},\"fingerprint\":\"%s\",\"committed_at\":\"%.23sZ\"}",
	    counters->n[COUNTER_CONSUMED], counters->n[COUNTER_ACCEPTED], counters->n[COUNTER_DEAD],
	    control->fingerprint, now);
}

/* --- from text --------------------------------------------------------------------------------------------------- */

struct number_member {
	const char *path;
	size_t offset, size;
	int64_t most;
};
#define NUMBER_AT(path, member, most)                                                                                  \
	{                                                                                                              \
		path, offsetof(struct control, member), sizeof(((struct control *)0)->member), most                    \
	}

static const struct number_member numbers[] = {
    NUMBER_AT("_seq_no", seq_no, INT64_MAX),
    NUMBER_AT("_primary_term", primary_term, INT64_MAX),
    NUMBER_AT("_source.writers", writers, PARALLELISM_MAX),
    NUMBER_AT("_source.first_group", first_group, KEY_GROUPS_MAX),
    NUMBER_AT("_source.groups", groups, KEY_GROUPS_MAX),
    NUMBER_AT("_source.key_groups", key_groups, KEY_GROUPS_MAX),
    NUMBER_AT("_source.fence", fence, INT64_MAX),
    NUMBER_AT("_source.attempt", last.attempt, INT64_MAX),
    NUMBER_AT("_source.epoch", last.n, INT64_MAX),
    NUMBER_AT("_source.counters.consumed", counters.n[COUNTER_CONSUMED], INT64_MAX),
    NUMBER_AT("_source.counters.accepted", counters.n[COUNTER_ACCEPTED], INT64_MAX),
    NUMBER_AT("_source.counters.dead", counters.n[COUNTER_DEAD], INT64_MAX),
};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

struct control_reader {
	struct control *control;
	uint32_t seen; /* of numbers, a bit each */
};

static bool on_number(struct control_reader *reader, size_t which, const struct json_value *value)
{
	const struct number_member *member = &numbers[which];
	char *at = (char *)reader->control + member->offset;

	if (value->kind != JSON_INTEGER || value->integer < 0 || value->integer > member->most)
		return false;
	reader->seen |= 1U << which;
	if (member->size == sizeof(uint32_t))
		memcpy(at, &(uint32_t){(uint32_t)value->integer}, sizeof(uint32_t));
	else
		memcpy(at, &value->integer, sizeof value->integer);
	return true;
}

static bool text_take(const struct json_value *value, char *to, size_t room)
{
	if (value->kind != JSON_TEXT || value->text.len >= room ||
	    memchr(value->text.data, '\0', value->text.len) != NULL)
		return false;
	memcpy(to, value->text.data, value->text.len);
	to[value->text.len] = '\0';
	return true;
}

static bool on_offset(struct control *control, size_t which, const char *partition, const struct json_value *value)
{
	struct cut *cut = (struct cut *)((char *)control + cuts[which].offset);
	uint64_t number;

	if (value->kind != JSON_INTEGER || value->integer < 0 || !count_parse(partition, INT32_MAX, &number) ||
	    cut_names(cut, (uint32_t)number))
		return false;
	cut_set(cut, (uint32_t)number, value->integer);
	control->started |= cut == &control->cut;
	return true;
}

static bool on_mark(struct control *control, const char *partition, const struct json_value *value)
{
	char text[MARKS_TEXT_MAX];
	uint64_t number;

	return text_take(value, text, sizeof text) && count_parse(partition, INT32_MAX, &number) &&
	       marks_add_text(&control->marks, (uint32_t)number, text);
}

static bool on_fact(struct control *control, const char *name, const struct json_value *value)
{
	char text[FACT_MAX];

	if (!text_take(value, text, sizeof text))
		return false;
	facts_add(&control->remembered, &control->arena, name, text);
	return true;
}

/* A member of a map that is a member of the document. */
static bool is_member_of(const struct json_reader *json, const char *name)
{
	return json->depth == 3 && json_step_is(&json->steps[0], "_source") && json_step_is(&json->steps[1], name) &&
	       !json->steps[2].list;
}

static bool on_control_value(void *context, const struct json_reader *json, const struct json_value *value)
{
	struct control_reader *reader = context;
	struct control *control = reader->control;

	for (size_t i = 0; i < NUMBERS; i++)
		if (json_at(json, numbers[i].path))
			return on_number(reader, i, value);
	if (json_at(json, "_source.index"))
		return text_take(value, control->index, sizeof control->index);
	if (json_at(json, "_source.runner"))
		return text_take(value, control->runner, sizeof control->runner);
	if (json_at(json, "_source.fingerprint"))
		return text_take(value, control->fingerprint, sizeof control->fingerprint);
	for (size_t i = 0; i < CUTS; i++)
		if (is_member_of(json, cuts[i].name))
			return on_offset(control, i, json->steps[2].key, value);
	if (is_member_of(json, "marks"))
		return on_mark(control, json->steps[2].key, value);
	if (is_member_of(json, "remembered"))
		return on_fact(control, json->steps[2].key, value);
	return true;
}

bool control_parse(struct bytes text, struct control *control)
{
	struct control_reader reader = {.control = control};

	if (json_scan(text, on_control_value, &reader) && reader.seen == (1U << NUMBERS) - 1 && control->writers > 0) {
		control->exists = true;
		return true;
	}
	control_fini(control);
	return false;
}

void control_copy(struct control *to, const struct control *from)
{
	struct cut cut = to->cut, start = to->start, since = to->since;
	struct marks marks = to->marks;
	struct facts remembered;
	struct arena arena = to->arena;

	cut_copy(&cut, &from->cut);
	cut_copy(&start, &from->start);
	cut_copy(&since, &from->since);
	marks_copy(&marks, &from->marks);
	arena_clear(&arena);
	facts_copy(&remembered, &arena, &from->remembered);
	*to = *from;
	to->marks = marks;
	to->remembered = remembered;
	to->arena = arena;
	to->cut = cut;
	to->start = start;
	to->since = since;
}

void control_fini(struct control *control)
{
	cut_fini(&control->cut);
	cut_fini(&control->start);
	cut_fini(&control->since);
	marks_fini(&control->marks);
	arena_fini(&control->arena);
	*control = (struct control){0};
}

/* --- reading and writing ----------------------------------------------------------------------------------------- */

/* /sluice-control/_doc/ecommerce-transactions%2Fsearch.0 */
static void path_put(struct controls *controls, const char *verb, uint32_t writer)
{
	struct buffer *path = &controls->request->path;

	buffer_clear(path);
	buffer_printf(path, "/" CONTROL_INDEX "/%s/", verb);
	http_put_escaped(path, controls->job);
	buffer_printf(path, ".%" PRIu32, writer);
}

static bool ask(struct controls *controls, const char *method, struct bytes body)
{
	controls->request->method = method;
	controls->request->body = body;
	http_start(controls->http, controls->request);
	http_push(controls->http);
	CRASH_POINT(control_sent);
	bool sent = http_finish(controls->http, controls->request);
	controls->request->body = (struct bytes){0};
	return sent;
}

/* Of an answer that is none of those that were hoped for. */
static enum sink_outcome trouble(struct controls *controls, bool sent, struct error *error)
{
	const struct http_request *request = controls->request;
	struct elastic_error words = {0};
	static const char what[] = "the control document";

	if (!sent) {
		error_set(error, RESULT_RETRY, "the process is ending");
		return SINK_UNKNOWN;
	}
	if (request->status == 0) {
		elastic_error_say(controls->http, request, error, request->unsafe ? RESULT_CONFIG : RESULT_RETRY, what);
		return request->unsafe ? SINK_CONFIG : SINK_UNKNOWN;
	}
	elastic_error_read(request, &words);
	switch (elastic_judge(request->status, words.type, words.reason)) {
	case ELASTIC_DONE: /* and yet not what it ought to be: somebody else's words */
	case ELASTIC_BUSY:
	case ELASTIC_AWAY:
		elastic_error_say(controls->http, request, error, RESULT_RETRY, what);
		return SINK_UNKNOWN;
	case ELASTIC_CONFLICT:
	case ELASTIC_MISSING:
		elastic_error_say(controls->http, request, error, RESULT_CORRUPT, what);
		return SINK_MOVED;
	case ELASTIC_TOO_LARGE:
	case ELASTIC_REFUSED:
	case ELASTIC_CONFIG:
		break;
	}
	elastic_error_say(controls->http, request, error, RESULT_CONFIG, what);
	return SINK_CONFIG;
}

/* Elasticsearch says so itself; a wrong address has other words for it. */
static bool on_absent_value(void *context, const struct json_reader *json, const struct json_value *value)
{
	static const char missing[] = "index_not_found_exception";

	if (json_at(json, "found") && value->kind == JSON_BOOL && value->integer == 0)
		*(bool *)context = true;
	if (json_at(json, "error.type") && value->kind == JSON_TEXT &&
	    bytes_equal(value->text, (struct bytes){(const uint8_t *)missing, sizeof missing - 1}))
		*(bool *)context = true;
	return true;
}

static enum sink_outcome absent(struct controls *controls, struct error *error)
{
	bool said = false;

	if (json_scan(buffer_bytes(&controls->request->answer), on_absent_value, &said) && said)
		return SINK_DONE;
	elastic_error_say(
	    controls->http, controls->request, error, RESULT_CONFIG, "this is not Elasticsearch's answer");
	return SINK_CONFIG;
}

enum sink_outcome control_read(struct controls *controls, uint32_t writer, struct control *control, struct error *error)
{
	control_fini(control);
	path_put(controls, "_doc", writer);
	bool sent = ask(controls, "GET", (struct bytes){0});
	const struct http_request *request = controls->request;
	if (!sent || (request->status != 200 && request->status != 404))
		return trouble(controls, sent, error);
	if (request->status == 404)
		return absent(controls, error);
	if (control_parse(buffer_bytes(&controls->request->answer), control))
		return SINK_DONE;
	error_stop(error, STOP_CONTROL_UNREADABLE,
	    "document %s.%" PRIu32 " of index " CONTROL_INDEX " at %s is not one that Sluice wrote", controls->job,
	    writer, http_where(controls->http, request));
	return SINK_CONFIG;
}

/* {"_seq_no":5,"_primary_term":1} */
struct place_reader {
	int64_t seq_no, primary_term;
};

static bool on_place_value(void *context, const struct json_reader *json, const struct json_value *value)
{
	struct place_reader *reader = context;

	if (value->kind == JSON_INTEGER && json_at(json, "_seq_no"))
		reader->seq_no = value->integer;
	if (value->kind == JSON_INTEGER && json_at(json, "_primary_term"))
		reader->primary_term = value->integer;
	return true;
}

enum sink_outcome control_write(
    struct controls *controls, uint32_t writer, struct control *control, struct error *error)
{
	struct place_reader place = {-1, -1};
	struct buffer body = {0};
	const struct http_request *request = controls->request;

	path_put(controls, control->exists ? "_doc" : "_create", writer);
	if (control->exists && !(MUTANT(swap_left_out_at_zero) && control->seq_no == 0))
		buffer_printf(&controls->request->path, "?if_seq_no=%" PRId64 "&if_primary_term=%" PRId64,
		    control->seq_no, control->primary_term);
	control_print(controls, writer, control, &body);
	bool sent = ask(controls, "PUT", buffer_bytes(&body));
	buffer_fini(&body);
	if (!sent || (request->status != 200 && request->status != 201))
		return trouble(controls, sent, error);
	if (!json_scan(buffer_bytes(&request->answer), on_place_value, &place) || place.seq_no < 0 ||
	    place.primary_term < 0)
		return trouble(controls, sent, error);
	control->exists = true;
	control->seq_no = place.seq_no;
	control->primary_term = place.primary_term;
	return SINK_DONE;
}

enum sink_outcome control_delete(
    struct controls *controls, uint32_t writer, const struct control *control, struct error *error)
{
	path_put(controls, "_doc", writer);
	buffer_printf(&controls->request->path, "?if_seq_no=%" PRId64 "&if_primary_term=%" PRId64, control->seq_no,
	    control->primary_term);
	bool sent = ask(controls, "DELETE", (struct bytes){0});
	if (sent && (controls->request->status == 200 || controls->request->status == 404))
		return SINK_DONE;
	return trouble(controls, sent, error);
}
