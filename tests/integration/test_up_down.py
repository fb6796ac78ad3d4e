#!/usr/bin/python3
"""scripts/up and scripts/down: what a person types, on services that are somebody else's."""
import json, os, re, signal, socket, subprocess, sys, time

from jobs import EXIT_CONFIG, Failure, must_be, run_cases, wait_for
from services import ROOT


class Scripts:
    """up and down of one job under a run dir."""

    def __init__(self, job, run_dir=None, **environment):
        self.job, self.dir = job, run_dir or job.folder / "run"
        hidden = ("CHECKPOINT_DIR", "SLUICE_COORDINATOR", "SLUICE_LOG_FORMAT")
        self.environment = {k: v for k, v in job.environment.items() if k not in hidden}
        self.environment.update(environment)

    def up(self, *options):
        return subprocess.run([ROOT / "scripts/up", "--run-dir", self.dir, *map(str, options)], env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150)

    def must_come_up(self, *options):
        done = self.up(*options)
        if done.returncode != 0:
            raise Failure(f"up: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def down(self):
        done = subprocess.run([ROOT / "scripts/down", "--run-dir", self.dir], env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90)
        must_be("the exit code of down", done.returncode, 0)
        return done.stdout

    def processes(self):
        """pid -> program, of all that runs for this run dir."""
        found, mark = {}, b"SLUICE_RUN_DIR=" + os.fsencode(self.dir)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found[int(pid)] = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            except OSError:
                continue
        return found

    def nothing_runs(self):
        must_be("processes of this run dir", self.processes(), {})

    def pid_of(self, program):
        return next(pid for pid, name in self.processes().items() if name == program)


def brought_down(case):
    """Whatever happens in the case, nothing stays."""
    def wrapped(job):
        made = []

        def scripts(*arguments, **more):
            made.append(Scripts(*arguments, **more))
            return made[-1]
        try:
            case(job, scripts)
        finally:
            for each in made:
                each.down()
        for each in made:
            each.nothing_runs()
    wrapped.__name__ = case.__name__
    return wrapped


@brought_down
def twice_up_and_twice_down(job, scripts):
    it = job()
    run = scripts(it)
    for first in (0, 1000):
        it.produce(1000, "--rate", 0, seed=first + 1)
        run.must_come_up("--ingest", 2, "--aggregators", 2)
        processes = run.processes()
        must_be("ingests", sorted(processes.values()).count("sluice-ingest"), 2)
        if "up already" not in run.must_come_up() or run.processes() != processes:
            raise Failure("up on what is up has to change nothing")
        it.settle()
        must_be("records", it.consumed(), first + 1000)
        must_be("down says", run.down(), "stopped\n")
        run.nothing_runs()
        must_be("down again says", run.down(), "not up\n")
    it.prove()


@brought_down
def two_run_dirs_at_once(job, scripts):
    """One of them with everything in its name that a path may hold, and too long for a socket's address."""
    ordinary, other = job(), job()
    folder = other.folder / ("a name; with 100% \"oddities\"" + "x" * 80)
    runs = [scripts(ordinary), scripts(other, run_dir=folder)]
    for it, run in zip((ordinary, other), runs):
        it.produce(1000, "--rate", 0)
        run.must_come_up()
    for it in (ordinary, other):
        it.settle()
        it.prove()
    runs[0].down()
    must_be("the other's processes", len(runs[1].processes()), 5)
    socket = json.loads((folder / "run.json").read_text())["socket"]
    runs[1].down()
    if os.path.exists(os.path.dirname(socket)):
        raise Failure(f"{socket}: its folder is left")


@brought_down
def a_killed_process_is_started_again(job, scripts):
    it = job()
    run = scripts(it)
    run.must_come_up()
    for program in ("sluice-ingest", "sluice-aggregator", "sluice-sink", "sluice-coordinator"):
        pid = run.pid_of(program)
        os.kill(pid, signal.SIGKILL)
        wait_for(f"another {program}", lambda: program in [name for other, name in run.processes().items() if other != pid], 10)
    it.produce(1000, "--rate", 0)
    it.settle()
    it.prove()


@brought_down
def supervisord_is_killed(job, scripts):
    """Its processes are orphans then: down finds them, and so does up."""
    it = job()
    run = scripts(it)
    for end in (run.down, run.must_come_up):
        run.must_come_up()
        supervisor = int((run.dir / "supervisord.pid").read_text())
        os.kill(supervisor, signal.SIGKILL)
        wait_for("supervisord's end", lambda: supervisor not in run.processes(), 5)
        orphans = {pid for pid, name in run.processes().items() if name.startswith("sluice-")}
        must_be("orphans", len(orphans), 4)
        end()
        must_be("orphans that are left", orphans & set(run.processes()), set())
    run.down()
    run.nothing_runs()


@brought_down
def wrong_password(job, scripts):
    """Every process ends with 78 and nothing is started again; the password is shown nowhere."""
    it = job()
    run = scripts(it, DATABASE_URL=re.sub(r"//[^@]*@", "//postgres:wr%25ng@", it.url))
    done = run.up()
    must_be("the exit code", done.returncode, EXIT_CONFIG)
    if "password authentication failed" not in done.stdout:
        raise Failure(f"up has to show what the processes say:\n{done.stdout}")
    run.nothing_runs()
    spawned = (run.dir / "logs/supervisord.log").read_text().count("spawned")
    must_be("processes started, each once", spawned, 4)
    for file in run.dir.rglob("*"):
        if file.is_file() and re.search("wr(%25|%)ng", file.read_text(errors="replace")):
            raise Failure(f"{file} holds the password")


@brought_down
def a_mistake_in_the_pipeline_file(job, scripts):
    it = job()
    run = scripts(it)
    it.write_config(("parallelism:", "paralelism:"))
    done = run.up()
    must_be("the exit code", done.returncode, EXIT_CONFIG)
    if "parallelism" not in done.stdout or "line" not in done.stdout and not re.search(r":\d+", done.stdout):
        raise Failure(f"up has to name the line and the nearest key:\n{done.stdout}")
    it.write_config()
    done = run.up("--config", it.folder / "nowhere.yaml")
    must_be("the exit code without a pipeline file", done.returncode, 1)
    run.nothing_runs()


@brought_down
def servers_that_are_away(job, scripts):
    """up says what it waits for, gives up in time, and leaves nothing."""
    it = job()
    for environment in ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"},
                        {"DATABASE_URL": "postgresql://postgres@127.0.0.1:9/nowhere"}):
        run = scripts(it, **environment)
        began = time.monotonic()
        done = run.up("--wait", 6)
        must_be("the exit code", done.returncode, 1)
        if "127.0.0.1:9" not in done.stdout and "port 9 " not in done.stdout:
            raise Failure(f"up has to say which server it waits for:\n{done.stdout}")
        if time.monotonic() - began > 25:
            raise Failure(f"up took {time.monotonic() - began:.0f} s to give up")
        run.nothing_runs()


