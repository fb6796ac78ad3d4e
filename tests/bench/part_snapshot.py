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


def fifths_of(seconds):
    return [span(seconds / 5) for _ in range(5)]


def measure(bed):
    """As long without a snapshot as with one: a p99 is made by the worst moments of a machine, and these come by the minute."""
    warm, seconds = (5, 10) if bed.quick else (40, 300)  # Kafka's Java is slow at first
    bed.services.topic("snapshot", 4)
    with bed.job("snapshot") as job:
        for name in ("coordinator", "ingest-0", "aggregator-0", "sink"):
            job.start(name)
        job.wait_live(60)
        producer = bed.produce("snapshot", "--rate", RATE, "--seconds", warm + 2 * seconds + 10, "--seed", 6)
        try:
            time.sleep(warm)
            without = fifths_of(seconds)
            reader = psycopg2.connect(job.url)
            reader.set_session(isolation_level="REPEATABLE READ", readonly=True)
            reader.cursor().execute("SELECT count(*) FROM sluice.frontier")
            during = fifths_of(seconds)
            reader.close()
        finally:
            producer.end()
        job.settle(60)
        # Asked for when all is over: the question reads the whole table, which would be felt.
        result = {"rate": RATE, "seconds": seconds}
        for name, spans in (("free", without), ("held", during)):
            result[name] = dict(latency_of(job.url, *spans), fifths=[latency_of(job.url, one)["p99"] for one in spans])
            show(f"snapshot {name}", f"p50 {result[name]['p50']:.1f}, p99 {result[name]['p99']:.1f} ms; p99 by fifths "
                 + ", ".join(f"{p99:.0f}" for p99 in result[name]["fifths"]))
    return result
