#!/usr/bin/python3
"""sluicectl audit of the search job: nothing is found where nothing is wrong, and every harm where there is one, by name.

The job itself takes no part: what it leaves in Elasticsearch is put there by hand (search_copy.py).
"""
import base64, http.server, json, subprocess, sys, threading, urllib.error, urllib.request

import audits
from audits import audit, kinds
from documents import mapping
from jobs import EXIT_CONFIG, Failure, SearchServices, must_be, run_cases, wait_for
from records import read
from search_copy import CONTROL, SearchCopy
from services import BIN, HERE, Elasticsearch, call

EXIT_UNAVAILABLE = 69
PARTITIONS = 3


# --- a job and what it left --------------------------------------------------------------------------------------------

def payload(key, amount="1.10", day=15, month=1, **more):
    return json.dumps({"transaction_id": key, "product_category": "home", "customer_id": f"customer of {key}", "product_quantity": 2,
                       "transaction_date": f"2024-{month:02}-{day:02}T10:00:00.123456Z", **more})[:-1].encode() + (
                           f', "total_amount": {amount}}}'.encode())


def send(it, records):
    """(partition, payload) each; (partition, offset, payload) each."""
    offsets = it.send([(partition, None, value) for partition, value in records])
    return [(partition, offset, value) for (partition, value), offset in zip(records, offsets)]


def found(it, **environment):
    return audits.found(it, "--job", "search", **environment)


def must_be_exact(it):
    return audits.must_be_exact(it, "--job", "search")


def copy_of(it, date=""):
    """An empty search copy in an index of several shards; the audit itself says what fingerprint the pipeline file has."""
    copy = SearchCopy(it.elasticsearch, it.name, it.name, "0" * 32, it.name + date)
    it.elasticsearch.ask("PUT", f"/_index_template/{it.name}", {"index_patterns": [f"{it.name}*"], "template": {
        "settings": {"number_of_shards": 3}, "mappings": mapping()}})
    copy.control({})
    code, _, err = audit(it, "--job", "search")
    if code != EXIT_CONFIG or "another meaning" not in err:
        raise Failure(f"a file of another meaning: exit {code}, {err}")
    copy.fingerprint = err.split("the file's is ")[1].split(")")[0]
    return copy


def filled(job, count=300, **more):
    """A job that has everything in the topic, with duplicates, bad records and a dead letter; also its records."""
    it = job(partitions=PARTITIONS, **more)
    copy = copy_of(it)
    records = send(it, [(i % PARTITIONS, payload(f"key-{i}", f"{i}.{i % 100:02}", month=1 + i % 2)) for i in range(count)] +
                   [(i % PARTITIONS, payload(f"key-{i}", "9.99")) for i in range(0, count, 7)] + [(0, b"no JSON"), (1, b"{}")])
    copy.take(records, refused={records[5][:2]})
    copy.control(it.ends())
    return it, copy, records


# --- harm --------------------------------------------------------------------------------------------------------------

def letter_name(copy, records):
    return f"{copy.topic}-{records[5][0]}-{records[5][1]}"


def counted(copy, **changes):
    control = copy.elastic.get(CONTROL, f"{copy.job}.0")
    copy.change(CONTROL, f"{copy.job}.0", counters={**control["counters"], **changes})


def same_key_in_two_places(copy):
    """Two documents of one key, as only routing can make them in one index."""
    document = json.dumps(copy.elastic.get(copy.index, "key-8"), default=float)
    for routing in range(50):
        try:
            return copy.bulk([({"_index": copy.index, "_id": "key-8", "routing": str(routing)}, document)])
        except Failure:
            pass  # the same shard
    raise Failure("no routing to another shard")


