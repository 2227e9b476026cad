//! The output fields: a table with one row for each.
//!
//! To add a field, add a row here, a parser for what it reads (`parse`), and the code that computes
//! one value ([`Report`]) from the readings of the members.

use crate::model::control_group::Figure;
use crate::model::report::{Rate, Report, Tally};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// One field of an output line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `p_cpu`
    CpuShare,
    /// `p_mem`
    MemoryShare,
    /// `n_proc`
    Processes,
    /// `cpu_time`
    CpuTime,
    /// `mem`
    Memory,
    /// `n_thread`
    Threads,
    /// `n_zombie`
    Zombies,
    /// `n_fd`
    OpenFiles,
    /// `io_read`
    StorageRead,
    /// `io_write`
    StorageWrite,
    /// `faults_major`
    MajorFaults,
    /// `ctx_switches`
    Switches,
    /// `uptime`
    Uptime,
    /// `swap`
    Swap,
    /// `starts`
    Starts,
    /// `cpu_throttled`
    CpuThrottled,
    /// `cpu_pressure`
    CpuPressure,
    /// `mem_pressure`
    MemoryPressure,
    /// `io_pressure`
    IoPressure,
    /// `oom_kills`
    OomKills,
    /// `mem_limit`
    MemoryLimit,
    /// `mem_peak`
    MemoryPeak,
}

/// What must be read or kept for a field, besides the `stat` of each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The memory of each member.
    Memory,
    /// The memory of the machine.
    MachineMemory,
    /// `/proc/PID/fd` of each member.
    OpenFiles,
    /// `/proc/PID/io` of each member.
    Storage,
    /// Major page faults of each member.
    MajorFaults,
    /// `/proc/PID/task/TID/status` of each thread.
    Switches,
    /// Totals for each group, kept between samples.
    Totals,
    /// `VmSwap` in `/proc/PID/status` of each member of a group for which no control group tells it.
    Swap,
    /// Which members have started since the last sample.
    Starts,
    /// A figure of each control group that a selector picks, from a file of its own. A group of other processes
    /// has no value then, unless the field has another need.
    Figure(Figure),
    /// The number of processors, if the interval is short.
    Processors,
}

/// The type of a metric, as Prometheus defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// A value that rises and falls.
    Gauge,
    /// A value that only rises.
    Counter,
}

/// The unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A part of 1, which people read as a percentage.
    Share,
    /// How many there are.
    Count,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Events per second.
    PerSecond,
    /// Seconds.
    Seconds,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// The field.
    pub field: Field,
    /// Its name on the command line, in line protocol and in JSON.
    pub name: &'static str,
    /// Its name for Prometheus: base units, and a ratio is from 0 to 1.
    pub metric: &'static str,
    /// Its type for Prometheus.
    pub metric_type: MetricType,
    /// What Prometheus shows instead of the value, if that is per second or since the last sample.
    pub counter: Option<Counter>,
    /// Its name in a table for people.
    pub title: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// A description for users.
    pub help: &'static str,
    /// What must be read or kept for it.
    pub needs: &'static [Need],
    /// The rate that it shows, if any.
    pub rate: Option<Rate>,
    /// Its value in a report.
    value: fn(&Report) -> Option<Value>,
}

/// A counter of what a group did since psstat first saw it.
#[derive(Debug)]
pub struct Counter {
    /// A description for users.
    pub help: &'static str,
    /// What is counted.
    pub tally: Tally,
    /// What 1 is counted as: a second is counted in nanoseconds.
    unit: u64,
}

/// A counter of events or bytes.
const fn of_events(tally: Tally, help: &'static str) -> Option<Counter> {
    Some(Counter { help, tally, unit: 1 })
}

/// A counter of seconds.
const fn of_seconds(figure: Figure, help: &'static str) -> Option<Counter> {
    Some(Counter { help, tally: Tally::Figure(figure), unit: 1_000_000_000 })
}

