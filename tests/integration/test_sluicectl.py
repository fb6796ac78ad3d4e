#!/usr/bin/python3
"""What a person types at sluicectl: each verb has options of its own, refuses those of others, and speaks JSON."""
import hashlib, json, os, re, shutil, subprocess, sys

from jobs import EXIT_CONFIG, Failure, must_be, run_cases, sql
from services import BIN, ROOT

EXIT_USAGE, EXIT_UNAVAILABLE = 2, 69
VERBS = ("init", "validate", "status", "checkpoint", "audit", "rebuild")


def ctl(it, *words, **environment):
    return subprocess.run([str(BIN / "sluicectl"), *map(str, words)], env={**it.environment, **environment}, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)


def must_say(done, code, *words):
    """The exit code, and on stderr all of these; nothing on stdout."""
    must_be(f"the exit code of {done.args[1:]}\n{done.stdout}{done.stderr}", done.returncode, code)
    for word in words:
        if word not in done.stderr:
            raise Failure(f"{done.args[1:]} does not say {word!r}:\n{done.stderr}")
    if code and done.stdout:
        raise Failure(f"{done.args[1:]} printed to stdout:\n{done.stdout}")


def options_of(it, verb):
    """As --help has them: name -> whether it takes a value."""
    done = ctl(it, verb, "--help")
    must_be(f"the exit code of {verb} --help", done.returncode, 0)
    rows = [line.split("  ")[1] for line in done.stdout.splitlines() if line.startswith("  -")]
    return {row.split(" ")[0]: " " in row for row in rows}


def options_belong_to_verbs(job):
    """Each option of each verb at each other one that does not have it: refused before anything is done."""
    it = job()
    options = {verb: options_of(it, verb) for verb in VERBS}
    for verb in VERBS:
        if not {"--config", "-o", "--help"} <= set(options[verb]):
            raise Failure(f"{verb} --help lacks what every verb has: {options[verb]}")
        for owner in VERBS:
            for name in set(options[owner]) - set(options[verb]):
                words = (name, "totals") if options[owner][name] else (name,)
                must_say(ctl(it, verb, *words), EXIT_USAGE, name, verb, owner)
    for refused in (("init", "--dry-run"), ("checkpoint", "--dry-run"), ("rebuild", "--ddl"), ("init", "--nonsense")):
        must_say(ctl(it, *refused), EXIT_USAGE, refused[1])
    must_be("the schema", sql(it.url, "SELECT to_regnamespace('sluice') IS NULL")[0], True)
    if os.path.exists(it.environment["CHECKPOINT_DIR"]):
        raise Failure("a checkpoint folder was made")


def words_at_the_wrong_place(job):
    it = job()
    file = it.folder / "pipeline.yaml"
    for words, said in (((), "usage"), (("stauts",), "did you mean status"), (("xyzzy",), "no verb xyzzy"),
                        (("-o", "json", "status"), "verb comes first"), (("init", "now"), "no argument now"),
                        (("validate", file, file), "no argument"), (("validate", file, "--config", file), "named twice"),
                        (("validate", f"--config={file}", file), "named twice"), (("status", "-o", "yaml"), "-o yaml"),
                        (("status", "--job"), "--job needs a value"), (("status", "--job", "rows"), "no job rows"),
                        (("status", "--wait", "soon"), "--wait"), (("rebuild", "--from", "memory"), "--from memory"),
                        (("validate", "--ddl=yes"), "--ddl takes no value"),
                        (("checkpoint", "--job", "search"), "the job search has no checkpoints")):
        must_say(ctl(it, *words), EXIT_USAGE, said)
    for words in (("--help",), ("-h",), ("help",), ("help", "audit"), ("audit", "-h"), ("--version",)):
        done = ctl(it, *words, SLUICE_CONFIG="/nowhere")
        must_be(f"the exit code of {words}", done.returncode, 0)