# Name; what is done to (copy, records); the kinds of difference, how many of each; words of the report.
HARM = (
    ("a document is gone", lambda c, r: c.delete(c.index, "key-7"), {"document_missing": 1}, "transaction_id 'key-7'"),
    ("a cent", lambda c, r: c.change(c.index, "key-7", total_amount=7.08), {"document": 1}, "total_amount 7.08"),
    ("a tenth of a cent", lambda c, r: c.change(c.index, "key-7", total_amount=7.0701), {"document": 1}, "total_amount 7.0701"),
    ("money as text", lambda c, r: c.change(c.index, "key-7", total_amount="7.07"), {"document": 1}, "what is no number"),
    ("a text", lambda c, r: c.change(c.index, "key-7", customer_id="nobody"), {"document": 1}, "customer_id 'nobody'"),
    ("an integer", lambda c, r: c.change(c.index, "key-7", product_quantity=3), {"document": 1}, "product_quantity 3"),
    ("a microsecond", lambda c, r: c.change(c.index, "key-7", transaction_date="2024-02-15T10:00:00.123457+00:00"),
     {"document": 1}, "transaction_date 2024-02-15T10:00:00.123457Z"),
    ("a time without an offset", lambda c, r: c.change(c.index, "key-7", transaction_date="2024-02-15T10:00:00.123456"),
     {"document": 1}, "transaction_date 2024-02-15T10:00:00.123456"),
    ("a field is gone", lambda c, r: c.change(c.index, "key-7", customer_id=None), {"document": 1}, "customer_id nothing"),
    ("a field too many", lambda c, r: c.change(c.index, "key-7", colour="red"), {"document": 1}, "not declared: colour"),
    ("the second record's content", lambda c, r: c.change(c.index, "key-7", total_amount=9.99, transaction_date=
     "2024-01-15T10:00:00.123456+00:00"), {"document": 1}, "a later record of its partition says so"),
    ("another key's name", lambda c, r: c.put(c.index, "key-7", c.elastic.get(c.index, "key-8")), {"document": 1},
     "transaction_id 'key-8'"),
    ("a document too many", lambda c, r: c.put(c.index, "nobody", {**c.elastic.get(c.index, "key-7"), "transaction_id": "nobody"}),
     {"document_extra": 1}, "there is no valid record of this key"),
    ("a document of a dead letter is no harm, where its record says so", lambda c, r: c.put(c.index, "key-5", json.loads(
        c.elastic.get(c.letters, letter_name(c, r))["document"])), {}, "exact"),
    ("a dead letter is gone", lambda c, r: c.delete(c.letters, letter_name(c, r)), {"document_missing": 1, "counter": 1},
     "neither a document nor a dead letter"),
    ("a dead letter too many", lambda c, r: c.bulk([c.letter(1, 0, read(r[1][2], -1)[0], offset=999)]), {"letter": 1},
     "its id is not <topic>-<partition>-<offset>"),
    ("a dead letter of no record", lambda c, r: c.bulk([c.letter(1, 999, read(r[1][2], -1)[0])]), {"letter_extra": 1},
     "there is no valid record of this key"),
    ("a dead letter of another record", lambda c, r: c.change(c.letters, letter_name(c, r), key="key-6"),
     {"letter_extra": 1, "document_missing": 1}, "transaction_id 'key-6'"),
    ("what a dead letter says", lambda c, r: c.change(c.letters, letter_name(c, r), document=c.elastic.get(
        c.letters, letter_name(c, r))["document"].replace("5.05", "5.06")), {"letter": 1}, "total_amount 5.06"),
    ("a dead letter without a reason", lambda c, r: c.change(c.letters, letter_name(c, r), reason=None), {"letter": 1,
     "document_missing": 1, "counter": 1}, "it has no reason"),
    ("a counter of dead letters", lambda c, r: counted(c, dead=2, accepted=c.consumed - 2), {"counter": 1},
     "dead, against the dead letters"),
    ("a counter that does not add up", lambda c, r: counted(c, accepted=1), {"counter": 1}, "consumed, against accepted + dead"),
    ("records that nobody counted", lambda c, r: counted(c, accepted=c.consumed - 2, consumed=c.consumed - 1), {"counter": 1},
     "consumed, against the valid records"),
    ("a document twice", lambda c, r: same_key_in_two_places(c), {"document_extra": 1}, "one document of this key"),
)


def every_harm_is_named(job):
    it, copy, records = filled(job)
    elastic, saved = it.elasticsearch, {}
    indices = (copy.index, copy.letters, CONTROL)
    report = must_be_exact(it)
    must_be("compared", report["compared"], {"documents": 299, "letters": 1})
    must_be("records in front of the cut", report["records_in_front"], 343)
    for index in indices:
        saved[index] = elastic.documents(index)
    for name, harm, differences, words in HARM:
        harm(copy, records)
        report = found(it)
        must_be(f"{name}: differences", kinds(report), differences)
        text = audit(it, "--job", "search")[1]
        if words not in text:
            raise Failure(f"{name}: the report does not say {words!r}\n{text}")
        for index in indices:
            copy.restore(index, saved[index])
        must_be_exact(it)