/// All fields, in the order of [`Field`].
static TABLE: [Row; 22] = [
    Row {
        field: Field::CpuShare,
        name: "p_cpu",
        metric: "psstat_cpu_cores",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "CPU",
        unit: Unit::Share,
        help: "CPU time per second that the group used since the last sample; 1 is one core.",
        needs: &[Need::Processors],
        rate: None,
        value: |report| Value::decimal(report.cpu?, 6),
    },
    Row {
        field: Field::MemoryShare,
        name: "p_mem",
        metric: "psstat_memory_ratio",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "MEM%",
        unit: Unit::Share,
        help: "Fraction of the machine's memory that the group holds; 0.25 is a quarter of it.",
        needs: &[Need::Memory, Need::MachineMemory],
        rate: None,
        value: |report| Value::decimal(report.memory?, 6),
    },
    Row {
        field: Field::Processes,
        name: "n_proc",
        metric: "psstat_processes",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "PROCS",
        unit: Unit::Count,
        help: "Live processes of the group, children included.",
        needs: &[],
        rate: None,
        value: |report| Value::count(report.processes),
    },
    Row {
        field: Field::CpuTime,
        name: "cpu_time",
        metric: "psstat_cpu_seconds_total",
        metric_type: MetricType::Counter,
        counter: None,
        title: "CPU TIME",
        unit: Unit::Seconds,
        help: "Seconds of CPU time that the group has used since psstat first saw it.",
        needs: &[Need::Totals],
        rate: None,
        value: |report| Value::decimal(report.cpu_time?.0 as f64 / 1e9, 6),
    },
    Row {
        field: Field::Memory,
        name: "mem",
        metric: "psstat_memory_bytes",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "MEM",
        unit: Unit::Bytes,
        help: "Bytes of physical memory that the group holds.",
        needs: &[Need::Memory, Need::MachineMemory],
        rate: None,
        value: |report| Value::count(report.bytes?.0),
    },
    Row {
        field: Field::Threads,
        name: "n_thread",
        metric: "psstat_threads",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "THREADS",
        unit: Unit::Count,
        help: "Threads of the group's live processes.",
        needs: &[],
        rate: None,
        value: |report| Value::count(report.threads?),
    },
    Row {
        field: Field::Zombies,
        name: "n_zombie",
        metric: "psstat_zombies",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "ZOMBIES",
        unit: Unit::Count,
        help: "Processes of the group that have ended and whose parent has not waited for them.",
        needs: &[],
        rate: None,
        value: |report| Value::count(report.zombies?),
    },
    Row {
        field: Field::OpenFiles,
        name: "n_fd",
        metric: "psstat_open_fds",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "FDS",
        unit: Unit::Count,
        help: "Open file descriptors of the group.",
        needs: &[Need::OpenFiles],
        rate: None,
        value: |report| Value::count(report.open_files?),
    },
    Row {
        field: Field::StorageRead,
        name: "io_read",
        metric: "psstat_io_read_bytes_total",
        metric_type: MetricType::Counter,
        counter: of_events(
            Tally::Rate(Rate::StorageRead),
            "Bytes that the group has read from storage since psstat first saw it.",
        ),
        title: "READ",
        unit: Unit::BytesPerSecond,
        help: "Bytes per second that the group read from storage since the last sample.",
        needs: &[Need::Storage, Need::Totals],
        rate: Some(Rate::StorageRead),
        value: |report| Value::decimal(*report.rates.get(&Rate::StorageRead)?, 2),
    },
    Row {
        field: Field::StorageWrite,
        name: "io_write",
        metric: "psstat_io_write_bytes_total",
        metric_type: MetricType::Counter,
        counter: of_events(
            Tally::Rate(Rate::StorageWrite),
            "Bytes that the group has written to storage since psstat first saw it.",
        ),
        title: "WRITE",
        unit: Unit::BytesPerSecond,
        help: "Bytes per second that the group wrote to storage since the last sample.",
        needs: &[Need::Storage, Need::Totals],
        rate: Some(Rate::StorageWrite),
        value: |report| Value::decimal(*report.rates.get(&Rate::StorageWrite)?, 2),
    },
    Row {
        field: Field::MajorFaults,
        name: "faults_major",
        metric: "psstat_major_page_faults_total",
        metric_type: MetricType::Counter,
        counter: of_events(
            Tally::Rate(Rate::MajorFaults),
            "Page faults of the group that waited for storage, since psstat first saw it.",
        ),
        title: "FAULTS",
        unit: Unit::PerSecond,
        help: "Page faults per second of the group that waited for storage.",
        needs: &[Need::MajorFaults, Need::Totals],
        rate: Some(Rate::MajorFaults),
        value: |report| Value::decimal(*report.rates.get(&Rate::MajorFaults)?, 4),
    },
    Row {
        field: Field::Switches,
        name: "ctx_switches",
        metric: "psstat_context_switches_total",
        metric_type: MetricType::Counter,
        counter: of_events(
            Tally::Rate(Rate::Switches),
            "Context switches of all threads of the group since psstat first saw it.",
        ),
        title: "SWITCHES",
        unit: Unit::PerSecond,
        help: "Context switches per second of all threads of the group.",
        needs: &[Need::Switches, Need::Totals],
        rate: Some(Rate::Switches),
        value: |report| Value::decimal(*report.rates.get(&Rate::Switches)?, 4),
    },
    Row {
        field: Field::Uptime,
        name: "uptime",
        metric: "psstat_uptime_seconds",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "UPTIME",
        unit: Unit::Seconds,
        help: "Seconds since the oldest live process of the group started.",
        needs: &[],
        rate: None,
        value: |report| Value::decimal(report.uptime?.as_secs_f64(), 2),
    },
    Row {
        field: Field::Swap,
        name: "swap",
        metric: "psstat_swap_bytes",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "SWAP",
        unit: Unit::Bytes,
        help: "Bytes of the group's memory that are swapped out.",
        needs: &[Need::Swap, Need::Figure(Figure::Swap)],
        rate: None,
        value: |report| Value::count(report.swap?.0),
    },
    Row {
        field: Field::Starts,
        name: "starts",
        metric: "psstat_starts_total",
        metric_type: MetricType::Counter,
        counter: of_events(
            Tally::Starts,
            "Starts of the group since psstat first saw it: processes whose parent is not in it.",
        ),
        title: "STARTS",
        unit: Unit::Count,
        help: "Processes that started since the last sample and whose parent is not in the group.",
        needs: &[Need::Starts, Need::Totals],
        rate: None,
        value: |report| Value::count(report.starts?),
    },
    Row {
        field: Field::CpuThrottled,
        name: "cpu_throttled",
        metric: "psstat_cpu_throttled_seconds_total",
        metric_type: MetricType::Counter,
        counter: of_seconds(
            Figure::CpuThrottled,
            "Seconds for which its CPU quota has kept the group from running, since psstat first saw it.",
        ),
        title: "THROTTLED",
        unit: Unit::Share,
        help: "Seconds per second for which its CPU quota kept the group from running, over all processors.",
        needs: &[Need::Figure(Figure::CpuThrottled), Need::Totals],
        rate: None,
        value: |report| Value::decimal(*report.gains.get(&Figure::CpuThrottled)?, 6),
    },
    Row {
        field: Field::CpuPressure,
        name: "cpu_pressure",
        metric: "psstat_cpu_pressure_seconds_total",
        metric_type: MetricType::Counter,
        counter: of_seconds(
            Figure::CpuPressure,
            "Seconds in which some task of the group waited for a processor, since psstat first saw it.",
        ),
        title: "CPU STALL",
        unit: Unit::Share,
        help: "Fraction of the time since the last sample in which some task of the group waited for a processor.",
        needs: &[Need::Figure(Figure::CpuPressure), Need::Totals],
        rate: None,
        value: |report| Value::decimal(*report.gains.get(&Figure::CpuPressure)?, 6),
    },
    Row {
        field: Field::MemoryPressure,
        name: "mem_pressure",
        metric: "psstat_memory_pressure_seconds_total",
        metric_type: MetricType::Counter,
        counter: of_seconds(
            Figure::MemoryPressure,
            "Seconds in which some task of the group waited for memory, since psstat first saw it.",
        ),
        title: "MEM STALL",
        unit: Unit::Share,
        help: "Fraction of the time since the last sample in which some task of the group waited for memory.",
        needs: &[Need::Figure(Figure::MemoryPressure), Need::Totals],
        rate: None,
        value: |report| Value::decimal(*report.gains.get(&Figure::MemoryPressure)?, 6),
    },
    Row {
        field: Field::IoPressure,
        name: "io_pressure",
        metric: "psstat_io_pressure_seconds_total",
        metric_type: MetricType::Counter,
        counter: of_seconds(
            Figure::IoPressure,
            "Seconds in which some task of the group waited for storage, since psstat first saw it.",
        ),
        title: "IO STALL",
        unit: Unit::Share,
        help: "Fraction of the time since the last sample in which some task of the group waited for storage.",
        needs: &[Need::Figure(Figure::IoPressure), Need::Totals],
        rate: None,
        value: |report| Value::decimal(*report.gains.get(&Figure::IoPressure)?, 6),
    },
    Row {
        field: Field::OomKills,
        name: "oom_kills",
        metric: "psstat_oom_kills_total",
        metric_type: MetricType::Counter,
        counter: None,
        title: "OOM KILLS",
        unit: Unit::Count,
        help: "Processes of the group that the kernel killed for lack of memory since psstat first saw it.",
        needs: &[Need::Figure(Figure::OomKills), Need::Totals],
        rate: None,
        value: |report| Value::count(*report.totals.get(&Tally::Figure(Figure::OomKills))?),
    },
    Row {
        field: Field::MemoryLimit,
        name: "mem_limit",
        metric: "psstat_memory_limit_bytes",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "MEM LIMIT",
        unit: Unit::Bytes,
        help: "Bytes of memory that the group may have, by the limits of its control groups and those above.",
        needs: &[Need::Figure(Figure::MemoryLimit)],
        rate: None,
        value: |report| Value::count(*report.levels.get(&Figure::MemoryLimit)?),
    },
    Row {
        field: Field::MemoryPeak,
        name: "mem_peak",
        metric: "psstat_memory_peak_bytes",
        metric_type: MetricType::Gauge,
        counter: None,
        title: "MEM PEAK",
        unit: Unit::Bytes,
        help: "Bytes of the most memory that the control groups of the group have had since they were made.",
        needs: &[Need::Figure(Figure::MemoryPeak)],
        rate: None,
        value: |report| Value::count(*report.levels.get(&Figure::MemoryPeak)?),
    },
];

