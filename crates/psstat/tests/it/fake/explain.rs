//! `psstat explain` on made-up files: what it says of groups, and of what is near them.

use crate::support::fake_proc::{FakeProc, Process};
use crate::support::{Run, psstat};

/// What `psstat explain` prints.
fn explained(tree: &FakeProc, args: &[&str]) -> String {
    let run = explain(tree, args);
    String::from_utf8(run.stdout).unwrap()
}

fn explain(tree: &FakeProc, args: &[&str]) -> Run {
    let mut command = psstat();
    command.args(["explain", "--host=", "--wait=1ms", "--timeout=5m", "--proc"]).arg(tree.path());
    let run = Run::of(command.args(args));
    assert_eq!(run.status, Some(0), "{run:?}");
    run
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
    // Another script of the same interpreter.
    let with_line = |pid, start, line: &[u8]| Process {
        cmdline: line.to_vec(),
        ..program(pid, 1, start, "/usr/bin/python3")
    };
    tree.add(&with_line(200, 400, b"python3\0/srv/a.py\0"));
    tree.add(&with_line(201, 401, b"python3\0/srv/b.py\0"));
    let said = explained(&tree, &["--pid=x:200"]);
    assert!(!said.contains("may have left"), "{said}");
    tree.add(&with_line(202, 402, b"python3\0/srv/a.py\0--daemon\0"));
    let said = explained(&tree, &["--pid=x:200"]);
    assert!(said.contains("may have left the group: 202 python3"), "{said}");
}

#[test]
fn the_strongest_reason_comes_first() {
    let tree = FakeProc::new();
    let server = "/usr/sbin/server";
    tree.add_all(&[program(100, 1, 200, server), program(150, 1, 300, server)]);
    // The numbers behind that of the parent are those of the process group and of the session.
    for (pid, kinship) in [(160, " 1 100 160 "), (170, " 1 170 100 ")] {
        let other =
            Process { cmdline: b"other\0-d\0".to_vec(), ..program(pid, 1, 300, "/usr/bin/other") };
        tree.add(&other);
        let stat = String::from_utf8(other.stat()).unwrap();
        let own = format!(" 1 {pid} {pid} ");
        assert!(stat.contains(&own), "{stat}");
        tree.write(format!("{pid}/stat"), stat.replace(&own, kinship));
    }
    let said = explained(&tree, &["--pid=x:100"]);
    let left: Vec<&str> = said.lines().filter(|line| line.contains("may have left")).collect();
    let expected = [
        "170 other (other -d): its parent is process 1, and it is in the session of 100: ",
        "160 other (other -d): its parent is process 1, and it is in the process group of 100: ",
        "150 server: its parent is process 1, and it runs the same executable as 100",
    ];
    assert_eq!(left.len(), expected.len(), "{said}");
    for (line, expected) in left.iter().zip(expected) {
        assert!(line.contains(expected), "{said}");
    }
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
        let cause = format!("\n  not known who belongs to it: cannot read {}: ", line.display());
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

#[test]
fn kernel_threads_are_left_out_if_nobody_asks_for_them() {
    let tree = FakeProc::new();
    let thread = Process::new(100, 2, "kworker/0:0");
    let server = Process::new(101, 1, "server");
    tree.add_all(&[thread.clone(), server]);
    let stat = String::from_utf8(thread.stat()).unwrap();
    tree.write("100/stat", stat.replace(" 4194560 ", " 69238848 "));
    let sys = tempfile::tempdir().unwrap();
    let of_all = |args: &[&str]| {
        explained(&tree, &[&["--sys", sys.path().to_str().unwrap()][..], args].concat())
    };
    let said = of_all(&[]);
    assert!(said.contains("\nserver: ") && !said.contains("\nkworker"), "{said}");
    assert!(said.ends_with("\n\n1 group of kernel threads is left out: --pattern shows it\n"));
    let said = of_all(&["--pattern=kworker"]);
    assert!(said.starts_with("kworker/0:0: pattern kworker\n"), "{said}");
    assert!(!said.contains("left out"), "{said}");
    let json = of_all(&["--format=json"]);
    assert!(json.contains("\"group\":\"kworker/0:0\""), "{json}");
}

#[test]
fn a_process_that_is_in_two_groups_says_so() {
    let tree = FakeProc::new();
    tree.add_all(&[program(100, 1, 200, "/bin/a"), program(101, 100, 201, "/bin/b")]);
    let args = ["--pid=one:100", "--pattern=two:^b$"];
    let said = explained(&tree, &args);
    let groups: Vec<&str> = said.split("\n\n").collect();
    assert!(
        groups[0].contains("\n  also in the group two, and counted there too: 101\n"),
        "{said}"
    );
    assert!(
        groups[1].contains("\n  also in the group one, and counted there too: 101\n"),
        "{said}"
    );
    let json = explained(&tree, &[&args[..], &["--format=json"]].concat());
    assert!(json.contains("\"also_in\":[\"two\"]"), "{json}");
    let mut command = psstat();
    let run = Run::of(command.args(["check", "--proc"]).arg(tree.path()).args(args));
    let said = String::from_utf8(run.stdout).unwrap();
    assert_eq!(said.matches("\n    in common: 1 process with ").count(), 2, "{said}");
    assert!(said.contains("\n    in common: 1 process with two\n"), "{said}");
}

#[test]
fn a_selector_of_a_file_has_its_line() {
    let tree = FakeProc::new();
    tree.add_all(&[program(100, 1, 200, "/bin/a"), program(101, 100, 201, "/bin/b")]);
    let file = tree.file("jobs.toml");
    let groups = "\n[[group]]\nname = 'a'\npattern = '^a$'\n\n# A comment.\n[[group]]\nname = 'a'\npid = 7\n";
    std::fs::write(&file, format!("host = ''{groups}")).unwrap();
    let args = ["--config", file.to_str().unwrap(), "--pattern=b:^b$"];
    let said = explained(&tree, &args);
    assert!(said.starts_with("a: pattern ^a$ (jobs.toml:2); pid 7 (jobs.toml:7)\n"), "{said}");
    let row = said.lines().find(|line| line.contains(" 100 ")).unwrap_or_default();
    assert!(row.contains(" pattern ^a$ (jobs.toml:2) "), "{said}");
    assert!(said.contains("\n  nearest: pid 7 (jobs.toml:7) matches nothing: "), "{said}");
    assert!(said.contains("\nb: pattern ^b$\n"), "{said}");
    let mut command = psstat();
    let run = Run::of(command.args(["check", "--proc"]).arg(tree.path()).args(args));
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(said.contains("\n  a: pattern ^a$ (jobs.toml:2)\n"), "{said}");
}

/// Many warnings are the reason for what is shown, and whoever pages through it does not see standard error.
#[test]
fn warnings_are_a_part_of_the_text() {
    let tree = FakeProc::new();
    tree.add(&program(100, 1, 200, "/usr/sbin/server"));
    let run = explain(&tree, &["--exe=x:server"]);
    let (_, warnings) = run.stderr.split_once("W! ").unwrap();
    let said = String::from_utf8(run.stdout.clone()).unwrap();
    assert!(warnings.starts_with("--exe "), "{run:?}");
    assert!(said.ends_with(&format!("\nwarnings:\n  {warnings}")), "{said}");
    assert!(!explained(&tree, &["--exe=x:*/server"]).contains("warnings:"));
    let json = explained(&tree, &["--exe=x:server", "--format=json"]);
    assert_eq!(json.lines().count(), 1, "{json}");
}
