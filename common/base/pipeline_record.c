#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/pipeline_draft.h"

enum { STRING_LENGTH_MAX = 10485760 /* PostgreSQL's VARCHAR */, ALIAS_MAX = 255 };

/* An entry of record.fields while it is read. */
struct field_draft {
	struct field field;
	const struct yaml_node *type, *aliases;
};

#define IN(member) SETTING_AT(struct field_draft, member)

static const struct setting_row field_settings[] = {
    {"name", SETTING_TEXT, .needed = true, IN(field.name), .valid = column_is_valid, .expects = COLUMN_EXPECTS,
        .help = "name in the JSON object, and column"},
    {"type", SETTING_NODE, .needed = true, IN(type), .help = "string(n), integer, decimal(p,s) or timestamp"},
    {"required", SETTING_FLAG, .fallback = "false", IN(field.required),
        .help = "true: a record without it becomes a dead letter"},
    {"aliases", SETTING_NODE, IN(aliases), .help = "other names in the JSON object"},
    {"index", SETTING_TEXT, IN(field.index), .valid = name_is_valid, .expects = NAME_EXPECTS,
        .help = "name of an index to make on the column"},
};
#define FIELD_SETTINGS (sizeof field_settings / sizeof field_settings[0])

/* The whole numbers between "word(" and ")", parted by commas; false where text is anything else. */
static bool arguments_parse(const char *text, const char *word, uint64_t *numbers, size_t count)
{
	size_t len = strlen(word);
	if (strncmp(text, word, len) != 0 || text[len] != '(')
		return false;
	text += len + 1;
	for (size_t i = 0; i < count; i++) {
		char digits[16];
		text += strspn(text, " ");
		size_t digits_len = strspn(text, "0123456789");
		if (digits_len >= sizeof digits)
			return false;
		memcpy(digits, text, digits_len);
		digits[digits_len] = '\0';
		if (!count_parse(digits, INT32_MAX, &numbers[i]))
			return false;
		text += digits_len;
		text += strspn(text, " ");
		if (*text++ != (i + 1 < count ? ',' : ')'))
			return false;
	}
	return *text == '\0';
}

bool decimal_type_parse(const char *text, int *precision, int *scale)
{
	uint64_t numbers[2];
	if (!arguments_parse(text, "decimal", numbers, 2))
		return false;
	*precision = (int)numbers[0];
	*scale = (int)numbers[1];
	return true;
}

static enum result read_type(struct field *field, const struct yaml_node *node, struct error *error)
{
	const char *text;
	uint64_t length;
	enum result result = node_text(node, &text, error);
	if (result != RESULT_OK)
		return result;
	if (strcmp(text, "integer") == 0) {
		field->type = FIELD_INTEGER;
	} else if (strcmp(text, "timestamp") == 0) {
		field->type = FIELD_TIMESTAMP;
	} else if (arguments_parse(text, "string", &length, 1)) {
		field->type = FIELD_STRING;
		if (length < 1 || length > STRING_LENGTH_MAX)
			return yaml_error(
			    node, error, "'%.64s': expected string(1) to string(%d)", text, STRING_LENGTH_MAX);
		field->length_max = (uint32_t)length;
	} else if (decimal_type_parse(text, &field->precision, &field->scale)) {
		field->type = FIELD_DECIMAL;
		if (field->precision < 1 || field->precision > DECIMAL_PRECISION_MAX)
			return yaml_error(
			    node, error, "'%.64s': a field's precision may be 1 to %d", text, DECIMAL_PRECISION_MAX);
		if (field->scale > field->precision)
			return yaml_error(node, error, "'%.64s': the scale is above the precision", text);
	} else if (strncmp(text, "decimal(", 8) == 0 && strchr(text, ')') == NULL) {
		return yaml_error(
		    node, error, "'%.64s': a type with a comma needs quotes inside { }: type: \"decimal(10,2)\"", text);
	} else {
		return yaml_error(
		    node, error, "unknown type '%.64s': expected string(n), integer, decimal(p,s) or timestamp", text);
	}
	return RESULT_OK;
}

