/* common/postgres/postgres_meaning.c - compares what the pipeline file means with what it meant; see postgres_schema.h. */
#include "common/postgres/postgres_schema.h"

#include <string.h>

/* The next line of *at as bytes; false at the end. */
static bool line_take(const char **at, struct bytes *line)
{
	size_t len = strcspn(*at, "\n");

	*line = (struct bytes){(const uint8_t *)*at, len};
	if (!**at)
		return false;
	*at += len + ((*at)[len] == '\n');
	return true;
}

enum sink_outcome postgres_meaning_check(
    const struct pipeline *pipeline, const char *fingerprint, const char *meaning, struct error *error)
{
	struct buffer words = {0};
	const char *was = meaning, *is = pipeline->meaning ? pipeline->meaning : "";
	struct bytes old, new;
	int shown = 0;

	if (strcmp(fingerprint, pipeline->fingerprint) == 0)
		return SINK_DONE;
	for (;;) {
		bool had = line_take(&was, &old), has = line_take(&is, &new);
		if (!had && !has)
			break;
		if (bytes_equal(old, new))
			continue;
		if (++shown <= 3)
			buffer_printf(&words, "; was \"%.*s\", is \"%.*s\"", (int)(old.len < 100 ? old.len : 100),
			    (const char *)old.data, (int)(new.len < 100 ? new.len : 100), (const char *)new.data);
	}
	if (shown > 3)
		buffer_printf(&words, "; and %d more", shown - 3);
	buffer_append(&words, "", 1);
	error_set(error, RESULT_CONFIG,
	    "the pipeline file does not mean what it meant when this job was started (fingerprint %.32s, now %s)%s",
	    fingerprint, pipeline->fingerprint, (const char *)words.data);
	buffer_fini(&words);
	return SINK_CONFIG;
}
