#!/usr/bin/python3
"""The search job: its processes are killed, stopped, more or fewer, and people make mistakes; see test_search.py, which has the rest."""
import json, re, signal, subprocess, sys

from documents import CONTROL, NUMBERS_ONLY, control_documents, mapping
from jobs import EXIT_CONFIG, PARALLELISM, must_be, wait_for
from services import HERE, Failure, call
from test_rebuild import ctl
from test_search import both, healed, in_front, main, prove_both, record, search_waits_for, send, totals_go_on
from test_up_down import brought_down
from test_ways_out import WAYS, say

SEARCH = ("search-sink-0", "search-ingest-0")


# ---- a person has made a mistake -------------------------------------------------------------------------------------------
def refused(job):
    """401 and 403: the search job stops with 78 and says why, now or at the start; the totals go on. Mended, it goes on, too."""
    it = job()
    with in_front(it) as interposer:
        interposer.answer(401, "security_exception", "unable to authenticate user [ada] for REST request [/]")
        it.start_all().start_search()
        it.exits_with(EXIT_CONFIG, names=SEARCH)
        says_why(it, "401", "user", "api_key")  # whoever is refused asks with HEAD first, and gets no words
        it.wait_live()
        totals_go_on(it, 2_000)
        interposer.answer(None)
        it.start_search().wait_live(job="search")
        it.settle_search()
        for seed, (status, kind, reason) in enumerate(((401, "security_exception", "token expired"),
                                                       (403, "security_exception", "action [indices:data/write/bulk] is unauthorized")), 2):
            interposer.answer(status, kind, reason, path="_bulk")
            totals_go_on(it, 2_000, seed=seed)
            it.exits_with(EXIT_CONFIG, names=SEARCH)
            says_why(it, str(status), reason.split()[-1])
            interposer.answer(None)
            it.start_search().wait_live(job="search")
        must_be("processes of the totals that have ended", [n for n, p in it.running.items() if p.poll() is not None], [])
        prove_both(it)
        it.running["coordinator"].terminate()
        it.exits_with(0)  # what was mended is forgotten


def no_index_may_be_made(job):
    """An administrator has switched off that indices come by themselves: those with a date are made by the writer, too."""
    it = job()
    it.write_config((f"index: {it.name}", f"index: {it.name}-%Y.%m"))
    try:
        it.elasticsearch.ask("PUT", "/_cluster/settings", {"persistent": {"action.auto_create_index": "-*"}})
        it.start_all().start_search()
        it.produce(1_000, "--rate", 0)
        prove_both(it, index=f"{it.name}-2*")
    finally:
        it.elasticsearch.ask("PUT", "/_cluster/settings", {"persistent": {"action.auto_create_index": None}})


def the_index_is_deleted(job):
    """With what was in it: nothing that comes later makes it whole again, so a person has to decide."""
    it = both(job)
    it.produce(2_000, "--rate", 0)
    it.settle_search()
    it.elasticsearch.ask("DELETE", f"/{it.name}")
    it.produce(2_000, "--rate", 0, seed=2)
    it.exits_with(EXIT_CONFIG, names=SEARCH, seconds=60)  # also when Elasticsearch has made it anew: an idle job looks every few seconds
    says_why(it, it.name, "sluicectl reset --job search --with-index --yes")
    it.start_search()
    it.exits_with(EXIT_CONFIG, names=SEARCH)
    it.settle()
    # As the message says, whether somebody has made the index anew or not.
    ctl(it, "reset", "--job", "search", "--with-index", "--yes")
    it.start_search()
    prove_both(it)


def an_index_that_is_closed(job):
    """While there is nothing to write: the job waits and says how to undo it, and nothing ends."""
    it = started(job, [record(f"k{i}") for i in range(20)])
    for index in (it.name, f"{it.name}-dead-letters"):
        it.elasticsearch.ask("POST", f"/{index}/_close")
        search_waits_for(it, f"is closed: POST /{index}/_open opens it again")
        if index == it.name:
            send(it, [record("meanwhile")])
        it.elasticsearch.ask("POST", f"/{index}/_open")
        wait_for("nobody waits any more", lambda: not (it.status("search") or {"waiting": "?"}).get("waiting"), 60)
    must_be("processes that have ended", [n for n, p in it.running.items() if p.poll() is not None], [])
    send(it, [record("another")])
    it.settle_search()
    ctl(it, "audit", "--job", "search")
    must_be("documents", it.elasticsearch.count(it.name), 22)


