/* tests/unit/test_audit_search.c - protects what the audit concludes about the search copy: what documents, dead letters and
 * control documents mean, and the rule that holds them against the log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/sluicectl/audit_document.h"
#include "services/sluicectl/audit_http.h"
#include "services/sluicectl/audit_record.h"
#include "services/sluicectl/audit_search.h"
#include "services/sluicectl/audit_search_keys.h"
#include "services/sluicectl/audit_table.h"
#include "tests/unit/members.h"
#include "tests/unit/shipped_pipeline.h"

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static bool text_is(struct buffer *buffer, const char *text)
{
	bool same = bytes_equal(buffer_bytes(buffer), bytes_of(text));

	if (!same)
		print_error("'%.*s' instead of '%s'\n", (int)buffer->len, (const char *)buffer->data, text);
	buffer_clear(buffer);
	return same;
}

/* ---- JSON of others ---- */

static void test_tree(void **state)
{
	static struct tree tree;
	struct bytes text;
	int64_t number;

	(void)state;
	assert_null(tree_read(
	    &tree, bytes_of("{\"a\": {\"b\": [1, -2.50, \"x\\u0000y\", null, true]}, \"a\": 7, \"\": \"\"}")));
	const struct tree_node *item = tree_member(tree_member(tree.root, "a"), "b");
	assert_int_equal(item->kind, TREE_ARRAY);
	item = item->first;
	assert_true(tree_integer(item, &number));
	assert_int_equal(number, 1);
	item = item->next;
	assert_false(tree_integer(item, &number));
	assert_true(bytes_equal(item->text, bytes_of("-2.50")));
	item = item->next;
	assert_true(tree_text(item, &text));
	assert_true(bytes_equal(text, (struct bytes){(const uint8_t *)"x\0y", 3}));
	assert_int_equal(item->next->kind, TREE_NULL);
	assert_true(item->next->next->flag);
	assert_true(tree_text(tree_member(tree.root, ""), &text));
	assert_int_equal(text.len, 0);
	assert_null(tree_member(tree_member(tree.root, "nobody"), "a"));
	assert_null(tree_read(&tree, bytes_of("9223372036854775807")));
	assert_true(tree_integer(tree.root, &number));
	assert_int_equal(number, INT64_MAX);
	assert_null(tree_read(&tree, bytes_of("9223372036854775808")));
	assert_false(tree_integer(tree.root, &number));
	tree_fini(&tree);
}

static void test_tree_refuses(void **state)
{
	static const char *const texts[] = {"", " ", "{", "{\"a\": }", "[1,]", "nul", "\"\xff\"", "{\"a\": 1} {"};
	static struct tree tree;
	struct buffer text = {0};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_non_null(tree_read(&tree, bytes_of(texts[i])));
	for (size_t i = 0; i <= TREE_DEPTH; i++)
		buffer_append_text(&text, "[");
	assert_string_equal(tree_read(&tree, buffer_bytes(&text)), "is nested too deeply");
	buffer_clear(&text);
	buffer_append_text(&text, "[0");
	for (size_t i = 0; i < TREE_NODES; i++)
		buffer_append_text(&text, ",0");
	buffer_append_text(&text, "]");
	assert_string_equal(tree_read(&tree, buffer_bytes(&text)), "has too many values");
	assert_null(tree.root);
	buffer_fini(&text);
	tree_fini(&tree);
}

static void test_paths_are_encoded(void **state)
{
	struct buffer out = {0};

	(void)state;
	http_encode(&out, "a job/search.0%\xc3\xa4~");
	assert_true(text_is(&out, "a%20job%2Fsearch.0%25%C3%A4~"));
	buffer_fini(&out);
}

/* ---- the index ---- */

