/* services/sink/writer_survey.c - what to do about late duplicates; see writer_parts.h.
 *
 * The frontier stays where it is while a survey lasts, so every verdict is about the same rows. Its epochs are acknowledged as
 * those of a silent replay are (nothing of them is in the database), so that the coordinator injects on; the attempt ends with
 * all verdicts at once, and the next one reads the same records again and obeys. An epoch that is a checkpoint cannot be
 * acknowledged so: it ends the survey.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"
#include "services/sink/writer_parts.h"

enum {
	VERDICTS_ENOUGH = 20000,
	CLEAN_ENOUGH = 8, /* answers in a row: whatever it was is over */
	QUIET_US = 100000,
};

static void keep(struct decisions *late, const struct decisions *found)
{
	late->entries = memory_resize(late->entries, late->len + found->len + 1, sizeof *late->entries);
	if (found->len > 0)
		memcpy(late->entries + late->len, found->entries, found->len * sizeof *found->entries);
	late->len += found->len;
}

void writer_survey_end(struct writer *writer, struct outbox *outbox)
{
	say_late(writer, &writer->late, outbox);
	writer->over = true;
}

void writer_survey(struct writer *writer, const struct decisions *found, uint64_t now_us, struct outbox *outbox)
{
	bool checkpoint = false;
	keep(&writer->late, found);
	writer->clean = found->len > 0 ? 0 : writer->clean + 1;
	for (; writer->asked > 0 && !checkpoint; writer->asked--) {
		checkpoint = writer->first->checkpoint;
		writer->first->silent = true;
		if (!checkpoint)
			writer_finish_silent(writer, outbox);
	}
	writer->surveying = !MUTANT(late_skipped);
	writer->survey_end_us = now_us + QUIET_US;
	if (checkpoint || writer->clean >= CLEAN_ENOUGH || writer->late.len >= VERDICTS_ENOUGH)
		writer_survey_end(writer, outbox);
}
