/* proto/frame_table.h - every frame that processes exchange, one row each.
 *
 * From these rows come the structs, the codec, the printer, the tests and proto/README.md.
 *
 * FRAMES:          FRAME(KIND, struct suffix, number on the wire, why it is sent)
 * FRAME_ROUTES:    ROUTE(KIND, from, to), a row per pair of parties: who may send it to whom. Whatever else comes is refused.
 * FRAME_*_FIELDS:  FIELD(S, type, name, what it says), S being the struct suffix; the order is the order on the wire.
 *
 * To add a frame: a row in FRAMES with a new number (numbers are never reused), its ROUTES and its FIELDS list, WIRE_VERSION in
 * frame.h, a row in the table of handlers of whoever gets it, `SLUICE_WRITE_GOLDEN=1 test_frame` for the golden bytes (proto/README.md has all). To add a type: FIELD_TYPES here, its
 * three functions in field_encode.c, field_decode.c and field_print.c.
 */
#ifndef PROTO_FRAME_TABLE_H
#define PROTO_FRAME_TABLE_H

/* TYPE(type, C type) */
#define FIELD_TYPES(TYPE)                                                                                              \
	TYPE(UNSIGNED, uint64_t)                                                                                       \
	TYPE(SIGNED, int64_t)                                                                                          \
	TYPE(FLAG, bool)                                                                                               \
	TYPE(TEXT, const char *)                                                                                       \
	TYPE(EPOCH, struct epoch_id)                                                                                   \
	TYPE(CUT, struct cut)                                                                                          \
	TYPE(COUNTERS, struct counters)                                                                                \
	TYPE(SHARES, struct shares)                                                                                    \
	TYPE(DECISIONS, struct decisions)                                                                              \
	TYPE(LETTERS, struct letters)                                                                                  \
	TYPE(GROUPS, struct groups)                                                                                    \
	TYPE(MARKS, struct marks)                                                                                      \
	TYPE(FACTS, struct facts)                                                                                      \
	TYPE(CHECKPOINTS, struct checkpoints)                                                                          \
	TYPE(FILES, struct files)                                                                                      \
	TYPE(PLACES, struct places)                                                                                    \
	TYPE(ADDRESSES, struct addresses)                                                                              \
	TYPE(WORKERS, struct workers)                                                                                  \
	TYPE(WAITS, struct waits)                                                                                      \
	TYPE(RAW, struct bytes)