impl Field {
    /// The fields that are printed by default, in order.
    pub const DEFAULT: [Field; 3] = [Field::CpuShare, Field::MemoryShare, Field::Processes];

    /// The fields that a page for Prometheus has by default: a counter of CPU time instead of its rate since
    /// the last sample, and memory in its base unit.
    pub const DEFAULT_OF_PAGE: [Field; 3] = [Field::CpuTime, Field::Memory, Field::Processes];

    /// The row of the field.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// All fields, in the order of the table.
    pub fn all() -> impl Iterator<Item = Field> {
        TABLE.iter().map(|row| row.field)
    }

    /// The field's name on the command line and in the output.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The field with that name.
    pub fn named(name: &str) -> Option<Field> {
        Field::all().find(|field| field.name() == name)
    }

    /// The field's value. `None` if it is not known, or if an output format cannot represent it.
    pub fn value(self, report: &Report) -> Option<Value> {
        (self.row().value)(report)
    }

    /// What Prometheus shows of the field: its counter, if it has one, or else its value.
    pub fn metric_value(self, report: &Report) -> Option<Value> {
        let Some(counter) = &self.row().counter else { return self.value(report) };
        let total = *report.totals.get(&counter.tally)?;
        match counter.unit {
            1 => Value::count(total),
            unit => Value::decimal(total as f64 / unit as f64, 6),
        }
    }

