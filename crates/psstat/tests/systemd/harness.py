"""What the programs that make checks share: how a check runs commands, waits and fails, and what is printed."""

import subprocess
import sys
import time

# Everything that is waited for comes within a moment or, on a crowded machine, a few.
PATIENCE = 300.0
CHECKS = []


class Wrong(Exception):
    """What a check found wrong."""


class Skipped(Exception):
    """Why a check, or a part of it, cannot be made here."""


def require(condition, text):
    if not condition:
        raise Wrong(text)


def run(*command, **options):
    """Runs a command that must succeed; gives its output."""
    options = {"timeout": PATIENCE, **options}
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(command, capture_output=True, text=True, **options)
    require(
        done.returncode == 0,
        f"{command} ended with {done.returncode}: {done.stderr.strip()} {done.stdout.strip()}",
    )
    return done.stdout


def eventually(what, question):
    """Waits until the question is answered by something true, and gives that."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = question()
        if answer:
            return answer
        require(time.monotonic() < deadline, f"never happened: {what}")
        time.sleep(0.02)


def check(function):
    """Makes the function one of the checks."""
    CHECKS.append(function)
    return function


def all_succeed(names):
    """Makes the checks with these names, or all of them. Prints a line for each: `ok NAME`, `not ok NAME: what
    was wrong` or `skipped NAME: why`. Gives whether none is not ok."""
    failed = False
    by_name = {function.__name__: function for function in CHECKS}
    for function in [by_name[name] for name in names] or CHECKS:
        try:
            function()
            print(f"ok {function.__name__}", flush=True)
        except Skipped as reason:
            print(f"skipped {function.__name__}: {reason}", flush=True)
        except Exception as error:  # Whatever it is, the other checks are to be seen.
            failed = True
            kind = "" if isinstance(error, Wrong) else f"{type(error).__name__}: "
            print(f"not ok {function.__name__}: {kind}{error}", flush=True)
    return not failed
