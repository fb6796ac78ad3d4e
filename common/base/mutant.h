/* common/base/mutant.h - switches a rule off, so that the simulation can show that it would notice.
 *
 * MUTANT(name) stands where a rule is kept and is false in every program but sim_mutants, which is compiled with
 * SLUICE_MUTANTS and chooses one. The list of names is tests/sim/mutants.h.
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
