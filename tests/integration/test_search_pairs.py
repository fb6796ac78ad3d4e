#!/usr/bin/python3
"""Settings of the search job in pairs, through the real sink, with a kill in the middle; then every document is where its own clock
says, and the audit. Every two values of any two settings are together in one of the rows."""
import json, random, sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from itertools import combinations
from zoneinfo import ZoneInfo

from jobs import PARALLELISM, Failure, SearchServices, must_be, run_cases, wait_for
from services import Elasticsearch, audit

AXES = {
    "time_zone": ("UTC", "America/New_York", "Asia/Kathmandu"), "index": ("-%Y.%m.%d", "-%Y.%m", "-%Y", ""),
    "compression": ("none", "gzip"), "max_batch_bytes": ("64KiB", "1MiB"), "search": (1, 2), "hosts": (1, 2), "max_requests": (1, 4),
}
ROWS = (
    ("UTC", "-%Y.%m.%d", "gzip", "1MiB", 2, 2, 4), ("UTC", "-%Y.%m", "gzip", "64KiB", 2, 1, 1),
    ("UTC", "-%Y", "gzip", "1MiB", 1, 1, 1), ("UTC", "", "none", "64KiB", 2, 1, 1),
    ("America/New_York", "-%Y.%m.%d", "none", "64KiB", 1, 2, 4), ("America/New_York", "-%Y.%m", "gzip", "1MiB", 1, 2, 1),
    ("America/New_York", "-%Y", "gzip", "64KiB", 2, 2, 1), ("America/New_York", "", "none", "1MiB", 1, 1, 4),
    ("Asia/Kathmandu", "-%Y.%m.%d", "none", "64KiB", 2, 1, 1), ("Asia/Kathmandu", "-%Y.%m", "none", "64KiB", 1, 2, 4),
    ("Asia/Kathmandu", "-%Y", "none", "1MiB", 1, 1, 4), ("Asia/Kathmandu", "", "gzip", "64KiB", 1, 2, 4),
)
# Where a day, a month or a year ends on one of these clocks and not on another, and where a clock is put forward and back.
ENDS = [datetime.fromisoformat(text).replace(tzinfo=timezone.utc) for text in (
    "2024-01-01T00:00:00", "2023-12-31T18:15:00", "2024-01-01T05:00:00", "2024-02-29T23:30:00", "2024-03-10T07:00:00",
    "2024-11-03T06:00:00", "2024-06-30T18:15:00", "2024-07-01T04:00:00")]
RECORDS, AT_ONCE = 600, 6  # half of them are more than the smaller batch
AROUND = [timedelta(minutes=minutes) for minutes in (-45, -30, -1, 0, 1, 30)]


def every_pair_is_there():
    met = Counter()
    for row in ROWS:
        met.update(combinations(zip(AXES, row), 2))
    for (a, xs), (b, ys) in combinations(AXES.items(), 2):
        for x in xs:
            for y in ys:
                if not met[((a, x), (b, y))]:
                    raise Failure(f"no row has {a} {x} with {b} {y}")


def records_of(seed, count):
    rng = random.Random(seed)
    for number in range(count):
        at = rng.choice(ENDS) + rng.choice(AROUND) + timedelta(microseconds=rng.choice((0, 0, 1, 999_999)))
        key = f"key-{rng.randrange(count * 4 // 5)}"
        yield sum(key.encode()) % 4, None, json.dumps({
            "transaction_id": key, "product_category": rng.choice(("books", "home")), "total_amount": rng.randrange(100_000) / 100,
            "transaction_date": at.isoformat().replace("+00:00", "Z"), "product_name": "n" * rng.randrange(250)}).encode()


def where_they_belong(it, zone, pattern):
    """By a reading of its own: a document's time says in which index it is."""
    number = 0
    for hit in it.elasticsearch.search(f"{it.name}*,-{it.name}-dead-letters", {"size": 10_000, "_source": ["transaction_date"]})["hits"]["hits"]:
        wall = datetime.fromisoformat(hit["_source"]["transaction_date"]).astimezone(ZoneInfo(zone))
        must_be(f"the index of {hit['_id']} at {wall}", hit["_index"], it.name + wall.strftime(pattern))
        number += 1
    return number


def pass_row(it, row):
    settings = dict(zip(AXES, row))
    it.write_config((f"index: {it.name}", f"index: {it.name}{settings['index']}\n    max_requests: {settings['max_requests']}"),
                    ("time_zone: UTC", f"time_zone: {settings['time_zone']}"), ("compression: none", f"compression: {settings['compression']}"),
                    ("max_batch_bytes: 1MiB", f"max_batch_bytes: {settings['max_batch_bytes']}"),
                    (PARALLELISM, PARALLELISM.replace("search: 1", f"search: {settings['search']}")))
    if settings["hosts"] == 2:  # the first one is away
        it.environment.update(ELASTICSEARCH_URL="", ELASTICSEARCH_HOSTS=f"http://127.0.0.1:9,{it.elasticsearch.url}")
    it.environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/nowhere"
    records = list(records_of(str(row), RECORDS))
    it.send(records[:RECORDS // 2])
    it.start_search(sinks=settings["search"]).start("coordinator")
    wait_for("documents", lambda: sum((it.search_cut() or {}).values()) > 0, 120)
    it.restart("search-sink-0")
    it.send(records[RECORDS // 2:])
    it.settle_search(300)
    must_be("documents", where_they_belong(it, settings["time_zone"], settings["index"]) > 0, True)
    audit({**it.environment, "ELASTICSEARCH_URL": it.elasticsearch.url}, "--job", "search")
    it.end()
    return f"    {settings}"


def pairs(job):
    """A row is a job of its own, and waits most of the time: a few at once, in the same Elasticsearch."""
    every_pair_is_there()
    jobs = [job() for _ in ROWS]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for said in pool.map(pass_row, jobs, ROWS):
            print(said, flush=True)


if __name__ == "__main__":
    if Elasticsearch.missing():
        print(f"SKIPPED: {Elasticsearch.missing()}")
        sys.exit(0)
    sys.exit(run_cases((pairs,), SearchServices))
