/* common/base/mutant.h - switches a rule off, so that a test can show that it would notice.
 *
 * MUTANT(name) stands where a rule is kept. It is false in every program but those that are compiled with SLUICE_MUTANTS: sim_mutants
 * chooses one of the list in tests/sim/mutants.h, and each mutant_NAME of the target `mutants` has the one of its name.
 */
#ifndef BASE_MUTANT_H
#define BASE_MUTANT_H

#ifdef SLUICE_MUTANTS
#include <stdbool.h>
bool mutant_is_chosen(const char *name);
#define MUTANT(name) mutant_is_chosen(#name)
#else
#define MUTANT(name) 0
#endif

#endif
