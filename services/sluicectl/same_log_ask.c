/* services/sluicectl/same_log_ask.c - see same_log.h: Kafka is asked. */
#include "common/base/timestamp.h"
#include "services/coordinator/remembered.h"
#include "services/ingest/kafka_client.h"
#include "services/ingest/kafka_describe.h"
#include "services/sluicectl/accept.h"
#include "services/sluicectl/same_log.h"

enum { ASK_MS = 500, WAIT_MS = 30000 };

enum result same_log_ask(const struct pipeline *pipeline, const char *client_id, const struct marks *marks,
    struct description *description, struct error *error)
{
	struct kafka_describe *describe = NULL;
	uint64_t until_us = clock_monotonic_us() + WAIT_MS * 1000ULL;
	char rules[ZONE_RULES_MAX];
	enum result result = time_zone_rules(pipeline->record.time_zone, rules, error);
	if (result == RESULT_OK)
		result = kafka_client_check(pipeline, client_id, error);
	if (result == RESULT_OK)
		result = kafka_describe_new(&describe, pipeline, client_id, marks, error);
	if (result != RESULT_OK)
		return result;
	do
		result = kafka_describe_wait(describe, ASK_MS, description, error);
	while (result == RESULT_RETRY && clock_monotonic_us() < until_us);
	kafka_describe_free(describe);
	if (result == RESULT_OK)
		facts_add(&description->facts, &description->arena, FACT_ZONE_RULES, rules);
	return result;
}

enum result same_log_or_refuse(
    const struct pipeline *pipeline, const char *job, enum job_kind kind, bool facts, struct error *error)
{
	struct memory memory = {.pipeline = pipeline, .job = job, .frontier_only = true};
	struct description description = {0};
	struct same_log found;
	struct facts remember;
	enum result result =
	    kind == JOB_TOTALS ? accept_totals_read(&memory, error) : accept_search_read(&memory, error);
	if (result == RESULT_OK)
		result = same_log_ask(pipeline, "sluicectl", &memory.marks, &description, error);
	if (result == RESULT_OK)
		result = same_log_check(pipeline, &description, &found, error);
	if (result == RESULT_OK && facts)
		result = remembered_compare(&memory.facts, &description.facts, &remember, &memory.arena, error);
	description_fini(&description);
	marks_fini(&memory.marks);
	arena_fini(&memory.arena);
	return result;
}
