/* common/runtime/aligner.h - barrier alignment: a channel that delivered its barrier is not read until all have.
 *
 * Barriers merge by union: offsets by partition, counters by actor. Never by sum: the graph is a diamond, and
 * the same ingest's counters come in on every path.
 * Source: Carbone et al., "Lightweight Asynchronous Snapshots for Distributed Dataflows" (2015).
 */
#ifndef RUNTIME_ALIGNER_H
#define RUNTIME_ALIGNER_H

#include "common/base/error.h"
#include "proto/frame.h"

struct aligner {
	uint32_t *channels; /* inputs */
	bool *closed;
	uint32_t len, closed_len;
	/* Merged so far; complete when aligner_barrier says so, valid until the next barrier comes in. */
	struct frame_barrier merged; /* cut and shares on the heap */
};

void aligner_init(struct aligner *aligner);
void aligner_add(struct aligner *aligner, uint32_t channel);
void aligner_fini(struct aligner *aligner);
bool aligner_accepts(const struct aligner *aligner, uint32_t channel);
/* Closes the channel and merges. *aligned: all inputs have delivered, the channels are open again. */
enum result aligner_barrier(struct aligner *aligner, uint32_t channel, const struct frame_barrier *barrier,
    bool *aligned, struct error *error) MUST_USE;
/* Adds this actor's own counters to what is sent on. */
void aligner_add_share(struct aligner *aligner, uint32_t actor, const struct counters *counters);

#endif
