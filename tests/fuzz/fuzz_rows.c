/* Any bytes as what PostgreSQL sends for a binary COPY, in pieces: rows or a broken stream, and every column as every type. */
#include "services/sluicectl/audit_binary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct binary_reader reader = {0};
	struct bytes columns[4];
	size_t columns_len = size ? 1 + data[0] % 4 : 1, at = size ? 1 : 0;
	enum binary_step step = BINARY_MORE;
	while (step == BINARY_MORE && at < size) {
		size_t len = size - at < 97 ? size - at : 97;
		binary_feed(&reader, (struct bytes){data + at, len});
		at += len;
		while ((step = binary_next(&reader, columns, columns_len)) == BINARY_ROW) {
			for (size_t i = 0; i < columns_len; i++) {
				audit_sum units;
				int64_t us;
				if (columns[i].data == NULL)
					continue;
				(void)binary_integer(columns[i]);
				(void)binary_flag(columns[i]);
				(void)binary_day(columns[i]);
				(void)binary_time(columns[i], &us);
				(void)binary_numeric(columns[i], 2, &units);
			}
		}
	}
	binary_fini(&reader);
	return 0;
}
