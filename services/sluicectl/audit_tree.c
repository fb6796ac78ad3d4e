/* services/sluicectl/audit_tree.c - see audit_tree.h. */
#include "services/sluicectl/audit_tree.h"

#include <string.h>
#include <yajl/yajl_parse.h>

#include "common/base/error.h"

enum { STOP = 0, GO_ON = 1 };

static struct bytes keep(struct tree *tree, const void *text, size_t len)
{
	return (struct bytes){arena_clone(&tree->arena, text, len), len};
}

/* Into what is open; NULL: there are too many. */
static struct tree_node *add(struct tree *tree, enum tree_kind kind)
{
	if (++tree->nodes > TREE_NODES) {
		tree->trouble = "has too many values";
		return NULL;
	}
	struct tree_node *node = arena_take(&tree->arena, sizeof *node);
	node->kind = kind;
	node->name = tree->name;
	tree->name = (struct bytes){NULL, 0};
	if (tree->depth == 0) {
		tree->root = node;
		return node;
	}
	struct tree_node *parent = tree->path[tree->depth - 1];
	if (parent->last != NULL)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	return node;
}

static int on_null(void *context)
{
	return add(context, TREE_NULL) != NULL;
}

static int on_flag(void *context, int flag)
{
	struct tree_node *node = add(context, TREE_FLAG);
	if (node == NULL)
		return STOP;
	node->flag = flag != 0;
	return GO_ON;
}

static int add_text(struct tree *tree, enum tree_kind kind, const void *text, size_t len)
{
	struct tree_node *node = add(tree, kind);
	if (node == NULL)
		return STOP;
	node->text = keep(tree, text, len);
	return GO_ON;
}

static int on_number(void *context, const char *text, size_t len)
{
	return add_text(context, TREE_NUMBER, text, len);
}

static int on_text(void *context, const unsigned char *text, size_t len)
{
	return add_text(context, TREE_TEXT, text, len);
}

static int open_node(struct tree *tree, enum tree_kind kind)
{
	if (tree->depth == TREE_DEPTH) {
		tree->trouble = "is nested too deeply";
		return STOP;
	}
	struct tree_node *node = add(tree, kind);
	if (node == NULL)
		return STOP;
	tree->path[tree->depth++] = node;
	return GO_ON;
}

static int on_object(void *context)
{
	return open_node(context, TREE_OBJECT);
}

static int on_array(void *context)
{
	return open_node(context, TREE_ARRAY);
}

static int on_name(void *context, const unsigned char *text, size_t len)
{
	struct tree *tree = context;
	tree->name = keep(tree, text, len);
	return GO_ON;
}

static int on_end(void *context)
{
	struct tree *tree = context;
	tree->depth--;
	return GO_ON;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_flag,
    .yajl_number = on_number,
    .yajl_string = on_text,
    .yajl_start_map = on_object,
    .yajl_map_key = on_name,
    .yajl_end_map = on_end,
    .yajl_start_array = on_array,
    .yajl_end_array = on_end,
};

const char *tree_read(struct tree *tree, struct bytes text)
{
	arena_clear(&tree->arena);
	tree->root = NULL;
	tree->depth = tree->nodes = 0;
	tree->name = (struct bytes){NULL, 0};
	tree->trouble = NULL;
	yajl_handle yajl = yajl_alloc(&callbacks, NULL, tree);
	if (yajl == NULL)
		panic("libyajl is out of memory");
	bool whole =
	    yajl_parse(yajl, text.data, text.len) == yajl_status_ok && yajl_complete_parse(yajl) == yajl_status_ok;
	yajl_free(yajl);
	if (whole && tree->root != NULL)
		return NULL;
	tree->root = NULL;
	return tree->trouble != NULL ? tree->trouble : "is no JSON";
}

void tree_fini(struct tree *tree)
{
	arena_fini(&tree->arena);
	*tree = (struct tree){0};
}

const struct tree_node *tree_member(const struct tree_node *node, const char *name)
{
	struct bytes wanted = {(const uint8_t *)name, strlen(name)};
	if (node == NULL || node->kind != TREE_OBJECT)
		return NULL;
	for (const struct tree_node *member = node->first; member != NULL; member = member->next)
		if (bytes_equal(member->name, wanted))
			return member;
	return NULL;
}

bool tree_integer(const struct tree_node *node, int64_t *value)
{
	*value = 0;
	if (node == NULL || node->kind != TREE_NUMBER || node->text.len == 0)
		return false;
	for (size_t i = 0; i < node->text.len; i++) {
		uint8_t digit = node->text.data[i];
		if (digit < '0' || digit > '9' || __builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, digit - '0', value))
			return false;
	}
	return true;
}

bool tree_text(const struct tree_node *node, struct bytes *text)
{
	bool is_text = node != NULL && node->kind == TREE_TEXT;
	*text = is_text ? node->text : (struct bytes){NULL, 0};
	return is_text;
}
