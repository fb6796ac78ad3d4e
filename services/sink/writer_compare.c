/* services/sink/writer_compare.c - nothing is written where the state, or what a replay made of it, is not what the database holds;
 * see writer_parts.h.
 *
 * The frontier and every checkpoint have counters and sums (common/state/sums.h). What a state has when its first epoch begins is
 * the checkpoint's; from barrier to barrier it grows by what the barrier says; and where the silence ends it has to be the
 * frontier's. What the database does not know (rows of before it kept them) is not compared: then the next commit records it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mutant.h"
#include "services/sink/writer_parts.h"

enum { WORDS_MAX = 512 };

static void note(struct writer *writer, struct epoch_id epoch, const struct counts *counts)
{
	writer->known = memory_resize(writer->known, writer->known_len + 1, sizeof *writer->known);
	writer->known[writer->known_len++] = (struct checkpoint_known){epoch, *counts};
}

void writer_note_checkpoints(struct writer *writer, const struct sink_answer *answer)
{
	writer->known_len = 0;
	for (size_t i = 0; i < answer->checkpoints_len; i++)
		note(writer, answer->checkpoints[i].epoch, &answer->checkpoints[i].counts);
}

void writer_note_start(struct writer *writer)
{
	static const struct counts nothing = {.counted = true, .sums = {.known = true}};
	writer->frontier.sums = nothing.sums;
	note(writer, (struct epoch_id){0, 0}, &nothing);
}

static struct counts find(const struct writer *writer, struct epoch_id epoch)
{
	for (size_t i = 0; i < writer->known_len; i++)
		if (epoch_equal(writer->known[i].epoch, epoch))
			return writer->known[i].counts;
	return (struct counts){0};
}

void writer_note_renamed(struct writer *writer)
{
	const struct counts counts = find(writer, writer->chosen);
	if (!epoch_equal(writer->renamed, (struct epoch_id){0, 0}))
		note(writer, writer->renamed, &counts);
}

static enum result differs(struct error *error, const char *words)
{
	return error_stop(error, STOP_STATE_DIFFERS,
	    "what was restored and replayed is not what the database holds: %s; nothing is written", words);
}

static enum result compare_counters(const struct writer *writer, struct error *error)
{
	const struct counters *is = &writer->held.counters, *ought = &writer->frontier.counters;
	char words[WORDS_MAX];
	for (int i = 0; i < COUNTERS && writer->held.counted && !MUTANT(counters_not_compared); i++) {
		if (is->n[i] == ought->n[i])
			continue;
		(void)snprintf(words, sizeof words,
		    "the checkpoint's counters and those of the replay come to %" PRIu64
		    " %s, the frontier says %" PRIu64,
		    is->n[i], counter_names[i], ought->n[i]);
		if (i == COUNTER_DIGEST)
			(void)snprintf(words, sizeof words,
			    "as many records were replayed as the frontier says, but they are not the same ones");
		return differs(error, words);
	}
	return RESULT_OK;
}

static enum result compare_sums(
    const struct writer *writer, const struct sums *ought, const char *ought_name, struct error *error)
{
	char words[WORDS_MAX];
	if (!writer->held.sums.known || !ought->known || MUTANT(sums_not_compared) ||
	    sums_agree(writer->pipeline, &writer->held.sums, "the state", ought, ought_name, words, sizeof words))
		return RESULT_OK;
	return differs(error, words);
}

static enum result compare_with_frontier(const struct writer *writer, struct error *error)
{
	if (compare_counters(writer, error) != RESULT_OK)
		return error->code;
	return compare_sums(writer, &writer->frontier.sums, "the frontier", error);
}

enum result writer_compare_begin(struct writer *writer, struct epoch_id base, struct error *error)
{
	writer->held = find(writer, base);
	return writer->live ? compare_with_frontier(writer, error) : RESULT_OK;
}

enum result writer_compare_epoch(struct writer *writer, struct epoch *epoch, struct error *error)
{
	struct counts *held = &writer->held;
	char words[WORDS_MAX];
	if (held->sums.known && !MUTANT(sums_not_compared) &&
	    !sums_agree(
	        writer->pipeline, &epoch->before, "the state", &held->sums, "the database", words, sizeof words))
		return differs(error, words);
	/* What is committed is known from then on: the frontier has it. */
	epoch->after.known = held->sums.known || !epoch->silent;
	held->sums = epoch->after;
	if (!epoch->silent)
		return RESULT_OK;
	counters_add(&held->counters, &epoch->counters);
	epoch->held = *held;
	return writer->live ? compare_with_frontier(writer, error) : RESULT_OK;
}

void writer_compare_end(struct writer *writer)
{
	free(writer->known);
}
