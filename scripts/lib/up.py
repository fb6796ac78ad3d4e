"""up.py - the work of scripts/up, which checks before that everything needed is there."""
import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

from run_dir import SEARCH, STOPPED, RunDir, Trouble, check_folder, put, run_main, say

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXIT_CONFIG = 78


def read_arguments():
    parser = argparse.ArgumentParser(prog="up", allow_abbrev=False)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--config", default=os.environ.get("SLUICE_CONFIG") or None)
    parser.add_argument("--run-dir", default=os.path.join(ROOT, "run/default"))
    parser.add_argument("--ingest", type=positive)
    parser.add_argument("--aggregators", type=positive)
    parser.add_argument("--search", type=positive)
    parser.add_argument("--wait", type=positive, default=120)
    return parser.parse_args()


def positive(text):
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"it is a whole number of 1 or more, not {text!r}")
    return int(text)


class Progress:
    """One line that is overwritten on a terminal; elsewhere a line when there is something new to say."""

    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.began = time.monotonic()
        self.said = None

    def show(self, text):
        if self.terminal:
            elapsed = time.monotonic() - self.began
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            say("\r\033[K" + f"    {elapsed:3.0f} s  {text}"[:width - 1], end="")
        elif text != self.said:
            say(f"    {text}")
        self.said = text

    def end(self):
        if self.terminal and self.said is not None:
            say("\r\033[K", end="")


class Start:
    def __init__(self, run, bin_dir, seconds):
        self.run = run
        self.ctl = os.path.join(bin_dir, "sluicectl")
        self.deadline = time.monotonic() + seconds
        self.seconds = seconds
        self.pids = {}  # all that a process had so far
        self.jobs = ["totals"]

    def validate(self):
        """Before anything starts: a mistake in the file is better told by one program than by five. Tells which jobs are on, too."""
        done = subprocess.run([self.ctl, "validate", "-o", "json", self.run.facts["config"]], env=self.run.environment(),
                              text=True, capture_output=True, check=False)
        if done.returncode != 0:
            say(done.stderr.strip())
            return done.returncode
        self.jobs = list(json.loads(done.stdout)["jobs"])
        if "search" not in self.jobs:
            self.run.without_search()
        return done.returncode

    def status(self, job):
        """The coordinator's answer, or None, and whether the job runs. A machine that is busy may not come to it in time."""
        try:
            done = subprocess.run([self.ctl, "status", "--job", job, "-o", "json"], env=self.run.environment(), text=True,
                                  capture_output=True, check=False, timeout=min(30, max(2, self.deadline - time.monotonic())))
            report = json.loads(done.stdout)
        except (ValueError, subprocess.TimeoutExpired):
            return None, False
        return (None, False) if "stopped_since" in report else (report, done.returncode == 0)  # that is of the start before

    def wait(self):
        """An exit code, and the last report of each job. Totals do not wait for the search job for ever: it comes when it can."""
        progress = Progress()
        try:
            while True:
                found = {job: self.status(job) for job in self.jobs}
                reports = {job: report for job, (report, _) in found.items()}
                ours = self.run.has_address() if any(reports.values()) else None
                if not ours:  # another run dir's, to which the environment has led us; or ours, which has ended behind its answer
                    reports = dict.fromkeys(reports)
                processes = self.run.processes()
                waiting_for = [job for job, (_, running) in found.items() if not running or not ours]
                if not waiting_for:
                    return 0, reports
                stopped = {self.job_of(process) for process in processes if self.is_config(process)} & set(self.jobs)
                if stopped:
                    progress.end()
                    self.explain_config()
                    if stopped != {"search"}:
                        return EXIT_CONFIG, None
                    self.go_on_without_search()
                    continue
                text = self.waiting(waiting_for[0], reports[waiting_for[0]], processes)
                if ours is False:
                    text = f"somebody else's coordinator answers at {self.run.facts['coordinator']}"
                if time.monotonic() > self.deadline:
                    progress.end()
                    if waiting_for == ["search"]:
                        say(f"up: the totals are deployed, the search job is not yet after {self.seconds} s: {text}")
                        return 0, reports
                    say(f"up: not deployed after {self.seconds} s: {text}")
                    self.explain(processes)
                    return 1, None
                progress.show(text)
                time.sleep(1)
        finally:
            progress.end()

    @staticmethod
    def is_config(process):
        return process["statename"] == "EXITED" and process["exitstatus"] == EXIT_CONFIG

    @staticmethod
    def job_of(process):
        return "search" if process["name"].startswith(SEARCH) else "totals"

    def waiting(self, job, report, processes):
        restarted = []
        for process in processes:
            pids = self.pids.setdefault(process["name"], set())
            if process["pid"]:
                pids.add(process["pid"])
            if len(pids) > 2 and self.job_of(process) == job:
                restarted.append(process["name"])
        if restarted:
            name = restarted[0]
            said = self.run.messages(name, ("error", "warn"))
            return f"{name} keeps ending: {said[-1] if said else 'it says nothing'}"
        if report is None:
            said = self.run.messages("coordinator", ("error", "warn"))
            return f"waiting for the coordinator: {said[-1]}" if said else "waiting for the coordinator"
        if report["waiting"]:
            return report["waiting"] if report["waiting"].startswith("waiting") else f"waiting: {report['waiting']}"
        if report["state"] == "RUNNING":
            return "replaying up to what the database has"
        return f"{report['state'].lower().replace('_', ' ')}" + (f" ({report['last_error']})" if report["last_error"] else "")

    def explain_config(self):
        """All processes of a job end with the same message: it is shown once."""
        for _ in range(50):
            processes = self.run.processes()
            stopped = {self.job_of(process) for process in processes if self.is_config(process)}
            if all(process["statename"] == "EXITED" for process in processes
                   if self.job_of(process) in stopped and (process["name"] != "coordinator" or len(self.jobs) == 1)):
                break
            time.sleep(0.1)
        self.explain([process for process in processes if self.is_config(process)])

    def go_on_without_search(self):
        """A mistake that concerns nothing else: the totals neither wait for it nor end with it."""
        self.jobs.remove("search")
        say(f"up: the search job has stopped, the totals go on without it. When that is mended: {again(self.run)}")

    def explain(self, processes):
        by_message = {}
        for process in processes:
            for message in self.run.messages(process["name"])[-1:]:
                message = re.sub("^the job( [^ ]+)? stops: ", "", message)
                by_message.setdefault(message, []).append(process["name"])
        for message, names in by_message.items():
            say(f"{', '.join(names)}: {message}")


