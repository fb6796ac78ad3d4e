#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/base/pipeline_draft.h"
#include "common/base/timestamp.h"

/* --- secrets --------------------------------------------------------------------------------------------------- */

static bool kafka_setting_is_secret(const char *name)
{
	static const char *const words[] = {
	    "password", "secret", "key.pem", "sasl.jaas", "oauthbearer.config", "token"};
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcasestr(name, words[i]) != NULL)
			return true;
	return false;
}

/* Where the value of password=... that begins at `value` ends: in a url at &, otherwise as libpq reads it. */
static const char *password_end(const char *value, bool url)
{
	if (url)
		return value + strcspn(value, "&");
	if (*value != '\'')
		return value + strcspn(value, " \t\n");
	for (value++; *value != '\0'; value++)
		if (*value == '\\' && value[1] != '\0')
			value++;
		else if (*value == '\'')
			return value + 1;
	return value;
}

/* Every `password` (sslpassword too) that is given a value. */
static void put_without_passwords(const char *text, bool url, struct buffer *out)
{
	for (;;) {
		const char *found = strcasestr(text, "password");
		if (found == NULL)
			break;
		const char *at = found + strlen("password");
		at += strspn(at, " \t\n");
		if (*at != '=') {
			buffer_append(out, text, (size_t)(at - text));
			text = at;
			continue;
		}
		at++;
		at += strspn(at, " \t\n");
		buffer_append(out, text, (size_t)(at - text));
		buffer_append_text(out, "***");
		text = password_end(at, url);
	}
	buffer_append_text(out, text);
}

/* Connection strings of both of libpq's forms. Where it is not certain what is the password, more is hidden: a url's
 * from the first colon behind its :// up to the last @. */
static void put_redacted(const char *text, struct buffer *out)
{
	const char *user = strstr(text, "://");
	const char *host = user ? strrchr(user, '@') : NULL;
	const char *colon = host ? memchr(user + 3, ':', (size_t)(host - user - 3)) : NULL;
	if (colon != NULL) {
		buffer_append(out, text, (size_t)(colon + 1 - text));
		buffer_append_text(out, "***");
		text = host;
	}
	put_without_passwords(text, user != NULL, out);
}

static void print_redacted(const char *text, struct buffer *out)
{
	struct buffer safe = {0};
	put_redacted(text, &safe);
	buffer_append(&safe, "", 1);
	yaml_print_text((const char *)safe.data, out);
	buffer_fini(&safe);
}

/* --- what has a shape of its own; each begins behind "key:" and ends its lines --------------------------------- */

void print_start(const void *base, struct buffer *out)
{
	const struct pipeline *pipeline = base;
	const struct start *start = &pipeline->source.start;
	char time[TIMESTAMP_TEXT_MAX];
	switch (start->at) {
	case START_EARLIEST:
		buffer_append_text(out, " earliest\n");
		break;
	case START_LATEST:
		buffer_append_text(out, " latest\n");
		break;
	case START_TIMESTAMP:
		(void)timestamp_print(start->timestamp_ms * 1000, time);
		buffer_printf(out, " {timestamp: \"%sZ\"}\n", time);
		break;
	case START_OFFSETS:
		buffer_append_text(out, " {offsets: {");
		for (size_t i = 0; i < start->offsets_len; i++)
			buffer_printf(out, "%s%u: %lld", i ? ", " : "", start->offsets[i].partition,
			    (long long)start->offsets[i].offset);
		buffer_append_text(out, "}}\n");
		break;
	}
}

void pipeline_print_start(const struct pipeline *pipeline, struct buffer *out)
{
	struct buffer line = {0};
	print_start(pipeline, &line);
	buffer_append(out, line.data + 1, line.len - 2); /* without the blank and the end of the line */
	buffer_fini(&line);
}

