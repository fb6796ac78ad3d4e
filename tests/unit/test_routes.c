/* tests/unit/test_routes.c - who may send a frame to whom, and that whoever may get one has a handler for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/runtime/worker.h"
#include "services/aggregator/dedup.h"
#include "services/aggregator/rollup.h"
#include "services/coordinator/coordinator.h"
#include "services/ingest/ingest.h"
#include "services/sink/writer.h"

static const struct actor_ops *const actors[PARTIES] = {
    [PARTY_INGEST] = &ingest_ops,
    [PARTY_DEDUP] = &dedup_ops,
    [PARTY_ROLLUP] = &rollup_ops,
    [PARTY_WRITER] = &writer_ops,
};

/* What the control link and the channels do themselves. */
static bool is_of_the_link(enum frame_kind kind)
{
	return kind == FRAME_HELLO || kind == FRAME_HEARTBEAT;
}

static bool is_answered_at_once(enum frame_kind kind)
{
	return kind == FRAME_STATUS || kind == FRAME_CHECKPOINT;
}

static bool has_handler(enum frame_party party, enum frame_kind kind)
{
	if (actors[party] != NULL)
		return actors[party]->handlers[kind] != NULL;
	if (party == PARTY_WORKER)
		return is_of_the_link(kind) || worker_takes(kind);
	if (party == PARTY_COORDINATOR)
		return is_of_the_link(kind) || is_answered_at_once(kind) || coordinator_hears(kind);
	return true; /* sluicectl has what it asks for */
}

static void whoever_gets_one_has_a_handler(void **state)
{
	(void)state;
	for (size_t i = 0; i < frame_routes_len; i++)
		if (!has_handler(frame_routes[i].to, frame_routes[i].kind))
			fail_msg("no handler for %s in a %s", frame_kind_name(frame_routes[i].kind),
			    frame_party_name(frame_routes[i].to));
}

static bool comes_to(enum frame_party party, enum frame_kind kind)
{
	for (size_t i = 0; i < frame_routes_len; i++)
		if (frame_routes[i].kind == kind && frame_routes[i].to == party)
			return true;
	return false;
}

static void no_handler_is_for_nothing(void **state)
{
	(void)state;
	for (int kind = 0; kind < FRAME_KINDS; kind++) {
		for (enum frame_party party = PARTY_INGEST; party <= PARTY_WRITER; party++)
			assert_true(actors[party]->handlers[kind] == NULL || comes_to(party, (enum frame_kind)kind));
		assert_true(!worker_takes((enum frame_kind)kind) || comes_to(PARTY_WORKER, (enum frame_kind)kind));
		assert_true(
		    !coordinator_hears((enum frame_kind)kind) || comes_to(PARTY_COORDINATOR, (enum frame_kind)kind));
	}
}

/* A row of the table for every frame but the one that is a file. */
static void every_frame_travels(void **state)
{
	(void)state;
	for (size_t i = 0; i < frame_rows_len; i++) {
		bool travels = false;
		for (enum frame_party party = PARTY_INGEST; party < PARTIES; party++)
			travels = travels || comes_to(party, frame_rows[i].kind);
		assert_int_equal(travels, frame_rows[i].kind != FRAME_MANIFEST);
	}
}

static void the_routes_are_these(void **state)
{
	(void)state;
	assert_true(frame_travels(FRAME_DECISIONS, PARTY_DEDUP, PARTY_WRITER));
	assert_false(frame_travels(FRAME_DECISIONS, PARTY_INGEST, PARTY_DEDUP));
	assert_false(frame_travels(FRAME_ROWS, PARTY_DEDUP, PARTY_ROLLUP));
	assert_true(frame_travels(FRAME_ROWS, PARTY_INGEST, PARTY_WRITER));
	assert_false(frame_travels(FRAME_DEAD_LETTERS, PARTY_INGEST, PARTY_WRITER));
	assert_false(frame_travels(FRAME_HELLO, PARTY_INGEST, PARTY_DEDUP));
	assert_string_equal(frame_party_name(PARTY_ROLLUP), "rollup");
	assert_string_equal(frame_party_name(PARTIES), "nobody");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whoever_gets_one_has_a_handler),
	    cmocka_unit_test(no_handler_is_for_nothing),
	    cmocka_unit_test(every_frame_travels),
	    cmocka_unit_test(the_routes_are_these),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
