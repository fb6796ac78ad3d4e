#include "common/base/yaml_tree.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

/* The tree while it grows. */
struct builder {
	struct yaml_tree *tree;
	struct yaml_node *open; /* the innermost list or map that has not ended */
	char *key; /* read, and still without a value */
	uint32_t key_line;
	uint32_t nodes, depth, documents;
	bool done;
};

static uint32_t event_line(const yaml_event_t *event)
{
	return (uint32_t)event->start_mark.line + 1;
}

static void put_path(const struct yaml_node *node, struct buffer *out)
{
	if (node->parent == NULL)
		return;
	put_path(node->parent, out); /* YAML_DEPTH_MAX deep at most */
	if (node->key == NULL)
		buffer_printf(out, "[%u]", node->place);
	else
		buffer_printf(out, "%s%.64s", node->parent->parent ? "." : "", node->key);
}

void yaml_path(const struct yaml_node *node, struct buffer *out)
{
	put_path(node, out);
	buffer_append(out, "", 1);
	out->len--; /* terminated, but not part of the text */
}

enum result yaml_error(const struct yaml_node *node, struct error *error, const char *format, ...)
{
	char words[ERROR_TEXT_MAX / 2];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(words, sizeof words, format, args);
	va_end(args);

	struct buffer path = {0};
	yaml_path(node, &path);
	if (path.len == 0)
		(void)error_set(error, RESULT_CONFIG, "line %u: %s", node->line, words);
	else
		(void)error_set(error, RESULT_CONFIG, "%s at line %u: %s", (const char *)path.data, node->line, words);
	buffer_fini(&path);
	return RESULT_CONFIG;
}

const struct yaml_node *yaml_member(const struct yaml_node *map, const char *key)
{
	if (map == NULL || map->kind != YAML_MAP)
		return NULL;
	for (const struct yaml_node *child = map->first; child != NULL; child = child->next)
		if (strcmp(child->key, key) == 0)
			return child;
	return NULL;
}

/* A new node at its place in the tree; NULL with the error set where it may not be there. */
static struct yaml_node *add_node(
    struct builder *builder, const yaml_event_t *event, enum yaml_kind kind, struct error *error)
{
	struct yaml_node *parent = builder->open;
	uint32_t line = event_line(event);
	if (++builder->nodes > YAML_NODES_MAX) {
		(void)error_set(error, RESULT_CONFIG, "line %u: more than %d values", line, YAML_NODES_MAX);
		return NULL;
	}
	if (parent != NULL && parent->kind == YAML_MAP && builder->key == NULL) {
		(void)error_set(error, RESULT_CONFIG, "line %u: a key must be a plain text", line);
		return NULL;
	}
	struct yaml_node *node = arena_take(&builder->tree->arena, sizeof *node);
	*node = (struct yaml_node){.kind = kind, .line = line, .key = builder->key, .text = "", .parent = parent};
	if (builder->key != NULL)
		node->line = builder->key_line;
	builder->key = NULL;
	if (parent == NULL) {
		builder->tree->root = node;
		return node;
	}
	node->place = parent->children++;
	if (parent->last != NULL)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	return node;
}

static enum result take_key(struct builder *builder, const yaml_event_t *event, struct error *error)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	uint32_t line = event_line(event);
	if (len == 0 || len > YAML_KEY_MAX || memchr(text, '\0', len) != NULL)
		return error_set(error, RESULT_CONFIG, "line %u: a key must have 1 to %d bytes", line, YAML_KEY_MAX);
	const struct yaml_node *other = yaml_member(builder->open, text);
	if (other != NULL)
		return error_set(
		    error, RESULT_CONFIG, "key '%.64s' at line %u stands at line %u already", text, line, other->line);
	builder->key = arena_clone(&builder->tree->arena, text, len);
	builder->key_line = line;
	return RESULT_OK;
}

