/* A coordinator from registration to its end, with a port that notes what it commands and a folder in memory: wishes for
 * checkpoints and clean stops at odd moments, verdicts on late duplicates from attempt to attempt, pauses, and time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/runtime/worker.h"
#include "services/coordinator/coordinator_state.h"
#include "tests/unit/shipped_pipeline.h"

enum { SECOND = 1000000, MINUTE = 60 * SECOND, NOTES_MAX = 4096 };
static const char *const workers[] = {"ingest", "aggregator", "sink"};
enum { WORKERS = 3 };

/* What was commanded; of INJECT and STOP a little of the body. */
struct note {
	char worker[WORKER_NAME_MAX];
	enum frame_kind kind;
	uint64_t attempt;
	struct frame_inject inject;
};

struct bed {
	struct coordinator_port port; /* first */
	struct checkpoint_store store;
	struct checkpoint_store_ops ops;
	struct pipeline pipeline;
	struct topology topology;
	struct coordinator *coordinator;
	uint64_t now_us, attempt, taken;
	struct note notes[NOTES_MAX];
	uint32_t notes_len, looked; /* so many were looked at */
	struct decisions handed; /* to dedup, since the attempt began */
	bool stopped, damaged;
	int code;
	char why[ERROR_TEXT_MAX];
	/* what the database and the folder hold */
	struct epoch_id last;
	int64_t frontier; /* offset of partition 0 */
	struct kept {
		struct epoch_id epoch;
		int64_t offset;
	} kept[16];
	uint32_t kept_len;
	const char *changed; /* what the pipeline file means otherwise */
};

static struct bed *bed_of(struct coordinator_port *port)
{
	return (struct bed *)port;
}

static void port_command(
    struct coordinator_port *port, const char *worker, uint64_t attempt, enum frame_kind kind, const void *body)
{
	struct bed *bed = bed_of(port);
	assert_true(bed->notes_len < NOTES_MAX);
	struct note *note = &bed->notes[bed->notes_len++];
	*note = (struct note){.kind = kind, .attempt = attempt};
	(void)snprintf(note->worker, sizeof note->worker, "%s", worker);
	if (attempt != 0 && attempt != bed->attempt)
		bed->handed.len = 0;
	bed->attempt = attempt != 0 ? attempt : bed->attempt;
	if (kind == FRAME_INJECT)
		note->inject = *(const struct frame_inject *)body;
	if (kind != FRAME_DECISIONS)
		return;
	const struct decisions *more = &((const struct frame_decisions *)body)->decisions;
	bed->handed.entries =
	    memory_resize(bed->handed.entries, bed->handed.len + more->len, sizeof *bed->handed.entries);
	memcpy(bed->handed.entries + bed->handed.len, more->entries, more->len * sizeof *more->entries);
	bed->handed.len += more->len;
}

static void port_stop(struct coordinator_port *port, int code, const char *why)
{
	struct bed *bed = bed_of(port);
	bed->stopped = true;
	bed->code = code;
	(void)snprintf(bed->why, sizeof bed->why, "%s", why);
}

/* --- the folder ---------------------------------------------------------------------------------------------------- */

static struct bed *bed_of_store(struct checkpoint_store *store)
{
	return (struct bed *)((char *)store - offsetof(struct bed, store));
}

static enum result take_attempt(
    struct checkpoint_store *store, uint64_t at_least, uint64_t *attempt, struct error *error)
{
	struct bed *bed = bed_of_store(store);
	(void)error;
	bed->taken = bed->taken + 1 > at_least ? bed->taken + 1 : at_least;
	*attempt = bed->taken;
	return RESULT_OK;
}

static enum result put_manifest(
    struct checkpoint_store *store, const struct frame_manifest *manifest, bool *existed, struct error *error)
{
	struct bed *bed = bed_of_store(store);
	(void)error;
	*existed = false;
	assert_true(bed->kept_len < 16);
	bed->kept[bed->kept_len++] = (struct kept){manifest->epoch, cut_get(&manifest->cut, 0, 0)};
	return RESULT_OK;
}

static enum result get_manifest(struct checkpoint_store *store, struct epoch_id epoch, struct arena *arena,
    struct frame_manifest *manifest, bool *found, struct error *error)
{
	struct bed *bed = bed_of_store(store);
	(void)error;
	*found = false;
	for (uint32_t i = 0; i < bed->kept_len; i++) {
		if (!epoch_equal(bed->kept[i].epoch, epoch))
			continue;
		*found = true;
		*manifest = (struct frame_manifest){.epoch = epoch,
		    .fingerprint = bed->pipeline.fingerprint,
		    .key_groups = bed->pipeline.key_groups,
		    .cut = {arena_take(arena, sizeof *manifest->cut.entries), 1}};
		manifest->cut.entries[0] = (struct cut_entry){0, bed->kept[i].offset};
	}
	return RESULT_OK;
}

