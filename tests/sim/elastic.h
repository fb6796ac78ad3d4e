/* tests/sim/elastic.h - Elasticsearch, and the writers' port to it: what sink_port.h and the job of documents ask for.
 *
 * A request of the writer's is a row of calls (HTTP requests), each carried out at some later step, bulk calls of the next epoch's
 * documents beside them, also when nobody waits for it
 * any more: a process can die between its documents and its control document, and its last calls can arrive long afterwards. Nobody
 * can end a call that is under way. A bulk call is carried out item by item; what it was not in the mood for is answered as busy.
 *
 * elastic.c is the server; documents.c, documents_fence.c and documents_items.c are the port, documents_oracle.c says what must hold after every change.
 */
#ifndef SIM_ELASTIC_H
#define SIM_ELASTIC_H

#include "services/sink/sink_port.h"
#include "tests/sim/log_records.h"

struct world;
struct process;

enum { WRITERS_MAX = 3, ITEMS_MAX = PARTITIONS_MAX * RECORDS_MAX };

/* A control document; flat. */
struct control {
	bool there, started;
	uint64_t sequence; /* _seq_no; never twice the same in the index */
	uint64_t fence;
	struct epoch_id last;
	uint32_t writers, first_group, groups; /* how many writers there were; its key groups */
	int64_t cut[PARTITIONS_MAX]; /* UNNAMED */
	struct stored_mark marks[PARTITIONS_MAX];
	uint32_t cluster; /* document 0: remembered; 0: not yet */
	struct counters counters;
	int64_t base[PARTITIONS_MAX]; /* counted from here on; in no document */
};

struct stored_document {
	bool there;
	uint32_t partition;
	int64_t offset;
};

struct elastic {
	struct control controls[WRITERS_MAX]; /* by writer, those that are no more included */
	struct stored_document documents[KEYS_MAX]; /* by key */
	bool letters[PARTITIONS_MAX][RECORDS_MAX]; /* by place in the log */
	uint64_t sequence;
	uint32_t cut_off; /* no call of this writer gets through, until: */
	uint64_t cut_off_since_us, cut_off_until_us; /* 0: none */
	bool started;
	int64_t base[PARTITIONS_MAX]; /* where the job started */
	int64_t cut[PARTITIONS_MAX]; /* the job's: the least of all control documents */
};

enum item_state {
	ITEM_WAITING,
	ITEM_SENT,
	ITEM_ACCEPTED, /* created, or there before */
	ITEM_REFUSED, /* its dead letter waits to be sent */
	ITEM_LETTER_SENT,
	ITEM_DEAD
};

struct item {
	uint32_t number; /* among the items of its epoch */
	uint32_t key, partition, place;
	int64_t offset;
	bool letter, done; /* the latter: carried out, or answered as busy */
	enum item_state state; /* the port's: where it is; a call's: what became of it */
};

/* The documents of an epoch, in the order of arrival. */
struct item_list {
	struct epoch_id epoch; /* (0,0): none */
	struct item items[ITEMS_MAX];
	uint32_t len;
};

enum call_kind { CALL_READ, CALL_FENCE, CALL_SET_CUT, CALL_COMMIT, CALL_TOUCH, CALL_DELETE, CALL_BULK };

struct document_port;
struct call {
	struct call *next;
	enum call_kind kind;
	struct document_port *port; /* who waits for the answer; NULL: nobody any more */
	uint64_t attempt, slow_until_us;
	bool answered; /* the answer is on the way */
	bool conflict; /* the document was not as expected */
	uint32_t writer; /* whose control document */
	uint64_t expected; /* its sequence; 0: not there */
	struct control content; /* to be written; in the answer with its sequence */
	struct control found[WRITERS_MAX]; /* READ: all of them */
	struct item_list *list; /* BULK: the port's, where they come from */
	struct item items[ITEMS_MAX]; /* BULK */
	uint32_t items_len;
};

