/* tests/unit/test_row.c - protects the hot codec: what it writes is msgpack in its one smallest form, and what it reads
 * is exactly that and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "proto/row.h"

static const int64_t edges[] = {0, 1, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2147483647, 2147483648,
    4294967295, 4294967296, INT64_MAX - 1, INT64_MAX, -1, -31, -32, -33, -127, -128, -129, -32767, -32768, -32769,
    -2147483647, -INT64_C(2147483648), -INT64_C(2147483649), INT64_MIN + 1, INT64_MIN};
static const size_t text_edges[] = {0, 1, 31, 32, 33, 255, 256, 257, 65535, 65536, 65537};

enum { EDGES = sizeof edges / sizeof edges[0], TEXT_EDGES = sizeof text_edges / sizeof text_edges[0] };

static struct bytes text_of(size_t len)
{
	static uint8_t text[65537];

	memset(text, 'x', sizeof text);
	return (struct bytes){text, len};
}

static struct value integer(int64_t number)
{
	return (struct value){.kind = VALUE_INTEGER, .integer = number};
}

static struct value text(const char *words)
{
	return (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)words, strlen(words)}};
}

static void put_row(struct rows_writer *writer, uint32_t partition, int64_t offset, int64_t timestamp_ms,
    uint64_t content_hash, const struct value *values, uint32_t values_len)
{
	struct buffer encoded = {0};

	row_encode_values(&encoded, values, values_len);
	rows_put(writer, partition, offset, timestamp_ms, content_hash, values_len, buffer_bytes(&encoded));
	buffer_fini(&encoded);
}

static void assert_values_equal(const struct value *a, const struct value *b, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		assert_int_equal(a[i].kind, b[i].kind);
		if (a[i].kind == VALUE_INTEGER)
			assert_true(a[i].integer == b[i].integer);
		if (a[i].kind == VALUE_TEXT)
			assert_true(bytes_equal(a[i].text, b[i].text));
	}
}

/* RESULT_OK where the body is rows of values_len values, all of them. Looks at every text. */
static enum result read_all(struct bytes body, uint32_t values_len, uint32_t *count)
{
	static struct row row;
	struct rows_reader reader;
	struct error error = {0};
	bool more = true;
	uint32_t sum = 0;

	*count = 0;
	if (rows_open(&reader, body, values_len, &error) != RESULT_OK) {
		assert_true(error.text[0] != '\0');
		return error.code;
	}
	while (rows_next(&reader, &row, &more, &error) == RESULT_OK && more) {
		for (uint32_t i = 0; i < row.values_len; i++)
			for (size_t at = 0; row.values[i].kind == VALUE_TEXT && at < row.values[i].text.len; at++)
				sum += row.values[i].text.data[at];
		(*count)++;
	}
	assert_true(sum < UINT32_MAX);
	assert_int_equal(error.text[0] != '\0', error.code != RESULT_OK);
	return error.code;
}

/* From a block of exactly this size, so that a sanitizer sees any look behind it. */
static enum result read_exact(const uint8_t *data, size_t len, uint32_t values_len, uint32_t *count)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);
	enum result result;

	assert_non_null(exact);
	memcpy(exact, data, len);
	result = read_all((struct bytes){exact, len}, values_len, count);
	free(exact);
	return result;
}

/* ---- against msgpack-c ---- */

static void pack_value(msgpack_packer *packer, const struct value *value)
{
	switch (value->kind) {
	case VALUE_NULL:
		msgpack_pack_nil(packer);
		break;
	case VALUE_INTEGER:
		msgpack_pack_int64(packer, value->integer);
		break;
	case VALUE_TEXT:
		msgpack_pack_str_with_body(packer, value->text.data, value->text.len);
		break;
	}
}

static void pack_row(msgpack_packer *packer, uint32_t partition, int64_t offset, int64_t timestamp_ms,
    uint64_t content_hash, const struct value *values, uint32_t values_len)
{
	msgpack_pack_array(packer, ROW_FIXED + values_len);
	msgpack_pack_uint32(packer, partition);
	msgpack_pack_int64(packer, offset);
	msgpack_pack_int64(packer, timestamp_ms);
	msgpack_pack_uint64(packer, content_hash);
	for (uint32_t i = 0; i < values_len; i++)
		pack_value(packer, &values[i]);
}