#define FRAMES(FRAME)                                                                                                  \
	/* data plane: on channels, in sequence */                                                                     \
	FRAME(HELLO, hello, 1, "the first frame of every channel: who sends on it, and who receives")                  \
	FRAME(ROWS, rows, 2, "rows, see row.h")                                                                        \
	FRAME(DELTAS, deltas, 3, "what this epoch adds to groups")                                                     \
	FRAME(TOTALS, totals, 4, "absolute totals of the groups touched")                                              \
	FRAME(DEAD_LETTERS, dead_letters, 5, "records not accepted, with reasons")                                     \
	FRAME(DECISIONS, decisions, 6, "about records: decided now; or, by way of the coordinator, handed back")       \
	FRAME(BARRIER, barrier, 7, "ends an epoch on a channel")                                                       \
	/* control link: worker to coordinator */                                                                      \
	FRAME(HEARTBEAT, heartbeat, 16, "opens every message of the control link")                                     \
	FRAME(REGISTER, registration, 17, "here I am, I can host actors of a role")                                    \
	FRAME(WAITING, waiting, 18, "an actor waits for somebody outside (empty text: no longer)")                     \
	FRAME(FENCED, fenced, 19, "the fence is raised, this is what the database holds")                              \
	FRAME(DESCRIBED, described, 20, "partitions and resolved start")                                               \
	FRAME(CUT_SET, cut_set, 21, "the start is recorded by the sink")                                               \
	FRAME(DEPLOYED, deployed, 22, "actors exist, these are the addresses they listen on")                          \
	FRAME(READY, ready, 23, "HELLO came in on every channel")                                                      \
	FRAME(PENDING, pending, 24, "there is data behind the last cut (a level, not an edge)")                        \
	FRAME(COMMITTED, committed, 25, "this epoch is in the database; an ingest hears it now and then")              \
	FRAME(FAILED, failed, 26, "the attempt cannot go on")                                                          \
	FRAME(SNAPSHOT_DONE, snapshot_done, 27, "my state of this checkpoint is written")                              \
	FRAME(DAMAGED, damaged, 28, "a file of the checkpoint restored does not verify")                               \
	FRAME(RETIRED, retired, 29, "these checkpoints are no longer named by the database")                           \
	FRAME(LEAVING, leaving, 30, "told to end; a last checkpoint, then without me")                                 \
	/* control link: coordinator to worker */                                                                      \
	FRAME(PREPARE, prepare, 32, "a writer: fence, then once more: is it still; an ingest: describe")               \
	FRAME(SET_CUT, set_cut, 33, "record the resolved start")                                                       \
	FRAME(DEPLOY, deploy, 34, "the whole placement of an attempt")                                                 \
	FRAME(CONNECT, connect, 35, "where every channel listens; dial and say HELLO")                                 \
	FRAME(START, start, 36, "every channel stands; read")                                                          \
	FRAME(INJECT, inject, 37, "cut here")                                                                          \
	FRAME(CANCEL, cancel, 38, "this attempt is over; start afresh")                                                \
	FRAME(STOP, stop, 39, "the job is over; exit with this code")                                                  \
	FRAME(CHOOSE, choose, 40, "this checkpoint is restored; name none that is newer")                              \
	FRAME(CHECKPOINT_COMPLETE, checkpoint_complete, 41, "caches may hold it now")                                  \
	FRAME(RETIRE, retire, 42, "name these checkpoints no longer")                                                  \
	/* control link: status */                                                                                     \
	FRAME(STATUS, status, 48, "how are you")                                                                       \
	FRAME(STATUS_REPORT, status_report, 49, "the answer to both")                                                  \
	FRAME(CHECKPOINT, checkpoint, 50, "take a checkpoint now")                                                     \
	/* files */                                                                                                    \
	FRAME(MANIFEST, manifest, 64, "what a checkpoint is made of; a file in the checkpoint folder")

/* PARTY(name, in words). The first ones are actors; enum role has the same numbers. */
#define FRAME_PARTIES(PARTY)                                                                                           \
	PARTY(INGEST, "ingest")                                                                                        \
	PARTY(DEDUP, "dedup")                                                                                          \
	PARTY(ROLLUP, "rollup")                                                                                        \
	PARTY(WRITER, "writer")                                                                                        \
	PARTY(WORKER, "worker")                                                                                        \
	PARTY(COORDINATOR, "coordinator")                                                                              \
	PARTY(SLUICECTL, "sluicectl")

/* What goes from actor to actor travels on a channel, everything else but HELLO on the control link. A worker hands on what is for actors:
 * to each of its own. MANIFEST travels nowhere: it is a file. */
