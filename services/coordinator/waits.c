/* services/coordinator/waits.c - see waits.h. */
#include "services/coordinator/waits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "services/coordinator/coordinator_state.h"

/* --- what members say ------------------------------------------------------------------------------------------- */

static struct wait *find(const struct member_waits *waits, uint64_t actor)
{
	for (uint32_t i = 0; i < waits->len; i++)
		if (waits->entries[i].actor == actor)
			return &waits->entries[i];
	return NULL;
}

static void end_wait(struct member *member, struct wait *wait)
{
	struct member_waits *waits = &member->waits;
	if (wait->told)
		log_info("%s waits no longer", member->name);
	*wait = waits->entries[--waits->len];
	if (MUTANT(waits_of_one))
		waits->len = 0;
}

bool waits_say(struct member *member, const struct frame_waiting *waiting, uint64_t now_us)
{
	struct member_waits *waits = &member->waits;
	struct wait *wait = find(waits, waiting->actor);
	if (wait != NULL ? strcmp(wait->text, waiting->text) == 0 : waiting->text[0] == '\0')
		return false;
	if (waiting->text[0] == '\0') {
		end_wait(member, wait);
		return true;
	}
	if (wait == NULL) {
		waits->entries = memory_resize(waits->entries, waits->len + 1, sizeof *waits->entries);
		wait = &waits->entries[waits->len++];
		*wait = (struct wait){
		    .actor = waiting->actor, .since_us = waiting->for_us < now_us ? now_us - waiting->for_us : 0};
	}
	(void)snprintf(wait->text, sizeof wait->text, "%s", waiting->text);
	return true;
}

void waits_fini(struct member_waits *waits)
{
	free(waits->entries);
	*waits = (struct member_waits){0};
}

static bool waits_of(const struct coordinator *coordinator, bool sinks_only)
{
	for (uint32_t i = 0; i < coordinator->registry.len; i++) {
		const struct member *member = &coordinator->registry.members[i];
		if (member->waits.len > 0 && (member->process == PROCESS_SINK || !sinks_only))
			return true;
	}
	return false;
}

bool sink_waits(const struct coordinator *coordinator)
{
	return waits_of(coordinator, true);
}

bool somebody_waits(const struct coordinator *coordinator)
{
	return waits_of(coordinator, false);
}

/* --- what the coordinator waits for: since when (0: it does not), and the text where somebody wants it ------------------ */

static void put_missing(const struct coordinator *coordinator, enum process_role process, struct buffer *text)
{
	static const char *const articles[] = {
	    [PROCESS_INGEST] = "an ingest", [PROCESS_AGGREGATOR] = "an aggregator", [PROCESS_SINK] = "a sink"};
	if (!topology_needs(&coordinator->topology, process))
		return;
	if (registry_count(&coordinator->registry, process) == 0)
		buffer_printf(text, "%s%s", text->len > 0 ? " and " : "waits for ", articles[process]);
}

/* Of a role that nobody has yet, or those who were told to start afresh, or more of those who are expected. */
static void put_processes(const struct coordinator *coordinator, struct buffer *text)
{
	const struct registry *registry = &coordinator->registry;
	for (enum process_role process = PROCESS_INGEST; process <= PROCESS_SINK; process++)
		put_missing(coordinator, process, text);
	for (uint32_t i = 0; i < registry->len && text->len == 0; i++)
		if (registry->members[i].leaving)
			buffer_printf(text, "waits for %s, which starts afresh", registry->members[i].name);
	if (text->len == 0)
		buffer_append_text(text, "waits for more processes");
	buffer_printf(text, " (%u ingest, ", registry_count(registry, PROCESS_INGEST));
	if (topology_needs(&coordinator->topology, PROCESS_AGGREGATOR))
		buffer_printf(text, "%u aggregator, ", registry_count(registry, PROCESS_AGGREGATOR));
	buffer_printf(text, "%u sink are here)", registry_count(registry, PROCESS_SINK));
}

