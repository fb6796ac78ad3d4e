/* Any bytes as a file of a checkpoint: never more than an error, never more memory than the file itself explains. The
 * checksums are made right first, for otherwise hardly any input would get past them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/state/delta_file.h"
#include "common/state/files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FOOTER_SIZE = 40, INDEX_ENTRY_SIZE = 32, GROUPS = 8 };

static uint64_t number_at(const uint8_t *at)
{
	uint64_t number;
	memcpy(&number, at, sizeof number);
	return number;
}

static void put_checksum(uint8_t *to, const uint8_t *data, size_t len)
{
	uint64_t checksum = XXH3_64bits(data, len);
	memcpy(to, &checksum, sizeof checksum);
}

static void repair(uint8_t *file, size_t size)
{
	if (size < FOOTER_SIZE)
		return;
	uint8_t *footer = file + size - FOOTER_SIZE;
	uint64_t end = number_at(footer), blocks = number_at(footer + 8);
	if (end > size - FOOTER_SIZE || blocks > (size - FOOTER_SIZE - end) / INDEX_ENTRY_SIZE)
		return;
	for (uint64_t i = 0; i < blocks; i++) {
		uint8_t *entry = file + end + i * INDEX_ENTRY_SIZE;
		uint64_t len = number_at(entry + 8) >> 32, at = number_at(entry + 16);
		if (at <= end && len <= end - at)
			put_checksum(entry + 24, file + at, (size_t)len);
	}
	put_checksum(footer + 24, file + end, (size_t)blocks * INDEX_ENTRY_SIZE);
}

static void read_all(const char *path)
{
	struct delta_reader *reader;
	struct delta_entry entry;
	struct error error;
	bool more = true;
	size_t sum = 0;
	if (delta_reader_open(&reader, path, NULL, 1, GROUPS - 1, &error) != RESULT_OK)
		return;
	while (more && delta_reader_next(reader, &entry, &more, &error) == RESULT_OK)
		for (size_t i = 0; more && i < entry.key.len; i++)
			sum += entry.key.data[i];
	delta_reader_close(reader);
	if (sum == SIZE_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	struct error error;
	if (size == 0)
		return 0;
	int fd = memfd_create("file", MFD_CLOEXEC);
	if (fd < 0)
		abort();
	uint8_t *copy = memory_resize(NULL, size, 1);
	memcpy(copy, data, size);
	repair(copy, size);
	if (file_write(fd, (struct bytes){copy, size}, "file", &error) != RESULT_OK)
		abort();
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	read_all(path);
	(void)close(fd);
	free(copy);
	return 0;
}
