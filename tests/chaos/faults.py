"""What is done to a running pipeline. A row a fault: how often it is drawn in a deck, what it does, what shows that it is over.

A fault does its damage, waits, repairs what does not repair itself, and returns; whoever called it waits then for the pipeline.
"""
import errno, signal, subprocess, time
from collections import namedtuple

import psycopg2

from bed import CRASH_POINTS, Failure, sql

KINDS = ("coordinator", "ingest", "aggregator", "sink")
HEARTBEAT = 5
Fault = namedtuple("Fault", "name group share run over limit audited")
FAULTS = {}


def fault(group, share=1, over="moves", limit=60, audited=False):
    """over: "moves", something new is committed; "checkpoints", a checkpoint is completed. limit: seconds for it. audited: what
    counts from now on was restored in an unusual way, so an audit follows at once; the others wait for the next one."""
    def keep(run):
        FAULTS[run.__name__] = Fault(run.__name__, group, share, run, over, limit, audited)
        return run
    return keep


def of_kind(bed, kind):
    return sorted(name for name in bed.pids() if name.split("-")[0] == kind)


def choose(bed, rng, kind):
    names = of_kind(bed, kind)
    return [rng.choice(names)] if names else []


# ---- processes -----------------------------------------------------------------------------------------------------------
def kill_of(kind, share):
    def run(bed, rng):
        bed.signal(choose(bed, rng, kind), signal.SIGKILL)
    run.__name__ = f"kill_{kind}"
    fault("kill -9", share)(run)


for each, times in (("coordinator", 4), ("ingest", 4), ("aggregator", 5), ("sink", 5)):
    kill_of(each, times)


@fault("kill -9", 4)
def kill_several(bed, rng):
    names = sorted(bed.pids())
    bed.signal(rng.sample(names, rng.randrange(2, len(names))), signal.SIGKILL)


@fault("kill -9", 2)
def kill_all(bed, rng):
    bed.signal(sorted(bed.pids()), signal.SIGKILL)


@fault("kill -9", 2)
def kill_one_again_and_again(bed, rng):
    kind = rng.choice(KINDS)
    for _ in range(3):
        bed.signal(choose(bed, rng, kind), signal.SIGKILL)
        time.sleep(rng.uniform(0.05, 1.2))


@fault("kill -9", 2, audited=True)
def kill_and_lose_cache(bed, rng):
    """An aggregator comes back without the cache of its state."""
    bed.signal(of_kind(bed, "aggregator"), signal.SIGKILL)
    subprocess.run(["rm", "-rf", *map(str, bed.state.glob("*"))])


@fault("kill -9", 4, audited=True)
def kill_after_checkpoint(bed, rng):
    """Around the moment at which a checkpoint is complete and the caches take it: what came since its barrier is read again."""
    named, deadline = len(bed.watch.checkpoints), time.monotonic() + 12
    while len(bed.watch.checkpoints) == named and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(rng.choice((rng.uniform(0, 0.05), rng.uniform(0, 0.4))))
    victims = of_kind(bed, "aggregator") if rng.random() < 0.5 else choose(bed, rng, rng.choice(KINDS))
    bed.signal(victims, signal.SIGKILL)


@fault("ended", 2)
def ask_to_end(bed, rng):
    """SIGTERM of a single process: supervisord leaves it alone, so it is started again."""
    from supervisor.xmlrpc import SupervisorTransport
    import xmlrpc.client
    transport = SupervisorTransport(None, None, "unix://" + bed.run.facts["socket"])
    proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
    infos = [p for p in bed.run.processes() if p["pid"] and p["name"].split("-")[0] != "coordinator"]
    one = rng.choice(sorted(infos, key=lambda p: p["name"]))
    name = f"{one['group']}:{one['name']}"
    proxy.stopProcess(name)
    time.sleep(rng.uniform(0, 1))
    proxy.startProcess(name)
    transport.close()