static enum result check_files(
    struct checkpoint_store *store, const struct files *files, bool *whole, struct error *error)
{
	(void)store, (void)files, (void)error;
	*whole = true;
	return RESULT_OK;
}

static enum result verify_files(
    struct checkpoint_store *store, const struct files *files, bool *whole, struct error *error)
{
	(void)files;
	*whole = !bed_of_store(store)->damaged;
	if (!*whole)
		error_set(error, RESULT_CORRUPT, "a checksum does not fit");
	return RESULT_OK;
}

static enum result remove_manifest(struct checkpoint_store *store, struct epoch_id epoch, struct error *error)
{
	(void)store, (void)epoch, (void)error;
	return RESULT_OK;
}

static enum result sweep(struct checkpoint_store *store, uint64_t oldest, const struct checkpoints *named,
    const struct files *files, struct error *error)
{
	(void)store, (void)oldest, (void)named, (void)files, (void)error;
	return RESULT_OK;
}

/* --- what workers say ---------------------------------------------------------------------------------------------- */

static void say(struct bed *bed, const char *worker, enum frame_kind kind, const void *body, size_t size)
{
	struct frame frame = {.header = {.kind = kind, .attempt = bed->attempt}};
	memcpy(&frame.body, body, size);
	coordinator_on_event(bed->coordinator, worker, &frame, bed->now_us);
}
#define SAY(bed, worker, KIND, type, ...) say(bed, worker, KIND, &(struct type){__VA_ARGS__}, sizeof(struct type))

static void tick(struct bed *bed)
{
	coordinator_on_tick(bed->coordinator, bed->now_us);
}

/* As the host does it: called when it wants to be, or after so long. */
static void pass(struct bed *bed, uint64_t us)
{
	uint64_t end_us = bed->now_us + us;
	while (bed->now_us < end_us && !bed->stopped) {
		uint64_t wake_us = coordinator_wake_us(bed->coordinator);
		bed->now_us =
		    wake_us != 0 && wake_us < end_us ? (wake_us > bed->now_us ? wake_us : bed->now_us + 1) : end_us;
		coordinator_on_tick(bed->coordinator, bed->now_us);
	}
}

static void enroll(struct bed *bed, uint32_t place)
{
	char topology[TOPOLOGY_TEXT_MAX];
	struct frame_registration registration = worker_registration((enum process_role)(PROCESS_INGEST + place),
	    place + 1, place + 1, "job/totals", &bed->pipeline, &bed->topology, "UTC", topology);
	say(bed, workers[place], FRAME_REGISTER, &registration, sizeof registration);
}

static bool commanded(const struct bed *bed, uint32_t from, enum frame_kind kind)
{
	for (uint32_t i = from; i < bed->notes_len; i++)
		if (bed->notes[i].kind == kind)
			return true;
	return false;
}

/* The last INJECT since it was asked last; NULL: none. */
static const struct frame_inject *injected(struct bed *bed)
{
	const struct frame_inject *found = NULL;
	for (; bed->looked < bed->notes_len; bed->looked++)
		if (bed->notes[bed->looked].kind == FRAME_INJECT)
			found = &bed->notes[bed->looked].inject;
	return found;
}

static void say_fenced(struct bed *bed)
{
	struct checkpoint_entry named[16];
	struct cut_entry at = {0, bed->frontier};
	for (uint32_t i = 0; i < bed->kept_len; i++)
		named[i] = (struct checkpoint_entry){.epoch = bed->kept[bed->kept_len - 1 - i].epoch};
	SAY(bed, "sink", FRAME_FENCED, frame_fenced, .actor = actor_id(ROLE_WRITER, 0), .last = bed->last,
	    .started = bed->kept_len > 0, .cut = {&at, 1}, .fingerprint = bed->pipeline.fingerprint,
	    .changed = bed->changed, .checkpoints = {named, bed->kept_len});
}

/* The writer was asked once more: the fence is this attempt's. */
static void confirm(struct bed *bed)
{
	SAY(bed, "sink", FRAME_FENCED, frame_fenced, .actor = actor_id(ROLE_WRITER, 0), .fence = bed->attempt,
	    .fingerprint = "", .changed = "");
}

/* Up to where every channel stands, or where it ends before. */
static void deploy(struct bed *bed)
{
	uint32_t from = bed->notes_len;
	bool first = bed->kept_len == 0;
	struct cut_entry at = {0, bed->frontier};
	say_fenced(bed);
	SAY(bed, "ingest", FRAME_DESCRIBED, frame_described, .partitions = 1, .start = {&at, first ? 0 : 1});
	if (!commanded(bed, from, FRAME_CHOOSE) && !commanded(bed, from, FRAME_SET_CUT))
		return;
	if (!first)
		bed->last = epoch_of_choice(bed->attempt);
	SAY(bed, "sink", FRAME_CUT_SET, frame_cut_set, .actor = actor_id(ROLE_WRITER, 0), .cut = {&at, 1});
	for (uint32_t i = 0; i < WORKERS; i++)
		SAY(bed, workers[i], FRAME_DEPLOYED, frame_deployed, .addresses = {0});
	for (uint32_t i = 0; i < WORKERS; i++)
		SAY(bed, workers[i], FRAME_READY, frame_ready, .worker = "");
}

