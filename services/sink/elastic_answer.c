/* services/sink/elastic_answer.c - see elastic_answer.h. */
#include "services/sink/elastic_answer.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"

/* --- what a status means ----------------------------------------------------------------------------------------- */

const struct elastic_judgement elastic_judgements[] = {
    {200, 299, NULL, NULL, ELASTIC_DONE, "it is done"},
    {300, 399, NULL, NULL, ELASTIC_CONFIG, "a redirection: not the address of Elasticsearch itself"},
    {400, 599, "cluster_block_exception", NULL, ELASTIC_AWAY, "read-only, by a person or a full disk; no master"},
    {400, 599, "index_closed_exception", NULL, ELASTIC_AWAY, "whoever has closed it opens it again"},
    {400, 599, "process_cluster_event_timeout_exception", NULL, ELASTIC_AWAY, "the master is busy"},
    {400, 599, "circuit_breaking_exception", NULL, ELASTIC_BUSY, "no memory for a request as large as this one, now"},
    {400, 599, "es_rejected_execution_exception", NULL, ELASTIC_BUSY, "its queues are full"},
    {400, 400, "validation_exception", NULL, ELASTIC_AWAY,
        "no room for more shards in the cluster, until somebody makes some"},
    {400, 400, "snapshot_in_progress_exception", NULL, ELASTIC_AWAY, "it ends"},
    {400, 400, "invalid_index_name_exception", NULL, ELASTIC_CONFIG, "a name that this Elasticsearch does not take"},
    {400, 400, "illegal_argument_exception", "no write index is defined", ELASTIC_CONFIG,
        "an alias of several indices"},
    {400, 400, "illegal_argument_exception", "pipeline with id", ELASTIC_CONFIG,
        "the index has a pipeline that is not there"},
    {400, 400, "illegal_argument_exception", "Limit of total fields", ELASTIC_CONFIG,
        "a setting of the index, not of a document"},
    {400, 400, "routing_missing_exception", NULL, ELASTIC_CONFIG, "the mapping wants a routing of every document"},
    {400, 400, "resource_already_exists_exception", NULL, ELASTIC_CONFLICT, "of an index: another writer was faster"},
    {401, 401, NULL, NULL, ELASTIC_CONFIG, "who it is is not known"},
    {402, 402, NULL, NULL, ELASTIC_CONFIG, "a hosted one that nobody has paid for"},
    {403, 403, NULL, NULL, ELASTIC_CONFIG, "the user may not"},
    {404, 404, NULL, NULL, ELASTIC_MISSING, "an index or a document that is not there"},
    {405, 406, NULL, NULL, ELASTIC_CONFIG, "it does not speak as Elasticsearch does: a proxy, or another version"},
    {407, 407, NULL, NULL, ELASTIC_CONFIG, "a proxy wants credentials"},
    {408, 408, NULL, NULL, ELASTIC_AWAY, "it waited in vain for the rest of the request"},
    {409, 409, NULL, NULL, ELASTIC_CONFLICT, "of a creation or a compare-and-swap: it is there, or another one"},
    {410, 410, NULL, NULL, ELASTIC_CONFIG, "a hosted one that is no more"},
    {413, 413, NULL, NULL, ELASTIC_TOO_LARGE, "for it, or for a proxy"},
    {414, 415, NULL, NULL, ELASTIC_CONFIG, "it does not speak as Elasticsearch does: a proxy, or another version"},
    {425, 425, NULL, NULL, ELASTIC_AWAY, "a proxy that wants it later"},
    {426, 426, NULL, NULL, ELASTIC_CONFIG, "it wants another protocol"},
    {429, 429, NULL, NULL, ELASTIC_BUSY, "too much at once"},
    {431, 431, NULL, NULL, ELASTIC_CONFIG, "a proxy does not take the credentials: they are too long"},
    {499, 499, NULL, NULL, ELASTIC_AWAY, "a proxy that has lost one of both sides"},
    {400, 499, NULL, NULL, ELASTIC_REFUSED, "this document, for good"},
    {500, 599, NULL, NULL, ELASTIC_AWAY, "it, or what is in front of it, is not well"},
    {0, LONG_MAX, NULL, NULL, ELASTIC_CONFIG, "no answer that HTTP knows"},
};
const size_t elastic_judgements_len = sizeof elastic_judgements / sizeof elastic_judgements[0];