# --- the job runs ------------------------------------------------------------------------------------------------------

def ahead_of_the_cut(job):
    """Several writers, each with a cut of its own; documents behind it are there already, and are no harm."""
    it, copy, records = filled(job)
    ends = it.ends()
    copy.control(ends, {**ends, "1": 10}, counters=[{"consumed": copy.consumed - 2, "accepted": copy.consumed - 3, "dead": 1},
                                                    {"consumed": 1, "accepted": 1, "dead": 0}])
    report = must_be_exact(it)
    must_be("the cut is the least of them", report["cut"], {**ends, "1": 10})
    if not 50 < report["ahead"] < 110:
        raise Failure(f"about a third is ahead of the cut: {report}")
    # What no writer counted and what is in front of all cuts has to be there; what is behind may be missing.
    copy.delete(copy.index, "key-298")
    must_be_exact(it)
    copy.delete(copy.index, "key-3")
    must_be("a document in front of the cut", kinds(found(it)), {"document_missing": 1})
    copy.put(copy.index, "key-298", {**copy.elastic.get(copy.index, "key-4"), "transaction_id": "key-298"})
    must_be("a document ahead of it that no record explains", kinds(found(it)), {"document_missing": 1, "document": 1})


def writers_that_are_no_more(job):
    it, copy, _ = filled(job)
    ends = it.ends()
    # The first one says how many documents there may be, until the last of them is gone.
    copy.control(ends, surplus=(None, {**ends, "0": 5}), writers=3)
    copy.delete(CONTROL, f"{copy.job}.1")
    report = must_be_exact(it)
    must_be("the cut is the least of all", report["cut"], {**ends, "0": 5})
    if "2 (is no more)" not in audit(it, "--job", "search")[1]:
        raise Failure("the report does not name the writer that is no more")
    # Two writers whose key groups are others now count anew, from the cut that they began with.
    copy.delete(CONTROL, f"{copy.job}.2")
    since = {**ends, "0": ends["0"] - 3}
    nothing = {"consumed": 0, "accepted": 0, "dead": 0}
    copy.control(ends, ends, since=since, counters=[{**nothing, "consumed": 2, "accepted": 2}, nothing])
    must_be_exact(it)
    copy.control(ends, ends, since=since, counters=[{**nothing, "consumed": 3, "accepted": 3}, nothing])
    must_be("one too many", kinds(found(it)), {"counter": 1})
    copy.control(ends, ends, since=since, counters=[{**nothing, "consumed": 1, "accepted": 1}, nothing])
    must_be("one too few", kinds(found(it)), {"counter": 1})
    copy.control(ends, ends, since=None, counters=[{**nothing, "consumed": 1, "accepted": 1}, nothing])
    must_be_exact(it)
    if "do not say from where they count" not in audit(it, "--job", "search")[1]:
        raise Failure("the report does not say that nobody knows from where the counters count")


def beside_a_running_job(job):
    it = job(partitions=PARTITIONS)
    copy = copy_of(it)
    copy.control({str(p): 0 for p in range(PARTITIONS)})
    stop, trouble, number = threading.Event(), [], 0

    def run():
        nonlocal number
        try:
            while not stop.is_set():
                records = send(it, [(i % PARTITIONS, payload(f"key-{i // 2}")) for i in range(number, number + 200)])
                copy.take(records)
                copy.control({str(p): 1 + max(o for q, o, _ in records if q == p) for p in range(PARTITIONS)})
                number += 200
        except Exception as failure:
            trouble.append(failure)
    thread = threading.Thread(target=run)
    thread.start()
    read_so_far = []

    def further_on():
        read_so_far.append(must_be_exact(it)["records_in_front"])
        return trouble or len(set(read_so_far)) >= 4
    try:
        wait_for("audits beside a running job, four of them each further on", further_on, 90)
    finally:
        stop.set()
        thread.join()
    if trouble or read_so_far != sorted(read_so_far):
        raise Failure(f"the cut goes backwards: {read_so_far} {trouble}")
    must_be("records in front", must_be_exact(it)["records_in_front"], number)


