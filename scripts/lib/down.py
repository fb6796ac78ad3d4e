"""down.py - the work of scripts/down."""
import argparse
import os

from run_dir import RunDir, check_folder, put, run_main

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    parser = argparse.ArgumentParser(prog="down", allow_abbrev=False)
    parser.add_argument("--run-dir", default=os.path.join(ROOT, "run/default"))
    arguments = parser.parse_args()
    check_folder(arguments.run_dir)
    if not os.path.isdir(arguments.run_dir):
        put(f"not up: there is no {arguments.run_dir}")
        return 0
    run = RunDir(arguments.run_dir)
    with run.lock():
        put("stopped" if run.stop() else "not up")
    return 0


run_main(main)
