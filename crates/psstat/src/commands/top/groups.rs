//! The groups that are shown, with their history. Pure.

use super::history::History;
use crate::job::Order;
use psstat_core::model::label::Label;
use psstat_core::model::report::Report;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

/// A group: what it cost in the last sample, and before.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub label: Label,
    /// CPU time per elapsed time. 1 is one busy core.
    pub cpu: Option<f64>,
    /// Memory in bytes.
    pub memory: Option<f64>,
    /// Memory, as a fraction of the machine's memory.
    pub share: Option<f64>,
    /// Number of live processes. `None` if it is not known who belongs to the group.
    pub processes: Option<u64>,
    /// Number of threads.
    pub threads: Option<u64>,
    /// The age of the oldest process.
    pub uptime: Option<Duration>,
    /// CPU time since psstat first saw the group.
    pub cpu_time: Option<Duration>,
    /// `cpu` of the last samples.
    pub cpu_history: History,
    /// `memory` of the last samples.
    pub memory_history: History,
}

impl Group {
    /// The group of a report, which was `before`.
    fn new(report: Report, before: Option<Group>) -> Group {
        let (cpu_history, memory_history) =
            before.map(|before| (before.cpu_history, before.memory_history)).unwrap_or_default();
        let mut group = Group {
            cpu: report.cpu,
            memory: report.bytes.map(|bytes| bytes.0 as f64),
            share: report.memory,
            processes: Some(report.processes),
            threads: report.threads,
            uptime: report.uptime,
            cpu_time: report.cpu_time.map(|time| Duration::from_nanos(time.0)),
            label: report.label,
            cpu_history,
            memory_history,
        };
        group.cpu_history.push(group.cpu);
        group.memory_history.push(group.memory);
        group
    }

    /// A group without a report: it is not known who belongs to it.
    fn unknown(label: Label, before: Option<Group>) -> Group {
        let (cpu_history, memory_history) =
            before.map(|before| (before.cpu_history, before.memory_history)).unwrap_or_default();
        let mut group = Group {
            label,
            cpu: None,
            memory: None,
            share: None,
            processes: None,
            threads: None,
            uptime: None,
            cpu_time: None,
            cpu_history,
            memory_history,
        };
        group.cpu_history.push(None);
        group.memory_history.push(None);
        group
    }

    /// Whether it has no process, and had none since the last sample.
    fn is_empty(&self) -> bool {
        self.processes == Some(0) && self.cpu.is_none_or(|cpu| cpu == 0.0)
    }

    fn compare(&self, other: &Group, order: Order) -> Ordering {
        fn values<T: PartialOrd>(one: T, other: T) -> Ordering {
            one.partial_cmp(&other).unwrap_or(Ordering::Equal)
        }
        match order {
            Order::Cpu => values(self.cpu, other.cpu),
            Order::Memory => values(self.memory, other.memory),
            Order::Processes => self.processes.cmp(&other.processes),
            Order::Threads => self.threads.cmp(&other.threads),
            Order::Uptime => self.uptime.cmp(&other.uptime),
            Order::CpuTime => self.cpu_time.cmp(&other.cpu_time),
            Order::Name => self.label.cmp(&other.label),
        }
    }
}

/// By what the groups are sorted, and in which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorting {
    /// By what.
    pub order: Order,
    /// Whether the direction is not the usual one: names from A to Z, quantities from large to small.
    pub is_reversed: bool,
}

/// All groups, and which of them are shown.
#[derive(Debug)]
pub struct Groups {
    all: Vec<Group>,
    /// Indices of those that are shown, in the order in which they are.
    shown: Vec<usize>,
    sorting: Sorting,
    /// In lower case. A group is shown if its name contains it.
    filter: String,
    /// Whether groups without processes are left out.
    skips_empty: bool,
}

impl Groups {
    /// No groups yet.
    pub fn new(order: Order, skips_empty: bool) -> Groups {
        let sorting = Sorting { order, is_reversed: false };
        Groups { all: Vec::new(), shown: Vec::new(), sorting, filter: String::new(), skips_empty }
    }

    /// Takes the reports of a sample, and the groups of which it is not known who belongs to them.
    pub fn update(&mut self, reports: Vec<Report>, unknown: Vec<Label>) {
        let before = std::mem::take(&mut self.all).into_iter();
        let mut before: BTreeMap<Label, Group> =
            before.map(|group| (group.label.clone(), group)).collect();
        let mut groups = Vec::new();
        for report in reports {
            let before = before.remove(&report.label);
            groups.push(Group::new(report, before));
        }
        for label in unknown {
            let before = before.remove(&label);
            groups.push(Group::unknown(label, before));
        }
        groups.retain(|group| !self.skips_empty || !group.is_empty());
        self.all = groups;
        self.arrange();
    }

    /// Sorts and filters.
    fn arrange(&mut self) {
        let Sorting { order, is_reversed } = self.sorting;
        let descends = (order == Order::Name) == is_reversed;
        self.all.sort_by(|one, other| {
            let by_value = one.compare(other, order);
            let by_value = if descends { by_value.reverse() } else { by_value };
            by_value.then_with(|| one.label.cmp(&other.label))
        });
        let filter = &self.filter;
        let is_shown = |group: &Group| {
            filter.is_empty() || group.label.as_str().to_lowercase().contains(filter)
        };
        let shown = self.all.iter().enumerate().filter(|(_, group)| is_shown(group));
        self.shown = shown.map(|(index, _)| index).collect();
    }