def a_control_document_that_is_none(job):
    it = both(job)
    it.produce(2_000, "--rate", 0)
    it.settle_search()
    for name in SEARCH:
        it.kill(name)
    it.elasticsearch.ask("PUT", f"/{CONTROL}/_doc/{it.name}%2Fsearch.0", {"job": "whatever"})
    it.start_search()
    it.exits_with(EXIT_CONFIG, names=SEARCH)
    says_why(it, "is not one that Sluice wrote", "sluicectl reset --job search --yes")
    ctl(it, "reset", "--job", "search", "--yes")
    it.start_search()
    prove_both(it)


def says_why(it, *words):
    for name in SEARCH:
        tail = (it.folder / f"{name}.log").read_text()[-3000:]
        for word in words:
            if word.lower() not in tail.lower():
                raise Failure(f"{name} does not say {word!r}:\n{tail}")


# ---- ways out, taken to the letter: until the audit of the search job says exact -----------------------------------------------
def started(job, records=(), **more):
    """Of the search job alone, with as many records."""
    it = job(**more)
    send(it, records)
    it.start("coordinator")
    it.start_search().wait_live(job="search")
    it.settle_search()
    return it


def start_again(it):
    """With a coordinator: where nobody has started the totals, it ends with the search job."""
    it.end()
    it.start("coordinator")
    return it.start_search()


def stopped_for(it, stop, *found):
    it.exits_with(EXIT_CONFIG, names=SEARCH)
    say(it, SEARCH, stop, *found)


def goes_on(it):
    """With another document; returns what the audit says."""
    start_again(it).wait_live(job="search")
    send(it, [record("another")])
    it.settle_search()
    return ctl(it, "audit", "--job", "search")


def the_index_has_another_name(job):
    """The old one again; or the new one is filled from the start."""
    it = started(job, [record(f"k{i}") for i in range(20)])
    it.stop()
    other = f"{it.name}-other"
    for reset in (False, True):
        it.write_config((f"index: {it.name}", f"index: {other}"))
        it.start("coordinator")
        it.start_search()
        stopped_for(it, "INDEX_RENAMED", f"writes to index {it.name}", other)
        it.stop()
        if reset:
            ctl(it, "reset", "--job", "search", "--yes")
        else:
            it.write_config((f"index: {it.name}", f"index: {it.name}"))
        goes_on(it)
        it.stop()
    for index in (it.name, other):
        must_be(f"documents of {index}", it.elasticsearch.count(index), 21)


def an_unfit_index(job):
    """An alias in its place, a template of somebody's, and a setting that comes later."""
    def alias(it, on):
        it.elasticsearch.ask(*(("PUT", f"/{it.name}-000001", {"aliases": {it.name: {"is_write_index": True}}}) if on else ("DELETE", f"/{it.name}-000001")))

    def template(it, on):
        body = {"index_patterns": [it.name], "priority": 500, "template": {"settings": {"index.default_pipeline": "somebodys"}}}
        it.elasticsearch.ask(*(("PUT", "/_index_template/somebodys", body) if on else ("DELETE", "/_index_template/somebodys")))

    def setting(it, on):
        it.elasticsearch.ask("PUT", f"/{it.name}/_settings", {"index.final_pipeline": "somebodys" if on else "_none"})
    for harm, words, later in ((alias, "an alias of", False), (template, "pipeline", False), (setting, "pipeline", True)):
        it = job()
        send(it, [record(f"k{i}") for i in range(20)])
        if later:
            it.start("coordinator")
            it.start_search().settle_search()
            it.end()
        harm(it, True)
        it.start("coordinator")
        it.start_search()
        stopped_for(it, "INDEX_UNFIT", it.name, words)
        if not later:  # its coordinator tells it, and then what that has left
            never = ("has stopped before it had committed anything", words, WAYS["INDEX_UNFIT"])
            says(ctl(it, "audit", "--job", "search", code=EXIT_CONFIG), *never)
            it.kill("coordinator")
            says(ctl(it, "audit", "--job", "search", code=EXIT_CONFIG), *never)
        if harm == alias:
            says(ctl(it, "reset", "--job", "search", "--with-index", "--yes", code=EXIT_CONFIG), f"{it.name} is no index, but {words}",
                 "nothing was changed. What to do: remove it (DELETE /")
        harm(it, False)
        ctl(it, "reset", "--job", "search", "--with-index", "--yes")
        goes_on(it)
        must_be("documents", it.elasticsearch.count(it.name), 21)
        it.end()


