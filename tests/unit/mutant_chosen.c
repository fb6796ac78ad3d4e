/* The one mutant of a program that is to fail: see unit_mutant in CMakeLists.txt. */
#include <string.h>

#include "common/base/mutant.h"

bool mutant_is_chosen(const char *name)
{
	return strcmp(name, CHOSEN_MUTANT) == 0;
}
