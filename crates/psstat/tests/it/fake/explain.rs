//! `psstat explain` on made-up files: what it says of groups, and of what is near them.

use crate::support::fake_proc::{FakeProc, Process};
use crate::support::{Run, psstat};

/// What `psstat explain` prints.
fn explained(tree: &FakeProc, args: &[&str]) -> String {
    let mut command = psstat();
    command.args(["explain", "--host=", "--wait=1ms", "--timeout=5m", "--proc"]).arg(tree.path());
    let run = Run::of(command.args(args));
    assert_eq!(run.status, Some(0), "{run:?}");
    String::from_utf8(run.stdout).unwrap()
}

/// A server with two workers. Nobody may read the memory map of one.
#[test]
fn a_memory_map_that_cannot_be_read_is_said() {
    let tree = FakeProc::new();
    for (pid, pss) in [(100, Some(400)), (101, Some(500)), (102, None)] {
        let parent = if pid == 100 { 1 } else { 100 };
        tree.add(&Process { resident: 1000, pss, ..Process::new(pid, parent, "x") });
    }
    let said = explained(&tree, &["--pid=x:100", "--memory=pss"]);
    assert!(said.contains("(--memory pss); 1 process by statm, because"), "{said}");
    tree.add(&Process { resident: 1000, pss: Some(7), ..Process::new(102, 100, "x") });
    let said = explained(&tree, &["--pid=x:100", "--memory=pss"]);
    assert!(said.contains("(--memory pss)\n"), "{said}");
}
