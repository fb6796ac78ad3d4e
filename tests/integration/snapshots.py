"""A reader that takes snapshots all the time, and believes nothing."""
import threading, time

import psycopg2

from services import Failure

SNAPSHOT = """SELECT cut, counters,
    (SELECT count(*) FROM transactions), (SELECT coalesce(sum(total_amount), 0) FROM transactions),
    (SELECT coalesce(sum(total_sales), 0) FROM sales_per_day),
    (SELECT coalesce(sum(total_sales), 0) FROM sales_per_category),
    (SELECT coalesce(sum(total_sales), 0) FROM sales_per_month),
    (SELECT count(*) FROM dead_letters) FROM sluice.frontier WHERE cut IS NOT NULL"""


class Reader(threading.Thread):
    """One statement sees one snapshot. rest: how long to rest after each, in times of what it took: the job needs the machine, too."""

    def __init__(self, url, rest=2):
        super().__init__(daemon=True)
        self.rest = rest
        self.url, self.snapshots, self.violations, self.cut, self.over = url, 0, [], {}, False
        self.counters = {}

    def look(self, cursor):
        cursor.execute(SNAPSHOT)
        row = cursor.fetchone()
        if row is None:
            return
        cut, n, rows, amount, day, category, month, letters = row
        n = {k: n.get(k, 0) for k in ("consumed", "accepted", "duplicates", "conflicts", "dead")}
        self.snapshots += 1
        for name, total in (("day", day), ("category", category), ("month", month)):
            if total != amount:
                self.violations.append(f"{cut}: rows add up to {amount}, sales_per_{name} to {total}")
        if rows != n["accepted"] or letters != n["dead"] + n["conflicts"]:
            self.violations.append(f"{cut}: {rows} rows, {letters} letters, counters {n}")
        if n["consumed"] != n["accepted"] + n["duplicates"] + n["conflicts"] + n["dead"]:
            self.violations.append(f"{cut}: counters do not add up: {n}")
        if any(cut.get(p, 0) < o for p, o in self.cut.items()):
            self.violations.append(f"the cut went back from {self.cut} to {cut}")
        self.cut, self.counters = cut, n

    def run(self):
        while not self.over:
            try:
                connection = psycopg2.connect(self.url)
                connection.autocommit = True
                with connection.cursor() as cursor:
                    while not self.over:
                        began = time.monotonic()
                        self.look(cursor)
                        time.sleep(self.rest * (time.monotonic() - began))
                connection.close()
            except (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.UndefinedTable):
                time.sleep(0.1)  # away, or not made yet

    def finish(self):
        self.over = True
        if self.is_alive():
            self.join()
        if self.violations:
            raise Failure("\n".join(self.violations[:5]))
