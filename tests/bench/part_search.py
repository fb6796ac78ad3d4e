"""The search job: a backlog into Elasticsearch beside a bare client that posts prebuilt bodies of the same documents to the same
server; how soon a document is accepted; and what the totals notice when Elasticsearch is switched off.
"""
import datetime, http.client, json, re, statistics, threading, time, urllib.parse

from bed import Failure, Peak, cpu_of, latency_of, show, wait_for
from jobs import SearchServices

SERVICES = SearchServices
BODY_BYTES, CONNECTIONS = 1 << 20, 2  # as the job's own: max_batch_bytes and max_requests
SEARCH = ("coordinator", "search-ingest-0", "search-sink-0")
PAIRS = 7
RATE = 1000  # of the latency
OFF_RATE = 5000  # of the totals, while Elasticsearch is switched off
NEW = 0.005  # a control document is looked at so often
SELDOM = 1.0  # and so often where looking must not cost what is measured: the bare client is not looked at


def pid_of(elasticsearch):
    return int(elasticsearch.script("pid").split()[-1])


def control(job):
    """The only writer's; nothing while its index is being made."""
    try:
        return job.elasticsearch.get("sluice-control", f"{job.name}/search.0") or {}
    except Failure:
        return {}


def consumed(job):
    return control(job).get("counters", {}).get("consumed", 0)


def moved(job):
    """What is consumed, and when the control document said so."""
    now = control(job)
    return now["counters"]["consumed"], datetime.datetime.fromisoformat(now["committed_at"]).timestamp()


def clean(elasticsearch, *indices):
    for index in indices:
        elasticsearch.ask("DELETE", f"/{index}?ignore_unavailable=true")


