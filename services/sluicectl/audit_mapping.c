/* services/sluicectl/audit_mapping.c - how the documents' indices map the fields, for what people ask depends on it; see audit_search.h.
 *
 * A document may be right and a query wrong: an amount that is mapped as a float is added up as one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/sluicectl/audit_document.h"
#include "services/sluicectl/audit_search.h"

enum { WORDS_MAX = 128 };

static const char *type_of(enum field_type type)
{
	switch (type) {
	case FIELD_STRING:
		return "text";
	case FIELD_INTEGER:
		return "long";
	case FIELD_DECIMAL:
		return "scaled_float";
	case FIELD_TIMESTAMP:
		return "date";
	}
	return "";
}

static void say(struct report *report, struct bytes index, const char *what, const char *expected, const char *found)
{
	struct difference difference = {.kind = DIFFERENCE_MAPPING};
	buffer_printf(&difference.key, "index %.*s, %s", (int)index.len, (const char *)index.data, what);
	buffer_append_text(&difference.expected, expected);
	buffer_append_text(&difference.found, found);
	report_add(report, &difference);
}

/* The text, number or flag of a member, as it stands; "nothing" where it is not there. */
static void member_text(const struct tree_node *node, const char *name, char out[WORDS_MAX])
{
	const struct tree_node *member = tree_member(node, name);
	if (member == NULL)
		(void)snprintf(out, WORDS_MAX, "nothing");
	else if (member->kind == TREE_FLAG)
		(void)snprintf(out, WORDS_MAX, "%s", member->flag ? "true" : "false");
	else
		(void)snprintf(out, WORDS_MAX, "%.*s",
		    member->text.len < WORDS_MAX ? (int)member->text.len : WORDS_MAX - 1,
		    (const char *)member->text.data);
}

static void check_member(struct report *report, struct bytes index, const char *field, const struct tree_node *node,
    const char *member, const char *expected)
{
	char found[WORDS_MAX], what[PIPELINE_NAME_MAX + WORDS_MAX];
	member_text(node, member, found);
	if (strcmp(found, expected) == 0)
		return;
	(void)snprintf(what, sizeof what, "%s of field %s", member, field);
	say(report, index, what, expected, found);
}

/* 100, 100.0 or 1.0E2: a power of ten is a double exactly. */
static void check_factor(
    struct report *report, struct bytes index, const struct field *field, const struct tree_node *node)
{
	char found[WORDS_MAX], due[WORDS_MAX], what[PIPELINE_NAME_MAX + WORDS_MAX];
	double factor = 1;
	for (int i = 0; i < field->scale; i++)
		factor *= 10;
	member_text(node, "scaling_factor", found);
	if (tree_member(node, "scaling_factor") == NULL || strtod(found, NULL) == factor)
		return; /* where there is none, its type is another one */
	(void)snprintf(due, sizeof due, "%.0f", factor);
	(void)snprintf(what, sizeof what, "scaling_factor of field %s", field->name);
	say(report, index, what, due, found);
}

static void check_field(
    struct report *report, struct bytes index, const struct field *field, const struct tree_node *properties)
{
	const struct tree_node *node = tree_member(properties, field->name);
	check_member(report, index, field->name, node, "type", type_of(field->type));
	if (field->type == FIELD_STRING)
		check_member(
		    report, index, field->name, tree_member(tree_member(node, "fields"), "keyword"), "type", "keyword");
	if (field->type == FIELD_DECIMAL)
		check_factor(report, index, field, node);
	if (tree_member(node, "index") != NULL)
		check_member(report, index, field->name, node, "index", "true");
}

