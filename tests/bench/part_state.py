"""Many keys: what a record costs with them, what memory they take, and how long the whole pipeline takes to start again with them,
with its caches and without."""
import re, subprocess, time

from bed import Failure, Watch, call, show, wait_for
from part_drain import Drain, tell

NAMES = ("coordinator", "ingest-0", "aggregator-0", "sink")


def start_again(bed, job, watch, topic, records, what):
    """All killed at once and started at once; a few new records wait, so that there is something to commit."""
    job.end()
    bed.produce(topic, "--rate", 0, "--count", 1000, "--seed", time.time_ns() % 2**31).wait()
    fence, began = watch.fence(), time.monotonic()
    for name in NAMES:
        job.start(name)
    seconds = watch.wait_new(fence, began, 300)
    loaded = [int(ms) for ms in re.findall(r"taken into the cache in ([0-9]+) ms", (job.folder / "aggregator-0.log").read_text())]
    show(f"restart, {what}", f"{seconds:.2f} s to the first new epoch")
    return {"seconds": seconds, "keys_per_second": records / seconds, "loads_ms": loaded[-2:]}


def measure(bed):
    records = bed.arguments.keys
    topic = bed.backlog("backlog-keys", 4, records, 11)

    def restarts(job, watch):
        job.checkpoint()
        found = {"cached": start_again(bed, job, watch, topic, records, "caches intact")}
        job.checkpoint()
        job.end()
        call("rm", "-rf", job.environment["STATE_DIR"])
        found["rebuilt"] = start_again(bed, job, watch, topic, records, "caches gone")
        return found
    return tell(f"drain of {records:,} keys", Drain(bed).once(topic, records, keep=restarts))
