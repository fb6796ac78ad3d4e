/* Protects: whatever the key, the payload and the words of a dead letter are, its frame travels, and the letter says what was cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/letter.h"

enum { LARGE = 8 * 1024 * 1024 };

static uint8_t *large; /* so many bytes */

static struct bytes bytes_of(size_t len)
{
	return (struct bytes){large, len};
}

static struct letter letter_of(size_t key, size_t payload, const char *detail)
{
	return (struct letter){.partition = UINT32_MAX,
	    .offset = INT64_MAX,
	    .key = bytes_of(key),
	    .payload = bytes_of(payload),
	    .payload_raw = true,
	    .reason = {(const uint8_t *)"reason", 6},
	    .detail = {(const uint8_t *)detail, strlen(detail)}};
}

/* The frame of one letter as it stands; its size. */
static size_t encode(struct buffer *message, struct letter *letter)
{
	const struct frame_header header = {.kind = FRAME_DEAD_LETTERS};
	const struct frame_dead_letters body = {.letters = {letter, 1}};
	frame_encode(message, &header, &body);
	return message->len;
}

static void expect_travels(size_t key, size_t payload, const char *detail, const char *words)
{
	struct letter letter = letter_of(key, payload, detail);
	struct buffer message = {0};
	struct arena arena = {0};
	struct frame frame;
	struct error error;
	char room[LETTER_DETAIL_MAX];
	size_t key_due = key < LETTER_KEY_MAX ? key : LETTER_KEY_MAX;
	letter_cut(&letter, room);
	assert_int_equal(letter.key.len, key_due);
	assert_true(encode(&message, &letter) <= FRAME_MAX);
	assert_true(message.len - FRAME_HEADER_SIZE <= letter_size(&letter));
	if (frame_decode(buffer_bytes(&message), &arena, &frame, NULL, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	const struct letter *came = &frame.body.dead_letters.letters.entries[0];
	assert_int_equal(came->key.len, key_due);
	assert_int_equal(came->payload.len, payload < LETTER_PAYLOAD_MAX ? payload : LETTER_PAYLOAD_MAX);
	assert_true(bytes_equal(came->detail, (struct bytes){(const uint8_t *)words, strlen(words)}));
	arena_fini(&arena);
	buffer_fini(&message);
}

static void what_fits_stays(void **state)
{
	(void)state;
	expect_travels(0, 0, "no words", "no words");
	expect_travels(LETTER_KEY_MAX - 1, LETTER_PAYLOAD_MAX - 1, "w", "w");
	expect_travels(LETTER_KEY_MAX, LETTER_PAYLOAD_MAX, "w", "w");
	expect_travels(0, 0, "", "");
}

static void what_does_not_is_cut_and_said(void **state)
{
	(void)state;
	expect_travels(LETTER_KEY_MAX + 1, 3, "w", "w (key of 524289 bytes cut to 524288)");
	expect_travels(3, LETTER_PAYLOAD_MAX + 1, "w", "w (payload of 3145729 bytes cut to 3145728)");
	expect_travels(5000000, 8, "w", "w (key of 5000000 bytes cut to 524288)");
	expect_travels(
	    LARGE, LARGE, "w", "w (key of 8388608 bytes cut to 524288, payload of 8388608 bytes cut to 3145728)");
}

static void long_words_make_room(void **state)
{
	(void)state;
	char words[LETTER_DETAIL_MAX + 2], due[LETTER_DETAIL_MAX + 1];
	static const char added[] = " (key of 5000000 bytes cut to 524288)";
	memset(words, 'x', sizeof words);
	words[sizeof words - 1] = 0;
	memset(due, 'x', sizeof due);
	due[LETTER_DETAIL_MAX] = 0;
	expect_travels(1, 1, words, due);
	memcpy(due + LETTER_DETAIL_MAX - strlen(added), added, strlen(added));
	expect_travels(5000000, 1, words, due);
	/* A character of three bytes is not divided. */
	memset(words, 0, sizeof words);
	while (strlen(words) + 3 < sizeof words)
		memcpy(words + strlen(words), "\xe2\x82\xac", 3);
	memset(due, 0, sizeof due);
	while (strlen(due) + 3 <= LETTER_DETAIL_MAX)
		memcpy(due + strlen(due), "\xe2\x82\xac", 3);
	expect_travels(1, 1, words, due);
}

static void none_stays_none(void **state)
{
	(void)state;
	struct letter letter = letter_of(0, 0, "w");
	char room[LETTER_DETAIL_MAX];
	letter.key = letter.payload = (struct bytes){0};
	letter_cut(&letter, room);
	assert_null(letter.key.data);
	assert_null(letter.payload.data);
}

/* Records whose frame, if nothing were cut, would be as long as any may be, a byte less, and a byte more. */
static void around_the_longest_frame(void **state)
{
	(void)state;
	static const size_t keys[] = {0, 1, 255, 256, 65535, 65536, LETTER_KEY_MAX, 1100000, 2000000, 3500000};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct buffer message = {0};
		struct letter small = letter_of(keys[i], 70000, "w"); /* its length already takes five bytes */
		size_t rest = encode(&message, &small) - 70000;
		buffer_fini(&message);
		for (int step = -1; step <= 1; step++) {
			struct letter letter = letter_of(keys[i], (size_t)((int)(FRAME_MAX - rest) + step), "w");
			char room[LETTER_DETAIL_MAX];
			letter_cut(&letter, room);
			assert_true(encode(&message, &letter) <= FRAME_MAX);
			buffer_fini(&message);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_fits_stays),
	    cmocka_unit_test(what_does_not_is_cut_and_said),
	    cmocka_unit_test(long_words_make_room),
	    cmocka_unit_test(none_stays_none),
	    cmocka_unit_test(around_the_longest_frame),
	};
	large = memory_new(LARGE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
