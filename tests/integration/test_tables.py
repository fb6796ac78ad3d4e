#!/usr/bin/python3
"""A running job whose tables somebody else changes, empties, locks or hides: it stops before anything wrong is committed and goes on
behind the way out, or says for what it waits."""
import subprocess, sys, time

import psycopg2

from jobs import EXIT_CONFIG, Failure, must_be, run_cases, sql, wait_for
from services import BIN


def filled(job, **more):
    it = job(**more)
    it.start_all().wait_live(60)
    it.produce(500, "--rate", 0)
    it.settle()
    return it


def stopped(it, *words):
    names = list(it.running)
    it.exits_with(EXIT_CONFIG, 60)
    for name in names:
        tail = (it.folder / f"{name}.log").read_text(errors="replace")[-4000:].replace('\\"', '"')
        for word in (*words, "What to do"):
            if word not in tail:
                raise Failure(f"{name} does not say {word!r}:\n{tail}")


def exact(it):
    it.start_all().wait_live(60)
    it.produce(300, "--rate", 0, seed=9)
    it.settle()
    done = subprocess.run([BIN / "sluicectl", "audit"], env=it.environment, text=True, capture_output=True, check=False)
    must_be(f"exit code of the audit\n{done.stdout}{done.stderr}", done.returncode, 0)


def a_trigger_that_rounds(job):
    """It changes values, so no count would differ; it appears while epochs are committed."""
    it = filled(job)
    it.produce(20000, "--rate", 2000, seed=5, wait=False)
    sql(it.url, "CREATE FUNCTION rounds() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.total_amount = round(NEW.total_amount); "
                "RETURN NEW; END $$")
    sql(it.url, "CREATE TRIGGER rounds BEFORE INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION rounds()")
    stopped(it, "has trigger rounds")
    must_be("amounts that were rounded", sql(it.url, "SELECT count(*) FILTER (WHERE total_amount <> round(total_amount)) > 0 "
                                                     "FROM transactions")[0], True)
    sql(it.url, "DROP TRIGGER rounds ON transactions")
    exact(it)


def emptied(job):
    it = filled(job)
    sql(it.url, "TRUNCATE transactions")
    it.produce(100, "--rate", 0, seed=6)
    stopped(it, '"transactions" is empty')
    must_be("rows", sql(it.url, "SELECT count(*) FROM transactions")[0], 0)


def letters_emptied(job):
    """Said in the log, at once and at every start; the audit names them; the totals go on."""
    def said():
        return (it.folder / "sink.log").read_text().count("has no letter of job letters_emptied_0/totals, but its frontier counts")
    it = filled(job)
    letters = sql(it.url, "SELECT count(*) FROM dead_letters")[0]
    if letters == 0 or said():
        raise Failure(f"{letters} letters, {said()} words of them")
    sql(it.url, "TRUNCATE dead_letters")
    it.send([(0, None, b"{}")])
    wait_for("a word of the letters", said, 30)
    it.settle()
    sql(it.url, "TRUNCATE dead_letters")
    it.stop()
    before = said()
    it.start_all().wait_live()
    must_be("words at the start", said() - before, 1)
    done = subprocess.run([BIN / "sluicectl", "audit"], env=it.environment, text=True, capture_output=True, check=False)
    must_be(f"exit code of the audit\n{done.stdout}{done.stderr}", done.returncode, 1)


def another_schema_first(job):
    """On the search_path of the user there is another schema with the same tables from now on."""
    it = filled(job)
    it.stop()
    sql(it.url, "CREATE SCHEMA postgres")
    for table in ("transactions", "sales_per_category", "sales_per_day", "sales_per_month", "dead_letters"):
        sql(it.url, f"CREATE TABLE postgres.{table} (LIKE public.{table} INCLUDING ALL)")
    exact(it)
    must_be("rows elsewhere", sql(it.url, "SELECT count(*) FROM postgres.transactions")[0], 0)


def locked(job):
    """Longer than PostgreSQL lets a statement wait: the same epoch is committed by the same attempt, and status says who is in the way."""
    it = filled(job)
    attempt = it.fence()
    holder = psycopg2.connect(it.url, application_name="nightly")
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE transactions")
    began = time.monotonic()
    it.produce(100, "--rate", 0, seed=7)

    def said():
        done = subprocess.run([BIN / "sluicectl", "status"], env=it.environment, text=True, capture_output=True, check=False)
        return "public.transactions" in done.stdout and f"pid {holder.info.backend_pid} (nightly" in done.stdout
    wait_for("status says who holds the lock", said, 20, 0.5)
    time.sleep(max(0, 40 - (time.monotonic() - began)))  # PostgreSQL gives the lock up after thirty
    holder.rollback()
    holder.close()
    it.settle()
    must_be("the attempt", it.fence(), attempt)
    it.prove()


if __name__ == "__main__":
    sys.exit(run_cases((a_trigger_that_rounds, emptied, letters_emptied, another_schema_first, locked)))
