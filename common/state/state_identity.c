#include "common/state/state_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/crash_point.h"
#include "common/state/files.h"

enum { IDENTITY_BYTES_MAX = 128 * 1024, LINEAGE_BYTES = 16, LINE_BYTES = 64 };

static bool read_line(const char *path, char out[LINE_BYTES])
{
	FILE *file = fopen(path, "re");
	bool read = file != NULL && fgets(out, LINE_BYTES, file) != NULL && strchr(out, '\n') != NULL;
	if (read)
		out[strcspn(out, "\n")] = '\0';
	if (file != NULL)
		(void)fclose(file);
	return read;
}

/* Whoever comes first names the folder; all others read it. */
static enum result make_lineage(const char *path, struct error *error)
{
	uint8_t random[LINEAGE_BYTES];
	struct buffer text = {0};
	char beside[PATH_MAX + 16];
	(void)snprintf(beside, sizeof beside, "%s.XXXXXX", path);
	CHECK(getrandom(random, sizeof random, 0) == sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		buffer_printf(&text, "%02x", random[i]);
	buffer_append_text(&text, "\n");
	int fd = mkostemp(beside, O_CLOEXEC);
	enum result result =
	    fd < 0 ? file_failed(error, "create", beside) : file_write(fd, buffer_bytes(&text), beside, error);
	if (result == RESULT_OK && (fchmod(fd, 0644) != 0 || fsync(fd) != 0))
		result = file_failed(error, "sync", beside);
	if (result == RESULT_OK && link(beside, path) != 0 && errno != EEXIST)
		result = file_failed(error, "make", path);
	if (fd >= 0) {
		(void)close(fd);
		(void)unlink(beside);
	}
	buffer_fini(&text);
	return result;
}

static enum result lineage_of(const struct state_config *config, char out[LINE_BYTES], struct error *error)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof path, "%s/lineage", config->store->ops->root(config->store)) >= PATH_MAX)
		return error_stop(error, STOP_PIPELINE_FILE, "checkpoint.dir is too long a name");
	if (!read_line(path, out)) {
		if (make_lineage(path, error) != RESULT_OK)
			return error->code;
		if (!read_line(path, out))
			return error_set(error, RESULT_RETRY, "cannot read %s", path);
	}
	return RESULT_OK;
}

enum result identity_about(const struct state_config *config, char **about, struct error *error)
{
	struct buffer text = {0};
	char boot[LINE_BYTES], lineage[LINE_BYTES];
	if (lineage_of(config, lineage, error) != RESULT_OK)
		return error->code;
	if (!read_line("/proc/sys/kernel/random/boot_id", boot))
		return error_stop(error, STOP_NO_PROC, "/proc is not mounted");
	buffer_printf(&text, "sluice state cache 3\njob %s\nlineage %s\nrole %u\ngroups %u %u\nboot %s\n", config->job,
	    lineage, config->role, config->first_group, config->groups_len, boot);
	buffer_append(&text, "", 1);
	*about = (char *)text.data;
	return RESULT_OK;
}

static void print(struct buffer *text, const char *about, const struct cache_identity *identity)
{
	buffer_printf(text, "%scheckpoint %" PRIu64 " %" PRIu64 "\napplying %" PRIu64 " %" PRIu64 "\n", about,
	    identity->checkpoint.attempt, identity->checkpoint.n, identity->applying.attempt, identity->applying.n);
	for (uint32_t i = 0; i < identity->stores_len; i++) {
		buffer_printf(text, "store %" PRIu64 "\n", identity->stores[i].generation);
		for (uint32_t k = 0; k < identity->stores[i].slices_len; k++)
			buffer_printf(text, "slice %" PRIu64 "\n", identity->stores[i].slices[k]);
	}
	buffer_append_text(text, "end\n");
}

enum result identity_write(
    const char *folder, const char *about, const struct cache_identity *identity, struct error *error)
{
	char path[PATH_MAX], beside[PATH_MAX];
	struct buffer text = {0};
	print(&text, about, identity);
	(void)snprintf(path, sizeof path, "%s/identity", folder);
	(void)snprintf(beside, sizeof beside, "%s/identity.new", folder);
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	enum result result =
	    fd < 0 ? file_failed(error, "create", beside) : file_write(fd, buffer_bytes(&text), beside, error);
	if (fd >= 0)
		(void)close(fd);
	CRASH_POINT(identity_written);
	if (result == RESULT_OK && rename(beside, path) != 0)
		result = file_failed(error, "rename", beside);
	buffer_fini(&text);
	return result;
}

/* "word 12 7" of so many numbers as a line at *at, which is moved behind it. */
static bool read_numbers(const char **at, const char *word, uint64_t *numbers, size_t numbers_len)
{
	size_t len = strlen(word);
	char *end = (char *)*at + len;
	if (strncmp(*at, word, len) != 0)
		return false;
	for (size_t i = 0; i < numbers_len; i++) {
		const char *begin = end;
		numbers[i] = strtoull(begin, &end, 10);
		if (*begin != ' ' || end == begin)
			return false;
	}
	*at = end + 1;
	return *end == '\n';
}

static bool parse(const char *text, struct cache_identity *identity)
{
	uint64_t numbers[4];
	if (!read_numbers(&text, "checkpoint", numbers, 2) || !read_numbers(&text, "applying", numbers + 2, 2))
		return false;
	identity->checkpoint = (struct epoch_id){numbers[0], numbers[1]};
	identity->applying = (struct epoch_id){numbers[2], numbers[3]};
	while (strcmp(text, "end\n") != 0) {
		if (identity->stores_len == STORES_MAX || !read_numbers(&text, "store", numbers, 1))
			return false;
		struct store_identity *store = &identity->stores[identity->stores_len++];
		store->generation = numbers[0];
		while (store->slices_len < SLICES_MAX &&
		       read_numbers(&text, "slice", &store->slices[store->slices_len], 1))
			store->slices_len++;
	}
	return true;
}

bool identity_read(const char *folder, const char *about, struct cache_identity *identity)
{
	char path[PATH_MAX];
	size_t about_len = strlen(about);
	(void)snprintf(path, sizeof path, "%s/identity", folder);
	*identity = (struct cache_identity){0};
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	char *text = memory_new(IDENTITY_BYTES_MAX);
	(void)!fread(text, 1, IDENTITY_BYTES_MAX - 1, file);
	(void)fclose(file);
	bool good = strncmp(text, about, about_len) == 0 && parse(text + about_len, identity);
	free(text);
	if (!good)
		*identity = (struct cache_identity){0};
	return good;
}

void identity_remove(const char *folder)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof path, "%s/identity", folder);
	(void)unlink(path);
}