void print_kafka(const void *base, struct buffer *out)
{
	const struct pipeline *pipeline = base;
	buffer_append_text(out, pipeline->source.kafka_len ? "\n" : " {}\n");
	for (size_t i = 0; i < pipeline->source.kafka_len; i++) {
		const struct setting *setting = &pipeline->source.kafka[i];
		buffer_append_text(out, "    ");
		yaml_print_text(setting->name, out);
		buffer_append_text(out, ": ");
		if (kafka_setting_is_secret(setting->name))
			buffer_append_text(out, "\"***\"");
		else
			print_redacted(setting->value, out);
		buffer_append_text(out, "\n");
	}
}

static void print_secret(const char *text, struct buffer *out)
{
	buffer_append_text(out, text[0] != '\0' ? " \"***\"\n" : " \"\"\n");
}

void print_elasticsearch_password(const void *base, struct buffer *out)
{
	print_secret(((const struct pipeline *)base)->sinks.elasticsearch.password, out);
}

void print_elasticsearch_api_key(const void *base, struct buffer *out)
{
	print_secret(((const struct pipeline *)base)->sinks.elasticsearch.api_key, out);
}

void print_key(const void *base, struct buffer *out)
{
	const struct pipeline *pipeline = base;
	buffer_printf(out, " %s\n", pipeline->record.fields[pipeline->record.key].name);
}

void print_event_time(const void *base, struct buffer *out)
{
	const struct pipeline *pipeline = base;
	buffer_printf(out, " %s\n", pipeline->record.fields[pipeline->record.event_time].name);
}

void print_policy(const void *base, struct buffer *out)
{
	(void)base;
	buffer_append_text(out, " first\n");
}

void print_fields(const void *base, struct buffer *out)
{
	const struct pipeline *pipeline = base;
	buffer_append_text(out, "\n");
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		const struct field *field = &pipeline->record.fields[i];
		buffer_printf(out, "    - {name: %s, type: \"", field->name);
		field_type_print(field, out);
		buffer_printf(out, "\", required: %s", field->required ? "true" : "false");
		for (size_t j = 0; j < field->aliases_len; j++) {
			buffer_append_text(out, j ? ", " : ", aliases: [");
			yaml_print_text(field->aliases[j], out);
		}
		buffer_append_text(out, field->aliases_len ? "]" : "");
		if (field->index != NULL)
			buffer_printf(out, ", index: %s", field->index);
		buffer_append_text(out, "}\n");
	}
}

void print_rollups(const void *base, struct buffer *out)
{
	const struct pipeline *pipeline = base;
	const struct field *fields = pipeline->record.fields;
	buffer_append_text(out, "\n");
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		const struct rollup *rollup = &pipeline->rollups[i];
		buffer_printf(out, "  - table: %s\n    by:\n", rollup->table);
		for (size_t j = 0; j < rollup->by_len; j++)
			buffer_printf(out, "      - {column: %s, %s: %s}\n", rollup->by[j].column,
			    group_part_name(rollup->by[j].part), fields[rollup->by[j].field].name);
		buffer_append_text(out, "    measures:\n");
		for (size_t j = 0; j < rollup->measures_len; j++)
			buffer_printf(out, "      - {column: %s, sum: %s, type: \"decimal(%d,%d)\"}\n",
			    rollup->measures[j].column, fields[rollup->measures[j].field].name,
			    rollup->measures[j].precision, rollup->measures[j].scale);
	}
}

/* --- the table, printed ---------------------------------------------------------------------------------------- */

/* Writes the sections that path opens and the one before did not, and the indented key itself. */
static void print_keys(const char *path, const char *before, struct buffer *out)
{
	size_t start = 0;
	int depth = 0;
	bool same = true;
	for (;;) {
		size_t len = strcspn(path + start, ".");
		bool last = path[start + len] == '\0';
		same = same && strncmp(path, before, start + len + 1) == 0;
		if (last || !same)
			buffer_printf(out, "%*s%.*s:%s", 2 * depth, "", (int)len, path + start, last ? "" : "\n");
		if (last)
			return;
		start += len + 1;
		depth++;
	}
}

