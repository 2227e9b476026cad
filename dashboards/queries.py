"""What panels ask, each question written in InfluxQL and in PromQL.

A question has two methods, `influxql` and `promql`. Both return a list of queries that mean the same. A query is
its text, and what the legend says after the name of a series. The list is empty if the language cannot ask that.
`of` says what a series of the answer is about.

Grafana replaces `$host`, `$group` and all words that begin with `$__`.
"""

from dataclasses import dataclass

# InfluxDB returns the last value that is not older than this, as Prometheus does.
LOOKBACK = "5m"
PER_MINUTE = "* 60000 / $__interval_ms"


@dataclass(frozen=True)
class Figure:
    """A figure of a group: a field of line protocol and a metric of Prometheus.

    `kind` says what both hold:

    * `value`: both hold the value itself.
    * `rate`: the field is per second, the metric is a counter.
    * `events`: the field is the number since the last sample, the metric is a counter.
    * `total`: the field is the number since psstat first saw the group, the metric is a counter.
    """

    field: str
    metric: str
    kind: str = "value"

    def influxql(self):
        """The value of an interval. What is counted is per minute."""
        field = f'"{self.field}"'
        if self.kind == "events":
            return f"sum({field}) {PER_MINUTE}"
        if self.kind == "total":
            return f"non_negative_difference(max({field})) {PER_MINUTE}"
        return f"mean({field})"

    def promql(self, window=None):
        """The value now, or the mean of the time `window` before. What is counted is per minute."""
        metric = f"{self.metric}{{{SELECTED}}}"
        if self.kind == "value":
            return f"avg_over_time({metric}[{window}])" if window else metric
        rate = f"rate({metric}[$__rate_interval])"
        if window:
            # rate() over the whole time would take the time without a value for 0.
            rate = f"avg_over_time({rate}[{window}:$__interval])"
        return rate if self.kind == "rate" else f"60 * {rate}"


@dataclass(frozen=True)
class ShareOfMemory(Figure):
    """The memory of a group as a fraction of the machine's, which node_exporter knows."""

    def promql(self, window=None):
        machine = "node_memory_MemTotal_bytes"
        if window:
            # The machine may have gone before the end.
            machine = f"avg_over_time({machine}[{window}])"
        return f"{super().promql(window)} / on (job, instance) group_left () {machine}"


# What a series is about: a group of a host, a group on all hosts, or a host.
GROUP_OF_HOST, GROUP, HOST = ("host", "group"), ("group",), ("host",)
# The groups and hosts that the variables select.
SELECTED = 'instance=~"$host",process_name=~"$group"'
OF_HOSTS = '"host" =~ /^$host$/'
CHOSEN = f'{OF_HOSTS} AND "process_name" =~ /^$group$/'
# The last lines of all series in the time range.
AT_THE_END = f"time > ${{__to}}ms - {LOOKBACK} AND time <= ${{__to}}ms"


def each(expression, time="$__interval", chosen=CHOSEN):
    """InfluxQL: an expression for each series. A series is what has the same tags."""
    where = f'FROM "psstat" WHERE {chosen} AND $timeFilter'
    if time:
        return f"SELECT {expression} {where} GROUP BY time({time}), * fill(none)"
    return f"SELECT {expression} {where} GROUP BY *"


def last(condition, group_by="*", chosen=CHOSEN):
    """InfluxQL: the series whose last number of processes fulfils a condition."""
    inner = f'SELECT last("n_proc") AS "n" FROM "psstat" WHERE {chosen} AND {AT_THE_END} GROUP BY {group_by}'
    return f'SELECT "n" FROM ({inner}) WHERE {condition} GROUP BY {group_by}'


def silent(group_by, chosen):
    """InfluxQL: what has lines in the time range, but none in its last 5 to 10 minutes."""
    lines = 'moving_average(count("n_proc"), 2) AS "lines"'
    counted = (
        f'SELECT {lines} FROM "psstat" WHERE {chosen} AND $timeFilter '
        f"GROUP BY time({LOOKBACK}), {group_by} fill(0)"
    )
    newest = f'SELECT last("lines") AS "lines" FROM ({counted}) GROUP BY {group_by}'
    return f'SELECT "lines" FROM ({newest}) WHERE "lines" = 0 GROUP BY {group_by}'


@dataclass(frozen=True)
class Each:
    """A figure of each group of each host, over time."""

    of = GROUP_OF_HOST

    figure: Figure

    def influxql(self):
        return [(each(self.figure.influxql()), "")]

    def promql(self):
        return [(self.figure.promql(), "")]


@dataclass(frozen=True)
class Part:
    """A figure as a fraction of another, for each group of each host, over time."""

    of = GROUP_OF_HOST

    figure: Figure
    whole: Figure

    def influxql(self):
        expression = f"{self.figure.influxql()} / {self.whole.influxql()}"
        # Without this, a group without the whole has a line without values.
        chosen = f'{CHOSEN} AND "{self.whole.field}" > 0'
        return [(each(expression, chosen=chosen), "")]

    def promql(self):
        return [(f"{self.figure.promql()} / {self.whole.promql()}", "")]