static void assert_state(const struct bed *bed, enum deployment_state state)
{
	assert_string_equal(deployment_state_name(bed->coordinator->state), deployment_state_name(state));
}

/* All processes are there again, and the next attempt runs. */
static void run(struct bed *bed)
{
	for (uint32_t i = 0; i < WORKERS; i++)
		enroll(bed, i);
	pass(bed, 20 * SECOND);
	deploy(bed);
	assert_state(bed, STATE_RUNNING);
}

static void fall(struct bed *bed)
{
	coordinator_on_lost(bed->coordinator, "aggregator", "killed", bed->now_us);
	assert_state(bed, STATE_GATHERING);
	for (uint32_t i = 0; i < WORKERS; i++)
		coordinator_on_lost(bed->coordinator, workers[i], "it has started afresh", bed->now_us);
}

static void pend(struct bed *bed)
{
	SAY(bed, "ingest", FRAME_PENDING, frame_pending, .actor = actor_id(ROLE_INGEST, 0),
	    .after = bed->coordinator->pacing.injected, .waiting = true);
}

static void commit(struct bed *bed, uint64_t n, bool silent, int64_t offset)
{
	struct cut_entry at = {0, offset}, now = {0, silent ? bed->frontier : offset};
	bed->frontier = now.offset;
	if (!silent)
		bed->last = (struct epoch_id){bed->attempt, n};
	SAY(bed, "sink", FRAME_COMMITTED, frame_committed, .actor = actor_id(ROLE_WRITER, 0),
	    .epoch = {bed->attempt, n}, .silent = silent, .live = offset >= bed->frontier, .at = {&at, 1},
	    .cut = {&now, 1}, .commit_us = 1000);
}

static void write_state(struct bed *bed, uint64_t n, const char *failure)
{
	for (enum role role = ROLE_DEDUP; role <= ROLE_ROLLUP; role++)
		for (uint32_t i = 0; i < (role == ROLE_DEDUP ? bed->topology.dedup : bed->topology.rollup); i++)
			SAY(bed, "aggregator", FRAME_SNAPSHOT_DONE, frame_snapshot_done, .actor = actor_id(role, i),
			    .checkpoint = {bed->attempt, n}, .failure = failure);
}

/* Data wait: an ordinary epoch is injected, or a checkpoint's. */
static const struct frame_inject *epoch(struct bed *bed)
{
	(void)injected(bed);
	pend(bed);
	pass(bed, SECOND / 10);
	const struct frame_inject *inject = injected(bed);
	assert_non_null(inject);
	return inject;
}

static int begin(void **state)
{
	struct bed *bed = memory_new(sizeof *bed);
	*state = bed;
	shipped_pipeline(&bed->pipeline);
	bed->pipeline.checkpoint.interval_us = (uint64_t)10 * MINUTE;
	bed->pipeline.checkpoint.timeout_us = MINUTE;
	bed->port = (struct coordinator_port){port_command, port_stop};
	bed->ops = (struct checkpoint_store_ops){.take_attempt = take_attempt,
	    .put_manifest = put_manifest,
	    .get_manifest = get_manifest,
	    .check_files = check_files,
	    .verify_files = verify_files,
	    .remove_manifest = remove_manifest,
	    .sweep = sweep};
	bed->store.ops = &bed->ops;
	bed->topology = (struct topology){1, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]};
	bed->pipeline.parallelism.ingest = bed->pipeline.parallelism.dedup = bed->pipeline.parallelism.rollup = 1;
	bed->changed = "";
	bed->now_us = SECOND;
	struct coordinator_config config = {.pipeline = &bed->pipeline,
	    .job = "job/totals",
	    .topology = bed->topology,
	    .zone_rules = "UTC",
	    .store = &bed->store,
	    .port = &bed->port,
	    .expected_ingest = 1,
	    .expected_aggregators = 1};
	bed->coordinator = coordinator_new(&config, bed->now_us);
	return 0;
}

static int end(void **state)
{
	struct bed *bed = *state;
	coordinator_free(bed->coordinator);
	pipeline_fini(&bed->pipeline);
	free(bed->handed.entries);
	free(bed);
	return 0;
}

static struct frame_status_report report_of(const struct bed *bed)
{
	struct frame_status_report report;
	struct arena arena = {0};
	coordinator_report(bed->coordinator, &arena, &report);
	arena_fini(&arena);
	return report;
}

/* --- clean stops ---------------------------------------------------------------------------------------------------- */