static uint64_t wait_processes(const struct coordinator *coordinator, struct buffer *text)
{
	if (coordinator->state != STATE_GATHERING)
		return 0;
	if (text != NULL)
		put_processes(coordinator, text);
	return coordinator->state_us;
}

/* The reason, and when it is over. */
static uint64_t wait_attempt(const struct coordinator *coordinator, struct buffer *text)
{
	char time[TIMESTAMP_TEXT_MAX];
	if (coordinator->state != STATE_GATHERING || coordinator->earliest_us <= coordinator->now_us)
		return 0;
	uint64_t left_us = coordinator->earliest_us - coordinator->now_us;
	(void)timestamp_print(clock_realtime_us() + (int64_t)left_us, time);
	if (text != NULL)
		buffer_printf(text,
		    "waits until %.19sZ (%.1f s more) with the next attempt, for %" PRIu64
		    " in a row got nowhere; the last one: %s",
		    time, (double)left_us / 1e6, coordinator->fruitless, coordinator->last_error);
	return coordinator->state_us;
}

static const char *host_of(const struct coordinator *coordinator, uint32_t actor)
{
	for (uint32_t i = 0; i < coordinator->places_len; i++)
		if (coordinator->places[i].actor == actor)
			return coordinator->places[i].worker;
	return "nobody";
}

static void put_name(struct buffer *text, const char *name)
{
	buffer_printf(text, " %s", name);
}

static void put_members(const struct coordinator *coordinator, struct buffer *text)
{
	for (uint32_t i = 0; i < coordinator->registry.len; i++) {
		const struct member *member = &coordinator->registry.members[i];
		bool said = coordinator->state == STATE_CONNECTING ? member->ready : member->deployed;
		if (takes_part(coordinator, member->name) && !said)
			put_name(text, member->name);
	}
}

static void put_writers(const struct coordinator *coordinator, struct buffer *text)
{
	for (uint32_t i = 0; i < coordinator->topology.writers; i++) {
		const struct writer_said *writer = &coordinator->writers[i];
		bool said = coordinator->state == STATE_CHOOSING ? writer->cut_set : writer->fenced;
		if (!said)
			put_name(text, host_of(coordinator, actor_id(ROLE_WRITER, i)));
	}
}

static void put_first_writer(const struct coordinator *coordinator, struct buffer *text)
{
	put_name(text, host_of(coordinator, actor_id(ROLE_WRITER, 0)));
}

static void put_ingest(const struct coordinator *coordinator, struct buffer *text)
{
	put_name(text, host_of(coordinator, actor_id(ROLE_INGEST, 0)));
}

/* The steps of a deployment that somebody has to answer. */
static const struct {
	const char *what;
	void (*put_who)(const struct coordinator *, struct buffer *text);
} steps[STATES] = {
    [STATE_FENCING] = {"until the fence is raised, by", put_writers},
    [STATE_DESCRIBING] = {"until the topic is described, by", put_ingest},
    [STATE_CHOOSING] = {"until what is restored is recorded, by", put_writers},
    [STATE_DEPLOYING] = {"until actors are made and restored, by", put_members},
    [STATE_CONFIRMING] = {"until it is known that no other coordinator has gone on, before the job is stopped, by",
        put_first_writer},
    [STATE_CONNECTING] = {"until channels are greeted, by", put_members},
};

/* Whoever says what holds it up says it better. */
static uint64_t wait_answer(const struct coordinator *coordinator, struct buffer *text)
{
	if (steps[coordinator->state].what == NULL || somebody_waits(coordinator))
		return 0;
	if (text != NULL) {
		buffer_printf(text, "waits %s", steps[coordinator->state].what);
		steps[coordinator->state].put_who(coordinator, text);
	}
	return coordinator->state_us;
}

static uint64_t wait_epoch(const struct coordinator *coordinator, struct buffer *text)
{
	const struct pacing *pacing = &coordinator->pacing;
	if (coordinator->state != STATE_RUNNING || pacing->injected <= pacing->committed || somebody_waits(coordinator))
		return 0;
	if (text != NULL)
		buffer_printf(text,
		    "waits for epoch %" PRIu64 ".%" PRIu64 ", which is not committed, and nobody says why",
		    coordinator->attempt, pacing->committed + 1);
	return pacing->oldest_us;
}

