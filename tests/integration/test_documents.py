#!/usr/bin/python3
"""What is held against the search copy notices what is wrong with it: each kind of mistake is made once, without any service."""
import sys
from datetime import datetime
from decimal import Decimal

import documents
from documents import control_documents, cut_of, document_of, prove_documents
from services import Failure

ROW = ("a", "p", None, "books", None, 3, None, Decimal("1.50"), "EUR", None, datetime(2024, 1, 15, 10, 0, 0, 5), None)


def payload(key, amount="1.50"):
    return (f'{{"transaction_id": "{key}", "product_id": "p", "product_category": "books", "product_quantity": 3, "currency": "EUR", '
            f'"total_amount": {amount}, "transaction_date": "2024-01-15T10:00:00.000005Z"}}').encode()


# partition, offset, timestamp, key, payload. a is there again with other content, b in another partition, too.
LOG = [(0, 0, 1800000000000, None, payload("a")), (0, 1, 1800000000000, None, payload("a", "7.00")), (0, 2, 1800000000000, None, b"poison"),
       (0, 3, 1800000000000, None, payload("b")), (1, 0, 1800000000000, None, payload("b", "2.00"))]


class Fake:
    """An Elasticsearch with these documents."""

    def __init__(self, found):
        self.found = found

    def documents(self, _):
        return self.found

    def search(self, _index, _body):
        return {"hits": {"hits": [{"_id": name, "_source": source} for name, source in self.found.items()]}}


def right():
    return {"a": document_of(ROW), "b": document_of(("b", *ROW[1:]))}


def changed(key, **fields):
    found = right()
    found[key].update(fields)
    return found


def complains(found, dead=()):
    try:
        return prove_documents(Fake(found), "", "", "", {0: 4, 1: 1}, dead) != 4
    except Failure:
        return True


def controls(**changes):
    found = {f"j/search.{i}": {"job": "j/search", "writer": i, "cut": {"0": 4 + i, "1": 7 - i}, **changes} for i in range(2)}
    return control_documents(Fake(found), "j")


def refused(call):
    try:
        call()
    except Failure:
        return True
    return False


def main():
    documents.log_of = lambda *_: iter(LOG)
    lacking = right()
    del lacking["a"]
    without = changed("a")
    del without["a"]["currency"]
    checks = {
        "the right documents": not complains(right()),
        "the record of the other partition": not complains(changed("b", total_amount=Decimal("2.00"))),
        "a letter instead of a document": not complains(lacking, {"a"}),
        "a document that is missing": complains(lacking),
        "a document that nobody sent": complains({**right(), "c": right()["a"]}),
        "a later record of the partition": complains(changed("a", total_amount=Decimal("7.00"))),
        "an amount without its digits": complains(changed("a", total_amount=Decimal("1.5"))),
        "an amount as a text": complains(changed("a", total_amount="1.50")),
        "another cent": complains(changed("a", total_amount=Decimal("1.51"))),
        "a time without its microseconds": complains(changed("a", transaction_date="2024-01-15T10:00:00+00:00")),
        "a field that is null": complains(changed("a", payment_method=None)),
        "a field that is missing": complains(without),
        "a letter and a document": complains(right(), {"a"}),
        "the least of two cuts": cut_of(controls()) == {0: 4, 1: 6},
        "no cut before all have one": cut_of(controls(cut=None)) is None and cut_of({}) is None,
        "a control document of another writer": refused(lambda: controls(writer=7)),
    }
    for name, passed in checks.items():
        if not passed:
            print(f"  {name}: not as it has to be")
    failed = sum(not passed for passed in checks.values())
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
