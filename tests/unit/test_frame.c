/* The codec: what is written is read back, byte for byte; whatever else comes in is an error and nothing worse; the bytes on
 * the wire are the golden ones, so that a change of the format is seen and WIRE_VERSION raised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <msgpack.h>

#include "tests/unit/frame_samples.h"

static void encode_sample(const struct frame_row *row, struct buffer *message)
{
	union frame_body body;
	struct frame_header header = sample_header;
	header.kind = row->kind;
	frame_sample(row, &body);
	frame_encode(message, &header, &body);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < frame_rows_len; i++) {
		struct buffer message = {0}, again = {0};
		struct arena arena = {0};
		struct frame frame;
		struct error error = {0};
		encode_sample(&frame_rows[i], &message);
		if (frame_decode(buffer_bytes(&message), &arena, &frame, NULL, &error) != RESULT_OK)
			fail_msg("%s: %s", frame_rows[i].name, error.text);
		assert_int_equal(frame.header.kind, frame_rows[i].kind);
		assert_int_equal(frame.header.attempt, 7);
		assert_int_equal(frame.header.sequence, 1207);
		assert_int_equal(frame.header.channel, 3);
		assert_int_equal(frame.header.job, 0xfeed);
		frame_encode(&again, &frame.header, &frame.body);
		assert_int_equal(again.len, message.len);
		assert_memory_equal(again.data, message.data, message.len);
		buffer_fini(&message);
		buffer_fini(&again);
		arena_fini(&arena);
	}
}

/* msgpack-c agrees that a body is one msgpack value and nothing behind it. */
static void test_bodies_are_msgpack(void **state)
{
	(void)state;
	for (size_t i = 0; i < frame_rows_len; i++) {
		struct buffer message = {0};
		msgpack_unpacked unpacked;
		size_t at = FRAME_HEADER_SIZE;
		encode_sample(&frame_rows[i], &message);
		msgpack_unpacked_init(&unpacked);
		assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)message.data, message.len, &at),
		    MSGPACK_UNPACK_SUCCESS);
		assert_int_equal(at, message.len);
		assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
		if (frame_rows[i].kind != FRAME_ROWS)
			assert_int_equal(unpacked.data.via.array.size, frame_rows[i].fields_len);
		msgpack_unpacked_destroy(&unpacked);
		buffer_fini(&message);
	}
}

static enum result decode_copy(const uint8_t *data, size_t len)
{
	/* An exact copy on the heap: the address sanitizer sees a read behind it. */
	uint8_t *copy = malloc(len ? len : 1);
	struct arena arena = {0};
	struct frame frame;
	struct error error;
	memcpy(copy, data, len);
	enum result result = frame_decode((struct bytes){copy, len}, &arena, &frame, NULL, &error);
	if (result == RESULT_OK) {
		struct buffer text = {0};
		frame_print(&frame, &text);
		buffer_fini(&text);
	}
	arena_fini(&arena);
	free(copy);
	return result;
}

static void test_truncated(void **state)
{
	(void)state;
	for (size_t i = 0; i < frame_rows_len; i++) {
		struct buffer message = {0};
		encode_sample(&frame_rows[i], &message);
		for (size_t len = 0; len < message.len; len++)
			assert_int_equal(decode_copy(message.data, len), RESULT_CORRUPT);
		buffer_append(&message, "x", 1);
		assert_int_equal(decode_copy(message.data, message.len), RESULT_CORRUPT);
		buffer_fini(&message);
	}
}

static void test_every_flipped_bit_is_seen(void **state)
{
	(void)state;
	for (size_t i = 0; i < frame_rows_len; i++) {
		struct buffer message = {0};
		encode_sample(&frame_rows[i], &message);
		for (size_t bit = 0; bit < message.len * 8; bit++) {
			message.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_not_equal(decode_copy(message.data, message.len), RESULT_OK);
			message.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		buffer_fini(&message);
	}
}

/* Bodies that are wrong behind a right checksum: total decoding, checked by the sanitizers. */
static void test_malformed_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < frame_rows_len; i++) {
		struct buffer message = {0};
		struct frame_header header = sample_header;
		encode_sample(&frame_rows[i], &message);
		header.kind = frame_rows[i].kind;
		for (size_t at = FRAME_HEADER_SIZE; at < message.len; at++) {
			uint8_t old = message.data[at];
			for (unsigned value = 0; value < 256; value++) {
				message.data[at] = (uint8_t)value;
				frame_header_write(message.data, message.len - FRAME_HEADER_SIZE, &header);
				(void)decode_copy(message.data, message.len);
			}
			message.data[at] = old;
		}
		for (size_t len = FRAME_HEADER_SIZE; len < message.len && frame_rows[i].kind != FRAME_ROWS; len++) {
			frame_header_write(message.data, len - FRAME_HEADER_SIZE, &header);
			assert_int_equal(decode_copy(message.data, len), RESULT_CORRUPT);
		}
		buffer_fini(&message);
	}
}

/* A few bytes that claim a huge list take no memory. */
static void test_claimed_counts(void **state)
{
	(void)state;
	static const uint8_t claims[][5] = {
	    {0xdd, 0x08, 0, 0, 0}, {0xdf, 0x08, 0, 0, 0}, {0xdb, 0xff, 0xff, 0xff, 0xff}};
	for (size_t i = 0; i < frame_rows_len; i++) {
		for (size_t claim = 0; claim < 3 && frame_rows[i].kind != FRAME_ROWS; claim++) {
			uint8_t body[6] = {(uint8_t)(0x90 | frame_rows[i].fields_len)};
			struct buffer message = {0};
			struct arena arena = {0};
			struct frame frame;
			struct error error;
			struct frame_header header = sample_header;
			header.kind = frame_rows[i].kind;
			memcpy(body + 1, claims[claim], 5);
			frame_encode_raw(&message, &header, (struct bytes){body, 6});
			assert_int_equal(
			    frame_decode(buffer_bytes(&message), &arena, &frame, NULL, &error), RESULT_CORRUPT);
			assert_true(arena.bytes < 1024);
			buffer_fini(&message);
			arena_fini(&arena);
		}
	}
}

