#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum {
	BEGIN_US = 1000000,
	SETTLE_STEPS = 40000,
	CHOICES_MAX = 1024,
	CHECK_EVERY = 16,
	SLACK = 6,
	BOTH_MOST_US = 60000000
};

/* --- what everybody uses -------------------------------------------------------------------------------------------------- */

void world_violate(struct world *world, const char *format, ...)
{
	if (world->violation[0] != '\0')
		return;
	va_list args;
	va_start(args, format);
	(void)vsnprintf(world->violation, sizeof world->violation, format, args);
	va_end(args);
}

void world_hash(struct world *world, struct bytes bytes)
{
	world->trace_hash = XXH3_64bits_withSeed(bytes.data, bytes.len, world->trace_hash);
}

void world_trace(struct world *world, const char *format, ...)
{
	if (!world->trace)
		return;
	va_list args;
	va_start(args, format);
	(void)printf("%6" PRIu64 " %10.6f  ", world->step, (double)world->now_us / 1e6);
	(void)vprintf(format, args);
	(void)putchar('\n');
	va_end(args);
}

struct attempt_note *world_note(struct world *world, uint64_t attempt)
{
	struct attempt_note *note = &world->notes[attempt % ATTEMPTS_KEPT];
	return attempt != 0 && note->attempt == attempt ? note : NULL;
}

/* --- making a world -------------------------------------------------------------------------------------------------------- */

void world_add_process(struct world *world, enum process_role role, uint32_t slot)
{
	uint32_t place = 0;
	while (
	    place < world->processes_len && !(world->processes[place].old && world->processes[place].life == LIFE_DOWN))
		place++;
	CHECK(place < PROCESSES_MAX);
	if (place == world->processes_len)
		world->processes_len++;
	process_init(&world->processes[place], world, role, slot);
	process_start(&world->processes[place]);
}

static void add_processes(struct world *world, enum process_role role, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		world_add_process(world, role, i);
	}
}

static uint32_t one_of(struct random *random, uint32_t a, uint32_t b, uint32_t c)
{
	const uint32_t values[] = {a, b, c};
	return values[random_below(random, 3)];
}

void world_init(struct world *world, enum job_kind kind, uint64_t seed, bool trace, const struct omitted *omitted)
{
	struct random *random = &world->random;
	*world = (struct world){.seed = seed,
	    .kind = kind,
	    .now_us = BEGIN_US,
	    .trace = trace,
	    .omitted = omitted,
	    .random = {seed * 0x632be59bd9b4e019u + 1}};
	if (kind == JOB_TOTALS)
		make_totals_pipeline(world);
	else
		make_search_pipeline(world);
	for (int i = 0; i < CLASSES; i++)
		world->weights[i] = one_of(random, 1, 3, 9);
	world->fault_permille = one_of(random, 1, 4, 10);
	world->produce_permille = one_of(random, 5, 20, 80);
	world->drop_permille = one_of(random, 0, 0, 3);
	world->loss_permille = one_of(random, 0, 30, 120);
	world->records_max = random_between(random, 20, 70);
	world->names_fixed = random_chance(random, 500);
	world->expected_ingest = world->expected_aggregators = kind == JOB_TOTALS && random_chance(random, 500) ? 2 : 0;
	world->log.len = random_between(random, 2, 3);
	world->log.holes = random_chance(random, 300);
	world->log.cluster = 1;
	for (uint32_t i = random_below(random, 6); i > 0; i--)
		log_produce(world);
	database_init(&world->database);
	elastic_init(&world->elastic);
	store_init(&world->store, world);
	coordinator_process_start(&world->coordinators[0], world, 0);
	world->coordinators[1].world = world;
	if (random_chance(random, 200)) {
		coordinator_process_start(&world->coordinators[1], world, 1);
		world->coordinators[1].back_us = world->now_us + random_below(random, BOTH_MOST_US);
	}
	if (kind == JOB_SEARCH) {
		add_processes(world, PROCESS_INGEST, random_between(random, 1, 3));
		add_processes(world, PROCESS_SINK, random_between(random, 1, 3));
		return;
	}
	add_processes(world, PROCESS_INGEST, 2);
	add_processes(world, PROCESS_AGGREGATOR, 2);
	add_processes(world, PROCESS_SINK, random_chance(random, 750) ? 2 : 1);
}

void world_fini(struct world *world)
{
	for (uint32_t i = 0; i < world->processes_len; i++)
		if (world->processes[i].life != LIFE_DOWN)
			process_kill(&world->processes[i]);
	control_fini(world);
	network_fini(world);
	tasks_free(world);
	calls_free(world);
	store_fini(&world->store);
	for (uint32_t i = 0; i < STALE_MAX; i++)
		buffer_fini(&world->stale[i].bytes);
	pipelines_fini(world);
}

