"""What the dashboards show: each panel with its title, its unit, what it asks, and what that means."""

from dataclasses import dataclass, field

from queries import (
    AboutPsstat, Down, Each, Figure, Heard, HostsWhere, NotMeasured, Number, OfAllHosts, Part, Running,
    ShareOfMemory, Silent, Spread, Top,
)

CPU = Figure("p_cpu", "psstat_cpu_seconds_total", "rate")
MEMORY = Figure("mem", "psstat_memory_bytes")
SHARE_OF_MEMORY = ShareOfMemory("p_mem", "psstat_memory_bytes")
PROCESSES = Figure("n_proc", "psstat_processes")
STARTS = Figure("starts", "psstat_starts_total", "events")
UPTIME = Figure("uptime", "psstat_uptime_seconds")
THROTTLED = Figure("cpu_throttled", "psstat_cpu_throttled_seconds_total", "rate")
CPU_PRESSURE = Figure("cpu_pressure", "psstat_cpu_pressure_seconds_total", "rate")
MEMORY_PRESSURE = Figure("mem_pressure", "psstat_memory_pressure_seconds_total", "rate")
IO_PRESSURE = Figure("io_pressure", "psstat_io_pressure_seconds_total", "rate")
MEMORY_LIMIT = Figure("mem_limit", "psstat_memory_limit_bytes")
OOM_KILLS = Figure("oom_kills", "psstat_oom_kills_total", "total")

# Units as Grafana names them.
CORES, BYTES, SHARE, SECONDS, NUMBER, PER_MINUTE = "none", "bytes", "percentunit", "s", "short", "cpm"


@dataclass(frozen=True)
class Panel:
    title: str
    asks: object
    unit: str
    meaning: str
    # "lines" over time, "number", or "table". A table of hosts and groups alone has no value.
    kind: str = "lines"
    value: str | None = None
    # The number is red unless it is 0.
    alarming: bool = False
    # The shortest interval of lines, if it is not that of the dashboard.
    interval: str | None = None


@dataclass(frozen=True)
class Row:
    title: str
    panels: list
    meaning: str = ""


@dataclass(frozen=True)
class Dashboard:
    name: str
    title: str
    meaning: str
    # The shortest interval of lines over time. Where values of several hosts are added up, each must have a sample
    # in each interval.
    interval: str
    rows: list = field(default_factory=list)


def number(title, asks, meaning, alarming=False):
    return Panel(title, Number(asks), NUMBER, meaning, "number", alarming=alarming)


def table(title, asks, meaning, unit=NUMBER, value=None):
    return Panel(title, asks, unit, meaning, "table", value)


RUNNING = number("Groups that run", Running(), "Groups with at least one process, at the end of the time range.")
ARE_DOWN = number("Groups that are down", Down(), "Groups without a process.", alarming=True)
NOT_MEASURED = number(
    "Groups not measured", NotMeasured(), "Groups without a value. The table below has their names.", alarming=True
)
HOSTS = number(
    "Hosts that report",
    Heard(),
    "Hosts with a value in the last 5 minutes of the time range. From Prometheus, a host counts too while its psstat "
    "hangs and node_exporter serves the old page: the alert PsstatPageOld finds that.",
)
SILENT = number(
    "Hosts that are silent", Silent(), "Hosts with values in the time range, but none at its end.", alarming=True
)
DOWN_TABLE = table(
    "Down", Down(), "Groups without a process. Only a group with a NAME is there while it has no process."
)
NOT_MEASURED_TABLE = table(
    "Not measured",
    NotMeasured(),
    "Groups without a value: psstat cannot know which processes belong to them, and a W! on its standard error says "
    "why; or their host is silent; or they have no NAME and have ended. From InfluxDB they come here after 5 to 10 "
    "minutes without a line, if there was one in the time range.",
)
TOP_CPU = table("Most CPU", Top(CPU), "The ten with the highest mean in the time range.", CORES, "Cores")
TOP_MEMORY = table(
    "Most memory", Top(SHARE_OF_MEMORY), "The ten with the highest mean in the time range.", SHARE, "Of the machine"
)

