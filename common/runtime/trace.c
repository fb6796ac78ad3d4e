#include "common/runtime/trace.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "proto/frame.h"

bool trace_wanted(void)
{
	const char *value = getenv("SLUICE_TRACE");
	return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

void trace_frame(const char *from, const char *to, struct bytes message)
{
	struct arena arena = {0};
	struct frame frame;
	struct error error;
	struct buffer text = {0};
	if (frame_decode(message, &arena, &frame, NULL, &error) == RESULT_OK) {
		buffer_printf(&text, "#%llu ", (unsigned long long)frame.header.sequence);
		frame_print(&frame, &text);
	} else {
		buffer_printf(&text, "(%zu bytes) %s", message.len, error.text);
	}
	buffer_append(&text, "", 1);
	log_info("%s -> %s %s", from, to, (const char *)text.data);
	buffer_fini(&text);
	arena_fini(&arena);
}
