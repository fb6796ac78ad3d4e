#include "services/aggregator/dedup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/record_key.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "common/runtime/aligner.h"
#include "proto/letter.h"
#include "proto/row.h"
#include "services/aggregator/actor_state.h"
#include "services/aggregator/group_deltas.h"
#include "services/aggregator/record_json.h"
#include "services/aggregator/verdict_table.h"

enum {
	LETTERS_BYTES = 1024 * 1024, /* in one frame; a single letter may be larger */
	DECISIONS_PER_FRAME = 4000, /* of at most 16 bytes each */
	KEY_BYTES_MAX = 4 * PIPELINE_KEY_MAX,
};

/* What is kept of the record that was accepted for a key: the winner of all that come with the same key. */
struct winner {
	int64_t timestamp_ms;
	uint64_t content_hash;
	uint32_t partition;
};
enum { WINNER_BYTES = 20 };

/* A row on its way: the memory that its key will be looked up in is being fetched. */
enum { ROWS_AHEAD = 8 };
struct incoming {
	struct row row;
	uint32_t group;
	uint64_t hash; /* of the key as it is kept */
	struct bytes key; /* in: */
	uint8_t kept_key[KEY_BYTES_MAX + RECORD_KEY_ADDED];
};

struct dedup {
	struct actor actor;
	const struct pipeline *pipeline;
	struct topology topology;
	uint64_t attempt;
	bool started;
	bool silent; /* what comes is in the database already */
	uint32_t writer; /* channel */
	struct group_batch *rollups; /* one for each rollup actor; knows its channel */
	struct aligner aligner;

	/* state */
	struct actor_state keys; /* by record key as it is kept, a winner each */
	uint32_t first_group, groups_len;
	int64_t newest_ms; /* Kafka timestamp of the rows so far, but of those from the future */
	bool dated,
	    undated; /* since the last checkpoint rows came with such a timestamp; with none, or one from the future */
	int64_t clock_ms; /* ours, as of the last checkpoint */
	struct verdict_table told;

	/* this epoch */
	struct group_deltas deltas;
	struct counters counters;
	struct decision *decisions;
	uint32_t decisions_len, decisions_capacity;

	/* this frame */
	struct incoming incoming[ROWS_AHEAD];
	struct bytes *accepted; /* rows as they stand in the frame */
	uint32_t accepted_len, accepted_capacity;
	struct letter *letters;
	uint32_t letters_len, letters_capacity;
	size_t letters_bytes;
	struct arena arena; /* payloads and details of the letters */
	struct rows_writer repacked;
	struct buffer scratch;
};

static bool accepts(const struct actor *actor, uint32_t channel);
static actor_handler on_rows, on_dead_letters, on_barrier, on_decisions, on_deploy, on_start, on_checkpoint_complete;
static enum result on_tick(struct actor *actor, uint64_t now_us, struct outbox *outbox, struct error *error);
static void dedup_free(struct actor *actor);

const struct actor_ops dedup_ops = {
    .accepts = accepts,
    .handlers =
        {
            [FRAME_ROWS] = on_rows,
            [FRAME_DEAD_LETTERS] = on_dead_letters,
            [FRAME_BARRIER] = on_barrier,
            [FRAME_DECISIONS] = on_decisions,
            [FRAME_DEPLOY] = on_deploy,
            [FRAME_START] = on_start,
            [FRAME_CHECKPOINT_COMPLETE] = on_checkpoint_complete,
        },
    .on_tick = on_tick,
    .free = dedup_free,
};

/* --- life ------------------------------------------------------------------------------------------------------ */

static void init_channels(struct dedup *dedup)
{
	const struct topology *topology = &dedup->topology;
	uint32_t id = dedup->actor.id;
	aligner_init(&dedup->aligner);
	for (uint32_t i = 0; i < topology->ingest; i++)
		aligner_add(&dedup->aligner, topology_channel(topology, actor_id(ROLE_INGEST, i), id));
	dedup->rollups = memory_new(topology->rollup * sizeof *dedup->rollups);
	for (uint32_t i = 0; i < topology->rollup; i++)
		group_batch_init(
		    &dedup->rollups[i], topology_channel(topology, id, actor_id(ROLE_ROLLUP, i)), FRAME_DELTAS);
	dedup->writer = topology_channel(topology, id, actor_id(ROLE_WRITER, 0));
}

