/* tests/bench/bench_state.c - an actor's state alone, on the real port: what a new key costs, and what restoring takes.
 *
 * Usage: bench_state [millions [folder [MiB of memory]]]
 *
 * Random UUIDs, kept as dedup keeps them, with values of 20 bytes, a checkpoint every 125,000; then a process without a
 * cache and one with it restores the last one. Folder: where cache and checkpoints go (a new one below it, removed at the end).
 * Measured is the whole process: the keys' generation is subtracted, all threads are in.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/key_group.h"
#include "common/base/record_key.h"
#include "common/base/timestamp.h"
#include "common/state/files.h"
#include "common/state/state.h"
#include "common/state/state_leveldb.h"

enum { MILLION = 1000000, CHECKPOINT_KEYS = 125000, KEY_LEN = 36, VALUE_LEN = 20, GROUPS = 128, MIB = 1024 * 1024 };
#define BEGIN_MS INT64_C(1770595200000)

struct bench {
	char folder[256], checkpoints[300], cache[300];
	struct checkpoint_store *store;
	struct state *state;
	uint64_t memory_bytes, checkpoint, pss_most_kb;
	double write_most, apply_most, write_all, apply_all;
};

static double seconds(void)
{
	return (double)clock_monotonic_us() / 1e6;
}

static double cpu_seconds(void)
{
	struct rusage usage;
	(void)getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void look_at_memory(struct bench *bench)
{
	char line[256];
	uint64_t kb;
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	while (file != NULL && fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "Pss: %" SCNu64, &kb) == 1 && kb > bench->pss_most_kb)
			bench->pss_most_kb = kb;
	if (file != NULL)
		(void)fclose(file);
}

static void hex(char *out, uint64_t bits, int digits)
{
	for (int i = 0; i < digits; i++, bits >>= 4)
		out[i] = "0123456789abcdef"[bits & 15];
}

/* The key follows from the number alone. */
static struct bytes key_of(uint64_t number, uint8_t room[KEY_LEN + RECORD_KEY_ADDED])
{
	char out[KEY_LEN];
	uint64_t a = XXH3_64bits_withSeed(&number, sizeof number, 1),
	         b = XXH3_64bits_withSeed(&number, sizeof number, 2);
	memset(out, '-', KEY_LEN);
	hex(out, a, 8);
	hex(out + 9, a >> 32, 4);
	hex(out + 14, a >> 48, 4);
	hex(out + 19, b, 4);
	hex(out + 24, b >> 16, 12);
	return record_key_pack((struct bytes){(const uint8_t *)out, KEY_LEN}, room);
}

static void open_state(struct bench *bench, struct epoch_id checkpoint)
{
	struct error error;
	struct state_event event;
	struct state_port *port;
	const struct state_config config = {.store = bench->store,
	    .cache_dir = bench->cache,
	    .job = "bench",
	    .groups_len = GROUPS,
	    .memory_bytes = bench->memory_bytes,
	    .generation_ms = INT64_C(21600000)};
	if (state_leveldb_open(&port, &config, &error) != RESULT_OK)
		panic("%s", error.text);
	bench->state = state_new(port, 0, GROUPS);
	state_restore(bench->state, checkpoint);
	for (enum state_news news; (news = state_poll(bench->state, &event)) != STATE_RESTORED;) {
		if (news != STATE_NOTHING)
			panic("%s", event.error.text);
		look_at_memory(bench);
		(void)poll(NULL, 0, 5);
	}
}

/* Looks for a key that is not there; puts it. */
static void put_new(struct bench *bench, uint64_t number)
{
	uint8_t text[KEY_LEN + RECORD_KEY_ADDED];
	uint8_t value_bytes[VALUE_LEN];
	struct error error;
	struct bytes key = key_of(number, text), value;
	uint64_t hash = key_hash(key);
	if (state_find(bench->state, key_group(hash, GROUPS), hash, key, &value, &error) != RESULT_OK)
		panic("%s", error.text);
	CHECK(value.data == NULL);
	memset(value_bytes, 0, sizeof value_bytes);
	memcpy(value_bytes, &hash, sizeof hash);
	if (state_add(bench->state, hash, key, (struct bytes){value_bytes, VALUE_LEN}, BEGIN_MS, &error) != RESULT_OK)
		panic("%s", error.text);
}

static double checkpoint_write(struct bench *bench, struct frame_manifest *manifest, struct arena *arena)
{
	double began = seconds();
	struct state_event event;
	struct epoch_id base = {bench->checkpoint > 0, bench->checkpoint}, now = {1, ++bench->checkpoint};
	CHECK(state_freeze(bench->state, now, base));
	for (enum state_news news; (news = state_poll(bench->state, &event)) != STATE_WRITTEN;) {
		if (news != STATE_NOTHING)
			panic("%s", event.error.text);
		(void)poll(NULL, 0, 1);
	}
	manifest->epoch = now;
	manifest->files.len = event.files.len;
	manifest->files.entries = arena_take(arena, event.files.len * sizeof *event.files.entries);
	for (uint32_t i = 0; i < event.files.len; i++) {
		manifest->files.entries[i] = event.files.entries[i];
		manifest->files.entries[i].name =
		    arena_clone(arena, event.files.entries[i].name, strlen(event.files.entries[i].name));
	}
	return seconds() - began;
}