static void test_indices(void **state)
{
	static const struct {
		const char *pattern, *search, *letters, *name;
	} cases[] = {
	    {"transactions", "transactions", "transactions-dead-letters", "transactions"},
	    {"a-b.c", "a-b.c", "a-b.c-dead-letters", "a-b.c"},
	    {"transactions-%Y.%m", "transactions-%2A%2C-transactions-dead-letters", "transactions-dead-letters",
	        "transactions-2024.02"},
	    {"sales_%Y-%m-%d", "sales_%2A%2C-sales-dead-letters", "sales-dead-letters", "sales_2024-02-29"},
	    {"x-%Y-", "x-%2A-%2C-x-dead-letters", "x-dead-letters", "x-2024-"},
	};
	const int64_t last_us = INT64_C(1709251199) * 1000000 + 999999; /* 2024-02-29T23:59:59.999999 */
	struct buffer out = {0};
	char name[INDEX_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct index_pattern index = index_pattern_of(cases[i].pattern);
		index_print_search(&index, &out);
		assert_true(text_is(&out, cases[i].search));
		index_print_letters(&index, &out);
		assert_true(text_is(&out, cases[i].letters));
		assert_true(index_name(&index, last_us, name));
		assert_string_equal(name, cases[i].name);
	}
	buffer_fini(&out);
}

/* ---- documents ---- */

/* The fields of a document that are not null, as the report shows them. */
static void describe(
    const struct pipeline *pipeline, const struct audit_zone *zone, const char *json, struct buffer *out)
{
	static struct tree tree;
	struct buffer content = {0};

	assert_null(tree_read(&tree, bytes_of(json)));
	document_content(&content, pipeline, zone, tree.root);
	content_print(out, pipeline, buffer_bytes(&content), NULL);
	buffer_fini(&content);
	tree_fini(&tree);
}

static void test_documents(void **state)
{
	static const struct {
		const char *json, *content;
	} cases[] = {
	    {"{}", ""},
	    {"{\"currency\": null}", ""},
	    {"{\"currency\": \"\"}", "currency ''"},
	    {"{\"currency\": 1}", "currency what is no text"},
	    {"{\"total_amount\": 12.30}", "total_amount 12.30"},
	    {"{\"total_amount\": 12.3}", "total_amount 12.30"},
	    {"{\"total_amount\": 1.23e1}", "total_amount 12.30"},
	    {"{\"total_amount\": 12.300}", "total_amount 12.30"},
	    {"{\"total_amount\": -0.01}", "total_amount -0.01"},
	    {"{\"total_amount\": 12.301}", "total_amount 12.301"},
	    {"{\"total_amount\": 123456789.00}", "total_amount 123456789.00"},
	    {"{\"total_amount\": \"12.30\"}", "total_amount what is no number"},
	    {"{\"total_amount\": true}", "total_amount what is no number"},
	    {"{\"product_quantity\": 3}", "product_quantity 3"},
	    {"{\"product_quantity\": 3.5}", "product_quantity 3.5"},
	    {"{\"transaction_date\": \"2024-01-15T10:00:00.123456+00:00\"}",
	        "transaction_date 2024-01-15T10:00:00.123456Z"},
	    {"{\"transaction_date\": \"2024-01-15T12:00:00+02:00\"}", "transaction_date 2024-01-15T10:00:00.000000Z"},
	    {"{\"transaction_date\": \"2024-01-15T10:00:00\"}", "transaction_date 2024-01-15T10:00:00"},
	    {"{\"transaction_date\": \"2024-01-15T10:00:00.1234567Z\"}",
	        "transaction_date 2024-01-15T10:00:00.1234567Z"},
	    {"{\"transaction_date\": 1705312800000}", "transaction_date what is no time"},
	    {"{\"transactionDate\": \"2024-01-15T10:00:00Z\"}", "and a field that is not declared: transactionDate"},
	    {"[]", ""},
	};
	struct pipeline pipeline;
	struct audit_zone zone;
	struct buffer out = {0};

	(void)state;
	shipped_pipeline(&pipeline);
	audit_zone_use(&zone, "UTC");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		describe(&pipeline, &zone, cases[i].json, &out);
		assert_true(text_is(&out, cases[i].content));
	}
	pipeline_fini(&pipeline);
	buffer_fini(&out);
}

