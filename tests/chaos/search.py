#!/usr/bin/python3
"""Attacks the search copy: Elasticsearch itself, the way to it, and the processes of the search job, while both jobs run.

The totals must not notice what happens to Elasticsearch. At the end every document is that of the topic, by a reading of its own,
and of the rows; what Elasticsearch refused has a letter; and the writers have counted each record once. Which faults come in which
order follows from the seed.
"""
import collections, json, random, signal, subprocess, sys, threading, time

from bed import CRASH_POINTS, ROOT, Bed, Failure, ProxiedServices, RunDir, call, wait_for
from documents import CONTROL, NUMBERS_ONLY, control_documents, cut_of, mapping, newest_controls, prove_documents, prove_like_rows
from rounds import Deck, folder_of_failed, read_arguments, run_rounds, say
from services import Elasticsearch, audit

HEARTBEAT = 5
WRITERS = 2
ROUND_MINUTES = 4  # the snapshot reader's questions grow with the tables, and Elasticsearch has the same two cores
Fault = collections.namedtuple("Fault", "name share run spares_totals")
FAULTS = {}


def fault(share=1, spares_totals=True):
    """spares_totals: the totals have to go on in the same attempt meanwhile."""
    def keep(run):
        FAULTS[run.__name__] = Fault(run.__name__, share, run, spares_totals)
        return run
    return keep


class SearchServices(ProxiedServices):
    """And an Elasticsearch, behind a proxy, too."""

    def start(self):
        super().start()
        self.elasticsearch = Elasticsearch(self.kafka.parent).start()
        self.elastic_proxy = self.network.proxy(int(self.elasticsearch.url.rsplit(":", 1)[1]))

    def stop(self):
        if hasattr(self, "elasticsearch"):
            self.elasticsearch.end()
        super().stop()