static bool fits(const struct elastic_judgement *row, long status, const char *type, const char *reason)
{
	return status >= row->least && status <= row->most && (row->type == NULL || strcmp(row->type, type) == 0) &&
	       (row->reason == NULL || strncmp(row->reason, reason, strlen(row->reason)) == 0);
}

const struct elastic_judgement *elastic_judgement_of(long status, const char *type, const char *reason)
{
	for (size_t i = 0; i < elastic_judgements_len; i++)
		if (fits(&elastic_judgements[i], status, type, reason) &&
		    !(MUTANT(judgement_left_out) && elastic_judgements[i].most == 408))
			return &elastic_judgements[i];
	panic("status %ld", status);
}

enum elastic_verdict elastic_judge(long status, const char *type, const char *reason)
{
	return elastic_judgement_of(status, type, reason)->verdict;
}

/* --- errors ------------------------------------------------------------------------------------------------------ */

/* Cut between characters; what is there stays in front. */
static void words_add(char *to, size_t room, const char *between, struct bytes words)
{
	size_t len = strlen(to), gap = len > 0 ? strlen(between) : 0;

	if (len + gap + 1 >= room)
		return;
	memcpy(to + len, between, gap);
	len += gap;
	size_t most = room - 1 - len, take = words.len;
	if (take > most)
		for (take = most; take > 0 && (words.data[take] & 0xc0) == 0x80;)
			take--;
	memcpy(to + len, words.data, take);
	to[len + take] = '\0';
}

static bool on_error_value(void *context, const struct json_reader *reader, const struct json_value *value)
{
	struct elastic_error *error = context;

	if (value->kind != JSON_TEXT)
		return true;
	if (json_at(reader, "error.type"))
		words_add(error->type, sizeof error->type, "", value->text);
	else if (json_at(reader, "error.reason") || json_at(reader, "error.caused_by.reason") ||
	         json_at(reader, "error"))
		words_add(error->reason, sizeof error->reason, ": ", value->text);
	return true;
}

void elastic_error_read(const struct http_request *request, struct elastic_error *error)
{
	struct bytes text = buffer_bytes(&request->answer);

	*error = (struct elastic_error){0};
	if (request->on_piece != NULL)
		text = (struct bytes){(const uint8_t *)request->text, request->text_len};
	(void)json_scan(text, on_error_value, error);
	if (error->reason[0] == '\0')
		(void)snprintf(error->reason, sizeof error->reason, "%.200s", request->text);
	for (char *at = error->reason; *at != '\0'; at++)
		if ((uint8_t)*at < ' ')
			*at = ' ';
}

static const char *advice(long status, enum result code)
{
	if (code != RESULT_CONFIG)
		return "";
	if (status == 401)
		return "; set sinks.elasticsearch.user and password, or api_key";
	if (status == 403)
		return "; the user needs the privileges create_index, manage, read and write on the indices of this "
		       "pipeline and "
		       "on sluice-control";
	if (status >= 300 && status < 400)
		return "; sinks.elasticsearch.url has to be the address of Elasticsearch itself";
	return "";
}