#define FRAME_ROUTES(ROUTE)                                                                                            \
	ROUTE(HELLO, WORKER, WORKER)                                                                                   \
	ROUTE(ROWS, INGEST, DEDUP)                                                                                     \
	ROUTE(ROWS, INGEST, WRITER)                                                                                    \
	ROUTE(ROWS, DEDUP, WRITER)                                                                                     \
	ROUTE(DELTAS, DEDUP, ROLLUP)                                                                                   \
	ROUTE(TOTALS, ROLLUP, WRITER)                                                                                  \
	ROUTE(DEAD_LETTERS, INGEST, DEDUP)                                                                             \
	ROUTE(DEAD_LETTERS, DEDUP, WRITER)                                                                             \
	ROUTE(DECISIONS, DEDUP, WRITER)                                                                                \
	ROUTE(DECISIONS, WRITER, COORDINATOR)                                                                          \
	ROUTE(DECISIONS, COORDINATOR, DEDUP)                                                                           \
	ROUTE(BARRIER, INGEST, DEDUP)                                                                                  \
	ROUTE(BARRIER, INGEST, WRITER)                                                                                 \
	ROUTE(BARRIER, DEDUP, ROLLUP)                                                                                  \
	ROUTE(BARRIER, DEDUP, WRITER)                                                                                  \
	ROUTE(BARRIER, ROLLUP, WRITER)                                                                                 \
	ROUTE(HEARTBEAT, WORKER, COORDINATOR)                                                                          \
	ROUTE(HEARTBEAT, COORDINATOR, WORKER)                                                                          \
	ROUTE(HEARTBEAT, SLUICECTL, COORDINATOR)                                                                       \
	ROUTE(HEARTBEAT, COORDINATOR, SLUICECTL)                                                                       \
	ROUTE(REGISTER, WORKER, COORDINATOR)                                                                           \
	ROUTE(WAITING, INGEST, COORDINATOR)                                                                            \
	ROUTE(WAITING, DEDUP, COORDINATOR)                                                                             \
	ROUTE(WAITING, ROLLUP, COORDINATOR)                                                                            \
	ROUTE(WAITING, WRITER, COORDINATOR)                                                                            \
	ROUTE(FENCED, WRITER, COORDINATOR)                                                                             \
	ROUTE(DESCRIBED, INGEST, COORDINATOR)                                                                          \
	ROUTE(CUT_SET, WRITER, COORDINATOR)                                                                            \
	ROUTE(DEPLOYED, WORKER, COORDINATOR)                                                                           \
	ROUTE(READY, WORKER, COORDINATOR)                                                                              \
	ROUTE(PENDING, INGEST, COORDINATOR)                                                                            \
	ROUTE(COMMITTED, WRITER, COORDINATOR)                                                                          \
	ROUTE(COMMITTED, COORDINATOR, INGEST)                                                                          \
	ROUTE(FAILED, WORKER, COORDINATOR)                                                                             \
	ROUTE(FAILED, WRITER, COORDINATOR)                                                                             \
	ROUTE(SNAPSHOT_DONE, DEDUP, COORDINATOR)                                                                       \
	ROUTE(SNAPSHOT_DONE, ROLLUP, COORDINATOR)                                                                      \
	ROUTE(DAMAGED, DEDUP, COORDINATOR)                                                                             \
	ROUTE(DAMAGED, ROLLUP, COORDINATOR)                                                                            \
	ROUTE(RETIRED, WRITER, COORDINATOR)                                                                            \
	ROUTE(LEAVING, WORKER, COORDINATOR)                                                                            \
	ROUTE(PREPARE, COORDINATOR, WORKER)                                                                            \
	ROUTE(PREPARE, COORDINATOR, INGEST)                                                                            \
	ROUTE(PREPARE, COORDINATOR, WRITER)                                                                            \
	ROUTE(SET_CUT, COORDINATOR, WRITER)                                                                            \
	ROUTE(DEPLOY, COORDINATOR, WORKER)                                                                             \
	ROUTE(DEPLOY, COORDINATOR, INGEST)                                                                             \
	ROUTE(DEPLOY, COORDINATOR, DEDUP)                                                                              \
	ROUTE(DEPLOY, COORDINATOR, ROLLUP)                                                                             \
	ROUTE(DEPLOY, COORDINATOR, WRITER)                                                                             \
	ROUTE(CONNECT, COORDINATOR, WORKER)                                                                            \
	ROUTE(START, COORDINATOR, WORKER)                                                                              \
	ROUTE(START, COORDINATOR, INGEST)                                                                              \
	ROUTE(START, COORDINATOR, DEDUP)                                                                               \
	ROUTE(START, COORDINATOR, ROLLUP)                                                                              \
	ROUTE(START, COORDINATOR, WRITER)                                                                              \
	ROUTE(INJECT, COORDINATOR, INGEST)                                                                             \
	ROUTE(CANCEL, COORDINATOR, WORKER)                                                                             \
	ROUTE(STOP, COORDINATOR, WORKER)                                                                               \
	ROUTE(CHOOSE, COORDINATOR, WRITER)                                                                             \
	ROUTE(CHECKPOINT_COMPLETE, COORDINATOR, DEDUP)                                                                 \
	ROUTE(CHECKPOINT_COMPLETE, COORDINATOR, ROLLUP)                                                                \
	ROUTE(RETIRE, COORDINATOR, WRITER)                                                                             \
	ROUTE(STATUS, SLUICECTL, COORDINATOR)                                                                          \
	ROUTE(STATUS_REPORT, COORDINATOR, SLUICECTL)                                                                   \
	ROUTE(CHECKPOINT, SLUICECTL, COORDINATOR)

