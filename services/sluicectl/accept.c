/* services/sluicectl/accept.c - the verb for somebody who changed on purpose what a job rests on: shows what differs from what is
 * remembered, checks what can be checked, and with --yes has the new values remembered.
 *
 * What cannot be accepted is another log: the records in front of the cut have to be there, the same ones at the same offsets.
 */
#include "services/sluicectl/accept.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "services/sluicectl/same_log.h"
#include "services/sluicectl/sluicectl.h"

#define ZONE_RULES "time_zone.rules"
#define RETENTION "kafka.retention.ms" /* noted by every start */

static const struct {
	enum result (*read)(struct memory *, struct error *);
	enum result (*write)(
	    const struct memory *, const struct facts *, bool anew, const char *detail, struct error *);
} places[JOBS] = {
    [JOB_TOTALS] = {accept_totals_read, accept_totals_write},
    [JOB_SEARCH] = {accept_search_read, accept_search_write},
};

struct accept {
	struct memory memory;
	struct facts found, differing; /* now, as memory has a name for it; of these, those that differ */
	struct same_log log;
};

/* Some that differ decide what a record means, or whether it exists: their name. NULL: none does. */
static const char *deciding(const struct accept *accept)
{
	for (uint32_t i = 0; i < accept->differing.len; i++)
		if (strcmp(accept->differing.entries[i].name, FACT_CLUSTER) != 0)
			return accept->differing.entries[i].name;
	return NULL;
}

/* What was read is not read again by others. */
static enum result check_replay(const struct accept *accept, struct error *error)
{
	const char *name = deciding(accept);
	if (name == NULL || !accept->memory.replays)
		return RESULT_OK;
	return error_stop(error, STOP_NOT_STOPPED_CLEANLY,
	    "%s decides how records are read, and job %s was not stopped cleanly: some would be read again", name,
	    accept->memory.job);
}

static enum result find(struct accept *accept, struct error *error)
{
	struct memory *memory = &accept->memory;
	struct description description = {0};
	enum result result = same_log_ask(memory->pipeline, "sluicectl accept", &memory->marks, &description, error);
	if (result == RESULT_OK)
		result = same_log_check(memory->pipeline, &description, &accept->log, error);
	if (result == RESULT_OK)
		facts_copy(&accept->found, &memory->arena, &description.facts);
	description_fini(&description);
	for (uint32_t i = 0; i < accept->found.len && result == RESULT_OK; i++) {
		const struct fact *fact = &accept->found.entries[i];
		const char *was = facts_get(&memory->facts, fact->name);
		if (was != NULL && strcmp(was, fact->value) != 0 && strcmp(fact->name, RETENTION) != 0)
			facts_add(&accept->differing, &memory->arena, fact->name, fact->value);
	}
	return result == RESULT_OK ? check_replay(accept, error) : result;
}

/* {"kafka.cluster_id": {"was": "...", "is": "..."}} */
static void differences_print(const struct accept *accept, struct buffer *out)
{
	buffer_append_text(out, "{");
	for (uint32_t i = 0; i < accept->differing.len; i++) {
		const struct fact *fact = &accept->differing.entries[i];
		buffer_append_text(out, i > 0 ? ", " : "");
		json_text(out, fact->name, "");
		out->len -= 2; /* the empty text: an object stands there instead */
		buffer_append_text(out, "{");
		json_text(out, "was", facts_get(&accept->memory.facts, fact->name));
		buffer_append_text(out, ", ");
		json_text(out, "is", fact->value);
		buffer_append_text(out, "}");
	}
	buffer_append_text(out, "}");
}

static void print_table(const struct accept *accept, bool written)
{
	(void)printf("job         %s\n", accept->memory.job);
	for (uint32_t i = 0; i < accept->differing.len; i++) {
		const struct fact *fact = &accept->differing.entries[i];
		const char *was = facts_get(&accept->memory.facts, fact->name);
		char words[64];
		if (strcmp(fact->name, ZONE_RULES) == 0) {
			zone_rules_difference(was, fact->value, words, sizeof words);
			(void)printf("differs     %s: %s\n", fact->name, words);
		} else {
			(void)printf("differs     %s: %s is remembered, now it is %s\n", fact->name, was, fact->value);
		}
	}
	(void)printf("checked     %u of the last records before the cut are there, and the same\n", accept->log.same);
	if (accept->log.gone > 0)
		(void)printf("not checked %u of them: the log begins behind them\n", accept->log.gone);
	if (accept->differing.len == 0)
		(void)printf("nothing differs\n");
	else
		(void)printf("%s\n",
		    written ? "accepted: it is remembered so from now on" : "nothing was changed: --yes accepts it");
}

static void print_json(const struct accept *accept, bool written)
{
	struct buffer out = {0};
	buffer_append_text(&out, "{");
	json_text(&out, "job", accept->memory.job);
	buffer_append_text(&out, ", \"differs\": ");
	differences_print(accept, &out);
	buffer_printf(&out, ", \"records_checked\": %u, \"records_gone\": %u, \"accepted\": %s}\n", accept->log.same,
	    accept->log.gone, written ? "true" : "false");
	print_buffer(&out);
}

static enum result run(struct accept *accept, enum job_kind kind, bool yes, bool *written, struct error *error)
{
	enum result result = places[kind].read(&accept->memory, error);
	if (result == RESULT_OK)
		result = find(accept, error);
	*written = result == RESULT_OK && yes && accept->differing.len > 0;
	if (*written) {
		struct buffer detail = {0};
		differences_print(accept, &detail);
		buffer_append(&detail, "", 1);
		result = places[kind].write(
		    &accept->memory, &accept->differing, deciding(accept) != NULL, (const char *)detail.data, error);
		buffer_fini(&detail);
	}
	return result;
}

static int accept_job(const struct arguments *arguments, const struct pipeline *pipeline)
{
	enum job_kind kind = JOB_TOTALS;
	char job[JOB_NAME_MAX];
	struct error error = {0};
	bool written = false;
	if (sluicectl_job(arguments, &kind, &error) != RESULT_OK)
		return sluicectl_refuse("%s", error.text);
	if (job_check_on(pipeline, kind, &error) != RESULT_OK)
		return sluicectl_fail(&error);
	struct accept accept = {.memory = {.pipeline = pipeline, .job = job_name(pipeline, kind, job)}};
	enum result result = run(&accept, kind, arguments->yes, &written, &error);
	int code = EXIT_SUCCESS;
	if (result != RESULT_OK)
		code = sluicectl_fail(&error);
	else if (arguments->json)
		print_json(&accept, written);
	else
		print_table(&accept, written);
	if (result == RESULT_OK && accept.differing.len > 0 && !written)
		code = EXIT_FAILURE;
	marks_fini(&accept.memory.marks);
	arena_fini(&accept.memory.arena);
	return code;
}

const struct verb verb_accept = {
    .name = "accept",
    .run = accept_job,
    .what = "shows what differs from what a job remembers of Kafka and the time zone, and with --yes remembers it anew",
    .exits = "0 nothing differs, or it is accepted, 1 something differs, 69 a service is away, 78 refused",
    .rows =
        {
            {"--yes", NULL, NULL, NULL, AT(yes), "accept it; otherwise it is only shown"},
            ROW_JOB("totals (the default) or search"),
        },
    .rows_len = 2,
};
