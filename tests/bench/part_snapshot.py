"""Latency at 5,000 records/s while somebody else holds a snapshot open: PostgreSQL may then clean up nothing."""
import time

import psycopg2

from bed import latency_between, show

RATE = 5000


def span(seconds):
    """When it began and when it ended."""
    begin = time.time()
    time.sleep(seconds)
    return begin, time.time()


def measure(bed):
    warm, before, held = (5, 5, 10) if bed.quick else (40, 60, 300)  # Kafka's Java is slow at first
    bed.services.topic("snapshot", 4)
    with bed.job("snapshot") as job:
        for name in ("coordinator", "ingest-0", "aggregator-0", "sink"):
            job.start(name)
        job.wait_live(60)
        producer = bed.produce("snapshot", "--rate", RATE, "--seconds", warm + before + held + 10, "--seed", 6)
        try:
            time.sleep(warm)
            free = span(before)
            reader = psycopg2.connect(job.url)
            reader.set_session(isolation_level="REPEATABLE READ", readonly=True)
            reader.cursor().execute("SELECT count(*) FROM sluice.frontier")
            fifths = [span(held / 5) for _ in range(5)]
            reader.close()
        finally:
            producer.end()
        job.settle(60)
        # Asked for when all is over: the question reads the whole table, which would be felt.
        free, during = latency_between(job.url, *free), latency_between(job.url, fifths[0][0], fifths[-1][1])
        parts = [latency_between(job.url, *fifth) for fifth in fifths]
    show("nobody holds a snapshot", f"p50 {free['p50']:.1f}, p99 {free['p99']:.1f} ms")
    for n, part in enumerate(parts, 1):
        show(f"a snapshot is held, fifth {n}", f"p50 {part['p50']:.1f}, p99 {part['p99']:.1f} ms")
    return {"rate": RATE, "seconds": held, "free": free, "held": during, "parts": parts}