def many_documents(job):
    """Several pages, more differences than are shown, and more than one partition of the temporary file."""
    it = job(partitions=PARTITIONS)
    copy = copy_of(it)
    records = send(it, [(i % PARTITIONS, payload(f"key-{i}", product_name="n" * (i % 250))) for i in range(6000)])
    copy.take(records)
    copy.control(it.ends())
    must_be("documents", must_be_exact(it)["compared"]["documents"], 6000)
    it.elasticsearch.ask("POST", f"/{copy.index}/_delete_by_query?refresh=true", {"query": {"match_all": {}}})
    report = found(it)
    must_be("differences", kinds(report), {"document_missing": 6000})
    must_be("spelled out", len(report["shown"]), 10)


def how_fields_are_mapped(job):
    """A right document of which a query makes a wrong number: each harm in an index of its own month, all found at once."""
    it = job(partitions=PARTITIONS)
    it.write_config((f"index: {it.name}", f"index: {it.name}-%Y.%m"))
    for month, instead in ((1, {"total_amount": {"type": "float"}}), (2, {"total_amount": {"type": "scaled_float", "scaling_factor": 10}}),
                           (3, {"product_category": {"type": "keyword"}}), (4, {"product_quantity": {"type": "long", "index": False}}),
                           (5, {})):
        it.elasticsearch.ask("PUT", f"/{it.name}-2024.{month:02}", {"mappings": mapping(**instead)})
    it.elasticsearch.ask("PUT", f"/{it.name}-2024.05/_settings", {"index.final_pipeline": "p"})
    copy = copy_of(it, "-%Y.%m")
    copy.take(send(it, [(0, payload(f"key-{i}", month=i)) for i in (6, 7)]))
    copy.control(it.ends())
    report = found(it)
    must_be("differences", kinds(report), {"mapping": 6})  # a text without .keyword has two
    for words in ("type of field total_amount", "scaling_factor of field total_amount", "type of field product_category",
                  "index of field product_quantity", "its ingest pipeline"):
        if not any(words in json.dumps(shown) for shown in report["shown"]):
            raise Failure(f"the report does not say {words}: {report['shown']}")


# --- which record ------------------------------------------------------------------------------------------------------

def conflicts_between_partitions(job):
    """Which of two partitions' first records came first is for Elasticsearch to say, and PostgreSQL may say otherwise."""
    it = job(partitions=PARTITIONS)
    copy = copy_of(it)
    records = send(it, [(p, payload(f"key-{i}", f"{p}.{i}0")) for p in range(PARTITIONS) for i in range(4)])
    copy.take(records[::-1])
    copy.control(it.ends())
    report = must_be_exact(it)
    must_be("contested", report["contested"], 4)
    if "the document is the record at partition 2" not in report["contested_shown"][0] or \
            "otherwise total_amount 0." not in report["contested_shown"][0]:
        raise Failure(f"both sides have to be told: {report['contested_shown']}")
    copy.change(copy.index, "key-1", total_amount=3.10)
    must_be("a record that there is not", kinds(found(it)), {"document": 1})


def after_a_dead_letter(job):
    """Where the first record was refused, the next one has its turn, and none has to have it."""
    it = job(partitions=1)
    copy = copy_of(it)
    records = send(it, [(0, payload("a", "1.00")), (0, payload("a", "2.00")), (0, payload("b", "1.00")), (0, payload("b", "2.00"))])
    copy.take(records, refused={(0, 0), (0, 2), (0, 3)})
    copy.control(it.ends())
    report = must_be_exact(it)
    must_be("compared", report["compared"], {"documents": 1, "letters": 3})
    # The next attempt has to write the letter's record again, and then it may be accepted.
    copy.change(copy.index, "a", total_amount=1.00)
    must_be_exact(it)
    copy.change(copy.index, "a", total_amount=3.00)
    must_be("what no record says", kinds(found(it)), {"document": 1})
    copy.change(copy.index, "a", total_amount=2.00)
    must_be_exact(it)
    # Each record of a key without a document has to have a letter.
    letter = f"{copy.topic}-0-3"
    copy.change(copy.letters, letter, document=None)
    must_be_exact(it)
    copy.change(copy.letters, letter, document="{\"transaction_id\": \"b", document_bytes=1000000)
    must_be_exact(it)
    copy.change(copy.letters, letter, document_bytes=None)
    must_be("what is cut and does not say so", kinds(found(it)), {"letter": 1, "document_missing": 1, "counter": 1})
    copy.delete(copy.letters, letter)
    must_be("the letter of a repeat", kinds(found(it)), {"document_missing": 1, "counter": 1})