/* What no record can be is equal to none, also where it shows the same. */
static void test_foreign_is_no_value(void **state)
{
	static struct tree tree;
	struct pipeline pipeline;
	struct audit_zone zone;
	struct buffer content[2] = {0};

	(void)state;
	shipped_pipeline(&pipeline);
	audit_zone_use(&zone, "UTC");
	assert_null(tree_read(&tree, bytes_of("{\"total_amount\": 100000000.00}"))); /* a digit more than declared */
	document_content(&content[0], &pipeline, &zone, tree.root);
	struct audit_value value = content_field(buffer_bytes(&content[0]), 7);
	assert_string_equal(pipeline.record.fields[7].name, "total_amount");
	assert_int_equal(value.kind, AUDIT_FOREIGN);
	/* Nor is a document without fields the same as one with an unknown one. */
	buffer_clear(&content[0]);
	document_content(&content[0], &pipeline, &zone, NULL);
	assert_null(tree_read(&tree, bytes_of("{\"x\": null}")));
	document_content(&content[1], &pipeline, &zone, tree.root);
	assert_false(bytes_equal(buffer_bytes(&content[0]), buffer_bytes(&content[1])));
	buffer_fini(&content[0]);
	buffer_fini(&content[1]);
	tree_fini(&tree);
	pipeline_fini(&pipeline);
}

/* A row's wall clock and the document's offset name one point in time, also where the clock is put forward or back. */
static void test_instants(void **state)
{
	static const struct {
		const char *row, *document;
		bool same;
	} cases[] = {
	    {"2024-01-15T10:00:00", "2024-01-15T10:00:00+01:00", true},
	    {"2024-01-15T10:00:00", "2024-01-15T09:00:00Z", true},
	    {"2024-01-15T10:00:00", "2024-01-15T10:00:00+00:00", false},
	    {"2024-03-31T02:30:00", "2024-03-31T02:30:00+01:00", true}, /* skipped */
	    {"2024-03-31T02:30:00", "2024-03-31T03:30:00+02:00", true},
	    {"2024-10-27T02:30:00", "2024-10-27T02:30:00+02:00", true}, /* twice: the earlier one */
	    {"2024-10-27T02:30:00", "2024-10-27T02:30:00+01:00", false},
	};
	struct audit_zone zone;

	(void)state;
	audit_zone_use(&zone, "Europe/Berlin");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int64_t wall_us, unused, instant_us;
		assert_null(time_read_text(&zone, bytes_of(cases[i].row), &wall_us, &unused));
		assert_true(time_read_instant(&zone, bytes_of(cases[i].document), &instant_us));
		assert_int_equal(time_instant(&zone, wall_us) == instant_us, cases[i].same);
	}
	audit_zone_use(&zone, "UTC");
}

static void test_letters(void **state)
{
	static const char whole[] =
	    "{\"reason\": \"r\", \"topic\": \"t\", \"partition\": 3, \"offset\": 12, \"key\": \"k\", "
	    "\"document\": \"{}\", \"index\": \"i\"}";
	static const struct {
		const char *id, *was, *is, *trouble;
	} cases[] = {
	    {"t-3-12", "", "", NULL},
	    {"t-3-13", "", "", "its id is not <topic>-<partition>-<offset>"},
	    {"t-3-12", "\"reason\"", "\"raison\"", "it has no reason"},
	    {"t-3-12", "\"r\"", "\"\" ", "it has no reason"},
	    {"t-3-12", "12", "-1", "it names no offset"},
	    {"t-3-12", ": 3,", ":-3,", "it names no partition"},
	    {"t-3-12", "\"k\"", "  7", "it names no key"},
	    {"t-3-12", "\"{}\"", "   7", "its document is no text"},
	};
	static struct tree tree;
	struct document_letter letter;
	char text[sizeof whole];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		memcpy(text, whole, sizeof whole);
		memcpy(strstr(text, cases[i].was), cases[i].is, strlen(cases[i].is));
		assert_null(tree_read(&tree, bytes_of(text)));
		document_letter_read(&letter, bytes_of(cases[i].id), tree.root);
		if (cases[i].trouble != NULL)
			assert_string_equal(letter.trouble, cases[i].trouble);
		else
			assert_null(letter.trouble);
		assert_false(letter.document_cut);
	}
	assert_null(tree_read(
	    &tree, bytes_of("{\"reason\": \"r\", \"topic\": \"t\", \"partition\": 3, \"offset\": 12, \"key\": \"k\", "
	                    "\"document\": \"{\", \"document_bytes\": 999, \"index\": \"i\"}")));
	document_letter_read(&letter, bytes_of("t-3-12"), tree.root);
	assert_null(letter.trouble);
	assert_true(letter.document_cut);
	tree_fini(&tree);
}

/* ---- control documents ---- */

