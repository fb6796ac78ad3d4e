/* tests/bench/bench_dedup.c - a dedup actor alone: CPU seconds per million rows, and bytes per key.
 *
 * Usage: bench_dedup [millions]
 *
 * Rows of the shipped pipeline with random keys of 36 characters over two days, 200 to a frame, an epoch every 4,000
 * rows; after every million the same million once more, as duplicates. Only the actor's own time is counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/key_group.h"
#include "services/aggregator/dedup.h"
#include "tests/unit/shipped_pipeline.h"
#include "proto/row.h"

enum { MILLION = 1000000, ROWS = 200, FRAMES = 20, BATCH = ROWS * FRAMES, KEY_LEN = 36 };

struct bench {
	struct pipeline pipeline;
	struct actor *actor;
	uint32_t input;
	struct rows_writer frames[FRAMES];
	struct outbox outbox;
	uint64_t epoch;
};

static double cpu_seconds(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct value text_of(const char *text, size_t len)
{
	return (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)text, len}};
}

/* The key follows from the number alone, so that a second pass brings the same ones. */
static void key_print(uint64_t number, char out[KEY_LEN + 1])
{
	uint64_t a = XXH3_64bits_withSeed(&number, sizeof number, 1),
	         b = XXH3_64bits_withSeed(&number, sizeof number, 2);
	(void)snprintf(out, KEY_LEN + 1, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)a, (unsigned)(a >> 32) & 0xffff,
	    (unsigned)(a >> 52), (unsigned)b & 0xfff, (unsigned long long)(b >> 16));
}

static void put_row(
    const struct pipeline *pipeline, struct rows_writer *writer, struct buffer *scratch, uint64_t number)
{
	static const char *const categories[] = {"electronic", "fashion", "grocery", "home", "beauty", "sports"};
	struct value values[ROW_VALUES_MAX];
	char key[KEY_LEN + 1];
	key_print(number, key);
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		int64_t mixed = (int64_t)(XXH3_64bits(&number, sizeof number) % 172800000000U);
		switch (pipeline->record.fields[i].type) {
		case FIELD_STRING:
			values[i] = text_of(categories[number % 6], strlen(categories[number % 6]));
			break;
		case FIELD_INTEGER:
			values[i] = (struct value){.kind = VALUE_INTEGER, .integer = (int64_t)(number % 10)};
			break;
		case FIELD_DECIMAL:
			values[i] = (struct value){.kind = VALUE_INTEGER, .integer = (int64_t)(number % 500000)};
			break;
		case FIELD_TIMESTAMP:
			values[i] = (struct value){.kind = VALUE_INTEGER, .integer = 1770595200000000 + mixed};
			break;
		}
	}
	values[pipeline->record.key] = text_of(key, KEY_LEN);
	buffer_clear(scratch);
	row_encode_values(scratch, values, (uint32_t)pipeline->record.fields_len);
	rows_put(writer, (uint32_t)(number % 4), (int64_t)number, 1770595200000, key_hash(buffer_bytes(scratch)),
	    (uint32_t)pipeline->record.fields_len, buffer_bytes(scratch));
}

static void make_frames(struct bench *bench, uint64_t first)
{
	struct buffer scratch = {0};
	for (int f = 0; f < FRAMES; f++) {
		rows_begin(&bench->frames[f]);
		for (int i = 0; i < ROWS; i++)
			put_row(&bench->pipeline, &bench->frames[f], &scratch, first + (uint64_t)(f * ROWS + i));
		rows_end(&bench->frames[f]);
	}
	buffer_fini(&scratch);
}

static void deliver(struct bench *bench, const struct frame *frame)
{
	struct error error;
	if (bench->actor->ops->on_frame(bench->actor, bench->input, frame, &bench->outbox, &error) != RESULT_OK)
		panic("%s", error.text);
}

static double run_batch(struct bench *bench)
{
	double begin = cpu_seconds();
	for (int f = 0; f < FRAMES; f++) {
		struct bytes body = buffer_bytes(&bench->frames[f].body);
		struct frame rows = {.header.kind = FRAME_ROWS, .encoded_body = body, .body.rows.rows = body};
		deliver(bench, &rows);
	}
	struct frame barrier = {.header.kind = FRAME_BARRIER, .body.barrier.epoch = {1, ++bench->epoch}};
	deliver(bench, &barrier);
	outbox_clear(&bench->outbox);
	return cpu_seconds() - begin;
}

static double run_million(struct bench *bench, uint64_t first, double *slowest)
{
	double sum = 0;
	*slowest = 0;
	for (uint64_t at = 0; at < MILLION; at += BATCH) {
		make_frames(bench, first + at);
		double batch = run_batch(bench);
		*slowest = batch > *slowest ? batch : *slowest;
		sum += batch;
	}
	return sum;
}

int main(int argc, char **argv)
{
	static struct bench bench;
	const struct topology topology = {.ingest = 1, .dedup = 1, .rollup = 1};
	uint64_t millions = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
	shipped_pipeline(&bench.pipeline);
	bench.actor = dedup_new(&bench.pipeline, &topology, actor_id(ROLE_DEDUP, 0), 1);
	bench.input = topology_channel(&topology, actor_id(ROLE_INGEST, 0), bench.actor->id);
	(void)printf("%-12s %-22s %-22s %-22s %s\n", "keys", "new, CPU-s/million", "repeats, CPU-s/million",
	    "slowest 4,000 rows, ms", "bytes/key");
	for (uint64_t i = 0; i < millions; i++) {
		double slowest, slowest_repeats;
		double accepted = run_million(&bench, i * MILLION, &slowest);
		double repeats = run_million(&bench, i * MILLION, &slowest_repeats);
		struct dedup_size size = dedup_size(bench.actor);
		(void)printf("%-12llu %-22.3f %-22.3f %-22.1f %.1f\n", (unsigned long long)size.keys, accepted, repeats,
		    slowest * 1e3, (double)size.bytes / (double)size.keys);
	}
	bench.actor->ops->free(bench.actor);
	outbox_fini(&bench.outbox);
	for (int f = 0; f < FRAMES; f++)
		buffer_fini(&bench.frames[f].body);
	pipeline_fini(&bench.pipeline);
	return EXIT_SUCCESS;
}