#define FRAME_HELLO_FIELDS(FIELD, S)                                                                                   \
	FIELD(S, UNSIGNED, from, "actor that sends on this channel")                                                   \
	FIELD(S, UNSIGNED, to, "actor that receives")
#define FRAME_ROWS_FIELDS(FIELD, S) FIELD(S, RAW, rows, "a msgpack array of rows, see row.h")
#define FRAME_DELTAS_FIELDS(FIELD, S) FIELD(S, GROUPS, groups, "groups and what to add")
#define FRAME_TOTALS_FIELDS(FIELD, S) FIELD(S, GROUPS, groups, "groups and their totals")
#define FRAME_DEAD_LETTERS_FIELDS(FIELD, S) FIELD(S, LETTERS, letters, "the letters")
#define FRAME_DECISIONS_FIELDS(FIELD, S)                                                                               \
	FIELD(S, DECISIONS, decisions, "records and verdicts")                                                         \
	FIELD(S, FLAG, last, "handed back: the last page")
#define FRAME_BARRIER_FIELDS(FIELD, S)                                                                                 \
	FIELD(S, EPOCH, epoch, "the epoch that ends here")                                                             \
	FIELD(S, EPOCH, base, "the last complete checkpoint")                                                          \
	FIELD(S, FLAG, checkpoint, "actors persist their state here")                                                  \
	FIELD(S, FLAG, lift, "the last silent epoch")                                                                  \
	FIELD(S, FLAG, stop, "the last epoch of a clean stop: nothing is read behind it")                              \
	FIELD(S, CUT, cut, "union of the ingests' positions")                                                          \
	FIELD(S, MARKS, marks, "of the last records in front of it: likewise")                                         \
	FIELD(S, SHARES, shares, "union of the actors' counters of this epoch")                                        \
	FIELD(S, GROUPS, sums, "rollup to writer: what all its totals add up to, see sums.h")

#define FRAME_HEARTBEAT_FIELDS(FIELD, S)                                                                               \
	FIELD(S, TEXT, worker, "name of the worker, unique in the job")                                                \
	FIELD(S, UNSIGNED, incarnation, "changes with every exec of the worker")                                       \
	FIELD(S, UNSIGNED, coordinator, "incarnation of the coordinator; 0: not known yet")                            \
	FIELD(S, UNSIGNED, sequence, "number of the last frame in this message (per direction)")                       \
	FIELD(S, UNSIGNED, acknowledged, "number of the last frame received from the other side")
#define FRAME_REGISTER_FIELDS(FIELD, S)                                                                                \
	FIELD(S, UNSIGNED, process, "role of the process: enum process_role")                                          \
	FIELD(S, UNSIGNED, pid, "for people")                                                                          \
	FIELD(S, UNSIGNED, identity, "drawn when the process was started; kept where it starts itself afresh")         \
	FIELD(S, TEXT, job, "job name")                                                                                \
	FIELD(S, TEXT, fingerprint, "of the pipeline file it runs with")                                               \
	FIELD(S, TEXT, topology, "that it derives from the file's parallelism")                                        \
	FIELD(S, TEXT, zone_rules, "of the file's time zone, as this process has them")                                \
	FIELD(S, TEXT, release, "version of the program")
#define FRAME_WAITING_FIELDS(FIELD, S)                                                                                 \
	FIELD(S, UNSIGNED, actor, "who waits")                                                                         \
	FIELD(S, UNSIGNED, for_us, "for so long already")                                                              \
	FIELD(S, TEXT, text, "what for; empty: no longer")