/* Running, with an ordinary epoch committed, and a checkpoint under way that was asked for before. */
static uint64_t checkpoint_under_way(struct bed *bed)
{
	run(bed);
	commit(bed, epoch(bed)->epoch.n, false, 100);
	coordinator_checkpoint(bed->coordinator, bed->now_us);
	const struct frame_inject *inject = injected(bed);
	assert_non_null(inject);
	assert_true(inject->checkpoint && !inject->stop);
	return inject->epoch.n;
}

static void complete(struct bed *bed, uint64_t n, int64_t offset)
{
	write_state(bed, n, "");
	commit(bed, n, false, offset);
}

static void test_a_checkpoint_under_way_is_not_the_last(void **state)
{
	struct bed *bed = *state;
	uint64_t n = checkpoint_under_way(bed);
	coordinator_stop(bed->coordinator, bed->now_us);
	uint64_t ordinary = epoch(bed)->epoch.n; /* behind it */
	complete(bed, n, 200);
	assert_false(bed->stopped);
	const struct frame_inject *last = injected(bed);
	assert_non_null(last);
	assert_true(last->checkpoint && last->stop);
	commit(bed, ordinary, false, 300);
	complete(bed, last->epoch.n, 300);
	assert_true(bed->stopped);
	assert_int_equal(bed->code, EXIT_SUCCESS);
	assert_string_equal(bed->why, "a last checkpoint was taken");
}

static void test_one_given_up_does_not_answer_for_the_last(void **state)
{
	struct bed *bed = *state;
	uint64_t n = checkpoint_under_way(bed);
	coordinator_stop(bed->coordinator, bed->now_us);
	write_state(bed, n, "the disk is full");
	assert_false(bed->stopped);
	const struct frame_inject *last = injected(bed);
	assert_true(last != NULL && last->checkpoint && last->stop);
	uint64_t last_n = last->epoch.n;
	commit(bed, n, false, 200);
	write_state(bed, last_n, "the disk is full");
	assert_true(bed->stopped);
	assert_int_equal(bed->code, EXIT_SUCCESS);
	assert_string_equal(bed->why, "no last checkpoint could be taken");
}

/* It would lie before the frontier. */
static void test_a_stop_waits_for_the_end_of_the_silence(void **state)
{
	struct bed *bed = *state;
	run(bed);
	commit(bed, epoch(bed)->epoch.n, false, 100);
	fall(bed);
	run(bed);
	assert_false(bed->coordinator->live);
	coordinator_stop(bed->coordinator, bed->now_us);
	pass(bed, SECOND);
	assert_null(injected(bed));
	SAY(bed, "ingest", FRAME_PENDING, frame_pending, .actor = actor_id(ROLE_INGEST, 0), .at_ceiling = true);
	const struct frame_inject *lift = injected(bed);
	assert_true(lift != NULL && lift->lift && !lift->stop);
	commit(bed, lift->epoch.n, true, 100);
	const struct frame_inject *last = injected(bed);
	assert_true(last != NULL && last->checkpoint && last->stop);
	complete(bed, last->epoch.n, 100);
	assert_string_equal(bed->why, "a last checkpoint was taken");
}

/* Those of the silence have no names yet. They get none where the replay is not what it ought to be, and the older ones are needed again. */
static void test_none_is_retired_in_silence(void **state)
{
	struct bed *bed = *state;
	bed->pipeline.checkpoint.retain = 1;
	run(bed);
	commit(bed, epoch(bed)->epoch.n, false, 100);
	fall(bed);
	run(bed);
	assert_false(bed->coordinator->live);
	uint32_t from = bed->notes_len;
	coordinator_checkpoint(bed->coordinator, bed->now_us);
	const struct frame_inject *inject = injected(bed);
	assert_true(inject != NULL && inject->checkpoint);
	uint64_t n = inject->epoch.n;
	write_state(bed, n, "");
	commit(bed, n, true, 50);
	assert_int_equal(bed->coordinator->checkpoints.kept_len, 2);
	assert_false(commanded(bed, from, FRAME_RETIRE));
	SAY(bed, "ingest", FRAME_PENDING, frame_pending, .actor = actor_id(ROLE_INGEST, 0),
	    .after = bed->coordinator->pacing.injected, .at_ceiling = true);
	inject = injected(bed);
	assert_true(inject != NULL && inject->lift);
	commit(bed, inject->epoch.n, true, 100);
	assert_true(bed->coordinator->live);
	coordinator_checkpoint(bed->coordinator, bed->now_us);
	inject = injected(bed);
	assert_non_null(inject);
	complete(bed, inject->epoch.n, 100);
	assert_true(commanded(bed, from, FRAME_RETIRE));
}

