"""Latency at 5,000 records/s once a backlog has been drained: with 1, 4 and 16 partitions, and behind four times as many records."""
import time

from bed import latency_between, show
from part_drain import Drain

RATE = 5000


def measure(bed):
    drain, records, seconds = Drain(bed), bed.arguments.records, 5 if bed.quick else 20

    def live(topic):
        def run(job, _):
            began = time.time()
            bed.produce(topic, "--rate", RATE, "--seconds", seconds, "--seed", 99).wait()
            time.sleep(1)
            return {"latency": latency_between(job.url, began + 3, time.time())}
        return run
    found = {}
    for name, partitions, count in (("4", 4, records), ("1", 1, records), ("16", 16, records), ("large", 4, 4 * records)):
        topic = bed.backlog(f"growth-{name}", partitions, count, 12)
        found[name] = drain.once(topic, count, keep=live(topic))["latency"]
        show(f"{count:,} in {partitions} partitions", f"then live: p50 {found[name]['p50']:.1f}, p99 {found[name]['p99']:.1f} ms")
    return {"rate": RATE, "records": records, "cases": found}