def validate_takes_a_file(job):
    """As the first line of the shipped file says; --config and the environment are the same."""
    it = job()
    shipped, broken = ROOT / "compose/pipeline.yaml", it.folder / "a broken one.yaml"
    broken.write_text("job: x\nsauce: {}\n")
    wanted = ctl(it, "validate", "--config", shipped).stdout
    for done in (ctl(it, "validate", shipped), ctl(it, "validate", SLUICE_CONFIG=str(shipped)),
                 ctl(it, "validate", shipped, SLUICE_CONFIG=str(broken))):
        must_be("the exit code", done.returncode, 0)
        must_be("what is printed", done.stdout, wanted)
    must_be("the exit code", ctl(it, "validate", broken).returncode, EXIT_CONFIG)
    found = json.loads(ctl(it, "validate", shipped, "-o", "json").stdout)
    settings = found["settings"]
    must_be("what it comes to", (found["valid"], found["jobs"], settings["key_groups"], settings["parallelism"]["dedup"],
                                 settings["record"]["fields"][0]["required"], settings["checkpoint"]["interval"]),
            (True, {"totals": "ecommerce-transactions/totals"}, 128, 2, True, "5s"))
    jobs = json.loads(ctl(it, "validate", shipped, "-o", "json", ELASTICSEARCH_URL="http://127.0.0.1:1").stdout)["jobs"]
    must_be("the jobs that are on", sorted(jobs), ["search", "totals"])
    odd = it.folder / "odd.yaml"
    odd.write_text(shipped.read_text().replace("group.id: sluice", 'group.id: "a \\"b\\" \\u2028 ${{X}} #: {}"'))
    must_be("a text with everything in it", json.loads(ctl(it, "validate", odd, "-o", "json").stdout)
            ["settings"]["source"]["kafka"]["group.id"], 'a "b" \u2028 ${X} #: {}')


def validate_tells_all(job):
    """Every mistake with its line, also librdkafka's; what exists, where nothing similar does; and a bound."""
    it = job()
    shipped = (ROOT / "compose/pipeline.yaml").read_text()
    file = it.folder / "wrong.yaml"

    def told(*changes):
        text = shipped
        for old, new in changes:
            if old not in text:
                raise Failure(f"the shipped file has no {old!r}")
            text = text.replace(old, new)
        file.write_text(text)
        done, again = ctl(it, "validate", file), ctl(it, "validate", file, "-o", "json")
        must_be("exit codes", (done.returncode, again.returncode), (EXIT_CONFIG, EXIT_CONFIG))
        must_be("both forms", len(json.loads(again.stdout)["mistakes"]), done.stderr.count("\n"))
        return done.stderr

    said = told(("time_zone: UTC", "time_zone: Mars/Base"), ("parallelism:", "paralelism:"), ("interval: 5s", "interval: 5"),
                ("type: integer", "type: integr"))
    for word in ("record.time_zone at line", "did you mean 'parallelism'", "checkpoint.interval at line", "unknown type 'integr'"):
        if word not in said:
            raise Failure(f"{word!r} is not told:\n{said}")
    for kafka, word in (("fetch.wait.max.mss: 5", "fetch.wait.max.mss"), ("fetch.min.bytes: lots", "fetch.min.bytes"),
                        ("isolation.level: read_comitted", "isolation.level")):
        said = told(("group.id: sluice", f"group.id: sluice\n    {kafka}"))
        if word not in said or "librdkafka" not in said:
            raise Failure(said)
    said = told(("sum: total_amount", "sum: total_amount, count: total_amount"))
    if "there is column, sum, type" not in said:
        raise Failure(said)
    said = told(("coordinator:", "coordinator:\n  http: 127.0.0.1:8081"))
    if "not built yet" not in said:
        raise Failure(said)
    file.write_text(shipped + "".join(f"wrong{i}: 1\n" for i in range(100)))
    done = ctl(it, "validate", file)
    must_be("lines", done.stderr.count("\n"), 21)
    if "there may be more" not in done.stderr:
        raise Failure(done.stderr)


