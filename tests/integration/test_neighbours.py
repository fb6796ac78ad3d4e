#!/usr/bin/python3
"""Several pipelines in one database: each is as exact as if it were alone, and nothing that happens to one touches another."""
import sys

from jobs import Failure, must_be, run_cases, sql

POISON = (0, b"poison", b"not json")


def letters(it):
    return sql(it.url, "SELECT count(*) FROM dead_letters WHERE job = %s", f"{it.name}/totals")[0]


def one_poison_record_each(job):
    """Of one topic, too: the same record is a letter for each."""
    first = job()
    second = job(database=first.name, topic=first.name, tables="_b")
    third = job(database=first.name, tables="_c")
    jobs = first, second, third
    first.send([POISON])
    third.send([POISON])
    for it in jobs:
        it.start_all()
    for it in jobs:
        it.settle()
        must_be("letters", letters(it), 1)
        it.prove()


def a_new_pipeline_beside_a_letter(job):
    first = job()
    first.send([POISON])
    first.start_all().settle()
    second = job(database=first.name, topic=first.name, tables="_b")
    second.start_all().settle()
    for it in (first, second):
        must_be("letters", letters(it), 1)
        it.prove()


def tables_of_a_neighbour_are_refused(job):
    first = job()
    first.start_all().wait_live()
    second = job(database=first.name)
    second.start_all().exits_with(78)
    log = (second.folder / "sink.log").read_text()
    if f'table "public"."transactions" belongs to job {first.name}/totals' not in log or "sluicectl reset" not in log:
        raise Failure(f"the log of the sink does not say whose the table is, and what to do\n{log}")
    first.send_distinct(10)
    first.settle()
    first.prove()


if __name__ == "__main__":
    sys.exit(run_cases([one_poison_record_each, a_new_pipeline_beside_a_letter, tables_of_a_neighbour_are_refused]))
