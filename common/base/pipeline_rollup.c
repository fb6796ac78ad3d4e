#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/pipeline_draft.h"

/* Entries of rollups, of by and of measures while they are read. */
struct rollup_draft {
	char *table;
	const struct yaml_node *by, *measures;
};
struct column_draft {
	char *column;
	const struct yaml_node *parts[4]; /* by enum group_part; one of them is there */
};
struct measure_draft {
	char *column;
	const struct yaml_node *sum, *type;
};

static const struct setting_row rollup_settings[] = {
    {"table", SETTING_TEXT, .needed = true, SETTING_AT(struct rollup_draft, table), .valid = name_is_valid,
        .expects = NAME_EXPECTS, .help = "table of the totals"},
    {"by", SETTING_NODE, .needed = true, SETTING_AT(struct rollup_draft, by), .help = "what makes a group"},
    {"measures", SETTING_NODE, .needed = true, SETTING_AT(struct rollup_draft, measures), .help = "what is added up"},
};
static const struct setting_row column_settings[] = {
    {"column", SETTING_TEXT, .needed = true, SETTING_AT(struct column_draft, column), .valid = column_is_valid,
        .expects = COLUMN_EXPECTS, .help = "column of the group"},
    {"field", SETTING_NODE, SETTING_AT(struct column_draft, parts[PART_FIELD]), .help = "a field as it is"},
    {"day", SETTING_NODE, SETTING_AT(struct column_draft, parts[PART_DAY]), .help = "the date of a timestamp"},
    {"month", SETTING_NODE, SETTING_AT(struct column_draft, parts[PART_MONTH]), .help = "its month, 1 to 12"},
    {"year", SETTING_NODE, SETTING_AT(struct column_draft, parts[PART_YEAR]), .help = "its year"},
};
static const struct setting_row measure_settings[] = {
    {"column", SETTING_TEXT, .needed = true, SETTING_AT(struct measure_draft, column), .valid = column_is_valid,
        .expects = COLUMN_EXPECTS, .help = "column of the total"},
    {"sum", SETTING_NODE, .needed = true, SETTING_AT(struct measure_draft, sum), .help = "an integer or decimal field"},
    {"type", SETTING_NODE, .needed = true, SETTING_AT(struct measure_draft, type), .help = "decimal(p,s)"},
};
#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

const char *group_part_name(enum group_part part)
{
	return column_settings[1 + part].path;
}

/* The name of a field that is there. */
static enum result read_field_name(
    const struct pipeline *pipeline, const struct yaml_node *node, size_t *place, struct error *error)
{
	const char *name;
	enum result result = node_text(node, &name, error);
	if (result == RESULT_OK && !field_find(pipeline, name, place))
		result = yaml_error(node, error, "there is no field '%.64s' in record.fields", name);
	return result;
}

static enum result check_column_field(
    const struct field *field, enum group_part part, const struct yaml_node *node, struct error *error)
{
	if (!field->required)
		return yaml_error(
		    node, error, "field '%s' must be required: true, since a group cannot be null", field->name);
	if (part != PART_FIELD && field->type != FIELD_TIMESTAMP)
		return yaml_error(node, error, "field '%s' must be a timestamp", field->name);
	if (part == PART_FIELD && field->type != FIELD_STRING && field->type != FIELD_INTEGER)
		return yaml_error(node, error, "field '%s' must be a string or an integer", field->name);
	return RESULT_OK;
}

static enum result read_column(
    const struct pipeline *pipeline, struct group_column *column, const struct yaml_node *node, struct error *error)
{
	struct column_draft draft = {0};
	enum result result = settings_read(column_settings, LENGTH(column_settings), node, &draft, error);
	column->column = draft.column;
	if (result != RESULT_OK)
		return result;
	const struct yaml_node *chosen = NULL;
	for (size_t part = PART_FIELD; part <= PART_YEAR; part++)
		if (draft.parts[part] != NULL) {
			if (chosen != NULL)
				return yaml_error(
				    draft.parts[part], error, "only one of field, day, month and year may be given");
			chosen = draft.parts[part];
			column->part = (enum group_part)part;
		}
	if (chosen == NULL)
		return yaml_error(node, error, "one of field, day, month and year is missing");
	result = read_field_name(pipeline, chosen, &column->field, error);
	if (result == RESULT_OK)
		result = check_column_field(&pipeline->record.fields[column->field], column->part, chosen, error);
	return result;
}

static enum result read_measure(
    const struct pipeline *pipeline, struct measure *measure, const struct yaml_node *node, struct error *error)
{
	struct measure_draft draft = {0};
	const char *type = "";
	enum result result = settings_read(measure_settings, LENGTH(measure_settings), node, &draft, error);
	measure->column = draft.column;
	if (result == RESULT_OK)
		result = read_field_name(pipeline, draft.sum, &measure->field, error);
	if (result == RESULT_OK)
		result = node_text(draft.type, &type, error);
	if (result != RESULT_OK)
		return result;

	const struct field *field = &pipeline->record.fields[measure->field];
	if (field->type != FIELD_INTEGER && field->type != FIELD_DECIMAL)
		return yaml_error(draft.sum, error, "field '%s' must be an integer or a decimal", field->name);
	if (!decimal_type_parse(type, &measure->precision, &measure->scale))
		return yaml_error(draft.type, error, "'%.64s': expected decimal(p,s), in quotes inside { }", type);
	if (measure->precision < 1 || measure->precision > DECIMAL_SUM_PRECISION_MAX)
		return yaml_error(
		    draft.type, error, "'%.64s': a total's precision may be 1 to %d", type, DECIMAL_SUM_PRECISION_MAX);
	if (measure->scale > measure->precision)
		return yaml_error(draft.type, error, "'%.64s': the scale is above the precision", type);
	int scale = field->type == FIELD_DECIMAL ? field->scale : 0;
	if (measure->scale != scale)
		return yaml_error(draft.type, error, "'%.64s': the scale must be %d, as that of field '%s'", type,
		    scale, field->name);
	return RESULT_OK;
}