/* --- time -------------------------------------------------------------------------------------------------------------------- */

static void sooner(uint64_t *earliest, uint64_t at)
{
	if (at != 0 && (*earliest == 0 || at < *earliest))
		*earliest = at;
}

/* When the next thing happens by itself; 0: never. */
static uint64_t next_wake(const struct world *world)
{
	uint64_t earliest = 0;
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++) {
		const struct coordinator_process *coordinator = &world->coordinators[i];
		sooner(&earliest, coordinator->back_us);
		sooner(&earliest, coordinator->life == LIFE_UP ? coordinator_wake_us(coordinator->coordinator) : 0);
	}
	for (uint32_t i = 0; i < world->processes_len; i++) {
		const struct process *process = &world->processes[i];
		sooner(&earliest, process->life == LIFE_UP ? worker_wake_us(&process->worker) : process->back_us);
	}
	for (const struct task *task = world->tasks; task != NULL; task = task->next)
		sooner(&earliest, task_due(world, task) ? 0 : task->slow_until_us);
	for (const struct call *call = world->calls; call != NULL; call = call->next)
		sooner(&earliest, call->answered || call_due(world, call) ? 0 : call->slow_until_us);
	sooner(&earliest, world->database_away ? world->database_back_us : 0);
	sooner(&earliest, world->elastic.cut_off_until_us > world->now_us ? world->elastic.cut_off_until_us : 0);
	sooner(&earliest, world->source_away ? world->source_back_us : 0);
	return earliest;
}

static bool is_due(const struct world *world, uint64_t at)
{
	return at != 0 && at <= world->now_us;
}

static void bring_coordinator_back(struct world *world, uint32_t slot)
{
	struct coordinator_process *coordinator = &world->coordinators[slot];
	bool another = world->coordinators[COORDINATORS_MAX - 1 - slot].life == LIFE_UP;
	coordinator->back_us = 0;
	if (coordinator->life == LIFE_UP) {
		world_trace(world, "coordinator.%u goes", slot);
		coordinator_process_kill(coordinator);
		coordinator->back_us = another ? 0 : world->now_us + 1;
	} else if (coordinator->life == LIFE_STOPPED) {
		coordinator->life = LIFE_UP;
		world->statistics.wake++;
		world_trace(world, "coordinator.%u wakes", slot);
	} else if (!another || random_chance(&world->random, 200)) {
		coordinator_process_start(coordinator, world, slot);
	}
}

/* The supervisor's work, and that of time. */
static void bring_back(struct world *world)
{
	for (uint32_t i = 0; i < world->processes_len; i++) {
		struct process *process = &world->processes[i];
		if (process->life == LIFE_UP || !is_due(world, process->back_us))
			continue;
		if (process->life == LIFE_DOWN) {
			process_start(process);
		} else {
			process->life = LIFE_UP;
			world->statistics.wake++;
			world_trace(world, "%s wakes", process->name);
		}
	}
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++)
		if (is_due(world, world->coordinators[i].back_us))
			bring_coordinator_back(world, i);
	if (world->database_away && is_due(world, world->database_back_us)) {
		world->database_away = false;
		world_trace(world, "the database is back");
	}
	if (world->source_away && is_due(world, world->source_back_us)) {
		world->source_away = false;
		world->log_version++;
		world_trace(world, "the log is back");
	}
}

/* --- what can happen ------------------------------------------------------------------------------------------------------- */

enum choice_kind {
	CHOICE_RECEIVER,
	CHOICE_SENDER,
	CHOICE_DELIVER,
	CHOICE_TICK,
	CHOICE_COORDINATOR,
	CHOICE_REGISTER,
	CHOICE_EVENT,
	CHOICE_COMMAND,
	CHOICE_SUSPECT,
	CHOICE_TASK,
	CHOICE_ANSWER,
	CHOICE_STATE,
	CHOICE_CALL,
	CHOICE_CALL_ANSWER,
};

struct choice {
	enum choice_kind kind;
	uint32_t weight, number; /* channel, place */
	void *object;
};

struct choices {
	struct choice entries[CHOICES_MAX];
	uint32_t len, weight;
};

static void add(struct choices *choices, const struct world *world, enum choice_kind kind, enum event_class class,
    void *object, uint32_t number)
{
	CHECK(choices->len < CHOICES_MAX);
	choices->entries[choices->len++] = (struct choice){kind, world->weights[class], number, object};
	choices->weight += world->weights[class];
}

