#!/usr/bin/python3
"""Ports for tests that run beside each other. Prints one.

A service may take seconds until it listens, and is away for a while in some tests. So a port is below the kernel's ephemeral ones,
where a connection of somebody else would take it, and outside the range of scripts/up; and who has taken it is written down.
"""
import fcntl, os, random, socket, tempfile, time
from pathlib import Path

FIRST, LAST = 10000, 20999
KEPT_SECONDS = 3600  # no test runs longer
TAKEN = Path(tempfile.gettempdir()) / f"sluice-test-ports.{os.getuid()}"


def is_listened_to(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def take_port():
    TAKEN.mkdir(exist_ok=True)
    with open(TAKEN / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for _ in range(1000):
            port = random.randint(FIRST, LAST)
            mark = TAKEN / str(port)
            if is_listened_to(port) or (mark.exists() and time.time() - mark.stat().st_mtime < KEPT_SECONDS):
                continue
            mark.touch()
            return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST}: is {TAKEN} full?")


if __name__ == "__main__":
    print(take_port())
