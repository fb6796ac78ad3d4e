#include "common/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/timestamp.h"

/* The one piece of state that a process has a single one of, like stderr itself. */
static struct {
	pthread_mutex_t lock; /* guards everything below; the level is read without it */
	char component[64];
	char job[128];
	uint64_t attempt;
	bool json;
	bool opened;
	_Atomic int least;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .component = "sluice", .least = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

bool log_format_is_known(const char *format)
{
	return strcmp(format, "auto") == 0 || strcmp(format, "json") == 0 || strcmp(format, "text") == 0;
}

bool log_level_parse(const char *text, enum log_level *level)
{
	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
		if (strcmp(text, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	return false;
}

static bool wants_json(const char *format)
{
	if (format != NULL && strcmp(format, "json") == 0)
		return true;
	if (format != NULL && strcmp(format, "text") == 0)
		return false;
	return isatty(STDERR_FILENO) == 0;
}

void log_open(const char *component, const char *format, enum log_level least)
{
	(void)pthread_mutex_lock(&sink.lock);
	(void)snprintf(sink.component, sizeof sink.component, "%s", component);
	sink.json = wants_json(format);
	sink.opened = true;
	sink.least = least;
	(void)pthread_mutex_unlock(&sink.lock);
}

void log_set_job(const char *job, uint64_t attempt)
{
	(void)pthread_mutex_lock(&sink.lock);
	(void)snprintf(sink.job, sizeof sink.job, "%s", job ? job : "");
	sink.attempt = attempt;
	(void)pthread_mutex_unlock(&sink.lock);
}

bool log_wants(enum log_level level)
{
	return (int)level >= sink.least;
}

/* Bytes of the well-formed UTF-8 character at text, or 0. */
static size_t character_len(const unsigned char *text)
{
	unsigned char lead = text[0];
	if (lead < 0x80)
		return 1;
	size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((text[i] & 0xc0) != 0x80) /* a NUL ends the text here too */
			return 0;
	/* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
	if ((lead == 0xe0 && text[1] < 0xa0) || (lead == 0xed && text[1] > 0x9f) || (lead == 0xf0 && text[1] < 0x90) ||
	    (lead == 0xf4 && text[1] > 0x8f))
		return 0;
	return len;
}

/* The text such that it stays on its line and inside its quotes, whatever bytes a message quotes. */
static void put_escaped(struct buffer *line, const char *text, bool json)
{
	const unsigned char *at = (const unsigned char *)text;
	while (*at != '\0') {
		size_t len = character_len(at);
		if (len == 0)
			buffer_append_text(line, json ? "\\ufffd" : "\xef\xbf\xbd");
		else if (*at == '\n')
			buffer_append_text(line, "\\n");
		else if (*at < 0x20 || *at == 0x7f)
			buffer_printf(line, "\\u%04x", *at);
		else if (json && (*at == '"' || *at == '\\'))
			buffer_printf(line, "\\%c", *at);
		else
			buffer_append(line, at, len);
		at += len ? len : 1;
	}
}

static void put_key(struct buffer *line, const char *key, const char *value)
{
	buffer_printf(line, ",\"%s\":\"", key);
	put_escaped(line, value, true);
	buffer_append_text(line, "\"");
}

static void put_json(struct buffer *line, const char *time, const char *level, const char *message)
{
	buffer_printf(line, "{\"ts\":\"%sZ\",\"level\":\"%s\"", time, level);
	put_key(line, "component", sink.component);
	if (sink.job[0] != '\0')
		put_key(line, "job", sink.job);
	if (sink.attempt != 0)
		buffer_printf(line, ",\"attempt\":%llu", (unsigned long long)sink.attempt);
	put_key(line, "msg", message);
	buffer_append_text(line, "}\n");
}

static void put_text(struct buffer *line, const char *time, const char *level, const char *message)
{
	buffer_printf(line, "%.23sZ %-5s %s: ", time, level, sink.component); /* milliseconds are enough to read */
	const char *kind = strrchr(sink.job, '/'); /* which of a pipeline's jobs */
	if (sink.attempt != 0)
		buffer_printf(line, "[%s attempt %llu] ", kind ? kind + 1 : sink.job, (unsigned long long)sink.attempt);
	put_escaped(line, message, false);
	buffer_append_text(line, "\n");
}

static void write_all(const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t written = write(STDERR_FILENO, data, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return; /* nowhere to complain about it */
		data += written;
		len -= (size_t)written;
	}
}

void log_write(enum log_level level, const char *format, ...)
{
	if (!log_wants(level))
		return;
	int errno_before = errno; /* a caller may log before it looks */
	char time[TIMESTAMP_TEXT_MAX], *message = NULL;
	va_list args;
	va_start(args, format);
	if (vasprintf(&message, format, args) < 0)
		panic("out of memory");
	va_end(args);
	(void)timestamp_print(clock_realtime_us(), time);

	struct buffer line = {0};
	(void)pthread_mutex_lock(&sink.lock);
	if (!sink.opened) {
		sink.json = wants_json(NULL);
		sink.opened = true;
	}
	if (sink.json)
		put_json(&line, time, level_names[level], message);
	else
		put_text(&line, time, level_names[level], message);
	write_all(line.data, line.len);
	(void)pthread_mutex_unlock(&sink.lock);

	buffer_fini(&line);
	free(message);
	errno = errno_before;
}
