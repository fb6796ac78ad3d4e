/* tests/sim/fault.c - what goes wrong, one thing at a time; a row a fault. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mutant.h"
#include "tests/sim/sim.h"

enum { PAUSE_MOST_US = 20000000, NEW_RECORDS = 6 };

static struct process *any_process(struct world *world, enum life life)
{
	struct process *found[PROCESSES_MAX];
	uint32_t len = 0;
	for (uint32_t i = 0; i < world->processes_len; i++)
		if (world->processes[i].life == life)
			found[len++] = &world->processes[i];
	return len ? found[random_below(&world->random, len)] : NULL;
}

static struct coordinator_process *any_coordinator(struct world *world, enum life life)
{
	struct coordinator_process *found[COORDINATORS_MAX];
	uint32_t len = 0;
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++)
		if (world->coordinators[i].life == life)
			found[len++] = &world->coordinators[i];
	return len ? found[random_below(&world->random, len)] : NULL;
}

uint64_t fault_later(struct world *world)
{
	return world->now_us + random_below(&world->random, PAUSE_MOST_US);
}

static void kill_worker(struct world *world)
{
	struct process *process = any_process(world, random_chance(&world->random, 900) ? LIFE_UP : LIFE_STOPPED);
	if (process == NULL)
		return;
	world_trace(world, "fault: %s is killed", process->name);
	world->statistics.kill_ingest += process->role == PROCESS_INGEST;
	world->statistics.kill_aggregator += process->role == PROCESS_AGGREGATOR;
	world->statistics.kill_sink += process->role == PROCESS_SINK;
	process_kill(process);
	process->back_us = fault_later(world);
}

/* The coordinator is to be killed in every state of a deployment. */
static void count_state(struct world *world, const struct coordinator *coordinator)
{
	static const struct {
		const char *state;
		size_t counter;
	} rows[] = {
	    {"GATHERING", offsetof(struct statistics, killed_gathering)},
	    {"FENCING", offsetof(struct statistics, killed_fencing)},
	    {"DESCRIBING", offsetof(struct statistics, killed_describing)},
	    {"CHOOSING", offsetof(struct statistics, killed_choosing)},
	    {"DEPLOYING", offsetof(struct statistics, killed_deploying)},
	    {"CONNECTING", offsetof(struct statistics, killed_connecting)},
	    {"RUNNING", offsetof(struct statistics, killed_running)},
	};
	struct frame_status_report report;
	struct arena arena = {0};
	coordinator_report(coordinator, &arena, &report);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(report.state, rows[i].state) == 0)
			++*(uint64_t *)((char *)&world->statistics + rows[i].counter);
	arena_fini(&arena);
}

static void kill_coordinator(struct world *world)
{
	struct coordinator_process *coordinator = any_coordinator(world, LIFE_UP);
	if (coordinator == NULL)
		return;
	world_trace(world, "fault: coordinator.%u is killed", coordinator->slot);
	world->statistics.kill_coordinator++;
	count_state(world, coordinator->coordinator);
	coordinator_process_kill(coordinator);
	coordinator->back_us = fault_later(world);
}

static void stop_worker(struct world *world)
{
	struct process *process = any_process(world, LIFE_UP);
	if (process == NULL)
		return;
	world_trace(world, "fault: %s is stopped", process->name);
	world->statistics.stop_worker++;
	process->life = LIFE_STOPPED;
	process->back_us = fault_later(world);
}

static void stop_coordinator(struct world *world)
{
	struct coordinator_process *coordinator = any_coordinator(world, LIFE_UP);
	if (coordinator == NULL)
		return;
	world_trace(world, "fault: coordinator.%u is stopped", coordinator->slot);
	world->statistics.stop_coordinator++;
	coordinator->life = LIFE_STOPPED;
	coordinator->back_us = fault_later(world);
}

static void second_coordinator(struct world *world)
{
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++) {
		if (world->coordinators[i].life != LIFE_DOWN)
			continue;
		world->statistics.second_coordinator++;
		world_trace(world, "fault: one more coordinator");
		coordinator_process_start(&world->coordinators[i], world, i);
		world->coordinators[i].back_us = fault_later(world); /* then one is enough again */
		return;
	}
}

