/* tests/unit/state_bed.h - actors' states over leveldb and a checkpoint folder, beside a model that says what they have to hold.
 *
 * Errors:   whatever goes wrong fails the test.
 * Blocking: what waits for a state's threads gives up after PATIENCE_MS.
 */
#ifndef STATE_BED_H
#define STATE_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/key_group.h"
#include "common/state/checkpoint_store.h"
#include "common/state/files.h"
#include "common/state/state.h"

enum { GROUPS = 16, KEYS = 400, CHECKPOINTS_MAX = 256, ACTORS_MAX = 3, PATIENCE_MS = 60000, DAY_MS = 86400000 };
#define BEGIN_MS INT64_C(1700000000000)

/* What the keys hold; 0: nothing. */
struct model {
	uint32_t values[KEYS];
};

struct bed {
	char folder[64], checkpoints[96], cache[96];
	struct checkpoint_store *store;
	struct model now, kept[CHECKPOINTS_MAX]; /* the live state; what each checkpoint holds */
	uint32_t n; /* of the last checkpoint */
	uint32_t complete; /* the last that is */
	bool in_line[CHECKPOINTS_MAX]; /* what the last complete one was built on, and itself */
	struct state *actors[ACTORS_MAX];
	struct state_port *ports[ACTORS_MAX]; /* theirs */
	uint32_t actors_len;
	int64_t time_ms, generation_ms;
	unsigned seed;
	struct arena arena;
};

/* The bed of every test, as cmocka wants it: empty, no actor open, keys for ever. */
int open_bed(void **state);
int close_bed(void **state);

uint32_t below(struct bed *bed, uint32_t most);
struct epoch_id epoch(uint32_t n);
struct bytes key_text(uint32_t i, char key[24]);

/* Open ones share the key groups among them, and have restored nothing yet. */
void open_actors(struct bed *bed, uint32_t actors);
void close_actors(struct bed *bed);

/* The worst of what the actors said; the model is what checkpoint n held, also where they failed. */
enum state_news restore(struct bed *bed, uint32_t n);

enum state_news await(struct state *state, struct state_event *event);
struct state *owner_of(const struct bed *bed, uint32_t group);

/* A process restores checkpoint n, with the cache of the one before it or without, and has to hold what n held. */
void start(struct bed *bed, uint32_t actors, uint32_t n, bool with_cache);

/* What key i holds, 0 for nothing. */
uint32_t look(const struct bed *bed, uint32_t i);
void check_all(const struct bed *bed);

/* A new value for key i. Without actors only the model changes. */
void change(struct bed *bed, uint32_t i);
void change_some(struct bed *bed, uint32_t some);

/* Every actor writes; whole: the manifest is written, and all hear that it is complete. Returns its number. */
uint32_t checkpoint(struct bed *bed, bool whole);

/* Until the caches have all that is complete; with changes since then, for a while. */
void settle(struct bed *bed);
void settle_for(struct bed *bed, int ms);

#endif