void pipeline_print(const struct pipeline *pipeline, struct buffer *out)
{
	const char *before = "";
	for (size_t i = 0; i < pipeline_settings_len; i++) {
		const struct setting_row *row = &pipeline_settings[i];
		if (row->print == NULL && row->offset >= sizeof *pipeline)
			continue; /* without effect yet */
		print_keys(row->path, before, out);
		before = row->path;
		if (row->print != NULL) {
			row->print(pipeline, out);
			continue;
		}
		buffer_append_text(out, " ");
		if (row->kind == SETTING_TEXT)
			print_redacted(*(char *const *)((const char *)pipeline + row->offset), out);
		else
			setting_print(row, pipeline, out);
		buffer_append_text(out, "\n");
	}
}

/* --- the same as JSON: what was printed is read back, so that both are one ------------------------------------- */

static bool is_count(const struct yaml_node *node)
{
	struct buffer path = {0};
	bool count = false;
	yaml_path(node, &path);
	for (size_t i = 0; i < pipeline_settings_len && path.len > 0; i++)
		if (strcmp(pipeline_settings[i].path, (const char *)path.data) == 0)
			count = pipeline_settings[i].kind == SETTING_COUNT;
	buffer_fini(&path);
	return count;
}

static void put_json(const struct yaml_node *node, struct buffer *out)
{
	bool map = node->kind == YAML_MAP, flag = node->key != NULL && strcmp(node->key, "required") == 0;
	struct bytes text = {(const uint8_t *)node->text, strlen(node->text)};
	if (node->kind == YAML_NULL) {
		buffer_append_text(out, "null");
	} else if (node->kind == YAML_TEXT && (flag || is_count(node))) {
		buffer_append_text(out, node->text);
	} else if (node->kind == YAML_TEXT) {
		buffer_append_json(out, text);
	} else {
		buffer_append_text(out, map ? "{" : "[");
		for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
			buffer_append_text(out, child != node->first ? ", " : "");
			if (map) {
				buffer_append_json(
				    out, (struct bytes){(const uint8_t *)child->key, strlen(child->key)});
				buffer_append_text(out, ": ");
			}
			put_json(child, out); /* YAML_DEPTH_MAX deep at most */
		}
		buffer_append_text(out, map ? "}" : "]");
	}
}

void pipeline_print_json(const struct pipeline *pipeline, struct buffer *out)
{
	struct buffer yaml = {0};
	struct yaml_tree tree;
	pipeline_print(pipeline, &yaml);
	if (yaml_tree_parse(&tree, buffer_bytes(&yaml), NULL) == RESULT_OK) {
		put_json(tree.root, out);
		yaml_tree_fini(&tree);
	} else { /* texts of ${file:...} that are too large together */
		buffer_append_json(out, buffer_bytes(&yaml));
	}
	buffer_fini(&yaml);
}

void pipeline_help(struct buffer *out)
{
	static const char *const kinds[] = {
	    [SETTING_TEXT] = "text",
	    [SETTING_FLAG] = "true or false",
	    [SETTING_COUNT] = "number",
	    [SETTING_DURATION] = "duration",
	    [SETTING_SIZE] = "size",
	    [SETTING_NODE] = "",
	};
	for (size_t i = 0; i < pipeline_settings_len; i++) {
		const struct setting_row *row = &pipeline_settings[i];
		buffer_printf(out, "%-30s %s", row->path, row->help);
		if (row->kind != SETTING_NODE)
			buffer_printf(out, " (%s", kinds[row->kind]);
		if (row->needed)
			buffer_append_text(out, row->kind == SETTING_NODE ? " (needed)" : ", needed)");
		else if (row->kind != SETTING_NODE && row->fallback == NULL)
			buffer_append_text(out, ")"); /* the words say what it is */
		else if (row->kind != SETTING_NODE)
			buffer_printf(out, ", default %s)",
			    row->fallback != NULL && row->fallback[0] != '\0' ? row->fallback : "empty");
		buffer_append_text(out, "\n");
	}
}