static struct session *any_session(struct world *world)
{
	uint32_t len = 0;
	for (struct session *session = world->sessions; session != NULL; session = session->next)
		len += session->coordinator != NULL && session->coordinator->life == LIFE_UP;
	uint32_t place = random_below(&world->random, len);
	for (struct session *session = world->sessions; session != NULL; session = session->next)
		if (session->coordinator != NULL && session->coordinator->life == LIFE_UP && place-- == 0)
			return session;
	return NULL;
}

/* Its heartbeats came late, or its connection broke: it lives on, and hears of it later. */
static void suspect(struct world *world)
{
	struct session *session = any_session(world);
	if (session == NULL || session->process == NULL)
		return;
	world_trace(world, "fault: coordinator.%u gives %s up", session->coordinator->slot, session->worker);
	world->statistics.suspicion++;
	session_give_up(session, "no word of it");
}

/* The address now leads to another coordinator; the first one hears nothing until it looks. */
static void move_link(struct world *world)
{
	struct session *session = any_session(world);
	if (session == NULL || session->process == NULL || session->process->life != LIFE_UP)
		return;
	world_trace(world, "fault: %s is led to another coordinator", session->worker);
	world->statistics.link_moved++;
	struct process *process = session->process;
	(void)snprintf(process->why, sizeof process->why, "another coordinator answers");
	process_restart(process);
}

/* The backend may carry its work out all the same, much later, or has done so before. */
void fault_lose_answer(struct world *world, struct sink *sink)
{
	if (random_chance(&world->random, 750)) {
		world_trace(world, "fault: the connection of %s breaks", sink->process);
		world->statistics.answer_lost++;
		sink_break(sink, true, "the connection is lost");
	} else {
		world_trace(world, "fault: the backend of %s is terminated", sink->process);
		world->statistics.backend_terminated++;
		sink_break(sink, false, "terminated by the administrator");
	}
}

static void database_goes(struct world *world)
{
	if (world->database_away)
		return;
	world_trace(world, "fault: the database is away");
	world->statistics.database_away++;
	world->database_away = true;
	world->database_back_us = fault_later(world);
	for (uint32_t i = 0; i < world->processes_len; i++)
		if (world->processes[i].sink_open)
			sink_break(&world->processes[i].sink, false, "the database went away");
	tasks_free(world);
}

/* What was read, or what was made of it, is not there any more: until whoever did that goes back. */
static bool something_is_another(const struct world *world)
{
	const struct record_log *log = &world->log;
	return log->foreign || log->cluster != 1 || log->alteration.there || world->store.foreign;
}

/* The standby takes over; it has lost the last commits. Connections break, or lead to it through a proxy. */
static void lose_commits(struct world *world, uint32_t back)
{
	if (something_is_another(world))
		return; /* one thing after the other: what is lost may be all that the log was known by */
	world_trace(world, "fault: the database loses its last %u commits", back);
	world->statistics.failover++;
	struct database lost = world->database;
	world->database = world->snapshots[(world->snapshots_len - back) % SNAPSHOTS];
	if (MUTANT(failover_keeps_checkpoints))
		database_take_checkpoints(&world->database, &lost);
	world->database.failed_over = true;
	world->snapshots_len = 0;
	world->database_changed = true;
	if (random_chance(&world->random, 500))
		return;
	for (uint32_t i = 0; i < world->processes_len; i++)
		if (world->processes[i].sink_open)
			sink_break(&world->processes[i].sink, false, "the database failed over");
	tasks_free(world);
}

static void fail_over(struct world *world)
{
	uint32_t kept = world->snapshots_len < SNAPSHOTS ? world->snapshots_len : SNAPSHOTS;
	if (kept > 0)
		lose_commits(world, random_between(&world->random, 1, kept));
}

/* Rare by themselves, and both would be found out only by what follows: a failover that loses just the choice, and a fall back
 * to a checkpoint that was passed over, once it can be read again. */
void fault_after_choice(struct world *world, bool passed_over)
{
	if (!random_chance(&world->random, passed_over ? 700 : 30))
		return;
	world->blow_loses_choice = random_chance(&world->random, passed_over ? 500 : 1000);
	world->blow_us = world->now_us + random_below(&world->random, world->blow_loses_choice ? 20000 : PAUSE_MOST_US);
}

static void source_goes(struct world *world)
{
	if (world->source_away)
		return;
	world_trace(world, "fault: the log is away");
	world->statistics.source_away++;
	world->source_away = true;
	world->log.doubts++;
	world->source_back_us = fault_later(world);
	world->log_version++;
}

