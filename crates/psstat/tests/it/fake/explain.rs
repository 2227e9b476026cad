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

/// A process with an executable that started at that tick.
fn program(pid: u32, parent: u32, start: u64, exe: &str) -> Process {
    let name = exe.rsplit('/').next().unwrap();
    Process { start, exe: Some(exe.into()), ..Process::new(pid, parent, name) }
}

#[test]
fn a_daemon_that_has_left_its_group_is_named_with_the_cure() {
    let tree = FakeProc::new();
    let server = "/usr/sbin/server";
    tree.add_all(&[
        program(90, 1, 100, server),
        program(100, 1, 200, server),
        program(101, 100, 201, server),
        program(150, 1, 300, server),
        program(151, 1, 300, "/usr/sbin/other"),
        program(160, 90, 300, server),
    ]);
    let said = explained(&tree, &["--pid=x:100"]);
    let left: Vec<&str> = said.lines().filter(|line| line.contains("may have left")).collect();
    assert_eq!(
        left,
        [
            "  may have left the group: 150 server: its parent is process 1, and it runs the same executable \
             as 100 (/usr/sbin/server): to count it, use --pid-file with its pid file, or --pattern '^server$'"
        ],
        "{said}"
    );
    let said = explained(&tree, &["--pid=x:100", "--pid=y:150"]);
    assert!(!said.contains("may have left"), "it is in another group: {said}");
    let said = explained(&tree, &["--exe=x:/usr/sbin/server"]);
    assert!(!said.contains("may have left"), "{said}");
    let json = explained(&tree, &["--pid=x:100", "--format=json"]);
    assert!(json.contains("\"may_have_left\":[\"150 server: "), "{json}");
}

#[test]
fn a_daemon_is_in_the_control_group_of_what_started_it() {
    let tree = FakeProc::new();
    let python = "/usr/bin/python3";
    tree.add_all(&[
        program(100, 1, 200, python),
        program(150, 1, 300, python),
        program(151, 1, 300, "/usr/bin/helper"),
    ]);
    tree.write("100/cgroup", "0::/system.slice/a.service\n");
    tree.write("150/cgroup", "0::/system.slice/b.service\n");
    tree.write("151/cgroup", "0::/system.slice/a.service\n");
    let said = explained(&tree, &["--pid=x:100"]);
    let left: Vec<&str> = said.lines().filter(|line| line.contains("may have left")).collect();
    assert_eq!(left.len(), 1, "{said}");
    let unit = "151 helper: its parent is process 1, and it is in the unit of 100: to count it, use \
                --systemd a.service, ";
    assert!(left[0].contains(unit), "{said}");
}

#[test]
fn what_a_launcher_has_left_behind_is_named() {
    let tree = FakeProc::new();
    tree.add(&program(150, 1, 300, "/usr/sbin/server"));
    let stat = String::from_utf8(program(150, 1, 300, "/usr/sbin/server").stat()).unwrap();
    tree.write("150/stat", stat.replace(" 1 150 150 ", " 1 99 99 "));
    let said = explained(&tree, &["--pid=x:99"]);
    assert!(
        said.contains("of the process group or session of 99 still runs: 150 server"),
        "{said}"
    );
    let file = tree.file("server.pid");
    let said = explained(&tree, &["--pid-file", &format!("x:{}", file.display())]);
    assert!(said.contains("  nearest: 1 process is called server: 150 server: to count"), "{said}");
}

#[test]
fn what_is_not_known_of_a_selector_without_a_name_is_said_too() {
    let tree = FakeProc::new();
    let path = tree.file("x.pid");
    std::fs::create_dir(&path).unwrap();
    let file = path.to_str().unwrap();
    for name in ["x:", ""] {
        let said = explained(&tree, &["--pid-file", &format!("{name}{file}")]);
        let cause = format!("\n  not known who belongs to it: pid file {file}: ");
        assert!(said.contains(&cause) && !said.contains("no process\n"), "{name}: {said}");
    }
    tree.add(&Process::new(100, 1, "x"));
    let line = tree.file("100/cmdline");
    std::fs::remove_file(&line).unwrap();
    std::fs::create_dir(&line).unwrap();
    for name in ["x:", ""] {
        let said = explained(&tree, &["--cmdline", &format!("{name}y")]);
        let cause = format!("\n  not known who belongs to it: {}: ", line.display());
        assert!(said.contains(&cause) && !said.contains("no process\n"), "{name}: {said}");
    }
}

#[test]
fn each_selector_that_matches_nothing_is_named() {
    let tree = FakeProc::new();
    tree.add(&program(100, 1, 200, "/usr/sbin/server"));
    let said = explained(&tree, &["--pid=x:100", "--pattern=x:Server", "--pid=x:7"]);
    let near = "\n  nearest: pattern Server matches nothing: 1 process matches in another case: 100 server";
    assert!(said.contains(near), "{said}");
    assert!(
        said.contains("\n  nearest: pid 7 matches nothing: process 7 is not running\n"),
        "{said}"
    );
    assert!(!said.contains("pid 100 matches nothing"), "{said}");
    let said = explained(&tree, &["--pattern=x:Server"]);
    assert!(said.contains("\n  nearest: 1 process matches in another case"), "{said}");
}
