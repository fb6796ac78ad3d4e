/* services/sink/writer_report.c - what the writer tells the coordinator; see writer_parts.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"
#include "services/sink/writer_parts.h"

enum {
	DECISIONS_PER_PAGE = 20000,
	VERDICTS_MAX = 100000, /* in one FAILED; the next attempt finds the others */
	CHECKPOINTS_MAX = 50000, /* in one FENCED, newest first: many more than settings allow */
	MARKS_MAX = 80000, /* likewise */
};

void say_waiting(struct writer *writer, struct outbox *outbox, const char *text)
{
	if (strcmp(writer->waiting, text) == 0)
		return;
	if (writer->waiting[0] == '\0')
		writer->waiting_us = writer->started_us;
	(void)snprintf(writer->waiting, sizeof writer->waiting, "%s", text);
	outbox_report(outbox, FRAME_WAITING,
	    &(struct frame_waiting){
	        .actor = writer->actor.id, .for_us = writer->now_us - writer->waiting_us, .text = text});
}

static void say_decisions(struct outbox *outbox, const struct decisions *decisions)
{
	for (uint32_t first = 0; first < decisions->len; first += DECISIONS_PER_PAGE) {
		uint32_t len = decisions->len - first;
		struct frame_decisions page = {
		    .decisions = {decisions->entries + first, len < DECISIONS_PER_PAGE ? len : DECISIONS_PER_PAGE},
		    .last = MUTANT(last_page_unsaid) ? len < DECISIONS_PER_PAGE : len <= DECISIONS_PER_PAGE,
		};
		outbox_report(outbox, FRAME_DECISIONS, &page);
	}
}

void say_fenced(const struct writer *writer, const struct sink_answer *answer, struct outbox *outbox)
{
	struct cut least = {0};
	struct frame_fenced fenced = {
	    .actor = writer->actor.id,
	    .last = writer->frontier.last,
	    .started = writer->frontier.started,
	    .cut = writer->frontier.cut,
	    .counters = writer->frontier.counters,
	    .fingerprint = writer->frontier.fingerprint,
	    .since = answer->since,
	    .changed = answer->changed,
	    .replayable = answer->replayable,
	    .marks = writer->frontier.marks,
	    .remembered = answer->remembered,
	};
	if (answer->surplus && !MUTANT(surplus_unheard)) {
		cut_copy(&least, fenced.started ? &fenced.cut : &answer->surplus_cut);
		cut_lower(&least, &answer->surplus_cut);
		fenced.cut = least;
		fenced.started = true;
	}
	fenced.checkpoints.entries = memory_resize(NULL, answer->checkpoints_len, sizeof *fenced.checkpoints.entries);
	/* All names, without their cuts, which stand in the manifests; marks of the newest, as far as one frame takes them. */
	uint32_t marks = 0;
	for (size_t i = 0; i < answer->checkpoints_len && i < CHECKPOINTS_MAX; i++) {
		const struct checkpoint_identity *named = &answer->checkpoints[i];
		marks += named->marks.len;
		fenced.checkpoints.entries[fenced.checkpoints.len++] = (struct checkpoint_entry){
		    .epoch = named->epoch, .marks = marks <= MARKS_MAX ? named->marks : (struct marks){0}};
	}
	say_decisions(outbox, &answer->decisions);
	outbox_report(outbox, FRAME_FENCED, &fenced);
	free(fenced.checkpoints.entries);
	cut_fini(&least);
}

void say_fence(const struct writer *writer, uint64_t fence, struct outbox *outbox)
{
	outbox_report(outbox, FRAME_FENCED,
	    &(struct frame_fenced){.actor = writer->actor.id, .fence = fence, .fingerprint = "", .changed = ""});
}

void say_cut_set(const struct writer *writer, struct outbox *outbox)
{
	outbox_report(
	    outbox, FRAME_CUT_SET, &(struct frame_cut_set){.actor = writer->actor.id, .cut = writer->frontier.cut});
}

void say_committed(const struct writer *writer, const struct epoch *epoch, uint64_t took_us, struct outbox *outbox)
{
	struct frame_committed committed = {
	    .actor = writer->actor.id,
	    .epoch = epoch->id,
	    .silent = epoch->silent,
	    .live = writer->live,
	    .at = epoch->cut,
	    .cut = writer->frontier.cut,
	    .counters = writer->frontier.counters,
	    .commit_us = took_us,
	};
	outbox_report(outbox, FRAME_COMMITTED, &committed);
}

void say_retired(const struct retirement *retirement, struct outbox *outbox)
{
	outbox_report(outbox, FRAME_RETIRED, &(struct frame_retired){.checkpoints = retirement->checkpoints});
}

void say_late(const struct writer *writer, const struct decisions *verdicts, struct outbox *outbox)
{
	char text[256];
	struct frame_failed failed = {
	    .code = RESULT_RETRY,
	    .text = text,
	    .verdicts = *verdicts,
	    .as_of = writer->frontier.last,
	};
	if (failed.verdicts.len > VERDICTS_MAX)
		failed.verdicts.len = VERDICTS_MAX;
	(void)snprintf(text, sizeof text,
	    "%" PRIu32 " late duplicates behind epoch %" PRIu64 ".%" PRIu64
	    ": records whose key has a row that dedup no longer remembers (the first one: %" PRIu32 "/%" PRId64 ")",
	    verdicts->len, failed.as_of.attempt, failed.as_of.n, verdicts->entries[0].partition,
	    verdicts->entries[0].offset);
	outbox_report(outbox, FRAME_FAILED, &failed);
}
