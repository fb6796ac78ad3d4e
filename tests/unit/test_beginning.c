/* What a coordinator asks before anything runs: whether all processes have the same rules of the time zone, and which records an ingest
 * is to read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/timestamp.h"
#include "services/coordinator/coordinator.h"
#include "tests/unit/aggregator_harness.h"

static const struct epoch_id checkpoint = {1, 7};
static struct cut_entry base_entries[] = {{0, 10}}, frontier_entries[] = {{0, 20}};
static struct mark base_marks[] = {{0, 9, 900}}, frontier_marks[] = {{0, 19, 1900}};

struct bed {
	struct coordinator_port port;
	struct checkpoint_store store;
	struct pipeline pipeline;
	struct coordinator *coordinator;
	/* what was commanded last, of each kind that is looked at */
	uint64_t stop_code;
	char stop_text[ERROR_TEXT_MAX];
	uint32_t prepared; /* times */
	struct marks prepare_marks;
};

static void command(
    struct coordinator_port *port, const char *worker, uint64_t attempt, enum frame_kind kind, const void *body)
{
	struct bed *bed = (struct bed *)port;
	(void)worker, (void)attempt;
	if (kind == FRAME_STOP) {
		bed->stop_code = ((const struct frame_stop *)body)->code;
		(void)snprintf(bed->stop_text, sizeof bed->stop_text, "%s", ((const struct frame_stop *)body)->text);
	} else if (kind == FRAME_PREPARE) {
		bed->prepared++;
		marks_copy(&bed->prepare_marks, &((const struct frame_prepare *)body)->marks);
	}
}

static void stop(struct coordinator_port *port, int code, const char *why)
{
	(void)port, (void)code, (void)why;
}

static enum result take_attempt(
    struct checkpoint_store *store, uint64_t at_least, uint64_t *attempt, struct error *error)
{
	(void)store, (void)error;
	*attempt = at_least;
	return RESULT_OK;
}

static enum result get_manifest(struct checkpoint_store *store, struct epoch_id epoch, struct arena *arena,
    struct frame_manifest *manifest, bool *found, struct error *error)
{
	const struct bed *bed = (const struct bed *)(const void *)((const char *)store - offsetof(struct bed, store));
	(void)arena, (void)error;
	*manifest = (struct frame_manifest){.job = "job",
	    .epoch = epoch,
	    .cut = {base_entries, 1},
	    .fingerprint = bed->pipeline.fingerprint,
	    .key_groups = bed->pipeline.key_groups};
	*found = true;
	return RESULT_OK;
}

static enum result check_files(
    struct checkpoint_store *store, const struct files *files, bool *whole, struct error *error)
{
	(void)store, (void)files, (void)error;
	*whole = true;
	return RESULT_OK;
}

static const struct checkpoint_store_ops store_ops = {
    .take_attempt = take_attempt, .get_manifest = get_manifest, .check_files = check_files};

static int begin(void **state)
{
	static struct bed bed;
	const struct bytes text = {(const uint8_t *)harness_text, sizeof harness_text - 1};
	struct error error;
	bed = (struct bed){.port = {command, stop}, .store = {&store_ops}};
	assert_int_equal(pipeline_parse(&bed.pipeline, "harness", text, &error), RESULT_OK);
	const struct coordinator_config config = {.pipeline = &bed.pipeline,
	    .zone_rules = "here",
	    .job = "job",
	    .topology = {1, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]},
	    .store = &bed.store,
	    .port = &bed.port,
	    .expected_ingest = 1,
	    .expected_aggregators = 1};
	bed.coordinator = coordinator_new(&config, 1000000);
	*state = &bed;
	return 0;
}

static int end(void **state)
{
	struct bed *bed = *state;
	coordinator_free(bed->coordinator);
	marks_fini(&bed->prepare_marks);
	pipeline_fini(&bed->pipeline);
	return 0;
}

static void hear(
    struct bed *bed, const char *worker, uint64_t attempt, enum frame_kind kind, const union frame_body *body)
{
	const struct frame event = {.header = {.kind = kind, .attempt = attempt}, .body = *body};
	coordinator_on_event(bed->coordinator, worker, &event, 1000000);
}

static void join(struct bed *bed, const char *worker, enum process_role process, const char *zone_rules)
{
	char topology[TOPOLOGY_TEXT_MAX];
	const struct topology mine = {1, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]};
	hear(bed, worker, 0, FRAME_REGISTER,
	    &(union frame_body){.registration = {.process = process,
	                            .pid = 1,
	                            .job = "job",
	                            .fingerprint = bed->pipeline.fingerprint,
	                            .topology = topology_print(&mine, topology),
	                            .zone_rules = zone_rules,
	                            .release = "test"}});
}

static void another_time_zone_is_refused(void **state)
{
	struct bed *bed = *state;
	join(bed, "ingest-0", PROCESS_INGEST, "there");
	assert_int_equal(bed->stop_code, EXIT_CONFIG);
	assert_non_null(strstr(bed->stop_text, "ingest-0 has other rules of the time zone"));
	assert_non_null(strstr(bed->stop_text, "tzdata"));
	bed->stop_code = 0;
	join(bed, "ingest-0", PROCESS_INGEST, "here");
	assert_int_equal(bed->stop_code, 0);
}

/* Of the frontier, and of the checkpoint that is restored: between them lies what is replayed. */
static void an_ingest_is_asked_for_both_cuts(void **state)
{
	struct bed *bed = *state;
	struct checkpoint_entry entry = {checkpoint, {base_entries, 1}, {base_marks, 1}};
	join(bed, "ingest-0", PROCESS_INGEST, "here");
	join(bed, "aggregator-0", PROCESS_AGGREGATOR, "here");
	join(bed, "sink", PROCESS_SINK, "here");
	coordinator_on_tick(bed->coordinator, 5000000);
	assert_int_equal(bed->prepared, 1);
	assert_int_equal(bed->prepare_marks.len, 0);
	hear(bed, "sink", 1, FRAME_FENCED,
	    &(union frame_body){.fenced = {.actor = actor_id(ROLE_WRITER, 0),
	                            .last = {1, 9},
	                            .started = true,
	                            .cut = {frontier_entries, 1},
	                            .fingerprint = bed->pipeline.fingerprint,
	                            .changed = "",
	                            .checkpoints = {&entry, 1},
	                            .marks = {frontier_marks, 1}}});
	assert_int_equal(bed->prepared, 2);
	assert_int_equal(bed->prepare_marks.len, 2);
	assert_int_equal(bed->prepare_marks.entries[0].hash, 900);
	assert_int_equal(bed->prepare_marks.entries[1].hash, 1900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(another_time_zone_is_refused, begin, end),
	    cmocka_unit_test_setup_teardown(an_ingest_is_asked_for_both_cuts, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
