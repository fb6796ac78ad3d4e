/* tests/sim/mutants.h - the rules that the simulation must miss when they are gone. A row a rule.
 *
 * Each stands at one place as MUTANT(name), see common/base/mutant.h: in the real code where the rule is kept, or in the
 * simulated database where the rule is the database's.
 */
#ifndef SIM_MUTANTS_H
#define SIM_MUTANTS_H

#define MUTANTS(ROW)                                                                                                   \
	ROW(no_alignment, "an actor reads on behind a barrier")                                                        \
	ROW(no_fence, "the database does not check the fence")                                                         \
	ROW(no_predecessor, "the database checks the fence, but not the epoch before")                                 \
	ROW(no_silence, "the writer commits replayed epochs")                                                          \
	ROW(silence_too_long, "the writer discards one epoch behind the frontier")                                     \
	ROW(no_ceiling, "an ingest at the frontier reads on before all are there")                                     \
	ROW(no_decisions, "decisions are not handed back")                                                             \
	ROW(all_repeats_local, "verdicts between partitions are not recorded")                                         \
	ROW(sum_counters, "counters are added on the way, not united")                                                 \
	ROW(attempt_not_monotone, "every attempt has the same number")                                                 \
	ROW(verdict_forgotten, "a verdict obeyed is not written again")                                                \
	ROW(start_moves, "the start is resolved again at every attempt")                                               \
	ROW(silent_not_acked, "silent epochs are not acknowledged")                                                    \
	ROW(sequence_unchecked, "a gap in a channel's sequence is not noticed")                                        \
	ROW(stale_attempt_accepted, "a frame of an older attempt is not dropped")                                      \
	ROW(unknown_commit_is_failure, "a commit without an answer is sent again without a look")                      \
	ROW(credit_not_reset, "the epoch credit is not given back at a barrier")

#endif
