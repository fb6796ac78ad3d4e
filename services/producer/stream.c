#include "services/producer/stream.h"

#include "common/base/timestamp.h"
#include "services/producer/poison.h"

/* Monday, 15 January 2024, midnight UTC. */
#define FIRST_DAY_US INT64_C(1705276800000000)
#define DAY_US INT64_C(86400000000)

/* Poisoned records have numbers of their own, so that their keys meet no other's. */
#define POISON_NUMBERS (UINT64_C(1) << 62)

void stream_init(struct stream *stream, struct stream_mix mix)
{
	*stream = (struct stream){.mix = mix};
	stream->random = randomness_of(mix.seed, UINT64_MAX);
}

void stream_fini(struct stream *stream)
{
	transaction_fini(&stream->transaction);
}

static int64_t event_time(const struct stream *stream, uint64_t number)
{
	if (stream->mix.days == 0)
		return clock_realtime_us();
	struct randomness random = randomness_of(stream->mix.seed ^ UINT64_C(0x5eed), number);
	uint64_t span_us = stream->mix.days * (uint64_t)DAY_US;
	return FIRST_DAY_US + (int64_t)(random_next(&random) % span_us);
}

static void make_fresh(struct stream *stream)
{
	uint64_t number = stream->counts.fresh++;
	struct stream_original *original = &stream->originals[number % STREAM_MEMORY];
	*original = (struct stream_original){number, event_time(stream, number)};
	transaction_make(&stream->transaction, stream->mix.seed, number, 0, original->event_us);
}

static void make_repeat(struct stream *stream, uint32_t variant)
{
	uint64_t remembered = stream->counts.fresh < STREAM_MEMORY ? stream->counts.fresh : STREAM_MEMORY;
	const struct stream_original *original =
	    &stream->originals[random_below(&stream->random, (uint32_t)remembered)];
	transaction_make(&stream->transaction, stream->mix.seed, original->number, variant, original->event_us);
}

static bool make_poison(struct stream *stream)
{
	uint64_t number = stream->counts.poison++;
	transaction_make(&stream->transaction, stream->mix.seed, POISON_NUMBERS + number, 0,
	    event_time(stream, POISON_NUMBERS + number));
	return poison_spoil(&stream->transaction, poison_kind_of(number));
}

void stream_next(struct stream *stream, struct bytes *key, struct bytes *payload)
{
	double draw = (double)(random_next(&stream->random) >> 11) * (100.0 / 9007199254740992.0); /* 0 <= draw < 100 */
	bool has_payload = true;
	if (draw < stream->mix.poison) {
		has_payload = make_poison(stream);
	} else if (stream->counts.fresh > 0 && draw < stream->mix.poison + stream->mix.duplicates) {
		stream->counts.duplicates++;
		make_repeat(stream, 0);
	} else if (stream->counts.fresh > 0 &&
	           draw < stream->mix.poison + stream->mix.duplicates + stream->mix.conflicts) {
		stream->counts.conflicts++;
		make_repeat(stream, 1 + random_below(&stream->random, 9));
	} else {
		make_fresh(stream);
	}
	*key = (struct bytes){(const uint8_t *)stream->transaction.key, VALUES_KEY_SIZE};
	*payload = has_payload ? buffer_bytes(&stream->transaction.json) : (struct bytes){NULL, 0};
}
