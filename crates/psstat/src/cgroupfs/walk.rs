//! The walk over a hierarchy of control groups.
//!
//! A user can make control groups below those that were delegated to him, as many as the kernel allows.
//! So the walk enters only what a selector can pick from, and looks at a limited number of directories
//! ([`MOST_IN_TREE`], [`MOST_IN_ALL`]) in a limited time. What it has not looked at is noted in
//! [`Hierarchy::unread`], and groups that may be there have no line.
//!
//! The limit must not let one user hide the control groups of others. The walk divides the hierarchy into
//! trees: one for each group that is picked, and one for each directory that systemd gives to a unit. It
//! looks at one directory of each tree in turn, the uppermost first. So a tree that is too large uses
//! only what the others leave.

use super::figures::Limits;
use super::{Mounted, is_gone, join, members, open_directory, subdirectories};
use crate::sys::retry;
use psstat_core::kernel::Wanted;
use psstat_core::model::control_group::{ControlGroup, Hierarchy, UnreadDirectory};
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::select::systemd::Position;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Directories nested deeper than this are ignored. The kernel has no limit; ten levels are usual.
const DEPTH_LIMIT: usize = 64;

/// How many directories of one tree the walk looks at at most. A host with 500 containers has some
/// thousand directories in all. To read the processes of so many takes about a quarter of a second (16 µs
/// each, on a machine of 2026).
pub const MOST_IN_TREE: usize = 16_384;

/// How many directories the walk looks at at most: those of four trees that are too large. This takes about
/// a second.
pub const MOST_IN_ALL: usize = 65_536;

/// A directory that the walk is to look at.
struct Next<'p> {
    /// Index of the directory above it among those seen. `None` for the root.
    above: Option<usize>,
    name: Vec<u8>,
    position: Position<'p>,
    unit: Option<Vec<u8>>,
    depth: usize,
}

/// A directory that the walk has looked at.
struct Seen {
    path: Vec<u8>,
    /// The group, if it is wanted.
    group: Option<ControlGroup>,
    /// Whether it is in a picked group, or is one.
    inside: bool,
    may_hold_units: bool,
}

/// Directories of one tree that the walk is still to look at.
struct Tree<'p> {
    /// Its path.
    path: Vec<u8>,
    next: VecDeque<Next<'p>>,
    /// How many more the walk may look at or note.
    left: usize,
}

/// Walks over a mounted hierarchy. Finds the wanted groups and all groups below them. Stops when it
/// `is_out_of_time`, or has looked at too many directories.
///
/// # Errors
/// If the root may not be read.
pub fn walk(
    mounted: &Mounted,
    wanted: Wanted<'_>,
    is_out_of_time: &dyn Fn() -> bool,
) -> Result<Hierarchy, Errno> {
    open_directory(&mounted.dir, ".")?;
    Ok(Walk::new(mounted, wanted, is_out_of_time).run())
}

/// A walk in progress.
struct Walk<'w> {
    mounted: &'w Mounted,
    wanted: Wanted<'w>,
    is_out_of_time: &'w dyn Fn() -> bool,
    trees: VecDeque<Tree<'w>>,
    seen: Vec<Seen>,
    found: Hierarchy,
    limits: Limits,
}

