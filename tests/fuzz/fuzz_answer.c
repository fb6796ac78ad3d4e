/* What a database answers, where it is parsed: cuts, places, recorded meanings. The first byte says which. */
#include <stdlib.h>
#include <string.h>

#include "common/base/pipeline.h"
#include "services/sink/postgres_frontier.h"
#include "services/sink/postgres_places.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read is printed such that it reads back the same. */
static void read_cut(const char *text)
{
	struct cut cut = {0}, again = {0};
	struct buffer out = {0};
	if (cut_parse(text, &cut)) {
		cut_print(&cut, &out);
		buffer_append(&out, "", 1);
		CHECK(cut_parse((const char *)out.data, &again) && cut_equal(&cut, &again));
	}
	cut_fini(&cut);
	cut_fini(&again);
	buffer_fini(&out);
}

static void read_place(const char *text)
{
	static struct places places;
	struct way way = {0};
	char printed[PLACE_TEXT_MAX];
	places_learn(&places, 7, text, &way);
	size_t len = places_print(&places, 7, printed);
	CHECK(len == strlen(printed) &&
	      (strcmp(printed, PLACE_NOWHERE) == 0 || strtoul(text + 1, NULL, 10) <= UINT32_MAX));
}

static void read_meaning(const char *text)
{
	struct buffer words = {0};
	const char *half = strchr(text, '\1');
	enum meaning_change change = pipeline_meaning_compare(half ? half + 1 : "", text, &words);
	CHECK(pipeline_meaning_compare(text, text, &words) == MEANING_SAME);
	CHECK(change == MEANING_SAME || words.len > 0);
	buffer_fini(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char *text = memory_new(size);
	memcpy(text, data + 1, size - 1);
	if (data[0] % 3 == 0)
		read_cut(text);
	else if (data[0] % 3 == 1)
		read_place(text);
	else
		read_meaning(text);
	free(text);
	return 0;
}
