"""What a chaos run is made of: the services, the network between, the deployed pipeline, and those who watch it."""
import json, os, random, re, signal, subprocess, sys, threading, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CRASH_POINTS = dict(re.findall(r"ROW\((\w+), (\w+),", (ROOT / "common/base/crash_points.h").read_text()))  # name to when
sys.path[:0] = [str(HERE.parent / "integration"), str(ROOT / "scripts/lib")]
import psycopg2
from jobs import sql
from ports import take_port
from run_dir import RunDir, alive, process_state
from services import BIN, HERE as SERVICE_SCRIPTS, Failure, Services, call, private_services, prove, wait_for
from shim import LIBRARY, Shim
from snapshots import Reader

from proxy import Network

EXIT_CONFIG = 78


def has_crash_points():
    return b"rebuild_named" in (BIN / "sluicectl").read_bytes()

PARTITIONS = 4


class ProxiedServices(Services):
    """Kafka and PostgreSQL, each reached directly and through a proxy."""

    def start(self):
        self.network = Network()
        port = take_port()
        self.kafka_proxy = self.network.proxy(port)
        os.environ["KAFKA_ADVERTISED"] = str(self.kafka_proxy.port)  # clients go where the broker sends them
        call(SERVICE_SCRIPTS / "kafka/kafka.sh", "start", self.kafka, port)
        self.brokers = f"127.0.0.1:{self.kafka_proxy.port}"
        self.postgres_script("start")
        self.url = call(SERVICE_SCRIPTS / "postgres.sh", "url", self.postgres).splitlines()[-1]
        self.postgres_proxy = self.network.proxy(int(self.url.rsplit(":", 1)[1].split("/")[0]))

    def postgres_script(self, verb, *words):
        call(SERVICE_SCRIPTS / "postgres.sh", verb, self.postgres, *words)

    def kafka_script(self, verb, *words):
        call(SERVICE_SCRIPTS / "kafka/kafka.sh", verb, self.kafka, *words)

    def stop(self):
        super().stop()
        self.network.close()


class Watch(threading.Thread):
    """Looks at the frontier every few milliseconds: when did the cut move, how many attempts were there."""
    LOOK = """SELECT f.fence, f.cut::text, (SELECT c.attempt || '.' || c.epoch FROM sluice.checkpoints c WHERE c.job = f.job
              ORDER BY c.attempt DESC, c.epoch DESC LIMIT 1) FROM sluice.frontier f WHERE f.cut IS NOT NULL"""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.over = url, False
        self.cut, self.fence, self.checkpoint = None, 0, None
        # When the cut moved, a newer checkpoint was named, a fence was raised.
        self.moves, self.checkpoints, self.attempts = [], [], []

    def look(self, cursor):
        cursor.execute(self.LOOK)
        row = cursor.fetchone()
        if row is None:
            return
        now = time.monotonic()
        fence, cut, checkpoint = row
        if fence != self.fence:
            self.attempts.append(now)
        if cut != self.cut:
            self.moves.append(now)
        if checkpoint != self.checkpoint:
            self.checkpoints.append(now)
        self.fence, self.cut, self.checkpoint = fence, cut, checkpoint

    def run(self):
        while not self.over:
            try:
                connection = psycopg2.connect(self.url)
                connection.autocommit = True
                with connection.cursor() as cursor:
                    while not self.over:
                        self.look(cursor)
                        time.sleep(0.02)
                connection.close()
            except (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.UndefinedTable):
                time.sleep(0.02)

    def stall(self, since):
        """The longest time from then until now in which nothing new was committed."""
        moves = [since, *(m for m in self.moves[-100_000:] if m > since), time.monotonic()]
        return max(later - earlier for earlier, later in zip(moves, moves[1:]))


