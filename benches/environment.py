"""Where the programs are, what the results depend on, and where they go."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = subprocess.run(
    ["rustc", "--print", "host-tuple"], stdout=subprocess.PIPE, text=True, check=True
).stdout.strip()
RELEASE = ROOT / "target" / HOST / "release"
PSSTAT = RELEASE / "psstat"
PSSTAT_DYNAMIC = ROOT / "target/dynamic" / HOST / "release/psstat"
BASELINE = RELEASE / "examples/baseline"
SPAWN_PROCESSES = RELEASE / "examples/spawn_processes"
RUSAGE = RELEASE / "examples/rusage"


class Skipped(Exception):
    """Something cannot be measured on this machine. The message says why."""


class Wrong(Exception):
    """A program did not report the processes that were created."""


class Results:
    """The file of raw results: one JSON object per line."""

    def __init__(self, path: Path):
        self.path = path
        self.file = open(path, "w")

    def add(self, kind: str, **values: object) -> None:
        print(json.dumps({"kind": kind, **values}), file=self.file, flush=True)


def machine() -> dict[str, object]:
    """What the results depend on. Nothing that identifies the host."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": model[1] if model else platform.machine(),
        "processors": os.cpu_count(),
        "virtual": "hypervisor" in cpuinfo,
        "architecture": platform.machine(),
        "memory_mib": int(memory[1]) // 1024,
        # Without the suffix of the distribution.
        "linux": re.match(r"[\d.]+", platform.release())[0],
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "rustc": output_of("rustc", "--version"),
        "psstat": output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def output_of(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True).stdout.strip()


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr)
