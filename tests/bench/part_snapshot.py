"""Latency at 5,000 records/s while somebody else holds a snapshot open: PostgreSQL may then clean up nothing."""
import time

import psycopg2

from bed import latency_of, show

RATE = 5000


def span(seconds):
    """When it began and when it ended."""
    begin = time.time()
    time.sleep(seconds)
    return begin, time.time()


def measure(bed):
    # Kafka's Java is slow at first. Once the snapshot is given back, the old versions are cleaned up within 40 s (postgres_places.h).
    warm, free, held, rest = (5, 5, 10, 5) if bed.quick else (40, 60, 300, 45)
    bed.services.topic("snapshot", 4)
    with bed.job("snapshot") as job:
        for name in ("coordinator", "ingest-0", "aggregator-0", "sink"):
            job.start(name)
        job.wait_live(60)
        producer = bed.produce("snapshot", "--rate", RATE, "--seconds", warm + 2 * free + held + rest + 10, "--seed", 6)
        try:
            time.sleep(warm)
            without = [span(free)]
            reader = psycopg2.connect(job.url)
            reader.set_session(isolation_level="REPEATABLE READ", readonly=True)
            reader.cursor().execute("SELECT count(*) FROM sluice.frontier")
            fifths = [span(held / 5) for _ in range(5)]
            reader.close()
            time.sleep(rest)
            without.append(span(free))
        finally:
            producer.end()
        job.settle(60)
        # Asked for when all is over: the question reads the whole table, which would be felt.
        around = [latency_of(job.url, one) for one in without]
        free, during = latency_of(job.url, *without), latency_of(job.url, *fifths)
        parts = [latency_of(job.url, fifth) for fifth in fifths]
    for when, part in zip(("before", "after"), around):
        show(f"nobody holds a snapshot, {when}", f"p50 {part['p50']:.1f}, p99 {part['p99']:.1f} ms")
    for n, part in enumerate(parts, 1):
        show(f"a snapshot is held, fifth {n}", f"p50 {part['p50']:.1f}, p99 {part['p99']:.1f} ms")
    return {"rate": RATE, "seconds": held, "free": free, "around": around, "held": during, "parts": parts}
