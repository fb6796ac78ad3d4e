/* Money is read exactly, rounded once, and never leaves its column unnoticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/decimal.h"
#include "tests/unit/paper.h"

struct vector {
	const char *text;
	int precision, scale;
	enum decimal_verdict verdict;
	int64_t minor;
};

static const struct vector vectors[] = {
    /* what the real producer sends */
    {"1627.5299999999997", 10, 2, DECIMAL_OK, 162753},
    {"542.51", 10, 2, DECIMAL_OK, 54251},
    {"0", 10, 2, DECIMAL_OK, 0},
    {"7", 10, 2, DECIMAL_OK, 700},
    {"-19.99", 10, 2, DECIMAL_OK, -1999},
    /* half away from zero, once */
    {"0.005", 10, 2, DECIMAL_OK, 1},
    {"-0.005", 10, 2, DECIMAL_OK, -1},
    {"0.0049999999999999999999", 10, 2, DECIMAL_OK, 0},
    {"0.0050000000000000000001", 10, 2, DECIMAL_OK, 1},
    {"0.014999", 10, 2, DECIMAL_OK, 1},
    {"1.005", 10, 2, DECIMAL_OK, 101},
    {"2.675", 10, 2, DECIMAL_OK, 268},
    {"0.995", 10, 2, DECIMAL_OK, 100},
    {"0.05", 10, 0, DECIMAL_OK, 0},
    {"0.5", 10, 0, DECIMAL_OK, 1},
    {"-0.5", 10, 0, DECIMAL_OK, -1},
    {"0.45", 10, 0, DECIMAL_OK, 0},
    {"9.5", 10, 0, DECIMAL_OK, 10},
    {"-0", 10, 2, DECIMAL_OK, 0},
    {"-0.001", 10, 2, DECIMAL_OK, 0},
    /* the edge of the column, after rounding */
    {"99999999.994", 10, 2, DECIMAL_OK, 9999999999},
    {"99999999.99", 10, 2, DECIMAL_OK, 9999999999},
    {"99999999.995", 10, 2, DECIMAL_RANGE, 0},
    {"-99999999.995", 10, 2, DECIMAL_RANGE, 0},
    {"-99999999.994999", 10, 2, DECIMAL_OK, -9999999999},
    {"100000000", 10, 2, DECIMAL_RANGE, 0},
    {"9.4", 1, 0, DECIMAL_OK, 9},
    {"9.5", 1, 0, DECIMAL_RANGE, 0},
    {"0.94", 1, 1, DECIMAL_OK, 9},
    {"0.95", 1, 1, DECIMAL_RANGE, 0},
    {"1", 1, 1, DECIMAL_RANGE, 0},
    {"999999999999999999", 18, 0, DECIMAL_OK, 999999999999999999},
    {"999999999999999999.4999", 18, 0, DECIMAL_OK, 999999999999999999},
    {"999999999999999999.5", 18, 0, DECIMAL_RANGE, 0},
    {"-999999999999999999", 18, 0, DECIMAL_OK, -999999999999999999},
    {"1000000000000000000", 18, 0, DECIMAL_RANGE, 0},
    {"0.999999999999999999", 18, 18, DECIMAL_OK, 999999999999999999},
    {"0.9999999999999999995", 18, 18, DECIMAL_RANGE, 0},
    /* more digits than any integer has */
    {"123456789012345678901234567890", 18, 2, DECIMAL_RANGE, 0},
    {"0.123456789012345678901234567890", 18, 18, DECIMAL_OK, 123456789012345679},
    {"1.234567890123456789012345678901", 10, 2, DECIMAL_OK, 123},
    {"123456789012345678901234567890e-25", 10, 2, DECIMAL_OK, 1234568},
    {"18446744073709551617", 18, 0, DECIMAL_RANGE, 0},
    /* exponents */
    {"1E2", 10, 2, DECIMAL_OK, 10000},
    {"1e2", 10, 2, DECIMAL_OK, 10000},
    {"1e+2", 10, 2, DECIMAL_OK, 10000},
    {"1.5E-1", 10, 2, DECIMAL_OK, 15},
    {"5e-3", 10, 2, DECIMAL_OK, 1},
    {"49e-4", 10, 2, DECIMAL_OK, 0},
    {"50e-4", 10, 2, DECIMAL_OK, 1},
    {"5e-4", 10, 2, DECIMAL_OK, 0},
    {"1.6275299999999997e3", 10, 2, DECIMAL_OK, 162753},
    {"0.0000000000000000000000001e27", 10, 2, DECIMAL_OK, 10000},
    {"1e007", 10, 2, DECIMAL_OK, 1000000000},
    {"1e7", 10, 2, DECIMAL_OK, 1000000000},
    {"1e8", 10, 2, DECIMAL_RANGE, 0},
    {"1e400", 10, 2, DECIMAL_RANGE, 0},
    {"-1e400", 10, 2, DECIMAL_RANGE, 0},
    {"1e-400", 10, 2, DECIMAL_OK, 0},
    {"1e99999999999", 10, 2, DECIMAL_RANGE, 0},
    {"1e-99999999999", 10, 2, DECIMAL_OK, 0},
    {"1e99999999999999999999999999999999999999", 10, 2, DECIMAL_RANGE, 0},
    {"9e-99999999999999999999999999999999999999", 10, 2, DECIMAL_OK, 0},
    {"1e9223372036854775807", 10, 2, DECIMAL_RANGE, 0},
    {"1e-9223372036854775808", 10, 2, DECIMAL_OK, 0},
    {"1e18446744073709551618", 10, 2, DECIMAL_RANGE, 0}, /* 2 where it wraps at 64 bits */
    {"1e-18446744073709551614", 10, 2, DECIMAL_OK, 0},
    {"0e99999999999999999999", 10, 2, DECIMAL_OK, 0},
    {"0.000e5", 10, 2, DECIMAL_OK, 0},
    /* not numbers */
    {"", 10, 2, DECIMAL_SYNTAX, 0},
    {"-", 10, 2, DECIMAL_SYNTAX, 0},
    {"01.5", 10, 2, DECIMAL_SYNTAX, 0},
    {"-01", 10, 2, DECIMAL_SYNTAX, 0},
    {"00", 10, 2, DECIMAL_SYNTAX, 0},
    {"+1", 10, 2, DECIMAL_SYNTAX, 0},
    {"--1", 10, 2, DECIMAL_SYNTAX, 0},
    {".5", 10, 2, DECIMAL_SYNTAX, 0},
    {"1.", 10, 2, DECIMAL_SYNTAX, 0},
    {"1.e5", 10, 2, DECIMAL_SYNTAX, 0},
    {"1.5.2", 10, 2, DECIMAL_SYNTAX, 0},
    {"1,5", 10, 2, DECIMAL_SYNTAX, 0},
    {"1e", 10, 2, DECIMAL_SYNTAX, 0},
    {"1e+", 10, 2, DECIMAL_SYNTAX, 0},
    {"1e-", 10, 2, DECIMAL_SYNTAX, 0},
    {"1e+-5", 10, 2, DECIMAL_SYNTAX, 0},
    {"1e5.0", 10, 2, DECIMAL_SYNTAX, 0},
    {"1e400x", 10, 2, DECIMAL_SYNTAX, 0},
    {" 1", 10, 2, DECIMAL_SYNTAX, 0},
    {"1 ", 10, 2, DECIMAL_SYNTAX, 0},
    {"1\n", 10, 2, DECIMAL_SYNTAX, 0},
    {"NaN", 10, 2, DECIMAL_SYNTAX, 0},
    {"Infinity", 10, 2, DECIMAL_SYNTAX, 0},
    {"-inf", 10, 2, DECIMAL_SYNTAX, 0},
    {"0x10", 10, 2, DECIMAL_SYNTAX, 0},
    {"1_000", 10, 2, DECIMAL_SYNTAX, 0},
    {"12a", 10, 2, DECIMAL_SYNTAX, 0},
};

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		const struct vector *vector = &vectors[i];
		/* A copy of exactly its size: the sanitizer sees a byte read too far. */
		size_t len = strlen(vector->text);
		char *text = malloc(len ? len : 1);
		memcpy(text, vector->text, len);
		int64_t minor = 0;
		enum decimal_verdict verdict = decimal_parse(text, len, vector->precision, vector->scale, &minor);
		if (verdict != vector->verdict || (verdict == DECIMAL_OK && minor != vector->minor))
			fail_msg("%s at (%d,%d): verdict %d, %lld", vector->text, vector->precision, vector->scale,
			    (int)verdict, (long long)minor);
		free(text);
	}
}