static enum result check_columns(const struct rollup *rollup, const struct yaml_node *node, struct error *error)
{
	const char *names[PIPELINE_COLUMNS_MAX + PIPELINE_MEASURES_MAX];
	size_t len = 0;
	for (size_t i = 0; i < rollup->by_len; i++)
		names[len++] = rollup->by[i].column;
	for (size_t i = 0; i < rollup->measures_len; i++)
		names[len++] = rollup->measures[i].column;
	for (size_t i = 0; i < len; i++)
		for (size_t other = 0; other < i; other++)
			if (strcmp(names[i], names[other]) == 0)
				return yaml_error(
				    node, error, "table '%s' has column '%s' twice", rollup->table, names[i]);
	return RESULT_OK;
}

static enum result check_key_width(
    const struct pipeline *pipeline, const struct rollup *rollup, const struct yaml_node *node, struct error *error)
{
	uint64_t bytes = INDEX_ROW_HEADER;
	for (size_t i = 0; i < rollup->by_len; i++)
		bytes += rollup->by[i].part == PART_FIELD
		             ? field_index_bytes(&pipeline->record.fields[rollup->by[i].field])
		             : 4;
	if (bytes <= INDEX_ROW_MAX)
		return RESULT_OK;
	return yaml_error(node, error,
	    "table '%s': the columns of a group may take %" PRIu64
	    " bytes, and a row of an index in PostgreSQL %d at most; "
	    "group by fewer or shorter strings",
	    rollup->table, bytes, INDEX_ROW_MAX);
}

/* Tables and indexes of a schema share one set of names. */
static enum result check_table(
    const struct pipeline *pipeline, size_t place, const struct yaml_node *node, struct error *error)
{
	const char *table = pipeline->rollups[place].table;
	bool taken = strcmp(table, pipeline->record.table) == 0 || strcmp(table, "dead_letters") == 0;
	for (size_t other = 0; other < place; other++)
		taken = taken || strcmp(table, pipeline->rollups[other].table) == 0;
	for (size_t i = 0; i < pipeline->record.fields_len; i++)
		taken = taken || (pipeline->record.fields[i].index != NULL &&
		                     strcmp(table, pipeline->record.fields[i].index) == 0);
	return taken ? yaml_error(node, error, "the name '%s' is taken by another table or index", table) : RESULT_OK;
}

static enum result read_rollup(struct pipeline *pipeline, const struct yaml_node *node, struct error *error)
{
	struct rollup_draft draft = {0};
	size_t place = pipeline->rollups_len;
	struct rollup *rollup = &pipeline->rollups[place];
	enum result result = settings_read(rollup_settings, LENGTH(rollup_settings), node, &draft, error);
	rollup->table = draft.table;
	if (result == RESULT_OK)
		result = check_table(pipeline, place, node, error);
	if (result == RESULT_OK)
		result = node_list(draft.by, PIPELINE_COLUMNS_MAX, error);
	if (result == RESULT_OK)
		result = node_list(draft.measures, PIPELINE_MEASURES_MAX, error);
	if (result != RESULT_OK)
		return result;
	for (const struct yaml_node *child = draft.by->first; child != NULL && result == RESULT_OK; child = child->next)
		result = read_column(pipeline, &rollup->by[rollup->by_len++], child, error);
	for (const struct yaml_node *child = draft.measures->first; child != NULL && result == RESULT_OK;
	     child = child->next)
		result = read_measure(pipeline, &rollup->measures[rollup->measures_len++], child, error);
	if (result == RESULT_OK)
		result = check_columns(rollup, node, error);
	if (result == RESULT_OK)
		result = check_key_width(pipeline, rollup, node, error);
	if (result == RESULT_OK)
		pipeline->rollups_len++;
	return result;
}

enum result read_rollups(struct pipeline_draft *draft, struct error *error)
{
	enum result result = node_list(draft->nodes.rollups, PIPELINE_ROLLUPS_MAX, error);
	if (result != RESULT_OK)
		return result;
	for (const struct yaml_node *node = draft->nodes.rollups->first; node != NULL && result == RESULT_OK;
	     node = node->next) {
		result = read_rollup(&draft->pipeline, node, error);
		if (result == RESULT_OK)
			continue;
		rollup_fini(&draft->pipeline.rollups[draft->pipeline.rollups_len]);
		if (mistakes_add(draft->mistakes, error))
			result = RESULT_OK;
	}
	return result;
}
