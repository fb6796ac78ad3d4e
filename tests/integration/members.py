"""A pipeline of every kind of member, as data: what a record of it is, the values of a field that must never be taken for each other, and
what a log of such records comes to. Nothing is shared with the pipeline. Add a field or a rollup here, and it is in every test.
"""
import json, zlib
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from jobs import must_be, sql
from services import Failure

KEY, TABLE, TIME = "id", "sales", "at"
# name: type, required
FIELDS = {
    "id": ("string(36)", True), "category": ("string(20)", True), "shop": ("integer", True), "quantity": ("integer", False),
    "amount": ("decimal(12,2)", True), "rate": ("decimal(18,7)", False), "at": ("timestamp", True), "paid": ("timestamp", False),
    "note": ("string(40)", False),
}
# table: columns of the group, measures (column, field, type)
ROLLUPS = {
    "per_shop": ([("day", "day", "at"), ("shop", "field", "shop"), ("category", "field", "category")],
                 [("amounts", "amount", "decimal(20,2)"), ("quantities", "quantity", "decimal(12,0)")]),
    "per_month": ([("year", "year", "at"), ("month", "month", "at")],
                  [("quantities", "quantity", "decimal(12,0)"), ("amounts", "amount", "decimal(20,2)"), ("rates", "rate", "decimal(38,7)")]),
    "per_category": ([("category", "field", "category")], [("amounts", "amount", "decimal(20,2)")]),
}
ONE_MEASURE = {"per_day": ([("day", "day", "at")], [("amounts", "amount", "decimal(20,2)")])}
BASE = datetime(2024, 2, 28, 23, 59, 59, 1, tzinfo=timezone.utc)


def kind_of(field):
    return FIELDS[field][0].split("(")[0]


def scale_of(field):
    return int(FIELDS[field][0].rstrip(")").split(",")[1]) if kind_of(field) == "decimal" else 0


def values_of(field):
    """The first is what it has while another member is changed."""
    kind, unit = kind_of(field), Decimal(1).scaleb(-scale_of(field))
    if kind == "string":
        values = ["a", "", "A", "a ", " a", "b", "\u00e4", "a\u0308", "null"]
    elif kind == "timestamp":
        values = [BASE + timedelta(**more) for more in (
            {}, {"microseconds": 1}, {"microseconds": -1}, {"seconds": 1}, {"days": 1}, {"days": 29}, {"days": 366})]
    else:
        most = Decimal(10) ** int(FIELDS[field][0].split("(")[1].rstrip(")").split(",")[0]) - 1 if kind == "decimal" else 2 ** 31 - 1
        values = [unit * n for n in (1, 0, -1, 2, -2, most, -most)]
    return values + ([] if FIELDS[field][1] else [None])


def record_of(key, **changed):
    return {**{field: values_of(field)[0] for field in FIELDS}, KEY: key, **changed}


def shown(value):
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def payload_of(record):
    """Numbers as text, so that nobody's float comes between."""
    return json.dumps({field: str(v) if isinstance(v, Decimal) else shown(v) for field, v in record.items()}).encode()


def rollup_text(rollups):
    lines = []
    for table, (by, measures) in rollups.items():
        lines += [f"  - table: {table}", "    by: [" + ", ".join(f"{{column: {c}, {part}: {f}}}" for c, part, f in by) + "]",
                  "    measures: [" + ", ".join(f'{{column: {c}, sum: {f}, type: "{t}"}}' for c, f, t in measures) + "]"]
    return "\n".join(lines)


def write_pipeline(it, rollups=ROLLUPS, time_zone="UTC", start="earliest", settings=()):
    """The pipeline file of a job. settings: further lines."""
    fields = "\n".join(f'    - {{name: {name}, type: "{kind}", required: {str(required).lower()}}}'
                       for name, (kind, required) in FIELDS.items())
    (it.folder / "pipeline.yaml").write_text("\n".join((
        f"job: {it.name}", "source:", f"  topic: {it.name}", f"  start: {start}",
        '  kafka: {bootstrap.servers: "${KAFKA_BOOTSTRAP_SERVERS}"}',
        "record:", f"  table: {TABLE}", f"  key: {KEY}", f"  event_time: {TIME}", f"  time_zone: {time_zone}", "  max_future: 36500d",
        "  fields:", fields, "rollups:", rollup_text(rollups),
        'sinks: {postgres: {url: "${DATABASE_URL}"}}', 'state: {dir: "${STATE_DIR}"}', 'coordinator: {listen: "${SLUICE_COORDINATOR}"}',
        *settings)) + "\n")


# --- what has to be ---------------------------------------------------------------------------------------------------------------

def partition_of(key, partitions):
    return zlib.crc32(key.encode()) % partitions


def wall(instant, time_zone):
    return instant.astimezone(ZoneInfo(time_zone)).replace(tzinfo=None)


def fold(log, time_zone="UTC"):
    """Rows by key and counters of (partition, payload, record or None) in the order of each partition; a key is in one alone."""
    rows, n = {}, dict.fromkeys(("consumed", "accepted", "duplicates", "conflicts", "dead"), 0)
    for _, _, record in log:
        n["consumed"] += 1
        if record is None:
            n["dead"] += 1
            continue
        row = tuple(wall(v, time_zone) if isinstance(v, datetime) else v for v in record.values())
        first = rows.setdefault(record[KEY], row)
        n["accepted" if first is row else "duplicates" if first == row else "conflicts"] += 1
    return rows, n


def all_rows(url, text):
    import psycopg2
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()
    finally:
        connection.close()


def group_sql(part, field):
    return {"field": field, "day": f"{field}::date"}.get(part) or f"extract({part} FROM {field})::integer"


def prove_fold(it, log, rollups=ROLLUPS, time_zone="UTC"):
    """Rows and counters are those of the log, and every total is what SQL says of the rows."""
    rows, n = fold(log, time_zone)
    found = {row[0]: row for row in all_rows(it.url, f"SELECT {', '.join(FIELDS)} FROM {TABLE}")}
    if found != rows:
        wrong = [k for k in {**rows, **found} if rows.get(k) != found.get(k)]
        raise Failure(f"{len(wrong)} rows differ, as {wrong[0]}: {found.get(wrong[0])} instead of {rows.get(wrong[0])}")
    counters = it.frontier()[3]
    must_be("counters", {name: counters.get(name, 0) for name in n}, n)
    must_be("letters", sql(it.url, "SELECT count(*) FROM dead_letters"), (n["dead"] + n["conflicts"],))
    for table, (by, measures) in rollups.items():
        groups = ", ".join(group_sql(part, field) for _, part, field in by)
        due = f"SELECT {groups}, " + ", ".join(f"coalesce(sum({field}), 0)" for _, field, _ in measures) + f" FROM {TABLE} GROUP BY {groups}"
        has = f"SELECT {', '.join(column for column, *_ in (*by, *measures))} FROM {table}"
        must_be(f"totals of {table} that no rows add up to", all_rows(it.url, f"({has}) EXCEPT ({due})"), [])
        must_be(f"rows that no total of {table} has", all_rows(it.url, f"({due}) EXCEPT ({has})"), [])
