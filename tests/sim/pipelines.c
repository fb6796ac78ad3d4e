/* tests/sim/pipelines.c - the pipeline files of a world: as if read from a file, with limits far below what one may say. */
#include <string.h>

#include "tests/sim/sim.h"

/* Of the narrow file and the wide one; of the scanty one and the roomy one. As long as one another. */
#define AMOUNT "decimal(10,2)"
#define WIDE_AMOUNT "decimal(12,2)"
#define TOTAL "decimal(15,2)"
#define ROOMY_TOTAL "decimal(18,2)"

static const char declaration[] = "record:\n"
                                  "  table: rows\n"
                                  "  key: id\n"
                                  "  event_time: at\n"
                                  "  max_record_bytes: 1KiB\n"
                                  "  fields:\n"
                                  "    - {name: id, type: string(8), required: true}\n"
                                  "    - {name: kind, type: string(8), required: true}\n"
                                  "    - {name: amount, type: \"" AMOUNT "\", required: true}\n"
                                  "    - {name: at, type: timestamp, required: true}\n"
                                  "rollups:\n"
                                  "  - table: by_group\n"
                                  "    by: [{column: day, day: at}, {column: kind, field: kind}]\n"
                                  "    measures: [{column: total, sum: amount, type: \"" TOTAL "\"}]\n"
                                  "  - table: by_day\n"
                                  "    by: [{column: day, day: at}]\n"
                                  "    measures: [{column: total, sum: amount, type: \"" TOTAL "\"}]\n"
                                  "  - table: by_month\n"
                                  "    by: [{column: year, year: at}, {column: month, month: at}]\n"
                                  "    measures: [{column: total, sum: amount, type: \"" TOTAL "\"}]\n";

static void parse(const struct buffer *text, struct pipeline *file)
{
	struct error error;
	if (pipeline_parse(file, "simulated", buffer_bytes(text), &error) != RESULT_OK)
		panic("a pipeline file of the simulation: %s", error.text);
}

/* text ends with 0, beyond its len. */
static void replace(const struct buffer *text, const char *old, const char *new)
{
	for (char *at = (char *)text->data; (at = strstr(at, old)) != NULL;)
		memcpy(at, new, strlen(new));
}

static void make_files(struct world *world, struct buffer *text)
{
	buffer_append(text, "", 1);
	text->len--;
	parse(text, &world->files[false][false]);
	replace(text, AMOUNT, WIDE_AMOUNT);
	parse(text, &world->files[true][false]);
	replace(text, TOTAL, ROOMY_TOTAL);
	parse(text, &world->files[true][true]);
	replace(text, WIDE_AMOUNT, AMOUNT);
	parse(text, &world->files[false][true]);
}

/* Far below what a file may say: so a few records make several epochs. */
static void limit_epochs(struct world *world)
{
	struct pipeline *pipeline = &world->pipeline;
	pipeline->epoch.max_bytes = random_between(&world->random, 1, 150) * pipeline->parallelism.ingest;
	pipeline->epoch.max_bytes_behind = pipeline->epoch.max_bytes * random_between(&world->random, 1, 3);
}

void take_pipeline(struct world *world, struct file_kind file)
{
	const struct pipeline was = world->pipeline;
	world->file = file;
	world->pipeline = world->files[file.wide][file.roomy];
	world->pipeline.parallelism = was.parallelism;
	world->pipeline.epoch = was.epoch;
}

void pipelines_fini(struct world *world)
{
	for (int wide = 0; wide < 2; wide++)
		for (int roomy = 0; roomy < 2; roomy++)
			pipeline_fini(&world->files[wide][roomy]);
}

void make_totals_pipeline(struct world *world)
{
	struct random *random = &world->random;
	struct buffer text = {0};
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
	make_files(world, &text);
	buffer_fini(&text);
	world->pipeline = world->files[false][false];
	limit_epochs(world);
	world->topology = topology_of_job(&world->pipeline, JOB_TOTALS);
	(void)job_name(&world->pipeline, JOB_TOTALS, world->job);
	CHECK(topology_channels(&world->topology) <= CHANNELS_MAX);
}

void make_search_pipeline(struct world *world)
{
	struct random *random = &world->random;
	struct buffer text = {0};
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
	parse(&text, &world->files[false][false]);
	buffer_fini(&text);
	world->pipeline = world->files[false][false];
	limit_epochs(world);
	world->topology = topology_of_job(&world->pipeline, JOB_SEARCH);
	(void)job_name(&world->pipeline, JOB_SEARCH, world->job);
}
