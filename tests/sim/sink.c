/* tests/sim/sink.c - the writer's port to the simulated database. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

static struct sink *sink_of(struct sink_port *port)
{
	return (struct sink *)port;
}

static void changes_take_cut(struct changes *changes, const struct cut *cut)
{
	for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
		changes->cut[i] = cut_get(cut, i, UNNAMED);
}

static struct changes *changes_of_mark(const struct checkpoint_identity *checkpoint)
{
	struct changes *changes = memory_new(sizeof *changes);
	marks_store(changes->marks, &checkpoint->marks);
	changes->epoch = checkpoint->epoch;
	changes->counters = checkpoint->counts.counters;
	changes->counted = checkpoint->counts.counted;
	changes->sums = sums_flat(&checkpoint->counts.sums);
	changes_take_cut(changes, &checkpoint->cut);
	return changes;
}

static struct changes *changes_of_retirement(const struct sink_request *request)
{
	struct changes *changes = memory_new(sizeof *changes);
	CHECK(request->retired_len <= IDENTITIES_MAX);
	changes->epoch = request->checkpoint;
	for (size_t i = 0; i < request->retired_len; i++)
		changes->retired[changes->retired_len++] = request->retired[i];
	changes_take_cut(changes, request->cut);
	return changes;
}

/* The choice of a checkpoint, or of the start. */
static struct changes *changes_of_choice(const struct world *world, const struct sink_request *request)
{
	struct changes *changes = memory_new(sizeof *changes);
	changes->cluster = cluster_of(request->remember);
	changes->file = world->file;
	changes->epoch = request->checkpoint;
	changes->renamed = request->renamed;
	if (request->cut != NULL)
		changes_take_cut(changes, request->cut);
	return changes;
}

static struct changes *changes_of_request(struct sink *sink, const struct sink_request *request)
{
	switch (request->kind) {
	case SINK_COMMIT:
		return changes_of(sink->world, request->transaction);
	case SINK_ASK_LATE:
		return changes_of_rows(sink->world, request->bodies, request->bodies_len);
	case SINK_MARK:
		return changes_of_mark(request->marked);
	case SINK_RETIRE:
		return changes_of_retirement(request);
	case SINK_SET_CUT:
	case SINK_CHOOSE:
		return changes_of_choice(sink->world, request);
	case SINK_TOUCH:
		return memory_new(sizeof(struct changes));
	case SINK_FENCE:
	case SINK_LOOK:
		return NULL;
	case SINK_NOTHING:
	case SINK_REQUEST_KINDS:
		break;
	}
	panic("request %d", (int)request->kind);
}

static void note_commit(struct sink *sink, const struct transaction *transaction)
{
	if (sink->unsure)
		world_violate(
		    sink->world, "a commit got no answer, and the next one comes without a look at the frontier");
	sink->unsure_of = transaction->epoch;
}

static void port_start(struct sink_port *port, const struct sink_request *request)
{
	struct sink *sink = sink_of(port);
	struct world *world = sink->world;
	struct task *task = memory_new(sizeof *task), **end = &world->tasks;
	bool opens = request->kind == SINK_FENCE || request->kind == SINK_LOOK;
	CHECK(!sink->busy);
	sink_answer_clear(&sink->answer);
	*task = (struct task){.kind = request->kind, .owner = sink->id, .sink = sink, .attempt = request->attempt};
	task->changes = changes_of_request(sink, request);
	if (request->kind == SINK_COMMIT)
		note_commit(sink, request->transaction);
	else if (task->changes != NULL)
		task->changes->predecessor = request->predecessor;
	sink->busy = true;
	sink->asked = request->kind;
	sink->attempt = request->attempt;
	while (*end != NULL)
		end = &(*end)->next;
	*end = task;
	if (opens)
		sink->connected = false;
	else if (!sink->connected)
		sink_break(sink, false, "the connection was gone");
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
    .start = port_start,
    .answer = port_answer,
    .close = port_close,
};

/* What it has in hand: dropped, or left to a backend that nobody hears of any more. A dead client sends no second
 * statement, so only the first ones live on. */
static void leave_tasks(struct sink *sink, bool backend_lives_on)
{
	for (struct task **at = &sink->world->tasks; *at != NULL;) {
		struct task *task = *at;
		bool lives = backend_lives_on && !task->reads && task->kind != SINK_LOOK && task->kind != SINK_ASK_LATE;
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
	sink_answer_clear(&sink->answer);
}

void sink_break(struct sink *sink, bool backend_lives_on, const char *why)
{
	leave_tasks(sink, backend_lives_on);
	sink->connected = false;
	if (!sink->busy || sink->answered)
		return;
	sink_answer_clear(&sink->answer);
	sink->unsure |= sink->asked == SINK_COMMIT;
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
	if (sink->asked == SINK_LOOK && sink->unsure)
		count_look(sink);
}
