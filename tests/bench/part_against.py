"""The programs of another revision and today's in turn, on the same backlog: what a change costs, whatever the machine is like today.

CPU-seconds depend on the machine as well, only less than seconds do; the same programs have cost half as much again on another day.
"""
import subprocess

from bed import BenchJob, Failure, in_turn, show
from part_drain import Drain, tell
from services import ROOT, call

RATE = 5000


def built(revision, folder):
    """A tree of that revision with its programs."""
    call("git", "clone", "-q", "--shared", ROOT, folder)
    call("git", "-C", folder, "checkout", "-q", "--detach", revision)
    show("build", revision)
    done = subprocess.run([folder / "scripts/build", "release"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure(f"{revision} does not build:\n{done.stdout[-3000:]}")
    return folder


def revision_of(name):
    """(its hash, its day); a name means what it means in this tree."""
    return call("git", "-C", ROOT, "log", "-1", "--format=%h %cs", name).split()


def measure(bed):
    revision, day = revision_of(bed.arguments.against)
    tree, drain, records = built(revision, bed.folder / "other"), Drain(bed), bed.arguments.records

    class OtherJob(BenchJob):
        bin, shipped = tree / "build/release/bin", tree / "compose/pipeline.yaml"

    kinds = {"other": (f"{revision} of {day}", OtherJob), "now": ("now", BenchJob)}

    def pairs(name, count, run):
        def one(key, n):
            title, bed.job_kind = kinds[key]
            return run(f"{name}, {title}", f"{name}-{key}-{n}")
        return in_turn(count, ("other", "now"), one)

    def backlog(name, partitions, count):
        topic = bed.backlog(name, partitions, count, 9)
        return lambda title, _: tell(title, drain.once(topic, count))

    def live(title, topic):
        found = drain.latency(topic, RATE, 5 if bed.quick else bed.arguments.seconds, "5s")
        show(title, f"p50 {found['p50']:.1f}, p99 {found['p99']:.1f} ms, {found['cpu']:.2f} CPU-s per million")
        return found
    few = 1 if bed.quick else 3
    drain.once(bed.backlog("backlog4", 4, records, 9), records)  # warms up
    return {"revision": revision, "day": day, "rate": RATE,
            "drain": pairs("drain", few + 2, backlog("backlog4", 4, records)),
            "large": pairs("drain, four times as many", few, backlog("backlog-large", 4, 4 * records)),
            "keys": pairs("drain, many keys", 1, backlog("backlog-keys", 4, bed.arguments.keys)),
            "live": pairs("live", few + 2, live)}