struct actor *dedup_new(const struct pipeline *pipeline, const struct topology *topology, struct state_port *port,
    uint32_t id, uint64_t attempt)
{
	CHECK(actor_role(id) == ROLE_DEDUP && actor_index(id) < topology->dedup);
	struct dedup *dedup = memory_new(sizeof *dedup);
	dedup->actor = (struct actor){.ops = &dedup_ops, .id = id, .event_fd = -1, .wake_us = WAKE_NEVER};
	dedup->pipeline = pipeline;
	dedup->topology = *topology;
	dedup->attempt = attempt;
	dedup->newest_ms = INT64_MIN;
	init_channels(dedup);
	dedup->groups_len = actor_groups(actor_index(id), pipeline->key_groups, topology->dedup, &dedup->first_group);
	actor_state_init(&dedup->keys, &dedup->actor, port, pipeline->key_groups, topology->dedup);
	group_deltas_init(&dedup->deltas, pipeline);
	return &dedup->actor;
}

static void dedup_free(struct actor *actor)
{
	struct dedup *dedup = (struct dedup *)actor;
	for (uint32_t i = 0; i < dedup->topology.rollup; i++)
		group_batch_fini(&dedup->rollups[i]);
	free(dedup->rollups);
	aligner_fini(&dedup->aligner);
	actor_state_fini(&dedup->keys);
	verdict_table_fini(&dedup->told);
	group_deltas_fini(&dedup->deltas);
	free(dedup->decisions);
	free(dedup->accepted);
	free(dedup->letters);
	arena_fini(&dedup->arena);
	buffer_fini(&dedup->repacked.body);
	buffer_fini(&dedup->scratch);
	free(dedup);
}

static struct dedup *dedup_of(struct actor *actor)
{
	return (struct dedup *)actor;
}

static bool accepts(const struct actor *actor, uint32_t channel)
{
	const struct dedup *dedup = (const struct dedup *)actor;
	/* START comes to every process by a road of its own: an ingest elsewhere may have it, and send, before this one. */
	return dedup->started && aligner_accepts(&dedup->aligner, channel);
}

static enum result on_tick(struct actor *actor, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	return actor_state_tick(&dedup_of(actor)->keys, now_us, outbox, error);
}

static enum result on_checkpoint_complete(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	(void)channel, (void)outbox, (void)error;
	actor_state_complete(&dedup_of(actor)->keys, &command->body.checkpoint_complete);
	return RESULT_OK;
}

/* --- before the first record ----------------------------------------------------------------------------------- */

static enum result on_deploy(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	(void)channel, (void)outbox, (void)error;
	actor_state_deploy(&dedup_of(actor)->keys, &command->body.deploy);
	return RESULT_OK;
}

/* Handed back. */
static enum result on_decisions(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct dedup *dedup = dedup_of(actor);
	(void)channel, (void)outbox;
	if (dedup->started)
		return error_set(error, RESULT_CORRUPT, "decisions are handed back after the start");
	verdict_table_add(&dedup->told, &command->body.decisions.decisions);
	return RESULT_OK;
}

static enum result on_start(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct dedup *dedup = dedup_of(actor);
	(void)channel, (void)outbox;
	CHECK(state_is_restored(dedup->keys.state));
	dedup->started = true;
	dedup->silent = command->body.start.silent;
	return verdict_table_sort(&dedup->told, error);
}

/* --- rows ------------------------------------------------------------------------------------------------------ */

static enum result check_row(const struct dedup *dedup, const struct row *row, struct error *error)
{
	const struct pipeline *pipeline = dedup->pipeline;
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		const struct field *field = &pipeline->record.fields[i];
		enum value_kind kind = row->values[i].kind;
		bool fits =
		    kind == VALUE_NULL ? !field->required : (kind == VALUE_TEXT) == (field->type == FIELD_STRING);
		if (!fits)
			return error_set(error, RESULT_CORRUPT, "record %u/%lld: %s is not what it is declared to be",
			    row->partition, (long long)row->offset, field->name);
	}
	if (row->values[pipeline->record.key].text.len > KEY_BYTES_MAX)
		return error_set(error, RESULT_CORRUPT, "record %u/%lld: the key is longer than any key can be",
		    row->partition, (long long)row->offset);
	return RESULT_OK;
}

static void decide(struct dedup *dedup, const struct row *row, enum verdict verdict)
{
	if (dedup->decisions_len == dedup->decisions_capacity) {
		dedup->decisions_capacity = dedup->decisions_capacity ? dedup->decisions_capacity * 2 : 64;
		dedup->decisions = memory_resize(dedup->decisions, dedup->decisions_capacity, sizeof *dedup->decisions);
	}
	dedup->decisions[dedup->decisions_len++] = (struct decision){row->partition, row->offset, verdict};
}

