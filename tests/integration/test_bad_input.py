#!/usr/bin/python3
"""Whatever bytes come, a partition goes on: each bad record is exactly one dead letter with reason, place and bytes."""
import sys, time

import psycopg2

from jobs import Failure, must_be, run_cases, sql

GOOD = {"transaction_id": '"k"', "product_category": '"home"', "total_amount": "12.5", "transaction_date": '"2024-01-15T10:00:00Z"'}


def with_field(name, value):
    """A good record, but for one value; None: the field is missing."""
    fields = {**GOOD, name: value}
    return b"{" + b", ".join(b'"%s": ' % n.encode() + (v if isinstance(v, bytes) else v.encode())
                             for n, v in fields.items() if v is not None) + b"}"


# name, payload, reason
BAD = [
    ("not JSON", b"this is not JSON", "invalid_json"),
    ("truncated JSON", with_field("currency", '"USD"')[:-20], "invalid_json"),
    ("two documents", with_field("transaction_id", '"a"') * 2, "invalid_json"),
    ("an array", b"[" + with_field("transaction_id", '"a"') + b"]", "not_an_object"),
    ("a required field is missing", with_field("total_amount", None), "missing_field"),
    ("a required field is null", with_field("product_category", "null"), "missing_field"),
    ("an empty key", with_field("transaction_id", '""'), "missing_field"),
    ("an object for a text", with_field("product_category", '{"a": 1}'), "wrong_type"),
    ("a number for a text", with_field("product_name", "1"), "wrong_type"),
    ("a text for an amount", with_field("total_amount", '"twelve"'), "invalid_number"),
    ("a fraction for a quantity", with_field("product_quantity", "1.5"), "invalid_number"),
    ("a quantity out of its range", with_field("product_quantity", "2147483648"), "out_of_range"),
    ("a text longer than its column", with_field("product_category", '"%s"' % ("\u00e4" * 101)), "too_long"),
    ("an amount out of its range", with_field("total_amount", "99999999.995"), "out_of_range"),
    ("NaN", with_field("total_amount", "NaN"), "invalid_json"),
    ("Infinity", with_field("total_amount", "-Infinity"), "invalid_json"),
    ("1e400", with_field("total_amount", "1e400"), "out_of_range"),
    ("bytes that are not UTF-8", with_field("product_category", b'"caf\xe9 \xff"'), "invalid_utf8"),
    ("an escaped NUL", with_field("product_category", '"a\\u0000b"'), "nul_in_text"),
    ("a NUL", with_field("product_category", b'"a\0b"'), "nul_in_text"),
    ("half a surrogate pair", with_field("product_category", '"\\ud83d"'), "invalid_json"),
    ("no time", with_field("transaction_date", '"yesterday"'), "invalid_time"),
    ("a day that does not exist", with_field("transaction_date", '"2023-02-29T10:00:00Z"'), "invalid_time"),
    ("an absurd time", with_field("transaction_date", '"1969-12-31T23:59:59Z"'), "time_out_of_range"),
    ("a time in the far future", with_field("transaction_date", '"9000-01-01T00:00:00Z"'), "time_out_of_range"),
    ("an empty message", b"", "empty"),
    ("a tombstone", None, "tombstone"),
    ("only NULs", b"\0\0\0\0", "invalid_json"),
    ("all bytes there are", bytes(range(256)), "invalid_utf8"),
    ("900 kB", with_field("product_name", '"%s"' % ("x" * 900000)), "too_large"),
]
# Unusual, and well: refunds, exponents, text as number, white space, order, escapes, other alphabets, unknown fields.
UNUSUAL = [
    (b'{"transactionId":"u1","productCategory":"home","totalAmount":-12.345,"transactionDate":"2024-01-15 10:00:00"}', "-12.35"),
    (b'\r\n{ "transaction_date" : 1705312800123,\t"total_amount":1.2e1, "product_category":"\\u00e9\\ud83d\\ude00" ,'
     b'"transaction_id":"u2"}\n', "12.00"),
    (b'{"transaction_id":"u3","product_category":"","total_amount":"0.005","transaction_date":"2024-01-15T10:00:00.1234567+0530"}',
     "0.01"),
    ('{"transaction_id":"u4","product_category":"尺寸","total_amount":1627.5299999999997,"transaction_date":"2024-01-15T10:00:00Z",'
     '"new_field":{"a":[1,2]}}'.encode(), "1627.53"),
]


