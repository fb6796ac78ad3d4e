/* services/sluicectl/audit_report.c - see audit_report.h. */
#include "services/sluicectl/audit_report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const audit_counter_names[AUDIT_COUNTERS] = {
    "consumed", "accepted", "duplicates", "conflicts", "dead", "unknown_fields"};

/* One row a kind. */
static const struct {
	const char *name; /* for programs */
	const char *words; /* for people */
} kinds[DIFFERENCE_KINDS] = {
    [DIFFERENCE_LOG] = {"log", "the topic does not hold what was read"},
    [DIFFERENCE_ROW_MISSING] = {"row_missing", "rows are missing"},
    [DIFFERENCE_ROW_EXTRA] = {"row_extra", "rows that no record explains"},
    [DIFFERENCE_ROW] = {"row", "rows differ from their record"},
    [DIFFERENCE_TOTAL_MISSING] = {"total_missing", "totals are missing"},
    [DIFFERENCE_TOTAL_EXTRA] = {"total_extra", "totals that no record explains"},
    [DIFFERENCE_TOTAL] = {"total", "totals are wrong"},
    [DIFFERENCE_LETTER_MISSING] = {"letter_missing", "dead letters are missing"},
    [DIFFERENCE_LETTER_EXTRA] = {"letter_extra", "dead letters that no record explains"},
    [DIFFERENCE_LETTER] = {"letter", "dead letters differ from their record"},
    [DIFFERENCE_COUNTER] = {"counter", "counters are wrong"},
    [DIFFERENCE_DOCUMENT_MISSING] = {"document_missing", "documents are missing"},
    [DIFFERENCE_DOCUMENT_EXTRA] = {"document_extra", "documents that no record explains"},
    [DIFFERENCE_DOCUMENT] = {"document", "documents differ from their record"},
    [DIFFERENCE_DOCUMENT_PLACE] = {"document_place", "documents in the wrong index"},
    [DIFFERENCE_MAPPING] = {"mapping", "indices that make other numbers of right documents"},
};

static void difference_fini(struct difference *difference)
{
	buffer_fini(&difference->key);
	buffer_fini(&difference->expected);
	buffer_fini(&difference->found);
}

void report_fini(struct report *report)
{
	for (size_t kind = 0; kind < DIFFERENCE_KINDS; kind++)
		for (size_t i = 0; i < REPORT_SHOWN; i++)
			difference_fini(&report->shown[kind][i]);
	free(report->partitions);
	free(report->accepted);
	free(report->skips);
	if (report->search == NULL)
		return;
	for (size_t i = 0; i < CONTROL_WRITERS_MAX; i++)
		control_fini(&report->search->controls[i]);
	for (size_t i = 0; i < REPORT_SHOWN; i++)
		buffer_fini(&report->search->contested_shown[i]);
	free(report->search);
}

void report_add(struct report *report, struct difference *difference)
{
	uint64_t before = report->differences[difference->kind]++;
	report->differences_len++;
	if (before < REPORT_SHOWN)
		report->shown[difference->kind][before] = *difference;
	else
		difference_fini(difference);
	*difference = (struct difference){.kind = difference->kind};
}

