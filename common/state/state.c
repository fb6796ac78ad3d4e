#include "common/state/state.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"

enum { REQUESTS_MAX = 4 }; /* a write, and what a complete one before it is still to do */

struct layer {
	struct epoch_id checkpoint; /* that froze it */
	struct overlay *changes;
};

enum request_kind { REQUEST_RESTORE, REQUEST_WRITE, REQUEST_APPLY };
struct request {
	enum request_kind kind;
	struct epoch_id checkpoint, base;
};

struct state {
	struct state_port *port;
	uint32_t first_group, groups_len;
	struct overlay *now; /* since the last freeze */
	struct overlay_place place; /* in it, of the key looked for last */
	struct layer *layers; /* newest first */
	uint32_t layers_len;
	struct epoch_id complete; /* the last checkpoint that we know to be complete */
	struct request requests[REQUESTS_MAX]; /* in order; the first one is under way */
	uint32_t requests_len;
	bool restored, under_way;
	const struct overlay **borrowed; /* by the request under way */
};

struct state *state_new(struct state_port *port, uint32_t first_group, uint32_t groups_len)
{
	struct state *state = memory_new(sizeof *state);
	*state = (struct state){.port = port, .first_group = first_group, .groups_len = groups_len};
	state->now = overlay_new(first_group, groups_len);
	return state;
}

void state_free(struct state *state)
{
	if (state == NULL)
		return;
	state->port->ops->close(state->port); /* first: it may be reading the layers */
	overlay_free(state->now);
	for (uint32_t i = 0; i < state->layers_len; i++)
		overlay_free(state->layers[i].changes);
	free(state->layers);
	free(state->borrowed);
	free(state);
}

/* --- requests, one at a time ------------------------------------------------------------------------------------- */

static uint32_t layers_up_to(const struct state *state, struct epoch_id checkpoint, uint32_t *first)
{
	*first = 0;
	while (*first < state->layers_len && epoch_compare(state->layers[*first].checkpoint, checkpoint) > 0)
		(*first)++;
	return state->layers_len - *first;
}

/* The next one, if none is under way. */
static void start(struct state *state)
{
	struct state_port *port = state->port;
	const struct request *request = &state->requests[0];
	if (state->under_way || state->requests_len == 0)
		return;
	uint32_t first, len = layers_up_to(state, request->checkpoint, &first);
	state->under_way = true;
	state->borrowed = memory_resize(state->borrowed, len + 1, sizeof *state->borrowed);
	for (uint32_t i = 0; i < len; i++)
		state->borrowed[i] = state->layers[first + i].changes;
	switch (request->kind) {
	case REQUEST_RESTORE:
		port->ops->restore(port, request->checkpoint);
		break;
	case REQUEST_WRITE:
		port->ops->write(
		    port, request->checkpoint, request->base, state->borrowed, MUTANT(delta_dropped) ? 1 : len);
		break;
	case REQUEST_APPLY:
		port->ops->apply(port, request->checkpoint, state->borrowed, len);
		break;
	}
}

static void ask(struct state *state, struct request request)
{
	CHECK(state->requests_len < REQUESTS_MAX);
	state->requests[state->requests_len++] = request;
	start(state);
}

static struct request take_request(struct state *state)
{
	struct request first = state->requests[0];
	state->under_way = false;
	state->requests_len--;
	memmove(state->requests, state->requests + 1, state->requests_len * sizeof *state->requests);
	return first;
}

/* The cache has them now. */
static void drop_layers(struct state *state, struct epoch_id checkpoint)
{
	uint32_t first, len = layers_up_to(state, checkpoint, &first);
	for (uint32_t i = 0; i < len; i++)
		overlay_free(state->layers[first + i].changes);
	state->layers_len = first;
}

static enum state_news news_of(struct state *state, const struct request *done, const struct state_answer *answer)
{
	bool good = answer->result == RESULT_OK;
	if (done->kind == REQUEST_WRITE)
		return good ? STATE_WRITTEN : STATE_NOT_WRITTEN;
	if (!good)
		return answer->damaged ? STATE_DAMAGED : STATE_BROKEN;
	if (done->kind == REQUEST_RESTORE) {
		state->restored = true;
		return STATE_RESTORED;
	}
	drop_layers(state, done->checkpoint);
	return STATE_NOTHING;
}