enum document_stage { STAGE_READ, STAGE_SURPLUS, STAGE_ITEMS, STAGE_CONTROL, STAGE_CONFLICT };

/* The port of one writer. */
struct document_port {
	struct sink_port port; /* first */
	struct world *world;
	struct process *process;
	uint32_t writer, writers, first_group, groups;
	bool open, answered;
	enum sink_request_kind asked;
	enum document_stage stage;
	uint64_t attempt;
	uint32_t calls; /* under way */
	struct control seen; /* its own document, as last read or written */
	struct control surplus[WRITERS_MAX]; /* of writers that are no more; writer 0 only */
	struct control wanted; /* what its own document is to become */
	struct epoch_id predecessor;
	struct item_list lists[2];
	struct item_list *now, *next; /* of the epoch that is to be committed, and of the one behind it */
	struct sink_answer answer;
};

/* --- elastic.c --- */
void elastic_init(struct elastic *elastic);
struct call *call_new(struct document_port *port, enum call_kind kind);
bool call_due(const struct world *world, const struct call *call);
/* Carries it out, a bulk call partly. */
void call_run(struct world *world, struct call *call);
/* Its answer reaches the port, whose process lives. */
bool call_answerable(const struct call *call);
void call_arrive(struct world *world, struct call *call);
/* Nobody waits for the port's calls any more; some are carried out all the same, if so wished. */
void calls_leave(struct document_port *port, bool live_on);
void calls_free(struct world *world);
/* The server dies, or cannot be reached: nothing that waits is carried out. */
void elastic_go(struct world *world);
/* The mapping does not take it. */
bool record_is_refused(const struct log_record *record);

/* --- documents.c --- */
struct sink_port *document_port_open(struct process *process, uint32_t writer);
void document_port_close(struct document_port *port, bool calls_live_on);
/* The answer of a call of its own. */
void document_port_on_answer(struct document_port *port, const struct call *call);
/* The connection breaks: bulk calls may be sent again, of anything else the outcome is unknown. */
void document_port_break(struct document_port *port, bool calls_live_on, const char *why);
void documents_lose_answer(struct world *world, struct call *call);

/* For its other files: ends the request. */
void document_answer_frontier(struct document_port *port);
void document_answer_fenced(struct document_port *port, uint64_t fence);
/* Reads all control documents. */
void document_read(struct document_port *port, enum document_stage stage);
void document_tell_cut(const struct control *control, struct cut *cut);
bool document_is_regrouped(const struct document_port *port, const struct control *control);

/* --- documents_fence.c --- */
void document_fence_on_answer(struct document_port *port, const struct call *call);

/* --- documents_items.c --- */
/* Those of this epoch, and of the one behind it; what is known of either may stay. */
void items_take(struct document_port *port, const struct transaction *transaction);
/* Another attempt: nothing is known. */
void items_forget(struct document_port *port);
/* A bulk call of some of what can be sent. False: there is nothing. */
bool items_send(struct document_port *port, struct item_list *list);
/* Each of the epoch that is to be committed is accepted, or has its letter. */
bool items_settled(const struct document_port *port);
void items_answered(struct document_port *port, const struct call *call);
/* What was sent is to be sent again. */
void items_again(struct document_port *port);
void items_count(const struct document_port *port, struct counters *counters);

/* --- documents_oracle.c --- */
/* A control document is about to change, or to go (NULL). */
void documents_check_change(struct world *world, const struct call *call, const struct control *to);
void documents_check(struct world *world);
bool documents_complete(const struct world *world);
/* What a coordinator tells people, and its workers. */
struct coordinator_process;
void documents_check_report(struct coordinator_process *coordinator);
/* A later attempt has raised the fence: nothing that this one does comes to anything. Its documents may be deleted by now, and made anew by
 * a call of before. */
bool documents_overtaken(const struct world *world, uint64_t attempt);
void documents_check_base(struct world *world, const struct cut *base);
void documents_check_inject(const struct coordinator_process *coordinator, struct epoch_id epoch);

#endif
