#include "tests/sim/shrink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Those of a stretch that are not omitted already. */
static bool leave_out(const struct omitted *from, struct omitted *to, uint64_t first, uint64_t len)
{
	bool any = false;
	*to = *from;
	for (uint64_t i = first; i < first + len && i < from->faults; i++) {
		any |= !from->is[i];
		to->is[i] = true;
	}
	return any;
}

/* Halves, quarters, and so on down to single faults; single ones until none can go any more. */
uint64_t shrink(struct omitted *omitted, shrink_walk fails, void *context)
{
	struct omitted *tried = malloc(sizeof *tried);
	uint64_t left = 0;
	for (uint64_t len = omitted->faults; len > 0;) {
		bool shorter = false;
		for (uint64_t first = 0; first < omitted->faults; first += len) {
			if (!leave_out(omitted, tried, first, len) || !fails(context, tried))
				continue;
			memcpy(omitted->is, tried->is, sizeof omitted->is);
			shorter = true;
		}
		if (len > 1 || !shorter)
			len /= 2;
	}
	for (uint64_t i = 0; i < omitted->faults; i++)
		left += !omitted->is[i];
	free(tried);
	return left;
}

void omitted_print(const struct omitted *omitted, char *text, uint64_t size)
{
	uint64_t len = 0;
	text[0] = '\0';
	for (uint64_t i = 0; i < omitted->faults && len + 24 < size; i++)
		if (!omitted->is[i])
			len += (uint64_t)snprintf(text + len, size - len, "%s%" PRIu64, len ? "," : "", i);
	if (len == 0)
		(void)snprintf(text, size, "none");
}

bool omitted_parse(struct omitted *omitted, const char *text)
{
	*omitted = (struct omitted){.faults = SHRINK_FAULTS_MAX};
	memset(omitted->is, true, sizeof omitted->is);
	if (text == NULL || strcmp(text, "none") == 0)
		return text != NULL;
	for (;;) {
		char *end;
		unsigned long long number = strtoull(text, &end, 10);
		if (end == text || *text < '0' || *text > '9' || number >= SHRINK_FAULTS_MAX ||
		    (*end != '\0' && *end != ','))
			return false;
		omitted->is[number] = false;
		if (*end == '\0')
			return true;
		text = end + 1;
	}
}
