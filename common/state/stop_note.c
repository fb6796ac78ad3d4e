#include "common/state/stop_note.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mutant.h"
#include "common/state/checkpoint_store.h"
#include "common/state/files.h"

static void path_of(const char *root, const char *name, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s/%s", root, name);
}

/* Written whole beside its place, then moved there. */
static enum result put(const char *root, const struct buffer *text, struct error *error)
{
	char path[PATH_MAX], beside[PATH_MAX];
	path_of(root, "stopped", path);
	path_of(root, "stopped.new", beside);
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return file_failed(error, "create", beside);
	enum result result = file_write(fd, buffer_bytes(text), beside, error);
	if (result == RESULT_OK && fsync(fd) != 0)
		result = file_failed(error, "sync", beside);
	(void)close(fd);
	if (result == RESULT_OK && rename(beside, path) != 0)
		result = file_failed(error, "make", path);
	return result == RESULT_OK ? folder_sync(root, error) : result;
}

enum result stop_note_write(const char *root, const struct stop_note *note, bool *written, struct error *error)
{
	struct buffer text = {0};
	uint64_t newest;
	*written = false;
	enum result result = checkpoint_folder_attempt(root, &newest, error);
	if (result != RESULT_OK || (newest > note->attempt && !MUTANT(stop_noted_by_the_fenced)))
		return result;
	buffer_printf(&text, "%" PRIu64 " %" PRId64 " %.*s\n", note->attempt, note->since_us,
	    (int)strcspn(note->text, "\n"), note->text);
	result = put(root, &text, error);
	*written = result == RESULT_OK;
	buffer_fini(&text);
	return result;
}

void stop_note_remove(const char *root)
{
	char path[PATH_MAX];
	path_of(root, "stopped", path);
	(void)unlink(path);
}

/* "12 1764500000000000 words", whole. */
static bool parse(char *line, struct stop_note *note)
{
	char *end = line + strcspn(line, "\n"), *at = line;
	if (*end != '\n' || *line < '0' || *line > '9')
		return false;
	*end = '\0';
	errno = 0;
	note->attempt = strtoull(line, &at, 10);
	note->since_us = *at == ' ' ? strtoll(at, &at, 10) : -1;
	if (*at != ' ' || note->since_us < 0 || errno != 0)
		return false;
	(void)snprintf(note->text, sizeof note->text, "%s", at + 1);
	return true;
}

bool stop_note_read(const char *root, struct stop_note *note)
{
	char path[PATH_MAX], line[ERROR_TEXT_MAX + 64];
	struct error error;
	uint64_t newest;
	path_of(root, "stopped", path);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	bool whole = fgets(line, sizeof line, file) != NULL && parse(line, note);
	(void)fclose(file);
	return whole && checkpoint_folder_attempt(root, &newest, &error) == RESULT_OK &&
	       (newest == note->attempt || MUTANT(stop_outlives_the_next_attempt));
}
