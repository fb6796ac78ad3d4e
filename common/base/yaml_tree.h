/* common/base/yaml_tree.h - a YAML file as a tree of nodes that know their lines.
 *
 * A small part of YAML on purpose: one document of maps, lists and scalars. Anchors, aliases, tags and repeated keys
 * are refused. Scalars are texts: what they mean is said by whoever reads them. In values (not in keys) ${...} is
 * replaced, see text_expand.
 *
 * Ownership: nodes and texts live in the tree's arena until yaml_tree_fini.
 * Errors:    CONFIG, with path and line of the node where there is one, without the file's name.
 * Limits:    the ones below; reading is linear in the size of the file but for the search for repeated keys.
 */
#ifndef BASE_YAML_TREE_H
#define BASE_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

enum {
	YAML_BYTES_MAX = 1024 * 1024,
	YAML_NODES_MAX = 10000,
	YAML_DEPTH_MAX = 16,
	YAML_KEY_MAX = 255,
	YAML_VALUE_MAX = 64 * 1024, /* of one scalar, after replacing */
};

enum yaml_kind { YAML_TEXT, YAML_NULL, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_kind kind;
	uint32_t line; /* from 1; of the key where the node is in a map */
	uint32_t place; /* from 0; in its list or map */
	char *key; /* NULL unless the parent is a map */
	char *text; /* of YAML_TEXT, otherwise "" */
	struct yaml_node *parent, *next, *first, *last;
	uint32_t children;
};

struct yaml_tree {
	struct arena arena;
	struct yaml_node *root;
};

enum result yaml_tree_parse(struct yaml_tree *tree, struct bytes text, struct error *error) MUST_USE;
void yaml_tree_fini(struct yaml_tree *tree);

/* The member of a map, or NULL; map may be NULL or no map. */
const struct yaml_node *yaml_member(const struct yaml_node *map, const char *key);

/* Sets CONFIG and "record.fields[2].type at line 14: " in front of the words. */
enum result yaml_error(const struct yaml_node *node, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "record.fields[2].type", "" for the root. */
void yaml_path(const struct yaml_node *node, struct buffer *out);

/* Replaces ${VAR} and ${VAR:default} by the environment, ${file:/path} by the file's text without its last newline,
 * and ${{X}} by a literal ${X}. A variable that is set to nothing is set. What was put in is not looked at again. */
enum result text_expand(const char *text, struct buffer *out, struct error *error) MUST_USE;

#endif