static const char control_text[] =
    "{\"job\":\"j/"
    "search\",\"writer\":0,\"writers\":1,\"first_group\":0,\"groups\":128,\"key_groups\":128,\"index\":\"i\","
    "\"fence\":7,\"attempt\":7,\"epoch\":42,\"cut\":{\"10\":99,\"2\":5},\"since\":{\"2\":1},"
    "\"counters\":{\"consumed\":10,\"accepted\":9,\"dead\":1},\"fingerprint\":\"0123456789abcdef0123456789abcdef\"}";

static const char *control_trouble(const char *was, const char *is)
{
	static struct tree tree;
	struct control control;
	struct buffer text = {0};
	const char *at = strstr(control_text, was);

	buffer_append(&text, control_text, (size_t)(at - control_text));
	buffer_append_text(&text, is);
	buffer_append_text(&text, at + strlen(was));
	assert_null(tree_read(&tree, buffer_bytes(&text)));
	const char *trouble = control_read(&control, "j/search", 0, tree.root);
	control_fini(&control);
	buffer_fini(&text);
	tree_fini(&tree);
	return trouble;
}

static void test_control(void **state)
{
	static struct tree tree;
	struct control control;

	(void)state;
	assert_null(tree_read(&tree, bytes_of(control_text)));
	assert_null(control_read(&control, "j/search", 0, tree.root));
	assert_true(control.started && control.has_since && !control.has_start);
	assert_int_equal(control_cut_at(&control.cut, 2), 5);
	assert_int_equal(control_cut_at(&control.cut, 10), 99);
	assert_int_equal(control_cut_at(&control.cut, 3), 0);
	assert_int_equal(control_cut_at(&control.start, 3), 0);
	assert_int_equal(control.counters[CONTROL_ACCEPTED], 9);
	control_fini(&control);
	assert_string_equal(control_read(&control, "j/search", 1, tree.root), "writer is not the number of its id");
	control_fini(&control);
	assert_string_equal(control_read(&control, "j/search", 0, NULL), "job is another one");
	tree_fini(&tree);
	assert_null(control_trouble("\"cut\":{\"10\":99,\"2\":5},", "")); /* not started */
	assert_string_equal(control_trouble("\"2\":5", "\"02\":5"), "cut is none");
	assert_string_equal(control_trouble("\"2\":5", "\"10\":5"), "cut is none");
	assert_string_equal(control_trouble("\"2\":5", "\"2147483648\":5"), "cut is none");
	assert_string_equal(control_trouble("\"2\":5", "\"2\":-5"), "cut is none");
	assert_string_equal(control_trouble("\"2\":5", "\"2\":5.5"), "cut is none");
	assert_string_equal(control_trouble("{\"10\":99,\"2\":5}", "[]"), "cut is none");
	assert_string_equal(control_trouble("\"writers\":1", "\"writers\":0"), "writers is no number of writers");
	assert_string_equal(
	    control_trouble("\"writers\":1", "\"writers\":4294967297"), "writers is no number of writers");
	assert_string_equal(control_trouble("\"dead\":1", "\"dead\":-1"), "counters are none");
	assert_string_equal(control_trouble("0123456789abcdef\"", "0123456789abcdef0\""), "fingerprint is none");
}

