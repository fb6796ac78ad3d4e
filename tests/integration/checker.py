#!/usr/bin/python3
"""Proves a database against the topic, up to the cut that the database itself prints. Shares no code with the pipeline.

    checker.py --brokers HOST:PORT --database URL [--topic NAME] [--job NAME --tables SUFFIX] [--whole]

Reads one snapshot, then the topic from the job's start up to the snapshot's cut, and compares rows, totals, dead letters and
counters; with --whole the cut has to be the end of the topic. Exit 0: all is as it has to be; 1: it is not.
"""
import argparse, sys
from collections import defaultdict
from decimal import Decimal

import psycopg2
from confluent_kafka import Consumer, KafkaError, TopicPartition

from records import FIELDS, Refused, read

COLUMNS = [field[0] for field in FIELDS]
KEY, CATEGORY, AMOUNT, DATE = (COLUMNS.index(name) for name in
                               ("transaction_id", "product_category", "total_amount", "transaction_date"))
COUNTERS = ("consumed", "accepted", "duplicates", "conflicts", "dead", "unknown_fields")
SHOWN_MAX = 5
LETTER_PAYLOAD_MAX = 3 << 20  # longer ones are cut
LETTER_KEY_MAX = 512 * 1024
STALLED_SECONDS = 20


class Report:
    def __init__(self):
        self.wrong = 0

    def check(self, what, expected, found):
        if expected == found:
            print(f"  {what}: as it has to be")
            return
        self.wrong += 1
        print(f"  {what}: WRONG")
        if isinstance(expected, dict):
            keys = [k for k in {**expected, **found} if expected.get(k) != found.get(k)]
            for key in keys[:SHOWN_MAX]:
                print(f"    {key}: {found.get(key)} instead of {expected.get(key)}")
            print(f"    {len(keys)} differ")
        else:
            print(f"    {found} instead of {expected}")


def snapshot(url, topic, job, tables):
    connection = psycopg2.connect(url)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    cursor = connection.cursor()

    def rows(sql, *arguments):
        cursor.execute(sql, arguments)
        return cursor.fetchall()
    (job, epoch, cut, counters, start), = rows("SELECT job, attempt || '.' || epoch, cut, counters, start FROM sluice.frontier "
                                               "WHERE %s IN ('', job)", job)
    found = {"epoch": epoch, "cut": {int(p): o for p, o in cut.items()}, "counters": {k: counters.get(k, 0) for k in COUNTERS}}
    found["decisions"] = {(p, o): verdict for p, o, verdict in
                          rows('SELECT partition, "offset", verdict FROM sluice.decisions WHERE topic = %s AND job = %s', topic, job)}
    found["rows"] = {row[KEY]: row for row in rows(f"SELECT {', '.join(COLUMNS)} FROM transactions{tables}")}
    found["category"] = {row[:2]: row[2] for row in rows("SELECT transaction_date, category, total_sales FROM sales_per_category" + tables)}
    found["day"] = dict(rows("SELECT transaction_date, total_sales FROM sales_per_day" + tables))
    found["month"] = {row[:2]: row[2] for row in rows("SELECT year, month, total_sales FROM sales_per_month" + tables)}
    found["start"] = {int(p): o for p, o in start.items()}
    # Decisions are kept as long as a replay may need them: from the cut of the oldest checkpoint that is named.
    cuts = [cut for cut, in rows("SELECT cut FROM sluice.checkpoints WHERE job = %s", job)]
    found["decided_from"] = {p: min([c.get(str(p), 0) for c in cuts] or [end]) for p, end in found["cut"].items()}
    found["letters"] = {(p, o) if t == topic else (t, p, o): letter_of(reason, key, payload, raw) for t, p, o, reason, key, payload,
                        raw in rows('SELECT topic, partition, "offset", reason, key, payload, payload_raw FROM dead_letters WHERE job = %s', job)}
    connection.close()
    return found


def letter_of(reason, key, payload, raw):
    """What is compared of a letter: the bytes, or what a conflict's payload means."""
    key, payload = (None if b is None else bytes(b) for b in (key, payload))
    if raw:
        return reason, key, payload
    try:
        return reason, key, tuple(read(payload, -1)[0])
    except Refused as refused:
        return reason, key, f"not a record: {refused}"