static void break_channel(struct world *world)
{
	uint32_t len = 0;
	for (struct connection *connection = world->connections; connection != NULL; connection = connection->next)
		len++;
	uint32_t place = random_below(&world->random, len);
	for (struct connection *connection = world->connections; connection != NULL; connection = connection->next) {
		if (place-- != 0 || connection->broken)
			continue;
		world_trace(world, "fault: channel %u breaks", connection->channel);
		world->statistics.channel_broken++;
		connection_break(world, connection);
		return;
	}
}

/* A sender of an older attempt, on a port that somebody else got meanwhile. */
static void bring_stale(struct world *world)
{
	const struct stale_message *stale = &world->stale[random_below(&world->random, STALE_MAX)];
	for (struct connection *connection = world->connections; connection != NULL; connection = connection->next) {
		struct process *process = connection->to;
		if (connection->channel != stale->channel || process == NULL || process->life != LIFE_UP ||
		    connection->broken || process->worker.attempt <= stale->attempt || stale->bytes.len == 0)
			continue;
		struct buffer message = {0};
		buffer_append(&message, stale->bytes.data, stale->bytes.len);
		world_trace(world, "fault: a frame of attempt %llu comes to %s", (unsigned long long)stale->attempt,
		    process->name);
		world->statistics.stale_frames++;
		process_message(process, connection->channel, &message);
		return;
	}
}

static void fail_store(struct world *world)
{
	world->store.failures = random_between(&world->random, 1, 2);
	world->store.spared = random_between(&world->random, 0, 2);
}

static void add_partition(struct world *world)
{
	if (world->log.len == PARTITIONS_MAX || !random_chance(&world->random, 300))
		return;
	world_trace(world, "fault: a partition is added");
	world->statistics.partition_added++;
	world->log.len++;
	world->log_version++;
}

/* A file that only the newest checkpoint names; the one before it can be restored. */
static void damage_file(struct world *world)
{
	const struct database *database = &world->database;
	struct epoch_id newest = {0};
	uint32_t whole = 0;
	for (uint32_t i = 0; i < database->checkpoints_len; i++) {
		if (!store_has_manifest(&world->store, database->checkpoints[i].epoch) ||
		    epoch_compare(database->checkpoints[i].epoch, database->since) < 0)
			continue;
		whole++;
		if (epoch_compare(database->checkpoints[i].epoch, newest) > 0)
			newest = database->checkpoints[i].epoch;
	}
	for (struct stored_file *file = world->store.files; file != NULL && whole >= 2; file = file->next) {
		struct epoch_id epoch = {0};
		CHECK(sscanf(file->name, "checkpoints/%" SCNu64 ".%" SCNu64 "/", &epoch.attempt, &epoch.n) == 2);
		if (file->damaged || !epoch_equal(epoch, newest) || !random_chance(&world->random, 500))
			continue;
		world_trace(world, "fault: %s is damaged", file->name);
		world->statistics.damaged++;
		file->damaged = true;
		for (uint32_t i = 0; i < world->processes_len && random_chance(&world->random, 800); i++)
			if (world->processes[i].role == PROCESS_AGGREGATOR && world->processes[i].life != LIFE_DOWN) {
				process_kill(&world->processes[i]); /* so that somebody reads it before it is old */
				world->processes[i].back_us = fault_later(world);
			}
		return;
	}
}

/* Storage that gave back something else for a while: what nobody could restore is whole again. */
static void mend_files(struct world *world)
{
	for (struct stored_file *file = world->store.files; file != NULL; file = file->next) {
		if (!file->damaged || !random_chance(&world->random, 700))
			continue;
		world_trace(world, "%s can be read again", file->name);
		world->statistics.mended++;
		file->damaged = false;
	}
}

void fault_blow(struct world *world)
{
	world->blow_us = 0;
	mend_files(world);
	if (world->blow_loses_choice && world->snapshots_len > 0)
		lose_commits(world, 1);
	else
		kill_coordinator(world); /* it knows what was damaged */
}

void fault_stop_all(struct world *world)
{
	fault_end_old(world);
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++) {
		if (world->coordinators[i].life != LIFE_DOWN)
			coordinator_process_kill(&world->coordinators[i]);
		world->coordinators[i].back_us = i == 0 ? fault_later(world) : 0;
	}
	for (uint32_t i = 0; i < world->processes_len; i++) {
		if (world->processes[i].life != LIFE_DOWN)
			process_kill(&world->processes[i]);
		world->processes[i].back_us = world->processes[i].old ? 0 : fault_later(world);
	}
	for (uint32_t i = 0; i < STALE_MAX; i++)
		world->stale[i].bytes.len = 0; /* channels may have other numbers then */
}

