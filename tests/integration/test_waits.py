#!/usr/bin/python3
"""Whoever waits says for what and since when, in the status and once in the log; and status --check has an exit code."""
import json, os, re, shutil, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg2

from jobs import EXIT_CONFIG, Failure, must_be, run_cases, sql, wait_for
from services import BIN, HERE, call
from shim import Shim, preloaded

EXIT_UNAVAILABLE = 69


def ctl(it, *words, **environment):
    return subprocess.run([str(BIN / "sluicectl"), *map(str, words)], env={**it.environment, **environment}, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)


def check(it, *words):
    """Exit code and line of status --check; both forms say the same."""
    done, again = ctl(it, "status", "--check", *words), ctl(it, "status", "--check", *words, "-o", "json")
    if done.returncode == again.returncode:
        must_be("healthy", json.loads(again.stdout)["healthy"], done.returncode == 0)
    if done.stdout.count("\n") != 1 or (done.stdout == "healthy\n") != (done.returncode == 0):
        raise Failure(f"status --check: exit {done.returncode}, {done.stdout!r}")
    return done.returncode, done.stdout


def wait_said(it, who, *words, seconds=15):
    """The first wait of the status that is told so, older than two seconds, with a time that fits."""
    found = []

    def told():
        for wait in (it.status() or {"waits": []})["waits"]:
            if who in wait["who"] and all(word in wait["text"] for word in words) and wait["seconds"] >= 2:
                found.append(wait)
        return found
    wait_for(f"{who} waits: {words}", told, seconds)
    wait = found[0]
    age = time.time() - time.mktime(time.strptime(wait["since"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone
    if not -2 < age - wait["seconds"] < 3:
        raise Failure(f"since and seconds do not fit: {wait}, {age:.1f} s")
    if f"waiting    {wait['who']}: " not in ctl(it, "status").stdout:
        raise Failure("the table does not have it")
    return wait


def told_in_log(it, name, *words):
    log = (it.folder / f"{name}.log").read_text(errors="replace")
    return sum(all(word in line for word in words) for line in log.splitlines())


def running(job, **more):
    it = job(**more)
    it.produce(1000, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    wait_for("healthy", lambda: check(it)[0] == 0, 10)
    return it


def a_role_without_processes(job):
    """Each in turn: which one is missing, since when, once in the log; and all is well afterwards."""
    it = job()
    must_be("without a coordinator", check(it)[0], EXIT_UNAVAILABLE)
    it.end()
    it = running(job)
    for name, words in (("aggregator-0", "an aggregator"), ("ingest-0", "an ingest"), ("sink", "a sink")):
        it.kill(name)
        wait_said(it, "coordinator", f"waits for {words} ")
        code, line = check(it)
        must_be(f"the exit code, {line}", code, 1)
        if "GATHERING" not in line or words not in line:
            raise Failure(f"why not: {line}")
        time.sleep(1)  # it would be said again, if it were
        must_be(f"{words} in the log", told_in_log(it, "coordinator", f"waits for {words} "), 1)
        it.start(name)
        it.wait_live()
        wait_for("healthy again", lambda: check(it)[0] == 0, 20)


def a_lag_without_commits(job):
    """A lock that somebody holds: behind, and nothing committed for longer than --max-age."""
    it = running(job)
    connection = psycopg2.connect(it.url)
    try:
        connection.cursor().execute("LOCK TABLE transactions")
        it.produce(500, "--rate", 0, seed=2)
        wait_for("not healthy", lambda: check(it, "--max-age", "1s")[0] == 1, 15)
        wait_for("somebody says what is waited for", lambda: it.status()["waits"], 10)
        must_be("the log", told_in_log(it, "coordinator", "wait", "epoch") + told_in_log(it, "coordinator", "waits") > 0, True)
    finally:
        connection.close()
    it.settle()
    wait_for("healthy again", lambda: check(it, "--max-age", "1s")[0] == 0, 20)


def a_database_that_may_not_be_written(job):
    """By a setting: where it is from, and the statement, which is taken to the letter. By being a standby: that, and nothing of settings."""
    it = running(job)
    writable = f"{it.url}?options=-c%20default_transaction_read_only%3Doff"
    role, database = sql(it.url, "SELECT quote_ident(current_user), quote_ident(current_database())")

    def sessions_end():
        sql(writable, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")

    def statement(seed, *words):
        sessions_end()
        it.produce(100, "--rate", 0, seed=seed)
        said = wait_said(it, "sink", *words)["text"]
        must_be("the log", told_in_log(it, "coordinator", *words) > 0, True)
        return re.search("`([^`]*)`", said)

    for seed, alter in enumerate((f"ALTER DATABASE {database}", f"ALTER ROLE {role}", f"ALTER ROLE {role} IN DATABASE {database}", "ALTER ROLE ALL"), 2):
        sql(writable, f"{alter} SET default_transaction_read_only = on")
        try:
            way_out = statement(seed, "default_transaction_read_only", "read-only", alter).group(1)
            must_be("the statement", way_out, f"{alter} RESET default_transaction_read_only")
        finally:
            sql(writable, f"{alter} RESET default_transaction_read_only")
        it.settle()
        wait_for("healthy again", lambda: check(it)[0] == 0, 20)
    server = it.services.postgres
    call(HERE / "postgres.sh", "stop", server)
    signal_file = server / "data/standby.signal"
    signal_file.touch()
    shutil.chown(signal_file, (server / "data").stat().st_uid)
    call(HERE / "postgres.sh", "start", server)
    it.produce(100, "--rate", 0, seed=9)
    said = wait_said(it, "sink", "is a standby", "promote it", seconds=30)["text"]
    must_be("words of a setting", "default_transaction_read_only" in said, False)
    sql(it.url, "SELECT pg_promote()")
    it.settle()
    wait_for("healthy again", lambda: check(it)[0] == 0, 20)


def a_process_with_another_file(job):
    it = running(job)
    words = [str(BIN / "sluice-aggregator"), "--name", "stranger"]
    other = it.folder / "other.yaml"
    other.write_text((it.folder / "pipeline.yaml").read_text().replace("time_zone: UTC", "time_zone: Europe/Berlin"))
    done = subprocess.run(words, env={**it.environment, "SLUICE_CONFIG": str(other)}, capture_output=True, text=True, timeout=30)
    must_be("the exit code of the stranger", done.returncode, EXIT_CONFIG)
    wait_said(it, "coordinator", "refused", "stranger")
    must_be("the log", told_in_log(it, "coordinator", "stranger", "give both the same file"), 1)


def a_checkpoint_folder_that_is_none(job):
    """Where the files should go, nothing can be written: said, with the reason, until one is complete again."""
    it = running(job, changes=(("interval: 5s", "interval: 500ms\n  tolerable_failures: 1000"),))
    folder = os.path.join(it.environment["CHECKPOINT_DIR"], it.name, "totals", "checkpoints")
    os.rename(folder, folder + ".away")
    open(folder, "w").close()
    it.produce(100, "--rate", 0, seed=2)
    wait_said(it, "coordinator", "waits for a checkpoint", "Not a directory")
    must_be("the exit code", check(it)[0], 1)
    os.unlink(folder)
    os.rename(folder + ".away", folder)
    it.produce(100, "--rate", 0, seed=3)
    wait_for("healthy again", lambda: check(it)[0] == 0, 20)


def a_checkpoint_folder_that_hangs(job):
    """No epoch begins meanwhile, also none of the search job's; the log says for what is waited, once per call, and then that it is over."""
    it = job(changes=[("interval: 5s", "interval: 500ms")])
    folder, shim = it.folder / "disk/checkpoints", Shim(it.folder / "shim")
    folder.mkdir(parents=True)
    it.environment.update(CHECKPOINT_DIR=str(folder), SLUICE_SHIM=str(shim.path), **preloaded(folder.parent))
    it.start_all()
    it.produce(500, "--rate", 0)
    it.settle()
    must_be("said before", told_in_log(it, "coordinator", "waiting for the checkpoint folder"), 0)
    attempts = it.fence()
    shim.set(sync_ms=2600)
    it.produce(500, "--rate", 0, seed=2)
    said = ("waiting for the checkpoint folder", it.name, "writing a manifest takes more than 2.0 s")
    wait_for("the coordinator says it", lambda: told_in_log(it, "coordinator", *said), 60)
    shim.set()
    wait_for("and that it is over", lambda: told_in_log(it, "coordinator", "the checkpoint folder has answered"), 30)
    it.settle()
    wait_for("healthy again", lambda: check(it)[0] == 0, 20)
    must_be("attempts", it.fence(), attempts)
    must_be("said", told_in_log(it, "coordinator", *said), told_in_log(it, "coordinator", "the checkpoint folder has answered"))
    it.stop()
    it.prove()


def a_coordinator_that_hangs(job):
    """Its workers say so in logs of their own, once, also where the connection stands."""
    it = running(job)
    it.running["coordinator"].send_signal(signal.SIGSTOP)
    try:
        for name in ("ingest-0", "aggregator-0", "sink"):
            wait_for(f"{name} says it", lambda: told_in_log(it, name, "waiting for the coordinator"), 10)
        must_be("status", ctl(it, "status", "--check").returncode, EXIT_UNAVAILABLE)
    finally:
        it.running["coordinator"].send_signal(signal.SIGCONT)
    it.wait_live()
    it.kill("coordinator")
    wait_for("it is gone", lambda: told_in_log(it, "sink", "waiting for the coordinator") > 1, 10)
    must_be("said by the sink", told_in_log(it, "sink", "waiting for the coordinator"), 2)
    it.start("coordinator")
    it.wait_live()


class Unauthorized(BaseHTTPRequestHandler):
    def answer(self):
        body = b'{"error": {"type": "security_exception", "reason": "missing authentication"}, "status": 401}'
        self.send_response(401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_PUT = do_POST = do_HEAD = answer

    def log_message(self, *_):
        pass


def a_search_job_that_has_stopped(job):
    """Also asked from a shell that knows of no Elasticsearch."""
    server = HTTPServer(("127.0.0.1", 0), Unauthorized)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    it = job()
    it.environment["ELASTICSEARCH_URL"] = f"http://127.0.0.1:{server.server_port}"
    it.produce(1000, "--rate", 0)
    it.start_all().start_search()
    try:
        it.exits_with(EXIT_CONFIG, names=["search-sink-0", "search-ingest-0"])
        for environment in ({}, {"ELASTICSEARCH_URL": ""}):
            wait_for("totals are well", lambda: ctl(it, "status", "--check", "--job", "totals").returncode == 0, 30)
            for words in (("status",), ("status", "--check")):
                done = ctl(it, *words, **environment)
                must_be(f"the exit code of {words}, {environment}", done.returncode, 1)
                if f"{it.name}/search" not in done.stdout or "STOPPED" not in done.stdout:
                    raise Failure(done.stdout)
            both = json.loads(ctl(it, "status", "-o", "json", **environment).stdout)
            must_be("states", (both["totals"]["state"], both["search"]["state"]), ("RUNNING", "STOPPED"))
    finally:
        server.shutdown()


def a_start_that_comes_too_late(job):
    """It has no effect any more: said at every start, with both values."""
    it = running(job)
    it.end()
    it.write_config(("start: earliest", "start: latest"))
    for times in (1, 2):
        it.start_all().wait_live()
        must_be("said", told_in_log(it, "coordinator", "source.start counts where nothing was read", "'earliest'", "'latest'"), times)
        it.end()
    it.write_config()
    it.start_all().wait_live()
    must_be("said", told_in_log(it, "coordinator", "source.start counts"), 2)


CASES = (a_start_that_comes_too_late, a_role_without_processes, a_lag_without_commits, a_database_that_may_not_be_written, a_process_with_another_file, a_checkpoint_folder_that_is_none,
         a_checkpoint_folder_that_hangs,         a_coordinator_that_hangs, a_search_job_that_has_stopped)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