class Records:
    """A producer that goes on for ever: another follows when one had to give up."""

    def __init__(self, bed, rate):
        self.bed, self.rate, self.rng, self.process = bed, rate, random.Random(bed.seed), None

    def keep(self):
        if self.process is None or self.process.poll() is not None:
            words = (BIN / "sluice-producer", "--topic", self.bed.name, "--rate", self.rate, "--seed", self.rng.randrange(1, 1 << 30),
                     "--duplicates", 4, "--conflicts", 2, "--poison", 1, "--days", 2, "--quiet")
            with open(self.bed.folder / "producer.log", "ab") as log:
                self.process = subprocess.Popen([str(w) for w in words], env=self.bed.environment, stdin=subprocess.DEVNULL,
                                                stdout=log, stderr=log)

    def end(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


class Bed:
    """One round: a topic, a database and a deployment of its own."""

    def __init__(self, folder, services, seed, rate, changes=()):
        self.services, self.seed, self.name = services, seed, f"chaos_{seed}"
        self.folder = folder / self.name
        self.run_dir = self.folder / "run"
        self.run_dir.mkdir(parents=True)
        self.folder.chmod(0o755)
        self.rng = random.Random(seed)
        self.extra, self.audits = {}, 0  # processes beside those of supervisord: name to Popen
        services.topic(self.name, PARTITIONS)
        call("psql", services.url, "-qc", f'CREATE DATABASE "{self.name}"')
        self.url = services.url.rsplit("/", 1)[0] + "/" + self.name
        host, rest = self.url.rsplit(":", 1)
        self.write_config(changes)
        self.shim = Shim(self.folder / "shim")
        self.checkpoints, self.state = self.run_dir / "checkpoints", self.run_dir / "state"
        self.mount()
        port = take_port()
        self.control_proxy = services.network.proxy(port)
        self.environment = dict(os.environ, KAFKA_BOOTSTRAP_SERVERS=services.brokers, SLUICE_CONFIG=str(self.folder / "pipeline.yaml"),
                                DATABASE_URL=f"{host}:{services.postgres_proxy.port}/{rest.split('/', 1)[1]}",
                                CHECKPOINT_DIR=str(self.checkpoints), STATE_DIR=str(self.state), SLUICE_COORDINATOR=f"tcp://127.0.0.1:{port}")
        self.write_wrappers((port, self.control_proxy.port, services.postgres_proxy.port, services.kafka_proxy.port))
        self.records = Records(self, rate)
        self.watch = Watch(self.url)
        self.readers = [Reader(self.url)]

    def write_config(self, changes):
        text = (ROOT / "compose/pipeline.yaml").read_text()
        for old, new in (("job: ecommerce-transactions", f"job: {self.name}"), ("topic: financial_transactions", f"topic: {self.name}"), *changes):
            if old not in text:
                raise Failure(f"the shipped pipeline file has no {old!r} to change")
            text = text.replace(old, new)
        (self.folder / "pipeline.yaml").write_text(text)

    def mount(self):
        """A disk of its own for checkpoints, so that it can be full; needs the right to mount."""
        self.checkpoints.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m,mode=0755", "sluice-chaos", str(self.checkpoints)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.mounted = done.returncode == 0

    def write_wrappers(self, spared):
        """Programs for supervisord that set up their own trouble: the shim, a proxy to the coordinator, crash points."""
        self.wrappers, self.crash_points = self.folder / "bin", self.folder / "crash_points"
        self.wrappers.mkdir()
        self.crash_points.mkdir()
        for program in BIN.glob("sluice*"):
            if program.name not in ("sluice-coordinator", "sluice-ingest", "sluice-aggregator", "sluice-sink"):
                (self.wrappers / program.name).symlink_to(program)
                continue
            kind = program.name.removeprefix("sluice-")
            (self.wrappers / program.name).write_text(f"""#!/bin/sh
export SLUICE_SHIM={self.shim.path} SLUICE_SHIM_FOLDERS={self.checkpoints}:{self.state} SLUICE_SHIM_SPARED={":".join(map(str, spared))}
export LD_PRELOAD={LIBRARY}
{'' if kind == 'coordinator' else f'export SLUICE_COORDINATOR=tcp://127.0.0.1:{self.control_proxy.port}'}
export SLUICE_CRASH_FOLDER={self.crash_points}
exec {program} "$@"
""")
            (self.wrappers / program.name).chmod(0o755)

    # --- the deployment -----------------------------------------------------------------------------------------------
    def up(self):
        self.watch.start()
        self.readers[-1].start()
        self.records.keep()
        self.deploy()

    def deploy(self):
        environment = dict(self.environment, SLUICE_BIN=str(self.wrappers))
        done = subprocess.run([ROOT / "scripts/up", "--run-dir", self.run_dir, "--config", self.folder / "pipeline.yaml", "--ingest", "2",
                               "--aggregators", "2"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Failure(f"scripts/up: exit {done.returncode}\n{done.stdout}")
        self.run = RunDir(self.run_dir)

    def processes(self):
        """name to pid of those that supervisord runs now."""
        return {p["name"]: p["pid"] for p in self.run.processes() if p["pid"] and alive(p["pid"])}

    def pids(self):
        found = self.processes()
        found.update({name: p.pid for name, p in self.extra.items() if p.poll() is None})
        return found

    def add(self, kind):
        """One more process of a kind, beside those of supervisord."""
        name = f"{kind}-more{len(self.extra)}-{self.rng.randrange(1000)}"
        words = [str(self.wrappers / f"sluice-{kind}"), "--name", name]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.extra[name] = subprocess.Popen(words, env=dict(self.environment, SLUICE_RUN_DIR=str(self.run_dir)), stdin=subprocess.DEVNULL,
                                                stdout=log, stderr=log, cwd=self.run_dir)
        return name

    def remove(self, name, how):
        process = self.extra.pop(name)
        process.send_signal(how)
        process.wait(15)

    def arm(self, point):
        """The next process that comes to this crash point dies there."""
        (self.crash_points / point).touch()

    def is_armed(self, point):
        return (self.crash_points / point).exists()

    def await_hit(self, point, seconds, lead=lambda: None):
        """Whether a process has died there by then. lead: done again and again, so that one comes by."""
        deadline = time.monotonic() + seconds
        while self.is_armed(point) and time.monotonic() < deadline:
            lead()
            time.sleep(0.01)
        return not self.is_armed(point)

    def disarm(self, point):
        (self.crash_points / point).unlink(missing_ok=True)

    def signal(self, names, what):
        pids = self.pids()
        for name in names:
            if name in pids:
                try:
                    os.kill(pids[name], what)
                except ProcessLookupError:
                    pass

    def look_for_deaths(self):
        """Of a kind that nobody has dealt: a failed check, a segmentation fault."""
        log = (self.run_dir / "logs/supervisord.log").read_text()
        found = [line for line in log.splitlines() if re.search(r"terminated by SIG(?!KILL|TERM)", line)]
        if found:
            raise Failure("a process died by itself: " + "; ".join(found[:3]))

    def look_for_leftovers(self):
        """When all has ended, a folder of an attempt before the oldest checkpoint holds only what a named one needs."""
        named, = sql(self.url, "SELECT array_agg(attempt || '.' || epoch) FROM sluice.checkpoints")
        manifests = [m for m in self.checkpoints.glob("*/*/checkpoints/*/manifest") if m.parent.name in named]
        needed, oldest = b"".join(m.read_bytes() for m in manifests), min(int(m.parent.name.split(".")[0]) for m in manifests)
        for path in self.checkpoints.glob("*/*/checkpoints/*/*"):
            checkpoint = path.parent.name
            if int(checkpoint.split(".")[0]) < oldest and path not in manifests and f"checkpoints/{checkpoint}/{path.name}".encode() not in needed:
                raise Failure(f"{named} are named; left behind: {path}")

    def down(self):
        done = subprocess.run([ROOT / "scripts/down", "--run-dir", self.run_dir], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Failure(f"scripts/down: exit {done.returncode}\n{done.stdout}")

    def check(self):
        """No process may have given up, and no snapshot may have been wrong."""
        for process in self.run.processes():
            if process["statename"] == "FATAL" or process["exitstatus"] == EXIT_CONFIG:
                raise Failure(f"{process['name']} is {process['statename']} with exit code {process['exitstatus']}")
        for reader in self.readers:
            if reader.violations:
                raise Failure("a snapshot is wrong: " + "\n".join(reader.violations[:5]))
        self.records.keep()

    # --- watching -----------------------------------------------------------------------------------------------------
    def await_attempt(self, since, seconds):
        """A loss is noticed by a new attempt, unless the lost one had nothing to do."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not any(at > since for at in self.watch.attempts[-100:]):
            time.sleep(0.01)

    def await_progress(self, since, seconds, of="moves"):
        """When the cut moved (or a checkpoint was named) after that moment and after the last attempt that has begun."""
        deadline = time.monotonic() + seconds
        while True:
            after = max([since, *self.watch.attempts[-1:]])
            for at in getattr(self.watch, of)[-5000:]:
                if at > after:
                    return at
            if time.monotonic() > deadline:
                what = "nothing was committed" if of == "moves" else "no checkpoint was completed"
                raise Failure(f"{what} within {seconds} s of the end of the trouble")
            self.check()
            time.sleep(0.1)

    def new_history(self):
        """Around a failover: the cut may go back now, once."""
        old = self.readers[-1]
        old.over = True
        old.join()
        self.readers.append(Reader(self.url))

    def audit(self):
        environment = dict(self.environment, DATABASE_URL=self.url)
        done = subprocess.run([BIN / "sluicectl", "audit"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Failure(f"the audit says (exit {done.returncode}):\n{done.stdout[-3000:]}")
        self.audits += 1

    def settle(self, seconds=90):
        ends = self.services.ends(self.name, 30)
        wait_for(f"the cut {ends}", lambda: self.watch.cut and json.loads(self.watch.cut) == ends, seconds)
        return sum(ends.values())

    def prove(self):
        self.audits += 1
        return prove(self.services, dict(self.environment, DATABASE_URL=self.url), self.name)

    def snapshots(self):
        return sum(reader.snapshots for reader in self.readers)

    def finish_readers(self):
        for reader in self.readers:
            reader.over = True
        for reader in self.readers:
            reader.join()
            if reader.violations:
                raise Failure("a snapshot is wrong: " + "\n".join(reader.violations[:5]))

    def close(self, keep_logs):
        """Whatever happened: nothing is left but the logs, if wanted: a folder for them, or None."""
        self.watch.over = True
        for reader in self.readers:
            reader.over = True
        self.records.end()
        for process in self.extra.values():
            process.kill()
            process.wait()
        try:
            RunDir(self.run_dir).stop()
        except KeyError:
            pass  # was never up
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.checkpoints)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if keep_logs is not None:
            keep_logs.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-r", str(self.run_dir / "logs"), str(keep_logs)])
            subprocess.run(["sh", "-c", f"cp {self.folder}/*.log {keep_logs}/logs/ 2>/dev/null"])
        call("psql", self.services.url, "-qc", f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        call("rm", "-rf", self.folder)