static void add_process(struct choices *choices, const struct world *world, struct process *process)
{
	if (process->life != LIFE_UP)
		return;
	for (uint32_t id = 1; id <= process->worker.channels_len; id++)
		if (process->worker.channels[id - 1].inbox_len > 0 && worker_deliverable(&process->worker, id))
			add(choices, world, CHOICE_DELIVER, CLASS_INBOX, process, id);
	for (uint32_t i = 0; i < process->worker.actors_len && process->worker.state != WORKER_OVER; i++)
		if (process_tick_due(process, i))
			add(choices, world, CHOICE_TICK, CLASS_TICK, process, i);
	for (struct sim_state *state = process->states; state != NULL; state = state->next)
		if (sim_state_due(state))
			add(choices, world, CHOICE_STATE, CLASS_STATE, state, 0);
	if (process->sink_open && process->sink.on_the_way)
		add(choices, world, CHOICE_ANSWER, CLASS_ANSWER, &process->sink, 0);
}

static void add_sessions(struct choices *choices, const struct world *world)
{
	for (uint32_t i = 0; i < world->processes_len; i++) {
		const struct process *process = &world->processes[i];
		if (process->life == LIFE_UP && session_of(world, process) == NULL && session_can_open(world, process))
			add(choices, world, CHOICE_REGISTER, CLASS_EVENT, (void *)process, 0);
	}
	for (struct session *session = world->sessions; session != NULL; session = session->next) {
		if (session_has_event(world, session))
			add(choices, world, CHOICE_EVENT, CLASS_EVENT, session, 0);
		if (session_has_command(world, session))
			add(choices, world, CHOICE_COMMAND, CLASS_COMMAND, session, 0);
		if (session->process != NULL && session->process->life == LIFE_STOPPED &&
		    session->coordinator != NULL && session->coordinator->life == LIFE_UP)
			add(choices, world, CHOICE_SUSPECT, CLASS_EVENT, session, 0);
	}
}

static void find_choices(const struct world *world, struct choices *choices)
{
	choices->len = choices->weight = 0;
	for (struct connection *connection = world->connections; connection != NULL; connection = connection->next) {
		if (connection_has_news_for_receiver(connection))
			add(choices, world, CHOICE_RECEIVER, CLASS_NETWORK, connection, 0);
		if (connection_has_news_for_sender(connection))
			add(choices, world, CHOICE_SENDER, CLASS_NETWORK, connection, 0);
	}
	for (uint32_t i = 0; i < world->processes_len; i++)
		add_process(choices, world, (struct process *)&world->processes[i]);
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++)
		if (coordinator_process_due(&world->coordinators[i]))
			add(choices, world, CHOICE_COORDINATOR, CLASS_EVENT, (void *)&world->coordinators[i], 0);
	add_sessions(choices, world);
	for (struct task *task = world->tasks; task != NULL; task = task->next)
		if (task_due(world, task))
			add(choices, world, CHOICE_TASK, CLASS_DATABASE, task, 0);
	for (struct call *call = world->calls; call != NULL; call = call->next) {
		if (call_due(world, call))
			add(choices, world, CHOICE_CALL, CLASS_DATABASE, call, 0);
		else if (call_answerable(call))
			add(choices, world, CHOICE_CALL_ANSWER, CLASS_ANSWER, call, 0);
	}
}

static bool loses(struct world *world)
{
	return !world->settling && random_chance(&world->random, world->loss_permille);
}

static void run_task(struct world *world, struct task *task)
{
	if (task->sink != NULL && loses(world))
		fault_lose_answer(world, task->sink);
	else
		task_run(world, task);
}

static void take_call(struct world *world, struct call *call)
{
	if (call->port != NULL && loses(world))
		documents_lose_answer(world, call);
	else if (call->answered)
		call_arrive(world, call);
	else
		call_run(world, call);
}

static void take(struct world *world, const struct choice *choice)
{
	switch (choice->kind) {
	case CHOICE_RECEIVER:
		connection_serve_receiver(world, choice->object);
		break;
	case CHOICE_SENDER:
		connection_serve_sender(world, choice->object);
		break;
	case CHOICE_DELIVER:
		process_deliver(choice->object, choice->number);
		break;
	case CHOICE_TICK:
		process_tick(choice->object, choice->number);
		break;
	case CHOICE_COORDINATOR:
		coordinator_on_tick(((struct coordinator_process *)choice->object)->coordinator, world->now_us);
		if (world->kind == JOB_SEARCH)
			documents_check_report(choice->object);
		break;
	case CHOICE_REGISTER:
		(void)session_open(world, choice->object);
		break;
	case CHOICE_EVENT:
		session_take_event(choice->object);
		break;
	case CHOICE_COMMAND:
		session_take_command(choice->object);
		break;
	case CHOICE_SUSPECT:
		session_give_up(choice->object, "its heartbeats have stopped");
		break;
	case CHOICE_TASK:
		run_task(world, choice->object);
		break;
	case CHOICE_ANSWER:
		if (loses(world))
			fault_lose_answer(world, choice->object);
		else
			sink_answer_arrive(choice->object);
		break;
	case CHOICE_STATE:
		sim_state_run(choice->object);
		break;
	case CHOICE_CALL:
	case CHOICE_CALL_ANSWER:
		take_call(world, choice->object);
		break;
	}
}

