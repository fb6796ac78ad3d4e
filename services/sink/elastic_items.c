/* services/sink/elastic_items.c - see elastic_items.h. */
#include "services/sink/elastic_items.h"

#include <stdio.h>

#include "common/base/crash_point.h"
#include "common/base/key_group.h"
#include "common/base/log.h"
#include "common/base/timestamp.h"

enum {
	PAUSE_FIRST_US = 20000,
	PAUSE_MOST_US = 2000000,
	LIMIT_LEAST = 16 * 1024, /* bytes; smaller requests relieve nobody */
};

void bulk_end(struct bulk *bulk, enum sink_outcome outcome, enum result code, const char *format, ...)
{
	char words[ERROR_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(words, sizeof words, format, arguments);
	va_end(arguments);
	error_set(&bulk->error, code, "%s", words);
	bulk->over = true;
	bulk->outcome = outcome;
}

void bulk_refuse(struct bulk_epoch *epoch, uint32_t item, uint16_t status, const struct elastic_error *error)
{
	epoch->items.items[item].state = ITEM_REFUSED;
	letter_note_add(&epoch->notes, item, status, error);
}

static void stop_for(struct bulk *bulk, enum stop stop, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void stop_for(struct bulk *bulk, enum stop stop, const char *format, ...)
{
	char words[ERROR_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(words, sizeof words, format, arguments);
	va_end(arguments);
	error_stop(&bulk->error, stop, "%s", words);
	bulk->over = true;
	bulk->outcome = SINK_CONFIG;
}

/* --- pauses ------------------------------------------------------------------------------------------------------ */

/* Exponential with jitter, so that lanes and writers do not come back in step. since_us: nothing has got on since then, at
 * least; a request that waited for its answer in vain has failed all that time. */
static void pause_begin(struct bulk *bulk, bool got_on, uint64_t since_us)
{
	uint64_t now_us = clock_monotonic_us();

	if (got_on) {
		bulk->setbacks = 0;
		bulk->progress_us = now_us;
	}
	uint64_t pause_us = (uint64_t)PAUSE_FIRST_US << (bulk->setbacks < 7 ? bulk->setbacks : 7);
	if (pause_us > PAUSE_MOST_US)
		pause_us = PAUSE_MOST_US;
	bulk->seed = key_hash((struct bytes){(const uint8_t *)&bulk->seed, sizeof bulk->seed});
	bulk->pause_until_us = now_us + pause_us / 2 + bulk->seed % (pause_us / 2 + 1);
	bulk->setbacks++;
	if (bulk->failing_since_us == 0 || got_on)
		bulk->failing_since_us = since_us;
}

static void got_on_without_failure(struct bulk *bulk)
{
	bulk->setbacks = 0;
	bulk->failing_since_us = 0;
	bulk->progress_us = clock_monotonic_us();
	bulk->limit_bytes += bulk->limit_bytes / 8 + 1;
	if (bulk->limit_bytes > bulk->ceiling_bytes)
		bulk->limit_bytes = bulk->ceiling_bytes;
}

/* Half of what this request had, but never back up. */
static void halve(size_t *limit, const struct bulk_lane *lane)
{
	size_t half = lane->body.len / 2;

	if (half < LIMIT_LEAST)
		half = LIMIT_LEAST;
	if (half < *limit)
		*limit = half;
}

static void make_smaller(struct bulk *bulk, const struct bulk_lane *lane)
{
	halve(&bulk->limit_bytes, lane);
}

/* Half of what this request had, but never more again. */
static void fewer_items(struct bulk *bulk, const struct bulk_lane *lane)
{
	if (lane->len / 2 < bulk->limit_items)
		bulk->limit_items = (uint32_t)(lane->len / 2);
}

/* --- single items ------------------------------------------------------------------------------------------------ */

static void item_return(const struct bulk_lane *lane, size_t at)
{
	if (lane->letters)
		letter_note_return(&lane->epoch->notes, lane->places[at]);
	else
		epoch_items_return(&lane->epoch->items, lane->places[at], false);
}

static void item_settle(const struct bulk_lane *lane, size_t at)
{
	uint32_t place = lane->places[at];

	if (!lane->letters) {
		lane->epoch->items.items[place].state = ITEM_STORED;
		return;
	}
	lane->epoch->items.items[lane->epoch->notes.notes[place].item].state = ITEM_DEAD;
	CRASH_POINT(letter_stored);
	letter_note_drop(&lane->epoch->notes, place);
}

/* "record topic/0/17" */
static void record_say(struct bulk *bulk, const struct bulk_lane *lane, size_t at, char out[320])
{
	uint32_t place = lane->places[at];
	const struct row *row =
	    epoch_items_row(&lane->epoch->items, lane->letters ? lane->epoch->notes.notes[place].item : place);

	(void)snprintf(
	    out, 320, "record %s/%u/%lld", bulk->pipeline->source.topic, row->partition, (long long)row->offset);
}

static void item_config(
    struct bulk *bulk, const struct bulk_lane *lane, size_t at, long status, const struct elastic_error *error)
{
	const char *where = http_where(bulk->http, &lane->request);
	char record[320], index[INDEX_NAME_MAX];

	record_say(bulk, lane, at, record);
	letters_index(bulk->pipeline, index);
	if (lane->letters)
		stop_for(bulk, STOP_LETTER_REFUSED,
		    "%s: the dead letter of %s is not taken by index %s (%ld %s: %.300s)", where, record, index, status,
		    error->type, error->reason);
	else
		stop_for(bulk, STOP_ELASTICSEARCH_REFUSES, "%s: %s is not taken: %ld %s: %.400s", where, record, status,
		    error->type, error->reason);
}

/* It was deleted, and Elasticsearch did not make it anew by itself. Unless it had all documents, we do, with the next try. */
static void index_missing(struct bulk *bulk, const struct bulk_lane *lane, size_t at, const struct elastic_error *error)
{
	if (lane->letters) {
		bulk->indices->letters_known = false;
	} else if (bulk->plan.dated) {
		indices_forget(bulk->indices, lane->epoch->items.items[lane->places[at]].period);
	} else {
		bulk->over = true;
		bulk->outcome = indices_gone(bulk->indices, "is gone", &bulk->error);
		return;
	}
	bulk_end(bulk, SINK_UNKNOWN, RESULT_RETRY, "%s: %.300s", http_where(bulk->http, &lane->request), error->reason);
}

/* A document that is too large even alone is refused; its letter is tried once more without it. */
static void too_large_alone(
    struct bulk *bulk, const struct bulk_lane *lane, size_t at, long status, const struct elastic_error *error)
{
	uint32_t place = lane->places[at];

	if (!lane->letters) {
		bulk_refuse(lane->epoch, place, (uint16_t)status, error);
	} else if (!lane->epoch->notes.notes[place].brief) {
		lane->epoch->notes.notes[place].brief = true;
		letter_note_return(&lane->epoch->notes, place);
	} else {
		item_config(bulk, lane, at, status, error);
	}
}

/* What is known of one item that is not stored. busy, away: it has to be sent again. */
struct setback {
	bool busy, away, settled;
};

static void failure_judge(
    struct bulk *bulk, const struct bulk_lane *lane, const struct bulk_failure *failure, struct setback *setback)
{
	const struct elastic_error *error = &failure->error;

	switch (elastic_judge(failure->status, error->type, error->reason)) {
	case ELASTIC_BUSY:
	case ELASTIC_AWAY:
		if (!setback->busy && !setback->away)
			error_set(&bulk->error, RESULT_RETRY,
			    "Elasticsearch at %s does not take all documents: %u %s: %.300s",
			    http_where(bulk->http, &lane->request), failure->status, error->type, error->reason);
		setback->busy |= failure->status == 429;
		setback->away |= failure->status != 429;
		item_return(lane, failure->item);
		return;
	case ELASTIC_TOO_LARGE:
		too_large_alone(bulk, lane, failure->item, failure->status, error);
		return;
	case ELASTIC_REFUSED:
		if (lane->letters) {
			item_config(bulk, lane, failure->item, failure->status, error);
		} else {
			bulk_refuse(lane->epoch, lane->places[failure->item], failure->status, error);
			setback->settled = true;
		}
		return;
	case ELASTIC_MISSING:
		index_missing(bulk, lane, failure->item, error);
		return;
	case ELASTIC_CONFIG:
		item_config(bulk, lane, failure->item, failure->status, error);
		return;
	case ELASTIC_DONE:
	case ELASTIC_CONFLICT:
		break;
	}
	panic("a failure that is none: %u", failure->status);
}

static void items_judge(struct bulk *bulk, struct bulk_lane *lane)
{
	const struct bulk_answer *answer = &lane->answer;
	struct setback setback = {0};
	size_t next = 0;

	for (size_t at = 0; at < lane->len && !bulk->over; at++) {
		if (next < answer->failures_len && answer->failures[next].item == at) {
			failure_judge(bulk, lane, &answer->failures[next++], &setback);
		} else {
			item_settle(lane, at);
			setback.settled = true;
		}
	}
	/* A full queue takes or refuses the documents of a shard at once, few as many: where some get through, smaller
	 * requests would only be more of them. */
	if (setback.busy && !setback.settled)
		make_smaller(bulk, lane);
	if (setback.busy || setback.away)
		pause_begin(bulk, setback.settled, clock_monotonic_us());
	else
		got_on_without_failure(bulk);
}

/* --- whole requests ---------------------------------------------------------------------------------------------- */

static void all_return(const struct bulk_lane *lane)
{
	for (size_t at = 0; at < lane->len; at++)
		item_return(lane, at);
}

/* Lost, broken or turned away as a whole. What may have been stored is told as such the next time. */
static void request_again(struct bulk *bulk, struct bulk_lane *lane)
{
	all_return(lane);
	pause_begin(bulk, false, lane->started_us > bulk->progress_us ? lane->started_us : bulk->progress_us);
}

static void request_divide(struct bulk *bulk, struct bulk_lane *lane)
{
	size_t before = bulk->ceiling_bytes;

	halve(&bulk->ceiling_bytes, lane);
	make_smaller(bulk, lane);
	fewer_items(bulk, lane);
	if (bulk->ceiling_bytes < before)
		log_info("a request of %zu bytes is too large for Elasticsearch; from now on at most %zu",
		    lane->body.len, bulk->ceiling_bytes);
	all_return(lane);
}

static void request_refused(struct bulk *bulk, struct bulk_lane *lane)
{
	struct elastic_error error;
	long status = lane->request.status;

	elastic_error_read(&lane->request, &error);
	switch (elastic_judge(status, error.type, error.reason)) {
	case ELASTIC_BUSY:
		make_smaller(bulk, lane);
		elastic_error_say(bulk->http, &lane->request, &bulk->error, RESULT_RETRY, "busy");
		request_again(bulk, lane);
		return;
	case ELASTIC_AWAY:
		elastic_error_say(bulk->http, &lane->request, &bulk->error, RESULT_RETRY, "it does not take documents");
		request_again(bulk, lane);
		return;
	case ELASTIC_TOO_LARGE:
		if (lane->len > 1)
			request_divide(bulk, lane);
		else
			too_large_alone(bulk, lane, 0, status, &error);
		return;
	case ELASTIC_REFUSED:
		/* Nobody is made a dead letter for what may be a mistake of ours: it is found, and named. */
		if (lane->len == 1) {
			item_config(bulk, lane, 0, status, &error);
			return;
		}
		fewer_items(bulk, lane);
		all_return(lane);
		return;
	case ELASTIC_MISSING:
		index_missing(bulk, lane, 0, &error);
		return;
	case ELASTIC_CONFIG:
	case ELASTIC_CONFLICT:
	case ELASTIC_DONE:
		break;
	}
	bulk->over = true;
	bulk->outcome = SINK_CONFIG;
	elastic_error_say(bulk->http, &lane->request, &bulk->error, RESULT_CONFIG, "it refuses");
}

void bulk_judge(struct bulk *bulk, struct bulk_lane *lane)
{
	const struct http_request *request = &lane->request;
	bool whole = bulk_answer_end(&lane->answer);

	if (request->status == 0 && request->unsafe) {
		bulk->over = true;
		bulk->outcome = SINK_CONFIG;
		elastic_error_say(bulk->http, request, &bulk->error, RESULT_CONFIG, "its certificate");
	} else if (request->status == 0) {
		elastic_error_say(bulk->http, request, &bulk->error, RESULT_RETRY, "no answer");
		if (request->late) /* it may be there, and too slow for so many documents in one timeout */
			make_smaller(bulk, lane);
		request_again(bulk, lane);
	} else if (request->status < 200 || request->status > 299) {
		request_refused(bulk, lane);
	} else if (!whole) {
		error_set(&bulk->error, RESULT_RETRY,
		    "Elasticsearch at %s: an answer to %zu documents that cannot be read: %.100s",
		    http_where(bulk->http, request), lane->len, request->text);
		request_again(bulk, lane);
	} else {
		items_judge(bulk, lane);
	}
}
