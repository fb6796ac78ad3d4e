"""What a power cut would leave of the folders whose changes a journal tells (tests/chaos/shim.c): a file holds what it held when it was
last synced, and a folder has the names that it had then.
"""
import shutil
from pathlib import Path

from services import Failure


LINES_SHOWN = 40


class File:
    def __init__(self, synced=False):
        self.synced = synced  # what it holds now


class Folder:
    def __init__(self):
        self.names, self.durable = {}, {}


class Disk:
    """root: a folder all of which is durable now."""

    def __init__(self, root, journal):
        self.root, self.journal, self.read, self.last, self.tree = Path(root), Path(journal), 0, [], self.all_of(Path(root))

    def all_of(self, folder):
        it = Folder()
        for path in folder.iterdir() if folder.exists() else ():
            it.names[path.name] = self.all_of(path) if path.is_dir() else File(synced=True)
        it.durable = dict(it.names)
        return it

    def folder(self, path):
        it = self.tree
        for name in Path(path).relative_to(self.root).parts:
            it = it.names[name]
        return it

    def folder_at_work(self, path):
        """A line is written behind its call: who found a folder there may be told of before who made it."""
        it = self.tree
        for name in Path(path).relative_to(self.root).parts:
            it = it.names.setdefault(name, Folder())
        return it

    def follow(self):
        """Takes in what the journal has; calls look(what, path) after each line that is about a name or a sync."""
        with open(self.journal, encoding="utf8") as journal:
            journal.seek(self.read)
            for line in iter(journal.readline, ""):
                what, *paths = line.split()
                self.last = [*self.last[1 - LINES_SHOWN:], line.replace(str(self.root), "").rstrip()]
                self.take(what, [Path(p) for p in paths])
                try:
                    self.look(what, Path(paths[-1]))
                except Failure as failure:
                    raise Failure(f"{failure}\n  " + "\n  ".join(self.last))
            self.read = journal.tell()

    def take(self, what, paths):
        path = paths[0]
        if path == self.root:
            if what == "sync":
                self.tree.durable = dict(self.tree.names)
            return
        names = self.folder_at_work(path.parent).names
        if what == "create":
            names[path.name] = File()
        elif what == "mkdir":
            names.setdefault(path.name, Folder())
        elif what == "write":
            names[path.name].synced = False
        elif what == "sync" and isinstance(names[path.name], Folder):
            names[path.name].durable = dict(names[path.name].names)
        elif what == "sync":
            names[path.name].synced = True
        elif what in ("link", "rename"):
            self.folder(paths[1].parent).names[paths[1].name] = names[path.name]
        if what in ("unlink", "rmdir", "rename"):
            names.pop(path.name, None)

    def is_durable(self, path):
        it = self.tree
        for name in Path(path).relative_to(self.root).parts:
            if name not in it.durable or it.durable[name] is not it.names.get(name):
                return False
            it = it.durable[name]
        return not isinstance(it, File) or it.synced

    def look(self, what, path):
        """The order that exactness rests on: a file has its name only when it is synced, a manifest only when all files beside it
        are durable, and before anybody goes on in that checkpoint the manifest is, too."""
        if what in ("link", "rename"):
            if not self.folder(path.parent).names[path.name].synced:
                raise Failure(f"{path} has its name before it was synced")
        if what == "link" and path.name == "manifest":
            for name in self.folder(path.parent).names:
                if not name.startswith("manifest") and not name.endswith(".new") and not self.is_durable(path.parent / name):
                    raise Failure(f"{path} is there before {name}, which it may name, is durable")
        if what == "unlink" and path.name == "manifest":
            all_of_them = path.parent.parent
            if not any(self.is_durable(all_of_them / name / "manifest") for name in self.folder(all_of_them).names):
                raise Failure(f"{path} was removed while no other manifest was durable")

    # --- the power is off --------------------------------------------------------------------------------------------------------
    def cut(self):
        """All processes are dead: the real folder becomes what is durable of it. Returns the number of names that are lost."""
        self.follow()
        there = {id(it): path for path, it in self.walk(self.tree, self.root)}
        after = self.root.with_name(self.root.name + ".after")
        kept = self.put(self.tree, after, there)
        lost = len(there) - kept
        shutil.rmtree(self.root)
        after.rename(self.root)
        self.tree = self.all_of(self.root)
        return lost

    def walk(self, folder, path):
        for name, it in folder.names.items():
            yield path / name, it
            if isinstance(it, Folder):
                yield from self.walk(it, path / name)

    def put(self, folder, to, there):
        to.mkdir()
        kept = 0
        for name, it in folder.durable.items():
            if isinstance(it, Folder):
                kept += 1 + self.put(it, to / name, there)
            elif it.synced and id(it) in there:
                shutil.copyfile(there[id(it)], to / name)
                kept += 1
            elif not it.synced:
                (to / name).write_bytes(b"")  # its name came before what it holds
        return kept