def says(text, *words):
    for word in words:
        if word not in text:
            raise Failure(f"{word!r} is not said: {text}")


def a_reset_that_does_not_get_through(job):
    """Refused before anything is changed where it can be seen before; otherwise half of it is done, it says so, and the same again does the rest."""
    reset = ("reset", "--job", "search", "--with-index", "--yes")
    it = both(job)
    it.produce(500, "--rate", 0)
    prove_both(it)
    it.stop()
    es = it.elasticsearch
    copy = f"{it.name}_v2"  # somebody moves the documents, and leaves an alias
    es.ask("PUT", f"/{it.name}/_settings", {"index.blocks.write": True})
    es.ask("POST", f"/{it.name}/_clone/{copy}")
    es.ask("POST", "/_aliases", {"actions": [{"remove_index": {"index": it.name}}, {"add": {"index": copy, "alias": it.name}}]})
    before = control_documents(es, it.name)
    says(ctl(it, *reset, code=EXIT_CONFIG), f"{it.name} is no index, but an alias of {copy}: nothing was changed", f"DELETE /{copy}/_alias/{it.name}")
    must_be("control documents", control_documents(es, it.name), before)
    es.ask("DELETE", f"/{copy}/_alias/{it.name}")
    es.ask("DELETE", f"/{copy}")
    ctl(it, *reset)
    it.start_all().start_search()
    prove_both(it)
    it.stop()
    es.ask("PUT", f"/{it.name}/_settings", {"index.blocks.read_only": True})
    before = control_documents(es, it.name)
    says(ctl(it, *reset, code=EXIT_CONFIG), f"index {it.name} may not be deleted", "nothing was changed", f"PUT /{it.name}/_settings")
    must_be("control documents", control_documents(es, it.name), before)
    es.ask("PUT", f"/{it.name}/_settings", {"index.blocks.read_only": None})
    with in_front(it) as interposer:
        for path in (f"DELETE /{it.name}", "DELETE /sluice-control/_doc/index"):
            interposer.answer(400, "illegal_argument_exception", "Cannot delete indices that are being snapshotted", path=path)
            said = ctl(it, *reset, code=EXIT_CONFIG)
            says(said, "the control documents are deleted, the rest is not: run this again when it is mended", "being snapshotted")
            interposer.answer(None)
            ctl(it, *reset)
            it.start_all().start_search()
            prove_both(it)
            it.stop()


def an_index_of_somebodys(job):
    """With the name of ours, and nobody's claim: it is left alone, also by a reset. One that is empty is taken, and so is one of ours."""
    for letters in (True, False):
        it = job()
        name = f"{it.name}-dead-letters" if letters else it.name
        it.elasticsearch.ask("POST", f"/{name}/_doc/1?refresh=true", {"reason": 7, "mine": "precious"})
        send(it, [record(f"k{i}") for i in range(20)])
        it.start("coordinator")
        it.start_search()
        stopped_for(it, "INDEX_OF_ANOTHER", f"index {name}", "has 1 documents that no job of Sluice has written")
        it.end()
        says(ctl(it, "reset", "--job", "search", "--with-index", "--yes", code=EXIT_CONFIG), f"index {name} has 1 documents", "nothing was changed")
        must_be("what is somebody's", it.elasticsearch.count(name), 1)
        it.elasticsearch.ask("DELETE", f"/{name}")
        goes_on(it)
        it.end()
        ctl(it, "reset", "--job", "search", "--yes")
        goes_on(it)