/* The port's answer is valid until its next request, so that one begins with the next poll. */
enum state_news state_poll(struct state *state, struct state_event *event)
{
	struct state_answer *answer;
	*event = (struct state_event){0};
	start(state);
	while (state->under_way && state->port->ops->answer(state->port, &answer)) {
		struct request done = take_request(state);
		enum state_news news = news_of(state, &done, answer);
		if (news != STATE_NOTHING) {
			*event = (struct state_event){done.checkpoint, answer->files, answer->error};
			return news;
		}
		start(state);
	}
	return STATE_NOTHING;
}

void state_restore(struct state *state, struct epoch_id checkpoint)
{
	state->complete = checkpoint;
	ask(state, (struct request){REQUEST_RESTORE, checkpoint, checkpoint});
}

bool state_is_restored(const struct state *state)
{
	return state->restored;
}

uint32_t state_progress(const struct state *state)
{
	return state->restored ? 100 : state->port->ops->progress(state->port);
}

/* --- keys -------------------------------------------------------------------------------------------------------- */

void state_prefetch(const struct state *state, uint32_t group, uint64_t hash)
{
	overlay_prefetch(state->now, group, hash);
	for (uint32_t i = 0; i < state->layers_len; i++)
		overlay_prefetch(state->layers[i].changes, group, hash);
	if (state->port->ops->prefetch != NULL)
		state->port->ops->prefetch(state->port, hash);
}

enum result state_find(
    struct state *state, uint32_t group, uint64_t hash, struct bytes key, struct bytes *value, struct error *error)
{
	struct overlay_place ignored;
	const struct overlay_entry *entry = overlay_find(state->now, group, hash, key, &state->place);
	for (uint32_t i = 0; entry == NULL && i < state->layers_len; i++)
		entry = overlay_find(state->layers[i].changes, group, hash, key, &ignored);
	if (entry == NULL)
		return state->port->ops->get(state->port, group, hash, key, value, error);
	*value = overlay_value(entry);
	return RESULT_OK;
}

enum result state_add(
    struct state *state, uint64_t hash, struct bytes key, struct bytes value, int64_t time_ms, struct error *error)
{
	return overlay_add(state->now, &state->place, hash, key, value, time_ms, error);
}

enum result state_put(struct state *state, uint32_t group, uint64_t hash, struct bytes key, struct bytes value,
    int64_t time_ms, struct error *error)
{
	struct overlay_place place;
	struct overlay_entry *entry = overlay_find(state->now, group, hash, key, &place);
	if (entry == NULL)
		return overlay_add(state->now, &place, hash, key, value, time_ms, error);
	CHECK(entry->value_len == value.len);
	memcpy(entry->bytes, value.data, value.len);
	if (time_ms > state->now->newest_ms)
		state->now->newest_ms = time_ms;
	return RESULT_OK;
}

void state_expire(struct state *state, int64_t before_ms)
{
	if (MUTANT(evict_uncommitted)) {
		overlay_free(state->now);
		state->now = overlay_new(state->first_group, state->groups_len);
	}
	if (state->restored)
		state->port->ops->expire(state->port, before_ms);
}

/* --- checkpoints -------------------------------------------------------------------------------------------------- */

bool state_freeze(struct state *state, struct epoch_id checkpoint, struct epoch_id base)
{
	if (MUTANT(notice_late))
		drop_layers(state, base);
	else
		state_complete(state, base); /* the barrier is a notice, too */
	for (uint32_t i = 0; i < state->requests_len; i++)
		if (state->requests[i].kind == REQUEST_WRITE)
			return false;
	state->layers = memory_resize(state->layers, state->layers_len + 1, sizeof *state->layers);
	memmove(state->layers + 1, state->layers, state->layers_len * sizeof *state->layers);
	state->layers[0] = (struct layer){checkpoint, state->now};
	state->layers_len++;
	state->now = overlay_new(state->first_group, state->groups_len);
	ask(state, (struct request){REQUEST_WRITE, checkpoint, base});
	if (MUTANT(cache_early))
		ask(state, (struct request){REQUEST_APPLY, checkpoint, base});
	return true;
}

void state_complete(struct state *state, struct epoch_id checkpoint)
{
	if (epoch_compare(checkpoint, state->complete) <= 0)
		return;
	state->complete = checkpoint;
	if (!MUTANT(cache_early))
		ask(state, (struct request){REQUEST_APPLY, checkpoint, checkpoint});
}

struct state_size state_size(const struct state *state)
{
	struct state_size size = {state->now->len, overlay_bytes(state->now)};
	for (uint32_t i = 0; i < state->layers_len; i++) {
		size.changed += state->layers[i].changes->len;
		size.bytes += overlay_bytes(state->layers[i].changes);
	}
	return size;
}
