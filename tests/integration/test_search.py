#!/usr/bin/python3
"""The search copy: neither lost nor doubled, whatever happens to Elasticsearch, and the totals do not notice. What happens to its
processes, and what people do, is in test_search_job.py.

Every case ends with a proof: the documents are those of the topic by a reading of its own, and the rows of PostgreSQL.
"""
import base64, json, sys, time
from contextlib import contextmanager

from documents import CONTROL, NUMBERS_ONLY, exactly, mapping
from interposer import Interposer
from jobs import SearchServices, must_be, run_cases, sql, wait_for
from services import Elasticsearch, Failure


def both(job, **more):
    it = job(**more)
    it.start_all().start_search()
    it.wait_live()
    it.wait_live(job="search")
    return it


def prove_both(it, **more):
    it.settle()
    it.settle_search()
    it.prove()
    it.prove_search(**more)


@contextmanager
def in_front(it):
    """The job reaches Elasticsearch through an interposer."""
    interposer = Interposer(it.elasticsearch.url)
    it.environment["ELASTICSEARCH_URL"] = interposer.url
    try:
        yield interposer
    finally:
        interposer.close()


@contextmanager
def healed(it):
    """Of a case that leaves it as it was: where it failed, the next one gets an Elasticsearch that answers nevertheless."""
    try:
        yield it.elasticsearch
    except BaseException:
        it.elasticsearch.restart()
        raise


def totals_go_on(it, count, rate=8000, **more):
    """As if nothing had happened: what is produced is committed at once, in the same attempt."""
    fence = it.fence()
    it.produce(count, "--rate", rate, **more)
    it.settle(8)
    must_be("the attempt of the totals", it.fence(), fence)


def search_waits_for(it, *words):
    def said():
        status = it.status("search") or {}
        return any(word.lower() in (status.get("waiting", "") + status.get("last_error", "")).lower() for word in words)
    wait_for(f"the status says {' or '.join(words)}", said, 20)


def search_waits_for_an_answer(it, request=""):
    words = f"search-sink-0: Elasticsearch at {it.elasticsearch.url}: no answer since "
    wait_for(f"the status says {words}... {request}", lambda: any(
        words in part and f"to {request}" in part for part in (it.status("search") or {}).get("waiting", "").split("; ")), 30)


def record(key, brand="acme", when="2024-01-15T10:00:00.123456Z", **more):
    return json.dumps({"transaction_id": key, "product_category": "books", "total_amount": 12.5, "transaction_date": when,
                       "product_brand": brand, **more}).encode()


def send(it, records):
    """Keys decide on the partition, as a producer does."""
    return it.send([(sum(json.loads(r)["transaction_id"].encode()) % 4, None, r) for r in records])


# ---- what one sees -------------------------------------------------------------------------------------------------------
def the_documents_are_the_rows(job):
    """With repeats, conflicts and poison in the topic; compressed."""
    it = job(changes=[("compression: none", "compression: gzip")])
    it.produce(6_000, "--rate", 0)
    it.start_all().start_search()
    it.settle_search()
    it.produce(2_000, "--rate", 0, seed=2)
    prove_both(it)


