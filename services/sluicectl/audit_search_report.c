/* services/sluicectl/audit_search_report.c - the part of a report that only the search job has; see audit_report.h. */
#include <inttypes.h>

#include "services/sluicectl/audit_report.h"

static void print_cut(const struct control_cut *cut, struct buffer *out)
{
	buffer_append_text(out, "{");
	for (size_t i = 0; i < cut->len; i++)
		buffer_printf(out, "%s\"%" PRIu32 "\": %" PRId64, i ? ", " : "", cut->offsets[i].partition,
		    cut->offsets[i].offset);
	buffer_append_text(out, "}");
}

static void print_counters(const struct control *control, struct buffer *out)
{
	for (size_t i = 0; i < CONTROL_COUNTERS; i++)
		buffer_printf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", control_counter_names[i], control->counters[i]);
}

/* --- for people ------------------------------------------------------------------------------------------------ */

static void print_writer(const struct search_report *search, size_t place, struct buffer *out)
{
	const struct control *control = &search->controls[place];
	buffer_printf(out, "%-12s%" PRIu32 "%s: epoch %" PRIu64 ".%" PRIu64 ", cut ", place == 0 ? "writer" : "",
	    control->writer, place < search->controls_len - search->surplus ? "" : " (is no more)", control->attempt,
	    control->epoch);
	print_cut(&control->cut, out);
	buffer_append_text(out, "\n");
}

static void print_contested(const struct report *report, struct buffer *out)
{
	const struct search_report *search = report->search;
	if (search->contested == 0)
		return;
	report_print_line(out, "no matter", search->contested,
	    "keys whose first records in several partitions say different things:", "");
	buffer_printf(out, "%-12sthe document is one of them, and the row of %s may be another.\n", "",
	    report->pipeline->record.table);
	for (size_t i = 0; i < search->contested && i < REPORT_SHOWN; i++)
		buffer_printf(out, "%-12s%.*s\n", "", (int)search->contested_shown[i].len,
		    (const char *)search->contested_shown[i].data);
	if (search->contested > REPORT_SHOWN)
		buffer_printf(out, "%-12s...\n", "");
}

void search_report_print_text(const struct report *report, struct buffer *out)
{
	const struct search_report *search = report->search;
	const struct pipeline *pipeline = report->pipeline;
	buffer_printf(out, "%-12s", "cut");
	report_print_places(report, PLACE_CUT, out);
	buffer_append_text(out, "\n");
	for (size_t i = 0; i < search->controls_len; i++)
		print_writer(search, i, out);
	report_print_line(
	    out, "read", report->counters_due[AUDIT_CONSUMED], "records of topic ", pipeline->source.topic);
	report_print_line(out, "", search->valid, "valid ones in front of the cut", "");
	if (report->partial) {
		buffer_printf(out, "%-12sKafka does not hold the beginning any more. Read was from ", "");
		report_print_places(report, PLACE_BEGIN, out);
		buffer_append_text(out, "\n");
		report_print_line(out, "not proved", report->rows_unproved, "documents that may be of before that", "");
		report_print_line(out, "", report->letters_unproved, "dead letters of before that", "");
	}
	if (!report->partial && report->rows_unproved > 0)
		report_print_line(
		    out, "not proved", report->rows_unproved, "documents that may be of what was skipped", "");
	report_print_line(
	    out, "compared", search->documents, "documents of index ", pipeline->sinks.elasticsearch.index);
	report_print_line(out, "", search->ahead, "of them ahead of the cut", "");
	report_print_line(out, "", report->letters, "dead letters", "");
	if (!search->counted && search->surplus == 0 && !report->partial)
		buffer_printf(out,
		    "%-12sThe control documents do not say from where they count: counters may be too small.\n", "");
	report_print_line(
	    out, "", CONTROL_COUNTERS, "counters", report->partial || search->surplus > 0 ? " among themselves" : "");
	print_contested(report, out);
}

/* --- for programs ---------------------------------------------------------------------------------------------- */

static void json_writers(const struct search_report *search, struct buffer *out)
{
	buffer_append_text(out, "\"writers\": [");
	for (size_t i = 0; i < search->controls_len; i++) {
		const struct control *control = &search->controls[i];
		buffer_printf(out,
		    "%s{\"writer\": %" PRIu32 ", \"epoch\": \"%" PRIu64 ".%" PRIu64 "\", \"surplus\": %s, \"cut\": ",
		    i ? ", " : "", control->writer, control->attempt, control->epoch,
		    i < search->controls_len - search->surplus ? "false" : "true");
		print_cut(&control->cut, out);
		buffer_append_text(out, ", \"counters\": {");
		print_counters(control, out);
		buffer_append_text(out, "}}");
	}
	buffer_append_text(out, "], ");
}

void search_report_print_json(const struct report *report, struct buffer *out)
{
	const struct search_report *search = report->search;
	json_writers(search, out);
	buffer_printf(out,
	    "\"records_in_front\": %" PRIu64 ", \"compared\": {\"documents\": %" PRIu64 ", \"letters\": %" PRIu64
	    "}, \"ahead\": %" PRIu64 ", \"unproved\": {\"documents\": %" PRIu64 ", \"letters\": %" PRIu64
	    "}, \"contested\": %" PRIu64 ", \"contested_shown\": [",
	    search->valid, search->documents, report->letters, search->ahead, report->rows_unproved,
	    report->letters_unproved, search->contested);
	for (size_t i = 0; i < search->contested && i < REPORT_SHOWN; i++) {
		buffer_append_text(out, i ? ", " : "");
		buffer_append_json(out, buffer_bytes(&search->contested_shown[i]));
	}
	buffer_append_text(out, "], ");
}
