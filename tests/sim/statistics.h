/* tests/sim/statistics.h - what a walk did: a walk that tests nothing shows here. One row per counter, with the
 * jobs that it is of. */
#ifndef SIM_STATISTICS_H
#define SIM_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/job.h"

#define STATISTICS(STATISTIC)                                                                                          \
	STATISTIC(BOTH, worlds, "worlds")                                                                              \
	STATISTIC(BOTH, steps, "steps")                                                                                \
	STATISTIC(BOTH, records, "records produced")                                                                   \
	STATISTIC(BOTH, attempts, "attempts begun")                                                                    \
	STATISTIC(BOTH, starts, "attempts that got to run")                                                            \
	STATISTIC(TOTALS, commits, "commits")                                                                          \
	STATISTIC(TOTALS, silent_epochs, "epochs discarded in silence")                                                \
	STATISTIC(TOTALS, silences, "silent replays finished")                                                         \
	STATISTIC(TOTALS, rows, "rows committed")                                                                      \
	STATISTIC(TOTALS, letters, "dead letters committed")                                                           \
	STATISTIC(TOTALS, decisions, "decisions committed")                                                            \
	STATISTIC(TOTALS, decisions_replayed, "decisions obeyed again in a replay")                                    \
	STATISTIC(BOTH, in_flight_two, "commits with a later epoch under way")                                         \
	STATISTIC(BOTH, fenced, "commits and touches refused by the fence")                                            \
	STATISTIC(TOTALS, moved, "commits refused by the predecessor")                                                 \
	STATISTIC(BOTH, outbid, "fences refused by a higher one")                                                      \
	STATISTIC(TOTALS, touches, "touches")                                                                          \
	STATISTIC(TOTALS, checkpoints, "checkpoints named in the database")                                            \
	STATISTIC(TOTALS, marks, "of these in silence")                                                                \
	STATISTIC(TOTALS, choices, "checkpoints chosen for a restore")                                                 \
	STATISTIC(TOTALS, branches, "newer checkpoints erased by a choice")                                            \
	STATISTIC(TOTALS, names_retired, "checkpoints retired in the database")                                        \
	STATISTIC(TOTALS, decisions_retired, "decisions retired with them")                                            \
	STATISTIC(TOTALS, late_commits, "commits refused for a late duplicate")                                        \
	STATISTIC(TOTALS, lost_committed, "lost answers: the epoch was committed")                                     \
	STATISTIC(TOTALS, lost_sent_again, "lost answers: the epoch was sent again")                                   \
	STATISTIC(TOTALS, lost_fenced, "lost answers: fenced out")                                                     \
	STATISTIC(TOTALS, old_backend_commits, "commits by a backend whose writer no longer listened")                 \
	STATISTIC(TOTALS, ended_backends, "old backends ended with work in hand")                                      \
	STATISTIC(BOTH, outside_commits, "commits while another coordinator was alive")                                \
	STATISTIC(BOTH, stale_frames, "frames of an older attempt brought in")                                         \
	STATISTIC(BOTH, dropped_frames, "frames lost on a standing channel")                                           \
	STATISTIC(BOTH, channels_lost, "ends told that a channel is lost")                                             \
	STATISTIC(BOTH, restarts, "workers started afresh")                                                            \
	STATISTIC(BOTH, failures, "attempts that a worker reported as failed")                                         \
	STATISTIC(BOTH, kill_ingest, "fault: kill of an ingest")                                                       \
	STATISTIC(TOTALS, kill_aggregator, "fault: kill of an aggregator")                                             \
	STATISTIC(BOTH, kill_sink, "fault: kill of a sink")                                                            \
	STATISTIC(BOTH, kill_coordinator, "fault: kill of a coordinator")                                              \
	STATISTIC(BOTH, killed_gathering, "of these in GATHERING")                                                     \
	STATISTIC(BOTH, killed_fencing, "of these in FENCING")                                                         \
	STATISTIC(BOTH, killed_describing, "of these in DESCRIBING")                                                   \
	STATISTIC(BOTH, killed_choosing, "of these in CHOOSING")                                                       \
	STATISTIC(BOTH, killed_deploying, "of these in DEPLOYING")                                                     \
	STATISTIC(BOTH, killed_connecting, "of these in CONNECTING")                                                   \
	STATISTIC(BOTH, killed_running, "of these in RUNNING")                                                         \
	STATISTIC(BOTH, other_log, "fault: the topic is another one")                                                  \
	STATISTIC(BOTH, other_log_refused, "of these refused")                                                         \
	STATISTIC(BOTH, swapped, "fault: the topic is made anew while it is read")                                     \
	STATISTIC(BOTH, swapped_untold, "of these seen by nobody at first")                                            \
	STATISTIC(BOTH, swapped_refused, "of these refused")                                                           \
	STATISTIC(TOTALS, altered, "fault: a record that is to be replayed is another one")                            \
	STATISTIC(TOTALS, altered_refused, "of these refused")                                                         \
	STATISTIC(TOTALS, states_altered, "fault: the rollups' files are of another history")                          \
	STATISTIC(TOTALS, states_refused, "of these refused")                                                          \
	STATISTIC(BOTH, stop_worker, "fault: a worker stopped")                                                        \
	STATISTIC(BOTH, stop_coordinator, "fault: a coordinator stopped")                                              \
	STATISTIC(BOTH, wake, "fault: a stopped process wakes")                                                        \
	STATISTIC(BOTH, second_coordinator, "fault: a second coordinator")                                             \
	STATISTIC(BOTH, suspicion, "fault: a living worker declared lost")                                             \
	STATISTIC(BOTH, link_moved, "fault: a worker goes to another coordinator")                                     \
	STATISTIC(BOTH, answer_lost, "fault: the database's answer lost")                                              \
	STATISTIC(TOTALS, backend_terminated, "fault: a backend terminated")                                           \
	STATISTIC(TOTALS, database_away, "fault: database away")                                                       \
	STATISTIC(TOTALS, failover, "fault: database back in an older state")                                          \
	STATISTIC(BOTH, source_away, "fault: source away")                                                             \
	STATISTIC(BOTH, channel_broken, "fault: a channel's connection broken")                                        \
	STATISTIC(BOTH, store_failed, "fault: storage failed")                                                         \
	STATISTIC(BOTH, partition_added, "fault: a partition added")                                                   \
	STATISTIC(TOTALS, damaged, "fault: a file of the newest checkpoint damaged")                                   \
	STATISTIC(TOTALS, mended, "damaged files that could be read again")                                            \
	STATISTIC(TOTALS, rescaled, "fault: another parallelism from the next start on")                               \
	STATISTIC(BOTH, clean_stops, "fault: a clean stop, and another pipeline file or none")                         \
	STATISTIC(TOTALS, files_changed, "fault: another pipeline file from the next start on")                        \
	STATISTIC(TOTALS, meanings, "of these taken over")                                                             \
	STATISTIC(TOTALS, meanings_replayed, "of these in front of the frontier: totals with more digits or fewer")    \
	STATISTIC(TOTALS, meanings_refused, "of these refused")                                                        \
	STATISTIC(TOTALS, manifests, "manifests written")                                                              \
	STATISTIC(TOTALS, files_written, "state files written")                                                        \
	STATISTIC(TOTALS, retired, "checkpoints retired")                                                              \
	STATISTIC(TOTALS, swept, "manifests swept that nobody names")                                                  \
	STATISTIC(TOTALS, restores, "actors restored")                                                                 \
	STATISTIC(TOTALS, caches_reused, "caches of exactly the checkpoint found")                                     \
	STATISTIC(TOTALS, caches_brought_forward, "caches of an ancestor brought forward")                             \
	STATISTIC(TOTALS, keys_forgotten, "keys forgotten")                                                            \
	STATISTIC(TOTALS, late, "late duplicates found in the table")                                                  \
	STATISTIC(TOTALS, declared, "walks that ended with a word for a person")                                       \
	STATISTIC(SEARCH, document_commits, "control documents moved by a commit")                                     \
	STATISTIC(SEARCH, document_touches, "control documents touched")                                               \
	STATISTIC(SEARCH, control_conflicts, "control documents that were not as they were left")                      \
	STATISTIC(SEARCH, documents_there, "documents that were there already")                                        \
	STATISTIC(SEARCH, document_letters, "dead letters of documents")                                               \
	STATISTIC(SEARCH, items_busy, "documents that the server was too busy for")                                    \
	STATISTIC(SEARCH, items_early, "documents sent before their epoch had its turn")                               \
	STATISTIC(SEARCH, items_behind, "of these kept back, for the epoch before has their key")                      \
	STATISTIC(SEARCH, bulks_in_parts, "bulk calls carried out partly")                                             \
	STATISTIC(SEARCH, bulks_again, "bulk calls sent again after a lost answer")                                    \
	STATISTIC(SEARCH, late_items, "documents written for a port that no longer waited")                            \
	STATISTIC(SEARCH, late_controls, "commits for a port that no longer waited")                                   \
	STATISTIC(SEARCH, late_calls_refused, "of such changes refused")                                               \
	STATISTIC(SEARCH, late_was_mine, "conflicts: the epoch was committed by a late call of one's own")             \
	STATISTIC(SEARCH, late_touches, "conflicts: a late touch")                                                     \
	STATISTIC(SEARCH, rows_handled, "rows skipped by a writer that was ahead")                                     \
	STATISTIC(SEARCH, regrouped, "writers fenced whose key groups are others than before")                         \
	STATISTIC(SEARCH, surplus_found, "frontiers of writers that are no more")                                      \
	STATISTIC(SEARCH, surplus_deleted, "of these deleted")                                                         \
	STATISTIC(SEARCH, more_writers, "fault: more writers from the next start on")                                  \
	STATISTIC(SEARCH, fewer_writers, "fault: fewer writers from the next start on")                                \
	STATISTIC(SEARCH, told_to_end, "fault: a process told to end")                                                 \
	STATISTIC(SEARCH, cut_off, "fault: a writer cut off from Elasticsearch")                                       \
	STATISTIC(SEARCH, left_over, "fault: those with the file of before live on")                                   \
	STATISTIC(SEARCH, elastic_away, "fault: Elasticsearch away")                                                   \
	STATISTIC(SEARCH, attempts_lost, "fault: the numbers of attempts forgotten")

struct statistics {
#define STATISTIC(jobs, name, what) uint64_t name;
	STATISTICS(STATISTIC)
#undef STATISTIC
};

void statistics_add(struct statistics *into, const struct statistics *from);
/* Those of the job. False: one of them is 0. */
bool statistics_print(enum job_kind kind, const struct statistics *statistics);

#endif
