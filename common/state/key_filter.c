#include "common/state/key_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/state/files.h"

enum {
	LINE_WORDS = 8, /* 64 bytes: one cache line */
	LINE_BYTES = LINE_WORDS * 8,
	BITS_PER_KEY = 12,
	PROBES = 6,
};

/* create: a new one of so many bytes; otherwise whatever is there. */
static enum result map_segment(
    const char *path, size_t bytes, bool create, struct filter_segment *segment, bool *there, struct error *error)
{
	struct stat status;
	enum result result = RESULT_OK;
	int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0), 0666);
	*there = fd >= 0;
	if (fd < 0)
		return !create && errno == ENOENT ? RESULT_OK : file_failed(error, "open", path);
	if (create) {
		errno = posix_fallocate(fd, 0, (off_t)bytes);
		if (errno != 0)
			result = file_failed(error, "make room for", path);
	} else if (fstat(fd, &status) != 0) {
		result = file_failed(error, "look at", path);
	} else {
		bytes = (size_t)status.st_size;
		if (bytes < LINE_BYTES || bytes % LINE_BYTES != 0)
			result = error_set(error, RESULT_CORRUPT, "%s is no filter", path);
	}
	void *words = MAP_FAILED;
	if (result == RESULT_OK) {
		words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (words == MAP_FAILED)
			result = file_failed(error, "map", path);
	}
	(void)close(fd);
	if (result != RESULT_OK && create)
		(void)unlink(path);
	if (result == RESULT_OK)
		*segment = (struct filter_segment){words, bytes};
	return result;
}

static void segment_path(const struct key_filter *filter, uint32_t place, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s.%u", filter->path, place);
}

enum result key_filter_open(struct key_filter *filter, const char *path, uint64_t room, struct error *error)
{
	char segment[PATH_MAX];
	*filter = (struct key_filter){.path = text_clone(path), .room = room};
	for (bool there = true; there && filter->segments_len < FILTER_SEGMENTS_MAX;) {
		segment_path(filter, filter->segments_len, segment);
		if (map_segment(segment, 0, false, &filter->segments[filter->segments_len], &there, error) !=
		    RESULT_OK) {
			key_filter_close(filter);
			return error->code;
		}
		filter->segments_len += there;
	}
	return RESULT_OK;
}

void key_filter_close(struct key_filter *filter)
{
	for (uint32_t i = 0; i < filter->segments_len; i++)
		(void)munmap((void *)filter->segments[i].words, filter->segments[i].bytes);
	free(filter->path);
	*filter = (struct key_filter){0};
}

/* --- its size ----------------------------------------------------------------------------------------------------- */

size_t key_filter_bytes(const struct key_filter *filter)
{
	size_t bytes = 0;
	for (uint32_t i = 0; i < filter->segments_len; i++)
		bytes += filter->segments[i].bytes;
	return bytes;
}

static size_t bytes_for(uint64_t keys)
{
	size_t least = FILTER_SEGMENT_LEAST_BYTES;
	return (size_t)(keys * BITS_PER_KEY / 8 / least + 1) * least;
}

size_t key_filter_wish(const struct key_filter *filter, uint64_t more_keys, uint64_t expected_keys)
{
	if (filter->segments_len > 0 && more_keys <= filter->room)
		return 0;
	size_t bytes = bytes_for(more_keys > expected_keys ? more_keys : expected_keys);
	size_t twice = filter->segments_len == 0 ? 0 : filter->segments[filter->segments_len - 1].bytes * 2;
	return bytes > twice ? bytes : twice;
}

enum result key_filter_grow(
    struct key_filter *filter, uint64_t more_keys, size_t wish, size_t bytes, struct error *error)
{
	char path[PATH_MAX];
	bool there;
	bool worth_it = bytes >= FILTER_SEGMENT_LEAST_BYTES && filter->segments_len < FILTER_SEGMENTS_MAX;
	if (wish > 0) {
		filter->room = (uint64_t)wish * 8 / BITS_PER_KEY;
		if (bytes < FILTER_SEGMENT_LEAST_BYTES)
			bytes = FILTER_SEGMENT_LEAST_BYTES;
	}
	if (wish > 0 && (worth_it || filter->segments_len == 0)) {
		segment_path(filter, filter->segments_len, path);
		if (map_segment(path, bytes, true, &filter->segments[filter->segments_len], &there, error) != RESULT_OK)
			return error->code;
		filter->segments_len++;
	}
	filter->room = filter->room > more_keys ? filter->room - more_keys : 0;
	return RESULT_OK;
}