def letters_that_are_refused(job):
    """Somebody has made their index, in a shape that takes none; and again, when there are some."""
    it, nothing = job(), {"mappings": {"dynamic": "strict", "properties": {}}}
    letters = f"{it.name}-dead-letters"
    it.elasticsearch.ask("PUT", f"/{it.name}", {"mappings": mapping(**NUMBERS_ONLY)})
    it.elasticsearch.ask("PUT", f"/{letters}", nothing)
    it.start("coordinator")
    it.start_search().wait_live(job="search")
    send(it, [record("a", "1"), record("bad", "no number")])
    stopped_for(it, "LETTER_REFUSED", letters)
    it.elasticsearch.ask("DELETE", f"/{letters}")
    start_again(it).settle_search()
    must_be("letters", it.elasticsearch.count(letters), 1)
    it.elasticsearch.ask("DELETE", f"/{letters}")
    it.elasticsearch.ask("PUT", f"/{letters}", nothing)
    send(it, [record("bad, too", "no number")])
    stopped_for(it, "LETTER_REFUSED", letters)
    ctl(it, "reset", "--job", "search", "--with-index", "--yes")
    goes_on(it)
    must_be("documents", it.elasticsearch.count(it.name), 4)


def skip(it, *words):
    return ctl(it, "skip", "--job", "search", *words)


def retention_over_the_cut(job):
    """Of a search job that was off for a week; of two writers, too."""
    for writers in (1, 2):
        it = job(partitions=2, changes=[(PARALLELISM, PARALLELISM.replace("search: 1", f"search: {writers}"))])
        it.send([(p, None, record(f"{p}-{i}")) for p in range(2) for i in range(10)])
        it.start("coordinator")
        it.start_search(sinks=writers).settle_search()
        it.stop()
        it.send([(p, None, record(f"{p}-{i}")) for p in range(2) for i in range(10, 20)])
        call(HERE / "kafka/kafka.sh", "forget", it.services.kafka, it.name, 0, 15)
        it.start("coordinator")
        it.start_search(sinks=writers)
        stopped_for(it, "RECORDS_GONE", "partition 0: offset 10 is out of range")
        it.stop()
        before = control_documents(it.elasticsearch, it.name)  # what is there of the other partition may have been taken
        said = skip(it, "--to", "earliest", "--dry-run")
        if "to skip     0: 10 to 15, 5 records" not in said or "nothing was changed" not in said:
            raise Failure(said)
        must_be("the cuts", [c["cut"] for c in control_documents(it.elasticsearch, it.name).values()], [c["cut"] for c in before.values()])
        done = json.loads(skip(it, "--to", "earliest", "--yes", "-o", "json"))
        must_be("skipped", done, {"job": f"{it.name}/search", "done": True, "skipped": [{"partition": 0, "from": 10, "to": 15}]})
        it.start("coordinator")
        it.start_search(sinks=writers).settle_search()
        it.send([(0, None, record("0-3")), (0, None, record("0-12"))])  # a repeat of before, and one that was lost
        it.settle_search()
        must_be("documents", it.elasticsearch.count(it.name), 36)
        if not re.search("^skipped +0: 10 to 15, 5 records, on 20", ctl(it, "audit", "--job", "search"), re.M):
            raise Failure("the audit does not say what was skipped")
        it.stop()


def skipped_behind_a_crash(job):
    """Over records some of whose documents are there already."""
    it = both(job)
    it.produce(20_000, "--rate", 0, wait=False)
    wait_for("documents", lambda: sum((it.search_cut() or {}).values()) > 2_000, 60)
    for name in SEARCH:
        it.kill(name)
    it.settle()
    ends = it.ends()
    skip(it, "--to", ",".join(f"{p}:{end}" for p, end in ends.items()), "--yes")
    it.start_search().wait_live(job="search")
    send(it, [record("another")])
    it.settle_search()
    ctl(it, "audit", "--job", "search")


