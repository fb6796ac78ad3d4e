#!/usr/bin/python3
"""Each stop of common/base/stops.h is brought about, and the way out that its message tells is taken to the letter, until the audit says
exact. A row of that table without a case here is a failure."""
import json, re, signal, subprocess, sys

from jobs import EXIT_CONFIG, Failure, must_be, run_cases, sql
from services import BIN, ROOT

RARELY = ("interval: 5s", "interval: 1d")  # a crash replays from the start
MONTH = "    by:\n      - {column: year, year: transaction_date}\n      - {column: month, month: transaction_date}\n    measures:\n"
MEASURE = '      - {column: total_sales, sum: total_amount, type: "decimal(%s,2)"}'


def ways():
    """Name and words of each row."""
    text = (ROOT / "common/base/stops.h").read_text().replace("\\\n", "")
    rows = re.findall(r'\tSTOP\((\w+),((?:\s*"(?:[^"\\]|\\.)*")+)\)', text)
    return {name: "".join(json.loads(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', words)) for name, words in rows}


WAYS = ways()


def ctl(it, *words):
    return subprocess.run([str(BIN / "sluicectl"), *words], env=it.environment, text=True, capture_output=True, check=False)


def stopped(it, stop, *found):
    """Every process has ended with 78, and each says what was found and the way out."""
    names = list(it.running)
    it.exits_with(EXIT_CONFIG)
    for name in names:
        tail = (it.folder / f"{name}.log").read_text(errors="replace")[-4000:].replace('\\"', '"')
        for words in (*found, *([WAYS[stop]] if stop else [])):
            if words not in tail:
                raise Failure(f"{name} does not say {words!r}:\n{tail}")


def exact(it):
    """It runs again, and goes on."""
    it.wait_live()
    it.produce(500, "--rate", 0, seed=77)
    it.settle()
    done = ctl(it, "audit")
    must_be(f"exit code of the audit\n{done.stdout}{done.stderr}", done.returncode, 0)


def crash(it):
    for name in list(it.running):
        it.kill(name)


def record(key, amount, day="2024-01-15"):
    return 0, None, json.dumps({"transaction_id": key, "product_category": "books", "total_amount": amount,
                                "transaction_date": f"{day}T10:00:00Z"}).encode()


def not_stopped_cleanly(job):
    wider = ('type: "decimal(10,2)", required: true', 'type: "decimal(12,2)", required: true')
    it = job(changes=(RARELY,))
    it.send([record("a", 1), record("b", 2)])
    it.start_all().wait_live()
    it.settle()
    crash(it)
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(12,2)")
    it.write_config(RARELY, wider)
    it.start_all()
    stopped(it, "NOT_STOPPED_CLEANLY", "decimal(12,2)")
    it.write_config(RARELY)
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(10,2)")
    it.start_all().wait_live()
    it.running["coordinator"].send_signal(signal.SIGTERM)
    it.exits_with(0)
    it.write_config(RARELY, wider)
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(12,2)")
    it.start_all()
    exact(it)


def month_of(digits):
    return MONTH + MEASURE % 15, MONTH + MEASURE % digits


def total_beyond_column(job, *, clean=False, crashed=False):
    """Also where the old file can never be run again to the end; and where all of it was killed before."""
    it = job(changes=(RARELY, month_of(8)))
    it.start_all().wait_live()
    it.send([record("a", 400000), record("b", 400000), record("other month", 7, "2024-02-15")])
    it.settle()
    if crashed:
        crash(it)
        it.start_all().wait_live()
    it.send([record("c", 400000)])
    stopped(it, "TOTAL_BEYOND_COLUMN", "total_sales of sales_per_month", "DECIMAL(8,2)")
    must_be("the month that fits", sql(it.url, "SELECT total_sales::text FROM sales_per_month WHERE month = 1"), ("800000.00",))
    it.start_all()
    stopped(it, "TOTAL_BEYOND_COLUMN", "sales_per_month")  # still so: nothing was changed
    it.write_config(RARELY, month_of(10))
    it.start_all()
    stopped(it, None, "sales_per_month", "numeric(10,2)", "ALTER TABLE")
    sql(it.url, "ALTER TABLE sales_per_month ALTER COLUMN total_sales TYPE numeric(10,2)")
    it.start_all()
    exact(it)
    must_be("the month", sql(it.url, "SELECT total_sales >= 1200000 FROM sales_per_month WHERE month = 1 AND year = 2024"), (True,))
    crash(it)  # and once more, from a checkpoint named for the new file
    it.start_all()
    exact(it)


def total_beyond_column_after_a_crash(job):
    total_beyond_column(job, crashed=True)


def state_differs(job):
    """The checkpoint is one of another history: here, as the database says that it has counted otherwise."""
    for column, change, found in (("counters", "'{\"consumed\": 7}'", "consumed"),
                                  ("counters", "'{\"digest\": 7}'", "not the same ones"),
                                  ("sums", "'{\"sales_per_day\": {\"total_sales\": [\"5.00\", \"5\"]}}'", "total_sales of sales_per_day"),
                                  ("sums", "'{\"sales_per_day\": {\"total_sales\": [\"0.00\", \"5\"]}}'", "not in the same groups")):
        it = job(changes=(RARELY,))
        it.produce(500, "--rate", 0)
        it.start_all().wait_live()
        it.settle()
        crash(it)
        before = it.frontier()[2:]
        sql(it.url, f"UPDATE sluice.checkpoints SET {column} = {column} || {change}")
        it.start_all()
        stopped(it, "STATE_DIFFERS", found)
        must_be("cut and counters", it.frontier()[2:], before)
        rebuilt = ctl(it, "rebuild")
        must_be(f"exit code of rebuild\n{rebuilt.stderr}", rebuilt.returncode, 0)
        it.start_all()
        exact(it)
        it.end()


def tables_differ(job):
    it = job()
    it.produce(500, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    it.stop()
    sql(it.url, "UPDATE sales_per_day SET total_sales = total_sales + 1 WHERE ctid = (SELECT min(ctid) FROM sales_per_day)")
    refused = ctl(it, "rebuild")
    must_be(f"exit code of rebuild\n{refused.stderr}", refused.returncode, EXIT_CONFIG)
    for words in ("total_sales of sales_per_day", WAYS["TABLES_DIFFER"]):
        must_be(f"{words!r} in {refused.stderr}", words in refused.stderr, True)
    must_be("exit code of the audit", ctl(it, "audit").returncode, 1)
    sql(it.url, "UPDATE sales_per_day SET total_sales = total_sales - 1 WHERE ctid = (SELECT max(ctid) FROM sales_per_day)")
    must_be("exit code of rebuild", ctl(it, "rebuild").returncode, 0)
    it.start_all()
    exact(it)


CASES = {"NOT_STOPPED_CLEANLY": (not_stopped_cleanly,), "TOTAL_BEYOND_COLUMN": (total_beyond_column, total_beyond_column_after_a_crash)}
def rows_not_written(job):
    """Whatever takes rows away again behind the job's back; the same where it does so while the job runs."""
    it = job(changes=(RARELY,))
    it.produce(500, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    before = it.frontier()[2:]
    sql(it.url, "CREATE FUNCTION harm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.transactions t WHERE "
                "t.transaction_id = NEW.transaction_id; RETURN NULL; END $$; CREATE TRIGGER harm AFTER INSERT ON transactions "
                "FOR EACH ROW EXECUTE FUNCTION harm()")
    it.produce(500, "--rate", 0, seed=2)
    stopped(it, "ROWS_NOT_WRITTEN", "rows were sent to be deleted")
    must_be("cut and counters", it.frontier()[2:], before)
    sql(it.url, "DROP TRIGGER harm ON transactions")
    it.start_all()
    exact(it)


def not_counted(job):
    it = job()
    it.produce(500, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    it.stop()
    sql(it.url, f'ALTER DATABASE "{it.name}" SET track_counts = off')
    it.start_all()
    stopped(it, "NOT_COUNTED", "track_counts is off")
    sql(it.url, f'ALTER DATABASE "{it.name}" SET track_counts = on')
    it.start_all()
    exact(it)


CASES |= {"ROWS_NOT_WRITTEN": (rows_not_written,), "NOT_COUNTED": (not_counted,)}
CASES |= {"STATE_DIFFERS": (state_differs,), "TABLES_DIFFER": (tables_differ,)}


def every_row_has_a_case(job):
    must_be("stops without a case", sorted(set(WAYS) - set(CASES)), [])
    must_be("cases without a stop", sorted(set(CASES) - set(WAYS)), [])


if __name__ == "__main__":
    sys.exit(run_cases((every_row_has_a_case, *(case for cases in CASES.values() for case in cases))))