static void test_nul_is_no_end(void **state)
{
	(void)state;
	int64_t minor;
	assert_int_equal(decimal_parse("12\0003", 4, 10, 2, &minor), DECIMAL_SYNTAX);
	assert_int_equal(decimal_parse("125", 2, 10, 2, &minor), DECIMAL_OK);
	assert_int_equal(minor, 1200);
}

/* The slow way: the number is written out as a string of digits, cut, and incremented like on paper. */
static enum decimal_verdict slow_parse(
    const char *digits, int point, bool negative, int precision, int scale, char out[DECIMAL_TEXT_MAX])
{
	enum { ROOM = 600, MIDDLE = 300 }; /* the decimal point stands before place MIDDLE */
	char paper[ROOM];
	memset(paper, '0', sizeof paper);
	for (int i = 0; digits[i] != '\0'; i++)
		paper[MIDDLE - point + i] = digits[i];
	int end = MIDDLE + scale;
	bool up = paper[end] >= '5';
	for (int i = end - 1; up; i--) {
		up = paper[i] == '9';
		paper[i] = (char)(up ? '0' : paper[i] + 1);
	}
	int first = 0;
	while (first < MIDDLE - 1 && paper[first] == '0')
		first++;
	int significant = 0;
	while (significant < end && paper[significant] == '0')
		significant++;
	if (end - significant > precision)
		return DECIMAL_RANGE;
	(void)snprintf(out, DECIMAL_TEXT_MAX, "%s%.*s%s%.*s", negative && significant < end ? "-" : "", MIDDLE - first,
	    paper + first, scale ? "." : "", scale, paper + MIDDLE);
	return DECIMAL_OK;
}

