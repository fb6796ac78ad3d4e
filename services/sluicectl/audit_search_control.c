/* services/sluicectl/audit_search_control.c - how far the writers of the search job are, and where it began; see audit_search.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/sluicectl/audit_search.h"

/* --- what was passed over on purpose ------------------------------------------------------------------------------ */

/* "skip.0.400": "500 2026-11-30T12:00:00Z" */
static bool skip_read(const struct tree_node *node, struct audit_skip *skip)
{
	static const char front[] = CONTROL_SKIP;
	char name[64], value[64], *end;
	struct bytes text;
	if (node->name.len >= sizeof name || node->name.len < sizeof front || !tree_text(node, &text) ||
	    text.len >= sizeof value || memcmp(node->name.data, front, sizeof front - 1) != 0)
		return false;
	(void)snprintf(name, sizeof name, "%.*s", (int)node->name.len, (const char *)node->name.data);
	(void)snprintf(value, sizeof value, "%.*s", (int)text.len, (const char *)text.data);
	skip->partition = (uint32_t)strtoul(name + sizeof front - 1, &end, 10);
	if (*end != '.')
		return false;
	skip->from = strtoll(end + 1, &end, 10);
	if (*end != '\0')
		return false;
	skip->to = strtoll(value, &end, 10);
	(void)snprintf(skip->at, sizeof skip->at, "%.31s", *end == ' ' ? end + 1 : "");
	return *end == ' ';
}

static void take_skips(struct report *report, const struct tree_node *source)
{
	const struct tree_node *remembered = tree_member(source, "remembered");
	for (const struct tree_node *node = remembered != NULL ? remembered->first : NULL; node != NULL;
	     node = node->next) {
		struct audit_skip skip;
		if (skip_read(node, &skip))
			report_add_skip(report, &skip);
	}
}

/* --- reading --------------------------------------------------------------------------------------------------- */

static enum result read_control(struct audit *audit, struct elastic *elastic, uint32_t writer, struct control *control,
    bool *there, struct error *error)
{
	const char *job = audit->report.job;
	const struct tree_node *source;
	char id[sizeof audit->report.job + 16];
	(void)snprintf(id, sizeof id, "%s.%" PRIu32, job, writer);
	enum result result = elastic_get(elastic, CONTROL_INDEX, id, &source, error);
	*there = source != NULL;
	if (result != RESULT_OK || !*there)
		return result;
	if (writer == 0)
		take_skips(&audit->report, source);
	const char *trouble = control_read(control, job, writer, source);
	if (trouble == NULL)
		return RESULT_OK;
	control_fini(control);
	return error_set(
	    error, RESULT_CONFIG, "Elasticsearch: the control document %s of index %s: %s", id, CONTROL_INDEX, trouble);
}

/* One that was deleted may be followed by others: the first one says how many there were. */
enum result search_read_controls(struct audit *audit, struct elastic *elastic, struct error *error)
{
	struct search_report *search = audit->report.search;
	enum result result = RESULT_OK;
	bool there = true;
	for (uint32_t writer = 0; result == RESULT_OK; writer++) {
		if (search->controls_len == CONTROL_WRITERS_MAX)
			return error_set(error, RESULT_CONFIG,
			    "Elasticsearch: job %s has more than %d control documents", audit->report.job,
			    CONTROL_WRITERS_MAX);
		result = read_control(audit, elastic, writer, &search->controls[search->controls_len], &there, error);
		search->controls_len += result == RESULT_OK && there;
		if (!there && (search->controls_len == 0 || writer >= search->controls[0].writers))
			break;
	}
	if (result == RESULT_OK)
		result = search_take_controls(audit, error);
	return result;
}

/* --- what they say --------------------------------------------------------------------------------------------- */

static enum result check_meaning(const struct report *report, const struct control *control, struct error *error)
{
	const char *index = report->pipeline->sinks.elasticsearch.index;
	if (strcmp(control->index, index) != 0)
		return error_set(error, RESULT_CONFIG,
		    "job %s writes to index %s (writer %" PRIu32 "), and the pipeline file says %s", report->job,
		    control->index, control->writer, index);
	if (strcmp(control->fingerprint, report->pipeline->fingerprint) != 0)
		return error_set(error, RESULT_CONFIG,
		    "job %s was written by a pipeline file of another meaning (writer %" PRIu32
		    ": fingerprint %s, the file's is %s): documents are judged by one file; give audit the one that "
		    "wrote "
		    "them, or have all written by the new one, under another index and job name",
		    report->job, control->writer, control->fingerprint, report->pipeline->fingerprint);
	return RESULT_OK;
}