def dated(it, *changes):
    it.write_config((f"index: {it.name}", f"index: {it.name}-%Y.%m"), *changes)
    return it


def dated_indices(job):
    it = dated(job(partitions=1))
    copy = copy_of(it, "-%Y.%m")
    records = send(it, [(0, payload(f"key-{i}", month=1 + i % 3)) for i in range(30)])
    copy.take(records, refused={(0, 4)})
    copy.control(it.ends())
    must_be("compared", must_be_exact(it)["compared"], {"documents": 29, "letters": 1})
    document = it.elasticsearch.get(f"{it.name}-2024.01", "key-0")
    copy.delete(f"{it.name}-2024.01", "key-0")
    copy.put(f"{it.name}-2024.02", "key-0", document)
    report = found(it)
    must_be("a document in another month's index", kinds(report), {"document_place": 1})
    must_be("where it belongs", report["shown"][0]["expected"], f"index {it.name}-2024.01, by its own time")
    copy.put(f"{it.name}-2024.01", "key-0", document)
    must_be("in both", kinds(found(it)), {"document_place": 1, "document_extra": 1})
    copy.delete(f"{it.name}-2024.02", "key-0")
    # A key whose records are of two months has a document in each; the second record of a month is a repeat.
    copy.take(send(it, [(0, payload("key-0", month=2, day=day)) for day in (3, 4)]))
    copy.control(it.ends())
    must_be("compared", must_be_exact(it)["compared"], {"documents": 30, "letters": 1})
    copy.delete(f"{it.name}-2024.02", "key-0")
    report = found(it)
    must_be("one of two is gone", kinds(report), {"document_missing": 1})
    must_be("its name", report["shown"][0]["key"], f"transaction_id 'key-0' in index {it.name}-2024.02")


def another_zone(job):
    """The same points in time, written with the offsets of the zone."""
    it = dated(job(partitions=1), ("time_zone: UTC", "time_zone: Europe/Berlin"))
    copy = copy_of(it, "-%Y.%m")
    when = ("2024-01-31T23:30:00Z", "2024-07-15 10:00:00", "2024-03-31T02:30:00", "2024-10-27T02:30:00", "2024-10-27T01:30:00Z")
    there = (("2024.02", "2024-02-01T00:30:00.000000+01:00"), ("2024.07", "2024-07-15T10:00:00.000000+02:00"),
             ("2024.03", "2024-03-31T02:30:00.000000+01:00"), ("2024.10", "2024-10-27T02:30:00.000000+02:00"),
             ("2024.10", "2024-10-27T02:30:00.000000+02:00"))
    send(it, [(0, payload(f"key-{i}", transaction_date=at)) for i, at in enumerate(when)])
    for i, (month, at) in enumerate(there):
        copy.put(f"{it.name}-{month}", f"key-{i}", {
            "transaction_id": f"key-{i}", "product_category": "home", "customer_id": f"customer of key-{i}", "product_quantity": 2,
            "transaction_date": at, "total_amount": 1.10})
    copy.consumed = len(when)
    copy.control(it.ends())
    must_be_exact(it)
    # The same point in time in other words is the same; an hour later is not, though the clock shows the same.
    copy.change(f"{it.name}-2024.07", "key-1", transaction_date="2024-07-15T08:00:00Z")
    must_be_exact(it)
    copy.change(f"{it.name}-2024.10", "key-3", transaction_date="2024-10-27T02:30:00.000000+01:00")
    must_be("the other half past two", kinds(found(it)), {"document": 1})


def the_start_is_where_the_job_began(job):
    it = job(partitions=1, changes=[("start: earliest", "start: {offsets: {0: 10}}")])
    copy = copy_of(it)
    records = send(it, [(0, payload(f"key-{i}")) for i in range(30)])
    copy.take(records[10:])
    copy.control(it.ends())
    must_be("records", must_be_exact(it)["records_read"], 20)
    copy.control(it.ends(), start={"0": 9}, since={"0": 9})
    must_be("the control document knows better", kinds(found(it)), {"document_missing": 1, "counter": 1})


