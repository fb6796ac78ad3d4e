"""Trouble with disk, clock and channels of processes, while they run: see tests/chaos/shim.c."""
import mmap, struct

from services import BIN, Failure

LIBRARY = BIN / "chaos_shim.so"


def preloaded(*folders, **more):
    """The environment of a process whose files beneath these folders are watched; more: SLUICE_SHIM_..., in lower case without that."""
    if not LIBRARY.exists():
        raise Failure(f"{LIBRARY} is missing: scripts/build release")
    return {"LD_PRELOAD": str(LIBRARY), "SLUICE_SHIM_FOLDERS": ":".join(map(str, folders)),
            **{f"SLUICE_SHIM_{name.upper()}": str(value) for name, value in more.items()}}


class Shim:
    """path: what SLUICE_SHIM is to name."""
    FIELDS = ("write_error", "sync_error", "open_error", "short_writes", "clock_seconds", "reset_every", "channel_us", "sync_ms")

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(4 * len(self.FIELDS)))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4 * len(self.FIELDS))

    def set(self, **trouble):
        self.memory[:] = struct.pack(f"={len(self.FIELDS)}i", *(trouble.get(name, 0) for name in self.FIELDS))
