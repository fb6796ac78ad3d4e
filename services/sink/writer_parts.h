/* services/sink/writer_parts.h - the writer's parts: writer.c takes frames and commands, writer_database.c asks the port,
 * writer_answers.c judges its answers, writer_compare.c compares state and replay with the database, writer_report.c tells the
 * coordinator.
 */
#ifndef WRITER_PARTS_H
#define WRITER_PARTS_H

#include "common/runtime/aligner.h"
#include "services/sink/epoch.h"
#include "services/sink/writer.h"

/* A RETIRE that is to be carried out. */
struct retirement {
	struct retirement *next;
	struct checkpoints checkpoints; /* as they came, for the answer */
	struct epoch_id *identities, kept;
	struct cut oldest_cut;
	uint32_t passed; /* commits that went before it */
};

/* What the database says about a checkpoint that it names. */
struct checkpoint_known {
	struct epoch_id epoch;
	struct counts counts;
};

struct writer {
	struct actor actor;
	const struct pipeline *pipeline;
	struct topology topology;
	struct sink_port *port;
	uint64_t attempt;
	struct aligner aligner;
	uint64_t now_us; /* when writer_advance was called */
	bool fenced; /* the fence was raised for this attempt */
	bool confirms; /* PREPARE came once more: the look is for the coordinator */
	bool deployed;
	bool over; /* what is late has been reported: nothing more happens in this attempt */
	/* the database's side */
	enum sink_request_kind request; /* what the port is busy with */
	enum sink_request_kind next; /* when backoff is over */
	uint64_t next_us; /* when that is; 0: no backoff */
	uint32_t setbacks; /* in a row */
	uint64_t started_us; /* of the request */
	uint64_t touched_us; /* last sign of life in the frontier row */
	struct frontier frontier;
	struct cut start; /* SET_CUT */
	struct transaction transaction;
	bool choosing; /* CHOOSE is to be carried out: */
	struct epoch_id chosen, renamed; /* the latter (0,0): its name stays */
	struct facts remember; /* SET_CUT, CHOOSE */
	struct arena memory; /* of these */
	struct retirement *retirements; /* oldest first */
	struct error refusal; /* of the commit that was LATE */
	struct bytes *bodies; /* ASK_LATE: the rows of all epochs that are aligned */
	uint32_t asked; /* ASK_LATE: how many epochs these are */
	/* A survey: once an epoch was late, those behind it are looked at and dropped, none is committed, so that one attempt
	 * finds what would have cost many. */
	bool surveying;
	struct decisions late; /* what it has found; the heap's */
	uint32_t clean; /* answers in a row without any */
	uint64_t survey_end_us; /* when it ends for want of epochs */
	char waiting[256]; /* for what; empty: for nothing */
	uint64_t waiting_us; /* since when */
	/* epochs */
	struct cut handled; /* where its frontier is its own: that at the attempt's beginning */
	bool live; /* past the silent replay */
	struct checkpoint_known *known;
	size_t known_len;
	/* The restored checkpoint's, and those of the replay: counters up to the last silent epoch, sums of the rollups' states at the
	 * last barrier. What is not known cannot be compared with the database's. */
	struct counts held;
	struct checkpoint_identity marked; /* MARK; borrows the cut of the first one that is unnamed */
	struct cut base_cut;
	struct epoch *current; /* being received */
	struct epoch *first, *last; /* aligned, waiting for the database; first is the one being committed */
	/* Checkpoints of the silence, oldest first. Each is acknowledged; it is named once the replay has been compared, for one that
	 * has seen other records than the frontier must not be restored by anybody. */
	struct epoch *unnamed;
};

static inline struct writer *writer_of(struct actor *actor)
{
	return (struct writer *)actor;
}

/* writer_database.c */
/* Takes the port's answers and starts what comes next; says when it wants to be called again. */
enum result writer_advance(struct writer *writer, uint64_t now_us, struct outbox *outbox, struct error *error) MUST_USE;
void writer_begin(struct writer *writer, enum sink_request_kind kind, uint64_t now_us);
/* Exponential with jitter, so that writers do not come back in step. */
void writer_back_off(struct writer *writer, enum sink_request_kind next, uint64_t now_us);
/* The first epoch is in the database, by its commit or from before; acknowledges it. now: what the frontier is then. */
void writer_finish_first(struct writer *writer, const struct frontier *now, uint64_t now_us, struct outbox *outbox);
void writer_finish_silent(struct writer *writer, struct outbox *outbox);
void writer_drop_first(struct writer *writer);
void writer_drop_unnamed(struct writer *writer);
void writer_drop_retirement(struct writer *writer);

/* writer_survey.c */
/* The answer's verdicts are kept, the epochs that it is about dropped; ends the survey where that is due. */
void writer_survey(struct writer *writer, const struct decisions *found, uint64_t now_us, struct outbox *outbox);
/* No epoch has come for a while: what is known is reported. */
void writer_survey_end(struct writer *writer, struct outbox *outbox);

/* writer_answers.c */
enum result writer_answered(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error) MUST_USE;

/* writer_compare.c */
void writer_note_checkpoints(struct writer *writer, const struct sink_answer *answer); /* fenced */
void writer_note_start(struct writer *writer); /* checkpoint (0,0) was just named */
void writer_note_renamed(struct writer *writer); /* the choice was carried out */
/* DEPLOY: what is restored; CONFIG where nothing is to be replayed, and it is not what the frontier says. */
enum result writer_compare_begin(struct writer *writer, struct epoch_id base, struct error *error) MUST_USE;
/* An epoch is aligned, and judged to be silent or not; CONFIG where it must not be written, and nothing behind it. */
enum result writer_compare_epoch(struct writer *writer, struct epoch *epoch, struct error *error) MUST_USE;
void writer_compare_end(struct writer *writer);

/* writer_report.c: what the coordinator is told */
void say_waiting(struct writer *writer, struct outbox *outbox, const char *text); /* "": no longer */
void say_fenced(const struct writer *writer, const struct sink_answer *answer, struct outbox *outbox);
/* Who has it: this attempt still, or another one. */
void say_fence(const struct writer *writer, uint64_t fence, struct outbox *outbox);
void say_cut_set(const struct writer *writer, struct outbox *outbox);
void say_committed(const struct writer *writer, const struct epoch *epoch, uint64_t took_us, struct outbox *outbox);
void say_retired(const struct retirement *retirement, struct outbox *outbox);
void say_late(const struct writer *writer, const struct decisions *verdicts, struct outbox *outbox);

#endif
