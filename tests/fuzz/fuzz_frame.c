/* Any bytes as a message, and any bytes as the body of every kind: never more than an error; what is read can be shown and is
 * written back as the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(struct bytes message)
{
	struct arena arena = {0};
	struct frame frame;
	struct error error;
	struct buffer out = {0};
	if (frame_decode(message, &arena, &frame, NULL, &error) == RESULT_OK) {
		struct arena second = {0};
		struct frame again;
		frame_encode(&out, &frame.header, &frame.body);
		if (frame_decode(buffer_bytes(&out), &second, &again, NULL, &error) != RESULT_OK)
			abort();
		buffer_clear(&out);
		frame_print(&frame, &out);
		arena_fini(&second);
	}
	buffer_fini(&out);
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer message = {0};
	if (size == 0 || size > FRAME_MAX - FRAME_HEADER_SIZE)
		return 0;
	decode((struct bytes){data, size});
	struct frame_header header = {.kind = frame_rows[data[0] % frame_rows_len].kind};
	frame_encode_raw(&message, &header, (struct bytes){data + 1, size - 1});
	decode(buffer_bytes(&message));
	buffer_fini(&message);
	return 0;
}