    /// How the groups are sorted.
    pub fn sorting(&self) -> Sorting {
        self.sorting
    }

    /// Sorts otherwise.
    pub fn sort(&mut self, sorting: Sorting) {
        self.sorting = sorting;
        self.arrange();
    }

    /// Shows only groups whose names contain this text, in upper or lower case.
    pub fn filter(&mut self, text: &str) {
        self.filter = text.to_lowercase();
        self.arrange();
    }

    /// How many groups there are, also of those that are not shown.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// How many groups are shown.
    pub fn count_shown(&self) -> usize {
        self.shown.len()
    }

    /// A group that is shown.
    pub fn shown(&self, position: usize) -> Option<&Group> {
        self.shown.get(position).and_then(|&index| self.all.get(index))
    }

    /// Where a group is shown.
    pub fn position(&self, label: &Label) -> Option<usize> {
        self.shown.iter().position(|&index| self.all[index].label == *label)
    }

    /// The group of that name, shown or not.
    pub fn named(&self, label: &Label) -> Option<&Group> {
        self.all.iter().find(|group| group.label == *label)
    }
}

/// Helpers for tests.
#[cfg(test)]
pub mod tests {
    use super::*;
    use psstat_core::model::units::{Bytes, CpuNanos};

    /// A label with that text.
    pub fn label(text: &str) -> Label {
        Label::lossy(text.as_bytes())
    }

    /// The report of a group.
    pub fn report(name: &str, cpu: f64, mebibytes: f64, processes: u64) -> Report {
        let mebibyte = Duration::from_nanos(1_048_576);
        Report {
            label: label(name),
            selector: 0,
            cpu: Some(cpu),
            memory: Some(mebibytes / 24_576.0),
            processes,
            bytes: u64::try_from(mebibyte.mul_f64(mebibytes).as_nanos()).ok().map(Bytes),
            threads: Some(2 * processes),
            zombies: Some(0),
            open_files: None,
            uptime: Some(Duration::from_secs(3600 * processes)),
            cpu_time: Some(CpuNanos(60_000_000_000 * processes)),
            rates: BTreeMap::new(),
            swap: None,
            starts: None,
            gains: BTreeMap::new(),
            levels: BTreeMap::new(),
            totals: BTreeMap::new(),
        }
    }

    fn names(groups: &Groups) -> Vec<&str> {
        (0..groups.count_shown()).map(|at| groups.shown(at).unwrap().label.as_str()).collect()
    }

    #[test]
    fn groups_are_sorted_and_filtered() {
        let mut groups = Groups::new(Order::Cpu, false);
        let unknown = Report { cpu: None, ..report("unknown", 0.0, 1.0, 1) };
        groups.update(
            vec![unknown, report("Web", 0.5, 10.0, 2), report("db", 0.1, 50.0, 3)],
            Vec::new(),
        );
        assert_eq!(names(&groups), ["Web", "db", "unknown"]);
        let sorted = |groups: &mut Groups, order, is_reversed| {
            groups.sort(Sorting { order, is_reversed });
            names(groups).join(" ")
        };
        assert_eq!(sorted(&mut groups, Order::Cpu, true), "unknown db Web");
        for order in
            [Order::Memory, Order::Processes, Order::Threads, Order::Uptime, Order::CpuTime]
        {
            assert_eq!(sorted(&mut groups, order, false), "db Web unknown", "{order:?}");
        }
        assert_eq!(sorted(&mut groups, Order::Name, false), "Web db unknown");
        groups.filter("wE");
        assert_eq!(names(&groups), ["Web"]);
        assert_eq!((groups.count(), groups.position(&label("db"))), (3, None));
        groups.filter("");
        assert_eq!(groups.position(&label("db")), Some(1));
    }

    #[test]
    fn a_group_keeps_its_history_while_it_lasts() {
        let mut groups = Groups::new(Order::Name, true);
        groups.update(vec![report("a", 0.1, 1.0, 1), report("b", 0.0, 0.0, 0)], Vec::new());
        assert_eq!(names(&groups), ["a"], "b has no process");
        groups.update(vec![report("a", 0.2, 2.0, 1), report("b", 0.5, 0.0, 0)], Vec::new());
        let history = |name: &str| {
            let group = groups.named(&label(name)).unwrap();
            group.cpu_history.last(9).flatten().collect::<Vec<_>>()
        };
        assert_eq!(history("a"), [0.1, 0.2]);
        assert_eq!(history("b"), [0.5], "its processes have come and gone");
        groups.update(vec![report("b", 0.0, 0.0, 1)], vec![label("a")]);
        let group = groups.named(&label("a")).unwrap();
        assert_eq!((group.cpu, group.processes), (None, None), "it is shown, and not as empty");
        let history: Vec<Option<f32>> = group.cpu_history.last(9).collect();
        assert_eq!(history[history.len() - 3..], [Some(0.1), Some(0.2), None]);
    }
}
