#!/usr/bin/python3
"""The order in which the processes make a checkpoint durable, watched in a real job, and power cuts that drop what was not synced."""
import random, shutil, sys, time

from audits import must_be_exact
from disk import Disk
from jobs import Failure, run_cases, wait_for
from members import all_rows
from shim import preloaded

OFTEN = [("interval: 5s", "interval: 100ms"), ("retain: 3", "retain: 2")]


def watched(job):
    it = job(changes=OFTEN)
    folder = it.folder / "disk/checkpoints"
    folder.mkdir(parents=True)
    it.environment.update(CHECKPOINT_DIR=str(folder), **preloaded(folder.parent, journal=it.folder / "journal"))
    (it.folder / "journal").touch()
    return it, Disk(folder, it.folder / "journal")


def completed(it):
    """How many checkpoints the coordinator has seen complete, by its log: their manifests are durable."""
    return (it.folder / "coordinator.log").read_text().count(" is complete: ")


def power_cuts(job):
    """All die at once, and the machine with them: its cache is no cache any more."""
    it, disk = watched(job)
    rng, cuts, attempts = random.Random("power"), 4, set()
    for turn in range(cuts):
        before = it.consumed()
        it.produce(2000, "--rate", 0, seed=turn)
        it.start_all(ingest=2, aggregators=2)
        done = completed(it)
        wait_for("records, and a checkpoint of them", lambda: it.consumed() > before and completed(it) > done, 60)
        time.sleep(rng.uniform(0.05, 0.6))
        for process in it.running.values():
            process.kill()
        it.end()
        lost = disk.cut()
        named = all_rows(it.url, "SELECT attempt, epoch FROM sluice.checkpoints ORDER BY attempt, epoch")
        left = [f"{a}.{e}" for a, e in named if list(disk.root.glob(f"**/checkpoints/{a}.{e}/manifest"))]
        if not left:
            raise Failure(f"of {named}, which the database names, no manifest was left with the power")
        if it.fence() in attempts:
            raise Failure(f"attempt {it.fence()} was taken twice")
        attempts.add(it.fence())
        print(f"    {lost} names are lost, {', '.join(left)} are left of {len(named)} checkpoints")
        shutil.rmtree(it.environment["STATE_DIR"], ignore_errors=True)
    it.start_all(ingest=2, aggregators=2)
    it.settle()
    disk.follow()
    must_be_exact(it)
    it.prove()


CASES = (power_cuts,)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