# ---- processes ---------------------------------------------------------------------------------------------------------------
def killed(job):
    """kill -9 of each process of the search job, of both, and of the coordinator, under load."""
    it = both(job)
    with it.stream(500):
        for victims in (SEARCH[:1], SEARCH[1:], SEARCH, ("coordinator",), ("coordinator", *SEARCH)):
            before, fence = sum((it.search_cut() or {}).values()), it.fence()
            for name in victims:
                it.running[name].kill()
            for name in victims:
                it.restart(name)
            wait_for(f"documents after kill -9 of {', '.join(victims)}", lambda: sum((it.search_cut() or {}).values()) > before, 30)
            if "coordinator" not in victims:
                must_be(f"the attempt of the totals after kill -9 of {', '.join(victims)}", it.fence(), fence)
    prove_both(it)


def a_zombie(job):
    """A stopped writer is declared lost; another takes over; the old one wakes up and changes nothing."""
    it = both(job)
    with it.stream(1_000):
        wait_for("documents", lambda: sum((it.search_cut() or {}).values()) > 1_000, 30)
        attempt, stopped = it.status("search")["epoch"], it.running["search-sink-0"]
        stopped.send_signal(signal.SIGSTOP)
        try:
            it.start("search-sink-9")
            wait_for("another takes over", lambda: int((it.status("search") or {"epoch": "0.0"})["epoch"].split(".")[0]) > int(attempt.split(".")[0]), 40)
        finally:
            stopped.send_signal(signal.SIGCONT)
    must_be("the attempt of the totals", it.fence(), 1)
    prove_both(it)


def a_second_coordinator(job):
    """Of another run directory: it waits, says for whom, leaves the first one alone, and takes over when that one has gone."""
    first, second = started(job, [record("one")]), job()
    (second.folder / "pipeline.yaml").write_text((first.folder / "pipeline.yaml").read_text())
    second.name = second.topic = second.index = first.name
    second.environment["DATABASE_URL"] = first.url
    attempt = first.status("search")["epoch"].split(".")[0]
    second.start("coordinator")
    second.start_search()
    words = ("is run by another coordinator", first.environment["SLUICE_COORDINATOR"])
    wait_for("the second one says it", lambda: any(all(word in wait["text"] for word in words)
             for wait in (second.status("search") or {"waits": []})["waits"]), 40)
    send(first, [record("two")])
    first.settle_search()
    must_be("the first one's attempt", first.status("search")["epoch"].split(".")[0], attempt)
    first.end()
    send(first, [record("three")])
    second.settle_search()
    ctl(second, "audit", "--job", "search")


def search_alone(job):
    """Without any PostgreSQL."""
    it = job()
    it.environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/nowhere"
    it.start_search().start("coordinator")
    it.produce(5_000, "--rate", 0)
    it.settle_search()
    it.restart("coordinator")
    it.produce(2_000, "--rate", 0, seed=2)
    it.settle_search()
    it.prove_search(rows=False)


def totals_alone(job):
    """Then the search job comes, reads all from the start, and goes on when the totals are away."""
    it = job()
    it.start_all().wait_live()
    it.produce(5_000, "--rate", 0)
    it.settle()
    must_be("control documents", control_documents(it.elasticsearch, it.name) if exists(it, CONTROL) else {}, {})
    it.start_search().settle_search()
    for name in ("sink", "aggregator-0", "ingest-0"):
        it.kill(name)
    it.produce(2_000, "--rate", 0, seed=2)
    it.settle_search()
    for name in ("sink", "aggregator-0", "ingest-0"):
        it.start(name)
    prove_both(it)


def exists(it, index):
    return it.elasticsearch.ask("GET", f"/{index}/_count", missing={}) != {}


