"""Latency at 5,000 records/s once a backlog has been drained: with 1, 4 and 16 partitions, and behind four times as many records."""
import time

from bed import latency_of, middle_of, show
from part_drain import Drain

RATE = 5000
SPANS = 3  # the middle one counts: autovacuum looks in once a minute


def measure(bed):
    drain, records, seconds = Drain(bed), bed.arguments.records, 2 if bed.quick else 15

    def live(name, partitions, count):
        """In a topic of its own: the records of the live part stay in it."""
        topic = bed.backlog(f"growth-{name}", partitions, count, 12)

        def run(job, _):
            began = time.time()
            bed.produce(topic, "--rate", RATE, "--seconds", 3 + SPANS * seconds, "--seed", 99).wait()
            time.sleep(1)
            begins = [began + 3 + n * seconds for n in range(SPANS)]
            return {"latency": middle_of([latency_of(job.url, (begin, begin + seconds)) for begin in begins])}
        found = drain.once(topic, count, keep=run)["latency"]
        show(f"{count:,} in {partitions} partitions", f"then live: p50 {found['p50']:.1f}, p99 {found['p99']:.1f} ms; p99 of all spans: "
             + ", ".join(f"{p99:.0f}" for p99 in found["p99s"]))
        return found
    live("warm", 4, records)  # Kafka's Java is slow at first
    cases = (("1", 1, records), ("4", 4, records), ("16", 16, records), ("large", 4, 4 * records))
    return {"rate": RATE, "records": records, "cases": {name: live(name, partitions, count) for name, partitions, count in cases}}