impl<'w> Walk<'w> {
    fn new(
        mounted: &'w Mounted,
        wanted: Wanted<'w>,
        is_out_of_time: &'w dyn Fn() -> bool,
    ) -> Walk<'w> {
        let (unit, position) = Position::root(&mounted.manager);
        let unit = unit.map(<[u8]>::to_vec);
        let root = Next { above: None, name: Vec::new(), position, unit, depth: 0 };
        let tree = Tree { path: Vec::new(), next: VecDeque::from([root]), left: MOST_IN_TREE };
        let (trees, seen, found) = (VecDeque::from([tree]), Vec::new(), Hierarchy::default());
        let limits = Limits::default();
        Walk { mounted, wanted, is_out_of_time, trees, seen, found, limits }
    }

    /// Looks at the directories. Returns what was found.
    fn run(mut self) -> Hierarchy {
        while let Some(mut tree) = self.trees.pop_front() {
            let Some(next) = tree.next.pop_front() else { continue };
            let reason = if self.found.visited >= MOST_IN_ALL {
                Some(Reason::TooMany)
            } else {
                (self.is_out_of_time)().then_some(Reason::OutOfTime)
            };
            match reason {
                Some(reason) => {
                    for next in [next].into_iter().chain(tree.next) {
                        self.add_unvisited(next.above, reason.clone(), &tree.path);
                    }
                }
                None => {
                    self.found.visited += 1;
                    self.visit(next, &mut tree);
                    self.trees.push_back(tree);
                }
            }
        }
        self.finish()
    }

    /// Looks at a directory.
    fn visit(&mut self, next: Next<'w>, tree: &mut Tree<'w>) {
        let above = next.above.map(|above| &self.seen[above]);
        let path = above.map_or(Vec::new(), |above| join(&above.path, &next.name));
        let was_inside = above.is_some_and(|above| above.inside);
        let opened = match path.as_slice() {
            b"" => open_directory(&self.mounted.dir, "."),
            path => open_directory(&self.mounted.dir, path),
        };
        // Without its id, a group would count as one that was made since the last sample.
        let opened =
            opened.and_then(|directory| Ok((retry(|| rustix::fs::fstat(&directory))?, directory)));
        let (stat, opened) = match opened {
            Ok((stat, directory)) => (Ok(stat), Ok(directory)),
            Err(errno) if is_gone(errno) => return,
            Err(errno) => {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                let stat = retry(|| rustix::fs::statat(&self.mounted.dir, &path[..], flags));
                (stat, Err(errno))
            }
        };
        let (id, links) = stat.map_or((0, 0), |stat| (stat.st_ino, stat.st_nlink));
        self.found.has_units |= next.unit.is_some() && !path.is_empty();
        let selectors = (self.wanted.pick)(&path, next.unit.as_deref());
        let is_picked = !selectors.is_empty();
        let inside = was_inside || is_picked;
        let may_hold_units = self.wanted.units && next.position != Position::Inside;
        let group = ControlGroup {
            path: path.clone(),
            unit: next.unit,
            id,
            selectors,
            ..ControlGroup::default()
        };
        let group = inside.then(|| self.read(group, opened.as_ref().map_err(|errno| *errno)));
        let index = self.seen.len();
        // A directory has a link from each of its subdirectories, on file systems that count them.
        let may_have_children = links != 2 && next.depth < DEPTH_LIMIT;
        let is_entered = inside || may_hold_units || (self.wanted.below)(&path);
        self.seen.push(Seen { path, group, inside, may_hold_units });
        let directory = match opened {
            Ok(directory) if may_have_children && is_entered => directory,
            Ok(_) => return,
            Err(errno) => {
                self.add_unread(index, errno);
                return;
            }
        };
        if is_picked && !was_inside && next.depth > 0 {
            let path = self.seen[index].path.clone();
            let mut own = Tree { path, next: VecDeque::new(), left: MOST_IN_TREE };
            self.enter((index, &directory), next.position, next.depth + 1, &mut own);
            self.trees.push_back(own);
        } else {
            self.enter((index, &directory), next.position, next.depth + 1, tree);
        }
    }

    /// Notes the directories below one, unless nothing wanted can be in them.
    fn enter(
        &mut self,
        (index, directory): (usize, &OwnedFd),
        position: Position<'w>,
        depth: usize,
        tree: &mut Tree<'w>,
    ) {
        // One more than there is room for, if there are more.
        let room = tree.left;
        let names = match subdirectories(directory, room + 1) {
            Ok(names) => names,
            Err(errno) if is_gone(errno) => return,
            Err(errno) => {
                if let Some(group) = &mut self.seen[index].group {
                    group.error = Some(self.mounted.error(&group.path, errno));
                }
                self.add_unread(index, errno);
                return;
            }
        };
        if names.len() > room {
            self.add_unvisited(Some(index), Reason::TooMany, &tree.path);
        }
        for name in names.into_iter().take(room) {
            let (unit, below) = position.enter(&name);
            if !self.is_wanted(index, &name, unit.is_some(), below) {
                continue;
            }
            tree.left -= 1;
            let unit = unit.map(<[u8]>::to_vec);
            let next = Next { above: Some(index), name, position: below, unit, depth };
            if position != Position::Inside && below == Position::Inside {
                // Only the one that it was given to makes directories there.
                let path = join(&self.seen[index].path, &next.name);
                let next = VecDeque::from([next]);
                self.trees.push_back(Tree { path, next, left: MOST_IN_TREE });
            } else {
                tree.next.push_back(next);
            }
        }
    }

    /// Whether anything wanted can be in the directory `name` below one.
    fn is_wanted(&self, above: usize, name: &[u8], is_unit: bool, position: Position<'_>) -> bool {
        let Seen { path, inside, .. } = &self.seen[above];
        // systemd creates no units below a unit.
        if *inside || (self.wanted.units && (is_unit || position != Position::Inside)) {
            return true;
        }
        let path = join(path, name);
        (self.wanted.below)(&path) || !(self.wanted.pick)(&path, None).is_empty()
    }

    /// Reads the processes, the counter and the figures of a group.
    fn read(&self, group: ControlGroup, directory: Result<&OwnedFd, Errno>) -> ControlGroup {
        let read = directory.and_then(|directory| {
            let members = members(directory)?;
            let is_picked = !group.selectors.is_empty();
            let used =
                if is_picked { self.mounted.cpu_time(directory, &group.path)? } else { None };
            let wanted = if is_picked { self.wanted.figures } else { &[] };
            let figures = self.mounted.figures(directory, &group.path, wanted, &self.limits);
            Ok((members, used, figures))
        });
        let error = read.as_ref().err().map(|&errno| self.mounted.error(&group.path, errno));
        let ((pids, foreign), used, (figures, limits)) = read.unwrap_or_default();
        ControlGroup { pids, foreign, used, figures, limits, error, ..group }
    }

    /// Notes a directory that could not be looked into.
    fn add_unread(&mut self, index: usize, errno: Errno) {
        let Seen { path, may_hold_units, .. } = &self.seen[index];
        let error = self.mounted.error(path, errno);
        let (path, may_hold_units) = (path.clone(), *may_hold_units);
        self.found.unread.push(UnreadDirectory { path, may_hold_units, error });
    }

    /// Notes that not all directories below one were looked at. They belong to the tree with that path.
    fn add_unvisited(&mut self, above: Option<usize>, reason: Reason, tree: &[u8]) {
        let error = ReadError { reason, ..self.mounted.error(tree, Errno::CANCELED) };
        let above = above.map(|above| &mut self.seen[above]);
        let (path, may_hold_units) = match above {
            None => (Vec::new(), self.wanted.units),
            Some(above) => {
                if let Some(group) = &mut above.group {
                    group.error.get_or_insert_with(|| error.clone());
                }
                (above.path.clone(), above.may_hold_units)
            }
        };
        let unread = UnreadDirectory { path, may_hold_units, error };
        if self.found.unread.last() != Some(&unread) {
            self.found.unread.push(unread);
        }
    }

    /// Puts the groups in order.
    fn finish(mut self) -> Hierarchy {
        let mut groups: Vec<ControlGroup> =
            self.seen.into_iter().filter_map(|seen| seen.group).collect();
        // A name contains no byte 0, so that each group comes before those below it, and these before
        // the next one beside it.
        let end_names = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        groups.sort_unstable_by(|one, other| {
            one.path.iter().map(end_names).cmp(other.path.iter().map(end_names))
        });
        let mut above: Vec<usize> = Vec::new();
        for index in 0..groups.len() {
            while let Some(&last) = above.last()
                && !is_below(&groups[index].path, &groups[last].path)
            {
                groups[last].end = index;
                above.pop();
            }
            above.push(index);
        }
        for index in above {
            groups[index].end = groups.len();
        }
        self.found.groups = groups;
        self.found
    }
}

fn is_below(path: &[u8], above: &[u8]) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"))
}
