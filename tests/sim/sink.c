/* tests/sim/sink.c - the writer's port to the simulated database. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

static struct sink *sink_of(struct sink_port *port)
{
	return (struct sink *)port;
}

static void clear_answer(struct sink *sink)
{
	cut_fini(&sink->answer.frontier.cut);
	marks_fini(&sink->answer.frontier.marks);
	arena_fini(&sink->answer.arena);
	for (size_t i = 0; i < sink->answer.checkpoints_len; i++) {
		cut_fini(&sink->answer.checkpoints[i].cut);
		marks_fini(&sink->answer.checkpoints[i].marks);
	}
	free(sink->answer.checkpoints);
	free(sink->answer.decisions.entries);
	sink->answer = (struct sink_answer){0};
}

static void ask(struct sink *sink, enum task_kind kind, uint64_t attempt, struct changes *changes)
{
	struct world *world = sink->world;
	struct task *task = memory_new(sizeof *task), **end = &world->tasks;
	CHECK(!sink->busy);
	clear_answer(sink);
	sink->busy = true;
	sink->asked = kind;
	sink->attempt = attempt;
	*task = (struct task){.kind = kind, .owner = sink->id, .sink = sink, .attempt = attempt, .changes = changes};
	while (*end != NULL)
		end = &(*end)->next;
	*end = task;
	bool opens = kind == TASK_FENCE || kind == TASK_LOOK;
	if (!opens && !sink->connected)
		sink_break(sink, false, "the connection was gone");
}

static void port_fence(struct sink_port *port, uint64_t attempt)
{
	sink_of(port)->connected = false;
	ask(sink_of(port), TASK_FENCE, attempt, NULL);
}

static void port_set_cut(struct sink_port *port, uint64_t attempt, const struct cut *cut, const struct facts *remember)
{
	struct changes *changes = memory_new(sizeof *changes);
	changes->cluster = cluster_of(remember);
	changes->file = sink_of(port)->world->file;
	for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
		changes->cut[i] = cut_get(cut, i, UNNAMED);
	ask(sink_of(port), TASK_SET_CUT, attempt, changes);
}

static void port_commit(struct sink_port *port, const struct transaction *transaction)
{
	struct sink *sink = sink_of(port);
	struct changes *changes = changes_of(sink->world, transaction);
	if (sink->unsure)
		world_violate(
		    sink->world, "a commit got no answer, and the next one comes without a look at the frontier");
	sink->unsure_of = transaction->epoch;
	ask(sink, TASK_COMMIT, transaction->fence, changes);
}

static void port_mark(
    struct sink_port *port, uint64_t attempt, struct epoch_id predecessor, const struct checkpoint_identity *checkpoint)
{
	struct changes *changes = memory_new(sizeof *changes);
	marks_store(changes->marks, &checkpoint->marks);
	changes->predecessor = predecessor;
	changes->epoch = checkpoint->epoch;
	changes->counters = checkpoint->counts.counters;
	changes->counted = checkpoint->counts.counted;
	changes->sums = sums_flat(&checkpoint->counts.sums);
	for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
		changes->cut[i] = cut_get(&checkpoint->cut, i, UNNAMED);
	ask(sink_of(port), TASK_MARK, attempt, changes);
}

static void port_choose(struct sink_port *port, uint64_t attempt, struct epoch_id checkpoint, struct epoch_id renamed,
    const struct facts *remember)
{
	struct changes *changes = memory_new(sizeof *changes);
	changes->cluster = cluster_of(remember);
	changes->renamed = renamed;
	changes->file = sink_of(port)->world->file;
	changes->epoch = checkpoint;
	ask(sink_of(port), TASK_CHOOSE, attempt, changes);
}

static void port_retire(struct sink_port *port, uint64_t attempt, const struct epoch_id *checkpoints,
    size_t checkpoints_len, struct epoch_id kept, const struct cut *oldest_cut)
{
	struct changes *changes = memory_new(sizeof *changes);
	CHECK(checkpoints_len <= IDENTITIES_MAX);
	changes->epoch = kept;
	for (size_t i = 0; i < checkpoints_len; i++)
		changes->retired[changes->retired_len++] = checkpoints[i];
	for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
		changes->cut[i] = cut_get(oldest_cut, i, UNNAMED);
	ask(sink_of(port), TASK_RETIRE, attempt, changes);
}

static void port_late(struct sink_port *port, uint64_t attempt, struct epoch_id predecessor, const struct bytes *bodies,
    size_t bodies_len)
{
	struct changes *changes = changes_of_rows(sink_of(port)->world, bodies, bodies_len);
	changes->predecessor = predecessor;
	ask(sink_of(port), TASK_LATE, attempt, changes);
}

static void port_look(struct sink_port *port, uint64_t attempt)
{
	sink_of(port)->connected = false;
	ask(sink_of(port), TASK_LOOK, attempt, NULL);
}

static void port_touch(struct sink_port *port, uint64_t attempt, struct epoch_id predecessor)
{
	struct changes *changes = memory_new(sizeof *changes);
	changes->predecessor = predecessor;
	ask(sink_of(port), TASK_TOUCH, attempt, changes);
}

static bool port_answer(struct sink_port *port, struct sink_answer **answer)
{
	struct sink *sink = sink_of(port);
	if (!sink->answered)
		return false;
	sink->answered = sink->busy = false;
	*answer = &sink->answer;
	return true;
}

static void port_close(struct sink_port *port)
{
	(void)port;
}

static const struct sink_port_ops sink_ops = {
    .fence = port_fence,
    .set_cut = port_set_cut,
    .commit = port_commit,
    .mark = port_mark,
    .choose = port_choose,
    .retire = port_retire,
    .late = port_late,
    .look = port_look,
    .touch = port_touch,
    .answer = port_answer,
    .close = port_close,
};

/* What it has in hand: dropped, or left to a backend that nobody hears of any more. A dead client sends no second
 * statement, so only the first ones live on. */
