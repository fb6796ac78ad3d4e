/* tests/sim/statistics.h - what a walk did: a walk that tests nothing shows here. A row a counter. */
#ifndef SIM_STATISTICS_H
#define SIM_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

#define STATISTICS(STATISTIC)                                                                                          \
	STATISTIC(worlds, "worlds")                                                                                    \
	STATISTIC(steps, "steps")                                                                                      \
	STATISTIC(records, "records produced")                                                                         \
	STATISTIC(attempts, "attempts begun")                                                                          \
	STATISTIC(starts, "attempts that got to run")                                                                  \
	STATISTIC(commits, "commits")                                                                                  \
	STATISTIC(silent_epochs, "epochs discarded in silence")                                                        \
	STATISTIC(silences, "silent replays finished")                                                                 \
	STATISTIC(rows, "rows committed")                                                                              \
	STATISTIC(letters, "dead letters committed")                                                                   \
	STATISTIC(decisions, "decisions committed")                                                                    \
	STATISTIC(decisions_replayed, "decisions obeyed again in a replay")                                            \
	STATISTIC(in_flight_two, "commits with a later epoch under way")                                               \
	STATISTIC(fenced, "commits and touches refused by the fence")                                                  \
	STATISTIC(moved, "commits refused by the predecessor")                                                         \
	STATISTIC(outbid, "fences refused by a higher one")                                                            \
	STATISTIC(touches, "touches")                                                                                  \
	STATISTIC(checkpoints, "checkpoints named in the database")                                                    \
	STATISTIC(marks, "of these in silence")                                                                        \
	STATISTIC(choices, "checkpoints chosen for a restore")                                                         \
	STATISTIC(branches, "newer checkpoints erased by a choice")                                                    \
	STATISTIC(names_retired, "checkpoints retired in the database")                                                \
	STATISTIC(decisions_retired, "decisions retired with them")                                                    \
	STATISTIC(late_commits, "commits refused for a late duplicate")                                                \
	STATISTIC(lost_committed, "lost answers: the epoch was committed")                                             \
	STATISTIC(lost_sent_again, "lost answers: the epoch was sent again")                                           \
	STATISTIC(lost_fenced, "lost answers: fenced out")                                                             \
	STATISTIC(old_backend_commits, "commits by a backend whose writer no longer listened")                         \
	STATISTIC(ended_backends, "old backends ended with work in hand")                                              \
	STATISTIC(outside_commits, "commits while another coordinator was alive")                                      \
	STATISTIC(stale_frames, "frames of an older attempt brought in")                                               \
	STATISTIC(dropped_frames, "frames lost on a standing channel")                                                 \
	STATISTIC(channels_lost, "ends told that a channel is lost")                                                   \
	STATISTIC(restarts, "workers started afresh")                                                                  \
	STATISTIC(failures, "attempts that a worker reported as failed")                                               \
	STATISTIC(kill_ingest, "fault: kill of an ingest")                                                             \
	STATISTIC(kill_aggregator, "fault: kill of an aggregator")                                                     \
	STATISTIC(kill_sink, "fault: kill of a sink")                                                                  \
	STATISTIC(kill_coordinator, "fault: kill of a coordinator")                                                    \
	STATISTIC(stop_worker, "fault: a worker stopped")                                                              \
	STATISTIC(stop_coordinator, "fault: a coordinator stopped")                                                    \
	STATISTIC(wake, "fault: a stopped process wakes")                                                              \
	STATISTIC(second_coordinator, "fault: a second coordinator")                                                   \
	STATISTIC(suspicion, "fault: a living worker declared lost")                                                   \
	STATISTIC(link_moved, "fault: a worker goes to another coordinator")                                           \
	STATISTIC(answer_lost, "fault: the database's answer lost")                                                    \
	STATISTIC(backend_terminated, "fault: a backend terminated")                                                   \
	STATISTIC(database_away, "fault: database away")                                                               \
	STATISTIC(failover, "fault: database back in an older state")                                                  \
	STATISTIC(source_away, "fault: source away")                                                                   \
	STATISTIC(channel_broken, "fault: a channel's connection broken")                                              \
	STATISTIC(store_failed, "fault: storage failed")                                                               \
	STATISTIC(partition_added, "fault: a partition added")                                                         \
	STATISTIC(damaged, "fault: a file of the newest checkpoint damaged")                                           \
	STATISTIC(mended, "damaged files that could be read again")                                                    \
	STATISTIC(rescaled, "fault: another parallelism from the next start on")                                       \
	STATISTIC(clean_stops, "fault: a clean stop, and another pipeline file or none")                               \
	STATISTIC(files_changed, "fault: another pipeline file from the next start on")                                \
	STATISTIC(meanings, "of these taken over")                                                                     \
	STATISTIC(meanings_refused, "of these refused")                                                                \
	STATISTIC(manifests, "manifests written")                                                                      \
	STATISTIC(files_written, "state files written")                                                                \
	STATISTIC(retired, "checkpoints retired")                                                                      \
	STATISTIC(swept, "manifests swept that nobody names")                                                          \
	STATISTIC(restores, "actors restored")                                                                         \
	STATISTIC(caches_reused, "caches of exactly the checkpoint found")                                             \
	STATISTIC(caches_brought_forward, "caches of an ancestor brought forward")                                     \
	STATISTIC(keys_forgotten, "keys forgotten")                                                                    \
	STATISTIC(late, "late duplicates found in the table")                                                          \
	STATISTIC(declared, "walks that ended with a word for a person")

struct statistics {
#define STATISTIC(name, what) uint64_t name;
	STATISTICS(STATISTIC)
#undef STATISTIC
};

void statistics_add(struct statistics *into, const struct statistics *from);
/* False: a counter is 0. */
bool statistics_print(const struct statistics *statistics);

#endif