/* Every edge of numbers and texts, byte for byte what msgpack-c writes. */
static void test_values_are_canonical(void **state)
{
	(void)state;
	for (size_t i = 0; i < EDGES + TEXT_EDGES + 1; i++) {
		struct value value = {.kind = VALUE_NULL};
		struct buffer ours = {0};
		msgpack_sbuffer theirs;
		msgpack_packer packer;

		if (i < EDGES)
			value = integer(edges[i]);
		else if (i < EDGES + TEXT_EDGES)
			value = (struct value){.kind = VALUE_TEXT, .text = text_of(text_edges[i - EDGES])};
		row_encode_values(&ours, &value, 1);
		msgpack_sbuffer_init(&theirs);
		msgpack_packer_init(&packer, &theirs, msgpack_sbuffer_write);
		pack_value(&packer, &value);
		assert_int_equal(ours.len, theirs.size);
		assert_memory_equal(ours.data, theirs.data, ours.len);
		msgpack_sbuffer_destroy(&theirs);
		buffer_fini(&ours);
	}
}

static void test_reads_what_msgpack_c_packs(void **state)
{
	static struct row row;
	struct value values[ROW_VALUES_MAX];
	static const uint32_t lens[] = {0, 1, 11, 12, 63, 64}; /* the array head grows behind 11 */

	(void)state;
	for (size_t n = 0; n < sizeof lens / sizeof lens[0]; n++) {
		struct rows_reader reader;
		msgpack_sbuffer theirs;
		msgpack_packer packer;
		bool more;

		msgpack_sbuffer_init(&theirs);
		msgpack_packer_init(&packer, &theirs, msgpack_sbuffer_write);
		msgpack_pack_array(&packer, EDGES);
		for (uint32_t i = 0; i < lens[n]; i++)
			values[i] = i < EDGES ? integer(edges[i])
			            : i % 2   ? (struct value){.kind = VALUE_TEXT, .text = text_of((size_t)i * 9)}
			                      : (struct value){.kind = VALUE_NULL};
		for (size_t i = 0; i < EDGES; i++)
			pack_row(
			    &packer, (uint32_t)i, edges[i] & INT64_MAX, edges[i], (uint64_t)edges[i], values, lens[n]);
		assert_int_equal(
		    rows_open(&reader, (struct bytes){(uint8_t *)theirs.data, theirs.size}, lens[n], NULL), RESULT_OK);
		for (size_t i = 0; i < EDGES; i++) {
			assert_int_equal(rows_next(&reader, &row, &more, NULL), RESULT_OK);
			assert_true(more);
			assert_int_equal(row.partition, i);
			assert_true(row.offset == (edges[i] & INT64_MAX));
			assert_true(row.timestamp_ms == edges[i]);
			assert_true(row.content_hash == (uint64_t)edges[i]);
			assert_int_equal(row.values_len, lens[n]);
			assert_values_equal(row.values, values, lens[n]);
		}
		assert_int_equal(rows_next(&reader, &row, &more, NULL), RESULT_OK);
		assert_false(more);
		msgpack_sbuffer_destroy(&theirs);
	}
}

static int64_t number_of(const msgpack_object *object)
{
	assert_true(object->type == MSGPACK_OBJECT_POSITIVE_INTEGER || object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER);
	return object->via.i64;
}

static void assert_object_is(const msgpack_object *object, const struct value *value)
{
	switch (value->kind) {
	case VALUE_NULL:
		assert_int_equal(object->type, MSGPACK_OBJECT_NIL);
		break;
	case VALUE_INTEGER:
		assert_true(number_of(object) == value->integer);
		break;
	case VALUE_TEXT:
		assert_int_equal(object->type, MSGPACK_OBJECT_STR);
		assert_true(bytes_equal(
		    (struct bytes){(const uint8_t *)object->via.str.ptr, object->via.str.size}, value->text));
		break;
	}
}

