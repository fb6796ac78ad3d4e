/* common/base/crash_points.h - one row per crash point: name, when it is passed, where the process stands then. "work": any time under
 * load; "restart": when an attempt begins; "nocache": when it begins and the caches are gone; "fresh": at a job's very first
 * start; "late": when a forgotten key comes again; "lost": when the answer to a commit was lost; "ctl": by sluicectl rebuild; "over": by sluicectl
 * reset. In the search job "documents": any time under load; "behind": while there is a backlog; "refused": when Elasticsearch refuses a document;
 * "fencing": when an attempt begins.
 */
#ifndef BASE_CRASH_POINTS_H
#define BASE_CRASH_POINTS_H

#define CRASH_POINTS(ROW)                                                                                              \
	ROW(commit_encoded, work, "a transaction is ready, nothing of it was sent")                                    \
	ROW(commit_copying, work, "the rows were sent, the totals not")                                                \
	ROW(commit_sent, work, "everything was sent, COMMIT has not been answered")                                    \
	ROW(commit_answered, work, "COMMIT was answered, nobody knows but this process")                               \
	ROW(commit_said, work, "the coordinator is about to be told of a commit")                                      \
	ROW(fence_connected, restart, "the writer has a connection, the fence is as it was")                           \
	ROW(fence_raised, restart, "the fence is raised, the old writer's backend may live")                           \
	ROW(fence_locked, restart, "the lock is taken")                                                                \
	ROW(fence_read, restart, "the frontier was read, the coordinator does not know it")                            \
	ROW(start_unset, fresh, "the first cut is about to be written")                                                \
	ROW(start_set, fresh, "the first cut is written, the coordinator does not know it")                            \
	ROW(choose_asked, restart, "the checkpoint to restore is about to be chosen in the database")                  \
	ROW(choose_done, restart, "it is chosen, the newer ones are erased")                                           \
	ROW(mark_asked, silent, "a checkpoint in silence is about to be named")                                        \
	ROW(mark_done, silent, "it is named, the coordinator does not know it")                                        \
	ROW(retire_asked, work, "old checkpoints are about to be retired in the database")                             \
	ROW(retire_done, work, "they are retired, their files are there")                                              \
	ROW(late_asked, late, "the table is about to be asked for late duplicates")                                    \
	ROW(late_found, late, "it has answered, nobody else knows the verdicts")                                       \
	ROW(look_connected, lost, "an answer was lost, the old backend may live")                                      \
	ROW(look_ended, lost, "the old backend is gone, the frontier was not read")                                    \
	ROW(look_done, lost, "the fate of the epoch is known to this process")                                         \
	ROW(attempt_untaken, restart, "the coordinator is about to take a number for an attempt")                      \
	ROW(attempt_made, restart, "the number's file is there, its folder not synced")                                \
	ROW(attempt_taken, restart, "the number is taken, no process has heard of it")                                 \
	ROW(begin_written, fresh, "the manifest of checkpoint 0 is there, the database has no cut")                    \
	ROW(choose_commanded, restart, "the writer is told which checkpoint to choose")                                \
	ROW(deploy_begun, restart, "the actors are about to be placed")                                                \
	ROW(deploy_commanded, restart, "the actors are placed")                                                        \
	ROW(connect_commanded, restart, "decisions are handed back, channels are about to open")                       \
	ROW(start_commanded, restart, "the attempt is about to run")                                                   \
	ROW(lift_injected, silent, "the replay is over, the next epoch is committed")                                  \
	ROW(checkpoint_injected, work, "the barrier of a checkpoint is on its way")                                    \
	ROW(manifest_written, work, "a manifest is written beside its place, not synced")                              \
	ROW(manifest_synced, work, "it is synced, not in its place")                                                   \
	ROW(manifest_linked, work, "it is in its place, the folder not synced")                                        \
	ROW(manifest_durable, work, "the checkpoint is complete, nobody knows but the coordinator")                    \
	ROW(checkpoint_published, work, "the actors are about to be told")                                             \
	ROW(retired_told, work, "the database names them no longer, all files are there")                              \
	ROW(retired_manifest, work, "a manifest is removed, its files are there")                                      \
	ROW(retired_files, work, "files are removed, what is left of others is not swept")                             \
	ROW(attempt_cancelled, restart, "an attempt is over, its processes are told")                                  \
	ROW(state_frozen, work, "an actor's changes are frozen, nothing is written")                                   \
	ROW(delta_begun, work, "a delta file is open")                                                                 \
	ROW(delta_written, work, "it is written, not synced")                                                          \
	ROW(delta_synced, work, "it is synced, not in its place")                                                      \
	ROW(delta_renamed, work, "it is in its place, the folder not synced")                                          \
	ROW(delta_durable, work, "it is there for good, nobody knows")                                                 \
	ROW(state_said, work, "the coordinator is about to be told that state is written")                             \
	ROW(apply_begun, work, "the cache says that it takes a checkpoint's changes")                                  \
	ROW(apply_put, work, "it has taken them, and does not say so")                                                 \
	ROW(apply_ended, work, "it says so")                                                                           \
	ROW(identity_written, work, "what the cache says of itself is written beside its place")                       \
	ROW(restore_opened, restart, "a cache is open, it is not known what it is good for")                           \
	ROW(restore_begun, nocache, "files are about to be loaded into the cache")                                     \
	ROW(restore_loaded, nocache, "they are loaded, the cache does not say so")                                     \
	ROW(restore_ended, nocache, "the state is restored, the coordinator does not know it")                         \
	ROW(ingest_started, restart, "an ingest is about to read from the checkpoint's offsets")                       \
	ROW(ingest_barrier, work, "an ingest has its offsets for a barrier, which is not sent")                        \
	ROW(ingest_ceiling, silent, "an ingest has read up to the frontier")                                           \
	ROW(schema_migrated, fresh, "a migration is made, not committed")                                              \
	ROW(schema_made, fresh, "schema and tables are made, the job has no row")                                      \
	ROW(rebuild_begun, ctl, "sluicectl has the fence, nothing is written")                                         \
	ROW(rebuild_written, ctl, "the state's files are written")                                                     \
	ROW(rebuild_manifest, ctl, "the manifest is there, the database does not name it")                             \
	ROW(rebuild_named, ctl, "the database names it")                                                               \
	ROW(reset_emptied, over, "the tables are empty, in a transaction")                                             \
	ROW(reset_removing, over, "something of the checkpoint folder is gone, the transaction is open")               \
	ROW(reset_removed, over, "the checkpoint folder is gone, the transaction is open")                             \
	ROW(reset_committed, over, "all is committed, nobody was told")                                                \
	ROW(control_fenced, fencing, "a control document has the new fence, the coordinator does not know it")         \
	ROW(documents_sent, documents, "documents are on their way, none is answered")                                 \
	ROW(next_sent, behind, "documents of the next epoch are on their way, this one has no control document")       \
	ROW(letter_stored, refused, "a dead letter is stored, its epoch is not committed")                             \
	ROW(documents_stored, documents, "all documents of an epoch are there, its control document is as it was")     \
	ROW(control_sent, documents, "a control document is on its way")                                               \
	ROW(control_written, documents, "it is written, nobody knows but this process")

#endif
