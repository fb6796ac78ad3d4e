/* tests/sim/documents_oracle.c - what must hold in a job of documents after every change; see elastic.h.
 *
 * Written from the promise: what lies in front of a cut is there, nothing is there that is in no log, no cut goes back, whoever is
 * fenced moves nothing, and what is counted is what was read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/key_group.h"
#include "tests/sim/sim.h"

enum { PATIENCE_US = 60000000 };

static bool owns(const struct world *world, const struct control *control, const struct log_record *record)
{
	char key[16];
	int len = snprintf(key, sizeof key, "k%u", record->key);
	uint32_t group =
	    key_group(key_hash((struct bytes){(const uint8_t *)key, (size_t)len}), world->pipeline.key_groups);
	return group >= control->first_group && group - control->first_group < control->groups;
}

static int64_t from(const int64_t cut[PARTITIONS_MAX], uint32_t p)
{
	return cut[p] == UNNAMED ? 0 : cut[p];
}

/* Partition by partition the least; what one of them does not name begins at 0. */
static bool least_cut(const struct elastic *elastic, int64_t cut[PARTITIONS_MAX])
{
	bool any = false;
	for (uint32_t k = 0; k < WRITERS_MAX; k++) {
		const struct control *control = &elastic->controls[k];
		if (!control->there || !control->started)
			continue;
		for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
			if (!any || control->cut[p] < cut[p])
				cut[p] = control->cut[p];
		any = true;
	}
	return any;
}

/* --- changes of a control document -------------------------------------------------------------------------------------------- */

static void check_owner(struct world *world, const struct call *call, const struct control *is)
{
	if (call->kind == CALL_FENCE)
		return;
	if (!is->there || is->fence != call->attempt)
		world_violate(world, "attempt %" PRIu64 " moves control document %u, whose fence is %" PRIu64,
		    call->attempt, call->writer, is->fence);
}

static void check_epoch(
    struct world *world, const struct call *call, const struct control *is, const struct control *to)
{
	if (call->kind != CALL_COMMIT)
		return;
	uint64_t n = is->last.attempt == call->attempt ? is->last.n + 1 : 1;
	if (to->last.attempt != call->attempt || to->last.n != n)
		world_violate(world, "writer %u commits %" PRIu64 ".%" PRIu64 " behind %" PRIu64 ".%" PRIu64,
		    call->writer, to->last.attempt, to->last.n, is->last.attempt, is->last.n);
}

/* What it never goes back behind: its own cut, or the job's where its key groups are others. */
static void check_cut(struct world *world, const struct call *call, const struct control *is, const struct control *to)
{
	const struct elastic *elastic = &world->elastic;
	bool same = is->started && is->first_group == to->first_group && is->groups == to->groups;
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++) {
		if (same && to->cut[p] < is->cut[p])
			world_violate(world,
			    "the cut of writer %u goes back in partition %u: %" PRId64 " after %" PRId64, call->writer,
			    p, to->cut[p], is->cut[p]);
		if (!same && elastic->started && to->cut[p] > elastic->cut[p])
			world_violate(world, "writer %u begins at %" PRId64 " in partition %u, the job is at %" PRId64,
			    call->writer, to->cut[p], p, elastic->cut[p]);
		if (to->cut[p] > world->log.partitions[p].end)
			world_violate(
			    world, "the cut of writer %u lies behind the end of partition %u", call->writer, p);
	}
}

void documents_check_change(struct world *world, const struct call *call, const struct control *to)
{
	const struct control *is = &world->elastic.controls[call->writer];
	if (call->kind == CALL_FENCE) {
		struct attempt_note *note = &world->notes[call->attempt % ATTEMPTS_KEPT];
		if (note->attempt != call->attempt)
			*note = (struct attempt_note){.attempt = call->attempt};
		if (is->there && is->fence >= call->attempt)
			world_violate(world, "the fence of control document %u goes from %" PRIu64 " to %" PRIu64,
			    call->writer, is->fence, to->fence);
		return;
	}
	check_owner(world, call, is);
	if (to == NULL)
		return;
	check_epoch(world, call, is, to);
	check_cut(world, call, is, to);
	if (call->kind != CALL_COMMIT)
		return;
	const struct attempt_note *note = world_note(world, call->attempt);
	world->statistics.in_flight_two += note != NULL && note->injected > to->last.n;
	world->statistics.outside_commits +=
	    world->coordinators[0].life != LIFE_DOWN && world->coordinators[1].life != LIFE_DOWN;
}