static void test_msgpack_c_reads_what_is_written(void **state)
{
	struct rows_writer writer = {0};
	struct value values[EDGES + TEXT_EDGES + 1] = {{.kind = VALUE_NULL}};
	uint32_t len = EDGES + TEXT_EDGES + 1;
	msgpack_unpacked unpacked;
	size_t offset = 0;

	(void)state;
	for (size_t i = 0; i < EDGES; i++)
		values[1 + i] = integer(edges[i]);
	for (size_t i = 0; i < TEXT_EDGES; i++)
		values[1 + EDGES + i] = (struct value){.kind = VALUE_TEXT, .text = text_of(text_edges[i])};
	rows_begin(&writer);
	put_row(&writer, UINT32_MAX, INT64_MAX, -1, UINT64_MAX, values, len);
	put_row(&writer, 0, 0, 0, 0, values, len);
	rows_end(&writer);

	msgpack_unpacked_init(&unpacked);
	assert_int_equal(
	    msgpack_unpack_next(&unpacked, (char *)writer.body.data, writer.body.len, &offset), MSGPACK_UNPACK_SUCCESS);
	assert_int_equal(offset, writer.body.len);
	assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
	assert_int_equal(unpacked.data.via.array.size, 2);
	for (int i = 0; i < 2; i++) {
		const msgpack_object *row = &unpacked.data.via.array.ptr[i];

		assert_int_equal(row->via.array.size, ROW_FIXED + len);
		assert_true(number_of(&row->via.array.ptr[0]) == (i == 0 ? UINT32_MAX : 0));
		assert_true(number_of(&row->via.array.ptr[1]) == (i == 0 ? INT64_MAX : 0));
		assert_true(number_of(&row->via.array.ptr[2]) == (i == 0 ? -1 : 0));
		assert_true(row->via.array.ptr[3].via.u64 == (i == 0 ? UINT64_MAX : 0));
		for (uint32_t v = 0; v < len; v++)
			assert_object_is(&row->via.array.ptr[ROW_FIXED + v], &values[v]);
	}
	msgpack_unpacked_destroy(&unpacked);
	buffer_fini(&writer.body);
}

/* ---- by itself ---- */

static void sample_write(struct rows_writer *writer)
{
	struct value values[3] = {text("t-1"), integer(162753), {.kind = VALUE_NULL}};

	rows_begin(writer);
	put_row(writer, 3, 70000, INT64_C(1705312800000), UINT64_C(0xfedcba9876543210), values, 3);
	values[0] = (struct value){.kind = VALUE_TEXT, .text = text_of(40)};
	values[1] = integer(-200);
	values[2] = text("");
	put_row(writer, 0, 5, -1, 1, values, 3);
	values[0] = (struct value){.kind = VALUE_TEXT, .text = text_of(300)};
	values[1] = integer(INT64_MIN);
	put_row(writer, 200, 300, -70000, 70000, values, 3);
	rows_end(writer);
}

/* These bytes are on the wire and under hashes: they must not change. */
static void test_bytes(void **state)
{
	static const uint8_t expected[] = {0xdd, 0, 0, 0, 1, 0x97, 0x03, 0xcd, 0x01, 0x00, 0xff, 0xcc, 0x80, 0xa3, 't',
	    '-', '1', 0xd1, 0xff, 0x38, 0xc0};
	struct value values[3] = {text("t-1"), integer(-200), {.kind = VALUE_NULL}};
	struct rows_writer writer = {0};

	(void)state;
	rows_begin(&writer);
	put_row(&writer, 3, 256, -1, 128, values, 3);
	rows_end(&writer);
	assert_int_equal(writer.body.len, sizeof expected);
	assert_memory_equal(writer.body.data, expected, sizeof expected);
	buffer_fini(&writer.body);
}

static void test_no_rows(void **state)
{
	struct rows_writer writer = {0};
	uint32_t count;

	(void)state;
	rows_begin(&writer);
	rows_end(&writer);
	assert_int_equal(read_all(buffer_bytes(&writer.body), 12, &count), RESULT_OK);
	assert_int_equal(count, 0);
	buffer_fini(&writer.body);
}

/* A writer begins anew, and a row goes on as the bytes it came in. */
static void test_rows_go_on_unchanged(void **state)
{
	struct rows_writer from = {0}, to = {0};
	static struct row row;
	struct rows_reader reader;
	bool more;

	(void)state;
	for (int round = 0; round < 2; round++) {
		sample_write(&from);
		rows_begin(&to);
		assert_int_equal(rows_open(&reader, buffer_bytes(&from.body), 3, NULL), RESULT_OK);
		while (rows_next(&reader, &row, &more, NULL) == RESULT_OK && more)
			rows_put_encoded(&to, row.encoded);
		rows_end(&to);
		assert_int_equal(to.count, 3);
		assert_true(bytes_equal(buffer_bytes(&from.body), buffer_bytes(&to.body)));
	}
	buffer_fini(&from.body);
	buffer_fini(&to.body);
}