def stop_of(kind, share):
    def run(bed, rng):
        names = choose(bed, rng, kind)
        bed.signal(names, signal.SIGSTOP)
        time.sleep(rng.choice((rng.uniform(0.5, 3), HEARTBEAT + rng.uniform(0.5, 3))))
        bed.signal(names, signal.SIGCONT)
    run.__name__ = f"stop_{kind}"
    fault("SIGSTOP", share)(run)


for each in KINDS:
    stop_of(each, 2)


@fault("SIGSTOP")
def stop_all(bed, rng):
    names = sorted(bed.pids())
    bed.signal(names, signal.SIGSTOP)
    time.sleep(HEARTBEAT + rng.uniform(0.5, 2))
    rng.shuffle(names)
    bed.signal(names, signal.SIGCONT)


# ---- more and fewer processes --------------------------------------------------------------------------------------------
@fault("scaling", 2)
def add_process(bed, rng):
    if len(bed.extra) < 3:
        bed.add(rng.choice(("ingest", "aggregator", "sink")))
    time.sleep(rng.uniform(0.5, 3))


@fault("scaling", 2)
def remove_process(bed, rng):
    if not bed.extra:
        bed.add(rng.choice(("ingest", "aggregator", "sink")))
        time.sleep(rng.uniform(1, 7))
    bed.remove(rng.choice(sorted(bed.extra)), rng.choice((signal.SIGTERM, signal.SIGKILL)))


@fault("crash point", 12, audited=True)
def crash_point(bed, rng):
    """A process dies at a place that was chosen for it, where one comes by."""
    point = rng.choice([name for name, when in CRASH_POINTS.items() if when in ("work", "restart", "lost")])
    bed.arm(point)
    if CRASH_POINTS[point] == "restart":
        bed.signal(choose(bed, rng, rng.choice(KINDS)), signal.SIGKILL)
    if CRASH_POINTS[point] == "lost":
        bed.services.postgres_proxy.lose_commit("answered")
    bed.await_hit(point, 12)
    bed.disarm(point)
    bed.services.postgres_proxy.lose = None
    return point


# ---- PostgreSQL ----------------------------------------------------------------------------------------------------------
def postgres_restart_of(how):
    def run(bed, rng):
        bed.services.postgres_script("stop", how)
        time.sleep(rng.uniform(0, 3))
        bed.services.postgres_script("start")
    run.__name__ = f"postgres_restart_{how}"
    fault("PostgreSQL", 2)(run)


postgres_restart_of("fast")
postgres_restart_of("immediate")