/* Before and during a deployment there is nothing that could be checkpointed. */
static void test_a_stop_where_nothing_runs(void **state)
{
	struct bed *bed = *state;
	for (int stage = 0; stage < 3; stage++) {
		if (stage > 0) {
			(void)end(state);
			(void)begin(state);
			bed = *state;
		}
		for (uint32_t i = 0; i < WORKERS && stage > 0; i++)
			enroll(bed, i);
		if (stage == 2)
			say_fenced(bed);
		coordinator_stop(bed->coordinator, bed->now_us);
		assert_true(bed->stopped);
		assert_int_equal(bed->code, EXIT_SUCCESS);
		assert_string_equal(bed->why, "told to end");
		coordinator_stop(bed->coordinator, bed->now_us); /* again: over is over */
		pass(bed, MINUTE);
	}
}

/* The attempt ends first: the next one takes the last checkpoint. Where nobody is left, there is no next one. */
static void test_a_stop_outlives_an_attempt(void **state)
{
	struct bed *bed = *state;
	(void)checkpoint_under_way(bed);
	coordinator_stop(bed->coordinator, bed->now_us);
	fall(bed);
	assert_false(bed->stopped);
	run(bed);
	SAY(bed, "ingest", FRAME_PENDING, frame_pending, .actor = actor_id(ROLE_INGEST, 0),
	    .after = bed->coordinator->pacing.injected, .at_ceiling = true);
	for (uint64_t n = 1; !bed->coordinator->live; n++) {
		commit(bed, n, true, 100);
		write_state(bed, n, "");
		SAY(bed, "ingest", FRAME_PENDING, frame_pending, .actor = actor_id(ROLE_INGEST, 0),
		    .after = bed->coordinator->pacing.injected, .at_ceiling = true);
		assert_true(n < 4);
	}
	pass(bed, SECOND);
	const struct frame_inject *last = injected(bed);
	assert_true(last != NULL && last->checkpoint && last->stop);
	fall(bed);
	for (uint32_t i = 0; i < WORKERS; i++)
		coordinator_on_lost(bed->coordinator, workers[i], "its connection is gone", bed->now_us);
	registry_sweep(&bed->coordinator->registry);
	pass(bed, SECOND);
	assert_true(bed->stopped);
	assert_int_equal(bed->code, EXIT_SUCCESS);
	assert_null(strstr(bed->why, "was taken"));
}

static void test_whoever_leaves_waits_for_its_own_checkpoint(void **state)
{
	struct bed *bed = *state;
	uint64_t n = checkpoint_under_way(bed);
	SAY(bed, "aggregator", FRAME_LEAVING, frame_leaving, .text = "told to end");
	uint32_t from = bed->notes_len;
	complete(bed, n, 200);
	assert_false(commanded(bed, from, FRAME_STOP));
	const struct frame_inject *own = injected(bed);
	assert_true(own != NULL && own->checkpoint && !own->stop);
	complete(bed, own->epoch.n, 200);
	assert_true(commanded(bed, from, FRAME_STOP));
}

static void test_wishes(void **state)
{
	struct bed *bed = *state;
	uint64_t n = checkpoint_under_way(bed);
	assert_int_equal(report_of(bed).wish, 1);
	coordinator_checkpoint(bed->coordinator, bed->now_us); /* somebody else */
	assert_int_equal(report_of(bed).wish, 2);
	complete(bed, n, 200);
	assert_int_equal(report_of(bed).wish_granted, 1);
	uint64_t second = injected(bed)->epoch.n;
	commit(bed, second, false, 200);
	write_state(bed, second, "the disk is full");
	assert_int_equal(report_of(bed).wish_answered, 2);
	assert_int_equal(report_of(bed).wish_granted, 1);
	coordinator_checkpoint(bed->coordinator, bed->now_us);
	fall(bed); /* not answered: the next attempt takes it */
	assert_int_equal(report_of(bed).wish_answered, 2);
	run(bed);
	pass(bed, SECOND);
	const struct frame_inject *third = injected(bed);
	assert_true(third != NULL && third->checkpoint);
}

/* --- late duplicates ------------------------------------------------------------------------------------------------ */

static void find_late(struct bed *bed, struct epoch_id as_of, int64_t offset, enum verdict verdict)
{
	struct decision found = {.partition = 0, .offset = offset, .verdict = verdict};
	SAY(bed, "sink", FRAME_FAILED, frame_failed, .code = RESULT_RETRY, .text = "late", .verdicts = {&found, 1},
	    .as_of = as_of);
	for (uint32_t i = 0; i < WORKERS; i++)
		coordinator_on_lost(bed->coordinator, workers[i], "it has started afresh", bed->now_us);
}

static enum verdict handed(const struct bed *bed, int64_t offset)
{
	for (uint32_t i = 0; i < bed->handed.len; i++)
		if (bed->handed.entries[i].offset == offset)
			return bed->handed.entries[i].verdict;
	return (enum verdict)0;
}

static void two_epochs(struct bed *bed)
{
	run(bed);
	commit(bed, epoch(bed)->epoch.n, false, 100);
	commit(bed, epoch(bed)->epoch.n, false, 110);
}

