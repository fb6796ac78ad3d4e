/* tests/chaos/shim.c - preloaded into a process: makes its disk fail, its clock jump and its channels break while it runs.
 *
 * SLUICE_SHIM names a file of eight 32-bit integers, mapped at start and written by whoever wants trouble (struct trouble
 * below, all 0: none). SLUICE_SHIM_FOLDERS, a list separated by colons, says beneath which folders files are in trouble:
 * everything else, logs for instance, stays as it is. SLUICE_SHIM_SPARED, a list of ports of the same kind: connections to
 * these are no channels between processes.
 *
 * SLUICE_SHIM_JOURNAL names a file that gets a line for each change beneath these folders, once it has been done: create, write, sync,
 * mkdir, rmdir, unlink PATH; rename, link PATH PATH. From it one can tell what a power cut would have left: tests/integration/disk.py.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct trouble {
	int32_t write_error; /* errno of every write; 0: none */
	int32_t sync_error; /* of every fsync and fdatasync */
	int32_t open_error; /* of every open for writing, and of every rename */
	int32_t short_writes; /* not 0: a write writes half */
	int32_t clock_seconds; /* added to the wall clock */
	int32_t reset_every; /* so many messages on channels, and the connection of the last one is reset; 0: never */
	int32_t channel_us; /* each takes so much longer */
	int32_t sync_ms; /* of every fsync and fdatasync: so does it */
};

enum { FILES_MAX = 4096, PATH_BYTES = 1024 };

static const struct trouble no_trouble;
static const volatile struct trouble *trouble = (const volatile struct trouble *)&no_trouble;
static const char *folders, *spared;
static int journal_fd = -1;
static bool watched[FILES_MAX]; /* by file descriptor: lies beneath one of the folders */

#define REAL(name) ((__typeof__(&(name)))real(#name))