static void test_who_writes(void **state)
{
	static const struct {
		struct control controls[4];
		size_t len, active;
	} cases[] = {
	    {{{.groups = 128, .key_groups = 128}}, 1, 1},
	    {{{.groups = 64, .key_groups = 128}}, 1, 0},
	    {{{.groups = 64, .key_groups = 128}, {.writer = 1, .first_group = 64, .groups = 64, .key_groups = 128}}, 2,
	        2},
	    {{{.groups = 64, .key_groups = 128}, {.writer = 1, .first_group = 65, .groups = 63, .key_groups = 128}}, 2,
	        0},
	    {{{.groups = 64, .key_groups = 128}, {.writer = 2, .first_group = 64, .groups = 64, .key_groups = 128}}, 2,
	        0},
	    {{{.groups = 64, .key_groups = 128}, {.writer = 1, .first_group = 60, .groups = 64, .key_groups = 128}}, 2,
	        0},
	    /* One has taken over from both; the other is deleted later. */
	    {{{.groups = 128, .key_groups = 128}, {.writer = 1, .first_group = 64, .groups = 64, .key_groups = 128}}, 2,
	        1},
	    {{{.groups = 128, .key_groups = 64}}, 1, 0},
	};

	(void)state;
	assert_int_equal(controls_active(cases[0].controls, 0), 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(controls_active(cases[i].controls, cases[i].len), cases[i].active);
}

/* ---- the rule ---- */

struct world {
	struct pipeline pipeline;
	struct spool spool;
	struct record_reader reader;
	struct audit audit;
	struct report *report;
	int64_t offset; /* of the next record, in any partition */
};

static struct world world;

/* Two partitions; the cut is at offset 10 of each. */
static int world_set_up(void **state)
{
	struct error error;

	(void)state;
	memset(&world, 0, sizeof world);
	shipped_pipeline(&world.pipeline);
	assert_int_equal(spool_open(&world.spool, &error), RESULT_OK);
	record_reader_init(&world.reader, &world.pipeline);
	world.report = &world.audit.report;
	world.report->pipeline = &world.pipeline;
	world.report->search = memory_new(sizeof *world.report->search);
	world.report->partitions = memory_new(2 * sizeof world.report->partitions[0]);
	world.report->partitions_len = 2;
	for (uint32_t i = 0; i < 2; i++)
		world.report->partitions[i] = (struct audit_partition){.partition = i, .cut = 10, .cut_most = 12};
	return 0;
}

static int world_tear_down(void **state)
{
	(void)state;
	report_fini(world.report);
	record_reader_fini(&world.reader);
	spool_close(&world.spool);
	pipeline_fini(&world.pipeline);
	return 0;
}

/* Told apart by its amount. */
static void content_make(const char *key, const char *amount, struct buffer *content)
{
	struct audit_record record;
	struct buffer json = {0};

	buffer_printf(&json,
	    "{\"transaction_id\": \"%s\", \"product_category\": \"home\", \"total_amount\": %s, "
	    "\"transaction_date\": \"2024-01-15T10:00:00Z\"}",
	    key, amount);
	record_read(&world.reader, buffer_bytes(&json), -1, &record);
	assert_null(record.reason);
	document_expect(content, &world.reader.zone, record.content);
	buffer_fini(&json);
}

/* Returns its offset. */
static int64_t sent(uint32_t partition, const char *key, const char *amount)
{
	struct buffer content = {0};

	content_make(key, amount, &content);
	const struct key_record record = {.partition = partition,
	    .offset = world.offset,
	    .timestamp_ms = world.offset,
	    .key = bytes_of(key),
	    .content = buffer_bytes(&content)};
	search_put_record(&world.spool, &record);
	buffer_fini(&content);
	return world.offset++;
}

static void document(const char *key, const char *amount)
{
	struct buffer content = {0};

	content_make(key, amount, &content);
	search_put_document(&world.spool, bytes_of(key), buffer_bytes(&content));
	buffer_fini(&content);
}

static void letter(uint32_t partition, int64_t offset, const char *key, const char *amount)
{
	struct buffer content = {0};

	if (amount != NULL)
		content_make(key, amount, &content);
	const struct search_letter put = {
	    .partition = partition, .offset = offset, .key = bytes_of(key), .content = buffer_bytes(&content)};
	search_put_letter(&world.spool, &put);
	buffer_fini(&content);
}

static void judged(uint64_t differences)
{
	struct error error;

	search_compare(&world.spool, world.report);
	assert_int_equal(spool_check(&world.spool, &error), RESULT_OK);
	assert_int_equal(world.report->differences_len, differences);
}

static void test_the_first_of_a_partition_counts(void **state)
{
	(void)state;
	sent(0, "a", "1.00");
	sent(0, "a", "2.00");
	document("a", "1.00");
	sent(0, "b", "1.00");
	sent(0, "b", "2.00");
	document("b", "2.00");
	judged(1);
	assert_int_equal(world.report->differences[DIFFERENCE_DOCUMENT], 1);
	assert_int_equal(world.report->search->valid, 4);
	assert_int_equal(world.report->search->contested, 0);
}

/* A document as Elasticsearch holds it: a time names its offset. */
static void document_json(struct buffer *out, const struct value *values)
{
	for (size_t i = 0; i < world.pipeline.record.fields_len; i++) {
		const struct field *field = &world.pipeline.record.fields[i];
		buffer_printf(out, "%s\"%s\":", i ? "," : "{", field->name);
		member_json(out, field, &values[i]);
		if (field->type == FIELD_TIMESTAMP && values[i].kind != VALUE_NULL) {
			out->len--;
			buffer_append_text(out, "+00:00\"");
		}
	}
	buffer_append_text(out, "}");
}

/* For every value of every field a record that has the first one, and a document that has this one. */
static void test_every_member_of_a_document(void **state)
{
	struct value values[PIPELINE_FIELDS_MAX], members[MEMBERS_MAX];
	struct buffer json = {0}, content = {0};
	uint64_t differences = 0;

	(void)state;
	world.report->partitions[0].cut = world.report->partitions[0].cut_most = 1000;
	for (size_t i = 0; i < world.pipeline.record.fields_len; i++) {
		size_t members_len = members_of(&world.pipeline.record.fields[i], members);
		for (size_t m = 0; m < members_len && i != world.pipeline.record.key; m++) {
			static struct tree tree;
			struct audit_record record;
			char key[48];

			(void)snprintf(key, sizeof key, "%zu-%zu", i, m);
			members_first(&world.pipeline, values);
			values[world.pipeline.record.key] = member_text(key);
			buffer_clear(&json);
			members_json(&json, &world.pipeline, values);
			record_read(&world.reader, buffer_bytes(&json), -1, &record);
			assert_null(record.reason);
			buffer_clear(&content);
			document_expect(&content, &world.reader.zone, record.content);
			const struct key_record put = {
			    .offset = world.offset++, .key = bytes_of(key), .content = buffer_bytes(&content)};
			search_put_record(&world.spool, &put);

			values[i] = members[m];
			buffer_clear(&json);
			document_json(&json, values);
			assert_null(tree_read(&tree, buffer_bytes(&json)));
			buffer_clear(&content);
			document_content(&content, &world.pipeline, &world.reader.zone, tree.root);
			tree_fini(&tree);
			search_put_document(&world.spool, bytes_of(key), buffer_bytes(&content));
			differences += m > 0;
		}
	}
	judged(differences);
	assert_int_equal(world.report->differences[DIFFERENCE_DOCUMENT], differences);
	buffer_fini(&json);
	buffer_fini(&content);
}

static void test_another_partition_may_have_been_first(void **state)
{
	(void)state;
	sent(0, "a", "1.00");
	sent(1, "a", "2.00");
	document("a", "2.00");
	sent(0, "b", "1.00");
	sent(1, "b", "1.00");
	document("b", "1.00");
	judged(0);
	assert_int_equal(world.report->search->contested, 1);
}

static void test_missing_and_too_many(void **state)
{
	(void)state;
	sent(0, "a", "1.00");
	sent(0, "b", "1.00");
	document("b", "1.00");
	document("b", "1.00");
	document("c", "1.00");
	judged(3);
	assert_int_equal(world.report->differences[DIFFERENCE_DOCUMENT_MISSING], 1);
	assert_int_equal(world.report->differences[DIFFERENCE_DOCUMENT_EXTRA], 2);
}

/* Behind the cut a document may be there, and need not; but what is there has to be right. */
static void test_behind_the_cut(void **state)
{
	(void)state;
	world.offset = 9;
	sent(0, "a", "1.00");
	document("a", "1.00");
	sent(0, "b", "1.00");
	sent(0, "c", "1.00");
	document("c", "1.00");
	sent(0, "d", "1.00");
	document("d", "2.00");
	judged(1);
	assert_int_equal(world.report->differences[DIFFERENCE_DOCUMENT], 1);
	assert_int_equal(world.report->search->ahead, 1);
	assert_int_equal(world.report->search->valid, 1);
	assert_int_equal(world.report->search->valid_least, 1);
	assert_int_equal(world.report->search->valid_most, 3);
}

static void test_letters_give_the_next_its_turn(void **state)
{
	(void)state;
	letter(0, sent(0, "a", "1.00"), "a", "1.00");
	letter(0, sent(0, "a", "2.00"), "a", "2.00");
	sent(0, "a", "3.00");
	sent(0, "a", "4.00");
	document("a", "3.00");
	letter(0, sent(0, "b", "1.00"), "b", "1.00");
	sent(0, "b", "2.00");
	sent(0, "b", "3.00");
	document("b", "3.00"); /* its turn never came */
	judged(1);
	assert_int_equal(world.report->differences[DIFFERENCE_DOCUMENT], 1);
	assert_int_equal(world.report->search->letters_least, 3);
	assert_int_equal(world.report->search->letters_most, 3);
}

static void test_without_a_document_each_record_has_a_letter(void **state)
{
	(void)state;
	letter(0, sent(0, "a", "1.00"), "a", "1.00");
	letter(1, sent(1, "a", "1.00"), "a", NULL); /* too long: what it said is not known */
	letter(0, sent(0, "b", "1.00"), "b", "1.00");
	sent(0, "b", "1.00");
	world.offset = 10;
	sent(0, "a", "2.00"); /* behind the cut */
	judged(1);
	assert_int_equal(world.report->differences[DIFFERENCE_DOCUMENT_MISSING], 1);
}

/* A letter of an attempt that failed, whose record was accepted in the next one, may be counted or not. */
static void test_a_letter_that_is_healed(void **state)
{
	(void)state;
	letter(0, sent(0, "a", "1.00"), "a", "1.00");
	sent(0, "a", "2.00");
	document("a", "1.00");
	judged(0);
	assert_int_equal(world.report->search->letters_least, 0);
	assert_int_equal(world.report->search->letters_most, 1);
	assert_int_equal(world.report->search->contested, 0);
}

static void test_letters_name_records(void **state)
{
	(void)state;
	letter(0, sent(0, "a", "1.00"), "a", "1.01");
	letter(0, sent(0, "b", "1.00"), "c", "1.00");
	document("b", "1.00");
	letter(1, 5, "b", "1.00");
	judged(3);
	assert_int_equal(world.report->differences[DIFFERENCE_LETTER], 1);
	assert_int_equal(world.report->differences[DIFFERENCE_LETTER_EXTRA], 2);
}

/* Also where both keys are in one part. */
static void test_a_letter_of_another_key(void **state)
{
	char other[16] = "";

	(void)state;
	for (int i = 0; (table_hash(bytes_of(other)) ^ table_hash(bytes_of("b"))) % SPOOL_BUCKETS != 0; i++)
		(void)snprintf(other, sizeof other, "c%d", i);
	letter(0, sent(0, "b", "1.00"), other, "1.00");
	letter(0, sent(0, "b", "1.00"), "b", "1.00");
	document("b", "1.00");
	judged(1);
	assert_int_equal(world.report->differences[DIFFERENCE_LETTER_EXTRA], 1);
}

static void test_counters_begin_somewhere(void **state)
{
	(void)state;
	world.report->partitions[0].since = 1;
	world.report->partitions[0].since_most = 3;
	for (int i = 0; i < 6; i++)
		letter(0, sent(0, "a", "1.00"), "a", "1.00");
	judged(0);
	assert_int_equal(world.report->search->valid, 6);
	assert_int_equal(world.report->search->valid_least, 3);
	assert_int_equal(world.report->search->valid_most, 5);
	assert_int_equal(world.report->search->letters_least, 3);
	assert_int_equal(world.report->search->letters_most, 5);
}

static void test_the_beginning_is_gone(void **state)
{
	(void)state;
	world.report->partial = true;
	world.report->partitions[0].begin = 5;
	world.offset = 5;
	document("a", "1.00");
	document("b", "1.00");
	sent(0, "b", "2.00");
	sent(0, "c", "1.00");
	letter(0, 4, "d", "1.00");
	letter(1, 4, "d", "1.00");
	judged(2);
	assert_int_equal(world.report->rows_unproved, 2);
	assert_int_equal(world.report->letters_unproved, 1);
	assert_int_equal(world.report->differences[DIFFERENCE_DOCUMENT_MISSING], 1);
	assert_int_equal(world.report->differences[DIFFERENCE_LETTER_EXTRA], 1);
}

/* Its documents may have been written ahead of the cut, and are not wanted; what is not skipped has to be there. */
static void test_what_was_skipped(void **state)
{
	const struct audit_skip skip = {.partition = 0, .from = 5, .to = 8, .at = "2026-11-30T12:00:00Z"};
	(void)state;
	report_add_skip(world.report, &skip);
	document("a", "1.00");
	letter(0, 5, "d", "1.00");
	letter(0, 7, "e", "1.00");
	letter(0, 4, "f", "1.00");
	letter(0, 8, "g", "1.00");
	letter(1, 6, "h", "1.00");
	world.offset = 8;
	sent(0, "b", "1.00");
	judged(4);
	assert_int_equal(world.report->rows_unproved, 1);
	assert_int_equal(world.report->letters_unproved, 2);
	assert_int_equal(world.report->differences[DIFFERENCE_DOCUMENT_MISSING], 1);
	assert_int_equal(world.report->differences[DIFFERENCE_LETTER_EXTRA], 3);
}

/* ---- cuts of several writers ---- */

static void control_add(uint32_t first, uint32_t groups, bool started, const char *cut)
{
	static struct tree tree;
	struct search_report *search = world.report->search;
	struct buffer text = {0};

	buffer_printf(&text,
	    "{\"job\":\"j\",\"writer\":%zu,\"writers\":3,\"first_group\":%u,\"groups\":%u,\"key_groups\":128,"
	    "\"index\":\"transactions\",\"attempt\":7,\"epoch\":42,%s%s%s"
	    "\"counters\":{\"consumed\":0,\"accepted\":0,\"dead\":0},\"fingerprint\":\"%s\"}",
	    search->controls_len, first, groups, started ? "\"cut\":" : "", started ? cut : "", started ? "," : "",
	    world.pipeline.fingerprint);
	assert_null(tree_read(&tree, buffer_bytes(&text)));
	assert_null(
	    control_read(&search->controls[search->controls_len], "j", (uint32_t)search->controls_len, tree.root));
	search->controls_len++;
	buffer_fini(&text);
	tree_fini(&tree);
}

static enum result controls_take(void)
{
	struct error error;

	free(world.report->partitions);
	world.report->partitions = NULL;
	world.report->partitions_len = 0;
	return search_take_controls(&world.audit, &error);
}

static void test_the_least_cut(void **state)
{
	(void)state;
	assert_int_equal(controls_take(), RESULT_CONFIG); /* never started */
	control_add(0, 64, true, "{\"0\": 5, \"1\": 9, \"3\": 4}");
	assert_int_equal(controls_take(), RESULT_RETRY);
	control_add(64, 64, true, "{\"0\": 7, \"1\": 2}");
	control_add(100, 28, true, "{\"1\": 8, \"0\": 6, \"3\": 1}"); /* is no more */
	assert_int_equal(controls_take(), RESULT_OK);
	assert_int_equal(world.report->search->surplus, 1);
	assert_int_equal(world.report->partitions_len, 3);
	assert_int_equal(world.report->partitions[0].cut, 5);
	assert_int_equal(world.report->partitions[0].cut_most, 7);
	assert_int_equal(world.report->partitions[1].cut, 2);
	assert_int_equal(world.report->partitions[2].partition, 3);
	assert_int_equal(world.report->partitions[2].cut, 0); /* one writer does not know it yet */
	assert_int_equal(world.report->partitions[2].cut_most, 4);
}

static void test_not_started(void **state)
{
	(void)state;
	control_add(0, 64, true, "{\"0\": 5}");
	control_add(64, 64, false, NULL);
	assert_int_equal(controls_take(), RESULT_RETRY);
}

#define OF_WORLD(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tree),
	    cmocka_unit_test(test_tree_refuses),
	    cmocka_unit_test(test_paths_are_encoded),
	    cmocka_unit_test(test_indices),
	    cmocka_unit_test(test_documents),
	    cmocka_unit_test(test_foreign_is_no_value),
	    cmocka_unit_test(test_instants),
	    cmocka_unit_test(test_letters),
	    cmocka_unit_test(test_control),
	    cmocka_unit_test(test_who_writes),
	    OF_WORLD(test_the_first_of_a_partition_counts),
	    OF_WORLD(test_every_member_of_a_document),
	    OF_WORLD(test_another_partition_may_have_been_first),
	    OF_WORLD(test_missing_and_too_many),
	    OF_WORLD(test_behind_the_cut),
	    OF_WORLD(test_letters_give_the_next_its_turn),
	    OF_WORLD(test_without_a_document_each_record_has_a_letter),
	    OF_WORLD(test_a_letter_that_is_healed),
	    OF_WORLD(test_letters_name_records),
	    OF_WORLD(test_a_letter_of_another_key),
	    OF_WORLD(test_counters_begin_somewhere),
	    OF_WORLD(test_the_beginning_is_gone),
	    OF_WORLD(test_what_was_skipped),
	    OF_WORLD(test_the_least_cut),
	    OF_WORLD(test_not_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