static void check_index(struct audit *audit, const struct tree_node *index)
{
	const struct tree_node *mappings = tree_member(index, "mappings");
	const struct tree_node *settings = tree_member(tree_member(index, "settings"), "index");
	struct report *report = &audit->report;
	char found[WORDS_MAX];
	for (size_t i = 0; i < audit->pipeline->record.fields_len; i++)
		check_field(
		    report, index->name, &audit->pipeline->record.fields[i], tree_member(mappings, "properties"));
	member_text(settings, "final_pipeline", found);
	if (strcmp(found, "nothing") != 0 && strcmp(found, "_none") != 0)
		say(report, index->name, "its ingest pipeline", "nothing", found);
}

/* .ds-transactions-2026.11.30-000001 is a part of data stream transactions: is that one of the pattern? */
static bool stream_of(const struct index_pattern *pattern, struct bytes name, struct bytes *stream)
{
	static const char front[] = ".ds-";
	size_t from = sizeof front - 1;

	if (name.len <= from || memcmp(name.data, front, from) != 0)
		return false;
	for (size_t i = from; i < name.len; i++) {
		*stream = (struct bytes){name.data + from, i - from};
		if (name.data[i] == '-' && index_is_of_pattern(pattern, *stream))
			return true;
	}
	return false;
}

/* One that the job does not write to: it refuses what is not an index of that name. */
static enum result check_name(const struct index_pattern *pattern, const struct tree_node *index, struct error *error)
{
	const struct tree_node *aliases = tree_member(index, "aliases");
	struct bytes name = index->name, other = {0};
	bool streams = stream_of(pattern, name, &other), found = streams;

	for (const struct tree_node *at = aliases != NULL ? aliases->first : NULL; at != NULL && !found; at = at->next)
		if ((found = index_is_of_pattern(pattern, at->name)))
			other = at->name;
	if (!found)
		return RESULT_OK;
	return error_set(error, RESULT_CONFIG,
	    "Elasticsearch: %.*s is no index, but %s of %.*s: the job does not write to it; put the job's index back "
	    "in its place, then run again",
	    (int)other.len, (const char *)other.data, streams ? "a data stream" : "an alias", (int)name.len,
	    (const char *)name.data);
}

/* Without a date it has been there since the job began, and letters since the first one. */
static enum result check_missing(
    const struct audit *audit, const char *index, enum control_counter counter, bool there, struct error *error)
{
	const struct search_report *search = audit->report.search;
	uint64_t count = 0;

	for (size_t i = 0; i < search->controls_len; i++)
		count += search->controls[i].counters[counter];
	if (there || count == 0)
		return RESULT_OK;
	return error_set(error, RESULT_CONFIG,
	    "Elasticsearch: index %s is not there, and job %s has written %" PRIu64
	    " documents to it: restore it from a snapshot, or run `sluicectl reset --job search --with-index --yes` "
	    "and start the job again, which fills it anew",
	    index, audit->report.job, count);
}

enum result search_check_letters(struct audit *audit, struct elastic *elastic, const char *index, struct error *error)
{
	const struct index_pattern pattern = {.pattern = index};
	const struct tree_node *root;
	enum result result = elastic_describe(elastic, index, &root, error);
	const struct tree_node *first = root != NULL ? root->first : NULL;
	if (result == RESULT_OK && first != NULL)
		result = check_name(&pattern, first, error);
	return result == RESULT_OK ? check_missing(audit, index, CONTROL_DEAD, first != NULL, error) : result;
}

enum result search_read_mappings(struct audit *audit, struct elastic *elastic, const struct index_pattern *pattern,
    const char *indices, struct error *error)
{
	const struct tree_node *root;
	enum result result = elastic_describe(elastic, indices, &root, error);
	bool any = root != NULL && root->first != NULL;
	for (const struct tree_node *at = any ? root->first : NULL; result == RESULT_OK && at != NULL; at = at->next) {
		result = check_name(pattern, at, error);
		if (result == RESULT_OK)
			check_index(audit, at);
	}
	if (result == RESULT_OK && !pattern->dated)
		result = check_missing(audit, pattern->pattern, CONTROL_ACCEPTED, any, error);
	return result;
}