/* With another pipeline file: other numbers of actors. */
static void rescale(struct world *world)
{
	struct random *random = &world->random;
	if (!random_chance(random, 400))
		return;
	fault_stop_all(world);
	world->topology = (struct topology){random_between(random, 1, 3), random_between(random, 1, 3),
	    random_between(random, 1, 2), 1, world->topology.plan};
	world->pipeline.parallelism.ingest = world->topology.ingest;
	world->pipeline.parallelism.dedup = world->topology.dedup;
	world->pipeline.parallelism.rollup = world->topology.rollup;
	world_trace(world, "fault: now %u ingest, %u dedup and %u rollup actors", world->topology.ingest,
	    world->topology.dedup, world->topology.rollup);
	world->statistics.rescaled++;
}

static void take_file(struct world *world, struct file_kind file)
{
	fault_stop_all(world);
	take_pipeline(world, file);
	world_trace(world, "now with the pipeline file of %s amounts and %s totals", file.wide ? "wide" : "narrow",
	    file.roomy ? "roomy" : "scanty");
}

static void change_file(struct world *world)
{
	bool both = random_chance(&world->random, 150), roomy = both || random_chance(&world->random, 400);
	world->statistics.files_changed++;
	take_file(world, (struct file_kind){world->file.wide ^ (both || !roomy), world->file.roomy ^ roomy});
}

/* The one that the database has; where that has lost it, one after the other. */
static void go_back_to_own_file(struct world *world)
{
	struct file_kind file = world->database.file;
	world->statistics.meanings_refused++;
	if (!world->database.started)
		file = (struct file_kind){!world->file.wide, world->file.roomy ^ world->file.wide};
	take_file(world, file);
}

static const int64_t *cut_of_job(const struct world *world)
{
	return world->kind == JOB_SEARCH ? world->elastic.controls[0].cut : world->database.cut;
}

/* What has been read is there to be known by, whoever asks for it next. */
static bool partition_is_known(const struct world *world, uint32_t p)
{
	bool search = world->kind == JOB_SEARCH;
	const struct stored_mark *mark = search ? &world->elastic.controls[0].marks[p] : &world->database.marks[p];
	return mark->len > 0 && mark->entries[0].offset < cut_of_job(world)[p];
}

static bool log_is_known(const struct world *world)
{
	bool known = false;
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		known |= partition_is_known(world, p);
	return known;
}

/* A record that will be read again, as the checkpoint lies in front of it, and is in the database already. */
static bool alter_log(struct world *world)
{
	const struct identity *base = usable_checkpoint(world);
	uint32_t first = random_below(&world->random, world->log.len);
	for (uint32_t i = 0; base != NULL && i < world->log.len; i++) {
		uint32_t p = (first + i) % world->log.len;
		if (base->cut[p] == UNNAMED || !log_alter(world, p, base->cut[p], world->database.cut[p]))
			continue;
		world_trace(world, "fault: %u/%" PRId64 " is %s", p, world->log.alteration.offset,
		    world->log.alteration.gone ? "gone" : world->log.alteration.record.payload);
		world->statistics.altered++;
		return true;
	}
	return false;
}

/* What is restored next comes from files. */
static void empty_caches(struct world *world)
{
	for (uint32_t i = 0; i < CACHES_MAX; i++)
		world->caches[i].role = 0;
}

/* Somebody has put a manifest and files of another history into the checkpoint folder. */
static bool alter_state(struct world *world)
{
	const struct identity *base = usable_checkpoint(world);
	if (!random_chance(&world->random, 300) || base == NULL || !store_alter(&world->store, base->epoch))
		return false;
	world_trace(world, "fault: the rollups of %" PRIu64 ".%" PRIu64 " are of another history", base->epoch.attempt,
	    base->epoch.n);
	empty_caches(world);
	world->statistics.states_altered++;
	return true;
}

/* Caches hold what was made of the other files: as the stop says, they are emptied, too. */
static void put_state_back(struct world *world)
{
	world->statistics.states_refused++;
	store_put_back(&world->store);
	empty_caches(world);
}

