#include "services/producer/values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/error.h"
#include "common/base/timestamp.h"

#define LEN(list) (sizeof(list) / sizeof(list)[0])

static const char *const product_names[] = {"laptop", "mobile", "tablet", "watch", "headphone", "speaker"};
static const char *const categories[] = {"electronic", "fashion", "grocery", "home", "beauty", "sports"};
static const char *const brands[] = {"apple", "samsung", "oneplus", "mi", "boat", "sony"};
static const char *const currencies[] = {"USD", "GBP"};
static const char *const payment_methods[] = {"credit_card", "debit_card", "online_transfer"};
static const char *const given[] = {"amber", "basil", "clara", "dario", "edith", "fabian", "greta", "hugo", "iris",
    "jonas", "kira", "leo", "maren", "nils", "olive", "pablo", "quinn", "rosa", "silas", "tilda", "ulric", "vera",
    "wanda", "xenia", "yara", "zeno", "bruno", "celia", "doris", "elmar", "flora", "gilda"};
static const char *const family[] = {"ash", "birch", "cedar", "dale", "elm", "fern", "grove", "hazel", "ivy", "juniper",
    "knoll", "larch", "moor", "nettle", "oak", "pine", "quarry", "reed", "sorrel", "thorn", "vale", "willow", "yarrow",
    "brook", "cliff", "dune", "field", "glen", "heath", "lake", "marsh", "ridge"};

struct randomness randomness_of(uint64_t seed, uint64_t number)
{
	struct randomness random = {seed * UINT64_C(0x9e3779b97f4a7c15) + number};
	random.state = random_next(&random); /* neighbouring numbers must not share their sequences */
	return random;
}

uint64_t random_next(struct randomness *random)
{
	uint64_t mixed = random->state += UINT64_C(0x9e3779b97f4a7c15);
	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return mixed ^ (mixed >> 31);
}

uint32_t random_below(struct randomness *random, uint32_t limit)
{
	return (uint32_t)(((random_next(random) >> 32) * limit) >> 32);
}

void transaction_fini(struct transaction *transaction)
{
	buffer_fini(&transaction->json);
}

static void uuid_make(struct randomness *random, char out[VALUES_KEY_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t halves[2] = {random_next(random), random_next(random)};
	halves[0] = (halves[0] & ~UINT64_C(0xf000)) | 0x4000; /* version 4 */
	halves[1] = (halves[1] & ~(UINT64_C(3) << 62)) | (UINT64_C(1) << 63); /* variant 1 */
	size_t at = 0;
	for (size_t i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			out[at++] = '-';
		out[at++] = digits[(halves[i / 16] >> (60 - 4 * (i % 16))) & 15];
	}
}

static size_t digits_print(uint64_t value, char *out)
{
	char reversed[20];
	size_t len = 0;
	do {
		reversed[len++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	for (size_t i = 0; i < len; i++)
		out[i] = reversed[len - 1 - i];
	return len;
}

/* 54250 -> 542.5, 54200 -> 542.0 */
static size_t cents_print(uint64_t cents, char *out)
{
	size_t len = digits_print(cents / 100, out);
	out[len++] = '.';
	out[len++] = (char)('0' + cents / 10 % 10);
	if (cents % 10 != 0)
		out[len++] = (char)('0' + cents % 10);
	return len;
}

size_t double_print(double value, char out[32])
{
	/* Most amounts are the double nearest to a number of cents; those need no search. */
	double cents = nearbyint(value * 100);
	if (cents >= 0 && cents < 1e15 && cents / 100 == value)
		return cents_print((uint64_t)cents, out);
	for (int digits = 15; digits <= 17; digits++) {
		int len = snprintf(out, 32, "%.*g", digits, value);
		if (strtod(out, NULL) == value) /* NOLINT(cert-err34-c): our own text */
			return (size_t)len;
	}
	panic("%a does not print", value);
}

static void two_digits(char *out, unsigned value)
{
	out[0] = (char)('0' + value / 10 % 10);
	out[1] = (char)('0' + value % 10);
}

/* 2026-02-09T15:32:30.123456+0000: strftime's %z, an offset without a colon. */
static size_t date_print(int64_t event_us, char out[40])
{
	struct civil civil = civil_from_day(day_of(event_us));
	int64_t in_day_us = event_us - (int64_t)day_of(event_us) * INT64_C(86400000000);
	unsigned second = (unsigned)(in_day_us / 1000000), micro = (unsigned)(in_day_us % 1000000);
	memcpy(out, "0000-00-00T00:00:00.000000+0000", 32); /* with its end */
	two_digits(out, (unsigned)civil.year / 100);
	two_digits(out + 2, (unsigned)civil.year);
	two_digits(out + 5, (unsigned)civil.month);
	two_digits(out + 8, (unsigned)civil.day);
	two_digits(out + 11, second / 3600);
	two_digits(out + 14, second / 60 % 60);
	two_digits(out + 17, second % 60);
	two_digits(out + 20, micro / 10000);
	two_digits(out + 22, micro / 100);
	two_digits(out + 24, micro);
	return 31;
}

static void text_field(struct buffer *json, const char *name, const char *value, size_t len)
{
	buffer_append_text(json, name);
	buffer_append(json, value, len);
	buffer_append(json, "\"", 1);
}

static void word_field(
    struct buffer *json, const char *name, const char *const *words, size_t len, struct randomness *random)
{
	const char *word = words[random_below(random, (uint32_t)len)];
	text_field(json, name, word, strlen(word));
}

static void customer_field(struct buffer *json, struct randomness *random)
{
	char digits[20];
	uint64_t number = random_below(random, 1000);
	buffer_append_text(json, ", \"customer_id\": \"");
	buffer_append_text(json, given[random_below(random, LEN(given))]);
	buffer_append_text(json, family[random_below(random, LEN(family))]);
	buffer_append(json, digits, digits_print(number, digits));
	buffer_append(json, "\"", 1);
}

void transaction_make(
    struct transaction *transaction, uint64_t seed, uint64_t number, uint32_t variant, int64_t event_us)
{
	struct randomness random = randomness_of(seed, number);
	struct buffer *json = &transaction->json;
	char text[40];
	uuid_make(&random, transaction->key);
	uint32_t product = random_below(&random, LEN(product_names));
	uint64_t cents = 1000 + random_below(&random, 99001);
	uint64_t quantity = (random_below(&random, 10) + variant) % 10 + 1;

	buffer_clear(json);
	text_field(json, "{\"transaction_id\": \"", transaction->key, VALUES_KEY_SIZE);
	buffer_append_text(json, ", \"product_id\": \"product_");
	text[0] = (char)('1' + product);
	buffer_append(json, text, 1);
	text_field(json, "\", \"product_name\": \"", product_names[product], strlen(product_names[product]));
	word_field(json, ", \"product_category\": \"", categories, LEN(categories), &random);
	buffer_append_text(json, ", \"product_price\": ");
	buffer_append(json, text, cents_print(cents, text));
	buffer_append_text(json, ", \"product_quantity\": ");
	buffer_append(json, text, digits_print(quantity, text));
	word_field(json, ", \"product_brand\": \"", brands, LEN(brands), &random);
	word_field(json, ", \"currency\": \"", currencies, LEN(currencies), &random);
	customer_field(json, &random);
	text_field(json, ", \"transaction_date\": \"", text, date_print(event_us, text));
	word_field(json, ", \"payment_method\": \"", payment_methods, LEN(payment_methods), &random);
	buffer_append_text(json, ", \"total_amount\": ");
	buffer_append(json, text, double_print((double)cents / 100 * (double)quantity, text));
	buffer_append(json, "}", 1);
}
