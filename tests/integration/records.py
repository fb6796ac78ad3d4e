#!/usr/bin/python3
"""What a payload means under the shipped pipeline: a second reading of tests/vectors/README.md.

Shares no code with the pipeline. Run as a program it holds itself against tests/vectors/records.jsonl.
"""
import base64, json, re, sys
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path

TEXT, INTEGER, DECIMAL, TIME = range(4)
# name, alias, kind, characters, required
FIELDS = [
    ("transaction_id", "transactionId", TEXT, 36, True), ("product_id", "productId", TEXT, 100, False),
    ("product_name", "productName", TEXT, 255, False), ("product_category", "productCategory", TEXT, 100, True),
    ("product_price", "productPrice", DECIMAL, 0, False), ("product_quantity", "productQuantity", INTEGER, 0, False),
    ("product_brand", "productBrand", TEXT, 100, False), ("total_amount", "totalAmount", DECIMAL, 0, True),
    ("currency", "currency", TEXT, 3, False), ("customer_id", "customerId", TEXT, 255, False),
    ("transaction_date", "transactionDate", TIME, 0, True), ("payment_method", "paymentMethod", TEXT, 50, False),
]
NAMES = {name: i for i, field in enumerate(FIELDS) for name in field[:2]}
RECORD_BYTES_MAX, MAX_FUTURE, DEPTH_MAX = 256 * 1024, timedelta(days=1), 1024
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")
WHEN = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
                  r"(?:([Zz])|([+-])([0-9]{2})(?::?([0-9]{2}))?)?\Z")
EPOCH = datetime(1970, 1, 1)
EXACT = Context(prec=60, Emax=999999, Emin=-999999)


class Refused(Exception):
    pass


class Number(str):
    """A JSON number as it stands in the text."""


def json_of(text):
    def constant(_):
        raise Refused("invalid_json")
    try:
        return json.loads(text, object_pairs_hook=list_of_pairs, parse_int=Number, parse_float=Number, parse_constant=constant)
    except (json.JSONDecodeError, RecursionError):
        raise Refused("invalid_json")


class Pairs(list):
    pass


def list_of_pairs(pairs):
    return Pairs(pairs)


def scan(text):
    """Control characters in strings, and the depth: what json.loads does not tell apart."""
    depth = deepest = at = 0
    inside = False
    while at < len(text):
        c = text[at]
        if inside:
            if c == "\\":
                at += 1  # the next character is taken along, whatever it is
            elif c == '"':
                inside = False
            if c < " ":
                raise Refused("nul_in_text" if c == "\0" else "invalid_json")
        elif c == '"':
            inside = True
        elif c in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif c in "]}":
            depth -= 1
        at += 1
    if deepest > DEPTH_MAX:
        raise Refused("invalid_json")


def surrogates(value):
    if isinstance(value, str):
        return any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, Pairs):
        return any(surrogates(k) or surrogates(v) for k, v in value)
    return isinstance(value, list) and any(surrogates(v) for v in value)


def parts_of(text):
    """Sign, digits without leading zeros, exponent of the last digit; exponents of any length without any work."""
    match = re.match(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?\Z", text)
    power = (match[5] or "0").lstrip("0")
    exponent = int(power or "0") if len(power) < 10 else 10 ** 9
    exponent = -exponent if match[4] == "-" else exponent
    return -1 if match[1] else 1, (match[2] + (match[3] or "")).lstrip("0"), exponent - len(match[3] or "")


def decimal_of(text):
    """Rounded to cents, half away from zero."""
    sign, digits, exponent = parts_of(text)
    if not digits or len(digits) + exponent < -3:
        return Decimal("0.00")
    if len(digits) + exponent > 8:
        raise Refused("out_of_range")
    value = Decimal(digits[:40]).scaleb(exponent + max(0, len(digits) - 40), EXACT)
    value = (sign * value).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP, context=EXACT)
    if abs(value) >= 10 ** 8:
        raise Refused("out_of_range")
    return value if value else Decimal("0.00")


def integer_of(text):
    sign, digits, exponent = parts_of(text)
    if not digits:
        return 0
    whole = digits.rstrip("0")
    exponent += len(digits) - len(whole)
    if exponent < 0:
        raise Refused("invalid_number")
    if len(whole) + exponent > 10:
        raise Refused("out_of_range")
    value = sign * int(whole) * 10 ** exponent
    if not -2 ** 31 <= value < 2 ** 31:
        raise Refused("out_of_range")
    return value


