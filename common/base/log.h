/* common/base/log.h - one line per event on stderr: a JSON object, or text where stderr is a terminal.
 *
 * JSON keys: ts (RFC 3339 UTC), level, component, msg, and job and attempt once they are known.
 * Threads:   may be called from any thread; a line is written at once.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* format: "json", "text" or "auto" (NULL means auto). component is copied. */
void log_open(const char *component, const char *format, enum log_level least);
/* One of json, text, auto. */
bool log_format_is_known(const char *format);
bool log_level_parse(const char *text, enum log_level *level);
void log_set_job(const char *job, uint64_t attempt);
bool log_wants(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