def json_of_every_verb(job):
    it = job(changes=(("interval: 5s", "interval: 1d"),))
    if "created table transactions" not in json.loads(ctl(it, "init", "-o", "json").stdout)["report"]:
        raise Failure("init has to say what it made")
    must_be("another init", {line.split()[0] for line in json.loads(ctl(it, "init", "-o", "json").stdout)["report"]}, {"found"})
    for verb in ("status", "checkpoint"):
        must_say(ctl(it, verb, "-o", "json"), EXIT_UNAVAILABLE, "coordinator")
    it.produce(1000, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    must_be("init of a running job", ctl(it, "init", "-o", "json").returncode, 0)
    for words, member, value in ((("status",), "live", True), (("checkpoint",), "job", f"{it.name}/totals"),
                                 (("checkpoint", "--job", "totals"), "job", f"{it.name}/totals"),
                                 (("audit",), "exact", True), (("validate",), "valid", True)):
        done = ctl(it, *words, "-o", "json")
        must_be(f"the exit code of {words}: {done.stderr}", done.returncode, 0)
        must_be(f"{member} of {words}", json.loads(done.stdout)[member], value)
    if json.loads(ctl(it, "validate", "--ddl", "-o", "json").stdout)["ddl"].count("CREATE TABLE") < 4:
        raise Failure("validate --ddl -o json")
    must_say(ctl(it, "rebuild", "--dry-run", "-o", "json"), EXIT_CONFIG, "is running")
    for name in list(it.running):
        it.kill(name)
    must_be("a dry run", json.loads(ctl(it, "rebuild", "--dry-run", "-o", "json").stdout)["dry_run"], True)


def everything_of(it):
    """What is on disk and in the database, but for what PostgreSQL counts itself."""
    files = {}
    for folder, folders, names in os.walk(it.folder):
        files[folder] = (os.stat(folder).st_mtime_ns, sorted(folders), sorted(names))
        files.update((name, hashlib.sha256(open(os.path.join(folder, name), "rb").read()).hexdigest()) for name in names)
    dump = subprocess.run(["pg_dump", it.url], text=True, capture_output=True, check=True).stdout
    return files, [line for line in dump.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict"))]


def a_dry_run_changes_nothing(job):
    """Neither files nor folders nor rows, whatever is there of the checkpoint folder."""
    it = job()
    it.produce(1000, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    for name in list(it.running):
        it.kill(name)
    folder = it.environment["CHECKPOINT_DIR"]
    for change in (lambda: None, lambda: shutil.rmtree(os.path.join(folder, it.name)), lambda: shutil.rmtree(folder)):
        change()
        before = everything_of(it)
        for source in ("database", "kafka"):
            done = ctl(it, "rebuild", "--dry-run", "--from", source)
            must_be(f"the exit code, {source}: {done.stderr}", done.returncode, 0)
        if everything_of(it) != before:
            raise Failure(f"a dry run changed something: {set(map(str, everything_of(it)[0])) ^ set(map(str, before[0]))}")


def ways_out_can_be_typed(job):
    """Each command that a way out names is whole: where no service is there, it may say so, but not that it was typed wrongly."""
    it = job(partitions=0)
    text = "".join(re.findall(r'"((?:[^"\\\\]|\\\\.)*)"', (ROOT / "common/base/stops.h").read_text()))
    found = {words.strip() for words in re.findall(r"sluicectl ((?:init|validate|audit|rebuild|reset|skip|accept)\b(?: --[a-z-]+(?: (?:totals|search|"
                                                   r"earliest|PARTITION:OFFSET)\b)?)*)", text)}
    must_be("commands that are there", {"reset --job totals --yes", "skip --to earliest --dry-run", "rebuild", "accept"} <= found, True)
    for words in sorted(found):
        done = ctl(it, *words.replace("PARTITION:OFFSET", "0:5").split(), DATABASE_URL="postgresql://127.0.0.1:1/x",
                   KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", ELASTICSEARCH_URL="http://127.0.0.1:1")
        if done.returncode == EXIT_USAGE or words == "reset":
            raise Failure(f"sluicectl {words}: {done.stderr}")


def output_that_is_lost(job):
    """Of every verb: told, and in the exit code; and what is printed goes to no connection that has got the closed descriptor."""
    it = job()
    it.produce(500, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    for verb in ("status", "status --check", "status -o json", "audit", "audit -o json", "init", "validate --ddl", "checkpoint", "accept"):
        for to, code, words in ((">/dev/full", 74, "No space left on device"), (">&-", 74, "Bad file descriptor"), (">&- 2>&- <&-", 74, ""),
                                ("| true", 74, ""), ("| head -c 1 >/dev/null", None, ""), (">/dev/null", 0, "")):
            done = subprocess.run(["/bin/bash", "-c", f"{BIN}/sluicectl {verb} {to}; exit ${{PIPESTATUS[0]}}"], env=it.environment, text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, check=False)
            must_be(f"the exit code of {verb} {to}\n{done.stderr}", done.returncode, done.returncode if code is None and done.returncode in (0, 74) else code)
            if words not in done.stderr or (not words and done.stderr):
                raise Failure(f"{verb} {to}: {done.stderr}")
    it.prove()


CASES = (output_that_is_lost, ways_out_can_be_typed, options_belong_to_verbs, words_at_the_wrong_place, validate_takes_a_file, validate_tells_all, json_of_every_verb, a_dry_run_changes_nothing)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
