"""Latency at 5,000 records/s while somebody else holds a snapshot open: PostgreSQL may then clean up nothing."""
import time

import psycopg2

from bed import latency_between, show

RATE = 5000


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
            begin = time.time()
            time.sleep(before)
            free = latency_between(job.url, begin, time.time())
            show("nobody holds a snapshot", f"p50 {free['p50']:.1f}, p99 {free['p99']:.1f} ms")
            reader = psycopg2.connect(job.url)
            reader.set_session(isolation_level="REPEATABLE READ", readonly=True)
            reader.cursor().execute("SELECT count(*) FROM transactions, sluice.frontier")
            begin, parts = time.time(), []
            for _ in range(5):
                since = time.time()
                time.sleep(held / 5)
                parts.append(latency_between(job.url, since, time.time()))
                show("a snapshot is held", f"p50 {parts[-1]['p50']:.1f}, p99 {parts[-1]['p99']:.1f} ms since {time.time() - begin:.0f} s")
            during = latency_between(job.url, begin, time.time())
            reader.close()
        finally:
            producer.end()
    return {"rate": RATE, "seconds": held, "free": free, "held": during, "parts": parts}