def time_of(value):
    if isinstance(value, Number):
        if not re.match(r"-?[0-9]+\Z", value):
            raise Refused("invalid_time")
        if len(value) > 25:
            raise Refused("time_out_of_range")
        n = int(value)
        us = n * 10 ** 6 if abs(n) < 10 ** 11 else n * 1000 if abs(n) < 10 ** 14 else n
        if not 0 <= us < 253402300800 * 10 ** 6:
            raise Refused("time_out_of_range")
        return EPOCH + timedelta(microseconds=us)
    match = WHEN.match(value)
    if not match or not value.isascii():
        raise Refused("invalid_time")
    year, month, day, hour, minute, second = (int(match[i] or 0) for i in range(1, 7))
    offset = timedelta(hours=int(match[10] or 0), minutes=int(match[11] or 0))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (1 <= month <= 12 and 1 <= day <= (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
            and hour < 24 and minute < 60 and second < 60 and int(match[10] or 0) < 24 and int(match[11] or 0) < 60):
        raise Refused("invalid_time")
    try:
        at = datetime(year, month, day, hour, minute, second, int(((match[7] or "") + "000000")[:6]))
        at = at + offset if match[9] == "-" else at - offset
    except (ValueError, OverflowError):
        raise Refused("time_out_of_range")
    if at < EPOCH:
        raise Refused("time_out_of_range")
    return at


def field_of(field, value, timestamp_ms):
    name, _, kind, length, required = field
    if value is None:
        if required:
            raise Refused("missing_field")
        return None
    if isinstance(value, (bool, list)):
        raise Refused("wrong_type")
    number = isinstance(value, Number)
    if not number and "\0" in value:
        raise Refused("nul_in_text")
    if kind == TEXT:
        if number:
            raise Refused("wrong_type")
        if name == "transaction_id" and value == "":
            raise Refused("missing_field")
        if len(value) > length:
            raise Refused("too_long")
        return value
    if kind == TIME:
        at = time_of(value)
        if timestamp_ms >= 0 and (at - EPOCH - MAX_FUTURE) // timedelta(microseconds=1) > timestamp_ms * 1000:
            raise Refused("time_out_of_range")
        return at
    if not NUMBER.match(value):
        raise Refused("invalid_number")
    return decimal_of(value) if kind == DECIMAL else integer_of(value)


def read(payload, timestamp_ms):
    """(values, unknown fields) of a record, or Refused with the reason."""
    if payload is None:
        raise Refused("tombstone")
    if len(payload) > RECORD_BYTES_MAX:
        raise Refused("too_large")
    if not payload.strip(b" \t\r\n"):
        raise Refused("empty")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("invalid_utf8")
    scan(text)
    document = json_of(text)
    if surrogates(document):
        raise Refused("invalid_json")
    if not isinstance(document, Pairs):
        raise Refused("not_an_object")
    found, unknown = {}, 0
    for name, value in document:
        if name in NAMES:
            found.setdefault(NAMES[name], value)
        else:
            unknown += 1
    return [field_of(field, found.get(i), timestamp_ms) for i, field in enumerate(FIELDS)], unknown


def shown(value):
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return None if value is None else str(value)


def main():
    sys.setrecursionlimit(20_000)
    passed = failed = 0
    path = Path(__file__).resolve().parents[1] / "vectors/records.jsonl"
    for line in path.read_text().splitlines():
        vector = json.loads(line)
        payload = base64.b64decode(vector["payload_base64"]) if "payload_base64" in vector else vector["payload"]
        payload = payload.encode() if isinstance(payload, str) else payload
        if payload is not None:
            payload += b" " * vector.get("payload_pad", 0)
        try:
            values, unknown = read(payload, vector["timestamp_ms"])
            got = {"row": dict(zip((f[0] for f in FIELDS), map(shown, values))), "unknown_fields": unknown}
        except Refused as refused:
            got = {"reason": str(refused)}
        expected = {k: vector[k] for k in ("row", "unknown_fields", "reason") if k in vector}
        if got == expected:
            passed += 1
        else:
            failed += 1
            print(f"{vector['name']}: {str(got)[:300]}\n  instead of {str(expected)[:300]}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