def again(run):
    default = run.dir == os.path.realpath(os.path.join(ROOT, "run/default"))
    return os.path.join(ROOT, "scripts/up") + ("" if default else f" --run-dir {shlex.quote(run.dir)}")


def deploy(run, arguments):
    start = Start(run, arguments.bin, arguments.wait)
    arguments.config = arguments.config or os.path.join(ROOT, "compose/pipeline.yaml")
    if not os.path.isfile(arguments.config):  # one that ran, and is gone
        raise Trouble(f"{arguments.config}: no such file")
    run.prepare(arguments.config, arguments.ingest or 1, arguments.aggregators or 1, arguments.search or 1)
    if run.left_aside:
        say(f"up: left aside, as it is what another run dir's env says: {', '.join(run.left_aside)}")
    code = start.validate()
    if code != 0:
        run.remove_socket()
        return code
    return bring_up(run, start, lambda: run.start(os.path.abspath(arguments.bin)))


def bring_up(run, start, begin):
    reports = None
    code = 1
    try:
        begin()
        code, reports = start.wait()
    finally:
        if code != 0:
            run.stop()
    if code != 0:
        say(f"up: nothing is left running; logs are in {run.logs}")
        return code
    for report in filter(None, reports.values()):
        put(f"{report['job']} is {'running' if report['live'] else 'not yet running'}: {len(report['workers'])} processes, "
            f"{report['counters']['consumed']} records so far")
    put(f"logs in {shlex.quote(run.logs)}; ask it with: . {shlex.quote(run.path('env'))} && {shlex.quote(start.ctl)} status")
    return 0


def go_on(run, arguments):
    """It is up. What has ended is started, and numbers of processes are obeyed; nothing else that runs is changed."""
    stopped = [process["name"] for process in run.processes() if process["statename"] in STOPPED]
    others = run.differences(arguments.config)
    counts = {name: getattr(arguments, name) for name in ("ingest", "aggregators", "search")}
    counts = {name: count for name, count in counts.items() if count and run.facts[name] and count != run.facts[name]}
    if not stopped and others:
        say(f"up: it runs in {run.dir}, and is left alone: {', '.join(others)}. scripts/down and then scripts/up take that over")
        return 1
    if not stopped and not counts:
        put(f"up already (supervisord {run.supervisor_pid()} in {run.dir}); scripts/down stops it")
        return 0
    run.take_over_environment()
    if not others and not counts:
        say(f"starting again what has ended: {', '.join(stopped)}")
        start = Start(run, arguments.bin, arguments.wait)
        code = start.validate()
        return code if code != 0 else bring_up(run, start, run.start_stopped)
    words = others + [f"{run.facts[name]} {name} before, {count} now" for name, count in counts.items()]
    say(f"starting anew: {', '.join(words)}")
    arguments.config = arguments.config or run.facts["config"]
    for name in ("ingest", "aggregators", "search"):
        setattr(arguments, name, getattr(arguments, name) or run.facts[name])
    check = subprocess.run([os.path.join(arguments.bin, "sluicectl"), "validate", arguments.config], env=run.environment(),
                           stdout=subprocess.DEVNULL, check=False)
    if check.returncode != 0:
        return check.returncode
    run.stop()
    return deploy(run, arguments)


def main():
    arguments = read_arguments()
    if arguments.config is not None and not os.path.isfile(arguments.config):  # before there is a run dir
        raise Trouble(f"{arguments.config}: no such file")
    check_folder(arguments.run_dir)
    made = not os.path.isdir(arguments.run_dir)
    os.makedirs(arguments.run_dir, exist_ok=True)
    run = RunDir(arguments.run_dir)
    with run.lock():
        if run.supervisor_pid() is not None:
            return go_on(run, arguments)
        if run.stop():
            say("stopped what an earlier start had left")
        try:
            return deploy(run, arguments)
        finally:
            if made and not run.was_started:  # nothing in it is worth keeping
                shutil.rmtree(run.dir, ignore_errors=True)


run_main(main)
