//! What the kernel tells of a control group of version 2 in files of its own: see [`Figure`].

use super::{Mounted, is_gone, join, read_small};
use crate::sys::{self, retry};
use psstat_core::model::control_group::{Figure, NO_LIMIT};
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::parse::cgroupfs as parse;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;

/// Larger than any of the files.
const SIZE: usize = 4096;

/// A file, how to read it, and what is missing if it has nothing to read.
struct Source {
    file: &'static str,
    parse: fn(&[u8]) -> Option<u64>,
    /// The line that the file has only with a controller. `None` if the whole file is missing without.
    line: Option<&'static str>,
}

impl Source {
    const fn new(file: &'static str, parse: fn(&[u8]) -> Option<u64>) -> Source {
        Source { file, parse, line: None }
    }

    fn of(figure: Figure) -> Source {
        match figure {
            Figure::CpuThrottled => Source {
                line: Some("throttled_usec"),
                ..Source::new("cpu.stat", parse::cpu_stat_throttled)
            },
            Figure::CpuPressure => Source::new("cpu.pressure", parse::pressure_total),
            Figure::MemoryPressure => Source::new("memory.pressure", parse::pressure_total),
            Figure::IoPressure => Source::new("io.pressure", parse::pressure_total),
            Figure::OomKills => Source::new("memory.events", parse::oom_kills),
            Figure::MemoryLimit => Source::new("memory.max", parse::memory_limit),
            Figure::MemoryPeak => Source::new("memory.peak", parse::bytes),
            Figure::Swap => Source::new("memory.swap.current", parse::bytes),
        }
    }
}

/// The memory limits that were read in one walk, by the path of the control group. [`Reason::Missing`] if it
/// has none of its own.
pub type Limits = RefCell<HashMap<Vec<u8>, Result<u64, Reason>>>;

/// What the kernel tells of a control group, and the memory limits on the way to it.
pub type Figures = (BTreeMap<Figure, Result<u64, ReadError>>, Vec<u64>);

impl Mounted {
    /// Reads these figures of the control group with that path, which is open.
    pub fn figures(
        &self,
        directory: &OwnedFd,
        path: &[u8],
        wanted: &[Figure],
        limits: &Limits,
    ) -> Figures {
        let mut figures = BTreeMap::new();
        let mut on_the_way = Vec::new();
        for &figure in wanted {
            let source = Source::of(figure);
            let read = match figure {
                Figure::MemoryLimit => {
                    on_the_way = self.limits(path, limits);
                    smallest(&mut on_the_way)
                }
                _ => read(directory, b"", &source),
            };
            let read = read.map_err(|reason| {
                let is_missing = reason == Reason::Missing;
                // Nothing is missing in a group that has been removed meanwhile.
                let is_removed = is_missing && !has_processes_file(directory);
                let reason = if is_removed { Reason::Vanished } else { reason };
                let mut error = self.error(&join(path, source.file.as_bytes()), Errno::NOENT);
                if let Some(line) = source.line.filter(|_| is_missing) {
                    error.path = format!("{} of {}", line, error.path);
                }
                ReadError { reason, ..error }
            });
            figures.insert(figure, read);
        }
        (figures, on_the_way.into_iter().map(|limit| limit.unwrap_or(NO_LIMIT)).collect())
    }

    /// The memory limits of the root, of each group above the one with that path, and of it.
    fn limits(&self, path: &[u8], known: &Limits) -> Vec<Result<u64, Reason>> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        let below = ends.chain([path.len()]).filter(|&end| end > 0);
        let paths = std::iter::once(0).chain(below).map(|end| &path[..end]);
        let mut known = known.borrow_mut();
        let limit = |path: &[u8]| {
            if let Some(limit) = known.get(path) {
                return limit.clone();
            }
            let limit = read(&self.dir, path, &Source::of(Figure::MemoryLimit));
            known.insert(path.to_vec(), limit.clone());
            limit
        };
        paths.map(limit).collect()
    }
}

/// The smallest of these limits.
///
/// # Errors
/// If none could be read, or one could not although it is there.
fn smallest(limits: &mut [Result<u64, Reason>]) -> Result<u64, Reason> {
    let mut smallest = Err(Reason::Missing);
    for limit in limits.iter() {
        match limit {
            Ok(limit) => smallest = Ok(smallest.map_or(*limit, |other: u64| other.min(*limit))),
            // The controller may be enabled only above it, and the root has no limit.
            Err(Reason::Missing) => {}
            Err(reason) => return Err(reason.clone()),
        }
    }
    smallest
}

/// Reads a file of the control group with that path below `directory`.
///
/// # Errors
/// [`Reason::Missing`] if there is nothing to read, [`Reason::Malformed`] if it is not what the kernel writes.
fn read(directory: &OwnedFd, path: &[u8], source: &Source) -> Result<u64, Reason> {
    let mut buffer = [0; SIZE];
    let text = match read_small(directory, &join(path, source.file.as_bytes())[..], &mut buffer) {
        Ok(Some(text)) if text.len() < SIZE => text,
        Ok(Some(_)) => return Err(Reason::Malformed),
        // A kernel whose pressure stall information is turned off has the files all the same (`psi_show`,
        // kernel/sched/psi.c).
        Ok(None) | Err(Errno::OPNOTSUPP) => return Err(Reason::Missing),
        Err(errno) => return Err(sys::reason(errno)),
    };
    match source.line {
        Some(line) if !has_line(text, line) => Err(Reason::Missing),
        _ => (source.parse)(text).ok_or(Reason::Malformed),
    }
}

fn has_line(text: &[u8], key: &str) -> bool {
    let mut lines = text.split(|&byte| byte == b'\n');
    lines.any(|line| line.split(|&byte| byte == b' ').next() == Some(key.as_bytes()))
}

/// Whether a group has a list of its processes, as each group has that exists.
fn has_processes_file(directory: &OwnedFd) -> bool {
    let stat = || rustix::fs::statat(directory, c"cgroup.procs", AtFlags::SYMLINK_NOFOLLOW);
    !retry(stat).is_err_and(is_gone)
}
