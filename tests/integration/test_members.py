#!/usr/bin/python3
"""One member at a time, through the real services: a repeat that differs in one field alone is a conflict, a total of two measures is
the sum of both, and the audit names every harm: one for each column, each measure, each counter. Made from members.py.
"""
import json, shutil, subprocess, sys
from collections import Counter
from itertools import zip_longest

from audits import found, kinds, must_be_exact
from jobs import Failure, must_be, run_cases, sql, wait_for
from members import (FIELDS, KEY, ROLLUPS, TABLE, kind_of, partition_of, payload_of, prove_fold, record_of, scale_of, values_of,
                     write_pipeline)
from services import BIN

PARTITIONS = 3
EVERY_200_MS = "checkpoint: {dir: \"${CHECKPOINT_DIR}\", interval: 200ms}"
RARELY = "checkpoint: {dir: \"${CHECKPOINT_DIR}\", interval: 1d}"


def started(job, *settings):
    it = job(partitions=PARTITIONS)
    write_pipeline(it, settings=settings)
    it.start_all().wait_live()
    return it


def entry(record):
    return partition_of(record[KEY], PARTITIONS), payload_of(record), record


def poison(key):
    return partition_of(key, PARTITIONS), b'{"id": "%s", "amount": ' % key.encode(), None


def send(it, log):
    it.send([(partition, None, payload) for partition, payload, _ in log])
    it.settle()


def firsts_and_repeats():
    """For each value of each field a record of its own key, and the repeat that has this value."""
    keys = [(field, i, value) for field in FIELDS if field != KEY for i, value in enumerate(values_of(field))]
    return ([entry(record_of(f"{field}-{i}")) for field, i, _ in keys],
            [entry(record_of(f"{field}-{i}", **{field: value})) for field, i, value in keys])


def a_repeat_in_one_field_is_a_conflict(job):
    it = started(job, RARELY)
    firsts, repeats = firsts_and_repeats()
    send(it, firsts + repeats)
    prove_fold(it, firsts + repeats)
    must_be("duplicates", it.frontier()[3]["duplicates"], len(FIELDS) - 1)
    must_be_exact(it)


def a_late_repeat_in_one_field_is_a_conflict(job):
    """The key is forgotten, and the row in the table is asked."""
    it = started(job, EVERY_200_MS, "duplicates: {retention: 0s}")
    firsts, repeats = firsts_and_repeats()
    send(it, firsts)
    newest = "SELECT (attempt, epoch)::text FROM sluice.checkpoints ORDER BY (attempt, epoch) DESC LIMIT 1"
    later = [entry(record_of(f"later-{i}")) for i in range(3)]
    for each in later:  # what makes older ones old; keys leave with the checkpoint behind the one at which they were
        named = sql(it.url, newest)
        send(it, [each])
        wait_for("a checkpoint", lambda: sql(it.url, newest) != named, 30)
    send(it, repeats)
    prove_fold(it, firsts + later + repeats)
    if "late duplicates" not in (it.folder / "coordinator.log").read_text():
        raise Failure("no repeat was late")
    must_be_exact(it)


LIMITS = {field: int(text.split("(")[1].rstrip(")")) for field, (text, _) in FIELDS.items() if kind_of(field) == "string"}


def texts_at_their_limits(job):
    """As many characters as a column takes, whatever they are made of, and one more; so a key in every index, and a group."""
    it = started(job, RARELY)
    log, beyond = [entry(record_of("some", category="", note=""))], []
    for field, most in LIMITS.items():
        for number, character in enumerate(("a", "\u00e4", "\u6c49", "\U0001f600", "\u0308", "\\", '"', "'", ",", "{", "\u2028")):
            for text in (character * most, character * (most - 1)):
                log.append(entry(record_of(text) if field == KEY else record_of(f"{field} {number} {len(text)}", **{field: text})))
            long = record_of(character * (most + 1)) if field == KEY else record_of(f"{field} {number} long", **{field: character * (most + 1)})
            beyond.append((partition_of(long[KEY], PARTITIONS), payload_of(long), None))
    log += [(0, payload_of(record_of("")), None)]  # no key
    send(it, log + log + beyond)
    prove_fold(it, log + log + beyond)
    must_be("reasons", sql(it.url, "SELECT count(*) FILTER (WHERE reason = 'too_long'), count(*) FILTER (WHERE reason = 'missing_field') "
                           "FROM dead_letters"), (len(beyond), 2))
    must_be_exact(it)


def two_measures_survive(job):
    """Negative amounts, nulls, the largest there are; through kill -9 of all, and a checkpoint folder that is lost."""
    it = started(job, EVERY_200_MS)
    log = [entry(record_of(f"{turn}-{field}-{i}", **{field: value}))
           for turn in range(3) for field in FIELDS if field != KEY for i, value in enumerate(values_of(field))]
    third = len(log) // 3
    send(it, log[:third])
    for name in list(it.running):
        it.kill(name)
    it.start_all().wait_live()
    send(it, log[third:2 * third])
    for name in list(it.running):
        it.kill(name)
    for name in ("CHECKPOINT_DIR", "STATE_DIR"):
        shutil.rmtree(it.environment[name])
    done = subprocess.run([str(BIN / "sluicectl"), "rebuild"], env=it.environment, text=True, capture_output=True)
    must_be(f"exit code of rebuild\n{done.stdout}{done.stderr}", done.returncode, 0)
    it.start_all().wait_live()
    send(it, log[2 * third:])
    prove_fold(it, log)
    must_be_exact(it)