/* row_encode_values appends: what stood in the buffer stays. */
static void test_values_are_appended(void **state)
{
	struct buffer out = {0};
	struct value value = integer(7);

	(void)state;
	row_encode_values(&out, &value, 1);
	row_encode_values(&out, &value, 1);
	row_encode_values(&out, &value, 0);
	assert_int_equal(out.len, 2);
	assert_memory_equal(out.data, "\x07\x07", 2);
	buffer_fini(&out);
}

/* ---- what is not exactly this ---- */

static void test_truncated_anywhere(void **state)
{
	struct rows_writer writer = {0};
	uint32_t count;

	(void)state;
	sample_write(&writer);
	assert_int_equal(read_exact(writer.body.data, writer.body.len, 3, &count), RESULT_OK);
	assert_int_equal(count, 3);
	for (size_t len = 0; len < writer.body.len; len++)
		assert_int_equal(read_exact(writer.body.data, len, 3, &count), RESULT_CORRUPT);
	buffer_append(&writer.body, "\xc0", 1);
	assert_int_equal(read_exact(writer.body.data, writer.body.len, 3, &count), RESULT_CORRUPT);
	buffer_fini(&writer.body);
}

/* Every byte as every other value: refused, or rows that are written back as just these bytes. */
static void test_every_mutation(void **state)
{
	struct rows_writer writer = {0}, again = {0};
	static struct row row;

	(void)state;
	sample_write(&writer);
	for (size_t at = 0; at < writer.body.len; at++) {
		uint8_t original = writer.body.data[at];

		for (int change = 1; change < 256; change++) {
			struct rows_reader reader;
			uint32_t count;
			bool more;

			writer.body.data[at] = (uint8_t)(original ^ change);
			if (read_exact(writer.body.data, writer.body.len, 3, &count) != RESULT_OK)
				continue;
			rows_begin(&again);
			assert_int_equal(rows_open(&reader, buffer_bytes(&writer.body), 3, NULL), RESULT_OK);
			while (rows_next(&reader, &row, &more, NULL) == RESULT_OK && more)
				put_row(&again, row.partition, row.offset, row.timestamp_ms, row.content_hash,
				    row.values, row.values_len);
			rows_end(&again);
			assert_true(bytes_equal(buffer_bytes(&writer.body), buffer_bytes(&again.body)));
		}
		writer.body.data[at] = original;
	}
	buffer_fini(&writer.body);
	buffer_fini(&again.body);
}

struct malformed {
	const char *what;
	uint8_t bytes[24];
	size_t len;
};

