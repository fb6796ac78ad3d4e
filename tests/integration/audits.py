"""What sluicectl audit says of a job, for the tests of the audit."""
import json, subprocess

from jobs import must_be
from services import BIN, Failure


def audit(it, *options, **environment):
    """Exit code, what is on stdout and on stderr. environment: what is otherwise than the job's."""
    done = subprocess.run([BIN / "sluicectl", "audit", *options], env={**it.environment, **environment}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr


def found(it, *options, **environment):
    """The report; the process has to mean the same."""
    code, out, err = audit(it, *options, "-o", "json", **environment)
    if code not in (0, 1):
        raise Failure(f"audit ended with {code}: {err}")
    report = json.loads(out)
    must_be("the exit code", code, 0 if report["exact"] else 1)
    return report


def must_be_exact(it, *options):
    report = found(it, *options)
    if not report["exact"]:
        raise Failure(f"nothing is wrong, but the audit does not say so:\n{audit(it, *options)[1]}")
    return report


def kinds(report):
    return {kind: count for kind, count in report["differences"].items() if count}
