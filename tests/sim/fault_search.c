/* tests/sim/fault_search.c - what goes wrong in the job of documents only; see fault.c. */
#include "tests/sim/sim.h"

void fault_elastic_goes(struct world *world)
{
	if (world->database_away)
		return;
	world_trace(world, "fault: Elasticsearch is away");
	world->statistics.elastic_away++;
	world->database_away = true;
	world->database_back_us = fault_later(world);
	elastic_go(world);
}

void fault_end_old(struct world *world)
{
	for (uint32_t i = 0; i < world->processes_len; i++) {
		struct process *process = &world->processes[i];
		if (process->old && process->life != LIFE_DOWN)
			process_kill(process);
		if (process->old)
			process->back_us = 0;
	}
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++) {
		struct coordinator_process *coordinator = &world->coordinators[i];
		if (coordinator->life == LIFE_DOWN || coordinator->setup.generation == world->generation)
			continue;
		coordinator_process_kill(coordinator);
		coordinator->back_us = 0;
	}
}

static void change_numbers(struct world *world)
{
	struct topology was = world->topology;
	world->topology.ingest = random_between(&world->random, 1, 3);
	world->topology.writers = random_between(&world->random, 1, WRITERS_MAX);
	world->pipeline.parallelism.ingest = world->topology.ingest;
	world->pipeline.parallelism.search = world->topology.writers;
	world->generation++;
	world->statistics.more_writers += world->topology.writers > was.writers;
	world->statistics.fewer_writers += world->topology.writers < was.writers;
	world_trace(world, "now %u ingests and %u writers", world->topology.ingest, world->topology.writers);
}

/* With another pipeline file: other numbers of ingests and writers. What they had sent is partly under way still. */
void fault_rescale_documents(struct world *world)
{
	fault_stop_all(world);
	if (!world->settling)
		change_numbers(world);
}

/* The same while everything that has the old file lives on: whoever starts the new ones does not see them. */
void fault_start_beside(struct world *world)
{
	uint32_t left = COORDINATORS_MAX;
	fault_end_old(world);
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++)
		if (world->coordinators[i].life == LIFE_UP)
			left = i;
	if (left == COORDINATORS_MAX)
		return;
	world_trace(world, "fault: all that is there is left over");
	world->statistics.left_over++;
	for (uint32_t i = 0; i < world->processes_len; i++)
		world->processes[i].old = true;
	uint32_t other = COORDINATORS_MAX - 1 - left;
	if (world->coordinators[other].life != LIFE_DOWN)
		coordinator_process_kill(&world->coordinators[other]);
	change_numbers(world);
	world->coordinators[left].back_us = fault_later(world);
	coordinator_process_start(&world->coordinators[other], world, other);
	for (uint32_t i = random_between(&world->random, 1, 3); i-- > 0;)
		world_add_process(world, PROCESS_INGEST, i);
	for (uint32_t i = random_between(&world->random, 1, 3); i-- > 0;)
		world_add_process(world, PROCESS_SINK, i);
}

/* Longer than an epoch may be under way while nobody waits. */
void fault_cut_off(struct world *world)
{
	enum { CUT_OFF_MOST_US = 150000000 };
	struct elastic *elastic = &world->elastic;
	if (elastic->cut_off_until_us > world->now_us)
		return;
	elastic->cut_off = random_below(&world->random, WRITERS_MAX);
	elastic->cut_off_since_us = world->now_us;
	elastic->cut_off_until_us = world->now_us + random_below(&world->random, CUT_OFF_MOST_US);
	world_trace(world, "fault: writer %u is cut off", elastic->cut_off);
	world->statistics.cut_off++;
}

/* The checkpoint folder of another machine, or an empty one: numbers begin anew, below the fence. */
void fault_lose_attempts(struct world *world)
{
	world_trace(world, "fault: the attempts that were taken are forgotten");
	world->statistics.attempts_lost++;
	world->store.taken = 0;
}

/* A person ends one process; it asks its coordinator first. */
void fault_leave(struct world *world)
{
	struct process *process = &world->processes[random_below(&world->random, world->processes_len)];
	struct session *session = session_of(world, process);
	struct frame_header header = {.kind = FRAME_LEAVING, .job = frame_job(world->job)};
	struct buffer message = {0};
	if (process->life != LIFE_UP || session == NULL)
		return;
	world_trace(world, "fault: %s is told to end", process->name);
	world->statistics.told_to_end++;
	process->leaves = true;
	frame_encode(&message, &header, &(struct frame_leaving){.text = "told to end"});
	session_report(session, &message);
	buffer_fini(&message);
}