static bool means_null(const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static enum result take_scalar(struct builder *builder, const yaml_event_t *event, struct error *error)
{
	if (builder->open != NULL && builder->open->kind == YAML_MAP && builder->key == NULL)
		return take_key(builder, event, error);
	struct yaml_node *node = add_node(builder, event, means_null(event) ? YAML_NULL : YAML_TEXT, error);
	if (node == NULL)
		return RESULT_CONFIG;
	if (node->kind == YAML_NULL)
		return RESULT_OK;

	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	if (memchr(text, '\0', len) != NULL)
		return yaml_error(node, error, "a NUL in a text");
	struct buffer expanded = {0};
	struct error why;
	enum result result = text_expand(text, &expanded, &why);
	if (result == RESULT_OK && expanded.len > YAML_VALUE_MAX)
		result = yaml_error(node, error, "longer than %d bytes", YAML_VALUE_MAX);
	else if (result != RESULT_OK)
		result = yaml_error(node, error, "%s", why.text);
	else
		node->text = arena_clone(&builder->tree->arena, expanded.data, expanded.len);
	buffer_fini(&expanded);
	return result;
}

static enum result open_node(
    struct builder *builder, const yaml_event_t *event, enum yaml_kind kind, struct error *error)
{
	struct yaml_node *node = add_node(builder, event, kind, error);
	if (node == NULL)
		return RESULT_CONFIG;
	if (++builder->depth > YAML_DEPTH_MAX)
		return error_set(
		    error, RESULT_CONFIG, "line %u: nested deeper than %d", event_line(event), YAML_DEPTH_MAX);
	builder->open = node;
	return RESULT_OK;
}

static enum result close_node(struct builder *builder)
{
	CHECK(builder->open != NULL); /* libyaml pairs its events */
	builder->open = builder->open->parent;
	builder->depth--;
	return RESULT_OK;
}

static enum result refuse(const yaml_event_t *event, const char *what, struct error *error)
{
	return error_set(error, RESULT_CONFIG, "line %u: %s not supported here", event_line(event), what);
}

static enum result take_event(struct builder *builder, const yaml_event_t *event, struct error *error)
{
	static const char anchors[] = "anchors and aliases (& and *) are";
	static const char tags[] = "tags (!) are";
	switch (event->type) {
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return RESULT_OK;
	case YAML_STREAM_END_EVENT:
		builder->done = true;
		return RESULT_OK;
	case YAML_DOCUMENT_START_EVENT:
		return ++builder->documents > 1 ? refuse(event, "a second document (---) is", error) : RESULT_OK;
	case YAML_ALIAS_EVENT:
		return refuse(event, anchors, error);
	case YAML_SCALAR_EVENT:
		if (event->data.scalar.anchor != NULL)
			return refuse(event, anchors, error);
		if (event->data.scalar.tag != NULL)
			return refuse(event, tags, error);
		return take_scalar(builder, event, error);
	case YAML_SEQUENCE_START_EVENT:
		if (event->data.sequence_start.anchor != NULL)
			return refuse(event, anchors, error);
		if (event->data.sequence_start.tag != NULL)
			return refuse(event, tags, error);
		return open_node(builder, event, YAML_LIST, error);
	case YAML_MAPPING_START_EVENT:
		if (event->data.mapping_start.anchor != NULL)
			return refuse(event, anchors, error);
		if (event->data.mapping_start.tag != NULL)
			return refuse(event, tags, error);
		return open_node(builder, event, YAML_MAP, error);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return close_node(builder);
	}
	panic("YAML event %d", (int)event->type);
}

static enum result syntax_error(const yaml_parser_t *parser, struct error *error)
{
	return error_set(error, RESULT_CONFIG, "line %zu: not YAML: %s%s%s", parser->problem_mark.line + 1,
	    parser->context ? parser->context : "", parser->context ? ", " : "",
	    parser->problem ? parser->problem : "cannot be read");
}

enum result yaml_tree_parse(struct yaml_tree *tree, struct bytes text, struct error *error)
{
	*tree = (struct yaml_tree){0};
	if (text.len > YAML_BYTES_MAX)
		return error_set(error, RESULT_CONFIG, "longer than %d bytes", YAML_BYTES_MAX);
	struct builder builder = {.tree = tree};
	enum result result = RESULT_OK;
	yaml_parser_t parser;
	if (yaml_parser_initialize(&parser) == 0)
		panic("out of memory");
	yaml_parser_set_input_string(&parser, text.len ? text.data : (const uint8_t *)"", text.len);
	while (result == RESULT_OK && !builder.done) {
		yaml_event_t event;
		if (yaml_parser_parse(&parser, &event) == 0) {
			result = syntax_error(&parser, error);
			break;
		}
		result = take_event(&builder, &event, error);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	if (result == RESULT_OK && tree->root == NULL)
		result = error_set(error, RESULT_CONFIG, "empty");
	else if (result == RESULT_OK && tree->root->kind != YAML_MAP)
		result = error_set(error, RESULT_CONFIG, "line %u: expected a map of settings", tree->root->line);
	if (result != RESULT_OK)
		yaml_tree_fini(tree);
	return result;
}

void yaml_tree_fini(struct yaml_tree *tree)
{
	arena_fini(&tree->arena);
	tree->root = NULL;
}