/* A frontier that is as far or further, of the attempt that found it or of ours since. */
static void test_a_verdict_lives_with_its_row(void **state)
{
	struct bed *bed = *state;
	two_epochs(bed);
	find_late(bed, bed->last, 120, VERDICT_DUPLICATE);
	run(bed);
	assert_int_equal(handed(bed, 120), VERDICT_DUPLICATE);
	fall(bed); /* after the choice */
	run(bed);
	assert_int_equal(handed(bed, 120), VERDICT_DUPLICATE);
	struct epoch_id before = bed->last;
	fall(bed);
	for (uint32_t i = 0; i < WORKERS; i++)
		enroll(bed, i);
	pass(bed, 20 * SECOND);
	say_fenced(bed); /* fenced, but the choice is not made: the frontier stays */
	fall(bed);
	assert_true(epoch_equal(bed->last, before));
	run(bed);
	assert_int_equal(handed(bed, 120), VERDICT_DUPLICATE);
	bed->frontier = 121; /* committed with its decision meanwhile: the database hands it back from now on */
	fall(bed);
	run(bed);
	assert_int_equal(handed(bed, 120), 0);
}

static void test_a_verdict_goes_with_a_failover(void **state)
{
	struct bed *bed = *state;
	two_epochs(bed);
	struct epoch_id found = bed->last;
	find_late(bed, found, 120, VERDICT_DUPLICATE);
	bed->last.n--;
	bed->frontier = 100;
	run(bed);
	assert_int_equal(handed(bed, 120), 0);
}

/* A greater number says nothing: another coordinator has gone on from what the failover left. */
static void test_a_verdict_goes_with_another_history(void **state)
{
	struct bed *bed = *state;
	two_epochs(bed);
	find_late(bed, bed->last, 120, VERDICT_DUPLICATE);
	bed->taken = 40;
	bed->last = (struct epoch_id){40, 7};
	bed->frontier = 105;
	run(bed);
	assert_int_equal(handed(bed, 120), 0);
}

/* Of those found in several attempts the newest counts; however many there are, and in whatever order. */
static void test_the_newest_verdict_counts(void **state)
{
	enum { MANY = 100000 };
	struct bed *bed = *state;
	struct decision *many = memory_resize(NULL, MANY, sizeof *many);
	two_epochs(bed);
	find_late(bed, bed->last, 120, VERDICT_DUPLICATE);
	run(bed);
	for (uint32_t i = 0; i < MANY; i++)
		many[i] =
		    (struct decision){.partition = 0, .offset = 110 + (int64_t)(MANY - i), .verdict = VERDICT_CONFLICT};
	for (int round = 0; round < 3; round++) {
		SAY(bed, "sink", FRAME_FAILED, frame_failed, .code = RESULT_RETRY, .text = "late",
		    .verdicts = {many, MANY}, .as_of = bed->last);
		for (uint32_t i = 0; i < WORKERS; i++)
			coordinator_on_lost(bed->coordinator, workers[i], "it has started afresh", bed->now_us);
		run(bed);
	}
	assert_int_equal(handed(bed, 120), VERDICT_CONFLICT);
	assert_int_equal(bed->handed.len, MANY);
	free(many);
}

/* --- time ----------------------------------------------------------------------------------------------------------- */

/* An event that moves the time past it does not make an injection be forgotten. */
static void test_a_due_injection_is_not_forgotten(void **state)
{
	struct bed *bed = *state;
	run(bed);
	commit(bed, epoch(bed)->epoch.n, false, 100);
	pend(bed);
	if (injected(bed) != NULL) { /* the interval was over: so that the next one has to wait */
		commit(bed, bed->coordinator->pacing.injected, false, 110);
		pend(bed);
	}
	uint64_t due_us = coordinator_wake_us(bed->coordinator);
	assert_null(injected(bed));
	assert_true(due_us > bed->now_us);
	bed->now_us = due_us + 5;
	bed->attempt--; /* news of an attempt that is over */
	SAY(bed, "ingest", FRAME_READY, frame_ready, .worker = "");
	bed->attempt++;
	assert_int_equal(coordinator_wake_us(bed->coordinator), bed->now_us);
	tick(bed);
	assert_non_null(injected(bed));
}

/* Attempts that get nowhere are paused between, but not when the job has got somewhere meanwhile. */
static uint32_t attempts_in(struct bed *bed, uint64_t us)
{
	uint64_t end_us = bed->now_us + us, before = bed->attempt;
	while (bed->now_us < end_us) {
		for (uint32_t i = 0; i < WORKERS; i++)
			enroll(bed, i);
		pass(bed, SECOND / 10);
		if (bed->coordinator->state == STATE_GATHERING)
			continue;
		deploy(bed);
		fall(bed);
	}
	return (uint32_t)(bed->attempt - before);
}

