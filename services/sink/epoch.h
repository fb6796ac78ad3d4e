/* services/sink/epoch.h - what one epoch brought to the writer, kept until it is committed. */
#ifndef SINK_EPOCH_H
#define SINK_EPOCH_H

#include "common/state/sums.h"
#include "proto/frame.h"

struct epoch {
	struct epoch *next; /* in the writer's queue */
	struct epoch_id id;
	bool silent;
	bool checkpoint; /* its identity belongs into the table of checkpoints */
	struct cut cut;
	struct marks marks;
	struct counters counters;
	/* Of all totals, as the rollups' states have them when it begins and ends. */
	struct sums before, after;
	struct counts held; /* the writer's at its end, where it is silent */
	struct bytes *rows; /* ROWS bodies */
	size_t rows_len;
	struct letters *letters;
	size_t letters_len;
	struct decisions *decisions;
	size_t decisions_len;
	struct groups *totals;
	size_t totals_len;
	struct arena arena; /* everything above points into it, the lists, cut and marks apart */
};

struct epoch *epoch_new(void);
void epoch_free(struct epoch *epoch);
/* They copy what they are given. rows: a ROWS body. */
void epoch_add_rows(struct epoch *epoch, struct bytes rows);
void epoch_add_letters(struct epoch *epoch, const struct letters *letters);
void epoch_add_decisions(struct epoch *epoch, const struct decisions *decisions);
void epoch_add_totals(struct epoch *epoch, const struct groups *groups);

#endif