static void put_files(const struct coordinator *coordinator, struct buffer *text)
{
	const struct checkpoint_keeper *keeper = &coordinator->checkpoints;
	char name[ACTOR_NAME_MAX];
	buffer_printf(text, "waits for the files of checkpoint %" PRIu64 ".%" PRIu64 ", of", keeper->epoch.attempt,
	    keeper->epoch.n);
	for (uint32_t i = 0; i < topology_actors(&coordinator->topology); i++) {
		uint32_t actor = topology_actor(&coordinator->topology, i);
		if ((actor_role(actor) == ROLE_DEDUP || actor_role(actor) == ROLE_ROLLUP) && !keeper->acked[i])
			buffer_printf(text, " %s (%s)", actor_name(actor, name), host_of(coordinator, actor));
	}
}

/* The folder is slow, full or away. */
static uint64_t wait_checkpoint(const struct coordinator *coordinator, struct buffer *text)
{
	const struct checkpoint_keeper *keeper = &coordinator->checkpoints;
	if (coordinator->state != STATE_RUNNING || !coordinator->topology.plan->has_checkpoints)
		return 0;
	bool failing = keeper->failed_in_row > 0, uncertain = keeper->state == CHECKPOINT_UNCERTAIN;
	if (!failing && !uncertain && (keeper->state != CHECKPOINT_WRITING || !keeper->committed))
		return 0;
	if (text == NULL)
		return failing ? keeper->failing_us : keeper->begun_us;
	if (failing)
		buffer_printf(text, "waits for a checkpoint: %" PRIu64 " in a row failed, the last one: %s",
		    keeper->failed_in_row, keeper->why);
	else if (uncertain)
		buffer_printf(text,
		    "waits for the checkpoint folder: the manifest of %" PRIu64 ".%" PRIu64
		    " may not have been written",
		    keeper->epoch.attempt, keeper->epoch.n);
	else
		put_files(coordinator, text);
	return failing ? keeper->failing_us : keeper->begun_us;
}

/* A process that may not take part. Where the job runs without it, that is shown for a while only. */
static uint64_t wait_refused(const struct coordinator *coordinator, struct buffer *text)
{
	enum { SHOWN_US = 60000000 };
	if (coordinator->refused_us == 0 ||
	    (coordinator->state != STATE_GATHERING && coordinator->now_us >= coordinator->refused_us + SHOWN_US))
		return 0;
	if (text != NULL)
		buffer_printf(text, "has refused a process: %s", coordinator->refused);
	return coordinator->refused_us;
}

static const struct {
	uint64_t (*since)(const struct coordinator *, struct buffer *text);
	bool logged; /* where it begins already */
} own_waits[OWN_WAITS] = {
    [WAIT_PROCESSES] = {wait_processes, false},
    [WAIT_ATTEMPT] = {wait_attempt, true},
    [WAIT_ANSWER] = {wait_answer, false},
    [WAIT_EPOCH] = {wait_epoch, false},
    [WAIT_CHECKPOINT] = {wait_checkpoint, false},
    [WAIT_REFUSED] = {wait_refused, true},
};

/* --- told ------------------------------------------------------------------------------------------------------- */

static bool is_long(const struct coordinator *coordinator, uint64_t since_us)
{
	return coordinator->now_us >= since_us + WAIT_TOLD_US;
}

/* Actors of a process share a source: each says the same. */
static bool is_repeat(const struct member_waits *waits, uint32_t place)
{
	for (uint32_t i = 0; i < place; i++)
		if (strcmp(waits->entries[i].text, waits->entries[place].text) == 0)
			return true;
	return false;
}

