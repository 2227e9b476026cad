//! The configuration file: groups with conditions, tags, which settings the command line overrides,
//! errors in the file, `psstat check`, and `--output`.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::stderr;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::line::Line;
use crate::support::{Job, REPOSITORY, Run, psstat, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A configuration file that is deleted when this value is dropped.
struct Config {
    directory: tempfile::TempDir,
}

impl Config {
    fn new(text: &str) -> Config {
        let config = Config { directory: tempfile::tempdir().unwrap() };
        fs::write(config.path(), text).unwrap();
        config
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("psstat.toml")
    }

    /// The option that names it.
    fn option(&self) -> String {
        format!("--config={}", self.path().display())
    }
}

/// The second run with this file on a tree, with further arguments.
fn second_run(tree: &FakeProc, text: &str, further: &[&str]) -> Run {
    let config = Config::new(text);
    let mut args = vec![config.option()];
    args.extend(further.iter().map(|&arg| arg.to_owned()));
    Job::new(tree, &args).second_run()
}

/// Names and numbers of processes, line by line.
fn counts(run: &Run) -> Vec<(String, usize)> {
    run.lines().iter().map(|line| (line.name().to_owned(), line.n_proc())).collect()
}

fn count(run: &Run, name: &str) -> usize {
    run.lines().iter().find(|line| line.name() == name).unwrap().n_proc()
}

/// Two web servers of two users, one of them with a child; a shell that speaks of them.
fn servers() -> FakeProc {
    let tree = FakeProc::new();
    let nginx = |pid, user, arguments: &str| Process {
        effective_uid: user,
        cmdline: format!("nginx\0{arguments}\0").into_bytes(),
        exe: Some("/usr/sbin/nginx".into()),
        ..Process::new(pid, 1, "nginx")
    };
    tree.add(&nginx(100, 0, "-c/etc/a"));
    tree.add(&Process { own: 7, ..Process::new(101, 100, "helper") });
    tree.add(&nginx(200, 33, "-c/etc/b"));
    tree.add(&Process {
        effective_uid: 33,
        cmdline: b"sh\0-c\0nginx".to_vec(),
        exe: Some("/bin/sh".into()),
        ..Process::new(300, 1, "sh")
    });
    tree
}

#[test]
fn all_conditions_of_a_group_must_hold() {
    let text = r#"
        [[group]]
        name = "name"
        pattern = "nginx"
        [[group]]
        name = "name-and-user"
        pattern = "nginx"
        user = 33
        [[group]]
        name = "line-and-user"
        cmdline = "nginx"
        user = "33"
        [[group]]
        name = "line-and-exe"
        cmdline = "nginx"
        exe = "*/sh"
        [[group]]
        name = "everything"
        pattern = "^nginx$"
        cmdline = "/etc/a$"
        exe = "/usr/sbin/*"
        user = 0
        [[group]]
        name = "nothing"
        pattern = "nginx"
        exe = "*/sh"
    "#;
    let expected = [
        ("name", 3),
        ("name-and-user", 1),
        ("line-and-user", 2),
        ("line-and-exe", 1),
        ("everything", 2),
        ("nothing", 0),
    ];
    let run = second_run(&servers(), text, &[]);
    assert_eq!(counts(&run), expected.map(|(name, count)| (name.to_owned(), count)));
    assert_eq!(run.stderr, "");
}

#[test]
fn a_list_means_any_of_its_values() {
    let text = r#"
        [[group]]
        name = "users"
        pattern = "nginx"
        user = [33, 0]
        [[group]]
        name = "one-user"
        pattern = ["^nginx$", "^sh$"]
        user = [33]
        [[group]]
        name = "pids"
        pid = [100, 300]
        tags = { team = "a" }
        [[group]]
        pattern = ["^nginx$", "^sh$"]
        children = false
    "#;
    let run = second_run(&servers(), text, &[]);
    let expected = [("users", 3), ("one-user", 2), ("pids", 3), ("nginx", 2), ("sh", 1)];
    assert_eq!(counts(&run), expected.map(|(name, count)| (name.to_owned(), count)));
    assert!(run.lines()[2].tags.contains(&("team".to_owned(), "a".to_owned())));
    assert_eq!(run.stderr, "");
}

#[test]
fn each_pid_file_of_a_list_has_a_say() {
    let tree = servers();
    tree.write("run/a.pid", "100\n");
    tree.write("run/b.pid", "300\n");
    let path = |name: &str| tree.file(name).display().to_string();
    let paths = [path("run/a.pid"), path("run/gone.pid"), path("run/b.pid")];
    let text = format!("[[group]]\nname = 'web'\npid_files = {paths:?}\n");
    let run = second_run(&tree, &text, &[]);
    assert_eq!(count(&run, "web"), 3);
    stderr::assert_warning(stderr::first_line(&run.stderr), &[&paths[1], "not found"]);
}

#[test]
fn a_glob_stands_for_all_pid_files_that_match() {
    let tree = servers();
    let path = |name: &str| tree.file(name).display().to_string();
    let glob = path("run/*.pid");
    let text = format!("[[group]]\nname = 'web'\npid_file = '{glob}'\n");
    let without = second_run(&tree, &text, &[]);
    assert_eq!(count(&without, "web"), 0);
    stderr::assert_warnings(&without.stderr, &[&[&glob, "no file matches"]]);
    tree.write("run/a.pid", "100\n");
    tree.write("run/b.pid", "300\n");
    tree.write("run/c.txt", "200\n");
    let run = second_run(&tree, &text, &[]);
    assert_eq!((count(&run, "web"), run.stderr.as_str()), (3, ""));
    let option = format!("--pid-file=typed:{glob}");
    let run = second_run(&tree, &text, &[&option]);
    assert_eq!((count(&run, "typed"), run.stderr.as_str()), (3, ""));
    // A file of that name is that file.
    tree.write("run/*.pid", "200\n");
    let run = second_run(&tree, &text, &[]);
    assert_eq!((count(&run, "web"), run.stderr.as_str()), (1, ""));
    fs::remove_file(tree.file("run/*.pid")).unwrap();
    tree.write("run/b.pid", "nonsense\n");
    let run = second_run(&tree, &text, &[]);
    assert!(run.lines().is_empty(), "{run:?}");
    stderr::assert_warnings(&run.stderr, &[&["web", &path("run/b.pid"), "not a pid"]]);
    let kernel = second_run(&tree, "[[group]]\nname = 'k'\npid_file = '/proc/[1]/stat*'\n", &[]);
    assert!(kernel.lines().is_empty(), "{kernel:?}");
    stderr::assert_warning(
        stderr::first_line(&kernel.stderr),
        &["/proc/[1]/stat*", "of the kernel"],
    );
}

#[test]
fn only_what_a_condition_needs_is_read() {
    let tree = servers();
    for pid in ["100", "200", "300"] {
        fs::remove_file(tree.file(format!("{pid}/exe"))).unwrap();
        fs::create_dir(tree.file(format!("{pid}/exe"))).unwrap();
    }
    let group = |pattern| format!("[[group]]\nname = 'x'\npattern = '{pattern}'\nexe = '*'\n");
    let unread = second_run(&tree, &group("^nginx$"), &[]);
    let first = stderr::first_line(&unread.stderr);
    stderr::assert_warning(first, &["2 ", "exe"]);
    assert_eq!(second_run(&tree, &group("^none$"), &[]).stderr, "");
}

#[test]
fn a_source_with_conditions_guards_against_strangers() {
    let tree = servers();
    tree.write("run/a.pid", "100\n");
    let pid_file = tree.file("run/a.pid");
    let group = |exe| {
        format!("[[group]]\nname = 'web'\npid_file = '{}'\nexe = '{exe}'", pid_file.display())
    };
    let right = second_run(&tree, &group("*/nginx"), &[]);
    assert_eq!(count(&right, "web"), 2);
    let stranger = second_run(&tree, &group("*/mysqld"), &[]);
    assert_eq!(count(&stranger, "web"), 0);
    let path = pid_file.display().to_string();
    let first = stderr::first_line(&stranger.stderr);
    stderr::assert_warning(first, &[&path, "100", "nginx", "conditions"]);
    let by_number = "[[group]]\nname = 'web'\npid = 100\nuser = 33";
    let stranger = second_run(&tree, by_number, &[]);
    let first = stderr::first_line(&stranger.stderr);
    stderr::assert_warning(first, &["100", "nginx", "conditions"]);
}

#[test]
fn without_children_a_process_counts_alone_and_for_its_own_time() {
    let tree = FakeProc::new();
    let master = |own, children| Process { own, children, ..Process::new(100, 1, "nginx") };
    let worker = |pid, own| Process { own, ..Process::new(pid, 100, "nginx") };
    let helper = |own| Process { own, ..Process::new(110, 101, "sh") };
    tree.add_all(&[master(0, 0), worker(101, 0), worker(102, 500), helper(0)]);
    let config = Config::new(
        "[[group]]\nname = 'with'\npid = 100\n\
         [[group]]\nname = 'alone'\npid = 100\nchildren = false\n\
         [[group]]\nname = 'both'\npattern = '^nginx$'\nchildren = false\n\
         [[group]]\nname = 'mixed'\npid = 101\n\
         [[group]]\nname = 'mixed'\npid = 100\nchildren = false\n\
         [[group]]\nname = 'reference'\npid = 1\nchildren = false\n",
    );
    // Without a sysfs nothing is known of processors, which would bound so short an interval.
    let job = Job::new(&tree, [config.option(), "--sys=/nowhere".to_owned()]);
    job.baseline();
    // Of worker 102 the master inherits 500 ticks that were counted and 60 that were not.
    tree.remove(102);
    tree.add_all(&[master(10, 560), worker(101, 20), helper(40)]);
    tree.add(&Process { own: 1000, ..Process::new(1, 0, "init") });
    let run = job.run();
    let lines = run.lines();
    let cpu = |line: &Line| line.p_cpu().unwrap();
    // What the reference has used is the measure, however long it took.
    let tick = cpu(&lines[4]) / 1000.0;
    let of = |line: &Line| (line.name().to_owned(), line.n_proc(), (cpu(line) / tick).round());
    let groups: Vec<_> = lines[..4].iter().map(of).collect();
    let expected = [("with", 3, 130.0), ("alone", 1, 10.0), ("both", 2, 30.0), ("mixed", 3, 70.0)];
    assert_eq!(groups, expected.map(|(name, count, ticks)| (name.to_owned(), count, ticks)));
}

#[test]
fn switching_children_on_makes_no_spike() {
    let tree = FakeProc::new();
    let world = |ticks, children| {
        tree.add(&Process { own: ticks, children, ..Process::new(100, 1, "nginx") });
        tree.add(&Process { own: 100 * ticks, ..Process::new(1, 0, "init") });
    };
    // What the reference has used is the measure, however long it took.
    let config = |children| {
        Config::new(&format!(
            "[[group]]\nname = 'x'\npid = 100\nchildren = {children}\n\
             [[group]]\nname = 'reference'\npid = 1\nchildren = false\n"
        ))
    };
    let (alone, whole) = (config(false), config(true));
    let args = |config: &Config| [config.option(), "--sys=/nowhere".to_owned()];
    let ticks = |run: Run| {
        let lines = run.lines();
        (lines[0].p_cpu().unwrap() / lines[1].p_cpu().unwrap() * 1000.0).round()
    };
    world(0, 5000);
    let job = Job::new(&tree, args(&alone));
    job.baseline();
    world(10, 5020);
    let job = job.with(args(&whole));
    assert_eq!(ticks(job.run()), 10.0, "what its children did before was not counted");
    world(20, 5040);
    assert_eq!(ticks(job.run()), 30.0);
    world(30, 9040);
    let job = job.with(args(&alone));
    assert_eq!(ticks(job.run()), 10.0, "what its children did is not its own any more");
}

#[test]
fn tags_of_a_named_group_do_not_change_with_what_runs() {
    let text = "[[group]]\nuser = 0\ntags = { team = 'a' }\n\
                [[group]]\nname = 'nginx'\npattern = 'nginx'\ntags = { team = 'b' }\n";
    let tree = servers();
    let tags = || {
        let run = second_run(&tree, text, &[]);
        run.lines().into_iter().find(|line| line.name() == "nginx").unwrap().tags
    };
    let with_one_of_its_own_name = tags();
    assert!(with_one_of_its_own_name.contains(&("team".to_owned(), "b".to_owned())));
    tree.remove(100);
    assert_eq!(tags(), with_one_of_its_own_name);
}

#[test]
fn tags_of_a_group_come_after_those_of_every_line() {
    let text = r#"
        host = "tengu"
        [tags]
        env = "live"
        [[group]]
        name = "web"
        pattern = "nginx"
        tags = { team = "a b", env = "test" }
        [[group]]
        pattern = "^sh$"
        [group.tags]
        team = "c"
        [[group]]
        pattern = "helper"
    "#;
    let tags = |run: &Run| {
        let spell = |line: &Line| {
            let tags = line.tags.iter().map(|(key, value)| format!("{key}={value}"));
            tags.collect::<Vec<_>>().join(",")
        };
        run.lines().iter().map(spell).collect::<Vec<_>>()
    };
    let config = Config::new(text);
    let tree = servers();
    let mut args = vec!["--wait=1ms".to_owned(), "--proc".to_owned()];
    args.extend([tree.path().display().to_string(), config.option()]);
    assert_eq!(
        tags(&run(&args)),
        [
            "host=tengu,env=test,team=a b,process_name=web",
            "host=tengu,env=live,team=c,process_name=sh",
            "host=tengu,env=live,process_name=helper",
        ]
    );
    args.extend(
        ["--tag", "env=typed", "--tag=x=1", "--host=oni", "--pid=web:300"].map(str::to_owned),
    );
    assert_eq!(
        tags(&run(&args)),
        [
            "host=oni,env=typed,x=1,team=a b,process_name=web",
            "host=oni,env=typed,x=1,team=c,process_name=sh",
            "host=oni,env=typed,x=1,process_name=helper",
        ],
        "the command line overrides the file, and adds to groups of the same name"
    );
}

#[test]
fn options_of_the_command_line_override_those_of_the_file() {
    let tree = servers();
    let text = |cache: &Path| {
        format!(
            "proc = '{}'\ncache_dir = '{}'\ncache_name = 'mine'\nfields = ['n_proc']\nhost = ''\n\
             format = 'json'\n[[group]]\nname = 'web'\npattern = 'nginx'\n",
            tree.path().display(),
            cache.display()
        )
    };
    let cache = tempfile::tempdir().unwrap();
    let config = Config::new(&text(cache.path()));
    run([config.option()]).assert_first();
    assert!(cache.path().join("mine").exists());
    let json = String::from_utf8(run([config.option()]).stdout).unwrap();
    let head = r#"{"name":"psstat","tags":{"process_name":"web"},"fields":{"n_proc":3},"#;
    assert!(json.starts_with(head), "{json}");
    let typed = run([&config.option(), "--format=influx", "--fields=p_cpu,n_proc"]);
    assert_eq!((typed.line().p_cpu(), typed.line().n_proc()), (Some(0.0), 3));
}

#[test]
fn groups_of_the_file_come_first_and_name_the_cache() {
    let tree = servers();
    let text = "[[group]]\nname = 'z'\npattern = 'nginx'\n";
    let run = second_run(&tree, text, &["--pattern", "a:sh"]);
    assert_eq!(counts(&run), [("z".to_owned(), 3), ("a".to_owned(), 1)]);
    // Two jobs that differ in a condition alone never share a cache.
    let cache = tempfile::tempdir().unwrap();
    for further in ["", "user = 0\n", "children = false\n"] {
        let config = Config::new(&format!("{text}{further}"));
        let cache = format!("--cache-dir={}", cache.path().display());
        let proc = format!("--proc={}", tree.path().display());
        crate::support::run([&config.option(), &cache, &proc]).assert_first();
    }
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 3);
}