static void say(struct error *error, enum result code, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(struct error *error, enum result code, const char *format, ...)
{
	char words[ERROR_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(words, sizeof words, format, arguments);
	va_end(arguments);
	if (code == RESULT_CONFIG)
		error_stop(error, STOP_ELASTICSEARCH_REFUSES, "%s", words);
	else
		error_set(error, code, "%s", words);
}

void elastic_error_say(const struct http *http, const struct http_request *request, struct error *error,
    enum result code, const char *what)
{
	struct elastic_error words;

	if (request->status == 0) {
		say(error, code, "Elasticsearch at %s: %s: %s", http_where(http, request), what, request->failure);
		return;
	}
	elastic_error_read(request, &words);
	/* The answer to a HEAD has neither. */
	say(error, code, "Elasticsearch at %s: %s: %ld%s%s%s%.400s%s", http_where(http, request), what, request->status,
	    words.type[0] != '\0' ? " " : "", words.type,
	    words.reason[0] == '\0' ? ""
	    : words.type[0] != '\0' ? ": "
	                            : " ",
	    words.reason, advice(request->status, code));
}

enum sink_outcome elastic_trouble(
    const struct http *http, const struct http_request *request, bool sent, const char *what, struct error *error)
{
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
		elastic_error_say(http, request, error, RESULT_CONFIG, what);
		return SINK_CONFIG;
	}
	elastic_error_say(http, request, error, RESULT_RETRY, what);
	return SINK_UNKNOWN;
}

/* --- bulk -------------------------------------------------------------------------------------------------------- */

void bulk_answer_start(struct bulk_answer *answer, uint32_t expected)
{
	if (expected > answer->capacity) {
		answer->statuses = memory_resize(answer->statuses, expected, sizeof *answer->statuses);
		answer->capacity = expected;
	}
	if (expected > 0)
		memset(answer->statuses, 0, expected * sizeof *answer->statuses);
	json_reader_fini(&answer->json); /* of a request that was taken back */
	answer->expected = expected;
	answer->items = 0;
	answer->failures_len = 0;
	answer->broken = false;
}

static struct bulk_failure *failure_of(struct bulk_answer *answer, uint32_t item)
{
	if (answer->failures_len > 0 && answer->failures[answer->failures_len - 1].item == item)
		return &answer->failures[answer->failures_len - 1];
	if (answer->failures_len == answer->failures_capacity) {
		answer->failures_capacity = answer->failures_capacity ? 2 * answer->failures_capacity : 16;
		answer->failures = memory_resize(answer->failures, answer->failures_capacity, sizeof *answer->failures);
	}
	struct bulk_failure *failure = &answer->failures[answer->failures_len++];
	*failure = (struct bulk_failure){.item = item};
	return failure;
}

static bool on_status(struct bulk_answer *answer, uint32_t item, const struct json_value *value)
{
	if (value->kind != JSON_INTEGER || value->integer < 100 || value->integer > 599 || answer->statuses[item] != 0)
		return false;
	answer->statuses[item] = (uint16_t)value->integer;
	answer->items++;
	if ((value->integer < 200 || value->integer > 299) && value->integer != 409)
		failure_of(answer, item)->status = (uint16_t)value->integer;
	return true;
}

/* items.[i].<action>.status, .error.type, .error.reason, .error.caused_by.reason; the rest is passed over. */
static bool on_bulk_value(void *context, const struct json_reader *reader, const struct json_value *value)
{
	struct bulk_answer *answer = context;
	const struct json_step *steps = reader->steps;

	if (reader->depth < 4 || !json_step_is(&steps[0], "items") || !steps[1].list || steps[2].list)
		return true;
	uint32_t item = steps[1].place;
	if (item >= answer->expected)
		return false;
	if (reader->depth == 4 && json_step_is(&steps[3], "status"))
		return on_status(answer, item, value);
	if (!json_step_is(&steps[3], "error") || value->kind != JSON_TEXT)
		return true;
	struct elastic_error *error = NULL;
	if (answer->statuses[item] != 409) /* there already: its words are of no use */
		error = &failure_of(answer, item)->error;
	if (error == NULL)
		return true;
	if (reader->depth == 5 && json_step_is(&steps[4], "type"))
		words_add(error->type, sizeof error->type, "", value->text);
	else if ((reader->depth == 5 && json_step_is(&steps[4], "reason")) ||
	         (reader->depth == 6 && json_step_is(&steps[4], "caused_by") && json_step_is(&steps[5], "reason")))
		words_add(error->reason, sizeof error->reason, ": ", value->text);
	return true;
}

bool bulk_answer_piece(void *context, struct bytes piece)
{
	struct bulk_answer *answer = context;

	if (answer->json.yajl == NULL)
		json_reader_start(&answer->json, on_bulk_value, answer);
	/* An error page of something in between is read to its end as well: its status is what counts. */
	if (!answer->broken && !json_reader_feed(&answer->json, piece))
		answer->broken = true;
	return true;
}

bool bulk_answer_end(struct bulk_answer *answer)
{
	bool whole = answer->json.yajl != NULL && !answer->broken && json_reader_end(&answer->json) &&
	             answer->items == answer->expected;
	size_t kept = 0;

	json_reader_fini(&answer->json);
	/* An error's words may stand in front of its status. */
	for (size_t i = 0; i < answer->failures_len; i++)
		if (answer->failures[i].status != 0)
			answer->failures[kept++] = answer->failures[i];
	answer->failures_len = kept;
	return whole;
}

void bulk_answer_fini(struct bulk_answer *answer)
{
	json_reader_fini(&answer->json);
	free(answer->statuses);
	free(answer->failures);
	*answer = (struct bulk_answer){0};
}
