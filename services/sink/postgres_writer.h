/* services/sink/postgres_writer.h - what a sink writer asks of PostgreSQL, as calls that block.
 *
 * sink_postgres.c runs them on a thread. Each fills the answer, except its outcome, which it returns.
 */
#ifndef POSTGRES_WRITER_H
#define POSTGRES_WRITER_H

#include "services/sink/postgres_commit.h"
#include "services/sink/postgres_wait.h"
#include "services/sink/sink_postgres.h"
#include "services/sink/sink_thread.h"
#include "common/postgres/postgres_connection.h"

struct postgres_writer {
	struct sink_runner runner; /* coordinator is empty: nobody else is looked for */
	int told_backend; /* of another runner; 0: none */
	struct postgres postgres;
	const struct pipeline *pipeline;
	char *application_name;
	char *job; /* <pipeline.job>/totals */
	int64_t lock; /* key of the session advisory lock that a writer of this job holds */
	int old_pid; /* a backend that may still be at work; 0: none */
	char old_started[64];
	struct postgres_commit commit;
	struct postgres_wait wait;
	struct sink_thread *thread; /* whose owner is told for what it waits */
	enum meaning_change change; /* of the pipeline file since the frontier was written, as of the fence */
};

void postgres_writer_init(
    struct postgres_writer *writer, const struct pipeline *pipeline, const char *application_name, int stop_fd);
void postgres_writer_fini(struct postgres_writer *writer);

enum sink_outcome postgres_writer_fence(
    struct postgres_writer *writer, uint64_t attempt, struct sink_answer *answer) MUST_USE;
enum sink_outcome postgres_writer_set_cut(struct postgres_writer *writer, uint64_t attempt, const struct cut *cut,
    const struct facts *remember, struct sink_answer *answer) MUST_USE;
enum sink_outcome postgres_writer_commit(
    struct postgres_writer *writer, const struct transaction *transaction, struct sink_answer *answer) MUST_USE;
enum sink_outcome postgres_writer_look(
    struct postgres_writer *writer, uint64_t attempt, struct sink_answer *answer) MUST_USE;
enum sink_outcome postgres_writer_touch(
    struct postgres_writer *writer, uint64_t attempt, struct epoch_id predecessor, struct sink_answer *answer) MUST_USE;

/* Ends the transaction that is open, if one is. Where a guarded statement was refused, the answer says how high the fence
 * is. Returns the outcome. */
enum sink_outcome postgres_refused(
    struct postgres_writer *writer, enum sink_outcome outcome, struct sink_answer *answer) MUST_USE;

/* postgres_checkpoints.c */
enum sink_outcome postgres_writer_mark(struct postgres_writer *writer, uint64_t attempt, struct epoch_id predecessor,
    const struct checkpoint_identity *checkpoint, struct sink_answer *answer) MUST_USE;
enum sink_outcome postgres_writer_choose(struct postgres_writer *writer, uint64_t attempt, struct epoch_id checkpoint,
    struct epoch_id renamed, const struct facts *remember, struct sink_answer *answer) MUST_USE;
enum sink_outcome postgres_writer_retire(struct postgres_writer *writer, uint64_t attempt,
    const struct epoch_id *checkpoints, size_t checkpoints_len, struct epoch_id kept, const struct cut *oldest_cut,
    struct sink_answer *answer) MUST_USE;
enum sink_outcome postgres_writer_late(struct postgres_writer *writer, uint64_t attempt, struct epoch_id predecessor,
    const struct bytes *bodies, size_t bodies_len, struct sink_answer *answer) MUST_USE;

/* postgres_lock.c: the lock says which backend is this job's writer. */
/* Ends the backend that holds the lock, unless the fence is above attempt by now. DONE also when nobody holds it. */
enum sink_outcome postgres_holder_end(struct postgres_writer *writer, uint64_t attempt, struct error *error) MUST_USE;
/* Takes the lock, ending whoever has it; UNKNOWN when that does not go away. */
enum sink_outcome postgres_lock_take(struct postgres_writer *writer, uint64_t attempt, struct error *error) MUST_USE;
/* Ends the backend with this pid and start, if it still is that one, and waits until it is gone. */
enum sink_outcome postgres_backend_end(
    struct postgres *postgres, int pid, const char *started, struct error *error) MUST_USE;

#endif
