"""How long nothing new is committed after kill -9, by kind of process, with and without another one of its role.

Everything runs under supervisord, which needs 1.02 s to start a killed process again. The load is 5,000 records/s, checkpoints
are every 5 s, and the moment of a kill is drawn from a seed: anywhere between two checkpoints.
"""
import datetime, json, os, random, signal, time

from bed import Failure, Supervised, Watch, percentiles, show, wait_for

RATE, LOSS_SECONDS = 5000, 30
# What the coordinator logs on the way, in this order.
STEPS = (("noticed", "is lost: "), ("gathered", " begins with "), ("deployed", " runs from checkpoint "), ("replayed", "has reached the frontier"))
ROLES = ("ingest", "aggregator", "sink")


class Recovery:
    def __init__(self, run, job, seed):
        self.run, self.job, self.random = run, job, random.Random(seed)
        self.log = open(os.path.join(run.logs, "coordinator.log"), encoding="utf-8")

    def workers(self, role):
        return [w for w in (self.job.status() or {}).get("workers", []) if w["process"] == role]

    def steady(self, peers, evened):
        """Everybody is back; evened: and has got actors to do."""
        state = self.job.status()
        if not state or not state["live"]:
            return False
        for role in ROLES:
            workers = [w for w in state["workers"] if w["process"] == role]
            if len(workers) < peers or (evened and role != "sink" and any(w["actors"] == "" for w in workers)):
                return False
        return True

    def victim(self, role):
        if role == "coordinator":
            return next(p["pid"] for p in self.run.processes() if p["name"] == role)
        return self.random.choice([w["pid"] for w in self.workers(role) if w["actors"] != ""])

    def steps(self, since):
        """Seconds from the kill to what the coordinator logged about it; of several attempts, the last one's."""
        found = {}
        for line in self.log.readlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            at = datetime.datetime.fromisoformat(entry["ts"].replace("Z", "+00:00")).timestamp() - since
            for step, words in STEPS:
                if at >= 0 and words in entry["msg"] and not (step == "noticed" and step in found):
                    found[step] = at
        return found

    def once(self, role, peers):
        patient = self.random.random() < 0.75
        wait_for("everybody is back", lambda: self.steady(peers, patient and peers > 1), 60)
        time.sleep(self.random.uniform(0.3, 5.3))
        wait_for("everybody is there", lambda: self.steady(peers, False), 60)  # actors may be on their way to another process
        pid = self.victim(role)
        self.log.readlines()
        watch = Watch(self.job.url)
        try:
            fence, since, wall = watch.fence(), time.monotonic(), time.time()
            os.kill(pid, signal.SIGKILL)
            took = watch.wait_new(fence, since, LOSS_SECONDS)
        finally:
            watch.close()
        time.sleep(0.05)  # the log
        return {"role": role, "seconds": took, "steps": self.steps(wall)}


def kill_many(bed, name, roles, kills, ingest, aggregators, sinks):
    """kills of each role, in turn."""
    topic = f"recovery-{name.replace(' ', '-')}"
    bed.services.topic(topic, 4)
    found = []
    with bed.job(topic) as job:
        with Supervised(job, ingest, aggregators, sinks) as run:
            job.wait_live(60)
            producer = bed.produce(topic, "--rate", RATE, "--seed", 3)
            try:
                recovery, peers = Recovery(run, job, bed.arguments.seed), min(ingest, aggregators, sinks)
                time.sleep(6)  # the first checkpoint
                for count in range(kills):
                    for role in roles:
                        found.append(recovery.once(role, peers))
                        show(f"kill -9 {role}", f"{found[-1]['seconds'] * 1000:5.0f} ms  " + ", ".join(
                            f"{k} {v * 1000:.0f}" for k, v in found[-1]["steps"].items()) + f"   ({count + 1} of {kills}, {name})")
                if producer.process.poll() is not None:
                    raise Failure("the producer has ended before its time")
            finally:
                producer.end()
    return found


def measure(bed):
    with_peer, alone = (2, 1) if bed.quick else (34, 12)
    kills = bed.arguments.kills
    if kills:
        with_peer, alone = kills, kills
    return {
        "rate": RATE, "seed": bed.arguments.seed,
        "peer": kill_many(bed, "with a peer", ROLES, with_peer, 2, 2, 2),
        "alone": kill_many(bed, "alone", ("coordinator", *ROLES), alone, 1, 1, 1),
    }