static void test_pauses(void **state)
{
	struct bed *bed = *state;
	run(bed);
	fall(bed);
	uint32_t many = attempts_in(bed, 5 * (uint64_t)MINUTE);
	assert_true(many >= 20 && many <= 70); /* ten seconds at most between two of them, five at least */
	run(bed);
	commit(bed, epoch(bed)->epoch.n, false, 100);
	fall(bed);
	for (uint32_t i = 0; i < WORKERS; i++)
		enroll(bed, i);
	pass(bed, SECOND / 10);
	assert_state(bed, STATE_FENCING);
}

static const char *outbid(struct bed *bed, uint64_t fence)
{
	for (uint32_t i = 0; i < WORKERS; i++)
		enroll(bed, i);
	pass(bed, 20 * SECOND);
	assert_state(bed, STATE_FENCING);
	SAY(bed, "sink", FRAME_FENCED, frame_fenced, .actor = actor_id(ROLE_WRITER, 0), .fence = fence);
	assert_state(bed, STATE_GATHERING);
	return bed->coordinator->last_error;
}

/* After a reset, or with a folder that is new, the database is ahead once. Later on somebody else is at it. */
static void test_the_first_fence_is_no_error(void **state)
{
	struct bed *bed = *state;
	assert_string_equal(outbid(bed, 7), "");
	assert_non_null(strstr(outbid(bed, 9), "attempt 9, another coordinator was here"));
	run(bed);
	assert_int_equal(bed->attempt, 10);
	fall(bed);
	assert_non_null(strstr(outbid(bed, 12), "another coordinator was here"));
}

/* Of a job that runs again, an error has a date; of one that does not, it is that of now. */
static void test_an_error_has_a_date(void **state)
{
	struct bed *bed = *state;
	struct frame_status_report report;
	struct arena arena = {0};
	run(bed);
	coordinator_report(bed->coordinator, &arena, &report);
	assert_string_equal(report.last_error, "");
	fall(bed);
	coordinator_report(bed->coordinator, &arena, &report);
	assert_string_equal(report.last_error, bed->coordinator->last_error);
	assert_true(report.last_error[0] != '\0');
	run(bed);
	coordinator_report(bed->coordinator, &arena, &report);
	assert_memory_equal(report.last_error, bed->coordinator->last_error, strlen(bed->coordinator->last_error));
	assert_non_null(strstr(report.last_error, " (at 2"));
	arena_fini(&arena);
}

/* Nor is it forgotten that the database has answered. */
static void test_a_fence_after_one_of_ours_is_an_error(void **state)
{
	struct bed *bed = *state;
	run(bed);
	fall(bed);
	assert_non_null(strstr(outbid(bed, 7), "another coordinator was here"));
}

/* A commit that takes long ends no attempt; an epoch that nobody works at does. */
static void test_slow_without_an_error(void **state)
{
	struct bed *bed = *state;
	run(bed);
	for (int round = 0; round < 5; round++) {
		uint64_t n = epoch(bed)->epoch.n;
		pass(bed, 50 * SECOND);
		assert_state(bed, STATE_RUNNING);
		commit(bed, n, false, 100 + round);
	}
	(void)epoch(bed);
	SAY(bed, "sink", FRAME_WAITING, frame_waiting, .text = "PostgreSQL");
	pass(bed, 30 * (uint64_t)MINUTE);
	assert_state(bed, STATE_RUNNING);
	SAY(bed, "sink", FRAME_WAITING, frame_waiting, .text = "");
	pass(bed, 59 * SECOND);
	assert_state(bed, STATE_RUNNING);
	pass(bed, 2 * SECOND);
	assert_state(bed, STATE_GATHERING);
}

/* --- another pipeline file ------------------------------------------------------------------------------------------- */

static void clean_stop(struct bed *bed)
{
	run(bed);
	commit(bed, epoch(bed)->epoch.n, false, 100);
	coordinator_stop(bed->coordinator, bed->now_us);
	complete(bed, injected(bed)->epoch.n, 100);
	assert_string_equal(bed->why, "a last checkpoint was taken");
}

static void start_anew(struct bed *bed)
{
	struct coordinator_config config = bed->coordinator->config;
	coordinator_free(bed->coordinator);
	bed->coordinator = coordinator_new(&config, bed->now_us);
	bed->stopped = false;
}

static void test_another_file_after_a_clean_stop(void **state)
{
	struct bed *bed = *state;
	clean_stop(bed);
	start_anew(bed);
	bed->changed = "another width of amounts";
	uint32_t kept = bed->kept_len;
	run(bed);
	assert_int_equal(bed->kept_len, kept + 1);
	assert_true(epoch_equal(bed->kept[kept].epoch, epoch_of_choice(bed->attempt)));
}