    /// The figure of control groups that it shows, if any.
    pub fn figure(self) -> Option<Figure> {
        self.row().needs.iter().find_map(|need| match need {
            Need::Figure(figure) => Some(*figure),
            _ => None,
        })
    }

    /// Whether only groups of units and control groups have it.
    pub fn is_of_control_groups(self) -> bool {
        self.figure().is_some() && self != Field::Swap
    }
}

/// The fields to print, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

impl Fields {
    /// Makes a list of these fields, in this order.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Fields {
        Fields(fields.into_iter().collect())
    }

    /// The fields, in order.
    pub fn as_slice(&self) -> &[Field] {
        &self.0
    }

    /// Whether one of the fields has the need.
    pub fn need(&self, need: Need) -> bool {
        self.0.iter().any(|field| field.row().needs.contains(&need))
    }

    /// Whether one of the fields shows a figure of control groups.
    pub fn need_figures(&self) -> bool {
        self.0.iter().any(|field| field.figure().is_some())
    }

    /// The figures of control groups that the fields show, in order.
    pub fn figures(&self) -> Vec<Figure> {
        Figure::all().filter(|&figure| self.need(Need::Figure(figure))).collect()
    }

    /// Whether the rate is printed.
    pub fn show_rate(&self, rate: Rate) -> bool {
        self.0.iter().any(|field| field.row().rate == Some(rate))
    }

    /// The fields that have the need, in order.
    pub fn with_need(&self, need: Need) -> impl Iterator<Item = Field> {
        self.0.iter().copied().filter(move |field| field.row().needs.contains(&need))
    }
}