/* Where it is not known which records a writer has had, nothing can be said of what is not there. */
static enum result check_started(struct report *report, struct error *error)
{
	struct search_report *search = report->search;
	enum result result = RESULT_OK;
	size_t active = controls_active(search->controls, search->controls_len);
	report->nothing = search->controls_len == 0;
	for (size_t i = 0; i < active && !report->nothing; i++)
		report->nothing = !search->controls[i].started;
	if (report->nothing)
		return error_set(error, search->controls_len == 0 ? RESULT_CONFIG : RESULT_RETRY,
		    "job %s has a writer without a cut", report->job);
	if (active == 0)
		return error_set(error, RESULT_RETRY,
		    "job %s: its control documents do not share out the key groups: start it, or run again where it is "
		    "starting",
		    report->job);
	for (size_t i = 0; i < active && result == RESULT_OK; i++)
		result = check_meaning(report, &search->controls[i], error);
	search->surplus = search->controls_len - active;
	search->counted = search->surplus == 0;
	for (size_t i = 0; i < active; i++)
		search->counted = search->counted && search->controls[i].has_since;
	return result;
}

/* Every partition that some cut names. */
static void list_partitions(struct report *report)
{
	const struct search_report *search = report->search;
	size_t most = 0;
	for (size_t i = 0; i < search->controls_len; i++)
		most += search->controls[i].cut.len;
	report->partitions = memory_new((most + 1) * sizeof report->partitions[0]);
	for (size_t i = 0; i < search->controls_len; i++)
		for (size_t j = 0; j < search->controls[i].cut.len; j++)
			report->partitions[report->partitions_len++].partition =
			    search->controls[i].cut.offsets[j].partition;
	report_partitions_sort(report);
}

/* A writer that was, and never had a cut, has sent nothing. */
static void take_writer(struct audit_partition *partition, const struct control *control)
{
	int64_t at = control_cut_at(&control->cut, partition->partition);
	int64_t since = control_cut_at(&control->since, partition->partition);
	if (!control->started)
		return;
	partition->cut = at < partition->cut ? at : partition->cut;
	partition->cut_most = at > partition->cut_most ? at : partition->cut_most;
	partition->since = since < partition->since ? since : partition->since;
	partition->since_most = since > partition->since_most ? since : partition->since_most;
}

static enum result take_start(const struct report *report, struct audit_partition *partition, struct error *error)
{
	const struct start *start = &report->pipeline->source.start;
	const struct control *first = &report->search->controls[0];
	if (first->has_start) {
		partition->start = control_cut_at(&first->start, partition->partition);
		return RESULT_OK;
	}
	for (size_t i = 0; i < start->offsets_len && start->at == START_OFFSETS; i++)
		if (start->offsets[i].partition == partition->partition)
			partition->start = start->offsets[i].offset;
	if (start->at == START_EARLIEST || start->at == START_OFFSETS)
		return RESULT_OK;
	return error_set(error, RESULT_CONFIG,
	    "Elasticsearch: the control document %s.0 does not say where the job started, and source.start of the "
	    "pipeline "
	    "file names no offsets",
	    report->job);
}

enum result search_take_controls(struct audit *audit, struct error *error)
{
	struct report *report = &audit->report;
	enum result result = check_started(report, error);
	if (result != RESULT_OK)
		return result;
	list_partitions(report);
	for (size_t i = 0; i < report->partitions_len && result == RESULT_OK; i++) {
		struct audit_partition *partition = &report->partitions[i];
		partition->cut = partition->since = INT64_MAX;
		for (size_t j = 0; j < report->search->controls_len; j++)
			take_writer(partition, &report->search->controls[j]);
		result = take_start(report, partition, error);
		/* A new partition, which some writer does not know yet. */
		if (partition->start > partition->cut)
			partition->cut = partition->start;
	}
	return result;
}