def the_queries_that_users_know(job):
    it = both(job)
    it.produce(5_000, "--rate", 0)
    send(it, [record("oldest", when="1971-01-01T00:00:00Z")])
    it.settle()
    it.settle_search()
    must_be("count", it.elasticsearch.count(it.name), sql(it.url, "SELECT count(*) FROM transactions")[0])
    newest = it.elasticsearch.search(it.name, {"query": {"match_all": {}}, "sort": [{"transaction_date": "desc"}], "size": 50})
    dates = [hit["_source"]["transaction_date"] for hit in newest["hits"]["hits"]]
    must_be("dates, the newest first", dates, sorted(dates, reverse=True))
    must_be("how many", len(dates), 50)
    twice = it.elasticsearch.search(it.name, {"size": 0, "aggs": {"twice": {"terms": {
        "field": "transaction_id.keyword", "min_doc_count": 2, "size": 10}}}})
    must_be("transactions that are there twice", twice["aggregations"]["twice"]["buckets"], [])
    sums = it.elasticsearch.search(it.name, {"size": 0, "aggs": {"by": {"terms": {"field": "product_category.keyword", "size": 100},
                                                                      "aggs": {"total": {"sum": {"field": "total_amount"}}}}}})
    wanted, = sql(it.url, "SELECT json_object_agg(category, total) FROM (SELECT category, sum(total_sales)::text AS total FROM sales_per_category GROUP BY 1) s")
    found = {bucket["key"]: round(float(bucket["total"]["value"]), 2) for bucket in sums["aggregations"]["by"]["buckets"]}
    must_be("sales by category", found, {category: float(total) for category, total in wanted.items()})
    days = it.elasticsearch.search(it.name, {"size": 0, "aggs": {"by": {"date_histogram": {"field": "transaction_date",
                                                                                        "calendar_interval": "day", "min_doc_count": 1}}}})
    must_be("the first day", days["aggregations"]["by"]["buckets"][0]["key_as_string"][:10], "1971-01-01")
    fields = it.elasticsearch.ask("GET", f"/{it.name}/_mapping")[it.name]["mappings"]["properties"]
    must_be("an amount", (fields["total_amount"]["type"], float(fields["total_amount"]["scaling_factor"])), ("scaled_float", 100.0))
    must_be("a date", fields["transaction_date"]["type"], "date")
    must_be("a quantity", fields["product_quantity"]["type"], "long")
    must_be("a text", (fields["product_name"]["type"], fields["product_name"]["fields"]["keyword"]["type"]), ("text", "keyword"))
    it.prove_search()


def a_document(job):
    """Field by field."""
    it = both(job)
    odd = "quotes \" and \\, \u00e9\U0001f600, a tab\t, \u2028"
    send(it, [record("one", odd, total_amount=7, product_quantity=-3), record("two/%?#&\u00fc", when=1705312800123)])
    it.settle_search()
    document = it.elasticsearch.get(it.name, "one")
    must_be("the document", exactly(document), exactly_of(
        transaction_id="one", product_category="books", product_brand=odd, total_amount="7.00", product_quantity="-3",
        transaction_date="2024-01-15T10:00:00.123456+00:00"))
    must_be("another", it.elasticsearch.get(it.name, "two/%?#&\u00fc")["transaction_date"], "2024-01-15T10:00:00.123000+00:00")
    it.settle()
    it.prove_search()


def exactly_of(**fields):
    return {name: f"{value} as a number" if name in ("total_amount", "product_quantity") else value for name, value in fields.items()}


def an_index_a_month(job):
    it = job()
    it.write_config((f"index: {it.name}", f"index: {it.name}-%Y.%m"))
    it.start_all().start_search().wait_live(job="search")
    send(it, [record(f"{month}-{i}", when=f"2024-{month:02}-{31 if month == 1 else 1:02}T{'23:59:59' if month == 1 else '00:00:00'}Z")
              for month in (1, 2, 3) for i in range(20)])
    it.settle_search()
    for month in (1, 2, 3):
        must_be(f"documents of month {month}", sorted(it.elasticsearch.documents(f"{it.name}-2024.{month:02}")),
                sorted(f"{month}-{i}" for i in range(20)))
    prove_both(it, index=f"{it.name}-2*")


def hosts_and_credentials(job):
    """A host that is away is passed over; user, password and key reach Elasticsearch and nobody else."""
    for given, wanted in (({"ELASTICSEARCH_USER": "ada", "ELASTICSEARCH_PASSWORD": "s3cr3t:w%rd"},
                           "Basic " + base64.b64encode(b"ada:s3cr3t:w%rd").decode()),
                          ({"ELASTICSEARCH_API_KEY": "c2VjcmV0OmtleQ=="}, "ApiKey c2VjcmV0OmtleQ==")):
        it = job()
        with in_front(it) as interposer:
            it.environment.update(given, ELASTICSEARCH_URL="", ELASTICSEARCH_HOSTS=f"http://127.0.0.1:9,{interposer.url}")
            it.start_all().start_search()
            it.produce(2000, "--rate", 0)
            prove_both(it)
            must_be("what it showed", interposer.authorizations, {wanted})
        for log in it.folder.glob("*.log"):
            for secret in ("s3cr3t", "c2VjcmV0OmtleQ", wanted.split()[1]):
                if secret in log.read_text(errors="replace"):
                    raise Failure(f"{log.name} holds a secret")


