/* services/sink/elastic_bulk.c - see elastic_bulk.h; what the answers mean is in elastic_items.c. */
#include "services/sink/elastic_bulk.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "services/sink/elastic_items.h"

enum {
	GIVE_UP_US = 3000000, /* then the writer says that it waits, and asks again */
	WAIT_MS = 1000,
	ANSWER_FIRST = 64 * 1024,
	ANSWER_ITEM = 16 * 1024, /* more than any item's answer has to say */
};

/* --- what a request carries -------------------------------------------------------------------------------------- */

static void place_add(struct bulk_lane *lane, uint32_t place)
{
	if (lane->len == lane->capacity) {
		lane->capacity = lane->capacity ? 2 * lane->capacity : 256;
		lane->places = memory_resize(lane->places, lane->capacity, sizeof *lane->places);
	}
	lane->places[lane->len++] = place;
}

static bool lane_is_full(const struct bulk *bulk, const struct bulk_lane *lane)
{
	return lane->body.len >= bulk->limit_bytes || lane->len >= bulk->limit_items;
}

/* Whether what was just put has to wait for the next request. */
static bool is_too_much(const struct bulk *bulk, const struct bulk_lane *lane, size_t before)
{
	return lane->len > 0 && before > 0 && lane->body.len > bulk->limit_bytes;
}

static void fill_with_letters(struct bulk *bulk, struct bulk_lane *lane)
{
	uint32_t place;

	while (!lane_is_full(bulk, lane) && letter_note_take(&lane->epoch->notes, &place)) {
		const struct letter_note *note = &lane->epoch->notes.notes[place];
		size_t before = lane->body.len;
		letter_put(&bulk->plan, note, epoch_items_row(&lane->epoch->items, note->item), &lane->body);
		if (is_too_much(bulk, lane, before)) {
			lane->body.len = before;
			letter_note_return(&lane->epoch->notes, place);
			return;
		}
		place_add(lane, place);
	}
}

/* Both lines of an item; false: it cannot be a document. */
static bool item_put(struct bulk *bulk, struct bulk_lane *lane, const struct row *row)
{
	document_put_action(&bulk->plan, row, &lane->body);
	if (!document_put(&bulk->plan, row, &lane->body)) {
		bulk_end(bulk, SINK_CONFIG, RESULT_CORRUPT,
		    "record %s/%u/%lld: a value is not what the pipeline file says of its field",
		    bulk->pipeline->source.topic, row->partition, (long long)row->offset);
		return false;
	}
	buffer_append(&lane->body, "\n", 1);
	return true;
}

/* Elasticsearch would refuse the whole request for such an id. */
static bool id_is_impossible(struct bulk_epoch *epoch, uint32_t place)
{
	const struct epoch_item *item = &epoch->items.items[place];
	struct elastic_error error = {.type = "id_too_long", .reason = "an _id has at most 512 bytes"};

	if (item->key_len > 0 && item->key_len <= DOCUMENT_ID_MAX)
		return false;
	if (item->key_len == 0)
		error = (struct elastic_error){.type = "id_empty", .reason = "an _id has at least one byte"};
	bulk_refuse(epoch, place, 0, &error);
	return true;
}

static void fill_with_documents(struct bulk *bulk, struct bulk_lane *lane)
{
	uint32_t place;

	while (!lane_is_full(bulk, lane) && epoch_items_take(&lane->epoch->items, &place)) {
		size_t before = lane->body.len;
		if (id_is_impossible(lane->epoch, place))
			continue;
		if (!item_put(bulk, lane, epoch_items_row(&lane->epoch->items, place)))
			return;
		if (is_too_much(bulk, lane, before)) {
			lane->body.len = before;
			epoch_items_return(&lane->epoch->items, place, true);
			return;
		}
		place_add(lane, place);
	}
}