GROUPS = Dashboard(
    "groups",
    "psstat: groups",
    "What each group of processes costs, and which are down or not measured.",
    "10s",
    [
        Row("At the end of the time range", [RUNNING, ARE_DOWN, NOT_MEASURED, HOSTS]),
        Row("Down or not measured", [DOWN_TABLE, NOT_MEASURED_TABLE]),
        Row(
            "Each group",
            [
                Panel("CPU", Each(CPU), CORES, "Processor cores that the group keeps busy."),
                Panel(
                    "Memory, share of the machine",
                    Each(SHARE_OF_MEMORY),
                    SHARE,
                    "Memory of the group, each page once, as a fraction of the machine's.",
                ),
                Panel("Processes", Each(PROCESSES), NUMBER, "Live processes."),
                Panel("Memory", Each(MEMORY), BYTES, "The same in bytes: the field mem."),
            ],
        ),
        Row(
            "Top groups",
            [
                TOP_CPU,
                TOP_MEMORY,
                table(
                    "Most processes", Top(PROCESSES), "The ten with the highest mean in the time range.", NUMBER,
                    "Processes",
                ),
            ],
        ),
        Row(
            "Restarts",
            [
                Panel(
                    "Starts", Each(STARTS), PER_MINUTE,
                    "Processes per minute that started and whose parent is not in the group: the field starts.",
                    interval="1m",
                ),
                Panel(
                    "Age", Each(UPTIME), SECONDS,
                    "Time since the oldest process of the group started: the field uptime. A fall is a restart.",
                ),
            ],
            "These need the fields starts and uptime.",
        ),
        Row(
            "Units: throttling and pressure",
            [
                Panel(
                    "CPU throttled", Each(THROTTLED), CORES,
                    "Processors that the group did not get because of its CPU quota: the field cpu_throttled.",
                ),
                Panel(
                    "CPU pressure", Each(CPU_PRESSURE), SHARE,
                    "Share of the time in which some task waited for a processor: the field cpu_pressure.",
                ),
                Panel(
                    "Memory pressure", Each(MEMORY_PRESSURE), SHARE,
                    "Share of the time in which some task waited for memory: the field mem_pressure.",
                ),
                Panel(
                    "I/O pressure", Each(IO_PRESSURE), SHARE,
                    "Share of the time in which some task waited for storage: the field io_pressure.",
                ),
                Panel(
                    "Memory, share of its limit", Part(MEMORY, MEMORY_LIMIT), SHARE,
                    "Memory of the group's processes as a fraction of what its control group may have: the fields mem "
                    "and mem_limit. The kernel also counts page cache against the limit, but not the files that "
                    "another control group read first: with them, this may be a little above 100%.",
                ),
                Panel(
                    "OOM kills", Each(OOM_KILLS), PER_MINUTE,
                    "Processes per minute that the kernel killed for lack of memory: the field oom_kills.",
                    interval="1m",
                ),
            ],
            "For systemd units and control groups on version 2. These need the fields that their descriptions name.",
        ),
        Row(
            "psstat itself",
            [
                Panel(
                    "Warnings", AboutPsstat("psstat_sample_warnings", "kind"), NUMBER, "Warnings of each sample, by kind."
                ),
                Panel(
                    "CPU time of a sample", AboutPsstat("psstat_sample_cpu_seconds", "output"), SECONDS,
                    "What measuring costs.",
                ),
            ],
        ),
    ],
)

FLEET = Dashboard(
    "fleet",
    "psstat: fleet",
    "The same groups on many hosts.",
    "1m",
    [
        Row("At the end of the time range", [HOSTS, SILENT, ARE_DOWN, NOT_MEASURED]),
        Row(
            "Silent or down",
            [
                table(
                    "Silent hosts", Silent(),
                    "Hosts that had values in the time range, and have none at its end. From InfluxDB they come here "
                    "after 5 to 10 minutes.",
                ),
                DOWN_TABLE,
                NOT_MEASURED_TABLE,
            ],
        ),
        Row(
            "All hosts together",
            [
                Panel("CPU of all hosts", OfAllHosts(CPU), CORES, "Processor cores that the group keeps busy."),
                Panel("Processes on all hosts", OfAllHosts(PROCESSES), NUMBER, "Live processes of the group."),
                Panel(
                    "Hosts where it runs", HostsWhere("> 0"), NUMBER, "Hosts where the group has a process."
                ),
                Panel(
                    "Hosts where it is down", HostsWhere("== 0"), NUMBER,
                    "Hosts where the group has no process. Nothing is shown where there is none.",
                ),
            ],
        ),
        Row(
            "How evenly it is spread",
            [
                Panel(
                    "CPU of a host", Spread(CPU), CORES,
                    "Cores that the group keeps busy on the host where it uses most, and on the median host.",
                ),
                Panel(
                    "Memory of a host", Spread(SHARE_OF_MEMORY), SHARE,
                    "Memory of the group as a fraction of the machine's, on the host where it is largest, and on the "
                    "median host.",
                ),
            ],
        ),
        Row("Top hosts", [TOP_CPU, TOP_MEMORY]),
    ],
)

DASHBOARDS = [GROUPS, FLEET]