static bool alias_is_valid(const char *alias)
{
	size_t len = strlen(alias);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)alias[i] < 0x20 || alias[i] == 0x7f)
			return false;
	return len > 0 && len <= ALIAS_MAX;
}

static enum result read_aliases(struct field *field, const struct yaml_node *node, struct error *error)
{
	if (node == NULL || (node->kind == YAML_LIST && node->children == 0))
		return RESULT_OK;
	enum result result = node_list(node, PIPELINE_ALIASES_MAX, error);
	for (const struct yaml_node *child = node->first; child != NULL && result == RESULT_OK; child = child->next) {
		const char *alias;
		result = node_text(child, &alias, error);
		if (result != RESULT_OK)
			break;
		if (!alias_is_valid(alias))
			return yaml_error(
			    child, error, "expected a text of 1 to %d bytes without control characters", ALIAS_MAX);
		field->aliases[field->aliases_len++] = text_clone(alias);
	}
	return result;
}

static bool field_is_called(const struct field *field, const char *name)
{
	if (strcmp(field->name, name) == 0)
		return true;
	for (size_t i = 0; i < field->aliases_len; i++)
		if (strcmp(field->aliases[i], name) == 0)
			return true;
	return false;
}

/* The names of field number place against those of all before it, and each of its aliases against its own others. */
static enum result check_names(
    const struct pipeline *pipeline, size_t place, const struct yaml_node *node, struct error *error)
{
	const struct field *field = &pipeline->record.fields[place];
	for (size_t i = 0; i <= field->aliases_len; i++) {
		const char *name = i == 0 ? field->name : field->aliases[i - 1];
		for (size_t other = 0; other < place; other++)
			if (field_is_called(&pipeline->record.fields[other], name))
				return yaml_error(node, error, "field '%.64s' already has the name or alias '%.64s'",
				    pipeline->record.fields[other].name, name);
		struct field before = *field;
		before.aliases_len = i == 0 ? 0 : i - 1;
		if (i > 0 && field_is_called(&before, name))
			return yaml_error(
			    node, error, "field '%.64s' has the name or alias '%.64s' twice", field->name, name);
	}
	return RESULT_OK;
}

/* Each with what it may take to be aligned. Characters have up to four bytes, and random ones do not pack. */
uint64_t field_index_bytes(const struct field *field)
{
	switch (field->type) {
	case FIELD_STRING:
		return 4 + UINT64_C(4) * field->length_max;
	case FIELD_INTEGER:
		return 4;
	case FIELD_DECIMAL:
		return 4 + 4 + 2 * (uint64_t)(field->precision / 4 + 2);
	case FIELD_TIMESTAMP:
		return 8;
	}
	panic("field type %d", (int)field->type);
}

static enum result check_index_width(const struct field *field, const struct yaml_node *node, struct error *error)
{
	uint64_t bytes = INDEX_ROW_HEADER + field_index_bytes(field);
	if (bytes <= INDEX_ROW_MAX)
		return RESULT_OK;
	return yaml_error(node, error,
	    "index '%s': a value of string(%" PRIu32 ") may take %" PRIu64
	    " bytes, and a row of an index in PostgreSQL "
	    "%d at most; leave the index out, or let the field have at most string(%d)",
	    field->index, field->length_max, bytes, INDEX_ROW_MAX, (INDEX_ROW_MAX - INDEX_ROW_HEADER - 4) / 4);
}

static enum result check_index(
    const struct pipeline *pipeline, size_t place, const struct yaml_node *node, struct error *error)
{
	const char *index = pipeline->record.fields[place].index;
	if (index == NULL)
		return RESULT_OK;
	for (size_t other = 0; other < place; other++)
		if (pipeline->record.fields[other].index != NULL &&
		    strcmp(pipeline->record.fields[other].index, index) == 0)
			return yaml_error(node, error, "index '%s' is declared twice", index);
	if (strcmp(index, pipeline->record.table) == 0 || strcmp(index, "dead_letters") == 0)
		return yaml_error(node, error, "index '%s' is called like a table", index);
	return check_index_width(&pipeline->record.fields[place], node, error);
}

