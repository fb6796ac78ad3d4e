#!/usr/bin/python3
"""Who is who: host name and pid are the same in two containers, and two processes may be given one name."""
import subprocess, sys, time

from jobs import EXIT_CONFIG, Failure, must_be, run_cases, wait_for
from services import BIN


def start_by_hand(it, name, program, *words, alone=True):
    """As in a container of its own: pid 1 there. name: of its log."""
    namespace = ("unshare", "--pid", "--fork", "--kill-child") if alone else ()
    with open(it.folder / f"{name}.log", "ab") as log:
        it.running[name] = subprocess.Popen([*namespace, str(BIN / program), *words], env=it.environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)


def lines_of(it, name="coordinator"):
    return (it.folder / f"{name}.log").read_text(errors="replace").splitlines()


def quiet_for(it, seconds):
    """The job goes on, and no log grows by more than a few lines."""
    before = sum(len(lines_of(it, name)) for name in it.running)
    time.sleep(seconds)  # nothing is waited for: nothing is to happen
    more = sum(len(lines_of(it, name)) for name in it.running) - before
    if more > 10:
        raise Failure(f"{more} log lines in {seconds} s")


def nameless_ones_with_one_pid(job):
    """Ingests, aggregators and sinks, two of each, all of them pid 1 on one host."""
    it = job()
    it.produce(2000, "--rate", 0)
    it.start("coordinator")
    for kind in ("sink", "aggregator", "ingest"):
        for number in range(2):
            start_by_hand(it, f"{kind}-{number}", f"sluice-{kind}")
    it.wait_live()
    it.settle()
    wait_for("all are there", lambda: len(it.status()["workers"]) == 6, 20)
    names = [worker["worker"] for worker in it.status()["workers"]]
    must_be("different names", len(set(names)), 6)
    must_be("pids", {worker["pid"] for worker in it.status()["workers"]}, {1})
    wait_for("each hosts something", lambda: sum(not worker["actors"] for worker in it.status()["workers"]) <= 1, 30)
    quiet_for(it, 3)
    it.restart("coordinator")  # all start afresh, and stay who they are
    wait_for("all are there again", lambda: {w["worker"] for w in (it.status() or {"workers": []})["workers"]} == set(names), 30)
    it.wait_live()
    it.produce(1000, "--rate", 0, seed=2)
    it.settle()
    it.prove()


def two_of_one_name(job):
    """The second one is told and ends, with one pid or two; the first one is not disturbed."""
    it = job()
    it.produce(2000, "--rate", 0)
    it.start("coordinator")
    for kind in ("sink", "aggregator", "ingest"):
        start_by_hand(it, kind, f"sluice-{kind}", "--name", kind)
    it.wait_live()
    it.settle()
    ended = it.status()["attempts_ended"]
    for kind in ("sink", "aggregator", "ingest"):
        for alone in (True, False):
            start_by_hand(it, "second", f"sluice-{kind}", "--name", kind, alone=alone)
            it.exits_with(EXIT_CONFIG, 20, ["second"])
            said = lines_of(it, "second")[-1]
            if f"is registered as {kind}" not in said or "own name" not in said:
                raise Failure(f"the second one says: {said}")
    must_be("attempts that ended", it.status()["attempts_ended"], ended)
    quiet_for(it, 2)
    it.produce(1000, "--rate", 0, seed=2)
    it.settle()
    it.prove()


def a_name_is_free_again(job):
    """kill -9, and somebody else takes it at once."""
    it = job()
    it.produce(1000, "--rate", 0)
    it.start("coordinator")
    for kind in ("sink", "aggregator", "ingest"):
        start_by_hand(it, kind, f"sluice-{kind}", "--name", kind)
    it.wait_live()
    for kind in ("aggregator", "ingest", "sink"):
        it.kill(kind)
        start_by_hand(it, kind, f"sluice-{kind}", "--name", kind)
        it.wait_live()
    it.settle()
    it.prove()


CASES = (nameless_ones_with_one_pid, two_of_one_name, a_name_is_free_again)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
