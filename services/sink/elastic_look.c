/* services/sink/elastic_look.c - see elastic_look.h. */
#include "services/sink/elastic_look.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/error.h"
#include "common/base/mutant.h"
#include "services/sink/elastic_json.h"

enum { VALUE_MAX = 128, PATH_BYTES = 2048 };

/* --- what must not be there -------------------------------------------------------------------------------------- */

/* The first row whose path begins the leaf's decides; fine: the value that is none the less right, NULL: none is. */
struct look_rule {
	const char *path, *fine, *why;
};

static const struct look_rule rules[] = {
    {"settings.index.default_pipeline", "_none", "an ingest pipeline changes documents"},
    {"settings.index.final_pipeline", "_none", "an ingest pipeline changes documents"},
    {"settings.index.analysis.analyzer.default", NULL, "texts would be searched otherwise than the pipeline file says"},
    {"settings.index.mapping.ignore_malformed", "false", "what does not fit would be kept without a word"},
    {"settings.index.mapping.source.mode", "stored", "documents would not be kept as they are sent"},
    {"settings.index.mode", "standard", "documents would not be kept as they are sent"},
    {"mappings._source.enabled", "true", "documents would not be kept"},
    {"mappings._source.mode", "stored", "documents would not be kept as they are sent"},
    {"mappings._source", NULL, "documents would not be kept whole"},
    {"mappings._routing.required", "false", "documents are written without a routing"},
    {"mappings._data_stream_timestamp", NULL, "documents of a data stream have no place that is theirs"},
    {"mappings.enabled", "true", "documents could not be searched"},
};

/* What is undone by a person, or by Elasticsearch when its disk has room again; %s: the index. */
struct look_wait {
	const char *path;
	bool shut; /* it cannot be read either */
	const char *is, *verb, *undo;
};

static const struct look_wait waits[] = {
    {"settings.index.verified_before_close", true, "is closed", "POST", "/_open opens it again"},
    {"settings.index.frozen", true, "is frozen", "POST", "/_unfreeze changes that"},
    {"settings.index.blocks.read_only_allow_delete", false, "is read-only, as a disk is nearly full", "PUT",
        "/_settings {\"index.blocks.read_only_allow_delete\": null} changes that, once there is room"},
    {"settings.index.blocks.read_only", false, "is read-only", "PUT",
        "/_settings {\"index.blocks.read_only\": null} changes that"},
    {"settings.index.blocks.write", false, "is read-only", "PUT",
        "/_settings {\"index.blocks.write\": null} changes that"},
};

/* Of a field of ours: what others may add, for it changes neither what is taken nor what is found. */
static const char *const harmless[] = {"copy_to", "meta", "eager_global_ordinals", "store", "fielddata", "boost"};

/* --- leaves ------------------------------------------------------------------------------------------------------ */

struct leaf {
	char *path, *value;
	bool seen;
};

struct looking {
	struct index_look *look;
	const char *name;
	struct leaf *needed;
	size_t needed_len;
	bool named; /* the answer holds something */
};

/* "properties.amount.type", from the step `from` on; what does not fit is cut, and equals nothing. */
static void path_put(const struct json_reader *json, uint32_t from, char out[PATH_BYTES])
{
	size_t len = 0;
	out[0] = '\0';
	for (uint32_t i = from; i < json->depth && len < PATH_BYTES; i++) {
		const struct json_step *step = &json->steps[i];
		int added = step->list ? snprintf(out + len, PATH_BYTES - len, "[%u]", (unsigned)step->place)
		                       : snprintf(out + len, PATH_BYTES - len, "%s%s", i > from ? "." : "", step->key);
		len += added > 0 ? (size_t)added : 0;
	}
}

