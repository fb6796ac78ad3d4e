#!/usr/bin/python3
"""Several pipelines in one database: each is as exact as if it were alone, and nothing that happens to one touches another."""
import hashlib, json, shutil, subprocess, sys

from jobs import EXIT_CONFIG, TABLES, Failure, SearchServices, must_be, run_cases, sql, wait_for
from services import BIN, audit

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


def an_address_has_one_coordinator(job):
    """The processes of a second pipeline with the first one's address are told at once, its coordinator and all others."""
    first = job()
    first.start_all().wait_live()
    second = job(database=first.name, tables="_b")
    own = second.environment["SLUICE_COORDINATOR"]
    second.environment["SLUICE_COORDINATOR"] = first.environment["SLUICE_COORDINATOR"]
    second.start_all().exits_with(EXIT_CONFIG)
    for name in ("coordinator", "sink", "ingest-0", "aggregator-0"):
        log = (second.folder / f"{name}.log").read_text()
        if f"{first.name}/totals" not in log or "coordinator.listen" not in log:
            raise Failure(f"{name} does not say whose coordinator it is\n{log}")
    second.environment["SLUICE_COORDINATOR"] = own  # as the message says
    second.send_distinct(10)
    second.start_all().settle()
    second.prove()
    first.wait_live()


# ---- reset -----------------------------------------------------------------------------------------------------------------
def ctl(it, *words, code=0):
    """What it says, on either way."""
    done = subprocess.run([BIN / "sluicectl", *words], env=it.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != code:
        raise Failure(f"sluicectl {' '.join(words)}: exit {done.returncode} instead of {code}\n{done.stdout}")
    return done.stdout


def rows_of(it, table, condition="true"):
    return sql(it.url, f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t WHERE {condition}")


def all_of(it):
    """Everything that is this job's, byte by byte: its tables, its letters, what schema sluice knows, its checkpoints, its documents."""
    mine = f"job = '{it.name}/totals'"
    front = f"{it.schema}." if it.schema else ""
    found = {f"{name}{it.tables}": rows_of(it, front + name + it.tables) for name in TABLES}
    found["dead_letters"] = rows_of(it, front + "dead_letters", mine)
    for table, in query(it.url, "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'job' "
                                "WHERE c.relnamespace = 'sluice'::regnamespace AND c.relkind = 'r'"):
        found[f"sluice.{table}"] = rows_of(it, f"sluice.{table}", mine)
    folder = it.folder / "checkpoints"
    found["files"] = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}
    if it.elasticsearch:
        for index in (it.index, f"{it.index}-dead-letters"):
            found[index] = it.elasticsearch.documents(index)
        found["control"] = {name: source for name, source in it.elasticsearch.documents("sluice-control").items()
                            if f"{it.name}/search" in (source.get("job"), source.get("owner"))}
    return found


def query(url, text):
    import psycopg2
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()
    finally:
        connection.close()


def is_not_touched(it, before):
    after = all_of(it)
    for name in before:
        must_be(f"what {it.name} has in {name}", after[name], before[name])


def reset_starts_one_job_over(job):
    first = job()
    second = job(database=first.name, tables="_b")
    for it in (first, second):
        it.produce(3_000, "--rate", 0)
        it.start_all().settle()
    said = ctl(second, "reset", "--job", "totals", "--yes", code=EXIT_CONFIG)
    if "is running" not in said:
        raise Failure(f"a job that runs is reset: {said}")
    for it in (first, second):
        it.stop()
        it.prove()
    before, mine = all_of(first), all_of(second)
    must_be("letters", mine["dead_letters"][0] > 0, True)
    sql(first.url, "CREATE PUBLICATION everything FOR ALL TABLES")  # it refuses to delete from a table without a key
    ctl(second, "reset", "--job", "totals", code=2)
    ctl(second, "reset", "--job", "totals", "--with-index", "--yes", code=2)
    said = ctl(second, "reset", "--job", "totals", "--dry-run")
    if "Nothing was changed" not in said or f"{mine['transactions_b'][0]}  rows, emptied" not in said:
        raise Failure(f"a dry run does not say what there is\n{said}")
    is_not_touched(second, mine)
    told = json.loads(ctl(second, "reset", "--job", "totals", "--yes", "-o", "json"))
    must_be("rows that it told", [row["count"] for row in told["reset"] if row["name"] == "transactions_b"], [mine["transactions_b"][0]])
    is_not_touched(first, before)
    for name, found in all_of(second).items():
        if name == "sluice.frontier":
            must_be("its frontier", sql(second.url, "SELECT cut, epoch FROM sluice.frontier WHERE job = %s", f"{second.name}/totals"), (None, 0))
        else:
            must_be(f"what is left in {name}", found if name == "files" else found[0], {} if name == "files" else 0)
    ctl(second, "reset", "--job", "totals", "--yes")  # again, for who was interrupted
    fence = second.fence()
    second.start_all().settle()
    must_be("its attempts go on", second.fence() > fence, True)
    second.prove()
    first.start_all()
    first.send_distinct(10)
    first.settle()
    first.prove()


def reset_where_the_folder_is_lost(job):
    """As the message says; the neighbour of the same folder and database runs on."""
    first = job()
    second = job(database=first.name, tables="_b")
    second.environment["CHECKPOINT_DIR"] = first.environment["CHECKPOINT_DIR"]
    for it in (first, second):
        it.produce(1_000, "--rate", 0)
        it.start_all().settle()
    second.stop()
    shutil.rmtree(first.folder / "checkpoints" / second.name)
    second.start_all().exits_with(EXIT_CONFIG)
    log = (second.folder / "coordinator.log").read_text()
    if "sluicectl reset --job totals --yes" not in log or "drop" in log:
        raise Failure(f"the log does not say what to do\n{log}")
    fence = first.fence()
    ctl(second, "reset", "--job", "totals", "--yes")
    second.start_all().settle()
    second.prove()
    first.send_distinct(10)
    first.settle()
    first.prove()
    must_be("attempts of the neighbour", first.fence(), fence)


# ---- and the search copies ---------------------------------------------------------------------------------------------------
def each(jobs, what):
    for it in jobs:
        what(it)


def prove_all(jobs):
    for it in jobs:
        it.settle(300)
        it.settle_search(300)
        plain = not it.tables and not it.schema  # what the checker reads, too
        it.prove() if not it.schema else audit(it.environment)
        it.prove_search(index=it.index, rows=plain)


def three_at_once(job):
    """In one database, one Elasticsearch and one machine; kill -9 of all of one, then of another; then one of them starts over."""
    first = job()
    second = job(database=first.name, tables="_b", topic=first.name)
    third = job(database=first.name, changes=[('schema: ""', "schema: third")])
    third.schema = "third"
    jobs = first, second, third
    each(jobs, lambda it: it.start_all().start_search())
    with first.stream(300), third.stream(300):
        for it in jobs:
            wait_for(f"records of {it.name}", lambda it=it: it.consumed() > 500, 120)
            names = list(it.running)
            each(names, it.kill)
            each(names, it.start)
    prove_all(jobs)
    each(jobs, lambda it: it.stop())
    before = [all_of(it) for it in (first, third)]
    ctl(second, "reset", "--job", "totals", "--yes")
    ctl(second, "reset", "--job", "search", "--with-index", "--yes")
    must_be("documents of the one that starts over", second.elasticsearch.count(second.index), 0)
    for it, was in zip((first, third), before):
        is_not_touched(it, was)
    each(jobs, lambda it: it.start_all().start_search())
    each((first, third), lambda it: it.produce(1_000, "--rate", 0, seed=7))
    prove_all(jobs)


def an_index_has_one_owner(job):
    """Two that name one index, and two that name none."""
    first = job()
    first.produce(1_000, "--rate", 0)
    first.start_all().start_search().settle_search()
    second = job(database=first.name, tables="_b")
    second.write_config((f"index: {second.name}", f"index: {first.name}"))
    second.start_all().start_search()
    second.exits_with(EXIT_CONFIG, names=["search-sink-0", "search-ingest-0"])
    log = (second.folder / "search-sink-0.log").read_text()
    if f"belongs to job {first.name}/search" not in log:
        raise Failure(f"the log does not say whose the index is\n{log}")
    second.produce(1_000, "--rate", 0)
    second.settle()
    second.prove()
    # As the message says: without a name of its own it is the table's.
    second.write_config((f"index: {second.name}", "# none"))
    second.index = "transactions_b"
    second.stop()
    second.start_all().start_search().settle_search()
    second.prove_search(index=second.index, rows=False)
    first.settle_search()
    first.prove_search()


if __name__ == "__main__":
    CASES = (one_poison_record_each, a_new_pipeline_beside_a_letter, tables_of_a_neighbour_are_refused, an_address_has_one_coordinator, reset_starts_one_job_over,
             reset_where_the_folder_is_lost)
    SEARCH = (three_at_once, an_index_has_one_owner)
    code = run_cases(CASES) if not sys.argv[1:] or {c.__name__ for c in CASES} & set(sys.argv[1:]) else 0
    if not sys.argv[1:] or {c.__name__ for c in SEARCH} & set(sys.argv[1:]):
        code |= run_cases(SEARCH, SearchServices)
    sys.exit(code)