static void flush_letters(struct dedup *dedup, struct outbox *outbox)
{
	if (dedup->letters_len == 0)
		return;
	const struct frame_dead_letters body = {.letters = {dedup->letters, dedup->letters_len}};
	outbox_send(outbox, dedup->writer, FRAME_DEAD_LETTERS, &body);
	dedup->letters_len = 0;
	dedup->letters_bytes = 0;
	arena_clear(&dedup->arena);
}

static struct bytes conflict_detail(const struct winner *winner, char text[LETTER_DETAIL_MAX])
{
	char where[48] = "another partition"; /* told, and the winner is still to come */
	if (winner != NULL)
		(void)snprintf(where, sizeof where, "partition %u", winner->partition);
	int len = snprintf(text, LETTER_DETAIL_MAX,
	    "a record of %s with this key was accepted before, and its content differs", where);
	CHECK(len > 0 && len < LETTER_DETAIL_MAX);
	return (struct bytes){(const uint8_t *)text, (size_t)len};
}

/* key and reason of the letter stay valid until the frame has been handled; payload and detail are made here. */
static void add_letter(struct dedup *dedup, const struct row *row, const struct winner *winner, struct outbox *outbox)
{
	static const char reason[] = "conflict";
	char detail[LETTER_DETAIL_MAX], words[LETTER_DETAIL_MAX];
	buffer_clear(&dedup->scratch);
	record_json(dedup->pipeline, row->values, &dedup->scratch);
	struct letter letter = {
	    .partition = row->partition,
	    .offset = row->offset,
	    .key = row->values[dedup->pipeline->record.key].text,
	    .payload = buffer_bytes(&dedup->scratch),
	    .reason = {(const uint8_t *)reason, sizeof reason - 1},
	    .detail = conflict_detail(winner, detail),
	};
	letter_cut(&letter, words);
	if (dedup->letters_bytes + letter_size(&letter) > LETTERS_BYTES)
		flush_letters(dedup, outbox);
	if (dedup->letters_len == dedup->letters_capacity) {
		dedup->letters_capacity = dedup->letters_capacity ? dedup->letters_capacity * 2 : 16;
		dedup->letters = memory_resize(dedup->letters, dedup->letters_capacity, sizeof *dedup->letters);
	}
	letter.payload.data = arena_clone(&dedup->arena, letter.payload.data, letter.payload.len);
	letter.detail.data = arena_clone(&dedup->arena, letter.detail.data, letter.detail.len);
	dedup->letters[dedup->letters_len++] = letter;
	dedup->letters_bytes += letter_size(&letter);
}

/* winner NULL: the verdict was handed back, and the record that it goes back to has not come again yet. */
static void drop(struct dedup *dedup, const struct row *row, enum verdict verdict, const struct winner *winner,
    struct outbox *outbox)
{
	switch (verdict) {
	case VERDICT_DUPLICATE:
		dedup->counters.n[COUNTER_DUPLICATES]++;
		break;
	case VERDICT_CONFLICT:
		dedup->counters.n[COUNTER_CONFLICTS]++;
		add_letter(dedup, row, winner, outbox);
		break;
	}
}

static enum result accept(struct dedup *dedup, const struct incoming *incoming, struct error *error)
{
	const struct row *row = &incoming->row;
	uint8_t winner[WINNER_BYTES];
	memcpy(winner, &row->timestamp_ms, 8);
	memcpy(winner + 8, &row->content_hash, 8);
	memcpy(winner + 16, &row->partition, 4);
	if (state_add(dedup->keys.state, incoming->hash, incoming->key, (struct bytes){winner, sizeof winner},
	        row->timestamp_ms, error) != RESULT_OK)
		return error->code;
	if (dedup->accepted_len == dedup->accepted_capacity) {
		dedup->accepted_capacity = dedup->accepted_capacity ? dedup->accepted_capacity * 2 : 256;
		dedup->accepted = memory_resize(dedup->accepted, dedup->accepted_capacity, sizeof *dedup->accepted);
	}
	dedup->accepted[dedup->accepted_len++] = row->encoded;
	dedup->counters.n[COUNTER_ACCEPTED]++;
	return group_deltas_add(&dedup->deltas, row->values, error);
}

