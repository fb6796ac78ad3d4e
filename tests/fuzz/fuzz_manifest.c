/* Any bytes as a manifest: never more than an error; and whatever files it names, nothing outside of the checkpoints is touched. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/state/checkpoint_store.h"
#include "common/state/files.h"

#define JOB "shop/totals"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/sluice-fuzz-manifest-XXXXXX";
static struct checkpoint_store *store;

static void clean(void)
{
	folder_remove(dir);
}

static void path_of(char path[PATH_MAX], const char *name)
{
	(void)snprintf(path, PATH_MAX, "%s/" JOB "/%s", dir, name);
}

static void write_file(const char *name, struct bytes bytes)
{
	char path[PATH_MAX];
	struct error error;
	path_of(path, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && file_write(fd, bytes, path, &error) == RESULT_OK);
	(void)close(fd);
}

static bool is_there(const char *name)
{
	char path[PATH_MAX];
	path_of(path, name);
	return access(path, F_OK) == 0;
}

static void start(void)
{
	struct error error;
	char path[PATH_MAX];
	CHECK(mkdtemp(dir) != NULL);
	(void)atexit(clean);
	CHECK(checkpoint_folder_open(&store, dir, JOB, &error) == RESULT_OK);
	path_of(path, "checkpoints/1.2");
	CHECK(folders_make(path, &error) == RESULT_OK);
	write_file("precious", (struct bytes){0});
}

static void read_manifest(struct bytes content)
{
	const struct epoch_id epoch = {1, 2};
	struct frame_manifest manifest;
	struct arena arena = {0};
	struct error error = {0};
	bool found = false, whole = false;
	write_file("checkpoints/1.2/manifest", content);
	enum result result = store->ops->get_manifest(store, epoch, &arena, &manifest, &found, &error);
	CHECK(result == RESULT_OK ? found : error.text[0] != '\0');
	if (result == RESULT_OK && store->ops->check_files(store, &manifest.files, &whole, &error) == RESULT_OK)
		CHECK(whole || error.text[0] != '\0');
	for (uint32_t i = 0; result == RESULT_OK && i < manifest.files.len && i < 20; i++)
		(void)store->ops->remove_file(store, manifest.files.entries[i].name, &error);
	CHECK(is_there("precious") && is_there("checkpoints/1.2/manifest"));
	arena_fini(&arena);
}

/* The same lists, as a manifest of the checkpoint that is asked for. */
static void read_adopted(struct bytes body)
{
	struct frame_header header = {.kind = FRAME_MANIFEST, .job = frame_job(JOB), .attempt = 1};
	struct buffer message = {0};
	struct arena arena = {0};
	struct frame frame;
	struct error error;
	frame_encode_raw(&message, &header, body);
	if (frame_decode(buffer_bytes(&message), &arena, &frame, NULL, &error) == RESULT_OK) {
		frame.body.manifest.job = JOB;
		frame.body.manifest.epoch = (struct epoch_id){1, 2};
		buffer_clear(&message);
		frame_encode(&message, &header, &frame.body);
		read_manifest(buffer_bytes(&message));
	}
	buffer_fini(&message);
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (store == NULL)
		start();
	if (size > FRAME_MAX / 2)
		return 0;
	read_manifest((struct bytes){data, size});
	read_adopted((struct bytes){data, size});
	return 0;
}
