/* common/postgres/postgres_meaning.c - compares what the pipeline file means with what it meant; see postgres_schema.h. */
#include "common/postgres/postgres_schema.h"

#include <string.h>

static enum meaning_change compare(const struct pipeline *pipeline, const char *meaning, struct buffer *words)
{
	enum meaning_change change =
	    pipeline_meaning_compare(meaning, pipeline->meaning != NULL ? pipeline->meaning : "", words);
	buffer_append(words, "", 1);
	return change;
}

static enum sink_outcome refuse(
    const struct pipeline *pipeline, const char *fingerprint, const char *words, struct error *error)
{
	error_stop(error, STOP_OTHER_MEANING,
	    "the pipeline file does not mean what it meant when this job was started (fingerprint %.32s, now %s): %s",
	    fingerprint, pipeline->fingerprint, words);
	return SINK_CONFIG;
}

enum sink_outcome postgres_meaning_check(
    const struct pipeline *pipeline, const char *fingerprint, const char *meaning, struct error *error)
{
	struct buffer words = {0};
	enum sink_outcome outcome = SINK_DONE;
	if (strcmp(fingerprint, pipeline->fingerprint) == 0)
		return outcome;
	(void)compare(pipeline, meaning, &words);
	outcome = refuse(pipeline, fingerprint, (const char *)words.data, error);
	buffer_fini(&words);
	return outcome;
}

enum sink_outcome postgres_meaning_change(const struct pipeline *pipeline, const char *fingerprint, const char *meaning,
    enum meaning_change *change, struct buffer *words, struct error *error)
{
	enum sink_outcome outcome = SINK_DONE;
	*change = MEANING_SAME;
	if (strcmp(fingerprint, pipeline->fingerprint) == 0)
		return outcome;
	/* Another format of the text itself, or a fingerprint of an older release: the same lines, and yet not the same. */
	*change = compare(pipeline, meaning, words);
	if (*change != MEANING_MEASURES && *change != MEANING_LIMITS)
		outcome = refuse(pipeline, fingerprint, (const char *)words->data, error);
	return outcome;
}