struct audit_partition *report_partition(const struct report *report, uint32_t partition)
{
	size_t low = 0, high = report->partitions_len;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (report->partitions[middle].partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	bool found = low < report->partitions_len && report->partitions[low].partition == partition;
	return found ? &report->partitions[low] : NULL;
}

void report_add_skip(struct report *report, const struct audit_skip *skip)
{
	report->skips = memory_resize(report->skips, report->skips_len + 1, sizeof report->skips[0]);
	report->skips[report->skips_len++] = *skip;
}

/* They come in the order in which they were made: each begins where the job was, behind those before it. */
int64_t report_skip_end(const struct report *report, uint32_t partition, int64_t from)
{
	for (size_t i = 0; i < report->skips_len; i++) {
		const struct audit_skip *skip = &report->skips[i];
		if (skip->partition == partition && skip->from <= from && skip->to > from)
			from = skip->to;
	}
	return from;
}

int64_t report_skip_begin(const struct report *report, uint32_t partition, int64_t from, int64_t most)
{
	for (size_t i = 0; i < report->skips_len; i++) {
		const struct audit_skip *skip = &report->skips[i];
		if (skip->partition == partition && skip->from >= from && skip->to > skip->from && skip->from < most)
			most = skip->from;
	}
	return most;
}

static int compare_partitions(const void *a, const void *b)
{
	const struct audit_partition *left = a, *right = b;
	return (left->partition > right->partition) - (left->partition < right->partition);
}

void report_partitions_sort(struct report *report)
{
	struct audit_partition *partitions = report->partitions;
	size_t kept = 0;
	if (report->partitions_len > 0)
		qsort(partitions, report->partitions_len, sizeof partitions[0], compare_partitions);
	for (size_t i = 0; i < report->partitions_len; i++)
		if (kept == 0 || partitions[kept - 1].partition != partitions[i].partition)
			partitions[kept++] = partitions[i];
	report->partitions_len = kept;
}

void report_print_places(const struct report *report, enum report_place place, struct buffer *out)
{
	buffer_append_text(out, "{");
	for (size_t i = 0; i < report->partitions_len; i++) {
		const struct audit_partition *partition = &report->partitions[i];
		buffer_printf(out, "%s\"%u\": %" PRId64, i ? ", " : "", partition->partition,
		    place == PLACE_CUT ? partition->cut : partition->begin);
	}
	buffer_append_text(out, "}");
}

/* --- for people ------------------------------------------------------------------------------------------------ */

/* 1,234,567 */
void report_print_count(uint64_t count, struct buffer *out)
{
	char digits[32];
	size_t len = 0, written = 0;
	do
		digits[len++] = (char)('0' + count % 10);
	while ((count /= 10) > 0);
	while (len-- > 0) {
		if (written > 0 && (len + 1) % 3 == 0)
			buffer_append_text(out, ",");
		buffer_append(out, &digits[len], 1);
		written++;
	}
}

void report_print_line(struct buffer *out, const char *name, uint64_t count, const char *what, const char *of)
{
	buffer_printf(out, "%-12s", name);
	report_print_count(count, out);
	buffer_printf(out, " %s%s\n", what, of);
}

static void print_totals_compared(const struct report *report, struct buffer *out)
{
	const struct pipeline *pipeline = report->pipeline;
	report_print_line(
	    out, "read", report->counters_due[AUDIT_CONSUMED], "records of topic ", pipeline->source.topic);
	if (report->partial) {
		buffer_printf(out, "%-12s%s. Read was from ", "",
		    report->remeant
		        ? "The beginning was read by another pipeline file, or what was accepted since did not hold"
		        : "Kafka does not hold the beginning any more");
		report_print_places(report, PLACE_BEGIN, out);
		buffer_printf(out, " to the cut. Totals were compared with the sums of the table %s instead.\n",
		    pipeline->record.table);
		report_print_line(
		    out, "not proved", report->rows_unproved, "rows of before that in ", pipeline->record.table);
		report_print_line(out, "", report->letters_unproved, "dead letters of before that", "");
	}
	report_print_line(out, "compared", report->rows, "rows of ", pipeline->record.table);
	for (size_t i = 0; i < pipeline->rollups_len; i++)
		report_print_line(out, "", report->totals[i], "totals of ", pipeline->rollups[i].table);
	report_print_line(out, "", report->letters, "dead letters", "");
	report_print_line(out, "", AUDIT_COUNTERS, "counters", report->partial ? " among themselves" : "");
}

static void print_skips(const struct report *report, struct buffer *out)
{
	for (size_t i = 0; i < report->skips_len; i++) {
		const struct audit_skip *skip = &report->skips[i];
		buffer_printf(out, "%-12s%" PRIu32 ": %" PRId64 " to %" PRId64 ", ", i == 0 ? "skipped" : "",
		    skip->partition, skip->from, skip->to);
		report_print_count((uint64_t)(skip->to - skip->from), out);
		buffer_printf(out, " records, on %s\n", skip->at);
	}
}

static void print_accepted(const struct report *report, struct buffer *out)
{
	for (size_t i = 0; i < report->accepted_len; i++)
		buffer_printf(out, "%-12s%s, on %s\n", i == 0 ? "accepted" : "", report->accepted[i].names,
		    report->accepted[i].at);
}

static void print_differences(const struct report *report, enum difference_kind kind, struct buffer *out)
{
	uint64_t count = report->differences[kind];
	if (count == 0)
		return;
	buffer_printf(out, "\n%s: ", kinds[kind].words);
	report_print_count(count, out);
	buffer_append_text(out, "\n");
	for (size_t i = 0; i < count && i < REPORT_SHOWN; i++) {
		const struct difference *shown = &report->shown[kind][i];
		buffer_printf(out, "  %.*s\n    expected  %.*s\n    found     %.*s\n", (int)shown->key.len,
		    (const char *)shown->key.data, (int)shown->expected.len, (const char *)shown->expected.data,
		    (int)shown->found.len, (const char *)shown->found.data);
	}
	if (count > REPORT_SHOWN)
		buffer_append_text(out, "  ...\n");
}

void totals_report_print_text(const struct report *report, struct buffer *out)
{
	buffer_printf(out, "%-12s%" PRIu64 ".%" PRIu64 "\n%-12s", "epoch", report->attempt, report->epoch, "cut");
	report_print_places(report, PLACE_CUT, out);
	buffer_append_text(out, "\n");
	print_totals_compared(report, out);
}

void report_print_text(const struct report *report, report_part *part, struct buffer *out)
{
	buffer_printf(out, "%-12s%s\n", "job", report->job);
	part(report, out);
	print_skips(report, out);
	print_accepted(report, out);
	buffer_printf(out, "%-12sheld for %.2f s\n%-12s%.1f s in all\n", "snapshot", report->snapshot_seconds, "time",
	    report->seconds);
	for (size_t kind = 0; kind < DIFFERENCE_KINDS; kind++)
		print_differences(report, (enum difference_kind)kind, out);
	if (report->differences_len == 0) {
		buffer_append_text(out, "exact\n");
		return;
	}
	buffer_append_text(out, "\nNOT exact: ");
	report_print_count(report->differences_len, out);
	buffer_append_text(out, report->differences_len == 1 ? " difference\n" : " differences\n");
}

/* --- for programs ---------------------------------------------------------------------------------------------- */

static void json_text(struct buffer *out, const char *name, struct bytes text)
{
	buffer_printf(out, "\"%s\": ", name);
	buffer_append_json(out, text);
}

static void json_counters(struct buffer *out, const char *name, const uint64_t counters[AUDIT_COUNTERS])
{
	buffer_printf(out, "\"%s\": {", name);
	for (size_t i = 0; i < AUDIT_COUNTERS; i++)
		buffer_printf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", audit_counter_names[i], counters[i]);
	buffer_append_text(out, "}");
}

static void json_differences(const struct report *report, struct buffer *out)
{
	const char *comma = "";
	buffer_append_text(out, "\"differences\": {");
	for (size_t kind = 0; kind < DIFFERENCE_KINDS; kind++)
		buffer_printf(out, "%s\"%s\": %" PRIu64, kind ? ", " : "", kinds[kind].name, report->differences[kind]);
	buffer_append_text(out, "}, \"shown\": [");
	for (size_t kind = 0; kind < DIFFERENCE_KINDS; kind++) {
		for (size_t i = 0; i < report->differences[kind] && i < REPORT_SHOWN; i++) {
			const struct difference *shown = &report->shown[kind][i];
			buffer_printf(out, "%s{\"kind\": \"%s\", ", comma, kinds[kind].name);
			json_text(out, "key", buffer_bytes(&shown->key));
			buffer_append_text(out, ", ");
			json_text(out, "expected", buffer_bytes(&shown->expected));
			buffer_append_text(out, ", ");
			json_text(out, "found", buffer_bytes(&shown->found));
			buffer_append_text(out, "}");
			comma = ", ";
		}
	}
	buffer_append_text(out, "]");
}

static void json_skips(const struct report *report, struct buffer *out)
{
	buffer_append_text(out, "\"skipped\": [");
	for (size_t i = 0; i < report->skips_len; i++) {
		const struct audit_skip *skip = &report->skips[i];
		buffer_printf(out, "%s{\"partition\": %" PRIu32 ", \"from\": %" PRId64 ", \"to\": %" PRId64 ", ",
		    i > 0 ? ", " : "", skip->partition, skip->from, skip->to);
		json_text(out, "at", (struct bytes){(const uint8_t *)skip->at, strlen(skip->at)});
		buffer_append_text(out, "}");
	}
	buffer_append_text(out, "], ");
}

static void json_accepted(const struct report *report, struct buffer *out)
{
	buffer_append_text(out, "\"accepted\": [");
	for (size_t i = 0; i < report->accepted_len; i++) {
		const struct audit_accepted *accepted = &report->accepted[i];
		buffer_append_text(out, i > 0 ? ", {" : "{");
		json_text(out, "names", (struct bytes){(const uint8_t *)accepted->names, strlen(accepted->names)});
		buffer_append_text(out, ", ");
		json_text(out, "at", (struct bytes){(const uint8_t *)accepted->at, strlen(accepted->at)});
		buffer_append_text(out, "}");
	}
	buffer_append_text(out, "], ");
}

void totals_report_print_json(const struct report *report, struct buffer *out)
{
	const struct pipeline *pipeline = report->pipeline;
	buffer_printf(out,
	    "\"epoch\": \"%" PRIu64 ".%" PRIu64 "\", \"compared\": {\"rows\": %" PRIu64 ", \"letters\": %" PRIu64
	    ", \"totals\": {",
	    report->attempt, report->epoch, report->rows, report->letters);
	for (size_t i = 0; i < pipeline->rollups_len; i++)
		buffer_printf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", pipeline->rollups[i].table, report->totals[i]);
	buffer_printf(out, "}}, \"unproved\": {\"rows\": %" PRIu64 ", \"letters\": %" PRIu64 "}, ",
	    report->rows_unproved, report->letters_unproved);
	json_counters(out, "counters_expected", report->counters_due);
	buffer_append_text(out, ", ");
	json_counters(out, "counters_found", report->counters_found);
	buffer_append_text(out, ", ");
}

void report_print_json(const struct report *report, report_part *part, struct buffer *out)
{
	buffer_append_text(out, "{");
	json_text(out, "job", (struct bytes){(const uint8_t *)report->job, strlen(report->job)});
	buffer_append_text(out, ", \"cut\": ");
	report_print_places(report, PLACE_CUT, out);
	buffer_append_text(out, ", \"read_from\": ");
	report_print_places(report, PLACE_BEGIN, out);
	buffer_printf(out, ", \"partial\": %s, \"records_read\": %" PRIu64 ", ", report->partial ? "true" : "false",
	    report->counters_due[AUDIT_CONSUMED]);
	json_skips(report, out);
	json_accepted(report, out);
	part(report, out);
	json_differences(report, out);
	buffer_printf(out,
	    ", \"snapshot_seconds\": %.3f, \"seconds\": %.3f, \"temporary_bytes\": %" PRIu64 ", \"exact\": %s}",
	    report->snapshot_seconds, report->seconds, report->spool_bytes,
	    report->differences_len == 0 ? "true" : "false");
}