/* *known false: this key was never accepted, or is forgotten. */
static enum result find_winner(
    struct dedup *dedup, const struct incoming *incoming, struct winner *winner, bool *known, struct error *error)
{
	struct bytes value;
	if (state_find(dedup->keys.state, incoming->group, incoming->hash, incoming->key, &value, error) != RESULT_OK)
		return error->code;
	*known = value.data != NULL;
	if (!*known)
		return RESULT_OK;
	if (value.len != WINNER_BYTES)
		return error_set(error, RESULT_CORRUPT, "the state of a key has %zu bytes", value.len);
	memcpy(&winner->timestamp_ms, value.data, 8);
	memcpy(&winner->content_hash, value.data + 8, 8);
	memcpy(&winner->partition, value.data + 16, 4);
	return RESULT_OK;
}

static enum result prepare_row(struct dedup *dedup, struct incoming *incoming, struct error *error)
{
	const struct row *row = &incoming->row;
	if (check_row(dedup, row, error) != RESULT_OK)
		return error->code;
	struct bytes text = row->values[dedup->pipeline->record.key].text;
	incoming->key = record_key_pack(text, incoming->kept_key);
	incoming->hash = key_hash(incoming->key);
	incoming->group = key_group(key_hash(text), dedup->pipeline->key_groups);
	if (incoming->group - dedup->first_group >= dedup->groups_len)
		return error_set(error, RESULT_CORRUPT, "record %u/%lld: its key group %u is another actor's",
		    row->partition, (long long)row->offset, incoming->group);
	state_prefetch(dedup->keys.state, incoming->group, incoming->hash);
	return RESULT_OK;
}

/* A record from the future says nothing about how old the others are: in a backlog of last week they would all be forgotten at once.
 * Our clock is looked at now and then only: between two looks a record that has just been written is no record from the future. */
static void note_time(struct dedup *dedup, int64_t timestamp_ms)
{
	bool future = timestamp_ms > dedup->newest_ms && timestamp_ms > dedup->clock_ms;
	if (future)
		dedup->clock_ms = clock_realtime_us() / 1000;
	future = future && timestamp_ms > dedup->clock_ms && !MUTANT(future_makes_old);
	if (timestamp_ms < 0 || future) {
		dedup->undated = true;
		return;
	}
	dedup->dated = true;
	if (timestamp_ms > dedup->newest_ms)
		dedup->newest_ms = timestamp_ms;
}

static enum result take_row(
    struct dedup *dedup, const struct incoming *incoming, struct outbox *outbox, struct error *error)
{
	const struct row *row = &incoming->row;
	struct winner winner = {0};
	bool known = false;
	enum verdict verdict;
	if (find_winner(dedup, incoming, &winner, &known, error) != RESULT_OK)
		return error->code;
	note_time(dedup, row->timestamp_ms);
	if (verdict_table_find(&dedup->told, row->partition, row->offset, &verdict)) {
		/* Obeyed without a look at the keys, and written again: it belongs to the epoch of its record. */
		if (!MUTANT(verdict_forgotten))
			decide(dedup, row, verdict);
		drop(dedup, row, verdict, known ? &winner : NULL, outbox);
		return RESULT_OK;
	}
	if (!known)
		return accept(dedup, incoming, error);
	verdict = winner.content_hash == row->content_hash ? VERDICT_DUPLICATE : VERDICT_CONFLICT;
	/* Within a partition the log itself says who came first: nothing to decide. */
	if (winner.partition != row->partition && !MUTANT(all_repeats_local))
		decide(dedup, row, verdict);
	drop(dedup, row, verdict, &winner, outbox);
	return RESULT_OK;
}

static void forward(struct dedup *dedup, struct bytes body, uint32_t rows, struct outbox *outbox)
{
	if (dedup->accepted_len == 0)
		return;
	if (dedup->accepted_len == rows) {
		outbox_send_encoded(outbox, dedup->writer, FRAME_ROWS, body);
		return;
	}
	rows_begin(&dedup->repacked);
	for (uint32_t i = 0; i < dedup->accepted_len; i++)
		rows_put_encoded(&dedup->repacked, dedup->accepted[i]);
	rows_end(&dedup->repacked);
	outbox_send_encoded(outbox, dedup->writer, FRAME_ROWS, buffer_bytes(&dedup->repacked.body));
}

static enum result on_dead_letters(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	(void)channel, (void)error;
	outbox_send_encoded(outbox, dedup_of(actor)->writer, FRAME_DEAD_LETTERS, frame->encoded_body);
	return RESULT_OK;
}

