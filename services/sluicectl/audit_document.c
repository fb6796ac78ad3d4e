/* services/sluicectl/audit_document.c - see audit_document.h. */
#include "services/sluicectl/audit_document.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "services/sluicectl/audit_http.h"
#include "services/sluicectl/audit_number.h"

enum { SHOWN_BYTES = 60 };

/* --- the index ------------------------------------------------------------------------------------------------- */

struct index_pattern index_pattern_of(const char *pattern)
{
	return (struct index_pattern){.pattern = pattern, .dated = strchr(pattern, '%') != NULL};
}

bool index_is_of_pattern(const struct index_pattern *index, struct bytes name)
{
	size_t at = 0;

	for (const char *pattern = index->pattern; *pattern != '\0'; pattern++) {
		if (*pattern != '%') {
			if (at == name.len || name.data[at++] != (uint8_t)*pattern)
				return false;
			continue;
		}
		pattern++;
		for (int digits = *pattern == 'Y' ? 4 : 2; digits > 0; digits--)
			if (at == name.len || name.data[at] < '0' || name.data[at++] > '9')
				return false;
	}
	return at == name.len;
}

static void print_front(const struct index_pattern *index, struct buffer *out)
{
	size_t len = strcspn(index->pattern, "%");
	while (index->dated && len > 0 && strchr("-._", index->pattern[len - 1]) != NULL)
		len--;
	buffer_append(out, index->pattern, len);
}

void index_print_letters(const struct index_pattern *index, struct buffer *out)
{
	print_front(index, out);
	buffer_append_text(out, "-dead-letters");
}

void index_print_search(const struct index_pattern *index, struct buffer *out)
{
	struct buffer front = {0};
	if (!index->dated) {
		http_encode(out, index->pattern);
		return;
	}
	buffer_append(&front, index->pattern, strcspn(index->pattern, "%"));
	buffer_append_text(&front, "*");
	const char *rest = strrchr(index->pattern, '%') + 1;
	buffer_append_text(&front, *rest != '\0' ? rest + 1 : "");
	buffer_append_text(&front, ",-");
	index_print_letters(index, &front);
	buffer_append(&front, "", 1);
	http_encode(out, (const char *)front.data);
	buffer_fini(&front);
}

bool index_name(const struct index_pattern *index, int64_t wall_us, char name[INDEX_NAME_MAX])
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm parts = {0};
	struct buffer out = {0};
	(void)gmtime_r(&seconds, &parts);
	for (const char *at = index->pattern; *at != '\0'; at++) {
		if (*at != '%') {
			buffer_append(&out, at, 1);
			continue;
		}
		at++;
		if (*at == 'Y')
			buffer_printf(&out, "%04d", parts.tm_year + 1900);
		else if (*at == 'm')
			buffer_printf(&out, "%02d", parts.tm_mon + 1);
		else if (*at == 'd')
			buffer_printf(&out, "%02d", parts.tm_mday);
		else
			break; /* the pipeline file may have no other */
	}
	bool fits = out.len < INDEX_NAME_MAX;
	if (fits) {
		if (out.len > 0)
			memcpy(name, out.data, out.len);
		name[out.len] = '\0';
	}
	buffer_fini(&out);
	return fits;
}

void search_print_key(const struct index_pattern *index, struct bytes name, struct bytes id, struct buffer *out)
{
	if (index->dated) {
		buffer_append(out, name.data, name.len);
		buffer_append_text(out, "/");
	}
	buffer_append(out, id.data, id.len);
}

/* --- documents ------------------------------------------------------------------------------------------------- */

static struct audit_value foreign(struct bytes text)
{
	return (struct audit_value){.kind = AUDIT_FOREIGN, .text = text};
}

static struct audit_value foreign_text(const char *text)
{
	return foreign((struct bytes){(const uint8_t *)text, strlen(text)});
}

static struct audit_value number_of(const struct field *field, const struct tree_node *node)
{
	struct audit_value value = {.kind = AUDIT_NUMBER};
	if (node->kind != TREE_NUMBER || !number_is_json(node->text))
		return foreign_text("what is no number");
	bool is_one = field->type == FIELD_DECIMAL
	                  ? number_read_exact(node->text, field->precision, field->scale, &value.number)
	                  : number_read_integer(node->text, &value.number) == NULL;
	return is_one ? value : foreign(node->text);
}

