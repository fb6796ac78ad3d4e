#include "common/state/key_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/state/files.h"

enum { LANES = 8, LANE_BITS = 32, BLOCK_BYTES = FILTER_BLOCK_WORDS * 8, AHEAD = 8, UNIT_BYTES = 64 * BLOCK_BYTES };

static enum result map(struct key_filter *filter, int fd, size_t bytes, const char *path, struct error *error)
{
	void *words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED)
		return file_failed(error, "map", path);
	*filter = (struct key_filter){words, bytes};
	return RESULT_OK;
}

static enum result make_exactly(struct key_filter *filter, const char *path, size_t bytes, struct error *error)
{
	*filter = (struct key_filter){0};
	int fd = open(path, O_RDWR | O_CLOEXEC | O_CREAT | O_TRUNC, 0666);
	if (fd < 0)
		return file_failed(error, "create", path);
	errno = posix_fallocate(fd, 0, (off_t)bytes);
	enum result result =
	    errno != 0 ? file_failed(error, "make room for", path) : map(filter, fd, bytes, path, error);
	(void)close(fd);
	if (result != RESULT_OK)
		(void)unlink(path);
	return result;
}

/* In units, so that it can be halved several times. */
enum result key_filter_make(struct key_filter *filter, const char *path, size_t bytes, struct error *error)
{
	return make_exactly(filter, path, (bytes + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES, error);
}

enum result key_filter_open(struct key_filter *filter, const char *path, struct error *error)
{
	struct stat status;
	enum result result;
	*filter = (struct key_filter){0};
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? error_set(error, RESULT_CORRUPT, "%s is missing", path)
		                       : file_failed(error, "open", path);
	if (fstat(fd, &status) != 0)
		result = file_failed(error, "look at", path);
	else if (status.st_size < BLOCK_BYTES || status.st_size % BLOCK_BYTES != 0)
		result = error_set(error, RESULT_CORRUPT, "%s is no filter", path);
	else
		result = map(filter, fd, (size_t)status.st_size, path, error);
	(void)close(fd);
	return result;
}

void key_filter_close(struct key_filter *filter)
{
	if (filter->words != NULL)
		(void)munmap((void *)filter->words, filter->bytes);
	*filter = (struct key_filter){0};
}

bool key_filter_can_be_halved(const struct key_filter *filter)
{
	return filter->bytes >= (size_t)2 * KEY_FILTER_LEAST_BYTES && filter->bytes % ((size_t)2 * BLOCK_BYTES) == 0;
}

/* A block is chosen by the upper bits of a product: two neighbours are one block of a filter of half the size. */
enum result key_filter_halve(struct key_filter *filter, const char *path, struct error *error)
{
	char beside[PATH_MAX];
	struct key_filter half;
	CHECK(key_filter_can_be_halved(filter));
	if (snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside)
		return error_stop(error, STOP_PIPELINE_FILE, "state.dir is too long a name");
	if (make_exactly(&half, beside, filter->bytes / 2, error) != RESULT_OK)
		return error->code;
	for (size_t i = 0; i < filter->bytes / sizeof *filter->words; i++) {
		_Atomic uint64_t *to =
		    &half.words[i / ((size_t)2 * FILTER_BLOCK_WORDS) * FILTER_BLOCK_WORDS + i % FILTER_BLOCK_WORDS];
		uint64_t both = atomic_load_explicit(to, memory_order_relaxed) |
		                atomic_load_explicit(&filter->words[i], memory_order_relaxed);
		atomic_store_explicit(to, both, memory_order_relaxed);
	}
	if (rename(beside, path) != 0) {
		key_filter_close(&half);
		return file_failed(error, "rename", beside);
	}
	key_filter_close(filter);
	*filter = half;
	return RESULT_OK;
}

/* The upper half of the hash chooses the block; the bits in it come from the upper bits of a product, in which both halves are
 * mixed (the key group has taken its part of the lower one). */
struct filter_mask filter_mask_of(uint64_t hash)
{
	struct filter_mask mask = {.place = hash >> 32};
	uint64_t bits = hash * UINT64_C(0x9e3779b97f4a7c15);
	bits ^= bits >> 32;
	bits *= UINT64_C(0xd6e8feb86659fd93);
	for (int lane = 0; lane < LANES; lane++)
		mask.words[lane / 2] |= UINT64_C(1) << ((bits >> (24 + 5 * lane) & 31) + (lane % 2 ? LANE_BITS : 0));
	return mask;
}

void key_filter_add(struct key_filter *filter, const uint64_t *hashes, size_t len)
{
	if (filter->words == NULL)
		return;
	for (size_t i = 0; i < len; i++) {
		if (i + AHEAD < len)
			key_filter_prefetch(filter, hashes[i + AHEAD]);
		const struct filter_mask mask = filter_mask_of(hashes[i]);
		_Atomic uint64_t *block = key_filter_block(filter, mask.place);
		for (int k = 0; k < FILTER_BLOCK_WORDS; k++) /* only one thread adds: nothing comes in between */
			atomic_store_explicit(&block[k],
			    atomic_load_explicit(&block[k], memory_order_relaxed) | mask.words[k],
			    memory_order_relaxed);
	}
}