impl Default for Fields {
    fn default() -> Fields {
        Fields::new(Field::DEFAULT)
    }
}

/// The value of a field. It is never negative, infinite or NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number, printed with a limited number of decimals.
    Decimal {
        /// The number.
        number: f64,
        /// The maximum number of decimals. At least 1.
        decimals: usize,
    },
    /// A whole number.
    Count(u64),
}

impl Value {
    fn decimal(number: f64, decimals: usize) -> Option<Value> {
        (number.is_finite() && number >= 0.0).then_some(Value::Decimal { number, decimals })
    }

    /// `None` if the number exceeds a signed 64-bit integer. InfluxDB would reject the whole batch.
    fn count(number: u64) -> Option<Value> {
        i64::try_from(number).is_ok().then_some(Value::Count(number))
    }

    /// The value as a number, rounded if it is a count above 2^53.
    pub fn number(self) -> f64 {
        match self {
            Value::Decimal { number, .. } => number,
            Value::Count(count) => count as f64,
        }
    }

    /// Appends the value to `text`, without trailing zeros after the point.
    pub fn write(self, text: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Value::Count(number) => write!(text, "{number}"),
            Value::Decimal { number, decimals } => write!(text, "{number:.decimals$}"),
        };
        if let Value::Decimal { .. } = self {
            text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(number: f64, decimals: usize) -> String {
        let mut text = String::new();
        Value::Decimal { number, decimals }.write(&mut text);
        text
    }

    #[test]
    fn each_row_is_at_the_index_of_its_field() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.field as usize, index, "{}", row.name);
            assert_eq!(Field::named(row.name), Some(row.field));
        }
    }

    #[test]
    fn each_rate_has_one_field() {
        for rate in Rate::ALL {
            let fields = Field::all().filter(|field| field.row().rate == Some(rate));
            assert_eq!(fields.count(), 1, "{rate:?}");
        }
    }

    #[test]
    fn each_figure_has_one_field() {
        for figure in Figure::all() {
            let fields = Field::all().filter(|field| field.figure() == Some(figure));
            assert_eq!(fields.count(), 1, "{figure:?}");
        }
    }

    #[test]
    fn what_is_per_second_is_a_counter_for_prometheus() {
        for row in &TABLE {
            let is_per_second = row.rate.is_some()
                || matches!(row.unit, Unit::PerSecond | Unit::BytesPerSecond)
                || row.field.figure().is_some_and(|figure| Figure::COUNTERS.contains(&figure));
            let is_counter = row.metric.ends_with("_total");
            assert_eq!(row.metric_type == MetricType::Counter, is_counter, "{}", row.name);
            assert!(is_counter || !is_per_second, "{}", row.name);
            assert!(is_counter || row.counter.is_none(), "{}", row.name);
            // Its total must be kept.
            assert!(!is_counter || row.needs.contains(&Need::Totals), "{}", row.name);
        }
    }

    #[test]
    fn trailing_zeros_are_cut() {
        for (number, decimals, expected) in [
            (0.0, 4, "0"),
            (0.00004, 4, "0"),
            (0.00005001, 4, "0.0001"),
            (1.0, 4, "1"),
            (100.0, 4, "100"),
            (10.1, 4, "10.1"),
            (0.1234567, 6, "0.123457"),
            (0.9999999, 6, "1"),
            (2000.5, 4, "2000.5"),
        ] {
            assert_eq!(decimal(number, decimals), expected);
        }
        let mut text = String::new();
        Value::Count(100).write(&mut text);
        assert_eq!(text, "100");
    }

    proptest! {
        #[test]
        fn a_decimal_reads_back_within_its_precision(number in 0.0f64..1e6) {
            let text = decimal(number, 4);
            let back: f64 = text.parse().unwrap();
            prop_assert!((back - number).abs() <= 0.000_050_01);
            prop_assert!(!text.ends_with('.') && (!text.contains('.') || !text.ends_with('0')));
        }
    }
}
