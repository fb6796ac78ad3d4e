/* tests/sim/mutants.h - the rules that the simulation must miss when they are gone. One row per rule: name, first seed and number of
 * walks within which it is missed, what is wrong. Where the first seed is not 0 it takes so many walks to find it.
 *
 * Each stands at one place as MUTANT(name), see common/base/mutant.h: in the real code where the rule is kept, or in the
 * simulated database where the rule is the database's. More are missed by unit tests: tests/unit/CMakeLists.txt.
 */
#ifndef SIM_MUTANTS_H
#define SIM_MUTANTS_H

#define MUTANTS(ROW)                                                                                                   \
	ROW(no_alignment, 0, 400, "an actor reads on behind a barrier")                                                \
	ROW(no_fence, 0, 400, "the database does not check the fence")                                                 \
	ROW(no_predecessor, 0, 400, "the database checks the fence, but not the epoch before")                         \
	ROW(no_silence, 0, 400, "the writer commits replayed epochs")                                                  \
	ROW(silence_too_long, 0, 400, "the writer discards one epoch behind the frontier")                             \
	ROW(no_ceiling, 0, 400, "an ingest at the frontier reads on before all are there")                             \
	ROW(decisions_from_frontier, 0, 400,                                                                           \
	    "decisions are handed back since the frontier, not since the checkpoint restored")                         \
	ROW(cut_off_by_one, 0, 400, "a barrier names the offset behind the next one")                                  \
	ROW(groups_off_by_one, 0, 400, "an actor believes that its first key group is not its own")                    \
	ROW(manifest_unsure, 0, 400, "a checkpoint is complete though storage has not taken its manifest")             \
	ROW(no_decisions, 0, 400, "decisions are not handed back")                                                     \
	ROW(all_repeats_local, 0, 400, "verdicts between partitions are not recorded")                                 \
	ROW(sum_counters, 0, 400, "counters are added on the way, not united")                                         \
	ROW(attempt_not_monotone, 0, 400, "every attempt has the same number")                                         \
	ROW(verdict_forgotten, 0, 400, "a verdict obeyed is not written again")                                        \
	ROW(start_moves, 0, 400, "the start is resolved again at every attempt")                                       \
	ROW(silent_not_acked, 0, 400, "silent epochs are not acknowledged")                                            \
	ROW(sequence_unchecked, 0, 400, "a gap in a channel's sequence is not noticed")                                \
	ROW(stale_attempt_accepted, 0, 400, "a frame of an older attempt is not dropped")                              \
	ROW(unknown_commit_is_failure, 0, 400, "a commit without an answer is sent again without a look")              \
	ROW(credit_not_reset, 0, 400, "the epoch credit is not given back at a barrier")                               \
	ROW(branches_kept, 0, 400, "the newer checkpoints that a restore passes over stay named")                      \
	ROW(touch_unstarted, 5100696148, 1, "a touch does not ask whether the start is recorded still")                \
	ROW(stop_unconfirmed, 5100242540, 1, "a coordinator that slept stops the job for what it read before")         \
	ROW(retirement_trusted, 12010, 20, "checkpoints are retired though none that is newer is named")               \
	ROW(manifest_first, 0, 400, "the manifest does not wait for the sink")                                         \
	ROW(cache_early, 0, 400,                                                                                       \
	    "the cache takes the changes when they are frozen, not when the checkpoint is complete")                   \
	ROW(cache_any_groups, 0, 400, "a cache is taken by its checkpoint alone, whatever key groups it holds")        \
	ROW(cache_knows_more, 17480, 20, "a cache brought forward keeps what was forgotten meanwhile")                 \
	ROW(delta_dropped, 0, 400, "the changes of a checkpoint that was given up are not in the next one")            \
	ROW(notice_late, 0, 400, "a barrier with a newer base drops the frozen changes before the cache has them")     \
	ROW(evict_in_silence, 0, 400, "keys are forgotten while replaying")                                            \
	ROW(forgotten_found, 0, 400,                                                                                   \
	    "keys that the files leave out are still found, and repeats dropped, until the cache is without them")     \
	ROW(wish_answered_early, 0, 400, "a checkpoint answers wishes that were made after it was injected")           \
	ROW(verdict_last_only, 0, 400, "only the last attempt's late verdicts are handed on")                          \
	ROW(failover_keeps_checkpoints, 0, 400, "checkpoints of a history that a failover lost can be restored")       \
	ROW(late_skipped, 0, 400, "an epoch that was late is dropped, and the next one committed")                     \
	ROW(meaning_unclean, 0, 400,                                                                                   \
	    "another pipeline file is accepted though the checkpoint lies before the frontier")                        \
	ROW(digits_not_replayed, 0, 400,                                                                               \
	    "totals with more digits are refused where the checkpoint lies before the frontier")                       \
	ROW(last_difference_counts, 0, 400, "of a file with other amounts and other totals only the latter counts")    \
	ROW(choice_unnoticed, 500, 20, "the frontier does not move with a choice: a failover loses it unseen")         \
	ROW(mark_not_compared, 0, 400, "a topic that was made anew is read on")                                        \
	ROW(mark_of_cut_only, 0, 400, "the last record of what was given back is not the last one before the cut")     \
	ROW(mark_forgotten, 0, 400, "a partition without new records has no mark after a restart")                     \
	ROW(log_not_confirmed, 0, 400, "a topic that is made anew while it is read is read on")                        \
	ROW(read_in_doubt, 0, 800, "a topic that may be another one is read before it was looked at")                  \
	ROW(sure_of_the_last, 0, 800, "the record that was read last counts as one of the log of before")              \
	ROW(doubt_forgotten, 5500345753, 1, "who has nothing to compare reads on in a doubt")                          \
	ROW(facts_not_compared, 0, 400, "another cluster is read on")                                                  \
	ROW(counters_not_compared, 0, 400, "a replay of other records is not noticed by its counters")                 \
	ROW(sums_not_compared, 0, 400, "a state that is not the one of its checkpoint is not noticed")                 \
	ROW(named_in_silence, 0, 400, "a checkpoint of the silence is named before the replay has been compared")      \
	ROW(sums_not_kept, 0, 400, "what the totals add up to is not written with a checkpoint")                       \
	ROW(violation_trusted, 0, 400,                                                                                 \
	    "a unique violation counts before the frontier is compared, and old backends live on")

