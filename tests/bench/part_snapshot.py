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


def spell(bed, topic, holds):
    """A job and a table of its own, from the first record on: what a larger table costs is in both."""
    warm, seconds = (5, 10) if bed.quick else (40, 300)  # Kafka's Java is slow at first
    bed.services.topic(topic, 4)
    with bed.job(topic) as job:
        for name in ("coordinator", "ingest-0", "aggregator-0", "sink"):
            job.start(name)
        job.wait_live(60)
        producer = bed.produce(topic, "--rate", RATE, "--seconds", warm + seconds + 10, "--seed", 6)
        try:
            time.sleep(warm)
            reader = psycopg2.connect(job.url)
            if holds:
                reader.set_session(isolation_level="REPEATABLE READ", readonly=True)
                reader.cursor().execute("SELECT count(*) FROM sluice.frontier")
            fifths = [span(seconds / 5) for _ in range(5)]
            reader.close()
        finally:
            producer.end()
        job.settle(60)
        # Asked for when all is over: the question reads the whole table, which would be felt.
        found = dict(latency_of(job.url, *fifths), seconds=seconds, fifths=[latency_of(job.url, one)["p99"] for one in fifths])
    show("a snapshot is held" if holds else "nobody holds a snapshot", f"p50 {found['p50']:.1f}, p99 {found['p99']:.1f} ms; p99 by fifths "
         + ", ".join(f"{p99:.0f}" for p99 in found["fifths"]))
    return found


def measure(bed):
    return {"rate": RATE, "free": spell(bed, "snapshot-free", False), "held": spell(bed, "snapshot-held", True)}
