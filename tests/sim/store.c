#include "tests/sim/store.h"

#include "tests/sim/sim.h"

/* A call that fails may have done its work all the same. */
static bool fails(struct store *store, bool *done)
{
	*done = true;
	if (store->failures == 0 || store->world->settling)
		return false;
	store->failures--;
	*done = random_chance(&store->world->random, 500);
	store->world->statistics.store_failed++;
	world_trace(store->world, "    storage fails, its work is %s", *done ? "done" : "not done");
	return true;
}

static enum result failure(struct error *error)
{
	return error_set(error, RESULT_RETRY, "storage is away");
}

static enum result store_take_attempt(
    struct checkpoint_store *port, uint64_t at_least, uint64_t *attempt, struct error *error)
{
	struct store *store = (struct store *)port;
	uint64_t next = store->taken + 1 > at_least ? store->taken + 1 : at_least;
	bool done, failed = fails(store, &done);
	if (done)
		store->taken = next;
	if (failed)
		return failure(error);
	*attempt = next;
	return RESULT_OK;
}

static enum result store_put_manifest(
    struct checkpoint_store *port, const struct frame_manifest *manifest, bool *existed, struct error *error)
{
	struct store *store = (struct store *)port;
	struct frame_header header = {.kind = FRAME_MANIFEST};
	struct frame_manifest timeless = *manifest;
	bool done, failed = fails(store, &done);
	*existed = store->written;
	timeless.created_us = 0;
	if (done && !store->written) {
		store->written = true;
		frame_encode(&store->manifest, &header, &timeless);
	}
	return failed ? failure(error) : RESULT_OK;
}

static enum result store_get_manifest(struct checkpoint_store *port, struct epoch_id epoch, struct arena *arena,
    struct frame_manifest *manifest, bool *found, struct error *error)
{
	struct store *store = (struct store *)port;
	struct frame frame;
	bool done;
	*found = false;
	if (fails(store, &done))
		return failure(error);
	if (epoch.attempt != 0 || epoch.n != 0 || !store->written)
		return RESULT_OK;
	if (frame_decode(buffer_bytes(&store->manifest), arena, &frame, NULL, error) != RESULT_OK)
		return error->code;
	*manifest = frame.body.manifest;
	*found = true;
	return RESULT_OK;
}

static void store_close(struct checkpoint_store *port)
{
	(void)port;
}

static const struct checkpoint_store_ops store_ops = {
    store_take_attempt, store_put_manifest, store_get_manifest, store_close};

void store_init(struct store *store, struct world *world)
{
	*store = (struct store){.store = {&store_ops}, .world = world};
}

void store_fini(struct store *store)
{
	buffer_fini(&store->manifest);
}
