//! A job: what to measure, where, and how. The command line and the configuration file become a job
//! by way of [`Settings`](crate::settings::Settings).

use crate::mistakes::Mistake;
use psstat_core::emit::table::Sort;
use psstat_core::field::Field;
use psstat_core::plan::Plan;
use std::path::PathBuf;
use std::time::Duration;

/// What to measure, where, and how.
#[derive(Debug)]
pub struct Job {
    /// What to measure and how to print it.
    pub plan: Plan,
    /// Where procfs and sysfs are mounted.
    pub mounts: Mounts,
    /// What a sample is compared with, if the run takes only one.
    pub baseline: Baseline,
    /// The file that each sample replaces. `None` means standard output.
    pub output: Option<PathBuf>,
    /// The time between two samples of a resident process. `None` means only on request.
    pub interval: Option<Duration>,
    /// Whether `/proc` is read on several threads.
    pub multi_threaded: bool,
    /// Whether a resident process restricts itself to what it needs.
    pub sandbox: bool,
    /// Whether a resident process asks the kernel for a record of each exit.
    pub exit_records: bool,
    /// How long a run may take.
    pub timeout: Duration,
    /// The configuration files that were read.
    pub files: Vec<PathBuf>,
    /// Settings that cannot do what was meant.
    pub mistakes: Vec<Mistake>,
}

/// What `psstat top` shows.
#[derive(Debug)]
pub struct Watched {
    /// What to measure.
    pub job: Job,
    /// What that is, in a few words.
    pub title: String,
    /// Whether groups without processes are left out.
    pub skips_empty: bool,
    /// How the groups are sorted at first.
    pub order: Order,
}

/// By what groups are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// CPU.
    #[default]
    Cpu,
    /// Memory.
    Memory,
    /// Number of processes.
    Processes,
    /// Number of threads.
    Threads,
    /// The age of the oldest process.
    Uptime,
    /// CPU time since psstat first saw the group.
    CpuTime,
    /// The name of the group.
    Name,
}

impl Order {
    /// All orders.
    pub const ALL: [Order; 7] = [
        Order::Cpu,
        Order::Memory,
        Order::Processes,
        Order::Threads,
        Order::Uptime,
        Order::CpuTime,
        Order::Name,
    ];

    /// The name of the order on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Order::Cpu => "cpu",
            Order::Memory => "mem",
            Order::Processes => "n_proc",
            Order::Threads => "n_thread",
            Order::Uptime => "uptime",
            Order::CpuTime => "cpu_time",
            Order::Name => "name",
        }
    }

    /// The order of a table that is sorted like that.
    pub fn of(sort: Sort) -> Order {
        match sort {
            Sort::Name => Order::Name,
            Sort::By(Field::Memory | Field::MemoryShare) => Order::Memory,
            Sort::By(Field::Processes) => Order::Processes,
            Sort::By(Field::Threads) => Order::Threads,
            Sort::By(Field::Uptime) => Order::Uptime,
            Sort::By(Field::CpuTime) => Order::CpuTime,
            Sort::By(_) => Order::Cpu,
        }
    }
}

/// Where procfs and sysfs are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounts {
    /// procfs.
    pub proc: PathBuf,
    /// sysfs.
    pub sys: PathBuf,
    /// Whether somebody has said where procfs is. If not, it may be a container's by mistake.
    pub is_proc_chosen: bool,
}

/// What a sample is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The state that the run before left in this file.
    Cache {
        /// The file's directory.
        dir: PathBuf,
        /// The file's name.
        name: String,
    },
    /// Another sample, taken that long before by the same run.
    Wait(Duration),
}
