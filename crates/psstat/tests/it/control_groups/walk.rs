//! Which directories of control groups psstat looks at, and what follows if there are too many. Counts
//! directories, never time.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails a test")]

use super::machine::{self, Machine};
use crate::support::skip;
use psstat::cgroupfs::Mounted;
use psstat::cgroupfs::walk::{self, MOST_IN_TREE};
use psstat_core::kernel::Wanted;
use psstat_core::model::control_group::Hierarchy;
use psstat_core::model::read_error::Reason;
use psstat_core::select::roots::{by_control_group, may_pick_below};
use psstat_core::select::selector::{PathPattern, Selector, Source};
use psstat_core::select::selectors::Selectors;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

const USER: &str = "user.slice/user-1.slice/user@1.service";

/// Walks over the hierarchy below `sys`, until it has asked so many times whether the time is up.
fn look(sys: &Path, sources: Vec<Source>, time: usize) -> Hierarchy {
    let selectors = sources.into_iter().map(|source| Selector::new(None, source)).collect();
    let selectors = Selectors::new(selectors).unwrap();
    let wanted = Wanted {
        pick: &|path, unit| by_control_group(&selectors, path, unit),
        units: !selectors.units.is_empty(),
        below: &|path| may_pick_below(&selectors, path),
        figures: &[],
    };
    let asked = Cell::new(0);
    let is_out_of_time = || asked.replace(asked.get() + 1) >= time;
    let mounted = Mounted::open(sys, b"").unwrap();
    walk::walk(&mounted, wanted, &is_out_of_time).unwrap()
}

fn unit(glob: &str) -> Source {
    Source::Unit(glob.to_owned())
}

fn path(glob: &str) -> Source {
    Source::ControlGroup(PathPattern::Glob(glob.to_owned()))
}

/// A machine with two services, of which one has a group of its own, and a user with that many.
fn with_user(groups: usize) -> Machine {
    let machine = Machine::new(machine::Mounted::V2);
    for path in ["system.slice", "user.slice", "user.slice/user-1.slice"] {
        machine.put(path, &[]);
    }
    machine.put("system.slice/nginx.service", &[10]);
    machine.put("system.slice/nginx.service/worker", &[11]);
    machine.put("system.slice/cron.service", &[12]);
    machine.put(USER, &[20]);
    for number in 0..groups {
        fs::create_dir(machine.group(format!("{USER}/{number}"))).unwrap();
    }
    machine
}

fn sys(machine: &Machine) -> PathBuf {
    machine.group("").ancestors().nth(2).unwrap().to_owned()
}

#[test]
fn only_what_a_selector_can_pick_from_is_looked_at() {
    let machine = with_user(50);
    let visited = |sources| look(&sys(&machine), sources, usize::MAX).visited;
    // The root, four slices, four units, and a group of one. Not the reference, and none of the user.
    assert_eq!(visited(vec![unit("nginx.service")]), 9);
    // The root, a slice and two units, and a group of one.
    assert_eq!(visited(vec![path("system.slice/*")]), 5);
    assert_eq!(visited(vec![path("system.slice/nginx.service")]), 4);
    assert_eq!(visited(vec![path("system.slice/ng*"), path("none/*")]), 4);
    assert_eq!(visited(vec![path(&format!("{USER}/7"))]), 5);
    assert_eq!(visited(vec![unit("nginx.service"), path("system.slice/*")]), 9);
    assert_eq!(visited(vec![unit("user@1.service")]), 8 + 50);
    assert_eq!(visited(vec![path("*")]), 10 + 50);
}

#[test]
fn if_the_time_is_up_what_was_not_looked_at_is_noted() {
    let machine = with_user(1000);
    let sources = || vec![path("system.slice/*"), path("user.slice/*")];
    let found = look(&sys(&machine), sources(), 50);
    assert_eq!(found.visited, 50);
    assert!(found.unread.iter().all(|unread| unread.error.reason == Reason::OutOfTime));
    let unread: Vec<&[u8]> = found.unread.iter().map(|unread| &unread.path[..]).collect();
    assert_eq!(unread, [USER.as_bytes()], "the user has not used up the time of the services");
    let closed = |group: &&psstat_core::model::control_group::ControlGroup| group.error.is_some();
    let closed: Vec<&[u8]> = found.groups.iter().filter(closed).map(|one| &one.path[..]).collect();
    assert_eq!(closed, [USER.as_bytes()]);
    let nothing = look(&sys(&machine), sources(), 0);
    assert_eq!((nothing.visited, nothing.groups.len(), nothing.unread.len()), (0, 0, 1));
}

#[test]
fn a_tree_that_is_too_large_leaves_the_lines_of_others() {
    let machine = with_user(MOST_IN_TREE + 10);
    let sample = machine.sample(&[
        "--systemd=nginx",
        "--cgroup=system:system.slice/*",
        "--cgroup=users:user.slice/*",
        "--cgroup=seven:*/7",
        "--timeout=60s",
        &format!("--cgroup=one:{USER}"),
    ]);
    assert_eq!(sample.counts(), [("nginx", 2), ("system", 3)], "{sample:?}");
    let warning = sample.stderr.lines().next().unwrap();
    assert!(warning.starts_with("W! no line for users, seven, one: control group "), "{warning}");
    assert!(
        warning.contains(&format!("{USER}: there are more control groups below it")),
        "{warning}"
    );
    // If nobody selects anything there, nobody looks.
    let sample = machine.sample(&["--systemd=nginx", "--cgroup=system:system.slice/*"]);
    assert_eq!((sample.counts(), &*sample.stderr), (vec![("nginx", 2), ("system", 3)], ""));
}

/// Removes directories of control groups at the end, the lower ones first.
struct Real(Vec<PathBuf>);

impl Drop for Real {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

#[test]
fn in_a_real_hierarchy_the_walk_looks_at_what_was_selected() {
    let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    let mount = mount.into_iter().find(|path| path.join("cgroup.procs").exists());
    let Some(mount) = mount else { return skip("no hierarchy of version 2 is mounted") };
    let name = format!("psstat-test-{}", std::process::id());
    let mut real = Real(Vec::new());
    let mut make = |path: String| {
        let path = mount.join(path);
        let made = fs::create_dir(&path);
        made.map(|()| real.0.push(path))
    };
    if let Err(error) = make(name.clone()) {
        return skip(&format!("no control group can be made: {error}"));
    }
    for below in ["a", "b"] {
        make(format!("{name}/{below}")).unwrap();
        for number in 0..30 {
            make(format!("{name}/{below}/{number}")).unwrap();
        }
    }
    let visited = |glob: String| {
        let found = look(Path::new("/sys"), vec![path(&glob)], usize::MAX);
        (found.visited, found.groups.len())
    };
    assert_eq!(visited(format!("{name}/a")), (33, 31), "the root and one above it");
    assert_eq!(visited(format!("{name}/a/*")), (33, 30));
    assert_eq!(visited(format!("{name}/b/7")), (4, 1));
    assert_eq!(visited(format!("{name}/*")), (64, 62));
}
