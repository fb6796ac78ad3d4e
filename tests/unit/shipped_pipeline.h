/* tests/unit/shipped_pipeline.h - the pipeline file that is shipped, for tests, fuzzing and benchmarks of one part. */
#ifndef SHIPPED_PIPELINE_H
#define SHIPPED_PIPELINE_H

#include "common/base/pipeline.h"

enum { SHIPPED_FIELDS = 12 };

/* The caller's to pipeline_fini. */
static inline void shipped_pipeline(struct pipeline *pipeline)
{
	struct error error = {0};

	if (pipeline_load(pipeline, SOURCE_DIR "/compose/pipeline.yaml", &error) != RESULT_OK)
		panic("%s", error.text);
	CHECK(pipeline->record.fields_len == SHIPPED_FIELDS);
}

#endif
