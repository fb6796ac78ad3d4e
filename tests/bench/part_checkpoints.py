"""What checkpoints cost: the same backlog drained with one every 5 s and with none, in turn; and one with a million new keys."""
import statistics

from bed import show
from part_drain import Drain, tell


def measure(bed):
    drain, records, rounds = Drain(bed), bed.arguments.records, 1 if bed.quick else 5
    topic = bed.backlog("backlog4", 4, records, 9)
    rates, checkpoint = {"1d": [], "5s": []}, {}
    drain.once(topic, records, "1d")  # warms up
    for n in range(rounds):
        for interval in ("1d", "5s") if n % 2 == 0 else ("5s", "1d"):
            def by_hand(job, _, interval=interval):
                return {"checkpoint": job.checkpoint()} if interval == "1d" else {}
            found = tell(f"drain, checkpoints every {interval}", drain.once(topic, records, interval, by_hand))
            rates[interval].append(found["rate"])
            if "checkpoint" in found:
                checkpoint.setdefault("ms", []).append(found["checkpoint"]["ms"])
                checkpoint["bytes"] = found["checkpoint"]["bytes"]
                show("a checkpoint of all keys", f"{found['checkpoint']['ms']:.0f} ms, {found['checkpoint']['bytes'] / 1e6:.1f} MB")
    ratio = statistics.median(rates["5s"]) / statistics.median(rates["1d"])
    return {"records": records, "rates": rates, "ratio": ratio, "pairs": [a / b for a, b in zip(rates["5s"], rates["1d"])], "checkpoint": checkpoint}