static void *real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void start(void)
{
	const char *journal_path = getenv("SLUICE_SHIM_JOURNAL");
	if (journal_path)
		journal_fd = REAL(open)(journal_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	folders = getenv("SLUICE_SHIM_FOLDERS");
	spared = getenv("SLUICE_SHIM_SPARED");

	const char *path = getenv("SLUICE_SHIM");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *mapped = mmap(NULL, sizeof *trouble, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		trouble = mapped;
}

static bool beneath(const char *path)
{
	for (const char *at = folders; at && *at;) {
		size_t len = strcspn(at, ":");
		if (len && strncmp(path, at, len) == 0 && path[len] == '/')
			return true;
		at += len + (at[len] == ':');
	}
	return false;
}

static bool is_watched(int fd)
{
	return fd >= 0 && fd < FILES_MAX && watched[fd];
}

/* A line is appended whole; errno stays. */
static void journal(const char *what, const char *path, const char *to)
{
	char line[2 * PATH_BYTES + 16];
	int before = errno, len;

	if (journal_fd < 0 || !beneath(path))
		return;
	len = snprintf(line, sizeof line, "%s %s%s%s\n", what, path, to ? " " : "", to ? to : "");
	if (len > 0 && (size_t)len < sizeof line && REAL(write)(journal_fd, line, (size_t)len) != len)
		abort();
	errno = before;
}

static void journal_of_fd(const char *what, int fd)
{
	char link[32], path[PATH_BYTES];

	if (journal_fd < 0 || !is_watched(fd))
		return;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, sizeof path - 1);
	if (len <= 0)
		return;
	path[len] = '\0';
	journal(what, path, NULL);
}

static int opened(const char *path, int flags, mode_t mode, const char *name)
{
	static int (*next)(const char *, int, ...), (*next64)(const char *, int, ...);
	bool watch = beneath(path), was = journal_fd >= 0 && access(path, F_OK) == 0;

	if (!next)
		next = (int (*)(const char *, int, ...))real("open");
	if (!next64)
		next64 = (int (*)(const char *, int, ...))real("open64");
	if (watch && trouble->open_error && (flags & O_ACCMODE) != O_RDONLY) {
		errno = trouble->open_error;
		return -1;
	}
	int fd = (strcmp(name, "open") == 0 ? next : next64)(path, flags, mode);
	if (fd >= 0 && fd < FILES_MAX)
		watched[fd] = watch;
	if (fd >= 0 && (flags & O_CREAT))
		journal(was ? "write" : "create", path, NULL);
	return fd;
}

#define OPEN(name)                                                                                                     \
	int name(const char *path, int flags, ...)                                                                     \
	{                                                                                                              \
		mode_t mode = 0;                                                                                       \
		if (flags & (O_CREAT | O_TMPFILE)) {                                                                   \
			va_list arguments;                                                                             \
			va_start(arguments, flags);                                                                    \
			mode = va_arg(arguments, mode_t);                                                              \
			va_end(arguments);                                                                             \
		}                                                                                                      \
		return opened(path, flags, mode, #name);                                                               \
	}

OPEN(open)
OPEN(open64)

int mkostemp(char *path, int flags)
{
	static __typeof__(&mkostemp) next;

	if (!next)
		next = REAL(mkostemp);
	int fd = next(path, flags);
	if (fd >= 0 && fd < FILES_MAX)
		watched[fd] = beneath(path);
	if (fd >= 0)
		journal("create", path, NULL);
	return fd;
}

int close(int fd)
{
	static __typeof__(&close) next;

	if (!next)
		next = REAL(close);
	if (fd >= 0 && fd < FILES_MAX)
		watched[fd] = false;
	return next(fd);
}

ssize_t write(int fd, const void *data, size_t len)
{
	static __typeof__(&write) next;

	if (!next)
		next = REAL(write);
	if (is_watched(fd) && trouble->write_error) {
		errno = trouble->write_error;
		return -1;
	}
	if (is_watched(fd) && trouble->short_writes && len > 1)
		len /= 2;
	ssize_t written = next(fd, data, len);
	if (written > 0)
		journal_of_fd("write", fd);
	return written;
}

static int synced(int fd, int (*next)(int))
{
	if (is_watched(fd) && trouble->sync_error) {
		errno = trouble->sync_error;
		return -1;
	}
	if (is_watched(fd) && trouble->sync_ms)
		usleep((useconds_t)trouble->sync_ms * 1000);
	int result = next(fd);
	if (result == 0)
		journal_of_fd("sync", fd);
	return result;
}

int fsync(int fd)
{
	static __typeof__(&fsync) next;

	if (!next)
		next = REAL(fsync);
	return synced(fd, next);
}

int fdatasync(int fd)
{
	static __typeof__(&fdatasync) next;

	if (!next)
		next = REAL(fdatasync);
	return synced(fd, next);
}

int rename(const char *from, const char *to)
{
	static __typeof__(&rename) next;

	if (!next)
		next = REAL(rename);
	if (beneath(to) && trouble->open_error) {
		errno = trouble->open_error;
		return -1;
	}
	int result = next(from, to);
	if (result == 0)
		journal("rename", from, to);
	return result;
}

int link(const char *from, const char *to)
{
	static __typeof__(&link) next;

	if (!next)
		next = REAL(link);
	int result = next(from, to);
	if (result == 0)
		journal("link", from, to);
	return result;
}

#define NAME_CALL(name, parameters, arguments)                                                                         \
	int name parameters                                                                                            \
	{                                                                                                              \
		static __typeof__(&name) next;                                                                         \
                                                                                                                       \
		if (!next)                                                                                             \
			next = REAL(name);                                                                             \
		int result = next arguments;                                                                           \
		if (result == 0)                                                                                       \
			journal(#name, path, NULL);                                                                    \
		return result;                                                                                         \
	}

NAME_CALL(unlink, (const char *path), (path))
NAME_CALL(mkdir, (const char *path, mode_t mode), (path, mode))
NAME_CALL(rmdir, (const char *path), (path))

int unlinkat(int folder, const char *name, int flags)
{
	static __typeof__(&unlinkat) next;
	char link[32], path[PATH_BYTES], inner[2 * PATH_BYTES];

	if (!next)
		next = REAL(unlinkat);
	int result = next(folder, name, flags);
	snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
	ssize_t len = result == 0 && journal_fd >= 0 ? readlink(link, path, sizeof path - 1) : 0;
	if (len > 0) {
		snprintf(inner, sizeof inner, "%.*s/%s", (int)len, path, name);
		journal(flags & AT_REMOVEDIR ? "rmdir" : "unlink", inner, NULL);
	}
	return result;
}

static bool is_spared(int port)
{
	for (const char *at = spared; at && *at; at += strcspn(at, ":"), at += *at == ':')
		if (atoi(at) == port)
			return true;
	return false;
}

/* Either end of it may be the one that listens. */
static bool is_channel(int fd)
{
	struct sockaddr_in here, there;
	socklen_t here_len = sizeof here, there_len = sizeof there;

	return getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
	       getpeername(fd, (struct sockaddr *)&there, &there_len) == 0 && there.sin_family == AF_INET &&
	       !is_spared(ntohs(here.sin_port)) && !is_spared(ntohs(there.sin_port));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	static __typeof__(&sendmsg) next;
	static atomic_uint sent;
	int32_t every = trouble->reset_every, delay_us = trouble->channel_us;

	if (!next)
		next = REAL(sendmsg);
	if ((every || delay_us) && is_channel(fd)) {
		if (delay_us)
			usleep((useconds_t)delay_us);
		if (every && atomic_fetch_add(&sent, 1) % (unsigned)every == (unsigned)every - 1) {
			shutdown(fd, SHUT_RDWR);
			errno = ECONNRESET;
			return -1;
		}
	}
	return next(fd, message, flags);
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
	static __typeof__(&clock_gettime) next;

	if (!next)
		next = REAL(clock_gettime);
	int result = next(clock, at);
	if (result == 0 && clock == CLOCK_REALTIME)
		at->tv_sec += trouble->clock_seconds;
	return result;
}

int gettimeofday(struct timeval *at, void *zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*at = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}
