"""Creates the lines that Telegraf's procstat input plugin prints, from the real /proc.

Fields, types and tags are those in the source of the plugin, Telegraf 1.34. The plugin reports each
process. With `systemd_unit` and `include_systemd_children`, or with `cgroup`, it finds all processes of
a unit. Without a tag for the pid, processes with the same name would overwrite each other. So this
module uses the options:

    [[inputs.procstat]]
      systemd_unit = "web.service"
      include_systemd_children = true
      tag_with = ["pid"]

For the shortest lines that still have CPU, memory and the number of processes, it adds:

      properties = ["cpu", "memory"]
      fieldpass = ["cpu_usage", "memory_usage", "pid_count"]
"""

from __future__ import annotations

import os
import pwd
import re
import struct
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
LEAN = ("cpu_usage", "memory_usage", "pid_count")

# Names in /proc/PID/limits, with the names that the plugin uses.
LIMITS = {
    "Max cpu time": "cpu_time",
    "Max data size": "memory_data",
    "Max stack size": "memory_stack",
    "Max resident set": "memory_rss",
    "Max open files": "num_fds",
    "Max locked memory": "memory_locked",
    "Max address space": "memory_vms",
    "Max file locks": "file_locks",
    "Max pending signals": "signals_pending",
    "Max nice priority": "nice_priority",
    "Max realtime priority": "realtime_priority",
}

# Telegraf writes a limit of 2^64 - 1 as this value, because line protocol has signed integers.
UNLIMITED = 2**63 - 1

STATES = {"R": "running", "S": "sleep", "D": "blocked", "Z": "zombie", "T": "stop", "I": "idle"}

Value = int | float | str


def memory_total() -> int:
    return int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024


def boot_time() -> int:
    return int(re.search(r"btime (\d+)", Path("/proc/stat").read_text())[1])


