#!/usr/bin/python3
"""The checker finds what it is for: every way in which tables can be wrong, one at a time, on a database that was right."""
import subprocess, sys

from jobs import Failure, run_cases, sql
from services import HERE

# What is done to the database, and a word that the report has to say.
HARM = (
    ("a row is gone", "DELETE FROM transactions WHERE ctid = (SELECT min(ctid) FROM transactions)", "rows"),
    ("a cent in a row", "UPDATE transactions SET total_amount = total_amount + 0.01 WHERE ctid = (SELECT max(ctid) FROM transactions)",
     "rows"),
    ("a text in a row", "UPDATE transactions SET customer_id = customer_id || 'x' WHERE ctid = (SELECT max(ctid) FROM transactions)",
     "rows"),
    ("a microsecond in a row", "UPDATE transactions SET transaction_date = transaction_date + interval '1 us' "
     "WHERE ctid = (SELECT max(ctid) FROM transactions)", "rows"),
    ("a null in a row", "UPDATE transactions SET currency = NULL WHERE ctid = (SELECT max(ctid) FROM transactions)", "rows"),
    ("a row too many", "INSERT INTO transactions (transaction_id, product_category, total_amount, transaction_date) "
     "VALUES ('nobody sent this', 'home', 0, '2024-01-15')", "rows"),
    ("a cent between two totals", "UPDATE sales_per_category SET total_sales = total_sales + "
     "CASE category WHEN 'home' THEN 0.01 WHEN 'sports' THEN -0.01 ELSE 0 END", "sales_per_category"),
    ("a day's total", "UPDATE sales_per_day SET total_sales = total_sales - 0.01", "sales_per_day"),
    ("a month that nobody sold in", "INSERT INTO sales_per_month VALUES (2023, 12, 0)", "sales_per_month"),
    ("a dead letter is gone", "DELETE FROM dead_letters WHERE ctid = (SELECT min(ctid) FROM dead_letters)", "letters"),
    ("a dead letter's reason", "UPDATE dead_letters SET reason = 'too_long' WHERE ctid = (SELECT ctid FROM dead_letters "
     "WHERE reason = 'invalid_json' LIMIT 1)", "letters"),
    ("a dead letter's bytes", "UPDATE dead_letters SET payload = payload || 'x'::bytea WHERE ctid = (SELECT ctid FROM dead_letters "
     "WHERE reason = 'invalid_json' LIMIT 1)", "letters"),
    ("a dead letter's key", "UPDATE dead_letters SET key = NULL WHERE ctid = (SELECT max(ctid) FROM dead_letters)", "letters"),
    ("what a conflict says", "UPDATE dead_letters SET payload = replace(convert_from(payload, 'UTF8'), '20', '21')::bytea "
     "WHERE reason = 'conflict'", "letters"),
    ("a dead letter of no record", "INSERT INTO dead_letters SELECT job, 'elsewhere', partition, \"offset\", key, payload, payload_raw, "
     "reason, detail, sink, epoch, created_at FROM dead_letters LIMIT 1", "letters"),
    ("a decision too many", "INSERT INTO sluice.decisions SELECT job, 'finds_every_harm_0', 0, 1, 'duplicates', '1.1' "
     "FROM sluice.frontier", "decision"),
    ("a counter", """UPDATE sluice.frontier SET counters = jsonb_set(counters, '{duplicates}', '0')""", "counters"),
    ("the cut", """UPDATE sluice.frontier SET cut = jsonb_set(cut, '{0}', ((cut ->> '0')::bigint - 50)::text::jsonb)""", "rows"),
)


def checked(it):
    done = subprocess.run([HERE / "checker.py", "--brokers", it.services.brokers, "--database", it.url, "--topic", it.name],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=it.environment)
    return done.returncode, done.stdout


def finds_every_harm(job):
    it = job()
    it.produce(5000, "--rate", 0)
    it.start_all().settle()
    it.stop()
    if checked(it)[0] != 0:
        raise Failure(f"the database has to be right before:\n{checked(it)[1]}")
    tables = ("transactions", "sales_per_category", "sales_per_day", "sales_per_month", "dead_letters", "sluice.frontier",
              "sluice.decisions")
    for table in tables:
        sql(it.url, f"CREATE TABLE saved_{table.replace('.', '_')} AS TABLE {table}")
    for name, harm, word in HARM:
        sql(it.url, harm)
        code, report = checked(it)
        if code != 1 or not any(word in line and "WRONG" in line for line in report.splitlines()):
            raise Failure(f"{name}: not found (exit {code})\n{report}")
        for table in tables:
            sql(it.url, f"TRUNCATE {table}")
            sql(it.url, f"INSERT INTO {table} SELECT * FROM saved_{table.replace('.', '_')}")
    if checked(it)[0] != 0:
        raise Failure("the database is right again, but the checker does not say so")


def wants_the_whole_topic(job):
    it = job()
    it.produce(1000, "--rate", 0)
    it.start_all().settle()
    it.stop()
    it.produce(10, "--rate", 0, seed=2)
    if checked(it)[0] != 0:
        raise Failure("a database that is behind is right up to its cut")
    try:
        it.prove()
    except Failure:
        return
    raise Failure("--whole has to find that records are missing")


CASES = (finds_every_harm, wants_the_whole_topic)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
