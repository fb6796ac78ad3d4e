"""What checkpoints cost: the same backlog drained with one every 5 s and with none, in turn; and one with a million new keys."""
import statistics

from bed import in_turn, show
from part_drain import Drain, tell


def measure(bed):
    drain, records, rounds = Drain(bed), bed.arguments.records, 1 if bed.quick else 5
    topic = bed.backlog("backlog4", 4, records, 9)
    drain.once(topic, records, "1d")  # warms up

    def by_hand(job, _):
        made = job.checkpoint()
        show("a checkpoint of all keys", f"{made['ms']:.0f} ms, {made['bytes'] / 1e6:.1f} MB")
        return {"checkpoint": made}

    def drained(interval, _):
        return tell(f"drain, checkpoints every {interval}", drain.once(topic, records, interval, by_hand if interval == "1d" else None))
    runs = in_turn(rounds, ("1d", "5s"), drained)
    rates = {interval: [run["rate"] for run in each] for interval, each in runs.items()}
    made = [run["checkpoint"] for run in runs["1d"]]
    ratio = statistics.median(rates["5s"]) / statistics.median(rates["1d"])
    return {"records": records, "rates": rates, "ratio": ratio, "pairs": [a / b for a, b in zip(rates["5s"], rates["1d"])],
            "checkpoint": {"ms": [each["ms"] for each in made], "bytes": made[-1]["bytes"]}}