def more_and_fewer_writers(job):
    """parallelism.search 1, 2, 1: no document is lost where their cuts differ, and what is left of the second one goes."""
    it = both(job)
    with it.stream(500):
        for writers in (2, 1):
            wait_for("documents", lambda: sum((it.search_cut() or {}).values()) > 1_000, 30)
            it.end()
            it.write_config((PARALLELISM, PARALLELISM.replace("search: 1", f"search: {writers}")))
            it.start_all().start_search(sinks=writers).wait_live(job="search")
            # For a moment a reader may find fewer documents than the first one names: those of writers that are no more go before that is written.
            wait_for("the cut of a job that is live", lambda: it.search_cut() is not None, 5)
            before = sum(it.search_cut().values())
            wait_for("more documents", lambda: sum((it.search_cut() or {}).values()) > before, 30)
            if writers == 2:
                it.restart("search-sink-1")
                wait_for("more documents", lambda: sum((it.search_cut() or {}).values()) > before + 1_500, 60)
            wait_for(f"{writers} control documents", lambda: len(control_documents(it.elasticsearch, it.name)) == writers, 40)
    prove_both(it, counted=False)


def more_processes_than_writers(job):
    """A standby takes over at once."""
    it = both(job)
    it.start("search-sink-1")
    with it.stream(1_000):
        wait_for("documents", lambda: sum((it.search_cut() or {}).values()) > 2_000, 30)
        it.kill("search-sink-0")
        before = sum((it.search_cut() or {}).values())
        wait_for("the other one takes over", lambda: sum((it.search_cut() or {}).values()) > before, 30)
    prove_both(it)


# ---- what a person types -----------------------------------------------------------------------------------------------------
@brought_down
def up_and_down(job, scripts):
    """scripts/up starts both jobs; an Elasticsearch that is away, or does not let us in, is said, and holds up nothing."""
    it = job(changes=[(PARALLELISM, PARALLELISM.replace("search: 1", "search: 2"))])
    run = scripts(it)
    it.produce(2_000, "--rate", 0)
    said = run.must_come_up("--search", 2)
    if f"{it.name}/search is running: 3 processes" not in said:
        raise Failure(f"up does not say that the search job runs:\n{said}")
    must_be("sinks", sorted(run.processes().values()).count("sluice-sink"), 3)
    prove_both(it)
    run.down()
    run.nothing_runs()
    with healed(it) as elasticsearch:
        elasticsearch.stop()
        said = run.must_come_up("--search", 2, "--wait", 10)
        if "the search job is not yet" not in said or elasticsearch.url not in said:
            raise Failure(f"up has to say what the search job waits for:\n{said}")
        it.produce(2_000, "--rate", 0, seed=2)
        it.settle(10)
        elasticsearch.start()
        prove_both(it)
    run.down()
    with in_front(it) as interposer:
        interposer.answer(401, "security_exception", "unable to authenticate user [ada] for REST request [/]")
        run = scripts(it, ELASTICSEARCH_URL=interposer.url.replace("//", "//ada:l0velace@"))
        said = run.must_come_up()
        again = re.search("When that is mended: (.*)", said)
        if not re.search("401.*; set", said) or "api_key" not in said or "l0velace" in said or not again:
            raise Failure(f"up has to show what the processes say, without the password, and how to go on:\n{said}")
        must_be("sinks", sorted(run.processes().values()).count("sluice-sink"), 1)
        it.produce(2_000, "--rate", 0, seed=3)
        it.settle(10)
        interposer.answer(None)
        subprocess.run(again.group(1), shell=True, check=True, stdout=subprocess.DEVNULL, env=run.environment)
        prove_both(it)
    for file in run.dir.rglob("*"):
        if file.is_file() and "l0velace" in file.read_text(errors="replace"):
            raise Failure(f"{file} holds the password")


CASES = (refused, no_index_may_be_made, the_index_is_deleted, an_index_that_is_closed, a_control_document_that_is_none,
         the_index_has_another_name, an_unfit_index, a_reset_that_does_not_get_through, an_index_of_somebodys, letters_that_are_refused,
         retention_over_the_cut, skipped_behind_a_crash, killed, a_zombie, a_second_coordinator, search_alone, totals_alone, more_and_fewer_writers,
         more_processes_than_writers, up_and_down)


if __name__ == "__main__":
    sys.exit(main(CASES))
