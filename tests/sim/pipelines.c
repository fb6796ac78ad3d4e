/* tests/sim/pipelines.c - the pipeline files of a world: as if read from a file, with limits far below what one may say. */
#include <string.h>

#include "tests/sim/sim.h"

static const char declaration[] = "record:\n"
                                  "  table: rows\n"
                                  "  key: id\n"
                                  "  event_time: at\n"
                                  "  max_record_bytes: 1KiB\n"
                                  "  fields:\n"
                                  "    - {name: id, type: string(8), required: true}\n"
                                  "    - {name: kind, type: string(8), required: true}\n"
                                  "    - {name: amount, type: \"decimal(10,2)\", required: true}\n"
                                  "    - {name: at, type: timestamp, required: true}\n"
                                  "rollups:\n"
                                  "  - table: by_group\n"
                                  "    by: [{column: day, day: at}, {column: kind, field: kind}]\n"
                                  "    measures: [{column: total, sum: amount, type: \"decimal(15,2)\"}]\n"
                                  "  - table: by_day\n"
                                  "    by: [{column: day, day: at}]\n"
                                  "    measures: [{column: total, sum: amount, type: \"decimal(15,2)\"}]\n"
                                  "  - table: by_month\n"
                                  "    by: [{column: year, year: at}, {column: month, month: at}]\n"
                                  "    measures: [{column: total, sum: amount, type: \"decimal(15,2)\"}]\n";

void make_totals_pipeline(struct world *world)
{
	struct random *random = &world->random;
	struct buffer text = {0};
	struct error error;
	buffer_printf(&text,
	    "job: sim\n"
	    "source: {topic: records, start: %s}\n"
	    "%s"
	    "key_groups: 8\n"
	    "epoch: {min_interval: %ums, max_in_flight: %u}\n"
	    "checkpoint: {interval: %ums, timeout: %ums, max_records: %u, tolerable_failures: %u, retain: %u}\n"
	    "duplicates: {retention: 0s}\n"
	    "parallelism: {ingest: %u, dedup: %u, rollup: %u}\n",
	    random_chance(random, 300) ? "latest" : "earliest", declaration, random_between(random, 1, 20),
	    random_between(random, 2, 4), random_between(random, 10, 60), random_between(random, 100, 3000),
	    random_chance(random, 300) ? random_between(random, 5, 50) : 1000000, random_between(random, 1, 5),
	    random_between(random, 2, 3), random_between(random, 1, 3), random_between(random, 1, 3),
	    random_between(random, 1, 2));
	if (pipeline_parse(&world->pipeline, "simulated", buffer_bytes(&text), &error) != RESULT_OK)
		panic("the pipeline file of the simulation: %s", error.text);
	/* The other one differs in one digit: decimal(12,2). */
	buffer_append(&text, "", 1);
	text.len--;
	memcpy(strstr((char *)text.data, "decimal(10,2)"), "decimal(12,2)", strlen("decimal(12,2)"));
	if (pipeline_parse(&world->other, "simulated", buffer_bytes(&text), &error) != RESULT_OK)
		panic("the other pipeline file of the simulation: %s", error.text);
	buffer_fini(&text);
	/* Far below what a file may say: so a few records make several epochs. */
	world->pipeline.epoch.max_bytes = random_between(random, 1, 150) * world->pipeline.parallelism.ingest;
	world->pipeline.epoch.max_bytes_behind = world->pipeline.epoch.max_bytes * random_between(random, 1, 3);
	world->other.epoch = world->pipeline.epoch;
	world->topology = topology_of_job(&world->pipeline, JOB_TOTALS);
	(void)job_name(&world->pipeline, JOB_TOTALS, world->job);
	CHECK(topology_channels(&world->topology) <= CHANNELS_MAX);
}

void make_search_pipeline(struct world *world)
{
	struct random *random = &world->random;
	struct buffer text = {0};
	struct error error;
	bool latest = random_chance(random, 300);
	uint32_t interval = random_between(random, 1, 20), in_flight = random_between(random, 2, 4);
	uint32_t groups = random_chance(random, 200) ? 2 : 8, ingests = random_between(random, 1, 3),
	         writers = random_between(random, 1, WRITERS_MAX);
	buffer_printf(&text,
	    "job: sim\n"
	    "source: {topic: records, start: %s}\n"
	    "%s"
	    "key_groups: %u\n"
	    "epoch: {min_interval: %ums, max_in_flight: %u}\n"
	    "parallelism: {ingest: %u, search: %u}\n",
	    latest ? "latest" : "earliest", declaration, groups, interval, in_flight, ingests, writers);
	if (pipeline_parse(&world->pipeline, "simulated", buffer_bytes(&text), &error) != RESULT_OK)
		panic("the pipeline file of the simulation: %s", error.text);
	buffer_fini(&text);
	world->pipeline.epoch.max_bytes = random_between(random, 1, 150) * world->pipeline.parallelism.ingest;
	world->pipeline.epoch.max_bytes_behind = world->pipeline.epoch.max_bytes * random_between(random, 1, 3);
	world->topology = topology_of_job(&world->pipeline, JOB_SEARCH);
	(void)job_name(&world->pipeline, JOB_SEARCH, world->job);
}