/* The only one of the ingests that reads this partition; NULL: there is none, or several, or one is about to. */
static const struct source *reader_of(const struct world *world, uint32_t partition)
{
	const struct source *found = NULL;
	for (uint32_t i = 0; i < world->processes_len; i++) {
		const struct process *process = &world->processes[i];
		if (process->role != PROCESS_INGEST || process->life == LIFE_DOWN)
			continue;
		if (!process->source.assigned || (process->source.cursors[partition].assigned && found != NULL))
			return NULL;
		if (process->source.cursors[partition].assigned)
			found = &process->source;
	}
	return found;
}

/* Of the others the new log is a mirror. */
static void keep_one(struct world *world, int64_t ends[PARTITIONS_MAX])
{
	uint32_t kept;
	do
		kept = random_below(&world->random, world->log.len);
	while (!partition_is_known(world, kept));
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		if (p != kept)
			ends[p] = 0;
}

/* Deleted and made anew, or the cluster is another one, under a job that reads it; told: an ingest can see that something happened. What
 * was read already is another record now, and, where nothing more will be read, what was not. */
static void swap_log(struct world *world, bool told)
{
	struct record_log *log = &world->log;
	int64_t ends[PARTITIONS_MAX] = {0};
	for (uint32_t p = 0; p < log->len; p++) {
		const struct source *source = reader_of(world, p);
		int64_t position = source != NULL ? source->cursors[p].position : 0;
		int64_t least = cut_of_job(world)[p];
		for (uint32_t i = 0; i < WRITERS_MAX && world->kind == JOB_SEARCH; i++)
			if (world->elastic.controls[i].there && world->elastic.controls[i].cut[p] > least)
				least = world->elastic.controls[i].cut[p];
		if (source == NULL || position < least)
			return; /* it is being started, or replays */
		log->read_by_then[p] = position;
		ends[p] = told ? log->partitions[p].end : position;
	}
	if (!told)
		keep_one(world, ends);
	memcpy(log->foreign_end, ends, sizeof ends);
	log->foreign = log->swapped = true;
	log->told = told;
	log->doubts += told;
	for (uint32_t i = 0; i < NEW_RECORDS; i++)
		log_produce(world);
	world->log_version++;
	world_trace(world, "fault: the topic is made anew while it is read%s", told ? "" : ", and nobody sees it");
	world->statistics.swapped++;
	world->statistics.swapped_untold += !told;
}

/* Everything is stopped, and comes back with another topic: one of another cluster, or one made anew with as many records. */
static void other_log(struct world *world)
{
	struct record_log *log = &world->log;
	uint32_t remembered = world->kind == JOB_SEARCH ? world->elastic.controls[0].cluster : world->database.cluster;
	if (!log_is_known(world) || remembered == 0 || something_is_another(world))
		return;
	if (random_chance(&world->random, 300)) {
		swap_log(world, random_chance(&world->random, 500));
		return;
	}
	fault_stop_all(world);
	tasks_free(world);
	calls_free(world);
	if (world->kind == JOB_TOTALS && random_chance(&world->random, 500) && (alter_state(world) || alter_log(world)))
		return;
	if (random_chance(&world->random, 300)) {
		log->cluster = 2;
	} else {
		/* Now and then only what a checkpoint remembers differs. */
		log->foreign = true;
		for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
			log->foreign_end[p] = cut_of_job(world)[p];
	}
	world_trace(world, "fault: the topic is another one (%s)", log->foreign ? "made anew" : "of another cluster");
	world->statistics.other_log++;
}

static void put_back(struct world *world)
{
	fault_stop_all(world);
	world->statistics.swapped_refused += world->log.swapped;
	world->statistics.other_log_refused += (world->log.foreign && !world->log.swapped) || world->log.cluster != 1;
	world->statistics.altered_refused += world->log.alteration.there;
	world->log.foreign = world->log.swapped = world->log.told = false;
	world->log.cluster = 1;
	world->log.alteration.there = false;
	if (world->store.foreign)
		put_state_back(world);
}

void fault_back(struct world *world)
{
	if (world->log_refused) {
		put_back(world);
	} else if (world->refused) {
		go_back_to_own_file(world);
	} else if (world->kind == JOB_SEARCH) {
		fault_rescale_documents(world);
	} else if (!world->settling && random_chance(&world->random, 700)) {
		change_file(world);
	} else {
		fault_stop_all(world);
	}
	if (world->settling)
		fault_end(world);
	world->refused = world->stopped_cleanly = world->log_refused = false;
}