/* 100 and 100.0 are the same. */
static void value_put(const struct json_value *value, char out[VALUE_MAX])
{
	char number[VALUE_MAX];

	switch (value->kind) {
	case JSON_NULL:
		(void)snprintf(out, VALUE_MAX, "null");
		break;
	case JSON_BOOL:
		(void)snprintf(out, VALUE_MAX, "%s", value->integer ? "true" : "false");
		break;
	case JSON_INTEGER:
		(void)snprintf(out, VALUE_MAX, "%.17g", (double)value->integer);
		break;
	case JSON_NUMBER:
		(void)snprintf(number, sizeof number, "%.*s", (int)value->text.len, (const char *)value->text.data);
		(void)snprintf(out, VALUE_MAX, "%.17g", strtod(number, NULL));
		break;
	case JSON_TEXT:
		(void)snprintf(out, VALUE_MAX, "%.*s",
		    value->text.len < VALUE_MAX ? (int)value->text.len : VALUE_MAX - 1, (const char *)value->text.data);
		break;
	}
}

static bool on_needed(void *context, const struct json_reader *json, const struct json_value *value)
{
	struct looking *looking = context;
	char path[PATH_BYTES], text[VALUE_MAX];

	path_put(json, 0, path);
	value_put(value, text);
	looking->needed = memory_resize(looking->needed, looking->needed_len + 1, sizeof *looking->needed);
	looking->needed[looking->needed_len++] = (struct leaf){text_clone(path), text_clone(text), false};
	return true;
}

/* path is `front`, or goes on behind it with a step. */
static bool is_under(const char *path, const char *front)
{
	size_t len = strlen(front);
	return strncmp(path, front, len) == 0 && (path[len] == '\0' || path[len] == '.' || path[len] == '[');
}

static void wrong(struct looking *looking, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct looking *looking, const char *format, ...)
{
	va_list args;

	if (looking->look->wrong[0] != '\0')
		return; /* the first one is told */
	va_start(args, format);
	(void)vsnprintf(looking->look->wrong, sizeof looking->look->wrong, format, args);
	va_end(args);
}

/* --- fields of ours ---------------------------------------------------------------------------------------------- */

static bool is_ours(const struct looking *looking, const char *front)
{
	for (size_t i = 0; i < looking->needed_len; i++)
		if (is_under(looking->needed[i].path, front))
			return true;
	return false;
}

/* properties.<field>.fields.<more>...: another way to search it, if it is none of ours. */
static bool is_another_way(const struct looking *looking, const struct json_reader *json)
{
	char front[PATH_BYTES];

	if (json->depth < 6 || !json_step_is(&json->steps[4], "fields") || json->steps[5].list)
		return false;
	(void)snprintf(front, sizeof front, "properties.%s.fields.%s", json->steps[3].key, json->steps[5].key);
	return !is_ours(looking, front);
}

static bool is_harmless(const char *path)
{
	char last[PATH_BYTES];

	for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
		const char *found;
		(void)snprintf(last, sizeof last, ".%s", harmless[i]);
		found = strstr(path, last);
		if (found != NULL && is_under(found, last))
			return true;
	}
	return false;
}

/* Longer texts than we ask for may be found as a whole, too. */
static bool is_enough(const struct leaf *needed, const char *value)
{
	if (strcmp(needed->value, value) == 0)
		return true;
	size_t len = strlen(needed->path), end = sizeof ".ignore_above" - 1;
	return len > end && strcmp(needed->path + len - end, ".ignore_above") == 0 &&
	       strtod(value, NULL) >= strtod(needed->value, NULL);
}

/* <index>.mappings.properties.<field>... */
static void on_field(struct looking *looking, const struct json_reader *json, const char *value)
{
	char path[PATH_BYTES], front[PATH_BYTES];

	path_put(json, 2, path);
	(void)snprintf(front, sizeof front, "properties.%s", json->steps[3].key);
	if (!is_ours(looking, front))
		return;
	for (size_t i = 0; i < looking->needed_len; i++) {
		struct leaf *needed = &looking->needed[i];
		if (strcmp(needed->path, path) != 0)
			continue;
		needed->seen = true;
		if (!is_enough(needed, value) && !MUTANT(mapping_unread))
			wrong(looking, "maps field \"%s\" with %s = %s, and %s is needed", json->steps[3].key,
			    path + strlen(front) + 1, value, needed->value);
		return;
	}
	if (is_another_way(looking, json) || is_harmless(path) || MUTANT(mapping_unread))
		return;
	wrong(looking, "maps field \"%s\" with %s = %s, which is not in the pipeline file's mapping",
	    json->steps[3].key, path + (strlen(path) > strlen(front) ? strlen(front) + 1 : 0), value);
}

