#include "services/coordinator/remembered.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"

enum { DIFFERENCE_MAX = 400, RETENTION_SHORT_MS = 3600000 };

/* In words: what was, and what is. */
static void say_values(const char *was, const char *is, char out[DIFFERENCE_MAX])
{
	(void)snprintf(out, DIFFERENCE_MAX, "'%.150s' is remembered, now it is '%.150s'", was, is);
}

static void say_zones(const char *was, const char *is, char out[DIFFERENCE_MAX])
{
	zone_rules_difference(was, is, out, DIFFERENCE_MAX);
}

static void look_at_retention(const char *value)
{
	int64_t ms = strtoll(value, NULL, 10);
	if (ms >= 0 && ms < RETENTION_SHORT_MS)
		log_warn(
		    "the topic keeps its records for %" PRId64
		    " s only: what is not read within that time is lost, and a recovery reads again what came after "
		    "the last checkpoint",
		    ms / 1000);
}

/* fixed: a difference would make other totals of the same job, so it is refused. kept: it has not the effect that somebody may expect, so
 * there is a warning, and what was first stays remembered. The others are noted. */
enum weight { NOTED, KEPT, FIXED };
static const struct row {
	const char *name, *what;
	enum weight weight;
	void (*say)(const char *was, const char *is, char out[DIFFERENCE_MAX]);
	void (*look)(const char *value); /* may be NULL */
} rows[] = {
    {FACT_CLUSTER, "the Kafka cluster is not the one that was read", FIXED, say_values, NULL},
    {"kafka.isolation.level", "source.kafka.isolation.level decides which records there are", FIXED, say_values, NULL},
    {"kafka.plugin.library.paths", "source.kafka.plugin.library.paths may change records", FIXED, say_values, NULL},
    {"kafka.retention.ms", "the topic's retention.ms", NOTED, say_values, look_at_retention},
    {FACT_ZONE_RULES, "the rules of the pipeline's time zone are not those that records were judged by", FIXED,
        say_zones, NULL},
    {FACT_START, "source.start counts where nothing was read yet; this job goes on from where it is", KEPT, say_values,
        NULL},
};

static const struct row *row_of(const char *name)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static enum result compare(const struct row *row, const char *was, const char *is, struct error *error)
{
	char difference[DIFFERENCE_MAX];
	row->say(was, is, difference);
	if (row->weight == FIXED && !MUTANT(facts_not_compared))
		return error_stop(error, STOP_FACT_CHANGED, "%s: %s (%s)", row->what, difference, row->name);
	log_write(row->weight == NOTED ? LOG_INFO : LOG_WARN, "%s: %s", row->what, difference);
	return RESULT_OK;
}

enum result remembered_compare(const struct facts *remembered, const struct facts *found, struct facts *remember,
    struct arena *arena, struct error *error)
{
	*remember = (struct facts){0};
	for (uint32_t i = 0; i < found->len; i++) {
		const struct fact *fact = &found->entries[i];
		const struct row *row = row_of(fact->name);
		const char *was = facts_get(remembered, fact->name);
		if (row == NULL)
			continue; /* of a newer program */
		if (row->look != NULL)
			row->look(fact->value);
		if (was != NULL && strcmp(was, fact->value) == 0)
			continue;
		if (was != NULL && compare(row, was, fact->value, error) != RESULT_OK)
			return error->code;
		if (was != NULL && row->weight == KEPT)
			continue;
		facts_add(remember, arena, fact->name, fact->value);
	}
	return RESULT_OK;
}