def every_kind_is_one_dead_letter(job):
    it = job(partitions=2)
    it.start_all().wait_live()
    wanted, records = {}, []
    for name, payload, reason in BAD:
        for partition in (0, 1):
            # A good one before and behind each: the partition goes on.
            key = f"{name} {partition}".encode()
            records += [(partition, key, with_field("transaction_id", f'"g{len(records)}"')), (partition, key, payload)]
    records += [(partition, None, with_field("transaction_id", f'"last{partition}"')) for partition in (0, 1)]
    records += [(0, None, payload) for payload, _ in UNUSUAL]
    offsets = it.send(records)
    reason_of = {payload: reason for _, payload, reason in BAD}
    for (partition, key, payload), offset in zip(records, offsets):
        if payload in reason_of:
            wanted[partition, offset] = (reason_of[payload], key, payload)
    it.settle()
    must_be("letters", letters(it), wanted)
    must_be("good rows", sql(it.url, "SELECT count(*) FROM transactions"), (2 * len(BAD) + 2 + len(UNUSUAL),))
    for payload, amount in UNUSUAL:
        number = records.index((0, None, payload)) - len(records) + len(UNUSUAL) + 1
        must_be(f"the amount of u{number}", sql(it.url, "SELECT total_amount::text FROM transactions WHERE transaction_id = %s",
                                                f"u{number}"), (amount,))
    it.prove()


def once_also_over_a_restart(job):
    """Letters belong to the epoch like rows: neither doubled nor lost by kill -9 and replay."""
    it = job(partitions=2)
    it.start_all().wait_live()
    for round_of in range(4):
        it.send([(i % 2, b"%d %d" % (round_of, i), payload if payload is None or len(payload) < 1000 else payload[:1000])
                 for i, (_, payload, _) in enumerate(BAD)])
        it.restart(("sink", "ingest-0", "aggregator-0", "coordinator")[round_of])
        time.sleep(0.3)
    it.settle()
    must_be("letters", len(letters(it)), 4 * len(BAD))
    it.prove()


def conflicts_are_letters_too(job):
    """Same key, other content: the first stays, and the letter means what the record meant."""
    it = job(partitions=1)
    it.start_all().wait_live()
    it.send([(0, b"x", with_field("total_amount", "1")), (0, b"y", with_field("total_amount", "1.00")),
             (0, b"z", with_field("total_amount", "2"))])
    it.settle()
    must_be("the row", sql(it.url, "SELECT total_amount::text FROM transactions"), ("1.00",))
    found = letters(it)
    must_be("letters", {place: letter[0] for place, letter in found.items()}, {(0, 2): "conflict"})
    if b'"total_amount": 2.00' not in found[0, 2][2]:
        raise Failure(f"the letter says {found[0, 2][2]!r}")
    must_be("raw", sql(it.url, "SELECT payload_raw FROM dead_letters"), (False,))
    it.prove()


def letters(job):
    connection = psycopg2.connect(job.url)
    with connection, connection.cursor() as cursor:
        cursor.execute('SELECT partition, "offset", reason, key, payload FROM dead_letters WHERE topic = %s', (job.name,))
        found = {(p, o): (reason, *(None if b is None else bytes(b) for b in (key, payload)))
                 for p, o, reason, key, payload in cursor.fetchall()}
    connection.close()
    return found


CASES = (every_kind_is_one_dead_letter, once_also_over_a_restart, conflicts_are_letters_too)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