#define FRAME_FENCED_FIELDS(FIELD, S)                                                                                  \
	FIELD(S, UNSIGNED, actor, "the writer")                                                                        \
	FIELD(S, UNSIGNED, fence,                                                                                      \
	    "0: raised; else the one found: a higher one, or, asked once more, this attempt's own")                    \
	FIELD(S, EPOCH, last, "epoch last committed")                                                                  \
	FIELD(S, FLAG, started, "the frontier has a cut")                                                              \
	FIELD(S, CUT, cut, "the frontier's cut")                                                                       \
	FIELD(S, COUNTERS, counters, "the frontier's counters")                                                        \
	FIELD(S, TEXT, fingerprint, "of the meaning that the frontier has")                                            \
	FIELD(S, EPOCH, since, "the checkpoint since which that is so: none before it is restored")                    \
	FIELD(S, TEXT, changed, "what the pipeline file means otherwise; empty: nothing")                              \
	FIELD(S, FLAG, replayable, "that is no more than the digits of totals: a replay comes to the same")            \
	FIELD(S, CHECKPOINTS, checkpoints, "named by the database, newest first; without cuts")                        \
	FIELD(S, MARKS, marks, "in front of the frontier's cut")                                                       \
	FIELD(S, FACTS, remembered, "what exactness rests on, as it was when it was first seen")
#define FRAME_DESCRIBED_FIELDS(FIELD, S)                                                                               \
	FIELD(S, UNSIGNED, partitions, "of the topic")                                                                 \
	FIELD(S, CUT, start, "the configured start, resolved")                                                         \
	FIELD(S, FACTS, facts, "what exactness rests on, as it is")
#define FRAME_CUT_SET_FIELDS(FIELD, S)                                                                                 \
	FIELD(S, UNSIGNED, actor, "the writer")                                                                        \
	FIELD(S, CUT, cut, "now recorded")
#define FRAME_DEPLOYED_FIELDS(FIELD, S) FIELD(S, ADDRESSES, addresses, "of the channels that end here")
#define FRAME_READY_FIELDS(FIELD, S) FIELD(S, TEXT, worker, "for people")
#define FRAME_PENDING_FIELDS(FIELD, S)                                                                                 \
	FIELD(S, UNSIGNED, actor, "the ingest")                                                                        \
	FIELD(S, UNSIGNED, after, "n of the last barrier it sent")                                                     \
	FIELD(S, FLAG, waiting, "it has read past its last cut, or could")                                             \
	FIELD(S, FLAG, full, "its epoch credit is used up")                                                            \
	FIELD(S, FLAG, at_ceiling, "silent replay: it has reached the frontier")                                       \
	FIELD(S, CUT, ends, "ends of its partitions as last heard, for lag")                                           \
	FIELD(S, UNSIGNED, ends_age_us, "for how long these have not been known; 0: they are")
#define FRAME_COMMITTED_FIELDS(FIELD, S)                                                                               \
	FIELD(S, UNSIGNED, actor, "the writer")                                                                        \
	FIELD(S, EPOCH, epoch, "the epoch")                                                                            \
	FIELD(S, FLAG, silent, "discarded: the database had it already")                                               \
	FIELD(S, FLAG, live, "what follows is new to the database")                                                    \
	FIELD(S, CUT, at, "the epoch's own cut")                                                                       \
	FIELD(S, CUT, cut, "the frontier's cut now")                                                                   \
	FIELD(S, COUNTERS, counters, "the frontier's counters now")                                                    \
	FIELD(S, UNSIGNED, commit_us, "how long the transaction took")
#define FRAME_FAILED_FIELDS(FIELD, S)                                                                                  \
	FIELD(S, UNSIGNED, code, "enum result")                                                                        \
	FIELD(S, TEXT, text, "what happened, and to whom")                                                             \
	FIELD(S, DECISIONS, verdicts, "late duplicates found in the table: to be obeyed by dedup")                     \
	FIELD(S, EPOCH, as_of, "the frontier at which they were found")
