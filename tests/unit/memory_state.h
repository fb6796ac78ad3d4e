/* tests/unit/memory_state.h - a state port for one actor's tests: a list in memory, every request answered at once. */
#ifndef MEMORY_STATE_H
#define MEMORY_STATE_H

#include <stdlib.h>
#include <string.h>

#include "common/state/state_port.h"

struct memory_entry {
	uint32_t group;
	struct buffer key, value;
};
struct memory_state {
	struct state_port port; /* first */
	struct memory_entry *entries;
	size_t len;
	struct state_answer answer;
	bool answered;
	uint32_t first_group, groups_len;
	uint32_t writes, applies; /* so far */
	int64_t *expired_ms; /* where it is told what was to be forgotten; or NULL */
};

static inline struct memory_entry *memory_find(const struct memory_state *state, struct bytes key)
{
	for (size_t i = 0; i < state->len; i++)
		if (bytes_equal(buffer_bytes(&state->entries[i].key), key))
			return &state->entries[i];
	return NULL;
}

static inline void memory_answer(struct memory_state *state)
{
	state->answer = (struct state_answer){0};
	state->answered = true;
}

static inline void memory_restore(struct state_port *port, struct epoch_id checkpoint)
{
	(void)checkpoint;
	memory_answer((struct memory_state *)port);
}

static inline void memory_write(struct state_port *port, struct epoch_id checkpoint, struct epoch_id base,
    const struct overlay *const *layers, uint32_t layers_len)
{
	struct memory_state *state = (struct memory_state *)port;
	(void)checkpoint, (void)base, (void)layers, (void)layers_len;
	state->writes++;
	memory_answer(state);
}

static inline void memory_put(struct memory_state *state, uint32_t group, const struct overlay_entry *from)
{
	struct memory_entry *entry = memory_find(state, overlay_key(from));
	if (entry == NULL) {
		state->entries = realloc(state->entries, (state->len + 1) * sizeof *state->entries);
		entry = &state->entries[state->len++];
		*entry = (struct memory_entry){.group = group};
		buffer_append(&entry->key, overlay_key(from).data, overlay_key(from).len);
	}
	buffer_clear(&entry->value);
	buffer_append(&entry->value, overlay_value(from).data, overlay_value(from).len);
}

static inline void memory_apply(
    struct state_port *port, struct epoch_id checkpoint, const struct overlay *const *layers, uint32_t layers_len)
{
	struct memory_state *state = (struct memory_state *)port;
	(void)checkpoint;
	for (uint32_t i = layers_len; i-- > 0;)
		for (uint32_t g = 0; g < layers[i]->groups_len; g++) {
			const struct overlay_entry *entry;
			uint32_t group = layers[i]->first_group + g;
			for (uint32_t at = 0; (entry = overlay_next(layers[i], group, &at)) != NULL;)
				memory_put(state, group, entry);
		}
	state->applies++;
	memory_answer(state);
}

static inline uint32_t memory_progress(struct state_port *port)
{
	(void)port;
	return 100;
}

static inline bool memory_take(struct state_port *port, struct state_answer **answer)
{
	struct memory_state *state = (struct memory_state *)port;
	bool answered = state->answered;
	state->answered = false;
	*answer = &state->answer;
	return answered;
}

static inline enum result memory_get(
    struct state_port *port, uint32_t group, uint64_t hash, struct bytes key, struct bytes *value, struct error *error)
{
	const struct memory_entry *entry = memory_find((struct memory_state *)port, key);
	(void)group, (void)hash, (void)error;
	*value = entry ? buffer_bytes(&entry->value) : (struct bytes){0};
	return RESULT_OK;
}

static inline void memory_expire(struct state_port *port, int64_t before_ms)
{
	struct memory_state *state = (struct memory_state *)port;
	if (state->expired_ms != NULL)
		*state->expired_ms = before_ms;
}

static inline void memory_close(struct state_port *port)
{
	struct memory_state *state = (struct memory_state *)port;
	for (size_t i = 0; i < state->len; i++) {
		buffer_fini(&state->entries[i].key);
		buffer_fini(&state->entries[i].value);
	}
	free(state->entries);
	free(state);
}

static inline struct state_port *memory_state_open(void)
{
	static const struct state_port_ops ops = {
	    .restore = memory_restore,
	    .write = memory_write,
	    .apply = memory_apply,
	    .progress = memory_progress,
	    .answer = memory_take,
	    .get = memory_get,
	    .expire = memory_expire,
	    .close = memory_close,
	};
	struct memory_state *state = memory_new(sizeof *state);
	state->port = (struct state_port){&ops, -1};
	return &state->port;
}

#endif
