/* services/sluicectl/audit_search.c - see audit_search.h. */
#include "services/sluicectl/audit_search.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "services/sluicectl/audit_document.h"
#include "services/sluicectl/audit_elastic.h"
#include "services/sluicectl/audit_search_keys.h"

enum { SHOWN_BYTES = 240 };

struct search_reader {
	struct audit *audit;
	struct elastic elastic;
	struct tree inner; /* the document within a dead letter */
	struct index_pattern index;
	struct buffer content, key;
};

static const char *with_end(struct buffer *buffer)
{
	buffer_append(buffer, "", 1);
	return (const char *)buffer->data;
}

/* --- documents ------------------------------------------------------------------------------------------------- */

static void say_place(struct report *report, struct bytes id, struct bytes expected, struct bytes found)
{
	struct difference difference = {.kind = DIFFERENCE_DOCUMENT_PLACE};
	buffer_printf(&difference.key, "%s '", report->pipeline->record.fields[report->pipeline->record.key].name);
	buffer_append(&difference.key, id.data, id.len);
	buffer_append_text(&difference.key, "'");
	buffer_append_text(&difference.expected, "index ");
	buffer_append(&difference.expected, expected.data, expected.len);
	buffer_append_text(&difference.expected, ", by its own time");
	buffer_append_text(&difference.found, "index ");
	buffer_append(&difference.found, found.data, found.len);
	report_add(report, &difference);
}

/* A key has a document in every index that the times of its records name: what is joined is both. */
static void put_key(struct search_reader *reader, struct bytes index, struct bytes id)
{
	buffer_clear(&reader->key);
	search_print_key(&reader->index, index, id, &reader->key);
}

/* Where the document belongs. An index without a date may be an alias: then any name is right. */
static void take_place(struct search_reader *reader, struct bytes index, struct bytes id, struct bytes content)
{
	const struct audit *audit = reader->audit;
	char name[INDEX_NAME_MAX];
	struct audit_value value = content_field(content, audit->pipeline->record.event_time);
	struct bytes due = index;
	if (reader->index.dated && value.kind == AUDIT_INSTANT &&
	    index_name(&reader->index, time_wall(&audit->reader.zone, value.number), name))
		due = (struct bytes){(const uint8_t *)name, strlen(name)};
	put_key(reader, due, id);
	if (!bytes_equal(index, due))
		say_place(&reader->audit->report, id, due, index);
}

static enum result on_document(
    void *context, struct bytes index, struct bytes id, const struct tree_node *source, struct error *error)
{
	struct search_reader *reader = context;
	struct audit *audit = reader->audit;
	buffer_clear(&reader->content);
	document_content(&reader->content, audit->pipeline, &audit->reader.zone, source);
	take_place(reader, index, id, buffer_bytes(&reader->content));
	search_put_document(&audit->spool, buffer_bytes(&reader->key), buffer_bytes(&reader->content));
	progress_show(&audit->progress, "Elasticsearch: documents", ++audit->report.search->documents,
	    (uint64_t)reader->elastic.expected);
	return spool_check(&audit->spool, error);
}

/* --- dead letters ---------------------------------------------------------------------------------------------- */

static void say_letter(struct report *report, struct bytes id, const char *trouble)
{
	struct difference difference = {.kind = DIFFERENCE_LETTER};
	buffer_append_text(&difference.key, "the dead letter ");
	audit_bytes_print(&difference.key, id, SHOWN_BYTES);
	buffer_append_text(
	    &difference.expected, "reason, topic, partition, offset, key, document and index of a record of the topic");
	buffer_append_text(&difference.found, trouble);
	report_add(report, &difference);
}

static const char *letter_fails(struct search_reader *reader, const struct document_letter *letter)
{
	const char *topic = reader->audit->pipeline->source.topic;
	if (letter->trouble != NULL)
		return letter->trouble;
	if (!bytes_equal(letter->topic, (struct bytes){(const uint8_t *)topic, strlen(topic)}))
		return "its topic is another one";
	if (letter->document_cut)
		return NULL;
	return tree_read(&reader->inner, letter->document) != NULL ? "its document is no JSON" : NULL;
}

static enum result on_letter(
    void *context, struct bytes index, struct bytes id, const struct tree_node *source, struct error *error)
{
	struct search_reader *reader = context;
	struct audit *audit = reader->audit;
	struct document_letter letter;
	(void)index;
	audit->report.letters++;
	document_letter_read(&letter, id, source);
	const char *trouble = letter_fails(reader, &letter);
	if (trouble != NULL) {
		say_letter(&audit->report, id, trouble);
		return RESULT_OK;
	}
	buffer_clear(&reader->content);
	if (!letter.document_cut)
		document_content(&reader->content, audit->pipeline, &audit->reader.zone, reader->inner.root);
	put_key(reader, letter.index, letter.key);
	const struct search_letter put = {.partition = (uint32_t)letter.partition,
	    .offset = letter.offset,
	    .key = buffer_bytes(&reader->key),
	    .content = buffer_bytes(&reader->content)};
	search_put_letter(&audit->spool, &put);
	progress_show(
	    &audit->progress, "Elasticsearch: dead letters", audit->report.letters, (uint64_t)reader->elastic.expected);
	return spool_check(&audit->spool, error);
}