/* A person ends the coordinator, which takes a last checkpoint; then everything is started again. */
static void stop_cleanly(struct world *world)
{
	struct coordinator_process *coordinator = any_coordinator(world, LIFE_UP);
	if (coordinator == NULL || !(world->database.started || world->elastic.started))
		return;
	world_trace(world, "fault: coordinator.%u is told to end", coordinator->slot);
	world->statistics.clean_stops++;
	coordinator_stop(coordinator->coordinator, world->now_us);
}

/* The file is changed while the job is not stopped cleanly, or in the middle of it. */
static void change_file_at_once(struct world *world)
{
	if (!world->database.started || !random_chance(&world->random, 300))
		return;
	change_file(world);
}

/* Weights: in the job of totals, in that of documents. */
static const struct {
	void (*happen)(struct world *);
	uint32_t weights[JOBS];
} faults[] = {
    {kill_worker, {6, 6}},
    {kill_coordinator, {3, 3}},
    {stop_worker, {6, 6}},
    {stop_coordinator, {2, 2}},
    {second_coordinator, {2, 2}},
    {suspect, {4, 4}},
    {move_link, {2, 2}},
    {database_goes, {2, 0}},
    {fail_over, {2, 0}},
    {source_goes, {2, 2}},
    {break_channel, {3, 3}},
    {bring_stale, {12, 12}},
    {fail_store, {3, 3}},
    {damage_file, {2, 0}},
    {mend_files, {2, 0}},
    {rescale, {3, 0}},
    {stop_cleanly, {3, 2}},
    {change_file_at_once, {2, 0}},
    {other_log, {2, 2}},
    {add_partition, {2, 2}},
    {fault_elastic_goes, {0, 2}},
    {fault_rescale_documents, {0, 4}},
    {fault_start_beside, {0, 4}},
    {fault_lose_attempts, {0, 1}},
    {fault_leave, {0, 3}},
    {fault_cut_off, {0, 2}},
};
enum { FAULTS = sizeof faults / sizeof *faults };

static void draw_fault(struct world *world)
{
	uint32_t all = 0, place = 0;
	for (uint32_t i = 0; i < FAULTS; i++)
		all += faults[i].weights[world->kind];
	uint32_t chosen = random_below(&world->random, all);
	while (chosen >= faults[place].weights[world->kind])
		chosen -= faults[place++].weights[world->kind];
	faults[place].happen(world);
}

/* From numbers of its own, so that a walk without it stays the same walk as far as that goes. */
void fault_happen(struct world *world)
{
	uint64_t number = world->faults++;
	if (world->omitted != NULL && (number >= SHRINK_FAULTS_MAX || world->omitted->is[number]))
		return;
	struct random saved = world->random;
	world->random.state = (world->seed * SHRINK_FAULTS_MAX + number) * UINT64_C(0xd1342543de82ef95) + 1;
	world_trace(world, "fault %" PRIu64, number);
	draw_fault(world);
	world->random = saved;
}

/* Time alone brings everybody back; here it has no patience. New partitions are seen by the next attempt. */
void fault_end(struct world *world)
{
	bool kept = false;
	world_trace(world, "faults are over");
	fault_end_old(world);
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++) {
		struct coordinator_process *coordinator = &world->coordinators[i];
		if (coordinator->life == LIFE_STOPPED)
			coordinator->life = LIFE_UP;
		if (coordinator->life == LIFE_UP && kept)
			coordinator_process_kill(coordinator);
		kept = kept || coordinator->life == LIFE_UP;
	}
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++)
		world->coordinators[i].back_us = kept || i > 0 ? 0 : world->now_us;
	for (uint32_t i = 0; i < world->processes_len; i++) {
		struct process *process = &world->processes[i];
		if (process->life == LIFE_STOPPED)
			process->life = LIFE_UP;
		process->back_us = process->old ? 0 : world->now_us;
	}
	world->elastic.cut_off_until_us = 0;
	world->database_back_us = world->source_back_us = world->now_us;
	for (uint32_t i = 0; i < world->processes_len && world->statistics.partition_added > 0; i++)
		if (world->processes[i].role == PROCESS_SINK && world->processes[i].life == LIFE_UP)
			process_kill(&world->processes[i]);
}
