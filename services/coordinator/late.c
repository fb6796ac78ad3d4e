/* services/coordinator/late.c - verdicts on late duplicates, from one attempt to the next; see coordinator_state.h.
 *
 * A verdict was found by a row. A failover may lose the row, and another record of the key may win it before the late one comes
 * again: so a verdict is kept while the history that it was found in lasts, and goes with it. What tells is the frontier read
 * under a new fence, before the choice moves it: it has to be of the attempt that found the verdict, or of our last one that
 * read a frontier under its own fence, when the verdict still held. For whoever wrote it had that fence, which was raised in
 * that history: a fence that survives a failover proves that everything committed before it was raised has survived as well. A
 * frontier of anybody else says nothing, however great its number.
 */
#include <stdlib.h>

#include "common/base/mutant.h"
#include "services/coordinator/coordinator_state.h"

static int by_place(const void *a, const void *b)
{
	const struct decision *x = &((const struct late_verdict *)a)->decision,
	                      *y = &((const struct late_verdict *)b)->decision;
	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return x->offset == y->offset ? 0 : x->offset < y->offset ? -1 : 1;
}

/* Both in order; of one record the newer verdict counts. */
static void merge(struct coordinator *coordinator, const struct late_verdict *newer, uint32_t newer_len)
{
	struct late_verdict *older = coordinator->late, *into;
	uint32_t i = 0, k = 0, len = 0;
	into = memory_resize(NULL, coordinator->late_len + newer_len, sizeof *into);
	while (i < coordinator->late_len || k < newer_len) {
		int order = i == coordinator->late_len ? 1 : k == newer_len ? -1 : by_place(&older[i], &newer[k]);
		if (order == 0 && MUTANT(verdict_first_counts))
			k++;
		else if (order == 0)
			i++;
		else
			into[len++] = order < 0 ? older[i++] : newer[k++];
	}
	free(older);
	coordinator->late = into;
	coordinator->late_len = len;
}

void late_keep(struct coordinator *coordinator, const struct frame_failed *failed)
{
	const struct decisions *verdicts = &failed->verdicts;
	struct late_verdict *newer = memory_resize(NULL, verdicts->len + 1, sizeof *newer);
	for (uint32_t i = 0; i < verdicts->len; i++)
		newer[i] = (struct late_verdict){verdicts->entries[i], failed->as_of};
	qsort(newer, verdicts->len, sizeof *newer, by_place);
	if (MUTANT(verdict_last_only))
		coordinator->late_len = 0;
	merge(coordinator, newer, verdicts->len);
	free(newer);
}

static bool survives(const struct coordinator *coordinator, struct epoch_id as_of)
{
	struct epoch_id frontier = coordinator->fenced.last;
	if (MUTANT(verdict_outlives_row))
		return true;
	if (MUTANT(verdict_by_number))
		return epoch_compare(frontier, as_of) >= 0;
	if (frontier.attempt == as_of.attempt)
		return frontier.n >= as_of.n;
	return frontier.attempt == coordinator->fenced_attempt;
}

void late_judge(struct coordinator *coordinator)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < coordinator->late_len; i++)
		if (survives(coordinator, coordinator->late[i].as_of))
			coordinator->late[kept++] =
			    (struct late_verdict){coordinator->late[i].decision, coordinator->fenced.last};
	coordinator->late_len = kept;
	coordinator->fenced_attempt = coordinator->attempt;
}

void late_hand_on(struct coordinator *coordinator)
{
	struct decisions page = {memory_resize(NULL, coordinator->late_len + 1, sizeof *page.entries), 0};
	uint32_t kept = 0;
	for (uint32_t i = 0; i < coordinator->late_len; i++) {
		const struct decision *decision = &coordinator->late[i].decision;
		if (decision->offset < cut_get(&coordinator->fenced.cut, decision->partition, 0))
			continue;
		page.entries[page.len++] = *decision;
		coordinator->late[kept++] = coordinator->late[i];
	}
	coordinator->late_len = kept;
	hand_back(coordinator, &page, &coordinator->fenced.cut);
	free(page.entries);
}