# ---- Elasticsearch is in trouble ---------------------------------------------------------------------------------------------
def elasticsearch_is_killed(job):
    """For a while; the totals go on at full speed, and the search job catches up."""
    it = both(job)
    it.produce(2_000, "--rate", 0)
    it.settle_search()
    with healed(it) as elasticsearch:
        elasticsearch.kill()
        totals_go_on(it, 10_000, rate=4000, seed=2)
        search_waits_for(it, "Elasticsearch", it.elasticsearch.url)
        behind = sum(it.ends().values()) - sum(it.status("search")["cut"].values())
        if behind < 8_000:
            raise Failure(f"Elasticsearch was away for 10,000 records, and the search job lacks {behind}")
        # Nothing is committed, and yet people are told how far it is behind.
        wait_for("the lag that is told", lambda: it.status("search")["lag"] == behind, 30)
        elasticsearch.start()
        it.settle_search()
    must_be("the attempt of the totals", it.fence(), 1)
    prove_both(it)


def elasticsearch_does_not_answer(job):
    """Its connections stay, for longer than a heartbeat; then it goes on as if nothing had been."""
    it = both(job)
    with healed(it) as elasticsearch:
        with it.stream(500):
            wait_for("documents", lambda: (it.search_cut() or {0: 0})[0] > 100, 30)
            elasticsearch.freeze()
            frozen = time.monotonic()
            search_waits_for_an_answer(it)
            # And one that starts anew meanwhile.
            it.restart("search-sink-0")
            search_waits_for_an_answer(it, "GET /sluice-control")
            time.sleep(max(0.0, frozen + 8 - time.monotonic()))
            must_be("the attempt of the totals", it.fence(), 1)
            elasticsearch.thaw()
            wait_for("nobody waits any more", lambda: not (it.status("search") or {"waiting": "?"}).get("waiting"), 60)
        it.settle(8)
        prove_both(it)


def elasticsearch_comes_later(job):
    it = job()
    with healed(it) as elasticsearch:
        elasticsearch.stop()
        it.start_all().start_search().wait_live()
        totals_go_on(it, 4_000)
        search_waits_for(it, "Elasticsearch", it.elasticsearch.url)
        elasticsearch.start()
        prove_both(it)


def killed_again_and_again(job):
    """Elasticsearch and those who write to it, under load."""
    it = both(job)
    with healed(it) as elasticsearch:
        with it.stream(500):
            for victim in ("search-sink-0", "search-ingest-0", None):
                time.sleep(1)
                elasticsearch.kill()
                if victim:
                    it.restart(victim)
                elasticsearch.start()
        prove_both(it)


def blocked_for(how):
    def run(job):
        it = both(job)
        it.produce(2_000, "--rate", 0)
        it.settle_search()
        indices = f"{it.name},{CONTROL}"  # a disk that is full is full for all
        try:
            it.elasticsearch.block(indices, how)
            totals_go_on(it, 4_000, seed=2)
            search_waits_for(it, "read-only", "block")
        finally:
            it.elasticsearch.block(indices, how, False)
        prove_both(it)
        must_be("letters", it.elasticsearch.count(f"{it.name}-dead-letters"), 0)
    run.__name__ = f"blocked_by_{how}"
    return run


def a_queue_of_one(job):
    """429 in both forms: of items, as there are more shards than the queue takes, and of whole requests."""
    it = job()
    with healed(it) as elasticsearch, in_front(it) as interposer:
        elasticsearch.restart(*Elasticsearch.QUEUE_OF_ONE)
        elasticsearch.ask("PUT", f"/{it.name}", {"settings": {"number_of_shards": 4, "number_of_replicas": 0}})
        it.start_all().start_search()
        it.produce(6_000, "--rate", 0)
        prove_both(it)
        if not interposer.seen["item 429"]:
            raise Failure(f"nothing was refused: {interposer.seen}")
        print(f"    {dict(interposer.seen)}")
        # Whether whole requests were refused, too, is for the moment to say: here they are.
        interposer.answer(429, "circuit_breaking_exception", "[parent] Data too large", times=5, path="_bulk")
        it.produce(2_000, "--rate", 0, seed=2)
        prove_both(it)
        elasticsearch.restart()