static void leave_tasks(struct sink *sink, bool backend_lives_on)
{
	for (struct task **at = &sink->world->tasks; *at != NULL;) {
		struct task *task = *at;
		bool lives = backend_lives_on && task->kind != TASK_FENCE_READ && task->kind != TASK_LOOK &&
		             task->kind != TASK_LOOK_READ && task->kind != TASK_LATE;
		if (task->sink != sink) {
			at = &task->next;
		} else if (lives) {
			task->sink = NULL;
			if (random_chance(&sink->world->random, 700))
				task->slow_until_us =
				    sink->world->now_us + random_below(&sink->world->random, SLOW_MOST_US);
			at = &task->next;
		} else {
			*at = task->next;
			free(task->changes);
			free(task);
		}
	}
}

void sink_init(struct sink *sink, struct world *world, const char *process)
{
	*sink = (struct sink){.port = {&sink_ops, -1}, .world = world, .id = ++world->next_id};
	(void)snprintf(sink->process, sizeof sink->process, "%s", process);
}

void sink_fini(struct sink *sink, bool backend_lives_on)
{
	leave_tasks(sink, backend_lives_on);
	clear_answer(sink);
}

void sink_break(struct sink *sink, bool backend_lives_on, const char *why)
{
	leave_tasks(sink, backend_lives_on);
	sink->connected = false;
	if (!sink->busy || sink->answered)
		return;
	clear_answer(sink);
	sink->unsure |= sink->asked == TASK_COMMIT;
	sink->on_the_way = false;
	sink->answered = true;
	sink->answer.outcome = SINK_UNKNOWN;
	error_set(&sink->answer.error, RESULT_RETRY, "%s", why);
	world_trace(sink->world, "    %s is left without an answer: %s", sink->process, why);
}

static void count_look(struct sink *sink)
{
	struct statistics *statistics = &sink->world->statistics;
	if (sink->answer.outcome == SINK_FENCED)
		statistics->lost_fenced++;
	else if (epoch_equal(sink->answer.frontier.last, sink->unsure_of))
		statistics->lost_committed++;
	else
		statistics->lost_sent_again++;
	sink->unsure = false;
}

void sink_answer_arrive(struct sink *sink)
{
	world_trace(sink->world, "an answer comes to %s: %d", sink->process, (int)sink->answer.outcome);
	sink->on_the_way = false;
	sink->answered = true;
	if (sink->asked == TASK_LOOK && sink->unsure)
		count_look(sink);
}
