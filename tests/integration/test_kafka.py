#!/usr/bin/python3
"""What may come from Kafka: records of any size, logs that others have cut, brokers and producers that stop in the middle.

No record ends a process, none is waited for in silence, and every letter is what the audit expects.
"""
import json, sys

import psycopg2
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from audits import must_be_exact
from jobs import Failure, must_be, run_cases, wait_for

HUGE = 120_000_000  # max.message.bytes of a topic
KEY_MOST, PAYLOAD_MOST = 1 << 19, 3 << 20  # of a letter


def topic(it, partitions=1, **config):
    """The job's topic, with these settings."""
    admin = AdminClient({"bootstrap.servers": it.services.brokers})
    for future in admin.create_topics([NewTopic(it.name, partitions, 1, config={k.replace("_", "."): str(v) for k, v in config.items()})]).values():
        future.result(20)


def send(it, records, **settings):
    """(partition, key, value, headers) each."""
    producer = Producer({"bootstrap.servers": it.services.brokers, "compression.type": "zstd", "message.max.bytes": HUGE,
                         "linger.ms": 0, "log_level": 0, **{k.replace("_", "."): v for k, v in settings.items()}})
    failed = []
    for partition, key, value, headers in records:
        producer.produce(it.name, value, key, partition, headers=headers, on_delivery=lambda error, _: error and failed.append(error))
        producer.poll(0)
    if producer.flush(60) or failed:
        raise Failure(f"not everything was delivered to Kafka: {failed[:1]}")


def sale(key, amount=1, **more):
    return json.dumps({"transaction_id": key, "product_category": "books", "total_amount": amount,
                       "transaction_date": "2024-01-15T10:00:00Z", **more}).encode()


def letters(it):
    """(offset, length of key, length of payload, reason, detail), in order."""
    connection = psycopg2.connect(it.url)
    with connection, connection.cursor() as cursor:
        cursor.execute('SELECT "offset", length(key), length(payload), reason, detail FROM dead_letters ORDER BY "partition", "offset"')
        found = cursor.fetchall()
    connection.close()
    return found


# --- sizes ------------------------------------------------------------------------------------------------------------

def large_keys(job):
    """Keys, payloads and headers above what a frame takes: one letter each, cut, and it says so."""
    it = job(partitions=0)
    topic(it, max_message_bytes=HUGE)
    many = [(f"h{i}", b"x" * 1000) for i in range(2000)]
    sizes = ((5_000_000, b"not json"), (5_000_000, None), (1_153_434, b"x" * (3 << 20)), (KEY_MOST, b"x" * PAYLOAD_MOST),
             (KEY_MOST + 1, b"x" * (PAYLOAD_MOST + 1)), (KEY_MOST - 1, b"[" * (PAYLOAD_MOST - 1)), (4_194_256, b"?"), (4_194_304, b"?"),
             (0, b"x" * 6_000_000), (9_000_000, b"x" * 9_000_000))
    records = [(0, b"k" * key, value, many if place % 3 == 0 else None) for place, (key, value) in enumerate(sizes)]
    # Records that are read well: what they carry beside the payload is nobody's business, also of a conflict.
    records += [(0, b"k" * 5_000_000, sale("a", amount), many) for amount in (1, 1, 2)]
    send(it, records)
    it.start_all().wait_live()
    it.settle(60)
    found = letters(it)
    must_be("letters", len(found), len(sizes) + 1)
    for (offset, key, payload, reason, detail), (key_len, value) in zip(found, sizes):
        must_be(f"key of {offset}", key, min(key_len, KEY_MOST))
        must_be(f"payload of {offset}", payload, None if value is None else min(len(value), PAYLOAD_MOST))
        for name, whole, most in (("key", key_len, KEY_MOST), ("payload", len(value or b""), PAYLOAD_MOST)):
            must_be(f"whether the letter of {offset} says that its {name} is cut",
                    f"{name} of {whole} bytes cut to {most}" in detail, whole > most)
    must_be("the last one's reason", found[-1][3], "conflict")
    must_be("attempts ended", it.status()["attempts_ended"], 0)
    must_be_exact(it)
    it.prove()


CASES = (large_keys,)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