static void test_other_wire_version(void **state)
{
	(void)state;
	struct buffer message = {0};
	encode_sample(&frame_rows[0], &message);
	message.data[4]++;
	assert_int_equal(decode_copy(message.data, message.len), RESULT_CONFIG);
	buffer_fini(&message);
}

static void test_several_frames_in_a_message(void **state)
{
	(void)state;
	struct buffer message = {0};
	struct arena arena = {0};
	struct bytes left;
	encode_sample(&frame_rows[0], &message);
	encode_sample(&frame_rows[6], &message);
	left = buffer_bytes(&message);
	for (int i = 0; i < 2; i++) {
		struct frame frame;
		struct error error;
		size_t used;
		assert_int_equal(frame_decode(left, &arena, &frame, &used, &error), RESULT_OK);
		assert_int_equal(frame.header.kind, frame_rows[i ? 6 : 0].kind);
		left.data += used;
		left.len -= used;
	}
	assert_int_equal(left.len, 0);
	buffer_fini(&message);
	arena_fini(&arena);
}

static void test_barrier_shows(void **state)
{
	(void)state;
	struct frame frame = {.header.kind = FRAME_BARRIER};
	struct buffer text = {0};
	frame.body.barrier = (struct frame_barrier){.epoch = {7, 42}, .cut = sample_cut};
	frame_print(&frame, &text);
	buffer_append(&text, "", 1);
	assert_string_equal((const char *)text.data,
	    "BARRIER epoch=7.42 base=0.0 checkpoint=no lift=no stop=no cut={\"0\": "
	    "12, \"3\": 0, \"70000\": 9223372036854775807} "
	    "marks=0 marks shares=0 actors sums=0 groups");
	buffer_fini(&text);
}

/* tests/vectors/frames.hex: a line for every kind. SLUICE_WRITE_GOLDEN=1 writes it anew. */
static void test_golden_bytes(void **state)
{
	(void)state;
	const char *path = SOURCE_DIR "/tests/vectors/frames.hex";
	struct buffer all = {0};
	for (size_t i = 0; i < frame_rows_len; i++) {
		struct buffer message = {0};
		encode_sample(&frame_rows[i], &message);
		buffer_printf(&all, "%s ", frame_rows[i].name);
		for (size_t at = 0; at < message.len; at++)
			buffer_printf(&all, "%02x", message.data[at]);
		buffer_append_text(&all, "\n");
		buffer_fini(&message);
	}
	const char *write = getenv("SLUICE_WRITE_GOLDEN");
	FILE *file = fopen(path, write ? "w" : "r");
	assert_non_null(file);
	if (write) {
		assert_int_equal(fwrite(all.data, 1, all.len, file), all.len);
	} else {
		char *golden = calloc(1, all.len + 2);
		assert_int_equal(fread(golden, 1, all.len + 1, file), all.len);
		assert_memory_equal(golden, all.data, all.len);
		free(golden);
	}
	(void)fclose(file);
	buffer_fini(&all);
}

/* " ingest, dedup to writer; coordinator to ingest": the receivers in turn, with all that may send to each. */
static void print_routes(enum frame_kind kind, struct buffer *out)
{
	const char *between = " ";
	for (enum frame_party to = PARTY_INGEST; to < PARTIES; to++) {
		size_t senders = 0;
		for (size_t i = 0; i < frame_routes_len; i++)
			if (frame_routes[i].kind == kind && frame_routes[i].to == to)
				buffer_printf(
				    out, "%s%s", senders++ ? ", " : between, frame_party_name(frame_routes[i].from));
		if (senders == 0)
			continue;
		buffer_printf(out, " to %s", frame_party_name(to));
		between = "; ";
	}
}

/* proto/README.md holds the table of frames that the rows give. */
static void test_documentation(void **state)
{
	(void)state;
	struct buffer table = {0};
	for (size_t i = 0; i < frame_rows_len; i++) {
		const struct frame_row *row = &frame_rows[i];
		buffer_printf(&table, "| %d | %s |", (int)row->kind, row->name);
		print_routes(row->kind, &table);
		buffer_printf(&table, " | %s |", row->what);
		for (size_t k = 0; k < row->fields_len; k++)
			buffer_printf(&table, "%s `%s` %s", k ? ";" : "", row->fields[k].name, row->fields[k].what);
		buffer_append_text(&table, " |\n");
	}
	buffer_append(&table, "", 1);
	if (getenv("SLUICE_PRINT_FRAMES") != NULL)
		(void)fputs((const char *)table.data, stdout);
	FILE *file = fopen(SOURCE_DIR "/proto/README.md", "r");
	assert_non_null(file);
	char *text = calloc(1, 1 << 20);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	(void)fclose(file);
	assert_non_null(strstr(text, (const char *)table.data));
	free(text);
	buffer_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_bodies_are_msgpack),
	    cmocka_unit_test(test_truncated),
	    cmocka_unit_test(test_every_flipped_bit_is_seen),
	    cmocka_unit_test(test_malformed_bodies),
	    cmocka_unit_test(test_claimed_counts),
	    cmocka_unit_test(test_other_wire_version),
	    cmocka_unit_test(test_several_frames_in_a_message),
	    cmocka_unit_test(test_barrier_shows),
	    cmocka_unit_test(test_golden_bytes),
	    cmocka_unit_test(test_documentation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