/* --- documents ------------------------------------------------------------------------------------------------------------------ */

/* Of all records of its key that the mapping takes it is the first one in its partition, since the job started. */
static void check_document(struct world *world, uint32_t key)
{
	const struct stored_document *document = &world->elastic.documents[key];
	if (!document->there)
		return;
	const struct log_partition *partition = &world->log.partitions[document->partition];
	for (uint32_t i = 0; i < partition->len; i++) {
		const struct log_record *record = &partition->records[i];
		if (record->key != key || !record_is_valid(world, record) || record_is_refused(record) ||
		    record->offset < from(world->elastic.base, document->partition))
			continue;
		if (record->offset != document->offset)
			world_violate(world,
			    "the document of key %u is %u/%" PRId64 ", the first record is %u/%" PRId64, key,
			    document->partition, document->offset, document->partition, record->offset);
		return;
	}
	world_violate(world, "the document of key %u is of no record", key);
}

/* whose: in front of which cut it lies. */
static void check_record(struct world *world, uint32_t p, uint32_t place, const char *whose)
{
	const struct log_record *record = &world->log.partitions[p].records[place];
	const struct elastic *elastic = &world->elastic;
	bool letter = elastic->letters[p][place];
	if (record_is_refused(record) ? !letter : !elastic->documents[record->key].there)
		world_violate(world, "%u/%" PRId64 ", key %u, lies in front of the cut of %s, and is not there", p,
		    record->offset, record->key, whose);
	if (letter && !record_is_refused(record))
		world_violate(world, "%u/%" PRId64 " has a dead letter, and could be a document", p, record->offset);
}

/* What its control document says of a writer's key groups. */
static void check_control(struct world *world, uint32_t writer)
{
	const struct control *control = &world->elastic.controls[writer];
	const uint64_t *n = control->counters.n;
	uint64_t consumed = 0;
	char name[ACTOR_NAME_MAX];
	if (!control->there || !control->started)
		return;
	for (uint32_t p = 0; p < world->log.len; p++) {
		const struct log_partition *partition = &world->log.partitions[p];
		for (uint32_t i = 0; i < partition->len && partition->records[i].offset < control->cut[p]; i++) {
			const struct log_record *record = &partition->records[i];
			if (record->offset < from(world->elastic.base, p) || !record_is_valid(world, record) ||
			    !owns(world, control, record))
				continue;
			check_record(world, p, i, actor_name(actor_id(ROLE_WRITER, writer), name));
			consumed += record->offset >= from(control->base, p);
		}
	}
	if (n[COUNTER_CONSUMED] != n[COUNTER_ACCEPTED] + n[COUNTER_DEAD])
		world_violate(world, "the counters of writer %u do not add up", writer);
	if (n[COUNTER_CONSUMED] != consumed)
		world_violate(world, "writer %u has counted %" PRIu64 " records instead of %" PRIu64, writer,
		    n[COUNTER_CONSUMED], consumed);
}

/* Whoever owns a key's group now or did so before: what lies in front of the job's cut is there. */
static void check_job(struct world *world)
{
	struct elastic *elastic = &world->elastic;
	int64_t cut[PARTITIONS_MAX];
	if (!least_cut(elastic, cut)) {
		if (elastic->started)
			world_violate(world, "no control document says where the job is");
		return;
	}
	if (!elastic->started)
		memcpy(elastic->base, cut, sizeof elastic->base);
	elastic->started = true;
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++) {
		if (cut[p] < elastic->cut[p])
			world_violate(world, "the job's cut goes back in partition %u: %" PRId64 " after %" PRId64, p,
			    cut[p], elastic->cut[p]);
		elastic->cut[p] = cut[p];
		for (uint32_t i = 0; i < world->log.partitions[p].len; i++) {
			const struct log_record *record = &world->log.partitions[p].records[i];
			if (record->offset >= from(elastic->base, p) && record->offset < cut[p] &&
			    record_is_valid(world, record))
				check_record(world, p, i, "the job");
		}
	}
}

