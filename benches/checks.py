"""Checks that a program reported the processes that were created."""

from __future__ import annotations

import re
from collections.abc import Callable

from environment import Wrong
from population import ONE


def psstat_saw(key: str, expected: dict[str, int]) -> Callable[[str], None]:
    """Checks the number of processes of each group. A negative number means: at least so many."""

    def check(text: str) -> None:
        seen = {
            name: int(count)
            for name, count in re.findall(r"process_name=(\S+) .*n_proc=(\d+)i", text)
        }
        if seen.keys() != expected.keys():
            raise Wrong(f"{key}: groups {sorted(seen)} instead of {sorted(expected)}")
        for name, count in expected.items():
            if count < 0:
                at_least(key, seen[name], -count)
            elif seen[name] != count:
                raise Wrong(f"{key}: {seen[name]} processes in {name} instead of {count}")

    return check


def nothing_printed(key: str) -> Callable[[str], None]:
    """Checks that the run printed nothing, as the first run of psstat does."""

    def check(text: str) -> None:
        if text:
            raise Wrong(f"{key}: it printed {text!r}, so it had a cache")

    return check


def lines_of_one(key: str, expected: int) -> Callable[[str], None]:
    def check(text: str) -> None:
        seen = sum(line.endswith(f" {ONE}") for line in text.splitlines())
        if seen != expected:
            raise Wrong(f"{key}: {seen} lines of {ONE} instead of {expected}")

    return check


def at_least(key: str, seen: int, expected: int) -> None:
    if seen < expected:
        raise Wrong(f"{key}: {seen} processes instead of {expected} or more")
