#!/usr/bin/python3
"""Pairs of settings through the real services, with a kill in the middle; then the fold in Python, and the audit.

    test_pairs.py [--seed N] [--count N] [--list]

The rows of a seed have every two values of any two axes together in one of them; a run takes --count of them (4), from a place that
the seed says. The seed is the revision, so other combinations come over time. A row that fails says how to try it again.
"""
import argparse, random, subprocess, sys, time, traceback
from datetime import datetime, timedelta, timezone
from itertools import combinations

from audits import must_be_exact
from jobs import Failure, Job, must_be, wait_for
from members import FIELDS, KEY, ONE_MEASURE, ROLLUPS, partition_of, payload_of, prove_fold, record_of, values_of, write_pipeline
from services import ROOT, private_services

AXES = {
    "time_zone": ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"),
    "retention": ("24h", "0s", "1s"),
    "checkpoint": ("interval: 200ms", "interval: 1s, retain: 2", "interval: 1d", "interval: 1d, max_records: 150"),
    "ingest": (1, 2, 4), "dedup": (1, 3), "rollup": (1, 2), "partitions": (1, 3), "processes": ((1, 1), (2, 2)),
    "min_interval": ("0ms", "10ms", "60ms"), "max_in_flight": (1, 3, 8), "max_bytes": ("64KiB", "1MiB"), "key_groups": (4, 128),
    "rollups": ("two measures", "one measure"),
    "start": ("earliest", "latest", "offsets", "timestamp"),
    "killed": ("ingest-0", "aggregator-0", "sink", "coordinator", "all"),
}
# Of the clocks of the zones above, and of the calendar.
MOMENTS = [datetime.fromisoformat(text).replace(tzinfo=timezone.utc) for text in (
    "2024-03-31T01:00:00", "2024-10-27T01:00:00", "2024-03-10T07:00:00", "2024-11-03T06:00:00", "2024-01-01T00:00:00",
    "2023-12-31T18:15:00", "2024-02-29T23:00:00", "2024-03-01T05:00:00")]
RECORDS, KEYS = 500, 220


def rows_of(seed):
    """Every pair is in one of them."""
    rng, rows = random.Random(f"pairs of {seed}"), []
    missing = {((a, x), (b, y)) for a, b in combinations(AXES, 2) for x in AXES[a] for y in AXES[b]}
    while missing:
        (a, x), (b, y) = rng.choice(sorted(missing, key=str))
        row = {a: x, b: y}
        for axis in rng.sample(sorted(AXES), len(AXES)):
            if axis not in row:
                row[axis] = max(rng.sample(AXES[axis], len(AXES[axis])), key=lambda value: sum(
                    pair in missing for other, w in row.items() for pair in (((axis, value), (other, w)), ((other, w), (axis, value)))))
        missing -= {((a, row[a]), (b, row[b])) for a, b in combinations(AXES, 2)}
        rows.append({axis: row[axis] for axis in AXES})
    return rows


def log_of(seed, partitions):
    """Repeats, conflicts in one field, poison; a key always in the same partition."""
    rng, log, known = random.Random(f"log of {seed}"), [], []
    for number in range(RECORDS):
        turn = rng.random()
        if known and turn < 0.2:
            record = rng.choice(known)
        elif known and turn < 0.35:
            field = rng.choice([f for f in FIELDS if f != KEY])
            record = {**rng.choice(known), field: rng.choice(values_of(field))}
        elif turn < 0.4:
            key = f"poison {number}"
            log.append((partition_of(key, partitions), rng.choice((b"{", b"", b'{"id": "%d"}' % number, b"null")), None))
            continue
        else:
            record = record_of(f"key {number}", **{f: rng.choice(values_of(f)) for f in FIELDS if f not in (KEY, "at")},
                               at=rng.choice(MOMENTS) + timedelta(microseconds=rng.choice((-1, 0, 1)), minutes=15 * rng.randrange(-9, 9)))
            known.append(record)
        log.append((partition_of(record[KEY], partitions), payload_of(record), record))
    return log


def send(it, log):
    return it.send([(partition, None, payload) for partition, payload, _ in log])


def begin(it, row, log):
    """The pipeline file, started behind a first part of the log; what of that counts."""
    early, rollups = log[:RECORDS // 5], ROLLUPS if row["rollups"] == "two measures" else ONE_MEASURE
    offsets = send(it, early)
    counts = {"earliest": lambda p, o: True, "latest": lambda p, o: False, "offsets": lambda p, o: o >= 10, "timestamp": lambda p, o: False}
    now = datetime.now(timezone.utc)
    start = {"offsets": "{offsets: {%s}}" % ", ".join(f"{p}: 10" for p in range(row["partitions"])),
             "timestamp": '{timestamp: "%s"}' % (now + timedelta(milliseconds=50)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    write_pipeline(it, rollups, row["time_zone"], start.get(row["start"], row["start"]), (
        "duplicates: {retention: %s}" % row["retention"], 'checkpoint: {dir: "${CHECKPOINT_DIR}", %s}' % row["checkpoint"],
        "parallelism: {ingest: %d, dedup: %d, rollup: %d}" % (row["ingest"], row["dedup"], row["rollup"]),
        "epoch: {min_interval: %s, max_in_flight: %d, max_bytes: %s}" % (row["min_interval"], row["max_in_flight"], row["max_bytes"]),
        f"key_groups: {row['key_groups']}"))
    time.sleep(0.06 if row["start"] == "timestamp" else 0)  # what comes now is later than that, by Kafka's clock
    it.start_all(*row["processes"]).wait_live()
    return rollups, [each for each, offset in zip(early, offsets) if counts[row["start"]](each[0], offset)]


def kill(it, name, processes):
    for each in list(it.running) if name == "all" else [name]:
        it.kill(each)
    if name == "all":
        it.start_all(*processes)
    else:
        it.start(name)


def try_row(it, row, seed):
    log = log_of(seed, row["partitions"])
    rollups, counted = begin(it, row, log)
    half = len(log) // 2
    send(it, log[RECORDS // 5:half])
    kill(it, row["killed"], row["processes"])
    send(it, log[half:])
    it.settle(90)
    prove_fold(it, counted + log[RECORDS // 5:], rollups, row["time_zone"])
    must_be_exact(it)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", help="instead of the revision")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--list", action="store_true", help="all rows of the seed, and nothing is run")
    arguments = parser.parse_args()
    seed = arguments.seed or subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"], capture_output=True,
                                            text=True).stdout.strip() or "0"
    rows = rows_of(seed)
    first = random.Random(f"place of {seed}").randrange(len(rows))
    chosen = [(first + i) % len(rows) for i in range(min(arguments.count, len(rows)))]
    print(f"seed {seed}: {len(rows)} rows have every pair; these are from {first} on")
    if arguments.list:
        for i, row in enumerate(rows):
            print(f"{i:3} {row}")
        return 0
    passed = 0
    with private_services() as (folder, services):
        for i in chosen:
            began, it = time.monotonic(), None
            try:
                it = Job(folder, services, f"row_{i}", partitions=rows[i]["partitions"])
                try_row(it, rows[i], f"{seed} {i}")
                passed += 1
                print(f"  row {i}: ok ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception as failure:
                text = str(failure) if isinstance(failure, Failure) else traceback.format_exc()
                print(f"  row {i}: FAILED: test_pairs.py --seed {seed}\n{rows[i]}\n{text}\n{it.logs() if it else ''}", flush=True)
            finally:
                if it:
                    it.end()
    print(f"{passed} passed, {len(chosen) - passed} failed")
    return 0 if passed == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
