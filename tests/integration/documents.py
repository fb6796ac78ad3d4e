"""What the search job has to have written, read from the topic by a reading of its own, and from the rows.

Within a partition the first valid record of a key is its document. Between partitions it is the first of one of them: which one,
nobody decides, for this job has no dedup.
"""
from datetime import datetime
from decimal import Decimal

import psycopg2

from checker import COLUMNS, log_of
from records import DECIMAL, FIELDS, INTEGER, TEXT, TIME, Refused, read
from services import Failure

CONTROL = "sluice-control"
SHOWN_MAX = 5


def document_of(values):
    """Of a row's values: fields without a value are left out, decimals keep their digits."""
    return {name: text_of_time(value) if isinstance(value, datetime) else value
            for name, value in zip(COLUMNS, values) if value is not None}


def text_of_time(value):
    return value.isoformat(timespec="microseconds") + "+00:00"


def exactly(document):
    """Decimal says that 1.5 equals 1.50, but only one of them has the digits that the type declares."""
    return {name: f"{value} as a number" if isinstance(value, (int, float, Decimal)) else value for name, value in document.items()}


def mapping(**instead):
    """As the search job makes it; instead: fields that are mapped otherwise."""
    kinds = {TEXT: {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}, INTEGER: {"type": "long"},
             DECIMAL: {"type": "scaled_float", "scaling_factor": 100}, TIME: {"type": "date", "format": "strict_date_optional_time"}}
    return {"properties": {**{name: kinds[kind] for name, _, kind, _, _ in FIELDS}, **instead}}


# Of a text that has to be a number: whatever the search job lets stand in an index, and Elasticsearch refuses documents for.
NUMBERS_ONLY = {"product_brand": {"type": "text", "copy_to": "product_brand_number",
                                  "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
                "product_brand_number": {"type": "long"}}


def control_documents(elasticsearch, job):
    """The frontiers of the job's writers, those of writers that are no more included."""
    hits = elasticsearch.search(CONTROL, {"size": 1000})["hits"]["hits"]
    found = {hit["_id"]: hit["_source"] for hit in hits if hit["_source"].get("job") == f"{job}/search"}
    for name, source in found.items():
        if name != f"{job}/search.{source['writer']}":
            raise Failure(f"the control document {name} says that it is of writer {source['writer']}")
    return found


def newest_controls(elasticsearch, job):
    """Of the writers that there are now, as they stand: no refresh is needed, so one may ask often."""
    found, name, writers = {}, f"{job}/search", 1
    while len(found) < writers:
        source = elasticsearch.get(CONTROL, f"{name}.{len(found)}")
        if source is None:
            return {}
        found[f"{name}.{len(found)}"], writers = source, source["writers"]
    return found


def cut_of(controls):
    """The least of the writers' cuts, partition by partition; None before all have one."""
    cuts = [control.get("cut") for control in controls.values()]
    if not cuts or None in cuts:
        return None
    return {int(p): min(cut.get(p, 0) for cut in cuts) for p in {p for cut in cuts for p in cut}}


def wanted_of(brokers, topic, cut):
    """key to the documents that it may have; how many valid records there are."""
    firsts, records = {}, 0
    for partition, _, timestamp, _, payload in log_of(brokers, topic, {}, cut):
        try:
            values, _ = read(payload, timestamp)
        except Refused:
            continue
        records += 1
        firsts.setdefault(values[COLUMNS.index("transaction_id")], {}).setdefault(partition, document_of(values))
    return {key: list(each.values()) for key, each in firsts.items()}, records


def compare(what, found, wanted):
    """wanted: key to the documents, any of which it may have."""
    wrong = [f"{key}: missing" for key in wanted.keys() - found.keys()] + [f"{key}: nobody sent it" for key in found.keys() - wanted.keys()]
    wrong += [f"{key}: {found[key]} instead of {wanted[key][0]}" for key in found.keys() & wanted.keys()
              if exactly(found[key]) not in map(exactly, wanted[key])]
    if wrong:
        raise Failure(f"{what}: {len(wrong)} of {len(wanted)} documents are wrong: " + "; ".join(map(str, wrong[:SHOWN_MAX])))


def prove_documents(elasticsearch, brokers, topic, index, cut, dead=()):
    """Every document up to the cut, and no other, is there, or has a letter; returns the number of valid records."""
    found = elasticsearch.documents(index)
    wanted, records = wanted_of(brokers, topic, cut)
    both = set(dead) & found.keys()
    if both:
        raise Failure(f"documents and dead letters both: {sorted(both)[:SHOWN_MAX]}")
    compare("from the topic", found, {key: each for key, each in wanted.items() if key not in dead})
    return records


def prove_like_rows(elasticsearch, index, url, dead=()):
    """The documents are the rows of PostgreSQL, where both jobs stand at the same cut and repeats stay in their partition."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM transactions")
        rows = {row[COLUMNS.index("transaction_id")]: [document_of(row)] for row in cursor.fetchall()}
    connection.close()
    compare("from the rows", elasticsearch.documents(index), {key: each for key, each in rows.items() if key not in dead})