static uint32_t run_checkpoint(struct bench *bench)
{
	struct frame_manifest manifest = {.job = "bench", .fingerprint = "f", .key_groups = GROUPS};
	struct arena arena = {0};
	struct state_event event;
	struct error error;
	bool existed;
	double write = checkpoint_write(bench, &manifest, &arena), began;
	struct checkpoint_entry before[] = {{.epoch = {bench->checkpoint > 1, bench->checkpoint - 1}}};
	manifest.line = (struct checkpoints){before, 1};
	if (bench->store->ops->put_manifest(bench->store, &manifest, &existed, &error) != RESULT_OK)
		panic("%s", error.text);
	began = seconds();
	state_complete(bench->state, manifest.epoch);
	while (state_size(bench->state).changed > 0) { /* until the cache has them */
		if (state_poll(bench->state, &event) != STATE_NOTHING)
			panic("%s", event.error.text);
		(void)poll(NULL, 0, 1);
	}
	double apply = seconds() - began;
	bench->write_most = write > bench->write_most ? write : bench->write_most;
	bench->apply_most = apply > bench->apply_most ? apply : bench->apply_most;
	bench->write_all += write;
	bench->apply_all += apply;
	look_at_memory(bench);
	arena_fini(&arena);
	return manifest.files.len;
}

static void feed(struct bench *bench, uint64_t keys)
{
	uint8_t text[KEY_LEN + RECORD_KEY_ADDED];
	uint64_t sum = 0;
	double making = cpu_seconds();
	for (uint64_t i = 0; i < MILLION; i++)
		sum += key_of(i, text).data[0];
	CHECK(sum > 0);
	making = (cpu_seconds() - making) * (double)keys / MILLION;
	double began = seconds(), cpu = cpu_seconds();
	uint32_t files = 0, files_most = 0;
	for (uint64_t i = 0; i < keys; i++) {
		put_new(bench, i);
		if (i % (CHECKPOINT_KEYS / 2) == 0)
			look_at_memory(bench);
		if ((i + 1) % CHECKPOINT_KEYS == 0) {
			files = run_checkpoint(bench);
			files_most = files > files_most ? files : files_most;
		}
	}
	double wall = seconds() - began;
	cpu = cpu_seconds() - cpu - making;
	(void)printf("new keys       %.2f million, %.0f keys/s, %.2f CPU-s per million\n", (double)keys / MILLION,
	    (double)keys / wall, cpu * MILLION / (double)keys);
	(void)printf("memory         %.0f MB PSS at most\n", (double)bench->pss_most_kb / 1024);
	(void)printf("write          %.2f s at most, %.2f on average\n", bench->write_most,
	    bench->write_all / (double)bench->checkpoint);
	(void)printf("apply          %.2f s at most, %.2f on average\n", bench->apply_most,
	    bench->apply_all / (double)bench->checkpoint);
	(void)printf("files          %u at the end, %u at most\n", files, files_most);
}

static void restore(struct bench *bench, const char *how, uint64_t keys)
{
	uint8_t text[KEY_LEN + RECORD_KEY_ADDED];
	struct bytes value;
	struct error error;
	bench->pss_most_kb = 0;
	double began = seconds(), cpu = cpu_seconds();
	open_state(bench, (struct epoch_id){1, bench->checkpoint});
	double wall = seconds() - began;
	(void)printf("restore        %-14s %.2f s, %.2f million keys/s, %.2f CPU-s per million, %.0f MB PSS\n", how,
	    wall, (double)keys / MILLION / wall, (cpu_seconds() - cpu) * MILLION / (double)keys,
	    (double)bench->pss_most_kb / 1024);
	began = seconds();
	enum { LOOKS = 20000 };
	for (uint64_t i = 0; i < LOOKS; i++) {
		struct bytes key = key_of(i * 7919 % keys, text);
		uint64_t hash = key_hash(key);
		if (state_find(bench->state, key_group(hash, GROUPS), hash, key, &value, &error) != RESULT_OK)
			panic("%s", error.text);
		CHECK(value.data != NULL);
	}
	(void)printf("repeats        %.1f us each\n", (seconds() - began) * 1e6 / LOOKS);
	state_free(bench->state);
}

int main(int argc, char **argv)
{
	static struct bench bench;
	struct error error;
	uint64_t keys = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1) * MILLION;
	bench.memory_bytes = (argc > 3 ? strtoul(argv[3], NULL, 10) : 32) * MIB;
	(void)snprintf(bench.folder, sizeof bench.folder, "%s/bench-state-XXXXXX", argc > 2 ? argv[2] : "/tmp");
	CHECK(keys > 0 && mkdtemp(bench.folder) != NULL);
	(void)snprintf(bench.checkpoints, sizeof bench.checkpoints, "%s/checkpoints", bench.folder);
	(void)snprintf(bench.cache, sizeof bench.cache, "%s/cache", bench.folder);
	if (checkpoint_folder_open(&bench.store, bench.checkpoints, "bench", &error) != RESULT_OK)
		panic("%s", error.text);
	open_state(&bench, (struct epoch_id){0});
	feed(&bench, keys);
	state_free(bench.state);
	restore(&bench, "with cache", keys);
	folder_remove(bench.cache);
	restore(&bench, "without cache", keys);
	bench.store->ops->close(bench.store);
	folder_remove(bench.folder);
	return EXIT_SUCCESS;
}
