#!/usr/bin/python3
"""What people read is what there is: status and frontier against a log, a checkpoint folder and processes that are known."""
import subprocess, sys, time

from jobs import Failure, must_be, run_cases, sql, wait_for
from members import fold, partition_of, payload_of, prove_fold, record_of, write_pipeline
from services import BIN

PARTITIONS = 3


def checkpoint(it):
    done = subprocess.run([str(BIN / "sluicectl"), "checkpoint"], env=it.environment, text=True, capture_output=True)
    must_be(f"exit code of checkpoint\n{done.stdout}{done.stderr}", done.returncode, 0)


def log_of(name):
    """Of 40 records 30 are new, 4 repeats, 3 conflicts, 3 poison."""
    log = [record_of(f"{name}-{i}", shop=i) for i in range(30)]
    log += log[:4] + [{**record, "note": "other"} for record in log[:3]]
    return [(partition_of(r["id"], PARTITIONS), payload_of(r), r) for r in log] + [(i, b"{", None) for i in range(3)]


def send(it, log):
    it.send([(partition, None, payload) for partition, payload, _ in log])
    it.settle()


def must_agree(it, log, since):
    """All that status says, of a job that has nothing to do; since: when the last record was sent."""
    wait_for("nothing is in flight", lambda: it.status()["in_flight"] == 0 and it.status()["epoch"] != "0.0", 20)
    status, (attempt, epoch, cut, counters) = it.status(), it.frontier()
    counted = fold(log)[1]
    must_be("the frontier's counters", {n: counters.get(n, 0) for n in counted}, counted)
    must_be("counters", {n: status["counters"][n] for n in counted}, counted)
    must_be("unknown fields", status["counters"]["unknown_fields"], 0)
    must_be("epoch", status["epoch"], f"{attempt}.{epoch}")
    must_be("cut", status["cut"], cut)
    must_be("cut", cut, it.ends())
    must_be("lag", status["lag"], 0)
    must_be("job and state", (status["job"], status["state"], status["live"], status["waiting"]), (f"{it.name}/totals", "RUNNING", True, ""))
    if not since <= status["committed_us"] / 1e6 <= time.time() or status["commit_us"] > (time.time() - since) * 1e6 + 60e6:
        raise Failure(f"committed at {status['committed_us']}, in {status['commit_us']} us: sent at {since}, it is {time.time()}")
    pids = {name: process.pid for name, process in it.running.items() if name != "coordinator"}
    must_be("processes", {w["worker"]: w["pid"] for w in status["workers"]}, pids)
    must_be("roles", {w["worker"]: w["process"] for w in status["workers"]}, {name: name.split("-")[0] for name in pids})
    text = subprocess.run([str(BIN / "sluicectl"), "status"], env=it.environment, text=True, capture_output=True).stdout
    for words in (*(f"{name} {n}" for name, n in counted.items()), f"epoch      {attempt}.{epoch}", "0 records"):
        if words not in text:
            raise Failure(f"status does not say {words!r}:\n{text}")
    return status["checkpoint"], status["attempts_ended"]


def files_of(it, name):
    """Bytes of a checkpoint's own files."""
    folder = it.folder / "checkpoints" / it.name / "totals/checkpoints" / name
    return sum(path.stat().st_size for path in folder.iterdir() if path.name != "manifest")


def status_is_what_there_is(job):
    it = job(partitions=PARTITIONS)
    write_pipeline(it, settings=('checkpoint: {dir: "${CHECKPOINT_DIR}", interval: 1d}',))
    it.start_all(ingest=2, aggregators=2).wait_live()
    log, sizes = [], []
    for turn in range(2):
        more, since = log_of(f"turn {turn}"), time.time()
        log += more
        send(it, more)
        must_agree(it, log, since)
        before = time.time()
        checkpoint(it)
        found, ended = must_agree(it, log, since)
        newest = sql(it.url, "SELECT attempt || '.' || epoch FROM sluice.checkpoints ORDER BY attempt DESC, epoch DESC LIMIT 1")[0]
        sizes.append(files_of(it, newest))
        must_be("checkpoint", (found["latest"], found["restored"], found["completed"], found["failed"]), (newest, "0.0", turn + 1, 0))
        must_be("bytes that are new, and in all", (found["bytes"], found["whole_bytes"]), (sizes[-1], sum(sizes)))
        must_be("attempts that have ended", ended, 0)
        if not before <= found["completed_us"] / 1e6 <= time.time() or not 0 < found["took_us"] <= (time.time() - before) * 1e6:
            raise Failure(f"the checkpoint was asked for at {before}: {found}")
    it.restart("aggregator-0")
    wait_for("another attempt", lambda: (it.status() or {}).get("attempts_ended") == 1, 30)
    it.wait_live()
    more, since = log_of("turn 2"), time.time()
    send(it, more)
    found, ended = must_agree(it, log + more, since)
    must_be("restored from the newest, ended", (found["restored"], ended), (newest, 1))
    prove_fold(it, log + more)


CASES = (status_is_what_there_is,)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