def children() -> dict[int, list[int]]:
    """The children of every process."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
            except OSError:
                continue
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            found.setdefault(parent, []).append(int(name))
    return found


def family(root: int, children_of: dict[int, list[int]]) -> list[int]:
    """A process and all its descendants."""
    members = [root]
    for pid in members:
        members += children_of.get(pid, [])
    return members


class Plugin:
    """The plugin. Keeps the CPU times of the last sample, for cpu_usage."""

    def __init__(self) -> None:
        self.total = memory_total()
        self.boot = boot_time()
        self.last: dict[int, tuple[float, float]] = {}

    def lines(self, groups: dict[str, int], host: str, when: str) -> tuple[list[str], list[str]]:
        """Takes one sample of these groups. Returns the lines with all fields, and the short ones."""
        everything, lean = [], []
        children_of = children()
        for unit, root in groups.items():
            count = 0
            for pid in family(root, children_of):
                try:
                    name, fields = self.process(pid)
                except OSError:
                    continue  # The process has ended.
                count += 1
                tags = f"procstat,host={host},pid={pid},process_name={tag(name)}"
                tags += f",systemd_unit={unit}.service"
                everything.append(f"{tags} {join(fields)} {when}")
                lean.append(f"{tags} {join(only(fields))} {when}")
            tags = f"procstat_lookup,host={host},pid_finder=pgrep,result=success"
            tags += f",systemd_unit={unit}.service"
            fields = {"pid_count": count, "running": count, "result_code": 0}
            everything.append(f"{tags} {join(fields)} {when}")
            lean.append(f"{tags} {join(only(fields))} {when}")
        return everything, lean

    def process(self, pid: int) -> tuple[str, dict[str, Value]]:
        directory = Path(f"/proc/{pid}")
        stat = (directory / "stat").read_text(errors="replace")
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        stat = ["", "", "", *stat[stat.rindex(")") + 2 :].split()]  # Numbered as in proc(5).
        status, io, maps = (pairs(directory / file) for file in ("status", "io", "smaps_rollup"))

        def number(at: int) -> int:
            return int(stat[at])

        def kib(key: str) -> int:
            return int(status.get(key, "0").split()[0]) * 1024

        user, system = number(14) / TICKS, number(15) / TICKS
        resident, size = number(24) * PAGE, number(23)
        nice, priority = number(19), max(0, -1 - number(18))
        created = self.boot * 1000 + number(22) * 1000 // TICKS
        open_files = len(os.listdir(directory / "fd"))
        fields: dict[str, Value] = {
            "num_threads": number(20),
            "num_fds": open_files,
            "voluntary_context_switches": int(status["voluntary_ctxt_switches"]),
            "involuntary_context_switches": int(status["nonvoluntary_ctxt_switches"]),
            "minor_faults": number(10),
            "major_faults": number(12),
            "child_minor_faults": number(11),
            "child_major_faults": number(13),
            "read_count": int(io["syscr"]),
            "write_count": int(io["syscw"]),
            "read_bytes": int(io["rchar"]),
            "write_bytes": int(io["wchar"]),
            "disk_read_bytes": int(io["read_bytes"]),
            "disk_write_bytes": int(io["write_bytes"]),
            "created_at": created * 1_000_000,
            "cpu_time_user": user,
            "cpu_time_system": system,
            "cpu_time_iowait": number(42) / TICKS,
            "memory_rss": resident,
            "memory_vms": size,
            # The plugin computes this with 32-bit numbers.
            "memory_usage": struct.unpack("f", struct.pack("f", 100 * resident / self.total))[0],
        }
        now, used = time.monotonic(), user + system
        if pid in self.last:
            then, before = self.last[pid]
            fields["cpu_usage"] = 100 * (used - before) / (now - then)
        self.last[pid] = (now, used)
        for key, source in {
            "memory_pss": "Pss",
            "memory_shared_clean": "Shared_Clean",
            "memory_shared_dirty": "Shared_Dirty",
            "memory_private_clean": "Private_Clean",
            "memory_private_dirty": "Private_Dirty",
            "memory_referenced": "Referenced",
            "memory_anonymous": "Anonymous",
            "memory_swap": "Swap",
        }.items():
            fields[key] = int(maps[source].split()[0])
        fields["memory_size"] = size // 1024
        used_now = {
            "cpu_time": int(used),
            "memory_data": kib("VmData"),
            "memory_stack": kib("VmStk"),
            "memory_rss": resident,
            "num_fds": open_files,
            "memory_locked": kib("VmLck"),
            "memory_vms": size,
            "signals_pending": int(status["SigQ"].split("/")[0]),
            "nice_priority": nice,
            "realtime_priority": priority,
        }
        for line in (directory / "limits").read_text().splitlines()[1:]:
            key = LIMITS.get(line[:26].strip())
            if key is None:
                continue
            soft, hard = (UNLIMITED if w == "unlimited" else int(w) for w in line[26:].split()[:2])
            fields[f"rlimit_{key}_soft"], fields[f"rlimit_{key}_hard"] = soft, hard
            if key in used_now:
                fields[key] = used_now[key]
        command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        fields["cmdline"] = command.strip().replace("\n", " ")
        fields["ppid"] = number(4)
        fields["status"] = STATES.get(stat[3], "")
        fields["user"] = pwd.getpwuid(directory.stat().st_uid).pw_name
        return name, fields


def only(fields: dict[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in fields.items() if key in LEAN}


def pairs(file: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in file.read_text(errors="replace").splitlines())
    return {key: value.strip() for key, _, value in lines}


def tag(text: str) -> str:
    return re.sub(r"([,= ])", r"\\\1", text)


def join(fields: dict[str, Value]) -> str:
    return ",".join(f"{key}={written(value)}" for key, value in fields.items())


def written(value: Value) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return f"{value}i" if isinstance(value, int) else f"{value:g}" if value == 0 else repr(value)