#[test]
fn an_error_in_the_file_names_its_line_for_every_command() {
    let tree = servers();
    let proc = format!("--proc={}", tree.path().display());
    for (text, line, cause) in [
        ("[[group]]\nname = 'x'\npatern = 'y'\n", 3, "did you mean pattern?"),
        ("[[group]]\npattern = 'a('\n", 2, "bad regex \"a(\": unclosed group"),
        ("timeout = 5\n[[group]]\npid = 1\n", 1, "timeout must be a string"),
        ("[[group]]\npid = 1\n\n[[group]\n", 4, ""),
        ("[[group]]\npid = 1\nmemory = 'pss'\n", 3, "top of the file"),
    ] {
        let config = Config::new(text);
        let place = format!("E! {}:{line}: ", config.path().display());
        for job in [&["--wait=1ms"][..], &[]] {
            let said = run([&[config.option().as_str(), &proc], job].concat());
            said.assert_failed(2, cause);
            assert!(said.stderr.starts_with(&place), "{said:?}");
        }
        for job in ["check", "execd"] {
            for args in [[job, &config.option(), &proc], [&config.option(), &proc, job]] {
                let said = run(args);
                said.assert_failed(2, cause);
                assert!(said.stderr.starts_with(&place), "{said:?}");
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let option = |name: &str| format!("--config={}", directory.path().join(name).display());
    run([option("none")]).assert_failed(2, "No such file");
    run([option("")]).assert_failed(2, "it is a directory: give the path of a file");
    fs::write(directory.path().join("binary"), b"host = '\xff'").unwrap();
    run([option("binary")]).assert_failed(2, "not UTF-8");
    run(["--config", "/dev/zero"]).assert_failed(2, "it is a device");
    fs::write(directory.path().join("empty"), "").unwrap();
    run([option("empty")]).assert_failed(2, "empty: nothing to measure: add a [[group]]");
    run(["--config"]).assert_failed(2, "--config needs a value");
    run(["--config="]).assert_failed(2, "--config needs a value");
    crate::support::make_fifo(&directory.path().join("fifo"));
    run([option("fifo")]).assert_failed(2, "it is a FIFO, and nobody writes to it");
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    run([option("socket")]).assert_failed(2, "it is a socket");
    fs::write(directory.path().join("long"), "#".repeat((1 << 20) + 1)).unwrap();
    run([option("long")]).assert_failed(2, "longer than 1 MiB");
    assert_eq!(run(["check", "--pid=1", "--config=/dev/null"]).status, Some(0));
}

#[test]
fn a_command_may_come_after_its_options() {
    let tree = servers();
    let config = Config::new("[[group]]\nname = 'web'\npattern = 'nginx'\n");
    let proc = format!("--proc={}", tree.path().display());
    // It ends at once, because standard input has ended.
    let run = run([&config.option(), &proc, "--timeout=5m", "execd", "--no-sandbox"]);
    assert_eq!((run.status, run.stdout.as_slice(), run.stderr.as_str()), (Some(0), &b""[..], ""));
}

#[test]
fn a_check_says_how_many_processes_each_group_has() {
    let tree = servers();
    let config = Config::new(
        "[[group]]\nname = 'web'\npattern = 'nginx'\n\
         [[group]]\nname = 'alone'\npattern = 'nginx'\nuser = 33\nchildren = false\n\
         [[group]]\ncmdline = 'nginx'\n\
         [[group]]\nname = 'web'\npid = 300\n\
         [[group]]\npattern = 'no-such'\n",
    );
    let proc = format!("--proc={}", tree.path().display());
    let args = ["check", &config.option(), &proc, "--pid-file", "db:/no/db.pid", "--host=tengu"];
    let passwd = tempfile::tempdir().unwrap();
    fs::write(passwd.path().join("passwd"), "www-data:x:33:33::/:/bin/sh\n").unwrap();
    let checked = |args: &[&str]| {
        let said = Run::of(psstat().args(args).env("HOST_ETC", passwd.path()));
        assert_eq!(said.status, Some(0), "{said:?}");
        stderr::assert_warnings(&said.stderr, &[&["/no/db.pid"]]);
        String::from_utf8(said.stdout).unwrap()
    };
    let said = checked(&args);
    assert_eq!(
        said.replace(&config.path().display().to_string(), "FILE"),
        "valid; psstat would measure\n\
         \x20 web: pattern nginx (psstat.toml:1)\n\
         \x20   one group of 2 selectors with the same name\n\
         \x20   now: 4 processes; matches 2 processes\n\
         \x20   in common: 1 process with alone\n\
         \x20   in common: 3 processes with nginx\n\
         \x20   in common: 1 process with sh\n\
         \x20   tags: host=tengu\n\
         \x20 alone: pattern nginx, user 33, children false (psstat.toml:4)\n\
         \x20   user: www-data, uid 33\n\
         \x20   now: 1 process; matches 1 process\n\
         \x20   in common: 1 process with web\n\
         \x20   in common: 1 process with nginx\n\
         \x20   tags: host=tengu\n\
         \x20 (by their own names): cmdline nginx (psstat.toml:9)\n\
         \x20   now: 2 groups: nginx: 3 processes, sh: 1 process\n\
         \x20   tags: host=tengu\n\
         \x20 web: pid 300 (psstat.toml:11)\n\
         \x20   one group of 2 selectors with the same name\n\
         \x20   now: 4 processes; matches 1 process\n\
         \x20   tags: host=tengu\n\
         \x20 (by their own names): pattern no-such (psstat.toml:14)\n\
         \x20   now: no group, because nothing matches\n\
         \x20   tags: host=tengu\n\
         \x20 db: pid_file /no/db.pid\n\
         \x20   now: no process; matches no process\n\
         \x20   tags: host=tengu\n\
         \x20 fields: p_cpu, p_mem, n_proc; memory: auto\n\
         \x20 format: influx; interval: none\n\
         \x20 files: FILE\n"
    );
    let before = [&args[1..], &["check"]].concat();
    assert_eq!(checked(&before), said, "options may come before the command");
}

#[test]
fn a_group_prints_the_fields_of_its_own() {
    let text = "fields = ['n_proc']\n\
                [[group]]\nname = 'a'\npid = 100\nfields = ['n_thread', 'cpu_time']\n\
                [[group]]\nname = 'b'\npid = 200\n\
                [[group]]\nname = 'a'\npid = 200\n\
                [[group]]\npattern = '^sh$'\nfields = 'p_mem,n_proc'\n";
    let tree = servers();
    let fields = |run: &Run| {
        let of_line = |line: &Line| {
            let names = line.fields.iter().map(|(name, _)| name.as_str());
            format!("{} {}", line.name(), names.collect::<Vec<_>>().join(","))
        };
        run.lines().iter().map(of_line).collect::<Vec<_>>()
    };
    let run = second_run(&tree, text, &[]);
    assert_eq!(fields(&run), ["a n_thread,cpu_time", "b n_proc", "sh p_mem,n_proc"]);
    assert_eq!(run.stderr, "");
    let run = second_run(&tree, text, &["--fields=uptime"]);
    assert_eq!(fields(&run), ["a uptime", "b uptime", "sh uptime"], "the command line is for all");
    let page = second_run(&tree, text, &["--format=prometheus"]);
    let page = String::from_utf8(page.stdout).unwrap();
    for (metric, groups) in
        [("psstat_threads", 1), ("psstat_processes", 2), ("psstat_memory_ratio", 1)]
    {
        let lines = page.lines().filter(|line| line.starts_with(&format!("{metric}{{")));
        assert_eq!(lines.count(), groups, "{metric}: {page}");
    }
    let config = Config::new(text);
    let said = crate::support::run(["check", "--proc=/nowhere", &config.option()]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.matches("\n    fields: n_thread, cpu_time\n").count(), 2, "{said}");
    assert_eq!(said.matches("\n    fields: ").count(), 4, "{said}");
    assert!(said.contains("\n  fields: those of each group; memory: auto\n"), "{said}");
}

#[test]
fn included_files_add_their_groups_in_the_order_of_their_names() {
    let config = Config::new(
        "include = ['conf.d/*.toml', 'none/*', 'more.toml']\n[tags]\nenv = 'x'\n\
         [[group]]\nname = 'main'\npid = 100\n",
    );
    let file = |name: &str| config.directory.path().join(name);
    fs::create_dir(file("conf.d")).unwrap();
    fs::write(file("conf.d/20-b.toml"), "[[group]]\nname = 'b'\npid = 200\n").unwrap();
    fs::write(file("conf.d/10-a.toml"), "[[group]]\nname = 'a'\npid = 300\ntags = { t = '1' }\n")
        .unwrap();
    fs::write(file("conf.d/.hidden.toml"), "not TOML").unwrap();
    fs::write(file("conf.d/a.toml.rpmsave"), "not TOML").unwrap();
    fs::write(file("more.toml"), "[[group]]\nname = 'a'\npid = 200\n").unwrap();
    let run_it = Job::new(&servers(), [config.option()]).second_run();
    let expected = [("main", 2), ("a", 2), ("b", 1)];
    assert_eq!(counts(&run_it), expected.map(|(name, count)| (name.to_owned(), count)));
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let lines = run_it.lines();
    assert!(lines.iter().all(|line| line.tags.contains(&tag("env", "x"))));
    assert!(lines[1].tags.contains(&tag("t", "1")));
    let said = run(["check", "--proc=/nowhere", &config.option()]);
    let printed = String::from_utf8(said.stdout).unwrap();
    let names = ["psstat.toml", "conf.d/10-a.toml", "conf.d/20-b.toml", "more.toml"];
    let names = names.map(|name| file(name).display().to_string());
    assert_eq!(printed.lines().last(), Some(&*format!("  files: {}", names.join(", "))));
    assert!(printed.contains("a: pid 300 (10-a.toml:1)"), "{printed}");

    fs::write(file("conf.d/20-b.toml"), "memory = 'pss'\n[[group]]\npid = 0\n").unwrap();
    for command in ["check", "execd", "--wait=1ms"] {
        let said = run([command, &config.option()]);
        said.assert_failed(
            2,
            &format!("{}:1: memory is an option", file("conf.d/20-b.toml").display()),
        );
        assert!(said.stderr.contains("20-b.toml:3: bad pid 0"), "{said:?}");
    }
    fs::write(file("conf.d/20-b.toml"), b"\xff").unwrap();
    let said = run(["check", &config.option()]);
    said.assert_failed(2, "20-b.toml: not UTF-8");
    fs::remove_file(file("conf.d/20-b.toml")).unwrap();
    fs::remove_file(file("more.toml")).unwrap();
    let cause = format!("{}:1: cannot read {}: No such file", names[0], names[3]);
    run(["check", &config.option()]).assert_failed(2, &cause);
}

#[test]
fn values_can_come_from_the_environment() {
    let config = Config::new("host = '${NODE:-tengu}'\n[[group]]\nname = '${TEAM}'\npid = 300\n");
    let tree = servers();
    let proc = format!("--proc={}", tree.path().display());
    let sample = |team: &str| {
        Run::of(psstat().args([&*config.option(), &proc, "--wait=1ms"]).env("TEAM", team))
    };
    let run = sample("edge");
    assert_eq!(counts(&run), [("edge".to_owned(), 1)]);
    assert!(run.lines()[0].tags.contains(&("host".to_owned(), "tengu".to_owned())));
    sample("").assert_failed(2, ":3: bad name '${TEAM}': the name is empty");
    let unset = Run::of(psstat().args(["check", &config.option()]).env_remove("TEAM"));
    unset.assert_failed(2, ":3: the environment variable TEAM is not set");
}

#[test]
fn a_file_for_another_machine_is_valid() {
    let config = Config::new("proc = '/nowhere'\n[[group]]\nname = 'web'\npattern = 'nginx'\n");
    let said = run(["check", &config.option(), "--host=tengu"]);
    assert_eq!(said.status, Some(0));
    stderr::assert_warnings(&said.stderr, &[&["were not counted", "/nowhere"]]);
    let printed = String::from_utf8(said.stdout).unwrap();
    assert_eq!(
        printed.replace(&config.path().display().to_string(), "FILE"),
        "valid; psstat would measure\n\
         \x20 web: pattern nginx (psstat.toml:2)\n\
         \x20   tags: host=tengu\n\
         \x20 fields: p_cpu, p_mem, n_proc; memory: auto\n\
         \x20 format: influx; interval: none\n\
         \x20 files: FILE\n"
    );
}

#[test]
fn all_errors_of_the_file_are_printed_each_on_a_line() {
    let config = Config::new(
        "memroy = 'pss'\ntimeout = '5'\n[[group]]\npattern = 'a('\n[[group]]\nuser = true\n",
    );
    let place = |line: usize| format!("E! {}:{line}: ", config.path().display());
    for command in ["check", "execd", "--wait=1ms"] {
        let said = run([command, &config.option()]);
        said.assert_failed(2, "did you mean memory?");
        let lines: Vec<&str> = said.stderr.lines().collect();
        assert_eq!(lines.len(), 4, "{said:?}");
        for (line, number) in lines.iter().zip([1, 2, 4, 6]) {
            assert!(line.starts_with(&place(number)), "{line}");
        }
    }
}

#[test]
fn a_check_takes_the_options_of_every_command() {
    let config = Config::new("timeout = '1s'\n[[group]]\npid = 1\n");
    let check = |further: &str| run(["check", &config.option(), further]);
    assert_eq!(check("--wait=500ms").status, Some(0));
    assert_eq!(check("--interval=10s").status, Some(0));
    let cause = "the timeout must be longer than the time between the samples";
    check("--wait=2s").assert_failed(2, cause);
    let config = Config::new("timeout = '1s'\nwait = '2s'\n[[group]]\npid = 1\n");
    run(["check", &config.option()]).assert_failed(2, cause);
}

#[test]
fn the_cause_is_in_the_line_even_if_the_value_is_long() {
    let long = "é".repeat(2000);
    for (text, cause) in [
        (format!("[[group]]\npattern = '{long}('\n"), "unclosed group"),
        (format!("memory = '{long}'\n[[group]]\npid = 1\n"), "use auto, shared-once, pss or rss"),
        (format!("[[group]]\n'{long}' = 1\n"), "the keys are name, pid"),
        (format!("[tags]\n'{long}' = ''\n[[group]]\npid = 1\n"), "the value is empty"),
        (format!("[tags]\n'{long}' = 1\n[[group]]\npid = 1\n"), "this is of type integer"),
        ("host = 'a'\nhost = 'b'\n".to_owned(), "2: duplicate key host: remove one"),
    ] {
        run(["check", &Config::new(&text).option()]).assert_failed(2, cause);
    }
    run([format!("--pid={long}")]).assert_failed(2, "not a pid");
    run([format!("--tag={long}")]).assert_failed(2, "write it as KEY=VALUE");
    run([format!("--memory={long}")]).assert_failed(2, "use auto, shared-once, pss or rss");
}

/// The example that ships.
fn example() -> String {
    let path = Path::new(REPOSITORY).join("packaging/psstat.toml");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_shipped_example_is_valid_with_all_its_comments() {
    let whole: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(shown) if !shown.starts_with(' ') && !shown.is_empty() => format!("{shown}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    for (text, groups) in [(example(), 4), (whole.clone(), 13)] {
        // Users are those of this machine.
        let config = Config::new(&text.replace("\"www-data\"", "33").replace("\"app\"", "34"));
        let said = run(["check", &config.option()]);
        let printed = String::from_utf8(said.stdout.clone()).unwrap();
        assert_eq!(said.status, Some(0), "{said:?}");
        // With all its comments, it is for a container.
        let counted = if text == whole { 0 } else { groups };
        assert_eq!(printed.matches("\n    now: ").count(), counted, "{printed}");
        assert_eq!(printed.matches("\n    tags: ").count(), groups, "{printed}");
    }
    // It shows every option that there is.
    let help = String::from_utf8(run(["--help"]).stdout).unwrap();
    let execd = String::from_utf8(run(["execd", "--help"]).stdout).unwrap();
    let options = help.lines().chain(execd.lines()).filter_map(|line| {
        let name = line.trim_start().strip_prefix("--")?;
        Some(name.split([' ', '=']).next().unwrap().replace('-', "_"))
    });
    for option in options.filter(|option| option != "config" && option != "tag") {
        let key = |line: &str| line.split('=').next().unwrap().trim() == option;
        assert!(whole.lines().any(key), "{option} is not shown");
    }
}

#[test]
fn the_example_runs() {
    let tree = servers();
    let text = example().replace("\"www-data\"", "33").replace("^php-fpm", "nginx");
    let run = second_run(&tree, &text, &["--sys", "/nowhere"]);
    assert_eq!(count(&run, "php"), 1);
    let down = run.lines().into_iter().find(|line| line.name() == "mysql").unwrap();
    assert_eq!((down.n_proc(), down.p_cpu()), (0, Some(0.0)));
    let team = ("team".to_owned(), "data".to_owned());
    assert!(
        down.tags.contains(&team)
            && down.tags.contains(&("env".to_owned(), "production".to_owned()))
    );
}

// ---- --output -----------------------------------------------------------------------------------

/// A job on the servers whose samples go to a file.
fn to_file<'t>(tree: &'t FakeProc, file: &Path) -> Job<'t> {
    Job::new(
        tree,
        ["--pattern=web:nginx", "--format=prometheus", "--output", file.to_str().unwrap()],
    )
}

#[test]
fn a_sample_replaces_the_file_whole_and_everybody_may_read_it() {
    let (tree, directory) = (servers(), tempfile::tempdir().unwrap());
    let file = directory.path().join("psstat.prom");
    fs::write(&file, "stale ".repeat(10_000)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let job = to_file(&tree, &file);
    job.run().assert_first();
    assert!(!fs::read_to_string(&file).unwrap().contains("stale"), "old figures are none");
    let run = job.run();
    assert_eq!((run.status, run.stdout.as_slice(), run.stderr.as_str()), (Some(0), &b""[..], ""));
    let text = fs::read_to_string(&file).unwrap();
    let line = "psstat_processes{host=\"tengu\",process_name=\"web\"} 3\n";
    assert!(text.starts_with("# HELP ") && text.contains(line), "{text}");
    assert!(text.contains("\npsstat_build_info{output=\"psstat.prom\",version="), "{text}");
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o644, "{mode:o}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn nothing_but_a_plain_file_of_ones_own_is_replaced() {
    let (tree, directory) = (servers(), tempfile::tempdir().unwrap());
    let file = directory.path().join("psstat.prom");
    let refused = |cause: &str| to_file(&tree, &file).run().assert_failed(1, cause);

    let precious = directory.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, &file).unwrap();
    refused("a symbolic link");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    fs::remove_file(&file).unwrap();

    crate::support::make_fifo(&file);
    refused("regular file");
    fs::remove_file(&file).unwrap();

    fs::create_dir(&file).unwrap();
    refused("a directory");

    let gone = directory.path().join("none/psstat.prom");
    to_file(&tree, &gone).run().assert_failed(1, "directory");
    let nowhere = Job::new(&tree, ["--pattern=web:nginx", "--output="]);
    Run::of(nowhere.command().current_dir(directory.path()))
        .assert_failed(2, "--output needs a value");
    assert!(!directory.path().join(".new").exists());
    let null = Path::new("/dev/null");
    to_file(&tree, null).run().assert_failed(1, "cannot write --output /dev/null");
    assert!(!fs::metadata(null).unwrap().is_file());
}