@dataclass(frozen=True)
class Top:
    """The groups with the most of a figure in the whole time range, with their hosts."""

    of = GROUP_OF_HOST

    figure: Figure
    number: int = 10

    def influxql(self):
        inner = each(f'{self.figure.influxql()} AS "v"', time=None)
        return [(f'SELECT top("v", "host", "process_name", {self.number}) FROM ({inner})', "")]

    def promql(self):
        return [(f"topk({self.number}, {self.figure.promql('$__range')})", "")]


@dataclass(frozen=True)
class OfAllHosts:
    """The sum of a figure over all hosts, for each group, over time."""

    of = GROUP

    figure: Figure

    def influxql(self):
        return [(over_hosts('sum("v")', self.figure), "")]

    def promql(self):
        return [(f"sum by (process_name) ({self.figure.promql()})", "")]


@dataclass(frozen=True)
class Spread:
    """A figure of the host that has most of it, and of the median host, for each group, over time."""

    of = GROUP

    figure: Figure

    def influxql(self):
        largest, median = (over_hosts(f'{function}("v")', self.figure) for function in ("max", "median"))
        return [(largest, "largest"), (median, "median")]

    def promql(self):
        value = self.figure.promql()
        return [
            (f"max by (process_name) ({value})", "largest"),
            (f"quantile by (process_name) (0.5, {value})", "median"),
        ]


def over_hosts(expression, figure):
    inner = each(f'{figure.influxql()} AS "v"')
    outer = 'WHERE $timeFilter GROUP BY time($__interval), "process_name" fill(none)'
    return f"SELECT {expression} FROM ({inner}) {outer}"


@dataclass(frozen=True)
class HostsWhere:
    """The number of hosts where the number of a group's processes fulfils a condition, over time."""

    of = GROUP

    condition: str

    def influxql(self):
        inner = each('max("n_proc") AS "n"')
        outer = f'WHERE $timeFilter AND "n" {self.condition.replace("==", "=")}'
        return [
            (
                f'SELECT count("n") FROM ({inner}) {outer} '
                'GROUP BY time($__interval), "process_name" fill(none)',
                "",
            )
        ]

    def promql(self):
        return [(f"count by (process_name) (psstat_processes{{{SELECTED}}} {self.condition})", "")]


@dataclass(frozen=True)
class Down:
    """The groups without a process."""

    of = GROUP_OF_HOST

    def influxql(self):
        return [(last('"n" = 0'), "")]

    def promql(self):
        return [(f"psstat_processes{{{SELECTED}}} == 0", "")]


@dataclass(frozen=True)
class Running:
    """The groups with a process."""

    of = GROUP_OF_HOST

    def influxql(self):
        return [(last('"n" > 0'), "")]

    def promql(self):
        return [(f"psstat_processes{{{SELECTED}}} > 0", "")]


@dataclass(frozen=True)
class NotMeasured:
    """The groups without a value at the end of the time range: psstat says that it cannot measure them, or they
    had a value in the time range."""

    of = GROUP_OF_HOST

    def influxql(self):
        return [(silent("*", CHOSEN), "")]

    def promql(self):
        known = f"count_over_time(psstat_processes{{{SELECTED}}}[$__range])"
        gone = f"({known} unless psstat_processes{{{SELECTED}}})"
        return [(f"psstat_group_unmeasured{{{SELECTED}}} == 1 or {gone}", "")]


@dataclass(frozen=True)
class Heard:
    """The hosts with a value at the end of the time range."""

    of = HOST

    def influxql(self):
        return [(last('"n" >= 0', '"host"', OF_HOSTS), "")]

    def promql(self):
        return [('count by (instance) (psstat_build_info{instance=~"$host"})', "")]


@dataclass(frozen=True)
class Silent:
    """The hosts that had values in the time range, and have none at its end."""

    of = HOST

    def influxql(self):
        return [(silent('"host"', OF_HOSTS), "")]

    def promql(self):
        info = 'psstat_build_info{instance=~"$host"}'
        known = f"count by (instance) (count_over_time({info}[$__range]))"
        return [(f"{known} unless count by (instance) ({info})", "")]


@dataclass(frozen=True)
class Number:
    """How many rows another question has."""

    of = ()

    question: object

    def influxql(self):
        ((query, _),) = self.question.influxql()
        column = "lines" if '"lines"' in query else "n"
        return [(f'SELECT count("{column}") FROM ({query})', "")]

    def promql(self):
        ((query, _),) = self.question.promql()
        return [(f"count({query})", "")]


@dataclass(frozen=True)
class AboutPsstat:
    """A metric about psstat itself, which has another label beside the host. There is no such line for InfluxDB."""

    metric: str
    label: str

    @property
    def of(self):
        return ("host", self.label)

    def influxql(self):
        return []

    def promql(self):
        return [(f'{self.metric}{{instance=~"$host"}}', "")]
