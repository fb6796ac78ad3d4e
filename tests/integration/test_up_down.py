#!/usr/bin/python3
"""scripts/up and scripts/down: what a person types, on services that are somebody else's."""
import contextlib, json, os, re, shutil, signal, socket, subprocess, sys, time
from pathlib import Path

from jobs import EXIT_CONFIG, Failure, must_be, run_cases, sql, wait_for
from services import BIN, ROOT


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
def one_job_in_two_run_dirs(job, scripts):
    """The second one waits with words and leaves the first one alone, whether or not they share the checkpoint folder; it takes over when
    the first one has ended, or has fallen silent."""
    for shared in (True, False):
        it = job()
        more = {"CHECKPOINT_DIR": str(it.folder / "checkpoints")} if shared else {}
        first, second = scripts(it, **more), scripts(it, run_dir=it.folder / "other", **more)
        it.produce(1000, "--rate", 0)
        first.must_come_up()
        it.settle()
        fence = it.fence()
        told = (lambda log=second.dir / "logs/sink.log": log.read_text().count("is run by another coordinator"))
        said = it.folder / "said"
        with open(said, "w", encoding="utf-8") as file:
            up = subprocess.Popen([ROOT / "scripts/up", "--run-dir", second.dir], env=second.environment, stdout=file, stderr=file)
        for words in ("is run by another coordinator, tcp://127.0.0.1:", f"{it.name}-sink-0 (pid ", "End one of the two (scripts/down",
                      "give it a `job:` of its own"):
            wait_for(f"{words!r} from the second one", lambda: words in said.read_text(), 90)
        wait_for("words in the log of the first one", lambda: "would run job" in (first.dir / "logs/sink.log").read_text(), 30)
        wait_for("words in its log", lambda: told() > 0, 90)
        must_be("the fence", it.fence(), fence)
        if not shared:
            up.send_signal(signal.SIGINT)
            up.wait(60)
        else:
            first.down()
            must_be("exit code of the second up", up.wait(120), 0)
            it.produce(1000, "--rate", 0, seed=3)
            it.settle()
            # A sink that stands still does not hold the other one up for long.
            os.kill(second.pid_of("sluice-sink"), signal.SIGSTOP)
            sql(it.url, "UPDATE sluice.runners SET since = since - interval '2 minutes'; "
                        "UPDATE sluice.frontier SET committed_at = committed_at - interval '1 minute'")
            first.must_come_up()
            it.produce(1000, "--rate", 0, seed=4)
            it.settle()
            must_be("words of the one that takes over", "PostgreSQL backend of another writer" in
                    (first.dir / "logs/sink.log").read_text(), True)
            fence = it.fence()
            before = told()
            os.kill(second.pid_of("sluice-sink"), signal.SIGCONT)
            wait_for("words of the one that had fallen silent", lambda: told() > before, 90)
            must_be("the fence", it.fence(), fence)
            second.down()
        it.prove()
        first.down()


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


