//! The anonymous memory of a simulated world: which process maps which page, and which control group it is
//! charged to.
//!
//! A page here is a MiB, so that a few of them make a difference. A child has the pages of its parent. Who
//! writes to a common page gets one of his own (copy-on-write). A page is charged to the control group of the
//! process that first had it, and stays charged to it when a process moves.

use super::world::Life;
use std::collections::{BTreeMap, BTreeSet};

/// The size of a page, in bytes.
pub const PAGE: u64 = 1 << 20;

#[derive(Clone, Debug, Default)]
pub struct Pages {
    of: BTreeMap<Life, BTreeSet<usize>>,
    /// The control group that each page is charged to.
    charged: Vec<&'static str>,
}

impl Pages {
    pub fn fork(&mut self, parent: Life, child: Life) {
        if let Some(pages) = self.of.get(&parent).cloned() {
            self.of.insert(child, pages);
        }
    }

    pub fn release(&mut self, life: Life) {
        self.of.remove(&life);
    }

    /// The process writes to so many new pages.
    pub fn map(&mut self, life: Life, control_group: &'static str, count: usize) {
        for _ in 0..count {
            self.of.entry(life).or_default().insert(self.charged.len());
            self.charged.push(control_group);
        }
    }

    /// The process gives up so many pages.
    pub fn unmap(&mut self, life: Life, count: usize) {
        let pages = self.of.entry(life).or_default();
        for _ in 0..count {
            pages.pop_first();
        }
    }

    /// The process writes to so many pages that it has in common with others.
    pub fn copy(&mut self, life: Life, control_group: &'static str, count: usize) {
        let mine = self.of(life);
        let common = mine.iter().copied().filter(|&page| self.mappers(page) > 1).take(count);
        let common: Vec<usize> = common.collect();
        self.map(life, control_group, common.len());
        let pages = self.of.entry(life).or_default();
        for page in common {
            pages.remove(&page);
        }
    }

    pub fn of(&self, life: Life) -> BTreeSet<usize> {
        self.of.get(&life).cloned().unwrap_or_default()
    }

    /// How many processes have a page.
    pub fn mappers(&self, page: usize) -> usize {
        self.of.values().filter(|pages| pages.contains(&page)).count()
    }

    /// The number of pages that some process has and that are charged to a control group for which this holds.
    pub fn charged_to(&self, holds: impl Fn(&str) -> bool) -> u64 {
        let all: BTreeSet<&usize> = self.of.values().flatten().collect();
        all.into_iter().filter(|&&page| holds(self.charged[page])).count() as u64
    }

    /// The number of different pages of these processes.
    pub fn count(&self, lives: impl Iterator<Item = Life>) -> u64 {
        let all: BTreeSet<usize> = lives.flat_map(|life| self.of(life)).collect();
        all.len() as u64
    }
}
