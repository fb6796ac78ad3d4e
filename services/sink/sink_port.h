/* services/sink/sink_port.h - where a writer puts its epochs.
 *
 * Implemented by sink_postgres.c (libpq, blocking calls on a thread of its own), sink_elasticsearch.c (libcurl, likewise),
 * tests/sim/sink.c (memory).
 *
 * A job of documents (search) has several writers, each with a frontier of its own and documents that may be written twice. It has no
 * checkpoints, so its port is not asked for what is of them.
 *
 * One request at a time: start it, then poll answer (after event_fd became readable, if there is one). The writer
 * decides what an answer means and what comes next: the port never sends an epoch twice by itself.
 *
 * Ownership: what a request points to is borrowed until its answer has been taken; bodies of documents, those of the next epoch too,
 *            until their epoch is committed or the attempt is over. An answer's contents are valid until the next request.
 * Errors:    the answer says what is known, see enum sink_outcome.
 * Blocking:  nothing here blocks the caller.
 */
#ifndef SINK_PORT_H
#define SINK_PORT_H

#include <stdbool.h>

#include "common/base/sink_outcome.h"
#include "common/state/sums.h"
#include "proto/cut.h"

struct frontier {
	uint64_t fence;
	struct epoch_id last; /* the epoch last committed; (0,0): none */
	bool started; /* the cut is not NULL */
	struct cut cut;
	struct marks marks; /* of the last records in front of it */
	struct counters counters;
	struct sums sums; /* not known: the row is of before they were kept */
	char fingerprint[33]; /* empty: none yet */
	bool regrouped; /* documents: it is of other key groups than this writer's */
};

struct checkpoint_identity {
	struct epoch_id epoch;
	struct cut cut;
	struct counts counts; /* the frontier's when it lay there: what a state that is restored from it has */
	struct marks marks;
};

/* The ROWS bodies of one epoch; may be many, sorted by nobody. */
struct epoch_bodies {
	struct epoch_id epoch; /* (0,0): there is none */
	const struct bytes *bodies;
	size_t len;
};

/* Everything that one epoch changes. */
struct transaction {
	uint64_t fence; /* mine */
	struct epoch_id predecessor; /* the last one that I know to be committed */
	struct epoch_id epoch;
	bool checkpoint; /* also insert the epoch's identity into the table of checkpoints */
	const struct cut *cut;
	const struct marks *marks;
	struct counters counters; /* of this epoch; added to the frontier's. Documents: nothing, the port counts */
	/* Of all totals before it and after it; the latter becomes the frontier's. The port compares what lies between with the rows. */
	const struct sums *before, *after;
	const struct cut *handled; /* documents: rows in front of it are there already, and counted */
	/* documents: of the epoch behind, which may be stored already too, but not committed */
	struct epoch_bodies next;
	struct bytes *rows; /* ROWS bodies; may be many, sorted by nobody */
	size_t rows_len;
	const struct letters *letters; /* chunks, letters_len of them */
	size_t letters_len;
	const struct decisions *decisions; /* chunks */
	size_t decisions_len;
	const struct groups *totals; /* chunks; absolute; a group stands in one chunk only, once */
	size_t totals_len;
};

struct sink_answer {
	enum sink_outcome outcome;
	struct error error; /* for UNKNOWN, FENCED, MOVED, CONFIG */
	/* fence and look; documents: commit too */
	struct frontier frontier;
	bool surplus; /* documents, fence: there are frontiers of writers that are no more; the least of them: */
	struct cut surplus_cut;
	/* fence only: */
	struct epoch_id since; /* the checkpoint since which the frontier has its meaning; (0,0): from the start */
	char changed[512]; /* what the pipeline file means otherwise than the frontier; empty: nothing */
	bool replayable; /* and that touches no record: MEANING_MEASURES */
	struct checkpoint_identity *checkpoints; /* newest first */
	size_t checkpoints_len;
	struct facts remembered; /* what exactness rests on; documents: writer 0 only; the arena's */
	struct arena arena;
	/* fence: all that the table holds; late: the verdicts */
	struct decisions decisions;
};