static struct audit_value value_of(
    const struct field *field, const struct audit_zone *zone, const struct tree_node *node)
{
	struct audit_value value = {.kind = AUDIT_NULL};
	if (node == NULL || node->kind == TREE_NULL)
		return value;
	switch (field->type) {
	case FIELD_STRING:
		value.kind = AUDIT_TEXT;
		return tree_text(node, &value.text) ? value : foreign_text("what is no text");
	case FIELD_INTEGER:
	case FIELD_DECIMAL:
		return number_of(field, node);
	case FIELD_TIMESTAMP:
		value.kind = AUDIT_INSTANT;
		if (node->kind != TREE_TEXT)
			return foreign_text("what is no time");
		return time_read_instant(zone, node->text, &value.number) ? value : foreign(node->text);
	}
	return value;
}

static bool is_declared(const struct pipeline *pipeline, struct bytes name)
{
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		const char *declared = pipeline->record.fields[i].name;
		if (bytes_equal(name, (struct bytes){(const uint8_t *)declared, strlen(declared)}))
			return true;
	}
	return false;
}

void document_content(struct buffer *content, const struct pipeline *pipeline, const struct audit_zone *zone,
    const struct tree_node *source)
{
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		const struct field *field = &pipeline->record.fields[i];
		struct audit_value value = value_of(field, zone, tree_member(source, field->name));
		content_add(content, &value);
	}
	if (source == NULL || source->kind != TREE_OBJECT)
		return;
	for (const struct tree_node *member = source->first; member != NULL; member = member->next) {
		if (is_declared(pipeline, member->name))
			continue;
		struct buffer words = {0};
		buffer_append_text(&words, "a field that is not declared: ");
		audit_bytes_print(&words, member->name, SHOWN_BYTES);
		struct audit_value value = foreign(buffer_bytes(&words));
		content_add(content, &value);
		buffer_fini(&words);
		return;
	}
}

void document_expect(struct buffer *content, const struct audit_zone *zone, struct bytes record)
{
	struct audit_value value;
	while (content_next(&record, &value)) {
		if (value.kind == AUDIT_TIME) {
			value.kind = AUDIT_INSTANT;
			value.number = time_instant(zone, value.number);
		}
		content_add(content, &value);
	}
}

/* --- dead letters ---------------------------------------------------------------------------------------------- */

static const char *letter_lacks(struct document_letter *letter, struct bytes id, const struct tree_node *source)
{
	struct buffer named = {0};
	if (!tree_text(tree_member(source, "topic"), &letter->topic))
		return "it names no topic";
	if (!tree_integer(tree_member(source, "partition"), &letter->partition) || letter->partition > INT32_MAX)
		return "it names no partition";
	if (!tree_integer(tree_member(source, "offset"), &letter->offset))
		return "it names no offset";
	if (!tree_text(tree_member(source, "key"), &letter->key))
		return "it names no key";
	letter->document_cut = tree_member(source, "document") == NULL || tree_member(source, "document_bytes") != NULL;
	if (!letter->document_cut && !tree_text(tree_member(source, "document"), &letter->document))
		return "its document is no text";
	if (!tree_text(tree_member(source, "reason"), &letter->reason) || letter->reason.len == 0)
		return "it has no reason";
	if (!tree_text(tree_member(source, "index"), &letter->index))
		return "it names no index";
	buffer_append(&named, letter->topic.data, letter->topic.len);
	buffer_printf(&named, "-%" PRId64 "-%" PRId64, letter->partition, letter->offset);
	bool same = bytes_equal(buffer_bytes(&named), id);
	buffer_fini(&named);
	return same ? NULL : "its id is not <topic>-<partition>-<offset>";
}

void document_letter_read(struct document_letter *letter, struct bytes id, const struct tree_node *source)
{
	*letter = (struct document_letter){.partition = -1, .offset = -1};
	letter->trouble = letter_lacks(letter, id, source);
}
