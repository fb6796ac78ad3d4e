/* common/base/pipeline_draft.h - a pipeline file while it is read: private to pipeline*.c.
 *
 * The pipeline itself, what the file may say although nothing is built for it yet, and the nodes of what has a shape
 * of its own. The nodes live as long as the tree, so errors found late still know their lines.
 */
#ifndef BASE_PIPELINE_DRAFT_H
#define BASE_PIPELINE_DRAFT_H

#include "common/base/pipeline.h"
#include "common/base/settings.h"
#include "common/base/yaml_tree.h"

struct pipeline_draft {
	struct pipeline pipeline; /* first: the table's offsets are good for a finished pipeline as well */
	struct {
		const struct yaml_node *start, *kafka, *key, *event_time, *fields, *rollups;
	} nodes;
	struct {
		char *policy, *http;
	} unbuilt; /* checked, and so far without effect */
	struct mistakes *mistakes; /* where all are wanted; NULL: reading ends with the first */
};

/* pipeline.c: frees what is inside, and zeroes it. */
void field_fini(struct field *field);
void rollup_fini(struct rollup *rollup);

/* pipeline.c: one row per setting, in the order of the shipped file. */
extern const struct setting_row pipeline_settings[];
extern const size_t pipeline_settings_len;

/* Names that PostgreSQL takes without quotes: [a-z_][a-z0-9_]*, at most PIPELINE_NAME_MAX bytes. */
bool name_is_valid(const char *name);
#define NAME_EXPECTS "a name of small letters, digits and _ that does not begin with a digit, at most 63 bytes"
/* The same for a column, without those that PostgreSQL has in every table. */
bool column_is_valid(const char *name);
#define COLUMN_EXPECTS NAME_EXPECTS ", and none of PostgreSQL's own columns"

/* The text of a node that has to be a single value. */
enum result node_text(const struct yaml_node *node, const char **text, struct error *error) MUST_USE;
/* The list that a node has to be, with 1 to most entries. */
enum result node_list(const struct yaml_node *node, size_t most, struct error *error) MUST_USE;

/* pipeline_source.c: where reading starts, and librdkafka's settings. */
enum result read_start(struct pipeline_draft *draft, struct error *error) MUST_USE;
enum result read_kafka(struct pipeline_draft *draft, struct error *error) MUST_USE;
/* pipeline_record.c: the fields, then what refers to them. */
enum result read_record(struct pipeline_draft *draft, struct error *error) MUST_USE;
/* decimal(p,s); false where text is not of that form. Limits are the caller's to check. */
bool decimal_type_parse(const char *text, int *precision, int *scale);
bool field_find(const struct pipeline *pipeline, const char *name, size_t *place);
/* The most bytes that a row of an index over such a column takes up, together with those of other columns; PostgreSQL refuses one
 * of more than INDEX_ROW_MAX, whatever the table could hold. */
enum { INDEX_ROW_MAX = 2704, INDEX_ROW_HEADER = 8 };
uint64_t field_index_bytes(const struct field *field);
void field_type_print(const struct field *field, struct buffer *out);
/* pipeline_rollup.c: what refers to fields that are known and checked. */
enum result read_rollups(struct pipeline_draft *draft, struct error *error) MUST_USE;
const char *group_part_name(enum group_part part);
/* pipeline_elasticsearch.c: where the search copy goes. */
enum result read_elasticsearch(
    struct pipeline_draft *draft, const struct yaml_node *root, struct error *error) MUST_USE;
bool index_is_valid(const char *index);
#define INDEX_EXPECTS                                                                                                  \
	"small letters, digits, _ - and . that begin with a letter or digit, at most 180, not sluice-control; at the " \
	"end there may be a date of %Y %m %d"

/* pipeline_meaning.c: fills meaning and fingerprint. */
void pipeline_make_meaning(struct pipeline *pipeline);

/* pipeline_print.c: the rows' print functions. */
void print_start(const void *base, struct buffer *out);
void print_kafka(const void *base, struct buffer *out);
void print_key(const void *base, struct buffer *out);
void print_event_time(const void *base, struct buffer *out);
void print_fields(const void *base, struct buffer *out);
void print_policy(const void *base, struct buffer *out);
void print_rollups(const void *base, struct buffer *out);
void print_elasticsearch_password(const void *base, struct buffer *out);
void print_elasticsearch_api_key(const void *base, struct buffer *out);

#endif