def answers_that_pass(job):
    """502, 503 and 504 are no end, and 413 asks for smaller ones. (Of a document that goes alone it would be the last word.)"""
    it = job()
    with in_front(it) as interposer:
        it.start_all().start_search().wait_live(job="search")
        for seed, status in enumerate((502, 503, 504, 413, 429), 1):
            interposer.answer(status, "unavailable", "try again", times=4, path="_bulk", least=50_000 if status == 413 else 0)
            it.produce(2_000, "--rate", 0, seed=seed)
            it.settle_search()
            must_be(f"answers {status}", interposer.seen[str(status)], 4)
        prove_both(it)
        must_be("letters", it.elasticsearch.count(f"{it.name}-dead-letters"), 0)


def a_mapping_that_does_not_fit(job):
    """Somebody has made the index of February in another shape: what does not fit there has a letter, and nothing else; also behind a
    document of its key, in its epoch and in a later one."""
    it = job()
    it.write_config((f"index: {it.name}", f"index: {it.name}-%Y.%m"))
    it.start_all().start_search().wait_live(job="search")
    it.elasticsearch.ask("PUT", f"/{it.name}-2024.02", {"mappings": mapping(**NUMBERS_ONLY)})
    january = [record(f"jan-{i}", "acme") for i in range(50)]
    good = [record(f"feb-{i}", str(i), "2024-02-01T00:00:00Z") for i in range(50)]
    bad = [record(f"bad-{i}", f"brand {i}", "2024-02-29T00:00:00Z") for i in range(50)]
    bad += [record(f"feb-{i}", f"brand {i}", "2024-02-01T00:00:00Z") for i in range(20)]
    mixed = [each for three in zip(january, bad, good) for each in three] + bad[len(good):]
    place = {}
    for each, offset in zip(mixed, send(it, mixed)):
        if each in bad:
            key = json.loads(each)["transaction_id"]
            place[key] = (sum(key.encode()) % 4, offset)
    it.settle_search()
    letters = it.elasticsearch.documents(f"{it.name}-dead-letters")
    must_be("letters", sorted(letters), sorted(f"{it.name}-{p}-{o}" for p, o in place.values()))
    for name, letter in letters.items():
        key = letter["key"]
        must_be("its place", (name, letter["topic"], letter["partition"], letter["offset"]),
                (f"{it.name}-{place[key][0]}-{place[key][1]}", it.name, *place[key]))
        must_be("its index", letter["index"], f"{it.name}-2024.02")
        must_be("its document", json.loads(letter["document"])["product_brand"], f"brand {key[4:]}")
        if "mapper_parsing" not in letter["reason"] + letter["detail"] or "product_brand" not in letter["detail"]:
            raise Failure(f"the letter does not say why: {letter}")
    it.restart("search-sink-0")
    send(it, [record("bad-again", "brand", "2024-02-29T00:00:00Z"), record("feb-30", "brand", "2024-02-01T00:00:00Z")])
    it.settle_search()
    must_be("letters", it.elasticsearch.count(f"{it.name}-dead-letters"), len(bad) + 2)
    dead = [key for key in place if key.startswith("bad")] + ["bad-again"]
    it.settle()
    it.prove()
    it.prove_search(dead=dead, index=f"{it.name}-2*")


CASES = (the_documents_are_the_rows, the_queries_that_users_know, a_document, an_index_a_month, hosts_and_credentials,
         elasticsearch_is_killed, elasticsearch_does_not_answer, elasticsearch_comes_later, killed_again_and_again,
         *map(blocked_for, ("read_only_allow_delete", "write", "read_only")), a_queue_of_one, answers_that_pass, a_mapping_that_does_not_fit)


def main(cases):
    missing = Elasticsearch.missing()
    if missing:
        print(f"SKIPPED, nothing was tested: {missing}")
        return 0
    return run_cases(cases, SearchServices)


if __name__ == "__main__":
    sys.exit(main(CASES))