/* Of the job of documents; the last ones are rules of the port to Elasticsearch, see documents.c. */
#define SEARCH_MUTANTS(ROW)                                                                                            \
	ROW(begin_at_greatest, 0, 400, "the job begins at the greatest of the writers' cuts")                          \
	ROW(fenced_in_any_order, 0, 400, "writer 0 does not wait until all others are fenced")                         \
	ROW(fenced_by_one, 0, 400, "the first writer that is fenced speaks for all")                                   \
	ROW(cut_set_by_one, 690, 40, "the first writer that has recorded where it begins speaks for all")              \
	ROW(committed_by_one, 0, 400, "an epoch is done when the first writer has committed it")                       \
	ROW(handled_not_raised, 0, 400, "the cut of a writer that is ahead goes back to the epoch's")                  \
	ROW(handled_not_applied, 0, 400, "rows that a writer has written and counted are counted again")               \
	ROW(regrouped_keeps_cut, 0, 400, "a writer with other key groups keeps its cut")                               \
	ROW(surplus_unheard, 0, 400, "the cuts of writers that are no more are left out")                              \
	ROW(control_unconditional, 0, 400, "a control document is written without a look at what is there")            \
	ROW(control_first, 0, 400, "the control document moves before the documents are there")                        \
	ROW(keys_in_any_order, 0, 400, "several documents of a key are under way")                                     \
	ROW(next_in_any_order, 0, 400, "a document of the next epoch is sent though this one has its key")             \
	ROW(next_lost_counts, 0, 400, "what was under way of the next epoch when an answer was lost counts as stored") \
	ROW(accepted_hides, 0, 400, "what comes behind a document of its key is not sent, though it might be refused") \
	ROW(refused_hides, 0, 400, "what comes behind a refused document of its key counts as there")                  \
	ROW(count_raised_late, 0, 400,                                                                                 \
	    "document 0 counts the control documents when the cut is set, not when it is fenced")                      \
	ROW(count_lowered_early, 0, 400,                                                                               \
	    "document 0 counts the writers of now while surplus control documents are there")                          \
	ROW(fence_taken_twice, 0, 400, "whoever has the same number as the fence takes it for its own")                \
	ROW(surplus_fence_unread, 0, 400, "the fence of surplus control documents is raised whatever it is")           \
	ROW(surplus_deleted_late, 0, 400, "surplus control documents go after the first commit")                       \
	ROW(surplus_deleted_blindly, 0, 400, "surplus control documents are deleted whoever has them now")

#endif