static void test_against_paper(void **state)
{
	(void)state;
	unsigned seed = 20240115;
	size_t accepted = 0;
	for (int round = 0; round < 60000; round++) {
		char digits[64], text[128], expected[DECIMAL_TEXT_MAX] = "", printed[DECIMAL_TEXT_MAX];
		int whole = 1 + rand_r(&seed) % 12, fraction = rand_r(&seed) % 24, len = whole + fraction;
		for (int i = 0; i < len; i++) /* nines and fives are where rounding goes wrong */
			digits[i] = "0123456789999955500"[rand_r(&seed) % 19];
		if (whole > 1 && digits[0] == '0')
			digits[0] = '9';
		digits[len] = '\0';
		bool negative = rand_r(&seed) % 2;
		int exponent = rand_r(&seed) % 3 ? 0 : rand_r(&seed) % 41 - 20;
		int used = snprintf(text, sizeof text, "%s%.*s%s%s", negative ? "-" : "", whole, digits,
		    fraction ? "." : "", digits + whole);
		if (exponent != 0)
			(void)snprintf(text + used, sizeof text - (size_t)used, "e%d", exponent);
		int precision = 1 + rand_r(&seed) % 18, scale = rand_r(&seed) % (precision + 1);

		int64_t minor;
		enum decimal_verdict verdict = decimal_parse(text, strlen(text), precision, scale, &minor);
		assert_int_equal(verdict, slow_parse(digits, whole + exponent, negative, precision, scale, expected));
		if (verdict != DECIMAL_OK)
			continue;
		accepted++;
		(void)decimal_print(minor, scale, printed);
		assert_string_equal(printed, expected);
	}
	assert_true(accepted > 10000 && accepted < 50000); /* both verdicts were tried */
}