/* One row of one value, where not said otherwise: 91 95 partition offset timestamp hash value. */
static void test_malformed(void **state)
{
	static const struct malformed cases[] = {
	    {"no array", {0x01}, 1},
	    {"a map", {0x81, 0x01, 0x01}, 3},
	    {"nil", {0xc0}, 1},
	    {"bytes behind no rows", {0x90, 0xc0}, 2},
	    {"more rows than bytes", {0xdd, 0xff, 0xff, 0xff, 0xff, 0x95, 0, 0, 0, 0, 0}, 11},
	    {"one row announced twice", {0x92, 0x95, 0, 0, 0, 0, 0}, 7},
	    {"two rows announced once", {0x91, 0x95, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0}, 13},
	    {"a row of one value too few", {0x91, 0x94, 0, 0, 0, 0, 0}, 7},
	    {"a row of one value too many", {0x91, 0x96, 0, 0, 0, 0, 0, 0}, 8},
	    {"a row with a wide head", {0x91, 0xdc, 0, 5, 0, 0, 0, 0, 0}, 9},
	    {"a row with a wider head", {0x91, 0xdd, 0, 0, 0, 5, 0, 0, 0, 0, 0}, 11},
	    {"partition below zero", {0x91, 0x95, 0xff, 0, 0, 0, 0}, 7},
	    {"partition of 33 bits", {0x91, 0x95, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 15},
	    {"partition nil", {0x91, 0x95, 0xc0, 0, 0, 0, 0}, 7},
	    {"offset below zero", {0x91, 0x95, 0, 0xff, 0, 0, 0}, 7},
	    {"offset of 64 bits", {0x91, 0x95, 0, 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 15},
	    {"offset a text", {0x91, 0x95, 0, 0xa0, 0, 0, 0}, 7},
	    {"timestamp a float", {0x91, 0x95, 0, 0, 0xca, 0, 0, 0, 0, 0, 0}, 11},
	    {"hash below zero", {0x91, 0x95, 0, 0, 0, 0xff, 0}, 7},
	    {"value true", {0x91, 0x95, 0, 0, 0, 0, 0xc3}, 7},
	    {"value never used", {0x91, 0x95, 0, 0, 0, 0, 0xc1}, 7},
	    {"value an array", {0x91, 0x95, 0, 0, 0, 0, 0x90}, 7},
	    {"value a map", {0x91, 0x95, 0, 0, 0, 0, 0x80}, 7},
	    {"value bin", {0x91, 0x95, 0, 0, 0, 0, 0xc4, 0}, 8},
	    {"value ext", {0x91, 0x95, 0, 0, 0, 0, 0xd4, 0, 0}, 9},
	    {"value a float", {0x91, 0x95, 0, 0, 0, 0, 0xca, 0, 0, 0, 0}, 11},
	    {"value a double", {0x91, 0x95, 0, 0, 0, 0, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0}, 15},
	    {"value of 64 bits", {0x91, 0x95, 0, 0, 0, 0, 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0}, 15},
	    {"127 in two bytes", {0x91, 0x95, 0, 0, 0, 0, 0xcc, 0x7f}, 8},
	    {"255 in three bytes", {0x91, 0x95, 0, 0, 0, 0, 0xcd, 0, 0xff}, 9},
	    {"65535 in five bytes", {0x91, 0x95, 0, 0, 0, 0, 0xce, 0, 0, 0xff, 0xff}, 11},
	    {"32 bits in nine bytes", {0x91, 0x95, 0, 0, 0, 0, 0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 15},
	    {"128 as a signed number", {0x91, 0x95, 0, 0, 0, 0, 0xd1, 0, 0x80}, 9},
	    {"1 as a signed number", {0x91, 0x95, 0, 0, 0, 0, 0xd0, 1}, 8},
	    {"-32 in two bytes", {0x91, 0x95, 0, 0, 0, 0, 0xd0, 0xe0}, 8},
	    {"-128 in three bytes", {0x91, 0x95, 0, 0, 0, 0, 0xd1, 0xff, 0x80}, 9},
	    {"-32768 in five bytes", {0x91, 0x95, 0, 0, 0, 0, 0xd2, 0xff, 0xff, 0x80, 0}, 11},
	    {"-2^31 in nine bytes", {0x91, 0x95, 0, 0, 0, 0, 0xd3, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0}, 15},
	    {"a short text with a wide head", {0x91, 0x95, 0, 0, 0, 0, 0xd9, 1, 'x'}, 9},
	    {"a text longer than the body", {0x91, 0x95, 0, 0, 0, 0, 0xa2, 'x'}, 8},
	    {"a text of 4 GiB", {0x91, 0x95, 0, 0, 0, 0, 0xdb, 0xff, 0xff, 0xff, 0xff, 'x'}, 12},
	    {"bytes behind the row", {0x91, 0x95, 0, 0, 0, 0, 0, 0}, 8},
	};
	static const uint8_t well[] = {0x91, 0x95, 0, 0, 0, 0, 0};
	uint32_t count;

	(void)state;
	assert_int_equal(read_exact(well, sizeof well, 1, &count), RESULT_OK);
	assert_int_equal(read_exact(well, sizeof well, 0, &count), RESULT_CORRUPT);
	assert_int_equal(read_exact(well, sizeof well, 2, &count), RESULT_CORRUPT);
	assert_int_equal(read_all((struct bytes){NULL, 0}, 1, &count), RESULT_CORRUPT);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (read_exact(cases[i].bytes, cases[i].len, 1, &count) != RESULT_CORRUPT)
			fail_msg("accepted: %s", cases[i].what);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values_are_canonical),
	    cmocka_unit_test(test_reads_what_msgpack_c_packs),
	    cmocka_unit_test(test_msgpack_c_reads_what_is_written),
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_no_rows),
	    cmocka_unit_test(test_rows_go_on_unchanged),
	    cmocka_unit_test(test_values_are_appended),
	    cmocka_unit_test(test_truncated_anywhere),
	    cmocka_unit_test(test_every_mutation),
	    cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