def the_beginning_is_gone(job):
    """What is there is proved, and what may stem from before it is said."""
    it, copy, _ = filled(job)
    half = it.ends()["0"] // 2
    call(HERE / "kafka/kafka.sh", "forget", it.services.kafka, it.name, 0, half)
    report = must_be_exact(it)
    must_be("what was read", (report["partial"], report["read_from"]), (True, {"0": half, "1": 0, "2": 0}))
    if not 50 < report["unproved"]["documents"] < 100:
        raise Failure(f"half of one of three partitions is gone: {report}")
    copy.delete(copy.index, "key-7")
    must_be("a document whose record is there", kinds(found(it)), {"document_missing": 1})


# --- the real job ------------------------------------------------------------------------------------------------------

def the_job_itself(job):
    """While it runs, after a kill, and with other writers; a dead letter that Elasticsearch itself made."""
    it = job(partitions=4)
    it.start_all().start_search()
    it.wait_live()
    it.wait_live(job="search")
    with it.stream(1_000):
        wait_for("documents", lambda: sum((it.search_cut() or {}).values()) > 2_000, 30)
        for _ in range(3):
            must_be_exact(it)
        it.restart("search-sink-0")
    it.settle_search()
    report = must_be_exact(it)
    if report["compared"]["documents"] < 0.8 * sum(it.ends().values()):
        raise Failure(f"most of the records are documents: {report}")
    it.settle()
    code, out, err = audit(it, "-o", "json")
    both = json.loads(out)
    must_be("both", (code, both["exact"], err), (0, True, ""))
    must_be("as many rows as documents", both["totals"]["compared"]["rows"], both["search"]["compared"]["documents"])


# --- both jobs, and what stands in the way -----------------------------------------------------------------------------