/* --- a step -------------------------------------------------------------------------------------------------------------------- */

/* Frames of one epoch on a channel, at most: the credit is never so large that rows or letters need a second frame. */
static uint32_t frames_per_epoch(const struct world *world, const struct edge *edge)
{
	if (actor_role(edge->to) == ROLE_WRITER && actor_role(edge->from) == ROLE_DEDUP)
		return 3 * world->topology.ingest + 2;
	return actor_role(edge->from) == ROLE_INGEST ? 3 : 2;
}

static void check_queues(struct world *world)
{
	for (uint32_t i = 0; i < world->processes_len; i++) {
		const struct process *process = &world->processes[i];
		for (uint32_t id = 1; process->life != LIFE_DOWN && id <= process->worker.channels_len; id++) {
			const struct worker_channel *channel = &process->worker.channels[id - 1];
			uint32_t under_way = channel->inbox_len + (process->in[id] ? process->in[id]->queue.len : 0);
			uint32_t most =
			    frames_per_epoch(world, &channel->edge) * world->pipeline.epoch.max_in_flight + SLACK;
			if (under_way > most)
				world_violate(world, "%u frames are under way on channel %u, at most %u should be",
				    under_way, id, most);
		}
	}
}

static void jump(struct world *world)
{
	uint64_t wake = next_wake(world);
	if (wake > world->now_us) {
		world->now_us = wake;
		world_trace(world, "time passes");
	}
}

static void happen(struct world *world, struct choices *choices)
{
	find_choices(world, choices);
	if (choices->len == 0) {
		if (next_wake(world) == 0 && world->settling)
			world_violate(world, "nothing can happen any more");
		jump(world);
		return;
	}
	uint32_t place = 0, chosen = random_below(&world->random, choices->weight);
	while (chosen >= choices->entries[place].weight)
		chosen -= choices->entries[place++].weight;
	take(world, &choices->entries[place]);
}

static void step(struct world *world, struct choices *choices)
{
	struct random *random = &world->random;
	world->step++;
	if (world->refused || world->stopped_cleanly || world->log_refused)
		fault_back(world);
	world->now_us += random_below(random, 300);
	bring_back(world);
	if (!world->settling && world->blow_us != 0 && world->now_us >= world->blow_us)
		fault_blow(world);
	else if (!world->settling && random_chance(random, world->fault_permille))
		fault_happen(world);
	else if (!world->settling && random_chance(random, world->produce_permille))
		log_produce(world);
	else if (random_chance(random, 15))
		jump(world);
	else
		happen(world, choices);
	network_sweep(world);
	sessions_sweep(world);
	if (world->database_changed && world->kind == JOB_TOTALS)
		oracle_check(world);
	else if (world->database_changed)
		documents_check(world);
	world->database_changed = false;
	if (world->step % CHECK_EVERY == 0)
		check_queues(world);
}

static void give_up(struct world *world)
{
	struct buffer text = {0};
	const int64_t *cut = world->kind == JOB_TOTALS ? world->database.cut : world->elastic.cut;
	for (uint32_t p = 0; p < world->log.len; p++)
		buffer_printf(&text, " %u: %" PRId64 " of %" PRId64, p, cut[p], log_last(&world->log.partitions[p]));
	buffer_append(&text, "", 1);
	world_violate(
	    world, "no progress within %d steps after the last fault; cut%s", SETTLE_STEPS, (const char *)text.data);
	buffer_fini(&text);
}

static bool is_complete(const struct world *world)
{
	if (world->log.swapped)
		return false; /* somebody has to notice it */
	return world->kind == JOB_TOTALS ? oracle_complete(world) : documents_complete(world);
}

bool world_run(struct world *world, uint64_t steps)
{
	struct choices *choices = memory_new(sizeof *choices);
	while (world->step < steps && world->violation[0] == '\0' && !world->declared)
		step(world, choices);
	world->settling = true;
	if (world->violation[0] == '\0' && !world->declared)
		fault_end(world);
	while (!is_complete(world) && world->violation[0] == '\0' && !world->declared) {
		if (world->step >= steps + SETTLE_STEPS)
			give_up(world);
		step(world, choices);
	}
	world->statistics.declared = world->declared;
	world->statistics.worlds = 1;
	world->statistics.steps = world->step;
	world->statistics.attempts = world->store.taken;
	free(choices);
	return world->violation[0] == '\0';
}