#define FRAME_SNAPSHOT_DONE_FIELDS(FIELD, S)                                                                           \
	FIELD(S, UNSIGNED, actor, "whose state")                                                                       \
	FIELD(S, EPOCH, checkpoint, "of which checkpoint")                                                             \
	FIELD(S, TEXT, failure, "why it could not be written; empty: it is written")                                   \
	FIELD(S, FILES, files, "all that this actor's state is made of at this checkpoint")
#define FRAME_DAMAGED_FIELDS(FIELD, S)                                                                                 \
	FIELD(S, EPOCH, checkpoint, "which cannot be restored")                                                        \
	FIELD(S, TEXT, text, "what is wrong with it")
#define FRAME_RETIRED_FIELDS(FIELD, S) FIELD(S, CHECKPOINTS, checkpoints, "as in RETIRE")
#define FRAME_LEAVING_FIELDS(FIELD, S) FIELD(S, TEXT, text, "why")

#define FRAME_PREPARE_FIELDS(FIELD, S)                                                                                 \
	FIELD(S, UNSIGNED, actor, "writer: fence; ingest: describe")                                                   \
	FIELD(S, MARKS, marks, "ingest: to be compared with the records that are there now")
#define FRAME_SET_CUT_FIELDS(FIELD, S)                                                                                 \
	FIELD(S, CUT, cut, "the resolved start")                                                                       \
	FIELD(S, FACTS, remember, "to be remembered from now on")
#define FRAME_DEPLOY_FIELDS(FIELD, S)                                                                                  \
	FIELD(S, UNSIGNED, partitions, "of the topic, fixed for the attempt")                                          \
	FIELD(S, EPOCH, base, "the checkpoint restored")                                                               \
	FIELD(S, CUT, base_cut, "where replay begins")                                                                 \
	FIELD(S, EPOCH, last, "epoch last committed")                                                                  \
	FIELD(S, CUT, frontier_cut, "where silence ends")                                                              \
	FIELD(S, MARKS, marks, "that were compared: the last ones in front of base_cut are among them")                \
	FIELD(S, PLACES, places, "every actor and its worker")
#define FRAME_CONNECT_FIELDS(FIELD, S) FIELD(S, ADDRESSES, addresses, "of every channel between two workers")
#define FRAME_START_FIELDS(FIELD, S) FIELD(S, FLAG, silent, "replay up to the frontier first")
#define FRAME_INJECT_FIELDS(FIELD, S)                                                                                  \
	FIELD(S, EPOCH, epoch, "the epoch that ends")                                                                  \
	FIELD(S, EPOCH, base, "the last complete checkpoint")                                                          \
	FIELD(S, FLAG, checkpoint, "actors persist their state")                                                       \
	FIELD(S, FLAG, lift, "the last silent epoch: read on behind it")                                               \
	FIELD(S, FLAG, stop, "the last epoch of a clean stop: read nothing behind it")
#define FRAME_CANCEL_FIELDS(FIELD, S) FIELD(S, TEXT, text, "why")
#define FRAME_STOP_FIELDS(FIELD, S)                                                                                    \
	FIELD(S, UNSIGNED, code, "exit code of the process")                                                           \
	FIELD(S, TEXT, text, "why")

#define FRAME_CHOOSE_FIELDS(FIELD, S)                                                                                  \
	FIELD(S, EPOCH, checkpoint, "restored")                                                                        \
	FIELD(S, EPOCH, renamed, "its name from now on, with the pipeline file's new meaning; (0,0): it stays")        \
	FIELD(S, FACTS, remember, "to be remembered from now on")
#define FRAME_CHECKPOINT_COMPLETE_FIELDS(FIELD, S) FIELD(S, EPOCH, checkpoint, "complete")
#define FRAME_RETIRE_FIELDS(FIELD, S)                                                                                  \
	FIELD(S, CHECKPOINTS, checkpoints, "to be retired; without cuts")                                              \
	FIELD(S, EPOCH, kept, "the oldest checkpoint kept: none is retired while the database does not name it")       \
	FIELD(S, CUT, oldest_cut, "its cut: decisions in front of it are needed no more")