static void lane_start(struct bulk *bulk, struct bulk_lane *lane)
{
	const struct buffer *path = lane->letters ? &bulk->letters_path : &bulk->documents_path;

	bulk_answer_start(&lane->answer, (uint32_t)lane->len);
	buffer_clear(&lane->request.path);
	buffer_append(&lane->request.path, path->data, path->len);
	lane->request.method = "POST";
	lane->request.lines = true;
	lane->request.body = buffer_bytes(&lane->body);
	lane->request.answer_max = ANSWER_FIRST + lane->len * ANSWER_ITEM;
	lane->request.on_piece = bulk_answer_piece;
	lane->request.context = &lane->answer;
	lane->started_us = clock_monotonic_us();
	http_start(bulk->http, &lane->request);
	http_push(bulk->http); /* before the next one is filled */
	if (lane->epoch == bulk->now)
		CRASH_POINT(documents_sent);
	else
		CRASH_POINT(next_sent);
}

static size_t busy_lanes(const struct bulk *bulk)
{
	size_t busy = 0;

	for (size_t i = 0; i < bulk->lanes_len; i++)
		busy += bulk->lanes[i].request.busy;
	return busy;
}

/* Letters go first: so few of them have to be remembered. */
static void fill_from(struct bulk *bulk, struct bulk_lane *lane, struct bulk_epoch *epoch)
{
	buffer_clear(&lane->body);
	lane->epoch = epoch;
	lane->letters = epoch->notes.waiting_len > 0;
	if (lane->letters)
		fill_with_letters(bulk, lane);
	else
		fill_with_documents(bulk, lane);
}

static bool any_waits(const struct bulk_epoch *epoch)
{
	return epoch->items.queue_len > 0 || epoch->notes.waiting_len > 0;
}

/* Of the epoch behind only what finds a lane that would be idle. */
static void lane_fill(struct bulk *bulk, struct bulk_lane *lane)
{
	while (!bulk->over && lane->len == 0 && any_waits(bulk->now))
		fill_from(bulk, lane, bulk->now);
	while (!bulk->over && lane->len == 0 && any_waits(bulk->next))
		fill_from(bulk, lane, bulk->next);
}

/* There is a lane more than requests at a time: what goes next is ready when an answer comes. */
static void lanes_start(struct bulk *bulk)
{
	size_t busy = busy_lanes(bulk), most = bulk->lanes_len - 1;

	for (int ready = 1; ready >= 0; ready--)
		for (size_t i = 0; i < bulk->lanes_len; i++) {
			struct bulk_lane *lane = &bulk->lanes[i];
			if (lane->request.busy || (lane->len > 0) != ready)
				continue;
			if (!ready)
				lane_fill(bulk, lane);
			if (bulk->over)
				return;
			if (lane->len > 0 && busy < most) {
				lane_start(bulk, lane);
				busy++;
			}
		}
}

/* --- the way of an epoch ----------------------------------------------------------------------------------------- */

static bool any_filled(const struct bulk *bulk, const struct bulk_epoch *epoch)
{
	for (size_t i = 0; i < bulk->lanes_len; i++)
		if (bulk->lanes[i].len > 0 && bulk->lanes[i].epoch == epoch)
			return true;
	return false;
}

static void lanes_judge(struct bulk *bulk)
{
	for (size_t i = 0; i < bulk->lanes_len && !bulk->over; i++) {
		struct bulk_lane *lane = &bulk->lanes[i];
		if (!lane->request.done)
			continue;
		lane->request.done = false;
		bulk_judge(bulk, lane);
		lane->len = 0;
	}
}

static void lanes_stop(struct bulk *bulk)
{
	for (size_t i = 0; i < bulk->lanes_len; i++) {
		http_cancel(bulk->http, &bulk->lanes[i].request);
		bulk->lanes[i].request.done = false;
		bulk->lanes[i].len = 0;
	}
}

/* How long there is nothing to do but wait. */
static int pause_ms(const struct bulk *bulk, uint64_t now_us)
{
	uint64_t left_us = bulk->pause_until_us > now_us ? bulk->pause_until_us - now_us : 0;

	if (left_us == 0 || left_us > WAIT_MS * 1000ULL)
		return WAIT_MS;
	return (int)(left_us / 1000) + 1;
}