class SearchBed(Bed):
    def __init__(self, folder, services, seed, rate):
        self.elastic = services.elasticsearch
        index = f"index: chaos_{seed}-%Y.%m"
        super().__init__(folder, services, seed, rate, (("# index: transactions-%Y.%m", index), ("search: 1}", f"search: {WRITERS}}}")))
        self.environment["ELASTICSEARCH_URL"] = f"http://127.0.0.1:{services.elastic_proxy.port}"
        self.misfits, self.sent = [], 0

    def write_wrappers(self, spared):
        super().write_wrappers((*spared, self.services.elastic_proxy.port))

    def deploy(self):
        done = subprocess.run([ROOT / "scripts/up", "--run-dir", self.run_dir, "--config", self.folder / "pipeline.yaml", "--search", str(WRITERS)],
                              env=dict(self.environment, SLUICE_BIN=str(self.wrappers)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Failure(f"scripts/up: exit {done.returncode}\n{done.stdout}")
        self.run = RunDir(self.run_dir)
        # February 2024 copies the brand into a number: not every brand is one.
        self.elastic.ask("PUT", f"/{self.name}-2024.02", {"mappings": mapping(**NUMBERS_ONLY)})

    def send_misfits(self, rng):
        from confluent_kafka import Producer
        producer = Producer({"bootstrap.servers": self.services.brokers, "enable.idempotence": True, "log_level": 0})
        for _ in range(rng.randrange(1, 300)):
            self.sent += 1
            fits, key = rng.random() < 0.5, f"february-{self.sent}"
            if not fits:
                self.misfits.append(key)
            producer.produce(self.name, json.dumps({
                "transaction_id": key, "product_category": "books", "total_amount": 1, "product_brand": "7" if fits else f"brand {key}",
                "transaction_date": f"2024-02-{rng.randrange(1, 30):02}T12:00:00Z"}).encode(), key.encode())
        if producer.flush(60):
            raise Failure("not everything was delivered to Kafka")

    def ends(self):
        return {int(p): end for p, end in self.services.ends(self.name, 30).items()}

    def search_cut(self):
        try:
            return cut_of(newest_controls(self.elastic, self.name)) or {}
        except Failure:
            return {}

    def await_search(self, seconds, over=False):
        """Everything that is in Kafka now is in Elasticsearch; how long it took. over: nothing more is produced."""
        began, ends = time.monotonic(), self.ends()

        def there():
            if not over:
                self.check()
            cut = self.search_cut()
            return all(cut.get(p, 0) >= end for p, end in ends.items())
        wait_for(f"the search job's cut {ends}", there, seconds)
        return time.monotonic() - began

    def prove_search(self):
        controls = control_documents(self.elastic, self.name)
        if len(controls) != WRITERS:
            raise Failure(f"there are {WRITERS} writers, and control documents of {sorted(controls)}")
        self.elastic.refresh(f"{self.name}-*")
        letters = self.elastic.documents(f"{self.name}-dead-letters")
        dead = collections.Counter(letter["key"] for letter in letters.values())
        if dead != collections.Counter(self.misfits):
            raise Failure(f"{len(letters)} letters of {len(dead)} keys; {len(self.misfits)} documents do not fit")
        index = f"{self.name}-2*"
        records = prove_documents(self.elastic, self.services.brokers, self.name, index, cut_of(controls), dead)
        prove_like_rows(self.elastic, index, self.url, dead)
        counted = sum(control["counters"]["consumed"] for control in controls.values())
        if counted != records:
            raise Failure(f"the writers have counted {counted} documents, {records} came")
        audit(dict(self.environment, ELASTICSEARCH_URL=self.elastic.url), "--job", "search")
        return records

    def close(self, keep_logs):
        super().close(keep_logs)
        if keep_logs is not None:
            call("cp", self.elastic.folder / "node.log", keep_logs)


# ---- processes -----------------------------------------------------------------------------------------------------------
def search_names(bed, kind=""):
    return sorted(name for name in bed.pids() if name.startswith(f"search-{kind}"))


def kill_of(kind, share):
    def run(bed, rng):
        names = search_names(bed, kind)
        bed.signal(rng.sample(names, min(len(names), rng.randrange(1, 3))), signal.SIGKILL)
    run.__name__ = f"kill_search_{kind}"
    fault(share)(run)


kill_of("sink", 3)
kill_of("ingest", 2)


@fault(2)
def kill_search(bed, rng):
    bed.signal(search_names(bed), signal.SIGKILL)


@fault(2, spares_totals=False)
def kill_coordinator(bed, rng):
    bed.signal(["coordinator"], signal.SIGKILL)


@fault(1, spares_totals=False)
def kill_all(bed, rng):
    bed.signal(sorted(bed.pids()), signal.SIGKILL)


@fault(2)
def stop_search_sink(bed, rng):
    """Declared lost while it is stopped, it wakes up as a zombie."""
    names = rng.sample(search_names(bed, "sink"), 1)
    bed.signal(names, signal.SIGSTOP)
    time.sleep(rng.choice((rng.uniform(0.5, 3), HEARTBEAT + rng.uniform(0.5, 3))))
    bed.signal(names, signal.SIGCONT)


@fault(3)
def crash_point(bed, rng):
    """A writer dies at a place that was chosen for it, where one comes by."""
    point = rng.choice([name for name, when in CRASH_POINTS.items() if when in ("documents", "behind", "refused", "fencing")])
    bed.arm(point)
    if CRASH_POINTS[point] == "refused":
        bed.send_misfits(rng)
    if CRASH_POINTS[point] == "fencing":
        bed.signal(rng.sample(search_names(bed, "sink"), 1), signal.SIGKILL)
    bed.await_hit(point, 6)
    bed.disarm(point)


# ---- Elasticsearch -------------------------------------------------------------------------------------------------------
@fault(2)
def elasticsearch_killed(bed, rng):
    bed.elastic.kill()
    time.sleep(rng.uniform(0, 4))
    bed.elastic.start()


@fault(1)
def elasticsearch_stopped(bed, rng):
    bed.elastic.stop()
    time.sleep(rng.uniform(0, 4))
    bed.elastic.start()


@fault(2)
def elasticsearch_frozen(bed, rng):
    bed.elastic.freeze()
    try:
        time.sleep(rng.choice((rng.uniform(0.5, 3), rng.uniform(8, 15))))
    finally:
        bed.elastic.thaw()


def blocked_by(how):
    def run(bed, rng):
        indices = f"{bed.name}-*,{CONTROL}"
        bed.elastic.block(indices, how)
        time.sleep(rng.uniform(1, 5))
        bed.elastic.block(indices, how, False)
    run.__name__ = f"blocked_by_{how}"
    fault(1)(run)


for each in ("read_only_allow_delete", "write", "read_only"):
    blocked_by(each)


@fault(2)
def queue_of_one(bed, rng):
    """With others who want to be served as well."""
    bed.elastic.restart(*Elasticsearch.QUEUE_OF_ONE)
    over = threading.Event()

    def crowd():
        while not over.is_set():
            try:
                bed.elastic.ask("PUT", f"/crowd/_doc/{threading.get_ident() % 7}", {"n": 1})
            except Failure:
                pass  # refused, as it is meant
    threads = [threading.Thread(target=crowd) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(rng.uniform(3, 8))
    over.set()
    for thread in threads:
        thread.join()
    bed.elastic.restart()


@fault(3)
def documents_that_do_not_fit(bed, rng):
    bed.send_misfits(rng)


# ---- the network ---------------------------------------------------------------------------------------------------------
@fault(2)
def elastic_cut(bed, rng):
    for _ in range(rng.randrange(1, 6)):
        bed.services.elastic_proxy.cut()
        time.sleep(rng.uniform(0, 0.5))


@fault(2)
def elastic_reset(bed, rng):
    for _ in range(rng.randrange(1, 6)):
        bed.services.elastic_proxy.reset()
        time.sleep(rng.uniform(0, 0.5))


@fault(2)
def elastic_half_open(bed, rng):
    bed.services.elastic_proxy.hold()
    time.sleep(rng.choice((rng.uniform(0.5, 3), HEARTBEAT + rng.uniform(1, 4))))
    bed.services.elastic_proxy.release(rng.random() < 0.5)


@fault(2)
def elastic_slow(bed, rng):
    bed.services.elastic_proxy.slow(rng.choice((0.02, 0.1, 0.4)))
    time.sleep(rng.uniform(1, 5))
    bed.services.elastic_proxy.slow(0)


# ---- a run ---------------------------------------------------------------------------------------------------------------
def strike(bed, one, rng):
    """One fault, often with a kill -9 while it is felt; then all that was sent until then has to arrive."""
    fence, began, second = bed.watch.fence, time.monotonic(), None
    if rng.random() < 0.4:
        victim = FAULTS[rng.choice(("kill_search_sink", "kill_search_ingest", "kill_search"))]
        second = threading.Timer(rng.uniform(0, 3), victim.run, (bed, random.Random(rng.random())))
        second.start()
    try:
        one.run(bed, rng)
    finally:
        if second:
            second.join()
    lasted = time.monotonic() - began
    after = bed.await_search(180)
    stall, attempts = bed.watch.stall(began), bed.watch.fence - fence
    if one.spares_totals and attempts:
        raise Failure(f"{one.name}: the totals had {attempts} attempts, and should not have noticed")
    return {"fault": one.name, "lasted": round(lasted, 3), "after": round(after, 3), "totals_stall": round(stall, 3), "with_kill": bool(second)}


def run_round(folder, services, seed, seconds, arguments, found):
    bed, kept, faults = SearchBed(folder, services, seed, arguments.rate), None, found["faults"]
    try:
        bed.up()
        bed.await_search(120)
        begin = time.monotonic()
        say(f"round {seed}: both jobs run; faults for {seconds:.0f} s")
        deck = Deck(bed.rng, arguments.faults, FAULTS)
        while time.monotonic() - begin < seconds:
            faults.append(strike(bed, deck.draw(), bed.rng))
            one = faults[-1]
            say(f"{len(faults):4} {one['fault']:28} lasted {one['lasted']:5.1f} s, then {one['after']:6.2f} s; longest stall of the totals "
                f"{one['totals_stall']:5.2f} s{', and a kill' if one['with_kill'] else ''}")
        bed.records.end()
        found["records"] = bed.settle()
        bed.await_search(180, over=True)
        bed.prove()
        documents = bed.prove_search()
        bed.down()
        bed.look_for_deaths()
        bed.finish_readers()
        found.update(seconds=round(time.monotonic() - begin), letters=len(bed.misfits))
        say(f"{len(faults)} faults, {found['records']:,} records, {documents:,} of them valid, {found['letters']:,} letters: both sinks are exact")
    except (Exception, KeyboardInterrupt):
        kept = folder_of_failed(arguments, seed, "search-")
        raise
    finally:
        found.update(snapshots=bed.snapshots(), audits=bed.audits)
        bed.close(kept)


def main():
    arguments = read_arguments("chaos --search", __doc__, FAULTS, lambda fault: f"{fault.name:28} {fault.share} in a deck")
    if not arguments:
        return 0
    if Elasticsearch.missing():
        print(f"SKIPPED, nothing was attacked: {Elasticsearch.missing()}")
        return 0
    return run_rounds(arguments, SearchServices, run_round, ROUND_MINUTES, "search-")


if __name__ == "__main__":
    sys.exit(main())