static enum result on_rows(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct dedup *dedup = dedup_of(actor);
	struct bytes body = frame->body.rows.rows;
	(void)channel;
	struct rows_reader reader;
	uint32_t rows = 0, taken = 0;
	bool more = true;
	dedup->accepted_len = 0;
	if (rows_open(&reader, body, (uint32_t)dedup->pipeline->record.fields_len, error) != RESULT_OK)
		return error->code;
	while (more || taken < rows) {
		struct incoming *next = &dedup->incoming[rows % ROWS_AHEAD];
		if (!more || rows - taken == ROWS_AHEAD) {
			if (take_row(dedup, &dedup->incoming[taken++ % ROWS_AHEAD], outbox, error) != RESULT_OK)
				return error->code;
		} else if (rows_next(&reader, &next->row, &more, error) != RESULT_OK) {
			return error->code;
		} else if (more) {
			if (prepare_row(dedup, next, error) != RESULT_OK)
				return error->code;
			rows++;
		}
	}
	forward(dedup, body, rows, outbox);
	flush_letters(dedup, outbox);
	return RESULT_OK;
}

/* --- the end of an epoch --------------------------------------------------------------------------------------- */

static void send_decisions(struct dedup *dedup, struct outbox *outbox)
{
	for (uint32_t sent = 0; sent < dedup->decisions_len; sent += DECISIONS_PER_FRAME) {
		uint32_t left = dedup->decisions_len - sent;
		const struct frame_decisions body = {
		    .decisions = {dedup->decisions + sent, left < DECISIONS_PER_FRAME ? left : DECISIONS_PER_FRAME}};
		outbox_send(outbox, dedup->writer, FRAME_DECISIONS, &body);
	}
	dedup->decisions_len = 0;
}

/* Kafka's time. Where all that comes has none, or one from the future, it is ours: otherwise nothing would be forgotten any more. */
static void forget(struct dedup *dedup)
{
	int64_t now_ms = clock_realtime_us() / 1000, retention_ms = dedup->pipeline->duplicates.retention_us / 1000;
	if (dedup->undated && !dedup->dated && !MUTANT(undated_never_old))
		dedup->newest_ms = now_ms;
	dedup->clock_ms = now_ms;
	dedup->dated = dedup->undated = false;
	if (dedup->newest_ms > INT64_MIN + retention_ms)
		state_expire(dedup->keys.state, dedup->newest_ms - retention_ms);
}

static enum result finish_epoch(struct dedup *dedup, struct outbox *outbox, struct error *error)
{
	const struct frame_barrier *ended = &dedup->aligner.merged;
	uint32_t rollups = dedup->topology.rollup;
	if (group_deltas_send(&dedup->deltas, dedup->rollups, rollups, outbox, error) != RESULT_OK)
		return error->code;
	send_decisions(dedup, outbox);
	aligner_add_share(&dedup->aligner, dedup->actor.id, &dedup->counters);
	dedup->counters = (struct counters){0};

	buffer_clear(&dedup->scratch);
	frame_encode_body(&dedup->scratch, FRAME_BARRIER, &dedup->aligner.merged);
	struct bytes barrier = buffer_bytes(&dedup->scratch);
	for (uint32_t i = 0; i < rollups; i++)
		outbox_send_encoded(outbox, dedup->rollups[i].channel, FRAME_BARRIER, barrier);
	outbox_send_encoded(outbox, dedup->writer, FRAME_BARRIER, barrier);
	if (ended->checkpoint && (!dedup->silent || MUTANT(evict_in_silence)))
		forget(dedup);
	actor_state_barrier(&dedup->keys, ended, outbox);
	dedup->silent = dedup->silent && !ended->lift;
	return RESULT_OK;
}

static enum result on_barrier(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct dedup *dedup = dedup_of(actor);
	const struct frame_barrier *barrier = &frame->body.barrier;
	bool aligned;
	if (barrier->epoch.attempt != dedup->attempt)
		return error_set(error, RESULT_CORRUPT, "channel %u: a barrier of attempt %llu in attempt %llu",
		    channel, (unsigned long long)barrier->epoch.attempt, (unsigned long long)dedup->attempt);
	if (aligner_barrier(&dedup->aligner, channel, barrier, &aligned, error) != RESULT_OK)
		return error->code;
	return aligned ? finish_epoch(dedup, outbox, error) : RESULT_OK;
}
