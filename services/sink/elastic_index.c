/* services/sink/elastic_index.c - see elastic_index.h. */
#include "services/sink/elastic_index.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/timestamp.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "services/sink/elastic_answer.h"
#include "services/sink/elastic_claim.h"
#include "services/sink/elastic_control.h"
#include "services/sink/elastic_letters.h"

enum { WATCH_US = 5000000, WATCH_MOST = 16, TEMPLATE_PRIORITY = 200, TRIES_MAX = 5 };

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

/* Documents, as an index is made for them. */
static void documents_body_put(const struct pipeline *pipeline, struct buffer *out)
{
	buffer_append_text(out, "{\"settings\":{" DURABLE "},\"mappings\":");
	mapping_put(pipeline, out);
	buffer_append_text(out, "}");
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

/* --- one index --------------------------------------------------------------------------------------------------- */

enum index_role { INDEX_CONTROL, INDEX_LETTERS, INDEX_DOCUMENTS, INDEX_DATED };

static bool holds_documents(enum index_role role)
{
	return role == INDEX_DOCUMENTS || role == INDEX_DATED;
}

enum sink_outcome indices_gone(const struct indices *indices, const char *how, struct error *error)
{
	error_stop(error, STOP_INDEX_GONE, "index %s at %s %s, with documents that were written to it",
	    indices->pipeline->sinks.elasticsearch.index, http_where(indices->http, indices->request), how);
	return SINK_CONFIG;
}

static enum sink_outcome index_look(struct indices *indices, const char *name, enum index_role role,
    struct index_look *look, bool *found, struct error *error)
{
	struct buffer mapping = {0};

	*found = false;
	path_set(indices, "", name);
	bool sent = ask(indices, "GET", (struct bytes){0});
	if (sent && indices->request->status == 404)
		return SINK_DONE;
	if (!sent || indices->request->status != 200)
		return elastic_trouble(indices->http, indices->request, sent, "asking for an index", error);
	if (holds_documents(role))
		mapping_put(indices->pipeline, &mapping);
	*found = index_look_read(look, name, buffer_bytes(&mapping), buffer_bytes(&indices->request->answer));
	buffer_fini(&mapping);
	if (*found)
		return SINK_DONE;
	error_set(
	    error, RESULT_RETRY, "%s does not say what index %s is", http_where(indices->http, indices->request), name);
	return SINK_UNKNOWN;
}

/* What it is found to be, if it may not be that. */
static enum sink_outcome look_judge(
    struct indices *indices, const char *name, const struct index_look *look, struct error *error)
{
	const char *where = http_where(indices->http, indices->request);

	if (look->wrong[0] != '\0') {
		error_stop(error, STOP_INDEX_UNFIT, "index %s at %s %s", name, where, look->wrong);
		return SINK_CONFIG;
	}
	if (look->shut[0] != '\0') {
		error_set(error, RESULT_RETRY, "index %s at %s %s", name, where, look->shut);
		return SINK_UNKNOWN;
	}
	return SINK_DONE;
}

static enum sink_outcome index_make(
    struct indices *indices, const char *name, enum index_role role, struct error *error)
{
	struct elastic_error words;
	struct buffer body = {0};
	char what[320];

	if (holds_documents(role))
		documents_body_put(indices->pipeline, &body);
	else
		buffer_append_text(&body, role == INDEX_CONTROL ? control_body : letters_body);
	path_set(indices, "", name);
	bool sent = ask(indices, "PUT", buffer_bytes(&body));
	buffer_fini(&body);
	if (sent && indices->request->status == 200)
		return SINK_DONE;
	if (sent && indices->request->status == 400) {
		elastic_error_read(indices->request, &words);
		if (strcmp(words.type, "resource_already_exists_exception") == 0)
			return SINK_DONE; /* another writer was faster */
	}
	(void)snprintf(what, sizeof what, "making index %s", name);
	return elastic_trouble(indices->http, indices->request, sent, what, error);
}

/* Adds what is missing. */
static enum sink_outcome mapping_add(struct indices *indices, const char *name, struct error *error)
{
	struct elastic_error words;
	struct buffer body = {0};

	mapping_put(indices->pipeline, &body);
	path_set(indices, "/_mapping", name);
	bool sent = ask(indices, "PUT", buffer_bytes(&body));
	buffer_fini(&body);
	if (sent && indices->request->status == 200)
		return SINK_DONE;
	enum sink_outcome outcome =
	    elastic_trouble(indices->http, indices->request, sent, "the mapping of the index", error);
	if (outcome == SINK_CONFIG && indices->request->status == 400) {
		elastic_error_read(indices->request, &words);
		error_stop(error, STOP_INDEX_UNFIT,
		    "index %s at %s does not take the mapping that the pipeline file's fields need (%.300s)", name,
		    http_where(indices->http, indices->request), words.reason);
	}
	return outcome;
}

/* By somebody else, after it was deleted. */
static enum sink_outcome made_anew(
    struct indices *indices, const char *name, const struct index_look *look, struct error *error)
{
	if (look->wrong[0] != '\0' && !MUTANT(unfit_untold))
		return look_judge(indices, name, look, error);
	return indices_gone(indices, "was deleted and made anew", error);
}

/* --- whose it is ------------------------------------------------------------------------------------------------- */

/* Reads whose it is: another job's is refused, and one that is not the one that documents were written to (look NULL: it is gone).
 * Where that one is not as it has to be either, this is what is told: its way out leads past both. */
static enum sink_outcome claim_check(struct indices *indices, const char *name, enum index_role role,
    const struct index_look *look, struct claim *claim, struct error *error)
{
	enum sink_outcome outcome = claim_read(indices->http, indices->request, name, claim, error);

	if (outcome != SINK_DONE || !claim->exists)
		return outcome;
	if (strcmp(claim->owner, indices->job) != 0 && !MUTANT(claim_unread)) {
		error_stop(error, STOP_INDEX_OF_ANOTHER, "index %s at %s belongs to job %s, and this is job %s", name,
		    http_where(indices->http, indices->request), claim->owner, indices->job);
		return SINK_CONFIG;
	}
	if (role != INDEX_DOCUMENTS || MUTANT(uuid_forgotten))
		return SINK_DONE;
	if (look == NULL)
		return indices_gone(indices, "is gone", error);
	return strcmp(claim->uuid, look->uuid) != 0 ? made_anew(indices, name, look, error) : SINK_DONE;
}

/* After claim_check. MOVED: another writer was faster. */
static enum sink_outcome claim_take(
    struct indices *indices, const char *name, struct claim *claim, const char *uuid, struct error *error)
{
	if (claim->exists && strcmp(claim->uuid, uuid) == 0)
		return SINK_DONE;
	if (claim->exists)
		log_warn("index %s was deleted and made anew: what was in it is not there any more", name);
	(void)snprintf(claim->owner, sizeof claim->owner, "%s", indices->job);
	(void)snprintf(claim->uuid, sizeof claim->uuid, "%s", uuid);
	return claim_write(indices->http, indices->request, name, claim, error);
}

static bool on_count(void *context, const struct json_reader *json, const struct json_value *value)
{
	if (json->depth == 1 && json_step_is(&json->steps[0], "count"))
		*(int64_t *)context = value->integer;
	return true;
}

/* One that nobody has claimed may be somebody's all the same: what every document and letter of a job has, theirs have not. After a
 * reset that left the documents, those are there, and are ours. */
static enum sink_outcome strangers_refuse(
    struct indices *indices, const char *name, enum index_role role, struct error *error)
{
	const struct pipeline *pipeline = indices->pipeline;
	struct buffer body = {0};
	int64_t count = -1;

	buffer_printf(&body, "{\"query\":{\"bool\":{\"must_not\":{\"exists\":{\"field\":\"%s\"}}}}}",
	    role == INDEX_LETTERS ? "partition" : pipeline->record.fields[pipeline->record.key].name);
	path_set(indices, "/_count", name);
	bool sent = ask(indices, "POST", buffer_bytes(&body));
	buffer_fini(&body);
	if (!sent || indices->request->status != 200 ||
	    !json_scan(buffer_bytes(&indices->request->answer), on_count, &count) || count < 0)
		return elastic_trouble(indices->http, indices->request, sent, "counting what is in an index", error);
	if (count == 0)
		return SINK_DONE;
	error_stop(error, STOP_INDEX_OF_ANOTHER,
	    "index %s at %s has %" PRId64 " documents that no job of Sluice has written: it is somebody's", name,
	    http_where(indices->http, indices->request), count);
	return SINK_CONFIG;
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

/* One that is there: judged, mapped and claimed. made: just now, by us. */
static enum sink_outcome found_settle(struct indices *indices, const char *name, enum index_role role, bool made,
    struct index_look *look, struct error *error)
{
	struct claim claim = {.exists = false};
	bool found = true;
	enum sink_outcome outcome = SINK_DONE;

	if (role != INDEX_CONTROL && look->uuid[0] != '\0')
		outcome = claim_check(indices, name, role, look, &claim, error);
	if (outcome == SINK_DONE)
		outcome = look_judge(indices, name, look, error);
	if (outcome == SINK_DONE && role != INDEX_CONTROL && !made && !claim.exists)
		outcome = strangers_refuse(indices, name, role, error);
	if (outcome == SINK_DONE && look->lacks) {
		outcome = mapping_add(indices, name, error);
		if (outcome == SINK_DONE)
			outcome = index_look(indices, name, role, look, &found, error);
		if (outcome == SINK_DONE && found)
			outcome = look_judge(indices, name, look, error);
	}
	if (outcome == SINK_DONE && (!found || look->lacks)) {
		error_set(error, RESULT_RETRY, "index %s at %s does not keep its mapping", name,
		    http_where(indices->http, indices->request));
		return SINK_UNKNOWN;
	}
	return outcome == SINK_DONE && role != INDEX_CONTROL ? claim_take(indices, name, &claim, look->uuid, error)
	                                                     : outcome;
}

static enum sink_outcome index_settle_once(struct indices *indices, const char *name, enum index_role role,
    bool started, struct index_look *look, struct error *error)
{
	struct claim claim;
	bool found = false;
	enum sink_outcome outcome = index_look(indices, name, role, look, &found, error);

	if (outcome != SINK_DONE || found)
		return outcome == SINK_DONE ? found_settle(indices, name, role, false, look, error) : outcome;
	if (role == INDEX_DOCUMENTS) {
		outcome = claim_check(indices, name, role, NULL, &claim, error);
		if (outcome == SINK_DONE && started)
			outcome = indices_gone(indices, "is gone", error);
	}
	if (outcome == SINK_DONE)
		outcome = index_make(indices, name, role, error);
	if (outcome == SINK_DONE)
		outcome = index_look(indices, name, role, look, &found, error);
	if (outcome == SINK_DONE && !found) {
		error_set(error, RESULT_RETRY, "index %s at %s was made, and is not there", name,
		    http_where(indices->http, indices->request));
		return SINK_UNKNOWN;
	}
	return outcome == SINK_DONE ? found_settle(indices, name, role, true, look, error) : outcome;
}

/* Makes it where it is missing, looks at it, and claims it. started: documents are in it. */
static enum sink_outcome index_settle(struct indices *indices, const char *name, enum index_role role, bool started,
    struct index_look *look, struct error *error)
{
	enum sink_outcome outcome = SINK_MOVED;

	for (int i = 0; i < TRIES_MAX && outcome == SINK_MOVED; i++)
		outcome = index_settle_once(indices, name, role, started, look, error);
	if (outcome == SINK_DONE && look->unsafe)
		log_warn("index %s has index.translog.durability = async: a power cut may lose documents that it has "
		         "acknowledged",
		    name);
	return outcome == SINK_MOVED ? SINK_UNKNOWN : outcome;
}

/* --- which are known --------------------------------------------------------------------------------------------- */

/* Where this period stands, or would. */
static size_t known_place(const struct indices *indices, uint32_t period)
{
	size_t low = 0, high = indices->known_len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (indices->known[middle].period < period)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool indices_know(struct indices *indices, uint32_t period)
{
	if (indices->known_last < indices->known_len && indices->known[indices->known_last].period == period)
		return true;
	indices->known_last = known_place(indices, period);
	return indices->known_last < indices->known_len && indices->known[indices->known_last].period == period;
}

static void known_add(struct indices *indices, uint32_t period, const char *name, const char *uuid)
{
	indices_forget(indices, period);
	size_t place = known_place(indices, period);
	indices->known = memory_resize(indices->known, indices->known_len + 1, sizeof *indices->known);
	memmove(
	    &indices->known[place + 1], &indices->known[place], (indices->known_len - place) * sizeof *indices->known);
	indices->known[place] = (struct index_known){.period = period, .name = text_clone(name)};
	(void)snprintf(indices->known[place].uuid, sizeof indices->known[place].uuid, "%s", uuid);
	indices->known_len++;
}

void indices_forget(struct indices *indices, uint32_t period)
{
	if (!indices_know(indices, period))
		return;
	size_t place = indices->known_last;
	free(indices->known[place].name);
	indices->known_len--;
	memmove(
	    &indices->known[place], &indices->known[place + 1], (indices->known_len - place) * sizeof *indices->known);
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

/* Only for what Elasticsearch makes by itself: somebody else's template for the same names is no obstacle. */
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
		return elastic_trouble(indices->http, indices->request, sent, "reading the index template", error);
	if (status == 200 && json_scan(buffer_bytes(&indices->request->answer), on_mark_value, there) &&
	    strcmp(mark, there) == 0)
		return SINK_DONE;
	template_put(pipeline, mark, &body);
	path_set(indices, "", name);
	sent = ask(indices, "PUT", buffer_bytes(&body));
	buffer_fini(&body);
	if (sent && indices->request->status == 200)
		return SINK_DONE;
	enum sink_outcome outcome =
	    elastic_trouble(indices->http, indices->request, sent, "making the index template", error);
	if (!sent || indices->request->status != 400)
		return outcome;
	log_warn("there is no index template: %s", error->text);
	return SINK_DONE;
}

/* --- all --------------------------------------------------------------------------------------------------------- */

static bool is_dated(const struct indices *indices)
{
	return strchr(indices->pipeline->sinks.elasticsearch.index, '%') != NULL;
}

enum sink_outcome indices_prepare_control(struct indices *indices, struct error *error)
{
	struct index_look look;
	return index_settle(indices, CONTROL_INDEX, INDEX_CONTROL, false, &look, error);
}

enum sink_outcome indices_prepare_letters(struct indices *indices, struct error *error)
{
	char name[INDEX_NAME_MAX];
	struct index_look look;

	if (indices->letters_known)
		return SINK_DONE;
	letters_index(indices->pipeline, name);
	enum sink_outcome outcome = index_settle(indices, name, INDEX_LETTERS, false, &look, error);
	indices->letters_known = outcome == SINK_DONE;
	return outcome;
}

static void forget_all(struct indices *indices)
{
	for (size_t i = 0; i < indices->known_len; i++)
		free(indices->known[i].name);
	indices->known_len = indices->known_last = 0;
	indices->letters_known = false;
}

void indices_fini(struct indices *indices)
{
	forget_all(indices);
	free(indices->known);
	*indices = (struct indices){0};
}

enum sink_outcome indices_prepare(struct indices *indices, bool started, struct error *error)
{
	const char *index = indices->pipeline->sinks.elasticsearch.index;
	struct index_look look;

	forget_all(indices);
	enum sink_outcome outcome = indices_prepare_letters(indices, error);
	if (outcome == SINK_DONE && is_dated(indices))
		return template_prepare(indices, error);
	if (outcome == SINK_DONE)
		outcome = index_settle(indices, index, INDEX_DOCUMENTS, started, &look, error);
	if (outcome == SINK_DONE)
		known_add(indices, 0, index, look.uuid);
	return outcome;
}

enum sink_outcome indices_use(struct indices *indices, uint32_t period, const char *name, struct error *error)
{
	struct index_look look;
	enum sink_outcome outcome = index_settle(indices, name, INDEX_DATED, false, &look, error);

	if (outcome == SINK_DONE)
		known_add(indices, period, name, look.uuid);
	return outcome;
}

/* Nobody writes there until it is looked at anew. */
static enum sink_outcome letters_watch(struct indices *indices, struct error *error)
{
	char name[INDEX_NAME_MAX];
	struct index_look look;
	bool found = false;

	letters_index(indices->pipeline, name);
	enum sink_outcome outcome = index_look(indices, name, INDEX_LETTERS, &look, &found, error);
	if (outcome != SINK_DONE || found)
		return outcome != SINK_DONE ? outcome : look_judge(indices, name, &look, error);
	indices->letters_known = false;
	return SINK_DONE;
}

static enum sink_outcome known_watch(struct indices *indices, const struct index_known *known, struct error *error)
{
	enum index_role role = is_dated(indices) ? INDEX_DATED : INDEX_DOCUMENTS;
	struct index_look look;
	bool found = false;

	enum sink_outcome outcome = index_look(indices, known->name, role, &look, &found, error);
	if (outcome != SINK_DONE)
		return outcome;
	bool same = found && strcmp(look.uuid, known->uuid) == 0;
	if (!same && role == INDEX_DATED) {
		indices_forget(indices, known->period); /* looked at anew before it is written to */
		return SINK_DONE;
	}
	if (!found)
		return indices_gone(indices, "is gone", error);
	if (!same && look.uuid[0] != '\0' && !MUTANT(uuid_unwatched))
		return made_anew(indices, known->name, &look, error);
	outcome = look_judge(indices, known->name, &look, error);
	/* An old month may be read-only for good. */
	if (outcome != SINK_DONE || role == INDEX_DATED || look.blocked[0] == '\0')
		return outcome;
	error_set(error, RESULT_RETRY, "index %s at %s %s", known->name, http_where(indices->http, indices->request),
	    look.blocked);
	return SINK_UNKNOWN;
}

/* Each has its turn, that of dead letters, too. */
static enum sink_outcome watch_next(struct indices *indices, struct error *error)
{
	size_t turn = indices->watch_next++ % (indices->known_len + 1);

	indices->watched_us = clock_monotonic_us();
	if (turn < indices->known_len)
		return known_watch(indices, &indices->known[turn], error);
	return indices->letters_known && !MUTANT(letters_unwatched) ? letters_watch(indices, error) : SINK_DONE;
}

enum sink_outcome indices_watch(struct indices *indices, struct error *error)
{
	size_t turns = indices->known_len < WATCH_MOST ? indices->known_len + 1 : WATCH_MOST;
	enum sink_outcome outcome = SINK_DONE;

	for (size_t i = 0; i < turns && outcome == SINK_DONE; i++)
		outcome = watch_next(indices, error);
	return outcome;
}

enum sink_outcome indices_watch_sometimes(struct indices *indices, struct error *error)
{
	return clock_monotonic_us() - indices->watched_us < WATCH_US ? SINK_DONE : watch_next(indices, error);
}