def starting(run, **more):
    """up, which waits for a Kafka that is not there; its signals are as a terminal's shell leaves them."""
    return subprocess.Popen([ROOT / "scripts/up", "--run-dir", run.dir], env=run.environment, stdin=subprocess.DEVNULL, **{
        "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "preexec_fn": lambda: [signal.signal(s, signal.SIG_DFL) for s in ENDINGS]} | more)


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@brought_down
def interrupted(job, scripts):
    """A closed terminal is as the others, and sends more than one; at whatever moment it is, also before supervisord has a pid."""
    it = job()
    run = scripts(it, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    moments = {"its processes": lambda: len(run.processes()) > 4, "supervisord": lambda: "python3" in " ".join(run.processes().values()),
               "its configuration": (run.dir / "supervisord.conf").exists}
    for what, number in (("its processes", signal.SIGINT), ("supervisord", signal.SIGTERM), ("supervisord", signal.SIGHUP),
                         ("its configuration", signal.SIGHUP), ("its processes", signal.SIGHUP)):
        with contextlib.suppress(FileNotFoundError):
            (run.dir / "supervisord.conf").unlink()
        up = starting(run)
        wait_for(what, moments[what], 20)
        up.send_signal(number)
        if number == signal.SIGHUP:
            up.send_signal(signal.SIGTERM)
        must_be(f"the exit code after {number.name} at {what}", up.wait(40), 130)
        run.nothing_runs()


@brought_down
def under_nohup(job, scripts):
    """A closed terminal is nothing to it."""
    it = job()
    run = scripts(it, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    up = starting(run, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for("the processes", lambda: len(run.processes()) > 4, 20)
    up.send_signal(signal.SIGHUP)
    time.sleep(1)
    must_be("the exit code", up.poll(), None)
    up.send_signal(signal.SIGTERM)
    must_be("the exit code", up.wait(40), 130)
    run.nothing_runs()


@brought_down
def words_that_nobody_reads(job, scripts):
    """The work goes on where a reader has seen enough; what could not be said is in the exit code, and the pipeline stays deployed."""
    run = scripts(job())

    def shell(text):
        done = subprocess.run(["/bin/bash", "-c", f"{text}; echo ${{PIPESTATUS[0]}}", "x", ROOT / "scripts/up", run.dir], env=run.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150)
        return done.stdout
    for command, words in (('"$1" --run-dir "$2" 2>&1 | true', "74\n"), ('"$1" --run-dir "$2" >/dev/full', "No space left on device\n74\n"),
                           ('"$1" --run-dir "$2" >&-', "Bad file descriptor\n74\n"), ('"$1" --run-dir "$2" 2>&- >/dev/null', "0\n")):
        said = shell(command)
        if not said.endswith(words):
            raise Failure(f"{command}: {said!r}")
        must_be(f"processes after {command}", len(run.processes()), 5)
        run.down()


@brought_down
def typed_wrongly(job, scripts):
    """Words that say what is meant, and nothing is left of it."""
    it = job()
    run = scripts(it)
    for options, words in ((("--ingest", "two"), "a whole number of 1 or more, not 'two'"), (("--search", "1.5"), "not '1.5'"),
                           (("--ingest", "0"), "not '0'"), (("--wait", "-1"), "not '-1'"), (("--wait", "1e9999"), "not '1e9999'"),
                           (("--config", it.folder / "nowhere.yaml"), "nowhere.yaml: no such file"),
                           (("--config", it.folder), "no such file")):
        done = run.up(*options)
        if words not in done.stdout or done.returncode not in (1, 2) or "Traceback" in done.stdout:
            raise Failure(f"up {options}: {done.returncode} {done.stdout}")
        must_be(f"a run dir after {options}", run.dir.exists(), False)
    it.write_config(("parallelism:", "paralelism:"))
    must_be("the exit code of a bad file", run.up().returncode, EXIT_CONFIG)
    must_be("a run dir after a bad file", run.dir.exists(), False)
    file = it.folder / "a file"
    file.touch()
    for script in ("up", "down"):
        done = subprocess.run([ROOT / "scripts" / script, "--run-dir", file], env=run.environment, text=True, capture_output=True, check=False)
        must_be(f"what {script} says of a file", (done.returncode, done.stdout, done.stderr),
                (1, "", f"{script}: {file}: it is no directory, so no run dir\n"))
        for name in ("", f"{file}\nx"):  # which supervisord's configuration could not say
            done = subprocess.run([ROOT / "scripts" / script, "--run-dir", name], env=run.environment, text=True, capture_output=True, check=False)
            must_be(f"what {script} says of {name!r}", (done.returncode, done.stdout, "it is the name of a directory, on one line" in done.stderr), (1, "", True))


def programs_but(it, sluicectl):
    """A folder of the programs in which this script is sluicectl."""
    folder = it.folder / "bin"
    folder.mkdir()
    for program in BIN.glob("sluice-*"):
        (folder / program.name).symlink_to(program)
    (folder / "sluicectl").write_text(sluicectl)
    (folder / "sluicectl").chmod(0o755)
    return str(folder)


@brought_down
def a_status_that_does_not_come(job, scripts):
    """On a machine that has too much to do: that is waited for, too, and not for longer."""
    it = job()
    run = scripts(it, SLUICE_BIN=programs_but(it, f'#!/bin/sh\n[ "$1" != status ] || exec sleep 60\nexec {BIN}/sluicectl "$@"\n'))
    done = run.up("--wait", 3)
    must_be(f"the exit code\n{done.stdout}", done.returncode, 1)
    if "not deployed after 3 s" not in done.stdout or "Traceback" in done.stdout:
        raise Failure(f"up has to say that it waited in vain:\n{done.stdout}")
    run.nothing_runs()


@brought_down
def after_a_78_it_is_started(job, scripts):
    """What a person mends in the file, in the environment or in the database: the next up starts it, and says so."""
    it = job()
    run = scripts(it)
    it.produce(1000, "--rate", 0)
    run.must_come_up("--aggregators", 2)
    it.settle()
    sql(it.url, "ALTER TABLE sales_per_day RENAME TO elsewhere")
    it.produce(1000, "--rate", 0, seed=2)
    wait_for("the job ends", lambda: not any(name.startswith("sluice-") for name in run.processes().values()), 60)
    done = run.up("--wait", 30)
    must_be(f"the exit code where nothing was mended\n{done.stdout}", done.returncode, EXIT_CONFIG)
    run.nothing_runs()
    sql(it.url, "ALTER TABLE elsewhere RENAME TO sales_per_day")
    run.must_come_up("--aggregators", 2)
    it.settle()
    for mend in ("database", "environment", "file"):
        for pid, name in run.processes().items():
            if name.startswith("sluice-"):
                with contextlib.suppress(ProcessLookupError):  # the coordinator's end is everybody's
                    os.kill(pid, signal.SIGTERM)  # exit 0: not started again either
        wait_for("all have ended", lambda: not any(name.startswith("sluice-") for name in run.processes().values()), 60)
        if mend == "environment":
            run.environment["PGAPPNAME"] = "mended"
        elif mend == "file":
            it.write_config(("interval: 5s", "interval: 4s"))
        said = run.must_come_up()
        if "up already" in said or "is running" not in said:
            raise Failure(f"up after {mend}:\n{said}")
        must_be(f"aggregators after {mend}", sorted(run.processes().values()).count("sluice-aggregator"), 2)
        it.produce(500, "--rate", 0, seed=len(mend))
        it.settle()
    it.prove()


@brought_down
def one_process_has_ended(job, scripts):
    it = job()
    run = scripts(it)
    run.must_come_up()
    processes = run.processes()
    os.kill(run.pid_of("sluice-ingest"), signal.SIGTERM)
    wait_for("it is gone", lambda: "sluice-ingest" not in run.processes().values(), 30)
    said = run.must_come_up()
    if "starting again what has ended: ingest-0" not in said:
        raise Failure(said)
    must_be("the others", {pid for pid, name in processes.items() if name != "sluice-ingest"} <= set(run.processes()), True)


@brought_down
def other_numbers_and_other_files(job, scripts):
    """Numbers of processes are obeyed; another file or environment is refused while it runs, and then taken over."""
    it = job()
    run = scripts(it)
    it.produce(1000, "--rate", 0)
    run.must_come_up()
    said = run.must_come_up("--aggregators", 3, "--ingest", 2)
    if "1 aggregators before, 3 now" not in said:
        raise Failure(said)
    counts = sorted(run.processes().values())
    must_be("processes", (counts.count("sluice-aggregator"), counts.count("sluice-ingest")), (3, 2))
    it.produce(1000, "--rate", 0, seed=2)
    it.settle()
    processes = run.processes()
    if "up already" not in run.must_come_up():
        raise Failure("up again")
    other = it.folder / "other.yaml"
    other.write_text((it.folder / "pipeline.yaml").read_text())
    stranger = scripts(it, run_dir=run.dir, KAFKA_BOOTSTRAP_SERVERS=it.environment["KAFKA_BOOTSTRAP_SERVERS"] + ",127.0.0.1:9")
    edited = (it.folder / "pipeline.yaml").read_text()
    for who, options, words in ((run, ("--config", other), "other.yaml instead of"),
                                (run, ("--config", other, "--aggregators", 1), "other.yaml instead of"),
                                (stranger, (), "another KAFKA_BOOTSTRAP_SERVERS")):
        done = who.up(*options)
        if done.returncode != 1 or words not in done.stdout or "scripts/down" not in done.stdout:
            raise Failure(f"up {options}: exit {done.returncode}\n{done.stdout}")
    it.write_config(("interval: 5s", "interval: 4s"))
    done = run.up()
    if done.returncode != 1 or "has changed" not in done.stdout:
        raise Failure(f"up with an edited file: exit {done.returncode}\n{done.stdout}")
    (it.folder / "pipeline.yaml").write_text(edited)
    must_be("nothing was touched", run.processes(), processes)
    run.down()
    run.must_come_up("--config", other)
    it.prove()


@brought_down
def neighbours_by_name(job, scripts):
    """run/a, run/a2 and run/a/b: down of one ends none of another."""
    one, other, inner = job(), job(), job()
    runs = [scripts(one, run_dir=one.folder / "a"), scripts(other, run_dir=one.folder / "a2"), scripts(inner, run_dir=one.folder / "a/b")]
    for run in runs:
        run.must_come_up()
    supervisor = int((runs[0].dir / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)  # then down looks for orphans
    wait_for("supervisord's end", lambda: supervisor not in runs[0].processes(), 5)
    before = [run.processes() for run in runs]
    runs[0].down()
    runs[0].nothing_runs()
    for run, processes in zip(runs[1:], before[1:]):
        must_be(f"processes of {run.dir}", run.processes(), processes)


def sourced(run, command, **environment):
    """What a shell says that has sourced the run dir's env, and knows nothing else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE", "KAFKA", "DATABASE", "PG", "ELASTIC"))}
    return subprocess.run(["sh", "-c", f". '{run.dir}/env' && {command}"], env={**clean, **environment}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


@brought_down
def the_last_words_of_a_job(job, scripts):
    """A 78 ends the coordinator, too: what it said is found all the same, until the job runs again."""
    it = job()
    run = scripts(it)
    it.produce(500, "--rate", 0)
    run.must_come_up()
    it.settle()

    def status(*words, code):
        done = sourced(run, f"{BIN}/sluicectl status {' '.join(words)}")
        must_be(f"exit code of status {words}\n{done.stdout}", done.returncode, code)
        return done.stdout

    def json_of(*words):
        return json.loads(status(*words, code=1).splitlines()[-1])  # before it, env may say that the run dir is not up

    def must_tell():
        words = r"STOPPED since 20..-..-..T..:..:..Z: .*sales_per_day.*What to do: "
        for said in (status(code=1), status("--check", code=1)):
            if not re.search(words, said) or "no word" in said:
                raise Failure(said)
        report = json_of("-o", "json")
        must_be("the report", (report["state"], report["live"], "sales_per_day" in report["last_error"]), ("STOPPED", False, True))
        report = json_of("--check", "-o", "json")
        must_be("the check", (report["healthy"], bool(re.match(words, report["jobs"][0]["why"]))), (False, True))

    sql(it.url, "ALTER TABLE sales_per_day RENAME TO elsewhere")
    it.produce(500, "--rate", 0, seed=2)
    wait_for("the job ends", lambda: not any(name.startswith("sluice-") for name in run.processes().values()), 60)
    must_tell()
    must_be(f"the exit code where nothing was mended", run.up("--wait", 30).returncode, EXIT_CONFIG)
    must_tell()
    # Somebody else has begun an attempt since, whom nobody hears here.
    attempts = run.dir / "checkpoints" / it.name / "totals" / "attempts"
    newer = attempts / str(max(int(path.name) for path in attempts.iterdir()) + 1)
    newer.touch()
    must_be("no word", "no word" in status(code=69), True)
    newer.unlink()
    must_tell()
    sql(it.url, "ALTER TABLE elsewhere RENAME TO sales_per_day")
    run.must_come_up()
    must_be("healthy", status("--check", code=0).strip(), "healthy")
    run.down()
    must_be("no word", "no word" in status(code=69), True)


@brought_down
def env_is_all_that_one_needs(job, scripts):
    """status, check and audit by a shell that has nothing but env; no secret in it; and another run dir is not led astray."""
    it, other = job(), job()
    run = scripts(it, DATABASE_URL=re.sub("//postgres@", "//postgres:hush%2dhush@", it.url))
    it.produce(1000, "--rate", 0)
    run.must_come_up()
    it.settle()
    for words in ("status", "status --check", "audit", "checkpoint"):
        done = sourced(run, f"{BIN}/sluicectl {words}")
        must_be(f"{words}\n{done.stdout}", done.returncode, 0)
    for file in run.dir.rglob("*"):
        if file.is_file() and "hush" in file.read_text(errors="replace"):
            raise Failure(f"{file} holds the password")
    second = scripts(other, run_dir=other.folder / "r2")
    environment = {"SLUICE_BIN": str(BIN), "STATE_DIR": "", "DATABASE_URL": other.url}
    done = sourced(run, f"DATABASE_URL='{other.url}' '{ROOT}/scripts/up' --run-dir '{second.dir}' --config '{other.folder}/pipeline.yaml'",
                   **environment)
    must_be(f"up after another's env\n{done.stdout}", done.returncode, 0)
    if "left aside" not in done.stdout or f"{other.name}/totals is running" not in done.stdout:
        raise Failure(done.stdout)
    must_be("processes of its own", sorted(second.processes().values()).count("sluice-sink"), 1)
    ports = [json.loads((each.dir / "run.json").read_text())["coordinator"] for each in (run, second)]
    must_be("two ports", len(set(ports)), 2)
    done = sourced(run, f"{BIN}/sluicectl status --check")
    must_be(f"the first\n{done.stdout}", done.returncode, 0)
    run.down()
    if "not up" not in sourced(run, "true").stdout:
        raise Failure("env of what is down has to say what it lacks")


@brought_down
def a_run_dir_that_was_moved(job, scripts):
    """While it runs: down finds it where it is now; up where it was ends it, and starts anew."""
    it = job()
    old = scripts(it)
    old.must_come_up()
    moved = scripts(it, run_dir=it.folder / "moved")
    old.dir.rename(moved.dir)
    must_be("what down says", moved.down().strip(), "stopped")
    old.nothing_runs()
    must_be("what down says again", moved.down().strip(), "not up")
    shutil.rmtree(moved.dir)
    old.must_come_up()
    before = old.processes()
    old.dir.rename(moved.dir)
    old.must_come_up()
    must_be("left of before", [pid for pid in before if pid in old.processes() or Path(f"/proc/{pid}/exe").exists()], [])
    must_be("what down says there", moved.down().strip(), "not up")
    must_be("what is up", sourced(old, f"{BIN}/sluicectl status --check").returncode, 0)
    old.down()
    old.nothing_runs()


@brought_down
def a_coordinator_that_is_not_ours(job, scripts):
    """The port of another run dir, given outright: up does not take the other's job for its own."""
    it, other = job(), job()
    first = scripts(it)
    first.must_come_up()
    port = json.loads((first.dir / "run.json").read_text())["coordinator"]
    second = scripts(it, run_dir=other.folder / "r2", SLUICE_COORDINATOR=port)
    done = second.up("--wait", 6)
    if done.returncode == 0 or "is running" in done.stdout:
        raise Failure(f"exit {done.returncode}\n{done.stdout}")
    second.nothing_runs()
    must_be("the first one", sourced(first, f"{BIN}/sluicectl status --check").returncode, 0)


# An answer whose coordinator has ended by the time that it is heard: twice, then as it is.
ENDS_BEHIND_ITS_ANSWER = """#!/usr/bin/python3
import os, signal, subprocess, sys, time
done = subprocess.run([{bin!r} + "/sluicectl", *sys.argv[1:]], stdout=subprocess.PIPE)
if sys.argv[1] == "status" and done.stdout and os.path.getsize({count!r}) < 2:
    with open({count!r}, "a") as file:
        file.write(".")
    mark = b"SLUICE_RUN_DIR=" + os.fsencode(os.environ["SLUICE_RUN_DIR"])
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            ours = os.readlink(f"/proc/{{pid}}/exe").endswith("/sluice-coordinator") and mark in open(f"/proc/{{pid}}/environ", "rb").read()
        except OSError:
            continue
        if ours:
            os.kill(int(pid), signal.SIGKILL)
            while os.path.exists(f"/proc/{{pid}}/exe"):
                time.sleep(0.01)
sys.stdout.buffer.write(done.stdout)
sys.exit(done.returncode)
"""


@brought_down
def a_coordinator_of_ours_that_has_ended(job, scripts):
    """It answers and is gone a moment later, as with each 78: nobody calls it somebody else's, nor the job deployed."""
    it = job()
    (it.folder / "count").touch()
    run = scripts(it, SLUICE_BIN=programs_but(it, ENDS_BEHIND_ITS_ANSWER.format(bin=str(BIN), count=str(it.folder / "count"))))
    said = run.must_come_up("--wait", 60)
    must_be("answers of coordinators that ended", (it.folder / "count").stat().st_size, 2)
    if "somebody else" in said:
        raise Failure(said)
    it.produce(100, "--rate", 0)
    it.settle()


@brought_down
def folders_as_users_write_them(job, scripts):
    """file:///path as in other systems' settings; blanks, in what up prints, too."""
    it = job()
    folder = it.folder / "check points"
    run = scripts(it, run_dir=it.folder / "a run dir", CHECKPOINT_DIR=f"file://{folder}")
    said = run.must_come_up()
    if not (folder / it.name / "totals" / "attempts").is_dir():
        raise Failure(f"no checkpoints in {folder}")
    words = re.search("ask it with: (.*)", said).group(1)
    done = subprocess.run(["sh", "-c", words], env=run.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    must_be(f"{words}\n{done.stdout}", done.returncode, 0)


CASES = (interrupted, under_nohup, words_that_nobody_reads, typed_wrongly, one_job_in_two_run_dirs, after_a_78_it_is_started, one_process_has_ended, other_numbers_and_other_files, neighbours_by_name, env_is_all_that_one_needs, the_last_words_of_a_job,
         a_run_dir_that_was_moved, a_coordinator_that_is_not_ours, a_coordinator_of_ours_that_has_ended, folders_as_users_write_them, twice_up_and_twice_down, two_run_dirs_at_once, a_killed_process_is_started_again, supervisord_is_killed, wrong_password,
         a_mistake_in_the_pipeline_file, servers_that_are_away, places_that_are_taken, asked_as_up_says, a_status_that_does_not_come)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
