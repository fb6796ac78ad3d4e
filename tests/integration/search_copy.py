"""The search job by hand: what it leaves in Elasticsearch for records of the shipped pipeline, for tests of what reads it."""
import json, urllib.parse, urllib.request
from datetime import timezone

from records import FIELDS, Refused, read
from services import Failure

NAMES = [field[0] for field in FIELDS]
KEY, DATE = NAMES.index("transaction_id"), NAMES.index("transaction_date")
CONTROL, KEY_GROUPS = "sluice-control", 128


def text_of(value):
    """As JSON: money with its two digits, a time with its offset."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if hasattr(value, "isoformat"):
        return json.dumps(value.replace(tzinfo=timezone.utc).isoformat(timespec="microseconds"))
    return str(value)


def document_of(values):
    return "{" + ", ".join(f"{json.dumps(name)}: {text_of(value)}" for name, value in zip(NAMES, values) if value is not None) + "}"


class SearchCopy:
    """index: of the pipeline file."""

    def __init__(self, elastic, job, topic, fingerprint, index="transactions"):
        self.elastic, self.job, self.topic, self.index, self.fingerprint = elastic, job + "/search", topic, index, fingerprint
        self.letters = index.split("%")[0].rstrip("-._") + "-dead-letters"
        self.keys, self.consumed, self.dead = set(), 0, 0
        if elastic.ask("GET", f"/{CONTROL}", missing={}) == {}:  # as Sluice makes it: what is in it is not mapped
            elastic.ask("PUT", f"/{CONTROL}", {"mappings": {"dynamic": False}})

    def index_of(self, values):
        """Only what these tests need of a date."""
        return self.index.replace("%Y", f"{values[DATE].year:04}").replace("%m", f"{values[DATE].month:02}")

    def bulk(self, lines):
        """Of (action and document) pairs; every one has to be created."""
        if not lines:
            return
        body = "".join(f"{json.dumps({'create': action})}\n{document}\n" for action, document in lines).encode()
        request = urllib.request.Request(self.elastic.url + "/_bulk", body, {"content-type": "application/x-ndjson"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        if found["errors"]:
            raise Failure(f"bulk: {[item for item in found['items'] if item['create']['status'] != 201][:3]}")

    def take(self, records, refused=(), count=True):
        """(partition, offset, payload) each: what the job does with them; those whose place is in refused become dead letters."""
        lines = []
        for partition, offset, payload in records:
            try:
                values = read(payload, -1)[0]
            except Refused:
                continue
            self.consumed += count
            if (partition, offset) in refused:
                self.dead += count
                lines.append(self.letter(partition, offset, values))
            elif (values[KEY], self.index_of(values)) not in self.keys:
                self.keys.add((values[KEY], self.index_of(values)))
                lines.append(({"_index": self.index_of(values), "_id": values[KEY]}, document_of(values)))
        for at in range(0, len(lines), 2000):
            self.bulk(lines[at:at + 2000])

    def letter(self, partition, offset, values, /, **changes):
        letter = {"reason": "mapper_parsing_exception", "detail": "refused by hand", "topic": self.topic, "partition": partition,
                  "offset": offset, "key": values[KEY], "document": document_of(values), "index": self.index_of(values),
                  "at": "2026-01-01T00:00:00.000Z", **changes}
        return {"_index": self.letters, "_id": f"{self.topic}-{partition}-{offset}"}, json.dumps(letter)

    def control(self, *cuts, surplus=(), counters=None, **changes):
        """The writers' control documents; the first one has all the counts unless counters says otherwise."""
        share = KEY_GROUPS // len(cuts)
        for writer, cut in enumerate((*cuts, *surplus)):
            mine = {"consumed": self.consumed, "accepted": self.consumed - self.dead, "dead": self.dead} if writer == 0 else {
                "consumed": 0, "accepted": 0, "dead": 0}
            first = writer * share
            groups = KEY_GROUPS - first if writer == len(cuts) - 1 else share
            document = {"job": self.job, "writer": writer, "writers": len(cuts), "first_group": first, "groups": groups,
                        "key_groups": KEY_GROUPS, "index": self.index, "fence": 7, "attempt": 7, "epoch": 42,
                        "counters": counters[writer] if counters else mine, "fingerprint": self.fingerprint, "since": {},
                        "committed_at": "2026-01-01T00:00:00.000Z", **changes}
            self.put(CONTROL, f"{self.job}.{writer}", {k: v for k, v in {**document, "cut": cut}.items() if v is not None})

    def put(self, index, name, document):
        self.elastic.ask("PUT", f"/{index}/_doc/{urllib.parse.quote(name, safe='')}", json.loads(json.dumps(document, default=float)))

    def change(self, index, name, /, **members):
        """Some members of a document; None: not there any more."""
        document = self.elastic.get(index, name)
        document.update(members)
        self.put(index, name, {key: value for key, value in document.items() if value is not None})

    def restore(self, index, documents):
        """These and no others."""
        self.elastic.refresh(index)  # what was changed a moment ago is to be found, and deleted, as it is now
        self.elastic.ask("POST", f"/{index}/_delete_by_query?refresh=true&conflicts=proceed", {"query": {"match_all": {}}})
        self.bulk([({"_index": index, "_id": name}, json.dumps(document, default=float)) for name, document in documents.items()])

    def delete(self, index, name):
        self.elastic.ask("DELETE", f"/{index}/_doc/{urllib.parse.quote(name, safe='')}")
