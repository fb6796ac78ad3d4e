#!/usr/bin/python3
"""Proves a database against the topic, up to the cut that the database itself prints. Shares no code with the pipeline.

    checker.py --brokers HOST:PORT --database URL [--topic NAME] [--whole]

Reads one snapshot, then the topic from its start up to the snapshot's cut, and compares rows, totals, dead letters and
counters; with --whole the cut has to be the end of the topic. Exit 0: all is as it has to be; 1: it is not.
"""
import argparse, sys
from collections import defaultdict
from decimal import Decimal

import psycopg2
from confluent_kafka import Consumer, TopicPartition

from records import FIELDS, Refused, read

COLUMNS = [field[0] for field in FIELDS]
KEY, CATEGORY, AMOUNT, DATE = (COLUMNS.index(name) for name in
                               ("transaction_id", "product_category", "total_amount", "transaction_date"))
COUNTERS = ("consumed", "accepted", "duplicates", "conflicts", "dead", "unknown_fields")
SHOWN_MAX = 5


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


def snapshot(url, topic):
    connection = psycopg2.connect(url)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    cursor = connection.cursor()

    def rows(sql, *arguments):
        cursor.execute(sql, arguments)
        return cursor.fetchall()
    (epoch, cut, counters), = rows("SELECT attempt || '.' || epoch, cut, counters FROM sluice.frontier")
    found = {"epoch": epoch, "cut": {int(p): o for p, o in cut.items()}, "counters": {k: counters.get(k, 0) for k in COUNTERS}}
    found["decisions"] = {(p, o): verdict for p, o, verdict in
                          rows('SELECT partition, "offset", verdict FROM sluice.decisions WHERE topic = %s', topic)}
    found["rows"] = {row[KEY]: row for row in rows(f"SELECT {', '.join(COLUMNS)} FROM transactions")}
    found["category"] = {row[:2]: row[2] for row in rows("SELECT transaction_date, category, total_sales FROM sales_per_category")}
    found["day"] = dict(rows("SELECT transaction_date, total_sales FROM sales_per_day"))
    found["month"] = {row[:2]: row[2] for row in rows("SELECT year, month, total_sales FROM sales_per_month")}
    found["letters"] = {(p, o): (reason, bytes(payload) if payload is not None and raw else None) for p, o, reason, payload, raw in
                        rows('SELECT partition, "offset", reason, payload, payload_raw FROM dead_letters WHERE topic = %s', topic)}
    connection.close()
    return found


def log_of(brokers, topic, cut):
    """Every record below the cut, partition by partition."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "checker", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "fetch.wait.max.ms": 20})
    left = {}
    for partition, end in cut.items():
        low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
        if low < end:
            left[partition] = end
    consumer.assign([TopicPartition(topic, p, 0) for p in left])
    while left:
        message = consumer.poll(20)
        if message is None:
            raise SystemExit(f"the topic does not go on before {left}")
        if message.error():
            raise SystemExit(f"cannot read the topic: {message.error()}")
        partition = message.partition()
        if partition not in left or message.offset() >= left[partition]:
            continue
        yield partition, message.offset(), message.timestamp()[1], message.value()
        if message.offset() + 1 == left[partition]:
            del left[partition]
    consumer.close()


def ends_of(brokers, topic, cut):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "checker"})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in {*partitions, *cut}}


def fold(log, decisions, report):
    """What the database has to hold: the first record of a key counts, where no decision says otherwise."""
    rows, letters, winners, repeats = {}, {}, {}, []
    n = dict.fromkeys(COUNTERS, 0)
    for partition, offset, timestamp, payload in log:
        n["consumed"] += 1
        try:
            values, unknown = read(payload, timestamp)
        except Refused as refused:
            n["dead"] += 1
            letters[partition, offset] = (str(refused), payload)
            continue
        n["unknown_fields"] += unknown
        key, values = values[KEY], tuple(values)
        if (partition, offset) in decisions:
            repeats.append((partition, offset, values))
        elif key not in rows:
            rows[key], winners[key] = values, partition
        elif winners[key] != partition:
            report.check(f"record {partition}/{offset}, whose key has a row from partition {winners[key]}", "a decision", "none")
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
            letters[partition, offset] = ("conflict", None)
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
    parser.add_argument("--whole", action="store_true", help="the cut has to be the end of the topic")
    arguments = parser.parse_args()
    report = Report()
    found = snapshot(arguments.database, arguments.topic)
    print(f"snapshot at epoch {found['epoch']}, cut {found['cut']}")
    if arguments.whole:
        report.check("the cut is the end of the topic", ends_of(arguments.brokers, arguments.topic, found["cut"]), found["cut"])
    rows, letters, counters = fold(log_of(arguments.brokers, arguments.topic, found["cut"]), found["decisions"], report)
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