@fault("PostgreSQL", 3)
def backends_terminated(bed, rng):
    for _ in range(rng.randrange(1, 4)):
        sql(bed.services.url, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '%%-sink-%%'")
        time.sleep(rng.uniform(0, 0.5))


def lock_of(name, statement, share):
    def run(bed, rng):
        connection = psycopg2.connect(bed.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '5s'")
                cursor.execute(statement)
            time.sleep(rng.uniform(0.5, 7))
        except psycopg2.Error:
            pass  # the server was restarted, or somebody else had it
        finally:
            connection.close()
    run.__name__ = name
    fault("PostgreSQL", share)(run)


lock_of("totals_locked", "LOCK TABLE sales_per_day IN EXCLUSIVE MODE", 1)
lock_of("frontier_locked", "SELECT * FROM sluice.frontier FOR UPDATE", 1)


@fault("PostgreSQL", 2, limit=90, audited=True)
def failover(bed, rng):
    """To a base backup: what was committed since is lost, and with it what was wrong there."""
    bed.audit()
    began = time.monotonic()
    bed.services.postgres_script("backup")
    time.sleep(rng.uniform(0, max(0.5, 6 - (time.monotonic() - began))))
    bed.new_history()  # the old reader is through, the new one starts when the server is another
    bed.services.postgres_script("failover")
    bed.readers[-1].start()


# ---- Kafka ---------------------------------------------------------------------------------------------------------------
def kafka_restart_of(name, words, share):
    def run(bed, rng):
        bed.services.kafka_script("stop", *words)
        time.sleep(rng.uniform(0, 3))
        bed.services.kafka_script("start")
    run.__name__ = name
    fault("Kafka", share, limit=90)(run)


kafka_restart_of("kafka_restart", (), 1)
kafka_restart_of("kafka_kill", ("--kill",), 1)


# ---- the network ---------------------------------------------------------------------------------------------------------
LINKS = {"postgres": lambda bed: bed.services.postgres_proxy, "kafka": lambda bed: bed.services.kafka_proxy, "control": lambda bed: bed.control_proxy}


def network_of(link, proxy_of):
    def cut(bed, rng):
        proxy_of(bed).cut()

    def reset(bed, rng):
        proxy_of(bed).reset()

    def half_open(bed, rng):
        proxy_of(bed).hold()
        time.sleep(rng.choice((rng.uniform(0.5, 3), HEARTBEAT + rng.uniform(1, 4))))
        proxy_of(bed).release(rng.random() < 0.5)

    def slow(bed, rng):
        proxy_of(bed).slow(rng.choice((0.02, 0.1, 0.4)))
        time.sleep(rng.uniform(1, 5))
        proxy_of(bed).slow(0)
    for run in (cut, reset, half_open, slow):
        run.__name__ = f"{link}_{run.__name__}"
        fault("network", 1)(run)


for each in LINKS:
    network_of(each, LINKS[each])


def commit_lost(when):
    def run(bed, rng):
        proxy = bed.services.postgres_proxy
        proxy.lose_commit(when)
        deadline = time.monotonic() + 10
        while proxy.lose and time.monotonic() < deadline:
            time.sleep(0.01)
        if proxy.lose:
            proxy.lose = None
            raise Failure("no transaction came by within 10 s")
    run.__name__ = f"commit_lost_{when}"
    fault("network", 3)(run)


commit_lost("sent")
commit_lost("answered")


def channels_of(name, **trouble):
    """Between the processes themselves."""
    def run(bed, rng):
        bed.shim.set(**{field: rng.choice(values) for field, values in trouble.items()})
        time.sleep(rng.uniform(0.5, 4))
        bed.shim.set()
    run.__name__ = name
    fault("network", 2)(run)


channels_of("channels_reset", reset_every=(20, 100, 400))
channels_of("channels_slow", channel_us=(500, 5000, 30000))


# ---- disk and clock ------------------------------------------------------------------------------------------------------
def disk_of(name, share=1, **trouble):
    def run(bed, rng):
        bed.shim.set(**trouble)
        time.sleep(rng.uniform(4, 9))
        bed.shim.set()
    run.__name__ = name
    fault("disk", share, over="checkpoints", limit=90)(run)


disk_of("fsync_fails", 2, sync_error=errno.EIO)
disk_of("writes_refused", write_error=errno.ENOSPC)
disk_of("writes_fail", write_error=errno.EIO)
disk_of("read_only", open_error=errno.EROFS)
disk_of("short_writes", short_writes=1)
disk_of("syncs_slow", sync_ms=700)


@fault("disk", 2, over="checkpoints", limit=90)
def folder_full(bed, rng):
    """The disk of the checkpoint folder is full; where nothing may be mounted, its files cannot be written to."""
    if not bed.mounted:
        bed.shim.set(write_error=errno.ENOSPC)
        time.sleep(rng.uniform(4, 9))
        bed.shim.set()
        return
    filler = bed.run_dir / "checkpoints" / ".filler"
    with open(filler, "wb") as file:
        try:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        except OSError:
            pass
    time.sleep(rng.uniform(4, 9))
    filler.unlink()


@fault("clock", 2)
def clock_forward(bed, rng):
    bed.shim.set(clock_seconds=rng.choice((5, 600, 86400)))
    time.sleep(rng.uniform(2, 7))
    bed.shim.set()


@fault("clock", 2)
def clock_back(bed, rng):
    bed.shim.set(clock_seconds=-rng.choice((5, 600, 86400)))
    time.sleep(rng.uniform(2, 7))
    bed.shim.set()
