/* services/coordinator/coordinator_state.h - what a coordinator knows: private to its files.
 *
 * coordinator.c hears events, coordinator_time.c watches time, writers.c puts together what several writers say, attempt.c does what the
 * deployment table says, late.c keeps verdicts on late duplicates, report.c tells people.
 */
#ifndef COORDINATOR_STATE_H
#define COORDINATOR_STATE_H

#include "services/coordinator/checkpoints.h"
#include "services/coordinator/coordinator.h"
#include "services/coordinator/deployment.h"
#include "services/coordinator/pacing.h"
#include "services/coordinator/registry.h"
#include "services/coordinator/waits.h"

/* Late duplicates that a writer found: dedup has to obey them in the next attempt. Not durable: losing them costs an
 * attempt. A verdict lives as long as the history that it was found in, see late.c. */
struct late_verdict {
	struct decision decision;
	struct epoch_id as_of; /* the frontier at which the row was there, as last seen */
};

/* What one writer said in this attempt. */
struct writer_said {
	bool fenced, started, cut_set;
	uint64_t committed; /* n of its last epoch */
	struct cut cut; /* of its frontier */
	struct counters counters;
};

/* Whether an ingest knows how long the log is, and since when it does or does not (instant). */
struct ends_said {
	bool known;
	int64_t since_us;
};

struct coordinator {
	const struct pipeline *pipeline;
	struct coordinator_config config;
	struct topology topology;
	struct registry registry;
	uint64_t now_us;
	enum deployment_state state;
	uint64_t state_us; /* since when */
	uint64_t work_us; /* since then nobody has said that it is at work */
	uint64_t registered_us; /* last REGISTER */
	uint64_t attempt, at_least; /* number of this attempt; the next one is at least */
	bool fence_known; /* the database has told this coordinator how far attempts have come */
	uint64_t attempts_ended, fruitless; /* in all; in a row without a commit */
	uint64_t earliest_us; /* backoff: no new attempt before */
	bool excused; /* this attempt's end says nothing about the job: a late duplicate, or actors are moved */
	struct place *places; /* of this attempt; names are ours */
	uint32_t places_len;
	/* what the database and the topic said, this attempt */
	struct writer_said *writers; /* by number */
	struct frame_fenced fenced; /* of all writers; cut on the heap; checkpoints are not kept */
	char changed[512]; /* what the pipeline file means otherwise than the frontier; empty: nothing */
	struct facts remembered, found; /* what exactness rests on; this attempt's memory */
	struct marks marks; /* in front of the frontier's cut, and of the base's: to be compared */
	struct arena memory; /* of this attempt */
	struct checkpoint_keeper checkpoints;
	struct cut base_cut; /* of the checkpoint that is restored */
	struct cut decided_from; /* what was decided about records from here on is handed back */
	struct epoch_id restored;
	uint32_t partitions;
	struct buffer *decisions; /* encoded DECISIONS bodies, to be handed back */
	uint32_t decisions_len;
	struct late_verdict *late; /* by place in the log, each record once */
	uint32_t late_len;
	uint64_t fenced_attempt; /* the last one of ours under whose fence the frontier was read; 0: none yet */
	struct address *addresses; /* urls are ours */
	uint32_t addresses_len;
	struct pacing pacing;
	/* wishes */
	bool stopping; /* a clean stop: a last checkpoint, then exit 0 */
	uint64_t stop_wish; /* for that checkpoint; 0: not yet made, in this attempt */
	bool rebalance; /* a process is there that would even the load */
	/* what people are told */
	struct epoch_id committed;
	struct cut cut, ends;
	struct ends_said *ends_said; /* by number of the ingest */
	struct cut all_cut; /* of all writers, while it is put together */
	struct counters counters;
	int64_t committed_us; /* instant */
	bool live, told_anew;
	uint64_t told_us, rate_us, rate_from, rate;
	char last_error[ERROR_TEXT_MAX];
	int64_t erred_us; /* when an attempt ended for it */
	char refused[256], refused_name[WORKER_NAME_MAX]; /* the last process that may not take part, and why */
	uint64_t refused_us; /* 0: none, or it has registered rightly since */
	uint64_t told_wait_us[OWN_WAITS]; /* since when, of the one that the log has */
};

enum { FRUITLESS_MANY = 5 }; /* attempts in a row without a commit: the job does not get anywhere */

/* coordinator.c: what is logged from here on is about this job. */
void enter(struct coordinator *coordinator, uint64_t now_us);
void on_keeper_news(struct coordinator *coordinator, enum keeper_news news);
/* A process is there that would even the load: the attempt ends for it. */
void move_actors(struct coordinator *coordinator);
/* Everybody ends with 0, and so does the job. */
void end_well(struct coordinator *coordinator, const char *why);

/* attempt.c */
void happen(struct coordinator *coordinator, enum deployment_event event);
void forget_attempt(struct coordinator *coordinator);
/* Nobody says any more how long the log is. */
void forget_ends(struct coordinator *coordinator);
/* CONFIG: the job is over. */
void config_error(struct coordinator *coordinator, const char *text);
/* The same, once the writer has said that the fence is this attempt's still. */
void refused(struct coordinator *coordinator, const char *text);
/* The attempt is over. */
void broken(struct coordinator *coordinator, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A port's error: CONFIG stops the job (see refused), anything else ends the attempt. */
void on_error(struct coordinator *coordinator, const struct error *error);
void command_role(struct coordinator *coordinator, enum role role, enum frame_kind kind, const void *body);
/* To dedup and rollup. */
void command_stateful(struct coordinator *coordinator, enum frame_kind kind, const void *body);
void command_writer(struct coordinator *coordinator, enum frame_kind kind, const void *body);
/* Has it raise the fence, or say whether it is this attempt's still. */
void prepare_writer(struct coordinator *coordinator, uint32_t number);
/* What was decided about records from this cut on. */
void hand_back(struct coordinator *coordinator, const struct decisions *decisions, const struct cut *from);
bool takes_part(const struct coordinator *coordinator, const char *worker);
bool hosts_role(const struct coordinator *coordinator, const char *worker, enum role role);
void stop_worker(struct coordinator *coordinator, const char *worker, int code, const char *why);
/* Everybody ends with this code, and so does the coordinator. */
void stop_all(struct coordinator *coordinator, int code, const char *why);

/* late.c */
void late_keep(struct coordinator *coordinator, const struct frame_failed *failed);
/* The frontier was read under this attempt's fence, and nothing has been chosen yet: what was found in another history goes. */
void late_judge(struct coordinator *coordinator);
/* To dedup: those on records beyond the frontier. The others are recorded with their epochs. */
void late_hand_on(struct coordinator *coordinator);

/* writers.c: a job's cut is the least of its writers'. */
void forget_writers(struct coordinator *coordinator);
/* Whose word this is; NULL: of nobody who takes part. */
struct writer_said *writer_said(struct coordinator *coordinator, uint64_t actor);
/* Only writer 0 has not. */
bool others_fenced(const struct coordinator *coordinator);
/* True when all have said it; coordinator->fenced is then what they found together. */
bool all_fenced(struct coordinator *coordinator, struct writer_said *writer, const struct frame_fenced *fenced);
bool all_cut_set(struct coordinator *coordinator, struct writer_said *writer, const struct frame_cut_set *set);
/* n of the last epoch that all have committed; cut and counters become the job's. False: out of order. */
bool writer_committed(struct coordinator *coordinator, struct writer_said *writer,
    const struct frame_committed *committed, uint64_t *n, struct cut *cut, struct counters *counters);

#endif
