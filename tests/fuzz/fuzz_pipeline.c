/* Pipeline files of any bytes: no crash, no leak; and what is accepted is printed such that it reads back the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/base/pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Files and environment of the machine would make runs differ. */
	if (memmem(data, size, "${", 2) != NULL && memmem(data, size, "${{", 3) == NULL)
		return 0;
	if (memmem(data, size, "file:", 5) != NULL)
		return 0;

	struct pipeline pipeline, again;
	struct error error = {0};
	if (pipeline_parse(&pipeline, "fuzz", (struct bytes){data, size}, &error) != RESULT_OK) {
		CHECK(error.code == RESULT_CONFIG && error.text[0] != '\0');
		return 0;
	}
	struct buffer first = {0}, second = {0};
	pipeline_print(&pipeline, &first);
	if (pipeline_parse(&again, "again", buffer_bytes(&first), &error) != RESULT_OK)
		panic("%s in %.*s", error.text, (int)first.len, (const char *)first.data);
	pipeline_print(&again, &second);
	CHECK(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
	CHECK(strcmp(pipeline.fingerprint, again.fingerprint) == 0);
	pipeline_fini(&pipeline);
	pipeline_fini(&again);
	buffer_fini(&first);
	buffer_fini(&second);
	return 0;
}