def log_of(brokers, topic, start, cut):
    """Every record from the job's start up to the cut, a partition's in the order of their offsets."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "checker", "enable.auto.commit": False, "check.crcs": True,
                         "auto.offset.reset": "error", "fetch.wait.max.ms": 20, "enable.partition.eof": True})
    left = {p: end for p, end in cut.items() if start.get(p, 0) < end}
    for partition in left:
        low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
        if low > start.get(partition, 0):
            raise SystemExit(f"partition {partition}: Kafka holds nothing before offset {low} any more")
    consumer.assign([TopicPartition(topic, p, start.get(p, 0)) for p in left])
    while left:
        messages = consumer.consume(5000, 0.1) or consumer.consume(1, STALLED_SECONDS)
        if not messages:
            raise SystemExit(f"the topic does not go on before {left}")
        for message in messages:
            partition, offset = message.partition(), message.offset()
            if message.error() and message.error().code() != KafkaError._PARTITION_EOF:
                raise SystemExit(f"cannot read the topic: {message.error()}")
            if partition in left and not message.error() and offset < left[partition]:
                yield partition, offset, message.timestamp()[1], message.key(), message.value()
                offset += 1
            # The offset before the cut may hold no record (a transaction's mark does): what comes behind it tells.
            if partition in left and offset >= left[partition]:
                del left[partition]
    consumer.close()


def ends_of(brokers, topic, cut):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "checker"})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in {*partitions, *cut}}


def fold(log, found, report):
    """What the database has to hold: the first record of a key counts, where no decision says otherwise. Which of two partitions
    came first is for the row to tell once the decision is no longer kept."""
    decisions, decided_from = found["decisions"], found["decided_from"]
    rows, letters, winners, repeats, undecided = {}, {}, {}, [], set(decisions)
    n = dict.fromkeys(COUNTERS, 0)
    for partition, offset, timestamp, bytes_key, payload in log:
        n["consumed"] += 1
        try:
            values, unknown = read(payload, timestamp)
        except Refused as refused:
            n["dead"] += 1
            letters[partition, offset] = (str(refused), bytes_key and bytes_key[:LETTER_KEY_MAX], payload and payload[:LETTER_PAYLOAD_MAX])
            continue
        undecided.discard((partition, offset))
        n["unknown_fields"] += unknown
        key, values = values[KEY], tuple(values)
        if (partition, offset) in decisions:
            repeats.append((partition, offset, values))
        elif key not in rows:
            rows[key], winners[key] = values, (partition, offset)
        elif winners[key][0] == partition:
            repeats.append((partition, offset, values))
        elif offset >= decided_from.get(partition, 0) and winners[key][1] >= decided_from.get(winners[key][0], 0):
            report.check(f"record {partition}/{offset}, whose key has a row from partition {winners[key][0]}", "a decision", "none")
        elif rows[key] != found["rows"].get(key) and values == found["rows"].get(key):
            repeats.append((*winners[key], rows[key]))
            rows[key], winners[key] = values, (partition, offset)
        else:
            repeats.append((partition, offset, values))
    for partition, offset, values in repeats:
        verdict = "duplicates" if rows.get(values[KEY]) == values else "conflicts"
        if values[KEY] not in rows:
            report.check(f"the row of a repeat at {partition}/{offset}", "a row", "none")
        if (partition, offset) in decisions and decisions[partition, offset] != verdict:
            report.check(f"the decision on {partition}/{offset}", verdict, decisions[partition, offset])
        n[verdict] += 1
        if verdict == "conflicts":
            letters[partition, offset] = ("conflict", values[KEY].encode(), values)
    if undecided:
        report.check("decisions on what is no valid record before the cut", "none", sorted(undecided)[:SHOWN_MAX])
    n["accepted"] = len(rows)
    return rows, letters, n


def totals_of(rows):
    category, day, month = (defaultdict(Decimal) for _ in range(3))
    for values in rows.values():
        date, amount = values[DATE].date(), values[AMOUNT]
        category[date, values[CATEGORY]] += amount
        day[date] += amount
        month[date.year, date.month] += amount
    return dict(category), dict(day), dict(month)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--topic", default="financial_transactions")
    parser.add_argument("--job", default="", help="where the database has several: ecommerce-transactions/totals")
    parser.add_argument("--tables", default="", help="what stands behind the usual names of its tables")
    parser.add_argument("--whole", action="store_true", help="the cut has to be the end of the topic")
    arguments = parser.parse_args()
    report = Report()
    found = snapshot(arguments.database, arguments.topic, arguments.job, arguments.tables)
    print(f"snapshot at epoch {found['epoch']}, cut {found['cut']}")
    if arguments.whole:
        report.check("the cut is the end of the topic", ends_of(arguments.brokers, arguments.topic, found["cut"]), found["cut"])
    rows, letters, counters = fold(
        log_of(arguments.brokers, arguments.topic, found["start"], found["cut"]), found, report)
    category, day, month = totals_of(rows)
    report.check(f"{len(rows):,} rows, every column", rows, found["rows"])
    report.check(f"{len(category)} totals of sales_per_category", category, found["category"])
    report.check(f"{len(day)} totals of sales_per_day", day, found["day"])
    report.check(f"{len(month)} totals of sales_per_month", month, found["month"])
    report.check(f"{len(letters):,} dead letters, with reason and bytes", letters, found["letters"])
    report.check("counters", counters, found["counters"])
    print("the database is the fold of the topic" if not report.wrong else f"{report.wrong} things are wrong")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
