/* services/sluicectl/accept_search.c - see accept.h: in the control document of writer 0. */
#include "services/sluicectl/accept.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "services/sluicectl/audit_control.h"
#include "services/sluicectl/audit_http.h"
#include "services/sluicectl/audit_tree.h"

static const char *text_of(struct arena *arena, struct bytes text)
{
	return arena_clone(arena, text.data, text.len);
}

static void take(struct memory *memory, const struct tree_node *source)
{
	const struct tree_node *facts = tree_member(source, "remembered"), *marks = tree_member(source, "marks");
	struct bytes text;
	for (const struct tree_node *node = facts != NULL ? facts->first : NULL; node != NULL; node = node->next)
		if (tree_text(node, &text))
			facts_add(&memory->facts, &memory->arena, text_of(&memory->arena, node->name),
			    text_of(&memory->arena, text));
	for (const struct tree_node *node = marks != NULL ? marks->first : NULL; node != NULL; node = node->next) {
		uint32_t partition = (uint32_t)strtoul(text_of(&memory->arena, node->name), NULL, 10);
		if (tree_text(node, &text))
			(void)marks_add_text(&memory->marks, partition, text_of(&memory->arena, text));
	}
}

static enum result document_read(
    struct http *http, struct memory *memory, struct control_version *version, struct error *error)
{
	struct buffer path = {0};
	struct tree tree = {0};
	control_path(&path, "_doc", memory->job, 0);
	buffer_append(&path, "", 1);
	enum result result = http_ask(http, "GET", (const char *)path.data, (struct bytes){0}, HTTP_AGAIN, error);
	if (result == RESULT_OK && http->status == 404)
		result = error_set(error, RESULT_CONFIG, "job %s was never started: it remembers nothing", memory->job);
	else if (result == RESULT_OK &&
	         (tree_read(&tree, buffer_bytes(&http->answer)) != NULL || !control_version_read(version, tree.root)))
		result = error_set(error, RESULT_CONFIG, "the control document of job %s is not one", memory->job);
	else if (result == RESULT_OK)
		take(memory, tree_member(tree.root, "_source"));
	tree_fini(&tree);
	buffer_fini(&path);
	return result;
}

enum result accept_search_read(struct memory *memory, struct error *error)
{
	struct http http;
	struct control_version version = {0};
	enum result result = http_open(&http, &memory->pipeline->sinks.elasticsearch, error);
	if (result != RESULT_OK)
		return result;
	result = document_read(&http, memory, &version, error);
	http_close(&http);
	return result;
}

/* A compare-and-swap on the document as it is now: a writer that is at work meanwhile makes it fail. */
enum result accept_search_write(
    const struct memory *memory, const struct facts *now, bool anew, const char *detail, struct error *error)
{
	struct http http;
	struct memory seen = {.pipeline = memory->pipeline, .job = memory->job};
	struct buffer path = {0}, body = {0};
	struct control_version version = {0};
	(void)anew, (void)detail; /* Elasticsearch has no table of interventions: what is remembered says it */
	enum result result = http_open(&http, &memory->pipeline->sinks.elasticsearch, error);
	if (result != RESULT_OK)
		return result;
	result = document_read(&http, &seen, &version, error);
	control_path(&path, "_update", memory->job, 0);
	control_version_put(&version, &path);
	buffer_append(&path, "", 1);
	buffer_append_text(&body, "{\"doc\": {\"remembered\": ");
	facts_print(now, &body);
	buffer_append_text(&body, "}}");
	if (result == RESULT_OK)
		result = http_ask(&http, "POST", (const char *)path.data, buffer_bytes(&body), HTTP_ONCE, error);
	if (result == RESULT_OK && http.status != 200)
		result = error_set(error, RESULT_RETRY,
		    "Elasticsearch answers %ld: the control document was changed meanwhile, try again", http.status);
	http_close(&http);
	buffer_fini(&path);
	buffer_fini(&body);
	marks_fini(&seen.marks);
	arena_fini(&seen.arena);
	return result;
}