/* --- all of it ------------------------------------------------------------------------------------------------- */

static enum result read_indices(struct search_reader *reader, struct error *error)
{
	struct elastic *elastic = &reader->elastic;
	struct buffer documents = {0}, letters = {0}, name = {0};
	index_print_search(&reader->index, &documents);
	index_print_letters(&reader->index, &name);
	http_encode(&letters, with_end(&name));
	const char *documents_path = with_end(&documents), *letters_path = with_end(&letters);
	enum result result = search_read_mappings(reader->audit, elastic, &reader->index, documents_path, error);
	if (result == RESULT_OK)
		result = search_check_letters(reader->audit, elastic, letters_path, error);
	if (result == RESULT_OK)
		result = elastic_refresh(elastic, documents_path, error);
	if (result == RESULT_OK)
		result = elastic_refresh(elastic, letters_path, error);
	if (result == RESULT_OK)
		result = elastic_scan(elastic, documents_path, on_document, reader, error);
	if (result == RESULT_OK)
		result = elastic_scan(elastic, letters_path, on_letter, reader, error);
	buffer_fini(&documents);
	buffer_fini(&letters);
	buffer_fini(&name);
	return result;
}

enum result audit_search_read(struct audit *audit, struct error *error)
{
	struct search_reader reader = {.audit = audit};
	uint64_t began_us = clock_monotonic_us();
	reader.index = index_pattern_of(audit->pipeline->sinks.elasticsearch.index);
	progress_show(&audit->progress, "Elasticsearch", 0, 0);
	enum result result = elastic_open(&reader.elastic, audit->pipeline, error);
	if (result == RESULT_OK)
		result = search_read_controls(audit, &reader.elastic, error);
	if (result == RESULT_OK)
		result = read_indices(&reader, error);
	audit->report.snapshot_seconds = (double)(clock_monotonic_us() - began_us) / 1e6;
	elastic_close(&reader.elastic);
	tree_fini(&reader.inner);
	buffer_fini(&reader.content);
	buffer_fini(&reader.key);
	return result;
}

/* --- records --------------------------------------------------------------------------------------------------- */

void audit_search_take_record(struct audit *audit, const struct key_record *record)
{
	const struct index_pattern index = index_pattern_of(audit->pipeline->sinks.elasticsearch.index);
	struct key_record expected = *record;
	struct buffer content = {0}, key = {0};
	char name[INDEX_NAME_MAX];
	struct audit_value at = content_field(record->content, audit->pipeline->record.event_time);
	CHECK(index_name(&index, at.number, name));
	search_print_key(&index, (struct bytes){(const uint8_t *)name, strlen(name)}, record->key, &key);
	document_expect(&content, &audit->reader.zone, record->content);
	expected.key = buffer_bytes(&key);
	expected.content = buffer_bytes(&content);
	search_put_record(&audit->spool, &expected);
	buffer_fini(&content);
	buffer_fini(&key);
}

/* --- afterwards ------------------------------------------------------------------------------------------------ */

/* least and most: what a counter may be, between the writer that is behind the others and the one in front of them. */
static void compare_counter(struct report *report, const char *name, uint64_t least, uint64_t most, uint64_t found)
{
	struct difference difference = {.kind = DIFFERENCE_COUNTER};
	if (found >= least && found <= most)
		return;
	buffer_append_text(&difference.key, name);
	buffer_printf(&difference.expected, "%" PRIu64, least);
	if (most > least)
		buffer_printf(&difference.expected, " to %" PRIu64, most);
	buffer_printf(&difference.found, "%" PRIu64, found);
	report_add(report, &difference);
}

static void compare_counters(struct report *report)
{
	const struct search_report *search = report->search;
	uint64_t sums[CONTROL_COUNTERS] = {0};
	char name[80];
	for (size_t i = 0; i < search->controls_len; i++) {
		const uint64_t *counters = search->controls[i].counters;
		uint64_t due = counters[CONTROL_ACCEPTED] + counters[CONTROL_DEAD];
		(void)snprintf(name, sizeof name, "writer %zu: consumed, against accepted + dead", i);
		compare_counter(report, name, due, due, counters[CONTROL_CONSUMED]);
		for (size_t j = 0; j < CONTROL_COUNTERS; j++)
			sums[j] += counters[j];
	}
	/* Of writers that are no more, the others count some again. Without a beginning nothing can be too little. Of what was passed
	 * over, a writer that was ahead of the others has counted some. */
	if (search->surplus > 0 || report->partial || (report->skips_len > 0 && search->controls_len > 1))
		return;
	compare_counter(report, "dead, against the dead letters in front of the cut",
	    search->counted ? search->letters_least : 0, search->letters_most, sums[CONTROL_DEAD]);
	compare_counter(report, "consumed, against the valid records in front of the cut",
	    search->counted ? search->valid_least : 0, search->valid_most, sums[CONTROL_CONSUMED]);
}

void audit_search_compare(struct audit *audit)
{
	progress_show(&audit->progress, "comparing documents", 0, 0);
	search_compare(&audit->spool, &audit->report);
	compare_counters(&audit->report);
}