void documents_check(struct world *world)
{
	check_job(world);
	for (uint32_t key = 0; key < KEYS_MAX; key++)
		check_document(world, key);
	for (uint32_t k = 0; k < WRITERS_MAX; k++)
		check_control(world, k);
}

bool documents_complete(const struct world *world)
{
	if (!world->elastic.started)
		return false;
	for (uint32_t p = 0; p < world->log.len; p++)
		if (world->log.partitions[p].len > 0 && world->elastic.cut[p] < log_last(&world->log.partitions[p]))
			return false;
	return true;
}

/* --- what a coordinator says ------------------------------------------------------------------------------------------------------ */

/* A writer that takes part has been cut off for all of the time that an epoch may be under way, has said so, and there is no other
 * news. */
static bool somebody_waits(const struct coordinator_process *coordinator)
{
	const struct world *world = coordinator->world;
	const struct elastic *elastic = &world->elastic;
	bool waits = false;
	if (world->now_us < elastic->cut_off_since_us + PATIENCE_US || world->now_us >= elastic->cut_off_until_us)
		return false;
	for (const struct session *session = world->sessions; session != NULL; session = session->next) {
		const struct process *process = session->process;
		if (session->coordinator != coordinator)
			continue;
		if (session->events.len > 0 || process == NULL || process->life != LIFE_UP)
			return false;
		const struct document_port *port = &process->documents[elastic->cut_off];
		waits |= port->open && port->answer.outcome == SINK_UNKNOWN;
	}
	return waits;
}

void documents_check_report(struct coordinator_process *coordinator)
{
	struct world *world = coordinator->world;
	struct frame_status_report report;
	struct arena arena = {0};
	if (coordinator->life != LIFE_UP)
		return;
	coordinator_report(coordinator->coordinator, &arena, &report);
	if (strstr(report.last_error, "out of order") != NULL)
		world_violate(world, "coordinator.%u: %s", coordinator->slot, report.last_error);
	if (report.attempts_ended > coordinator->ended && strstr(report.last_error, "has been under way") != NULL &&
	    somebody_waits(coordinator))
		world_violate(world, "coordinator.%u has no patience with a writer that is cut off: %s",
		    coordinator->slot, report.last_error);
	coordinator->ended = report.attempts_ended;
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++) {
		int64_t cut = cut_get(&report.cut, p, 0);
		if (cut < coordinator->reported[p])
			world_violate(world, "coordinator.%u says %" PRId64 " of partition %u after %" PRId64,
			    coordinator->slot, cut, p, coordinator->reported[p]);
		if (cut > from(world->elastic.cut, p))
			world_violate(world, "coordinator.%u says %" PRId64 " of partition %u, the job is at %" PRId64,
			    coordinator->slot, cut, p, world->elastic.cut[p]);
		coordinator->reported[p] = cut;
	}
	arena_fini(&arena);
}

void documents_check_base(struct world *world, const struct cut *base)
{
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		if (world->elastic.started && cut_get(base, p, 0) > from(world->elastic.cut, p))
			world_violate(world,
			    "ingests are told to begin at %" PRId64 " in partition %u, the job is at %" PRId64,
			    cut_get(base, p, 0), p, world->elastic.cut[p]);
}

bool documents_overtaken(const struct world *world, uint64_t attempt)
{
	for (uint32_t k = 0; k < WRITERS_MAX; k++)
		if (world->elastic.controls[k].there && world->elastic.controls[k].fence > attempt)
			return true;
	return false;
}

void documents_check_inject(const struct coordinator_process *coordinator, struct epoch_id epoch)
{
	struct world *world = coordinator->world;
	for (uint32_t k = 0; k < coordinator->setup.topology.writers && !documents_overtaken(world, epoch.attempt);
	     k++) {
		const struct control *control = &world->elastic.controls[k];
		uint64_t done = control->last.attempt == epoch.attempt ? control->last.n : 0;
		if (control->fence == epoch.attempt && epoch.n - done > world->pipeline.epoch.max_in_flight)
			world_violate(world,
			    "epoch %" PRIu64 ".%" PRIu64 " begins, and writer %u has committed %" PRIu64, epoch.attempt,
			    epoch.n, k, done);
	}
}