/* The one before lies in front of the frontier, and only the old file may read on from there. */
static void test_a_damaged_checkpoint_takes_on_no_meaning(void **state)
{
	struct bed *bed = *state;
	clean_stop(bed);
	start_anew(bed);
	bed->changed = "another width of amounts";
	bed->damaged = true;
	uint32_t kept = bed->kept_len;
	for (uint32_t i = 0; i < WORKERS; i++)
		enroll(bed, i);
	pass(bed, SECOND);
	deploy(bed);
	assert_state(bed, STATE_GATHERING);
	for (uint32_t i = 0; i < WORKERS; i++) {
		coordinator_on_lost(bed->coordinator, workers[i], "it has started afresh", bed->now_us);
		enroll(bed, i);
	}
	pass(bed, SECOND);
	say_fenced(bed);
	assert_false(bed->stopped);
	confirm(bed);
	assert_true(bed->stopped);
	assert_int_equal(bed->code, EXIT_CONFIG);
	assert_non_null(strstr(bed->why, "not stopped cleanly"));
	assert_int_equal(bed->kept_len, kept);
}

static void refuse_another_file(struct bed *bed)
{
	for (uint32_t i = 0; i < WORKERS; i++)
		enroll(bed, i);
	pass(bed, 20 * SECOND);
	say_fenced(bed);
	assert_state(bed, STATE_CONFIRMING);
	assert_int_equal(bed->notes[bed->notes_len - 1].kind, FRAME_PREPARE);
	assert_string_equal(bed->notes[bed->notes_len - 1].worker, "sink");
}

/* What it knows was true when it was read. Another coordinator may have gone on since: the fence tells. */
static void test_whoever_slept_stops_nothing(void **state)
{
	struct bed *bed = *state;
	run(bed);
	commit(bed, epoch(bed)->epoch.n, false, 100);
	fall(bed);
	bed->changed = "another width of amounts";
	refuse_another_file(bed);
	SAY(bed, "sink", FRAME_FAILED, frame_failed, .code = RESULT_CORRUPT, .text = "the fence is at 7");
	assert_false(bed->stopped);
	assert_state(bed, STATE_GATHERING);
	for (uint32_t i = 0; i < WORKERS; i++)
		coordinator_on_lost(bed->coordinator, workers[i], "it has started afresh", bed->now_us);
	refuse_another_file(bed);
	confirm(bed);
	assert_true(bed->stopped);
	assert_non_null(strstr(bed->why, "not stopped cleanly"));
}

/* An attempt, and in it a checkpoint that nobody writes: how long until the attempt is over for it. */
static uint64_t patience(struct bed *bed)
{
	run(bed);
	(void)injected(bed);
	coordinator_checkpoint(bed->coordinator, bed->now_us);
	const struct frame_inject *inject = injected(bed);
	assert_non_null(inject);
	commit(bed, inject->epoch.n, false, bed->frontier + 1);
	uint64_t began_us = bed->now_us;
	while (bed->coordinator->state == STATE_RUNNING && bed->now_us < began_us + (uint64_t)60 * MINUTE)
		pass(bed, SECOND);
	for (uint32_t i = 0; i < WORKERS; i++)
		coordinator_on_lost(bed->coordinator, workers[i], "it has started afresh", bed->now_us);
	return (bed->now_us - began_us) / MINUTE;
}

/* With a timeout that is too short every attempt would end, each with more to replay. */
static void test_slow_checkpoints_get_more_time(void **state)
{
	struct bed *bed = *state;
	bed->pipeline.checkpoint.tolerable_failures = 0;
	for (uint64_t minutes = 1; minutes <= 32; minutes *= 2)
		assert_int_equal(patience(bed), minutes);
	assert_int_equal(patience(bed), 32);
	uint64_t n = checkpoint_under_way(bed);
	complete(bed, n, bed->frontier + 200);
	assert_int_equal(report_of(bed).checkpoints_completed, 1);
	fall(bed);
	assert_int_equal(patience(bed), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(test_a_checkpoint_under_way_is_not_the_last),
	    TEST(test_one_given_up_does_not_answer_for_the_last),
	    TEST(test_a_stop_waits_for_the_end_of_the_silence),
	    TEST(test_none_is_retired_in_silence),
	    TEST(test_a_stop_where_nothing_runs),
	    TEST(test_a_stop_outlives_an_attempt),
	    TEST(test_whoever_leaves_waits_for_its_own_checkpoint),
	    TEST(test_wishes),
	    TEST(test_a_verdict_lives_with_its_row),
	    TEST(test_a_verdict_goes_with_a_failover),
	    TEST(test_a_verdict_goes_with_another_history),
	    TEST(test_the_newest_verdict_counts),
	    TEST(test_a_due_injection_is_not_forgotten),
	    TEST(test_pauses),
	    TEST(test_the_first_fence_is_no_error),
	    TEST(test_an_error_has_a_date),
	    TEST(test_a_fence_after_one_of_ours_is_an_error),
	    TEST(test_slow_without_an_error),
	    TEST(test_another_file_after_a_clean_stop),
	    TEST(test_a_damaged_checkpoint_takes_on_no_meaning),
	    TEST(test_whoever_slept_stops_nothing),
	    TEST(test_slow_checkpoints_get_more_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