static void tell_member(const struct coordinator *coordinator, struct member *member)
{
	for (uint32_t i = 0; i < member->waits.len; i++) {
		struct wait *wait = &member->waits.entries[i];
		if (wait->told || !is_long(coordinator, wait->since_us))
			continue;
		wait->told = true;
		if (!is_repeat(&member->waits, i))
			log_warn("%s waits, for %.1f s already: %s", member->name,
			    (double)(coordinator->now_us - wait->since_us) / 1e6, wait->text);
	}
}

/* Since when; 0: it does not wait for that, or the log has it. */
static uint64_t untold(const struct coordinator *coordinator, enum own_wait kind)
{
	uint64_t since_us = own_waits[kind].logged ? 0 : own_waits[kind].since(coordinator, NULL);
	return since_us == coordinator->told_wait_us[kind] ? 0 : since_us;
}

void waits_tell(struct coordinator *coordinator)
{
	for (uint32_t i = 0; i < coordinator->registry.len; i++)
		tell_member(coordinator, &coordinator->registry.members[i]);
	for (enum own_wait kind = 0; kind < OWN_WAITS; kind++) {
		uint64_t since_us = untold(coordinator, kind);
		if (since_us == 0 || !is_long(coordinator, since_us))
			continue;
		struct buffer text = {0};
		(void)own_waits[kind].since(coordinator, &text);
		coordinator->told_wait_us[kind] = since_us;
		log_warn("%.*s", (int)text.len, (const char *)text.data);
		buffer_fini(&text);
	}
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

uint64_t waits_wake_us(const struct coordinator *coordinator)
{
	uint64_t wake_us = 0;
	for (uint32_t i = 0; i < coordinator->registry.len; i++) {
		const struct member_waits *waits = &coordinator->registry.members[i].waits;
		for (uint32_t k = 0; k < waits->len; k++)
			if (!waits->entries[k].told)
				wake_us = sooner(wake_us, waits->entries[k].since_us + WAIT_TOLD_US);
	}
	for (enum own_wait kind = 0; kind < OWN_WAITS; kind++) {
		uint64_t since_us = untold(coordinator, kind);
		if (since_us != 0)
			wake_us = sooner(wake_us, since_us + WAIT_TOLD_US);
	}
	return wake_us;
}

static void add(const struct coordinator *coordinator, struct arena *arena, struct waits *waits, const char *who,
    struct bytes text, uint64_t since_us)
{
	uint64_t for_us = coordinator->now_us > since_us ? coordinator->now_us - since_us : 0;
	waits->entries[waits->len++] = (struct wait_entry){
	    .who = who,
	    .text = arena_clone(arena, text.data, text.len),
	    .since_us = clock_realtime_us() - (int64_t)for_us,
	    .for_us = for_us,
	};
}

void waits_report(const struct coordinator *coordinator, struct arena *arena, struct waits *waits)
{
	const struct registry *registry = &coordinator->registry;
	uint32_t most = OWN_WAITS;
	for (uint32_t i = 0; i < registry->len; i++)
		most += registry->members[i].waits.len;
	*waits = (struct waits){.entries = arena_take(arena, most * sizeof *waits->entries)};
	for (uint32_t i = 0; i < registry->len; i++)
		for (uint32_t k = 0; k < registry->members[i].waits.len; k++) {
			const struct wait *wait = &registry->members[i].waits.entries[k];
			if (is_repeat(&registry->members[i].waits, k))
				continue;
			add(coordinator, arena, waits, registry->members[i].name,
			    (struct bytes){(const uint8_t *)wait->text, strlen(wait->text)}, wait->since_us);
		}
	for (enum own_wait kind = 0; kind < OWN_WAITS; kind++) {
		struct buffer text = {0};
		uint64_t since_us = own_waits[kind].since(coordinator, &text);
		bool shown = since_us != 0 && (coordinator->state == STATE_GATHERING || own_waits[kind].logged ||
		                                  is_long(coordinator, since_us));
		if (shown)
			add(coordinator, arena, waits, "coordinator", buffer_bytes(&text), since_us);
		buffer_fini(&text);
	}
}
