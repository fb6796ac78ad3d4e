#include "common/base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum result error_set(struct error *error, enum result code, const char *format, ...)
{
	if (error == NULL)
		return code;
	va_list args;
	va_start(args, format);
	error->code = code;
	(void)vsnprintf(error->text, sizeof error->text, format, args);
	va_end(args);
	return code;
}

#define WAY ". What to do: "

size_t error_found_len(const struct error *error)
{
	const char *way = strstr(error->text, WAY);
	return way != NULL ? (size_t)(way - error->text) : strlen(error->text);
}

enum result error_way(struct error *error, enum stop stop)
{
	char way[ERROR_TEXT_MAX / 2];
	if (error->code != RESULT_CONFIG)
		return error->code;
	int len = snprintf(way, sizeof way, WAY "%s", stop_way(stop));
	CHECK(len > 0 && (size_t)len < sizeof way);
	size_t found = strnlen(error->text, sizeof error->text - 1 - (size_t)len);
	memcpy(error->text + found, way, (size_t)len + 1);
	return error->code;
}

enum result error_stop(struct error *error, enum stop stop, const char *format, ...)
{
	if (error == NULL)
		return RESULT_CONFIG;
	va_list args;
	va_start(args, format);
	error->code = RESULT_CONFIG;
	(void)vsnprintf(error->text, sizeof error->text, format, args);
	va_end(args);
	return error_way(error, stop);
}

/* What does not fit is cut at the end: the newest words are the ones that say where to look. */
enum result error_wrap(struct error *error, const char *format, ...)
{
	char old[ERROR_TEXT_MAX];
	memcpy(old, error->text, sizeof old);
	va_list args;
	va_start(args, format);
	int written = vsnprintf(error->text, sizeof error->text, format, args);
	va_end(args);
	size_t used = written < 0 ? 0 : (size_t)written;
	for (const char *at = ": "; *at != '\0' && used < sizeof error->text - 1; at++)
		error->text[used++] = *at;
	for (const char *at = old; *at != '\0' && used < sizeof error->text - 1; at++)
		error->text[used++] = *at;
	error->text[used < sizeof error->text ? used : sizeof error->text - 1] = '\0';
	return error->code;
}

const char *result_name(enum result result)
{
	switch (result) {
	case RESULT_OK:
		return "OK";
	case RESULT_RETRY:
		return "RETRY";
	case RESULT_CORRUPT:
		return "CORRUPT";
	case RESULT_CONFIG:
		return "CONFIG";
	}
	panic("result %d has no name", (int)result);
}

void panic(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)fputs("panic: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	abort();
}