def both_jobs(job):
    it, copy, _ = filled(job)
    code, out, err = audit(it, "-o", "json")
    report = json.loads(out)
    must_be("totals was never started, search is right", (code, "error" in report["totals"], report["search"]["exact"], report["exact"]),
            (EXIT_CONFIG, True, True, False))
    url = it.environment.pop("ELASTICSEARCH_URL")
    it.start_all().settle()
    it.stop()
    it.environment["ELASTICSEARCH_URL"] = url
    code, out, err = audit(it, "-o", "json")
    report = json.loads(out)
    must_be("both", (code, report["totals"]["exact"], report["search"]["exact"], report["exact"], err), (0, True, True, True, ""))
    must_be("two reports for people", audit(it)[1].splitlines().count("exact"), 2)
    must_be("totals only", json.loads(audit(it, "--job", "totals", "-o", "json")[1])["job"], f"{it.name}/totals")
    must_be("without Elasticsearch", json.loads(audit(it, "-o", "json", ELASTICSEARCH_URL="")[1])["job"], f"{it.name}/totals")
    away = {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    must_be("search without PostgreSQL", audit(it, "--job", "search", **away)[0], 0)
    must_be("all without PostgreSQL", audit(it, **away)[0], EXIT_UNAVAILABLE)
    copy.delete(copy.index, "key-7")
    must_be("a difference is one, whatever is away", audit(it, **away)[0], 1)
    must_be("totals is right nevertheless", audit(it, "--job", "totals")[0], 0)


class Guard(http.server.BaseHTTPRequestHandler):
    """Elasticsearch behind a door: lets in whoever says the right words."""
    protocol_version = "HTTP/1.1"

    def do(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length) if length else None
        status, answer = 401, b'{"error": {"reason": "who is there?"}}'
        if self.server.status:
            status, answer = self.server.status, b'{"error": {"reason": "said the guard"}}'
        elif self.headers.get("authorization") == self.server.word:
            request = urllib.request.Request(self.server.behind + self.path, body, {"content-type": "application/json"}, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as found_there:
                    status, answer = 200, found_there.read()
            except urllib.error.HTTPError as error:
                status, answer = error.code, error.read()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    do_GET = do_POST = do_DELETE = do

    def log_message(self, *words):
        pass


def refused(it, name, code, *words, **environment):
    found_code, out, err = audit(it, "--job", "search", **environment)
    if found_code != code or any(word not in err for word in words):
        raise Failure(f"{name}: exit {found_code}, not {code} with {words}: {out}{err}")


def what_a_search_leaves_out(job):
    """An index that is closed, missing or another one is never taken for an empty one; frozen: see test_audit_elastic.c."""
    it, copy, _ = filled(job, count=40)
    elastic = it.elasticsearch
    for index in (copy.index, copy.letters, CONTROL):
        elastic.ask("POST", f"/{index}/_close")
        refused(it, f"{index} is closed", EXIT_CONFIG, f"index {index} is closed: POST /{index}/_open")
        if index == CONTROL:
            done = subprocess.run([str(BIN / "sluicectl"), "reset", "--job", "search", "--dry-run"], env=it.environment, text=True,
                                  capture_output=True, check=False)
            must_be("the exit code of a reset", (done.returncode, f"POST /{CONTROL}/_open" in done.stderr), (EXIT_CONFIG, True))
        elastic.ask("POST", f"/{index}/_open")
        elastic.ask("GET", f"/_cluster/health/{index}?wait_for_status=yellow&timeout=30s")
        must_be_exact(it)
    elastic.ask("PUT", f"/{copy.index}/_settings", {"index.hidden": True})
    must_be_exact(it)
    for index in (copy.index, copy.letters):
        saved = elastic.documents(index)
        elastic.ask("DELETE", f"/{index}")
        refused(it, f"{index} is missing", EXIT_CONFIG, f"index {index} is not there")
        elastic.ask("PUT", f"/{index}-of-others", {"aliases": {index: {}}, "mappings": mapping() if index == copy.index else {}})
        refused(it, f"{index} is an alias", EXIT_CONFIG, f"{index} is no index, but an alias of {index}-of-others")
        elastic.ask("DELETE", f"/{index}-of-others")
        elastic.ask("PUT", f"/{index}", {"mappings": mapping() if index == copy.index else {}})
        copy.restore(index, saved)
    must_be_exact(it)


def a_month_that_is_closed(job):
    it = dated(job(partitions=1))
    copy = copy_of(it, "-%Y.%m")
    copy.take(send(it, [(0, payload(f"key-{i}", month=1 + i % 3)) for i in range(30)]))
    copy.control(it.ends())
    must_be_exact(it)
    it.elasticsearch.ask("POST", f"/{it.name}-2024.02/_close")
    refused(it, "a month is closed", EXIT_CONFIG, f"index {it.name}-2024.02 is closed: POST /{it.name}-2024.02/_open")


class Rewriter(Guard):
    """Elasticsearch, whose answers are changed."""

    def do(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length) if length else None
        request = urllib.request.Request(self.server.behind + self.path, body, {"content-type": "application/json"}, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=60) as there:
                status, answer = 200, there.read()
        except urllib.error.HTTPError as error:
            status, answer = error.code, error.read()
        for part, old, new in self.server.changes:
            answer = answer.replace(old, new) if part in self.path else answer
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    do_GET = do_POST = do_DELETE = do


def answers_that_are_no_whole_ones(job):
    """Some shards did not answer, or the time was over: with a status of 200."""
    it, _, _ = filled(job, count=40)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rewriter)
    server.behind, server.changes = it.elasticsearch.url, ()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for change, words in ((("_search?", b'"failed":0', b'"failed":1'), "1 of its shards did not answer"),
                              (("/_search/scroll", b'"failed":0', b'"failed":1'), "1 of its shards did not answer"),
                              (("_refresh", b'"failed":0', b'"failed":2'), "2 of its shards did not answer"),
                              (("_search?", b'"timed_out":false', b'"timed_out":true'), "timed_out")):
            server.changes = (change,)
            refused(it, str(change), EXIT_UNAVAILABLE, words, ELASTICSEARCH_URL=f"http://127.0.0.1:{server.server_port}")
        server.changes = ()
        must_be_exact(it)
    finally:
        server.shutdown()
        server.server_close()


def credentials_and_hosts(job):
    it, copy, _ = filled(job, count=40)
    guard = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guard)
    guard.behind, guard.status, guard.word = it.elasticsearch.url, None, "Basic " + base64.b64encode(b"auditor:s3cret:word").decode()
    threading.Thread(target=guard.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{guard.server_port}"
    try:
        for name, given, code in (
                ("nobody", {}, EXIT_CONFIG),
                ("user and password", {"ELASTICSEARCH_USER": "auditor", "ELASTICSEARCH_PASSWORD": "s3cret:word"}, 0),
                ("in the url", {"ELASTICSEARCH_URL": url.replace("//", "//auditor:s3cret%3Aword@")}, 0),
                ("a wrong password", {"ELASTICSEARCH_USER": "auditor", "ELASTICSEARCH_PASSWORD": "s3cret"}, EXIT_CONFIG),
                ("the second host", {"ELASTICSEARCH_HOSTS": "http://127.0.0.1:1," + url.replace("//", "//auditor:s3cret%3Aword@"),
                                     "ELASTICSEARCH_URL": ""}, 0)):
            must_be(name, (result := audit(it, "--job", "search", **{"ELASTICSEARCH_URL": url, **given}))[0], code)
            if "s3cret" in result[1] + result[2] or (code and "401" not in result[2]):
                raise Failure(f"{name}: {result}")
        for key, word in (("id:s3cret", base64.b64encode(b"id:s3cret").decode()), ("aWQ6czNjcmV0", "aWQ6czNjcmV0")):
            guard.word = "ApiKey " + word
            must_be("an API key", audit(it, "--job", "search", ELASTICSEARCH_URL=url, ELASTICSEARCH_API_KEY=key)[0], 0)
        for guard.status, code in ((403, EXIT_CONFIG), (503, EXIT_UNAVAILABLE), (429, EXIT_UNAVAILABLE), (400, EXIT_CONFIG)):
            must_be(f"status {guard.status}", (result := audit(it, "--job", "search", ELASTICSEARCH_URL=url))[0], code)
            if str(guard.status) not in result[2] or "said the guard" not in result[2]:
                raise Failure(f"status {guard.status}: {result[2]}")
    finally:
        guard.shutdown()
        guard.server_close()


def what_stands_in_the_way(job):
    it, copy, _ = filled(job, count=40)
    must_be("nobody there", audit(it, "--job", "search", ELASTICSEARCH_URL="http://127.0.0.1:1")[0], EXIT_UNAVAILABLE)
    must_be("no search job in the file", audit(it, "--job", "search", ELASTICSEARCH_URL="")[0], 2)
    must_be("a job that there is not", audit(it, "--job", "sarch")[0], 2)
    must_be("no broker", audit(it, "--job", "search", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")[0], EXIT_UNAVAILABLE)
    for name, code, words, changes in (
            ("no cut yet", EXIT_CONFIG, "has not committed anything", {"cut": None}),
            ("a writer is missing", EXIT_UNAVAILABLE, "share out", {"writers": 2, "groups": 64}),
            ("groups that two have", EXIT_UNAVAILABLE, "share out", {"first_group": 1}),
            ("another index", EXIT_CONFIG, "writes to index sales", {"index": "sales"}),
            ("another job's", EXIT_CONFIG, "job is another one", {"job": "somebody/search"}),
            ("a cut that is none", EXIT_CONFIG, "cut is none", {"cut": {"0": -1}}),
            ("a partition that is none", EXIT_CONFIG, "cut is none", {"cut": {"x": 1}}),
            ("no counters", EXIT_CONFIG, "counters are none", {"counters": {"consumed": 1}})):
        copy.change(CONTROL, f"{copy.job}.0", **changes)
        found_code, _, err = audit(it, "--job", "search")
        if found_code != code or words not in err:
            raise Failure(f"{name}: exit {found_code}, {err}")
        copy.control(it.ends())
    must_be_exact(it)
    copy.control({**it.ends(), "0": it.ends()["0"] + 5})
    report = found(it)
    must_be("the log ends before the cut", kinds(report), {"log": 1})
    copy.delete(CONTROL, f"{copy.job}.0")
    code, _, err = audit(it, "--job", "search")
    if code != EXIT_CONFIG or "never started" not in err:
        raise Failure(f"no control document: exit {code}, {err}")


CASES = (every_harm_is_named, how_fields_are_mapped, ahead_of_the_cut, writers_that_are_no_more, beside_a_running_job, many_documents,
         conflicts_between_partitions, after_a_dead_letter, dated_indices, another_zone, the_start_is_where_the_job_began,
         the_beginning_is_gone, what_a_search_leaves_out, a_month_that_is_closed, answers_that_are_no_whole_ones, the_job_itself,
         both_jobs, credentials_and_hosts, what_stands_in_the_way)


if __name__ == "__main__":
    if Elasticsearch.missing():
        print(f"SKIPPED: {Elasticsearch.missing()}")
        sys.exit(0)
    sys.exit(run_cases(CASES, SearchServices))