/* Nothing waits, and nothing is ready or under way: are there repeats whose turn it is? */
static bool is_finished(struct bulk *bulk)
{
	if (any_waits(bulk->now) || any_filled(bulk, bulk->now))
		return false;
	epoch_items_resolve(&bulk->now->items);
	return bulk->now->items.queue_len == 0;
}

static bool is_failing(const struct bulk *bulk, uint64_t now_us)
{
	return bulk->failing_since_us != 0 && now_us - bulk->failing_since_us >= GIVE_UP_US;
}

static void drive(struct bulk *bulk)
{
	while (!bulk->over && !is_finished(bulk)) {
		uint64_t now_us = clock_monotonic_us();
		bool failing = is_failing(bulk, now_us);
		if (failing && busy_lanes(bulk) == 0) {
			bulk->over = true;
			bulk->outcome = SINK_UNKNOWN; /* the error says what was the last that failed */
			return;
		}
		if (!failing && now_us >= bulk->pause_until_us)
			lanes_start(bulk);
		if (bulk->over || (busy_lanes(bulk) == 0 && now_us >= bulk->pause_until_us))
			continue;
		if (!http_wait(bulk->http, pause_ms(bulk, now_us)))
			bulk_end(bulk, SINK_UNKNOWN, RESULT_RETRY, "the process is ending");
		lanes_judge(bulk);
	}
}

/* While something else is waited for. What goes wrong is told with the next epoch. */
static void meanwhile(void *context)
{
	struct bulk *bulk = context;
	uint64_t now_us = clock_monotonic_us();

	if (!bulk->running)
		return;
	lanes_judge(bulk);
	if (!bulk->over && !is_failing(bulk, now_us) && now_us >= bulk->pause_until_us)
		lanes_start(bulk);
}

/* --- one epoch, and the next ------------------------------------------------------------------------------------- */

static enum result epoch_begin(struct bulk *bulk, struct bulk_epoch *epoch, const struct epoch_bodies *bodies,
    const struct transaction *transaction, struct error *error)
{
	const struct epoch_items *before = epoch == bulk->next ? &bulk->now->items : NULL;

	letter_notes_clear(&epoch->notes);
	return epoch_items_build(&epoch->items, bodies, transaction->handled, before, error);
}

/* The one that was next has its turn; whatever else is known is of no use. */
static enum result epochs_turn(struct bulk *bulk, const struct transaction *transaction, struct error *error)
{
	const struct epoch_bodies bodies = {transaction->epoch, transaction->rows, transaction->rows_len};
	struct bulk_epoch *turn = bulk->next;

	if (!epoch_equal(turn->items.id, transaction->epoch)) {
		bulk_forget(bulk);
		return epoch_begin(bulk, bulk->now, &bodies, transaction, error);
	}
	bulk->next = bulk->now;
	bulk->now = turn;
	epoch_items_forget(&bulk->next->items);
	epoch_items_release(&turn->items);
	bulk->limit_items = UINT32_MAX;
	return RESULT_OK;
}

static enum result epochs_take(struct bulk *bulk, const struct transaction *transaction, struct error *error)
{
	const struct epoch_bodies *next = &transaction->next;
	enum result result = RESULT_OK;

	if (!epoch_equal(bulk->now->items.id, transaction->epoch))
		result = epochs_turn(bulk, transaction, error);
	if (result == RESULT_OK && next->epoch.n > 0 && !epoch_equal(bulk->next->items.id, next->epoch))
		result = epoch_begin(bulk, bulk->next, next, transaction, error);
	return result;
}

/* Every index that an epoch's documents go to. */
static enum sink_outcome indices_of(struct bulk *bulk, struct bulk_epoch *epoch, struct error *error)
{
	for (size_t i = 0; i < epoch->items.len && bulk->plan.dated; i++) {
		uint32_t period = epoch->items.items[i].period;
		if (indices_know(bulk->indices, period) || MUTANT(dated_unlooked))
			continue;
		const char *name = document_index(&bulk->plan, epoch_items_row(&epoch->items, (uint32_t)i));
		enum sink_outcome outcome = indices_use(bulk->indices, period, name, error);
		if (outcome != SINK_DONE)
			return outcome;
	}
	return SINK_DONE;
}