static bool can_be_halved(const struct filter_segment *segment)
{
	return segment->bytes > FILTER_SEGMENT_LEAST_BYTES && segment->bytes % ((size_t)2 * LINE_BYTES) == 0;
}

/* len: none. */
static uint32_t largest_of(const struct key_filter *filter)
{
	uint32_t largest = filter->segments_len;
	for (uint32_t i = 0; i < filter->segments_len; i++)
		if (can_be_halved(&filter->segments[i]) &&
		    (largest == filter->segments_len || filter->segments[i].bytes > filter->segments[largest].bytes))
			largest = i;
	return largest;
}

size_t key_filter_largest(const struct key_filter *filter)
{
	uint32_t largest = largest_of(filter);
	return largest == filter->segments_len ? 0 : filter->segments[largest].bytes;
}

/* A line is chosen by the upper bits of a product: two neighbours are one line of a segment of half the size. */
enum result key_filter_halve(struct key_filter *filter, struct error *error)
{
	uint32_t largest = largest_of(filter);
	char path[PATH_MAX], beside[PATH_MAX + 8];
	CHECK(largest < filter->segments_len);
	struct filter_segment old = filter->segments[largest], half = {0};
	bool there;
	segment_path(filter, largest, path);
	(void)snprintf(beside, sizeof beside, "%s.new", path);
	if (map_segment(beside, old.bytes / 2, true, &half, &there, error) != RESULT_OK)
		return error->code;
	for (size_t i = 0; i < old.bytes / sizeof *old.words; i++) {
		_Atomic uint64_t *to = &half.words[i / ((size_t)2 * LINE_WORDS) * LINE_WORDS + i % LINE_WORDS];
		uint64_t both = atomic_load_explicit(to, memory_order_relaxed) |
		                atomic_load_explicit(&old.words[i], memory_order_relaxed);
		atomic_store_explicit(to, both, memory_order_relaxed);
	}
	if (rename(beside, path) != 0) {
		(void)munmap((void *)half.words, half.bytes);
		return file_failed(error, "rename", beside);
	}
	(void)munmap((void *)old.words, old.bytes);
	filter->segments[largest] = half;
	return RESULT_OK;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* The upper half of the hash chooses the line, the lower half the bits in it. */
static size_t line_of(const struct filter_segment *segment, uint64_t hash)
{
	return (size_t)((hash >> 32) * (segment->bytes / LINE_BYTES) >> 32) * LINE_WORDS;
}

void key_filter_add(struct key_filter *filter, uint64_t hash)
{
	struct filter_segment *segment = &filter->segments[filter->segments_len - 1];
	_Atomic uint64_t *line = segment->words + line_of(segment, hash);
	uint64_t bits = hash * UINT64_C(0x9e3779b97f4a7c15);
	for (int i = 0; i < PROBES; i++, bits >>= 9) { /* only one thread adds: nothing comes between load and store */
		_Atomic uint64_t *word = &line[bits >> 6 & 7];
		uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
		atomic_store_explicit(word, old | UINT64_C(1) << (bits & 63), memory_order_relaxed);
	}
}

bool key_filter_may_hold(const struct key_filter *filter, uint64_t hash)
{
	uint64_t mixed = hash * UINT64_C(0x9e3779b97f4a7c15);
	for (uint32_t s = filter->segments_len; s-- > 0;) {
		const struct filter_segment *segment = &filter->segments[s];
		const _Atomic uint64_t *line = segment->words + line_of(segment, hash);
		uint64_t bits = mixed;
		int i = 0;
		while (i < PROBES &&
		       (atomic_load_explicit(&line[bits >> 6 & 7], memory_order_relaxed) >> (bits & 63) & 1) != 0) {
			bits >>= 9;
			i++;
		}
		if (i == PROBES)
			return true;
	}
	return false;
}