class Floor:
    """Prebuilt bodies of the documents of an index, posted by as many connections as the job has."""

    def __init__(self, elasticsearch, index):
        self.elasticsearch, self.index, self.bodies, self.documents = elasticsearch, index, [], 0
        lines, size = [], 0
        for name, source in elasticsearch.documents(index).items():
            pair = json.dumps({"create": {"_id": name}}) + "\n" + json.dumps(source, default=float) + "\n"
            lines.append(pair)
            size += len(pair)
            self.documents += 1
            if size >= BODY_BYTES:
                self.bodies.append("".join(lines).encode())
                lines, size = [], 0
        self.bodies += ["".join(lines).encode()] if lines else []

    def post(self, url, bodies, refused):
        connection = http.client.HTTPConnection(url.hostname, url.port)
        while bodies:
            try:
                body = bodies.pop()
            except IndexError:
                break
            connection.request("POST", f"/{self.index}/_bulk?filter_path=errors", body, {"content-type": "application/x-ndjson"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200 or b'"errors":true' in text.replace(b" ", b""):
                refused.append((answer.status, text[:200]))
        connection.close()

    def once(self):
        """Into an empty index of the same mapping."""
        elasticsearch = self.elasticsearch
        settings = elasticsearch.ask("GET", f"/{self.index}")[self.index]
        shape = {"mappings": settings["mappings"],
                 "settings": {k: v for k, v in settings["settings"]["index"].items() if k in ("number_of_shards", "number_of_replicas")}}
        clean(elasticsearch, self.index)
        elasticsearch.ask("PUT", f"/{self.index}", json.loads(json.dumps(shape, default=float)))
        bodies, refused, url = list(reversed(self.bodies)), [], urllib.parse.urlsplit(elasticsearch.url)
        before, began = cpu_of(pid_of(elasticsearch)), time.monotonic()
        threads = [threading.Thread(target=self.post, args=(url, bodies, refused)) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        if refused or elasticsearch.count(self.index) != self.documents:
            raise AssertionError(f"the bare client was refused: {refused[:3]}")
        return {"rate": self.documents / took, "server": (cpu_of(pid_of(elasticsearch)) - before) / self.documents * 1e6}


def drain(bed, topic, records, after=None):
    with bed.job(topic) as job:
        clean(job.elasticsearch, "sluice-control")
        before = cpu_of(pid_of(job.elasticsearch))
        peak = Peak(job, SELDOM)
        for name in SEARCH:
            job.start(name)
        wait_for("the start", lambda: consumed(job) > 0, 60)
        # What was there when the clock began does not count.
        already, began = moved(job)
        with peak:
            wait_for("the drain", lambda: consumed(job) >= records, 3000, SELDOM)
        took = moved(job)[1] - began
        cpu = {name: cpu_of(job.running[name].pid) / records * 1e6 for name in SEARCH}
        result = {"records": records, "rate": (records - already) / took, "cpu": cpu, "pss": peak.most,
                  "server": (cpu_of(pid_of(job.elasticsearch)) - before) / records * 1e6}
        if after is not None:
            after(job)
        else:
            clean(job.elasticsearch, job.name)
    return result


def latency(bed, seconds):
    """From the moment a record is made to the control document that says that it is accepted, as somebody sees it who looks
    every few milliseconds."""
    bed.services.topic("search-live", 1)
    with bed.job("search-live") as job:
        for name in SEARCH:
            job.start(name)
        job.wait_live(60, "search")
        producer = bed.produce("search-live", "--rate", RATE, "--seconds", seconds + 5, "--seed", 7)
        seen, end = [], time.time() + seconds + 5
        while time.time() < end:
            seen.append((control(job).get("cut", {}).get("0", 0), time.time()))
            time.sleep(NEW)
        producer.wait()
        made = created(bed, "search-live")
        clean(job.elasticsearch, job.name, "sluice-control")
    times, place = [], 0
    for offset, moment in made:
        while place < len(seen) and seen[place][0] <= offset:
            place += 1
        if place == len(seen):
            break
        times.append((seen[place][1] - moment) * 1000)
    times = sorted(times[RATE * 4:])  # the first seconds warm up
    return {"rate": RATE, "count": len(times), "p50": times[len(times) // 2], "p99": times[int(len(times) * .99)], "most": times[-1]}


def created(bed, topic):
    """Offset and Kafka's timestamp of every record of the only partition."""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": bed.services.brokers, "group.id": "made", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    end, found = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)[1], []
    while len(found) < end:
        found += [(m.offset(), m.timestamp()[1] / 1000) for m in consumer.consume(10_000, 1.0) if not m.error()]
    consumer.close()
    return found


def switched_off(bed, seconds):
    """The totals' latency and throughput before Elasticsearch is killed, and from just before the kill on: nothing is left out, and what is
    late counts, for the latencies are asked for when all is there."""
    bed.services.topic("search-off", 4)
    with bed.job("search-off") as job:
        job.start_all()
        job.start_search()
        job.wait_live(60)
        job.wait_live(60, "search")
        producer = bed.produce("search-off", "--rate", OFF_RATE, "--seconds", 600, "--seed", 8)
        spans = {}
        try:
            time.sleep(5 if bed.quick else 20)
            for name in ("with", "without"):
                begin, before = time.time(), job.consumed()
                if name == "without":
                    job.elasticsearch.kill()
                time.sleep(begin + seconds - time.time())
                end = time.time()
                spans[name] = begin, end, (job.consumed() - before) / (end - begin)
        finally:
            producer.end()
        job.settle(60)
        result = {"rate": OFF_RATE, "seconds": seconds}
        for name, (begin, end, rate) in spans.items():
            result[name] = dict(latency_of(job.url, (begin, end)), rate=rate)
            show(f"totals {name} Elasticsearch", f"{rate:,.0f} records/s, p50 {result[name]['p50']:.1f}, p99 {result[name]['p99']:.1f}, "
                 f"p99.9 {result[name]['p999']:.1f} ms")
    return result


def measure(bed):
    records = min(bed.arguments.records, 50_000 if bed.quick else 500_000)
    topic, held = bed.backlog("search-backlog", 4, records, 11), {}
    elasticsearch = bed.services.elasticsearch

    def keep(job):
        held["floor"] = Floor(elasticsearch, job.name)
    drain(bed, topic, records, keep)  # warms up, and gives the documents for the floor
    held["floor"].once()  # warms up, too
    floors, drains = [held["floor"].once()], []
    for _ in range(1 if bed.quick else PAIRS):
        drains.append(drain(bed, topic, records))
        show("drain into Elasticsearch", f"{drains[-1]['rate']:,.0f} records/s, ours {sum(drains[-1]['cpu'].values()):.2f}, server "
             f"{drains[-1]['server']:.1f} CPU-s per million, PSS " + ", ".join(f"{k} {v:.0f}" for k, v in drains[-1]["pss"].items()))
        floors.append(held["floor"].once())
        show("bare client", f"{floors[-1]['rate']:,.0f} documents/s, server {floors[-1]['server']:.1f} CPU-s per million")
    clean(elasticsearch, held["floor"].index)
    middle = sorted(drains, key=lambda d: d["rate"])[len(drains) // 2]
    # A drain beside the floors before and after it: what the machine does in between is felt by both.
    ratios = [drain["rate"] / statistics.mean(floor["rate"] for floor in floors[n:n + 2]) for n, drain in enumerate(drains)]
    result = {"records": records, "drain": middle, "floors": floors,
              "ratios": ratios, "ratio": statistics.median(ratios)}
    result["latency"] = latency(bed, 10 if bed.quick else 60)
    show(f"accepted at {RATE}/s", f"p50 {result['latency']['p50']:.1f}, p99 {result['latency']['p99']:.1f} ms")
    result["off"] = switched_off(bed, 10 if bed.quick else 60)
    return result