/* What a port can be asked: KIND, the same in words, whether only a job with checkpoints does.
 *
 * FENCE     Connects, makes sure the tables are there, raises the fence to attempt (only upwards), ends the backend of an older
 *           writer and waits until it is gone, then reads frontier, checkpoints and decisions. UNKNOWN while the database is
 *           away: ask again. FENCED when the fence is attempt or higher already.
 * SET_CUT   Under the fence: sets the frontier's cut where it is NULL, with the fingerprint, and inserts checkpoint (0,0).
 *           Documents: sets it in any case, as one of this writer's key groups. Facts are remembered that were not so yet;
 *           documents: by writer 0.
 * COMMIT    One transaction; its first statement moves the frontier from predecessor to epoch under the fence. LATE where a row met
 *           a unique index; error names the record.
 * LOOK      On a new connection: ends this writer's own old backend, waits until it is gone, reads the frontier FOR UPDATE.
 * TOUCH     Moves frontier.committed_at only, under fence and predecessor: an idle pipeline is alive.
 * MARK      A checkpoint of the silence, once that is over: its epoch's rows are in the database already, only its identity is
 *           inserted, under fence and predecessor. Harmless when repeated.
 * CHOOSE    This checkpoint is restored: every identity that is newer is deleted, and the frontier moves to epoch_of_choice, under
 *           the fence: the next commit notices a failover that loses the choice. MOVED where it is not named: the list that it was
 *           chosen from is not that of the table any more. With another name it also gets that, and the frontier the pipeline
 *           file's meaning from there on; MOVED also where it does not lie at the frontier, unless the change was replayable.
 * RETIRE    Deletes these identities and the decisions in front of a cut, under the fence. MOVED where the one that is kept is not
 *           named: a failover may have lost what makes these superfluous.
 * ASK_LATE  After a commit that was LATE: which rows of these bodies have keys that the table holds? The answer's decisions name
 *           them, with the verdict that a comparison of all declared columns gives. MOVED where the frontier is not at
 *           predecessor any more.
 */
#define SINK_REQUESTS(ROW)                                                                                             \
	ROW(FENCE, "raises the fence", false)                                                                          \
	ROW(SET_CUT, "sets the cut", false)                                                                            \
	ROW(COMMIT, "commits", false)                                                                                  \
	ROW(LOOK, "looks at the frontier", false)                                                                      \
	ROW(TOUCH, "touches", false)                                                                                   \
	ROW(MARK, "names a checkpoint", true)                                                                          \
	ROW(CHOOSE, "chooses a checkpoint", true)                                                                      \
	ROW(RETIRE, "retires checkpoints", true)                                                                       \
	ROW(ASK_LATE, "asks which rows are late", true)

enum sink_request_kind {
	SINK_NOTHING,
#define SINK_REQUEST_KIND(kind, words, of_checkpoints) SINK_##kind,
	SINK_REQUESTS(SINK_REQUEST_KIND)
#undef SINK_REQUEST_KIND
	    SINK_REQUEST_KINDS
};

/* What the kind does not name is not looked at. */
struct sink_request {
	enum sink_request_kind kind;
	uint64_t attempt; /* mine; all but COMMIT, whose transaction has it */
	struct epoch_id predecessor; /* the last epoch that I know to be committed: MARK, ASK_LATE, TOUCH */
	const struct facts *remember; /* SET_CUT, CHOOSE */
	const struct transaction *transaction; /* COMMIT */
	const struct checkpoint_identity *marked; /* MARK */
	struct epoch_id checkpoint; /* CHOOSE: the one that is restored; RETIRE: one that is kept */
	struct epoch_id renamed; /* CHOOSE: its other name; (0,0): none */
	const struct cut *cut; /* SET_CUT; RETIRE: decisions in front of it go */
	const struct epoch_id *retired; /* RETIRE */
	size_t retired_len;
	const struct bytes *bodies; /* ASK_LATE */
	size_t bodies_len;
};

/* Frees what it holds; it is empty then. */
void sink_answer_clear(struct sink_answer *answer);

const char *sink_request_words(enum sink_request_kind kind);
bool sink_request_is_of_checkpoints(enum sink_request_kind kind);

struct sink_port;
struct sink_port_ops {
	/* The request is copied, what it points to is not. One at a time. */
	void (*start)(struct sink_port *, const struct sink_request *);
	/* True when it has been answered; the answer may be taken once. */
	bool (*answer)(struct sink_port *, struct sink_answer **);
	/* True where it has changed for what a request waits that has not been answered; text is then that, or empty. NULL: a port that
	 * never says. */
	bool (*late_words)(struct sink_port *, char *text, size_t size);
	void (*close)(struct sink_port *);
};
struct sink_port {
	const struct sink_port_ops *ops;
	int event_fd; /* an eventfd, not blocking: readable when an answer or other words are there; -1: the runner polls (simulation) */
};

/* sink_start(port, SINK_FENCE, .attempt = 1) */
#define sink_start(port, ...) ((port)->ops->start((port), &(struct sink_request){__VA_ARGS__}))

#endif