#define FRAME_CHECKPOINT_FIELDS(FIELD, S) FIELD(S, TEXT, job, "which job; empty: the only one")
#define FRAME_STATUS_FIELDS(FIELD, S) FIELD(S, TEXT, job, "which job; empty: the only one")
#define FRAME_STATUS_REPORT_FIELDS(FIELD, S)                                                                           \
	FIELD(S, TEXT, job, "job name")                                                                                \
	FIELD(S, TEXT, jobs, "of this coordinator, with blanks between")                                               \
	FIELD(S, TEXT, state, "state of the deployment")                                                               \
	FIELD(S, SIGNED, now_us, "instant of this report, by the coordinator's clock")                                 \
	FIELD(S, WAITS, waits, "who waits for what")                                                                   \
	FIELD(S, TEXT, last_error, "why the last attempt ended; empty: none did")                                      \
	FIELD(S, EPOCH, epoch, "last committed")                                                                       \
	FIELD(S, FLAG, live, "past the silent replay")                                                                 \
	FIELD(S, CUT, cut, "of the last commit")                                                                       \
	FIELD(S, CUT, ends, "of the partitions as last heard")                                                         \
	FIELD(S, SIGNED, ends_unknown_us, "instant since which these are not known; 0: they are")                      \
	FIELD(S, COUNTERS, counters, "since the job's start")                                                          \
	FIELD(S, UNSIGNED, in_flight, "epochs injected and not committed")                                             \
	FIELD(S, UNSIGNED, commit_us, "how long commits take, smoothed")                                               \
	FIELD(S, UNSIGNED, records_per_second, "consumed, over the last seconds")                                      \
	FIELD(S, UNSIGNED, attempts_ended, "since this coordinator started")                                           \
	FIELD(S, SIGNED, committed_us, "instant of the last commit; 0: none yet")                                      \
	FIELD(S, WORKERS, workers, "registered processes")                                                             \
	FIELD(S, EPOCH, checkpoint, "last complete")                                                                   \
	FIELD(S, SIGNED, checkpoint_us, "instant of its completion; 0: none by this coordinator")                      \
	FIELD(S, UNSIGNED, checkpoint_took_us, "from inject to manifest")                                              \
	FIELD(S, UNSIGNED, checkpoint_bytes, "of the files that it added")                                             \
	FIELD(S, UNSIGNED, checkpoint_whole_bytes, "of all its files")                                                 \
	FIELD(S, UNSIGNED, checkpoints_completed, "since this coordinator started")                                    \
	FIELD(S, UNSIGNED, checkpoints_failed, "likewise")                                                             \
	FIELD(S, EPOCH, restored, "the checkpoint that this attempt was restored from")                                \
	FIELD(S, TEXT, verdict, "why the job does not get anywhere; empty: it does")                                   \
	FIELD(S, UNSIGNED, wish, "number of the last wish for a checkpoint: in the answer to CHECKPOINT, the asker's") \
	FIELD(S, UNSIGNED, wish_answered, "of the last one that was answered, well or not")                            \
	FIELD(S, UNSIGNED, wish_granted, "of the last one that was answered by a complete checkpoint")

#define FRAME_MANIFEST_FIELDS(FIELD, S)                                                                                \
	FIELD(S, TEXT, job, "job name")                                                                                \
	FIELD(S, EPOCH, epoch, "identity of the checkpoint")                                                           \
	FIELD(S, CUT, cut, "where it stands in the log")                                                               \
	FIELD(S, TEXT, fingerprint, "of the pipeline file's meaning")                                                  \
	FIELD(S, UNSIGNED, key_groups, "their number, fixed for the job")                                              \
	FIELD(S, SIGNED, created_us, "instant")                                                                        \
	FIELD(S, CHECKPOINTS, line, "checkpoints that it was built on, newest first, as far as caches may hold them")  \
	FIELD(S, FILES, files, "what state is made of; a file stands once for each range of key groups that it serves")

#endif