static enum result read_field(struct pipeline *pipeline, const struct yaml_node *node, struct error *error)
{
	struct field_draft draft = {0};
	size_t place = pipeline->record.fields_len;
	enum result result = settings_read(field_settings, FIELD_SETTINGS, node, &draft, error);
	if (result == RESULT_OK)
		result = read_type(&draft.field, draft.type, error);
	if (result == RESULT_OK)
		result = read_aliases(&draft.field, draft.aliases, error);
	pipeline->record.fields[place] = draft.field; /* also after an error, to be freed */
	if (result == RESULT_OK)
		result = check_names(pipeline, place, node, error);
	if (result == RESULT_OK)
		result = check_index(pipeline, place, node, error);
	if (result == RESULT_OK)
		pipeline->record.fields_len++;
	return result;
}

bool field_find(const struct pipeline *pipeline, const char *name, size_t *place)
{
	for (*place = 0; *place < pipeline->record.fields_len; (*place)++)
		if (strcmp(pipeline->record.fields[*place].name, name) == 0)
			return true;
	return false;
}

/* record.key and record.event_time: the name of a required field of a type. */
static enum result read_reference(const struct pipeline *pipeline, const struct yaml_node *node, enum field_type type,
    const char *expected, size_t *place, struct error *error)
{
	const char *name;
	enum result result = node_text(node, &name, error);
	if (result != RESULT_OK)
		return result;
	if (!field_find(pipeline, name, place))
		return yaml_error(node, error, "there is no field '%.64s' in record.fields", name);
	if (pipeline->record.fields[*place].type != type || !pipeline->record.fields[*place].required)
		return yaml_error(node, error, "field '%s' must be %s with required: true", name, expected);
	return RESULT_OK;
}

enum result read_record(struct pipeline_draft *draft, struct error *error)
{
	struct pipeline *pipeline = &draft->pipeline;
	bool bad = false;
	enum result result = node_list(draft->nodes.fields, PIPELINE_FIELDS_MAX, error);
	if (result != RESULT_OK)
		return result;
	for (const struct yaml_node *node = draft->nodes.fields->first; node != NULL && result == RESULT_OK;
	     node = node->next) {
		result = read_field(pipeline, node, error);
		if (result == RESULT_OK)
			continue;
		field_fini(&pipeline->record.fields[pipeline->record.fields_len]);
		bad = true;
		if (mistakes_add(draft->mistakes, error))
			result = RESULT_OK;
	}
	if (bad)
		return result; /* what refers to fields would only be wrong for want of this one */
	if (result == RESULT_OK)
		result =
		    read_reference(pipeline, draft->nodes.key, FIELD_STRING, "a string", &pipeline->record.key, error);
	if (result == RESULT_OK && pipeline->record.fields[pipeline->record.key].length_max > PIPELINE_KEY_MAX)
		result = yaml_error(draft->nodes.key, error, "the key may have at most %d characters: string(%d)",
		    PIPELINE_KEY_MAX, PIPELINE_KEY_MAX);
	if (result == RESULT_OK)
		result = read_reference(pipeline, draft->nodes.event_time, FIELD_TIMESTAMP, "a timestamp",
		    &pipeline->record.event_time, error);
	return result;
}

void field_type_print(const struct field *field, struct buffer *out)
{
	switch (field->type) {
	case FIELD_STRING:
		buffer_printf(out, "string(%u)", field->length_max);
		break;
	case FIELD_INTEGER:
		buffer_append_text(out, "integer");
		break;
	case FIELD_DECIMAL:
		buffer_printf(out, "decimal(%d,%d)", field->precision, field->scale);
		break;
	case FIELD_TIMESTAMP:
		buffer_append_text(out, "timestamp");
		break;
	}
}