/* Nothing is sent meanwhile; what is under way is judged later. */
static enum sink_outcome indices_check(struct bulk *bulk, struct error *error)
{
	bulk->running = false;
	enum sink_outcome outcome = indices_prepare_letters(bulk->indices, error);
	if (outcome == SINK_DONE)
		outcome = indices_of(bulk, bulk->now, error);
	if (outcome == SINK_DONE)
		outcome = indices_of(bulk, bulk->next, error);
	return outcome;
}

enum sink_outcome bulk_store(
    struct bulk *bulk, const struct transaction *transaction, struct counters *counters, struct error *error)
{
	if (epochs_take(bulk, transaction, error) != RESULT_OK)
		return SINK_CONFIG; /* error.code tells CORRUPT from CONFIG */
	enum sink_outcome outcome = indices_check(bulk, error);
	if (outcome != SINK_DONE)
		return outcome;
	bulk->running = true;
	drive(bulk);
	if (bulk->over) {
		*error = bulk->error;
		return bulk->outcome;
	}
	*counters = epoch_items_count(&bulk->now->items);
	return SINK_DONE;
}

void bulk_stop(struct bulk *bulk)
{
	lanes_stop(bulk);
	for (size_t i = 0; i < 2; i++) {
		letter_notes_clear(&bulk->epochs[i].notes);
		epoch_items_again(&bulk->epochs[i].items);
	}
	bulk->running = bulk->over = false;
	bulk->limit_items = UINT32_MAX;
	bulk->failing_since_us = bulk->pause_until_us = bulk->progress_us = 0;
	bulk->setbacks = 0;
}

void bulk_forget(struct bulk *bulk)
{
	bulk_stop(bulk);
	for (size_t i = 0; i < 2; i++)
		epoch_items_forget(&bulk->epochs[i].items);
}

/* --- beginning and end ------------------------------------------------------------------------------------------- */

enum result bulk_init(
    struct bulk *bulk, struct http *http, struct indices *indices, const struct pipeline *pipeline, struct error *error)
{
	const struct elasticsearch *settings = &pipeline->sinks.elasticsearch;
	char letters[INDEX_NAME_MAX];

	*bulk = (struct bulk){.http = http,
	    .indices = indices,
	    .pipeline = pipeline,
	    .lanes_len = settings->max_requests + 1,
	    .limit_bytes = settings->max_batch_bytes,
	    .ceiling_bytes = settings->max_batch_bytes,
	    .seed = clock_monotonic_us()};
	bulk->now = &bulk->epochs[0];
	bulk->next = &bulk->epochs[1];
	bulk->now->items.plan = bulk->next->items.plan = &bulk->plan;
	http->meanwhile = meanwhile;
	http->context = bulk;
	if (document_plan_init(&bulk->plan, pipeline, error) != RESULT_OK)
		return RESULT_CONFIG;
	CHECK(bulk->lanes_len <= BULK_LANES_MAX);
	letters_index(pipeline, letters);
	if (bulk->plan.dated)
		buffer_append_text(&bulk->documents_path, "/_bulk?" BULK_QUERY);
	else
		buffer_printf(&bulk->documents_path, "/%s/_bulk?" BULK_QUERY, settings->index);
	buffer_printf(&bulk->letters_path, "/%s/_bulk?" BULK_QUERY, letters);
	return RESULT_OK;
}

void bulk_fini(struct bulk *bulk)
{
	for (size_t i = 0; i < BULK_LANES_MAX; i++) {
		struct bulk_lane *lane = &bulk->lanes[i];
		http_request_fini(&lane->request);
		bulk_answer_fini(&lane->answer);
		buffer_fini(&lane->body);
		free(lane->places);
	}
	document_plan_fini(&bulk->plan);
	for (size_t i = 0; i < 2; i++) {
		epoch_items_fini(&bulk->epochs[i].items);
		letter_notes_fini(&bulk->epochs[i].notes);
	}
	buffer_fini(&bulk->documents_path);
	buffer_fini(&bulk->letters_path);
	*bulk = (struct bulk){0};
}