@brought_down
def places_that_are_taken(job, scripts):
    """A folder that cannot be made, a port that somebody else has: one line that names it."""
    it = job()
    file = it.folder / "a-file"
    file.write_text("")
    run = scripts(it)
    for wrong in (scripts(it, CHECKPOINT_DIR=str(file / "checkpoints")), Scripts(it, run_dir=file / "run")):
        done = wrong.up()
        must_be("the exit code", done.returncode, 1)
        if str(file) not in done.stdout or "Traceback" in done.stdout:
            raise Failure(f"up has to name the folder:\n{done.stdout}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = scripts(it, SLUICE_COORDINATOR=f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        done = run.up("--wait", 6)
    must_be("the exit code", done.returncode, 1)
    if not re.search("not deployed.*Address in use", done.stdout):
        raise Failure(f"up has to say why there is no coordinator:\n{done.stdout}")
    run.nothing_runs()


@brought_down
def asked_as_up_says(job, scripts):
    """The line that up prints works as it is."""
    it = job()
    run = scripts(it)
    words = re.search("ask it with: (.*)", run.must_come_up()).group(1)
    done = subprocess.run(["bash", "-c", words], env=run.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    must_be("the exit code", done.returncode, 0)
    if "RUNNING" not in done.stdout:
        raise Failure(done.stdout)


@brought_down
def interrupted(job, scripts):
    it = job()
    run = scripts(it, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    up = subprocess.Popen([ROOT / "scripts/up", "--run-dir", run.dir], env=run.environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    wait_for("the processes", lambda: len(run.processes()) > 4, 20)
    up.send_signal(signal.SIGINT)
    must_be("the exit code", up.wait(40), 130)
    run.nothing_runs()


CASES = (twice_up_and_twice_down, two_run_dirs_at_once, a_killed_process_is_started_again, supervisord_is_killed, wrong_password,
         a_mistake_in_the_pipeline_file, servers_that_are_away, places_that_are_taken, asked_as_up_says, interrupted)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