# --- every harm ---------------------------------------------------------------------------------------------------------------------

A_ROW = "ctid = (SELECT min(ctid) FROM {table})"


def changed(column, kind, scale=0):
    """Another value of this column, as little another as there is."""
    return {"string": f"coalesce({column}, '') || ' '", "integer": f"coalesce({column}, -1) + 1",
            "decimal": f"coalesce({column}, 0) + {10 ** -scale:.{scale}f}", "day": f"{column} + 1000",
            "timestamp": f"coalesce({column}, 'epoch') + interval '1 us'"}[kind]


def harms():
    """(table, SQL, kinds of difference, a word of the report), one for each column of each table."""
    for field, (_, required) in FIELDS.items():
        new = [changed(field, kind_of(field), scale_of(field))] + ([] if required else ["NULL"])
        for value in new:
            only = "" if value != "NULL" else f" AND {field} IS NOT NULL"
            where = A_ROW.format(table=TABLE) if not only else f"ctid = (SELECT min(ctid) FROM {TABLE} WHERE {field} IS NOT NULL)"
            found_as = {"row_missing": 1, "row_extra": 1} if field == KEY else {"row": 1}
            yield TABLE, f"UPDATE {TABLE} SET {field} = {value} WHERE {where}", found_as, field if field != KEY else ""
    for table, (by, measures) in ROLLUPS.items():
        where = A_ROW.format(table=table)
        for column, part, field in by:
            kind = "day" if part == "day" else kind_of(field) if part == "field" else "integer"
            change = f"{column} + 1000" if part != "field" and part != "day" else changed(column, kind)
            if kind == "integer":
                change = f"{column} + 1000"
            yield table, f"UPDATE {table} SET {column} = {change} WHERE {where}", {"total_missing": 1, "total_extra": 1}, f"{table}:"
        for column, field, _ in measures:
            for sign in "+-":
                yield (table, f"UPDATE {table} SET {column} = {column} {sign} {10 ** -scale_of(field):.{scale_of(field)}f} WHERE {where}",
                       {"total": 1}, column)
    raw = 'WHERE ctid = (SELECT min(ctid) FROM dead_letters WHERE payload_raw)'
    for column, value in (("key", "'x'::bytea"), ("payload", "payload || 'x'::bytea"), ("reason", "'too_large'"),
                          ("payload_raw", "false")):
        yield "dead_letters", f"UPDATE dead_letters SET {column} = {value} {raw}", {"letter": 1}, ""
    for column, value in (("partition", "partition + 100"), ('"offset"', '"offset" + 1000000')):
        yield "dead_letters", f"UPDATE dead_letters SET {column} = {value} {raw}", {"letter_missing": 1, "letter_extra": 1}, ""
    for column, value in (("topic", "topic || 'x'"), ("sink", "sink || 'x'")):
        yield "dead_letters", f"UPDATE dead_letters SET {column} = {value} {raw}", {"letter_missing": 1}, ""
    for counter in ("consumed", "accepted", "duplicates", "conflicts", "dead", "unknown_fields"):
        for more in (1, -1):
            yield ("sluice.frontier", f"UPDATE sluice.frontier SET counters = jsonb_set(counters, '{{{counter}}}', "
                   f"to_jsonb((counters ->> '{counter}')::bigint + {more}))",
                   {"counter": 1 if counter == "unknown_fields" else 2}, counter)  # itself, and what it adds up to with the others


def rounds():
    """One harm of each table at a time: they are told apart by their kinds and words."""
    by_table = {}
    for harm in harms():
        by_table.setdefault(harm[0], []).append(harm)
    return [[harm for harm in each if harm] for each in zip_longest(*by_table.values())]


def every_harm_is_named(job):
    it = started(job, RARELY)
    firsts, repeats = firsts_and_repeats()
    more = [entry({**record_of("with more"), "unknown": "x"})]
    log = firsts + repeats + [poison(f"p{i}") for i in range(5)]
    send(it, log + more)
    it.stop()
    must_be_exact(it)
    tables = sorted({table for table, *_ in harms()})
    for table in tables:
        sql(it.url, f"CREATE TABLE saved_{table.replace('.', '_')} AS TABLE {table}")
    for each in rounds():
        due = Counter()
        for _, harm, differences, _ in each:
            sql(it.url, harm)
            due.update(differences)
        report = found(it)
        if kinds(report) != due or not all(word in json.dumps(report["shown"]) for *_, word in each):
            raise Failure(f"{each}: {kinds(report)} instead of {dict(due)}\n{report['shown']}")
        sql(it.url, "; ".join(f"TRUNCATE {table}; INSERT INTO {table} SELECT * FROM saved_{table.replace('.', '_')}" for table, *_ in each))
    must_be_exact(it)


CASES = (a_repeat_in_one_field_is_a_conflict, a_late_repeat_in_one_field_is_a_conflict, texts_at_their_limits, two_measures_survive, every_harm_is_named)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