/* <index>.mappings.runtime.<field>...: it would stand in front of the one of that name. */
static void on_runtime(struct looking *looking, const struct json_reader *json)
{
	char front[PATH_BYTES];

	(void)snprintf(front, sizeof front, "properties.%s", json->steps[3].key);
	if (is_ours(looking, front))
		wrong(looking, "has a runtime field \"%s\" in front of the one of that name", json->steps[3].key);
}

/* --- the answer -------------------------------------------------------------------------------------------------- */

static void on_wait(struct looking *looking, const char *path, const char *value)
{
	for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
		const struct look_wait *row = &waits[i];
		char *words = row->shut ? looking->look->shut : looking->look->blocked;
		if (words[0] == '\0' && strcmp(path, row->path) == 0 && strcmp(value, "true") == 0 &&
		    !MUTANT(closed_unseen))
			(void)snprintf(
			    words, LOOK_WORDS_MAX, "%s: %s /%.150s%s", row->is, row->verb, looking->name, row->undo);
	}
}

static void on_setting(struct index_look *look, const char *path, const char *value)
{
	if (strcmp(path, "settings.index.uuid") == 0 && strlen(value) < sizeof look->uuid)
		memcpy(look->uuid, value, strlen(value) + 1);
	if (strcmp(path, "settings.index.translog.durability") == 0)
		look->unsafe = strcasecmp(value, "request") != 0;
}

static void on_rule(struct looking *looking, const char *path, const char *value)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		const struct look_rule *rule = &rules[i];
		if (!is_under(path, rule->path))
			continue;
		if ((rule->fine == NULL || strcmp(rule->fine, value) != 0) && !MUTANT(index_rules_unread))
			wrong(looking, "has %s = %.100s (%s)", path, value, rule->why);
		return;
	}
}

static bool on_leaf(void *context, const struct json_reader *json, const struct json_value *value)
{
	struct looking *looking = context;
	char path[PATH_BYTES], text[VALUE_MAX];

	looking->named = true;
	if (json->depth < 2 || json->steps[0].list)
		return false;
	if (strcmp(json->steps[0].key, looking->name) != 0) {
		bool stream = strncmp(json->steps[0].key, ".ds-", 4) == 0;
		if (!MUTANT(alias_unseen))
			wrong(looking, "is no index, but %s of %.200s", stream ? "a data stream" : "an alias",
			    json->steps[0].key);
		return true;
	}
	path_put(json, 1, path);
	value_put(value, text);
	on_setting(looking->look, path, text);
	on_wait(looking, path, text);
	on_rule(looking, path, text);
	if (json->depth >= 5 && json_step_is(&json->steps[1], "mappings") &&
	    json_step_is(&json->steps[2], "properties"))
		on_field(looking, json, text);
	else if (json->depth >= 4 && json_step_is(&json->steps[1], "mappings") &&
	         json_step_is(&json->steps[2], "runtime"))
		on_runtime(looking, json);
	return true;
}

bool index_look_read(struct index_look *look, const char *name, struct bytes mapping, struct bytes answer)
{
	struct looking looking = {.look = look, .name = name};

	*look = (struct index_look){0};
	if (mapping.data != NULL)
		CHECK(json_scan(mapping, on_needed, &looking)); /* our own */
	bool whole = json_scan(answer, on_leaf, &looking) && looking.named;
	for (size_t i = 0; i < looking.needed_len; i++) {
		look->lacks |= !looking.needed[i].seen;
		free(looking.needed[i].path);
		free(looking.needed[i].value);
	}
	free(looking.needed);
	return whole && (look->uuid[0] != '\0' || look->wrong[0] != '\0');
}
