#!/usr/bin/python3
"""Strangers at every port of every process: nothing dies, nothing grows, and the numbers are right in the end.

Garbage, half a handshake, lengths of exabytes, frames that were heard elsewhere, connect-and-close, hundreds of connections that say
nothing, bytes that come one by one.
"""
import os, random, re, socket, struct, sys, time
from pathlib import Path

from jobs import Failure, run_cases
from services import ROOT

RSS_MOST_MB = 200
FRAMES = [bytes.fromhex(line.split()[1]) for line in (ROOT / "tests/vectors/frames.hex").read_text().splitlines()]
PAIR, REQ, REP = 0x10, 0x30, 0x31


def listening(pid):
    """Ports of 127.0.0.1 that a process listens on."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
        except OSError:
            continue
        if found:
            inodes.add(found[1])
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sorted(int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in inodes)


def rss_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def connect(port):
    return socket.create_connection(("127.0.0.1", port), 2)


def say(port, *parts, wait=0.0, close=True):
    """Each part at once; what is answered is not read. None where the port is gone: its process has started afresh."""
    try:
        link = connect(port)
        for part in parts:
            link.sendall(part)
            if wait:
                time.sleep(wait)
        if not close:
            return link
        link.close()
    except OSError:
        pass
    return None


def handshake(protocol):
    return b"\0SP\0" + struct.pack(">HH", protocol, 0)


def message(body, claimed=None):
    return struct.pack(">Q", len(body) if claimed is None else claimed) + body


def connect_and_close(port, rng):
    for _ in range(60):
        say(port)


def garbage(port, rng):
    for size in (1, 7, 8, 9, 100, 65536):
        say(port, rng.randbytes(size))
    say(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", wait=0.05)
    say(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500))


def lengths(port, rng):
    for protocol in (PAIR, REQ, REP):
        for claimed in (1 << 20, 1 << 31, 1 << 32, (1 << 62) + 5, (1 << 64) - 1):
            say(port, handshake(protocol), message(b"x" * 100, claimed), wait=0.01)


def truncated(port, rng):
    for protocol in (PAIR, REQ):
        for frame in FRAMES:
            say(port, handshake(protocol), message(frame)[:rng.randrange(1, len(frame) + 8)])


def heard_elsewhere(port, rng):
    """Whole frames of every kind; and the same with the head of a request, as the control link has it."""
    for frame in FRAMES:
        say(port, handshake(PAIR), message(frame), message(frame), wait=0.002)
        say(port, handshake(REQ), message(struct.pack(">I", 0x80000000 | rng.randrange(1 << 31)) + frame), wait=0.002)


def flipped(port, rng):
    for frame in FRAMES:
        broken = bytearray(frame)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        say(port, handshake(REQ), message(struct.pack(">I", 0x80000001) + bytes(broken)))


def byte_by_byte(port, rng):
    data = handshake(PAIR) + message(FRAMES[0])
    say(port, *(data[i:i + 1] for i in range(len(data))), wait=0.005)


ATTACKS = (connect_and_close, garbage, lengths, truncated, heard_elsewhere, flipped, byte_by_byte)


def scan(it):
    return {name: listening(process.pid) for name, process in it.running.items()}


def strangers(job):
    it = job(partitions=4)
    rng = random.Random(1)
    it.start_all(ingest=2, aggregators=2).wait_live()
    producer = it.produce(60_000, "--rate", 3000, wait=False)
    ended = it.status()["attempts_ended"]
    held = []
    try:
        for attack in ATTACKS:
            for name, ports in scan(it).items():
                for port in ports:
                    attack(port, rng)
            went = it.consumed()
            print(f"    {attack.__name__}: {it.status()['attempts_ended'] - ended} attempts ended so far, {went:,} records", flush=True)
        for name, ports in scan(it).items():
            for port in ports:  # half-open: they stay until the end
                held += [say(port, close=False) for _ in range(100)]
                held += [say(port, handshake(PAIR), close=False) for _ in range(20)]
        if producer.wait() != 0:
            raise Failure("the producer did not deliver everything")
        it.settle(90)
    finally:
        producer.kill()
        for link in held:
            if link:
                link.close()
    ports = sum(len(ports) for ports in scan(it).values())
    for name, process in it.running.items():
        if process.poll() is not None:
            raise Failure(f"{name} ended with {process.returncode}")
        if rss_mb(process.pid) > RSS_MOST_MB:
            raise Failure(f"{name} has grown to {rss_mb(process.pid):.0f} MB")
    it.prove()
    print(f"    {ports} ports; {it.status()['attempts_ended'] - ended} attempts ended; at most "
          f"{max(rss_mb(p.pid) for p in it.running.values()):.0f} MB")


if __name__ == "__main__":
    sys.exit(run_cases((strangers,)))
