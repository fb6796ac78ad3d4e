/* services/sluicectl/audit_tree.h - an answer of Elasticsearch, as a tree: the audit's own reading of JSON that it did not write.
 *
 * libyajl reads; numbers stay the text that they were. Of a name that comes twice in an object, the first counts.
 *
 * Ownership: nodes and texts live until the next tree_read.
 * Errors:    tree_read answers NULL, or words for what it is not.
 * Limits:    TREE_NODES nodes, TREE_DEPTH levels: some 100 MiB for the worst text, a few times its size for any other.
 */
#ifndef AUDIT_TREE_H
#define AUDIT_TREE_H

#include "common/base/buffer.h"

enum { TREE_NODES = 1 << 20, TREE_DEPTH = 32 };

enum tree_kind { TREE_NULL, TREE_FLAG, TREE_NUMBER, TREE_TEXT, TREE_OBJECT, TREE_ARRAY };

struct tree_node {
	enum tree_kind kind;
	bool flag; /* TREE_FLAG */
	struct bytes name; /* within an object */
	struct bytes text; /* TREE_TEXT: without quotes and escapes; TREE_NUMBER: as it stood */
	struct tree_node *first, *last, *next;
};

struct tree {
	struct arena arena;
	struct tree_node *root;
	struct tree_node *path[TREE_DEPTH]; /* while reading: what is open */
	size_t depth, nodes;
	struct bytes name; /* likewise: of the next node */
	const char *trouble;
};

/* A zeroed struct tree is an empty one. */
const char *tree_read(struct tree *tree, struct bytes text);
void tree_fini(struct tree *tree);

/* NULL: node is NULL, no object, or has no such member. */
const struct tree_node *tree_member(const struct tree_node *node, const char *name);
/* False: it is not a whole number from 0 to INT64_MAX, written without point and exponent. */
bool tree_integer(const struct tree_node *node, int64_t *value);
/* False: it is no text. */
bool tree_text(const struct tree_node *node, struct bytes *text);

#endif
