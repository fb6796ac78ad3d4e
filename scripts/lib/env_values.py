"""env_values.py - sourced by a run dir's env: what its pipeline was given that may be secret, as exports for a shell.

It is in supervisord's environment as long as that runs, and nowhere else.
"""
import os
import shlex
import sys

from run_dir import RunDir


def main():
    run = RunDir(sys.argv[1])
    values = run.environment_of_supervisor()
    missing = [name for name in run.facts.get("secrets", []) if name not in values and name not in os.environ]
    for name in run.facts.get("secrets", []):
        if name in values:
            print(f"export {name}={shlex.quote(values[name])}")
    if missing:
        print(f"{run.dir} is not up: you have to set {', '.join(missing)} yourself", file=sys.stderr)


main()