static void test_long_texts(void **state)
{
	(void)state;
	enum { ZEROS = 300000 };
	char *text = malloc(ZEROS + 64);
	int64_t minor;
	/* 0.000...01e300001 is 1 */
	memcpy(text, "0.", 2);
	memset(text + 2, '0', ZEROS);
	(void)strcpy(text + 2 + ZEROS, "1e300001");
	assert_int_equal(decimal_parse(text, strlen(text), 10, 2, &minor), DECIMAL_OK);
	assert_int_equal(minor, 100);
	/* 1000...0e-300000 is 1 */
	text[0] = '1';
	memset(text + 1, '0', ZEROS);
	(void)strcpy(text + 1 + ZEROS, "e-300000");
	assert_int_equal(decimal_parse(text, strlen(text), 10, 2, &minor), DECIMAL_OK);
	assert_int_equal(minor, 100);
	free(text);
}

static void expect_print(int128 minor, int scale, const char *expected)
{
	char text[DECIMAL_TEXT_MAX];
	size_t len = decimal_print(minor, scale, text);
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(expected));
}

static void test_print(void **state)
{
	(void)state;
	expect_print(0, 0, "0");
	expect_print(0, 2, "0.00");
	expect_print(5, 2, "0.05");
	expect_print(-5, 2, "-0.05");
	expect_print(-1230, 2, "-12.30");
	expect_print(162753, 2, "1627.53");
	expect_print(42, 0, "42");
	expect_print(INT64_MIN, 3, "-9223372036854775.808");
	expect_print(decimal_limit(38) - 1, 0, "99999999999999999999999999999999999999");
	expect_print(-(decimal_limit(38) - 1), 2, "-999999999999999999999999999999999999.99");
	expect_print(1, 38, "0.00000000000000000000000000000000000001");
	int128 largest = (int128)(((unsigned __int128)1 << 127) - 1);
	expect_print(largest, 1, "17014118346046923173168730371588410572.7");
	expect_print(-largest - 1, 38, "-1.70141183460469231731687303715884105728");
}

static void test_limits(void **state)
{
	(void)state;
	int128 power = 1;
	for (int digits = 0; digits <= DECIMAL_SUM_PRECISION_MAX; digits++) {
		assert_true(decimal_limit(digits) == power);
		if (digits < DECIMAL_SUM_PRECISION_MAX)
			power *= 10;
	}
}

/* Every scale, every precision, every edge: what is written is what was read, and what is beyond its column is refused. */
static void test_edges_against_paper(void **state)
{
	(void)state;
	struct edges edges;
	edges_fill(&edges);
	for (int scale = 0; scale <= DECIMAL_PRECISION_MAX; scale++)
		for (size_t i = 0; i < edges.len; i++) {
			char text[PAPER_TEXT_MAX], printed[DECIMAL_TEXT_MAX];
			paper_text(edges.values[i], scale, text);
			(void)decimal_print(edges.values[i], scale, printed);
			assert_string_equal(printed, text);
			for (int precision = scale ? scale : 1; precision <= DECIMAL_PRECISION_MAX; precision++) {
				int64_t limit = 1, minor = 0;
				for (int n = 0; n < precision; n++)
					limit *= 10;
				bool fits = edges.values[i] < limit && edges.values[i] > -limit;
				enum decimal_verdict verdict =
				    decimal_parse(text, strlen(text), precision, scale, &minor);
				if (verdict != (fits ? DECIMAL_OK : DECIMAL_RANGE) ||
				    (fits && minor != edges.values[i]))
					fail_msg("%s at (%d,%d): verdict %d, %lld", text, precision, scale,
					    (int)verdict, (long long)minor);
			}
		}
}

static void test_zero_in_every_spelling(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof paper_zeros / sizeof paper_zeros[0]; i++)
		for (int scale = 0; scale <= DECIMAL_PRECISION_MAX; scale++) {
			int64_t minor = 7;
			assert_int_equal(
			    decimal_parse(paper_zeros[i], strlen(paper_zeros[i]), scale ? scale : 1, scale, &minor),
			    DECIMAL_OK);
			assert_int_equal(minor, 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_nul_is_no_end),
	    cmocka_unit_test(test_against_paper),
	    cmocka_unit_test(test_long_texts),
	    cmocka_unit_test(test_print),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_edges_against_paper),
	    cmocka_unit_test(test_zero_in_every_spelling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
