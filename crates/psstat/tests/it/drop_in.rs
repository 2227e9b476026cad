//! Command lines of the original psstat work unchanged, and docs/MIGRATION.md is right about the
//! differences: each of its command lines is run, and each of its messages is printed.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod document;

use crate::stderr;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::limit::{self, Limited};
use crate::support::line::Line;
use crate::support::{Run, copy_program, psstat, run};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The arguments in a command line, as Telegraf's `exec` and a shell split it.
fn split(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ' ') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), close) if open == close => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    assert_eq!(quote, None, "an open quote in {line:?}");
    words.extend(word);
    words
}

#[test]
fn a_line_is_split_as_a_shell_splits_it() {
    for line in [
        "a  b",
        "--tag 'env=my prod' --tag \"b=c d\"",
        r"a\ b 'c\d' x'y z'w",
        r#"'' "" "a\"b" 'a"b'"#,
        "--pattern '[[:alpha:]]+$' --systemd 'nginx*'",
    ] {
        let mut shell = Command::new("sh");
        let shell = limit::output(shell.args(["-c", &format!("printf '%s\\0' {line}")]));
        let shell = String::from_utf8(shell.unwrap().stdout).unwrap();
        assert_eq!(split(line), shell.split_terminator('\0').collect::<Vec<_>>(), "{line}");
    }
}

/// A made-up machine with an nginx of two workers in its unit, and a MySQL below its wrapper.
struct World {
    tree: FakeProc,
    caches: TempDir,
}

impl World {
    fn new() -> World {
        let tree = FakeProc::new();
        let process = |pid, parent, comm, resident, shared| Process {
            resident,
            shared,
            ..Process::new(pid, parent, comm)
        };
        tree.add_all(&[
            process(100, 1, "nginx", 30, 20),
            process(101, 100, "nginx", 50, 40),
            process(102, 100, "nginx", 60, 40),
            process(200, 1, "mysqld_safe", 10, 0),
            process(201, 200, "mysqld", 5000, 0),
        ]);
        for pid in [100, 101, 102] {
            tree.write(format!("{pid}/cgroup"), "0::/system.slice/nginx.service\n");
        }
        tree.write("nginx.pid", "100\n");
        World { tree, caches: tempfile::tempdir().unwrap() }
    }

    fn pid_file(&self) -> String {
        self.tree.file("nginx.pid").to_str().unwrap().to_owned()
    }

    fn cache_dir(&self) -> String {
        self.caches.path().to_str().unwrap().to_owned()
    }

    /// Runs psstat with `args` as they are; where it looks is said by the environment.
    fn run<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> Run {
        let mut command = psstat();
        command.env("HOST_PROC", self.tree.path()).env("HOST_SYS", self.tree.file("no sysfs"));
        Run::of(command.args(args))
    }

    /// What a second run prints, without the time stamps, which must be equal.
    fn second_run<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> String {
        self.run(args).assert_first();
        untimed(&self.run(args))
    }
}

fn untimed(run: &Run) -> String {
    let lines = run.lines();
    assert!(lines.windows(2).all(|two| two[0].time == two[1].time), "{run:?}");
    let text = String::from_utf8(run.stdout.clone()).unwrap();
    text.lines().map(|line| format!("{}\n", line.rsplit_once(' ').unwrap().0)).collect()
}

/// The four ways in which Go's `flag` package takes a value, the documented one first.
const FORMS: [(&str, &str); 4] = [("--", " "), ("--", "="), ("-", " "), ("-", "=")];

/// `options` in one of these forms.
fn written(options: &[(&str, String)], (dash, between): (&str, &str)) -> Vec<String> {
    let write = |(option, value): &(&str, String)| match between {
        "=" => vec![format!("{dash}{option}={value}")],
        _ => vec![format!("{dash}{option}"), value.clone()],
    };
    options.iter().flat_map(write).collect()
}

const NGINX: &str = "p_cpu=0,p_mem=0.00008,n_proc=3i";

#[test]
fn every_form_of_every_option_gives_the_same_bytes() {
    for form in FORMS {
        let world = World::new();
        let options = [
            ("pid", "one:100".to_owned()),
            ("pid", "200".to_owned()),
            ("pid-file", format!("file:{}", world.pid_file())),
            ("pattern", "mysql:^mysqld".to_owned()),
            ("pattern", "-nothing-".to_owned()),
            ("systemd", "unit:ngin?".to_owned()),
            ("systemd", "nginx".to_owned()),
            ("tag", "env=production".to_owned()),
            ("tag", "-a=b=-c".to_owned()),
            ("host", "tengu".to_owned()),
            ("cache-dir", world.cache_dir()),
            ("cache-name", "mine".to_owned()),
        ];
        let args = written(&options, form);
        let first = world.run(&args);
        assert_eq!((first.status, first.stdout.len()), (Some(0), 0), "{form:?}: {first:?}");
        assert!(world.caches.path().join("mine").is_file(), "{form:?}");
        let mysql = "p_cpu=0,p_mem=0.00501,n_proc=2i";
        let expected = [
            format!("process_name=one {NGINX}"),
            format!("process_name=mysqld_safe {mysql}"),
            format!("process_name=file {NGINX}"),
            format!("process_name=mysql {mysql}"),
            // A glob is not completed, as systemctl completes none.
            "process_name=unit p_cpu=0,p_mem=0,n_proc=0i".to_owned(),
            format!("process_name=nginx {NGINX}"),
        ]
        .map(|line| format!("psstat,host=tengu,env=production,-a=b\\=-c,{line}\n"));
        assert_eq!(untimed(&world.run(&args)), expected.concat(), "{form:?}");
    }
}

#[test]
fn switches_take_the_truth_values_of_go() {
    let world = World::new();
    let cache_dir = world.cache_dir();
    let job = ["--host=tengu", "--pid-file", &world.pid_file(), "--cache-dir", &cache_dir];
    let expected = world.second_run(&job);
    assert_eq!(expected, format!("psstat,host=tengu,process_name=nginx {NGINX}\n"));
    for switch in ["multi-threaded", "single-threaded"] {
        for value in
            ["", "=1", "=t", "=T", "=true", "=TRUE", "=True", "=0", "=f", "=F", "=false", "=False"]
        {
            for dash in ["-", "--"] {
                let typed = format!("{dash}{switch}{value}");
                let run = world.run(&[&[typed.as_str()], &job[..]].concat());
                assert_eq!((untimed(&run), run.stderr.as_str()), (expected.clone(), ""), "{typed}");
            }
        }
    }
    for typed in ["--multi-threaded=yes", "-multi-threaded=", "---single-threaded"] {
        let run = world.run(&[&[typed], &job[..]].concat());
        run.assert_failed(2, typed.trim_start_matches('-').split('=').next().unwrap());
    }
    let not_asked = world.run(&[&["-version=false", "-help=0"], &job[..]].concat());
    assert_eq!(untimed(&not_asked), expected);
}

#[test]
fn version_and_help_in_every_form() {
    let version = concat!("psstat ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
    for typed in ["-version", "--version", "-version=true", "--version=1"] {
        let run = run([typed]);
        assert_eq!((run.status, &run.stdout[..]), (Some(0), version), "{typed}");
    }
    let help = run(["--help"]);
    assert!(help.stdout.starts_with(b"What a group of processes costs"), "{help:?}");
    for typed in ["-help", "-h", "--h", "-help=true"] {
        let run = run([typed]);
        if typed == "--h" {
            // Go's undocumented one.
            run.assert_failed(2, "'--h'");
        } else {
            assert_eq!((run.status, run.stdout), (Some(0), help.stdout.clone()), "{typed}");
        }
    }
}

#[test]
fn two_dashes_end_the_options() {
    let world = World::new();
    let cache_dir = world.cache_dir();
    let job = ["-pid=x:100", "-cache-dir", &cache_dir, "-host", "tengu"];
    let expected = world.second_run(&job);
    assert_eq!(untimed(&world.run(&[&job[..], &["--"]].concat())), expected);
    for stray in [&["--", "-pid", "200"][..], &["nginx"], &["nginx", "-pid", "200"]] {
        world.run(&[&job[..], stray].concat()).assert_failed(2, "unexpected argument");
    }
    // A name has no option before it that could take it: `-multi-threaded true` never worked.
    world.run(&[&job[..], &["-multi-threaded", "true"]].concat()).assert_failed(2, "'true'");
}

#[test]
fn the_example_of_the_founding_document() {
    const EXAMPLE: &str = "/usr/bin/psstat --tag env=production --pid-file /var/run/nginx.pid \
                           --pattern mysql:mysqld_safe";
    let world = World::new();
    let example = EXAMPLE.replace("/var/run/nginx.pid", &world.pid_file());
    let mut args = split(&example).split_off(1);
    // Where the tests may write.
    args.extend(["--cache-dir".to_owned(), world.cache_dir()]);
    let host = rustix::system::uname();
    let tags = format!("psstat,host={},env=production", host.nodename().to_str().unwrap());
    let expected = format!(
        "{tags},process_name=nginx {NGINX}\n\
         {tags},process_name=mysql p_cpu=0,p_mem=0.00501,n_proc=2i\n"
    );
    assert_eq!(world.second_run(&args), expected);
}

#[test]
fn a_name_is_split_off_at_the_first_colon() {
    let world = World::new();
    let file = world.pid_file();
    let odd = world.tree.file("a:b.pid");
    std::fs::copy(&file, &odd).unwrap();
    let odd = odd.to_str().unwrap();
    let names = |args: &[&str]| {
        let run = world.run(&[args, &["--wait=1ms"]].concat());
        let name = |line: &Line| format!("{} {}", line.name(), line.n_proc());
        run.lines().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&["-pid", "web:100"]), ["web 3"]);
    assert_eq!(names(&["-pid", ":100"]), ["nginx 3"]);
    assert_eq!(names(&["-pid-file", &format!("my web-1.x@y_z:{file}")]), ["my web-1.x@y_z 3"]);
    assert_eq!(names(&["-pid-file", odd, "-pid-file", &format!("n:{odd}")]), ["nginx 3", "n 3"]);
    // Names that the original took; here all of it is the value.
    assert_eq!(names(&["-pattern", "my/app:nginx"]), [""; 0]);
    let run = world.run(&["-pid-file", &format!("my/app:{file}"), "--wait=1ms"]);
    stderr::assert_warning(&run.stderr, &[&format!("my/app:{file}"), "not found"]);
}

#[test]
fn one_line_per_group_where_the_original_wrote_one_per_process() {
    let world = World::new();
    let run = world.run(&["-pattern", "nginx", "-pattern", "my:sql", "-host=", "-wait=1ms"]);
    let expected = format!(
        "psstat,process_name=nginx {NGINX}\npsstat,process_name=my p_cpu=0,p_mem=0.00501,n_proc=2i\n"
    );
    assert_eq!(untimed(&run), expected);
    // The sum of resident sets, as the original had it.
    let run = world.run(&["-pattern", "nginx", "-host=", "-wait=1ms", "-memory=rss"]);
    assert_eq!(untimed(&run), "psstat,process_name=nginx p_cpu=0,p_mem=0.00014,n_proc=3i\n");
}

#[test]
fn tags_are_escaped_by_psstat() {
    let world = World::new();
    let run = world.run(&["-pid=x:100", "-wait=1ms", "-host=", "-tag", "env=my prod"]);
    assert_eq!(untimed(&run), format!("psstat,env=my\\ prod,process_name=x {NGINX}\n"));
    let run = world.run(&["-pid=x:100", "-wait=1ms", "-tag", "env=my\\ prod", "-tag=host=oni"]);
    let tags = &run.line().tags;
    assert_eq!(
        (tags[0].1.as_str(), tags[1].1.as_str()),
        ("oni", "my prod"),
        "as the original's users had to"
    );
}

mod caches {
    use super::*;

    fn files(world: &World) -> Vec<String> {
        let entries = std::fs::read_dir(world.caches.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn jobs_without_a_name_never_share_one() {
        let world = World::new();
        // What the original has left there, for all jobs.
        let old = world.caches.path().join("psstat");
        std::fs::write(&old, "1562471764000000000\n1,0,0.10,0.20,4096\n").unwrap();
        let dir = world.cache_dir();
        let jobs = [
            &["-pid", "a:100"][..],
            &["-pid", "a:200"],
            &["-pid", "b:100"],
            &["-pattern", "a:100"],
            &["-pid", "a:100", "-tag", "x=y"],
            &["-pid", "a:100", "-host", "other"],
        ];
        let run = |job: &[&str]| world.run(&[job, &["-cache-dir", &dir]].concat());
        for job in jobs {
            run(job).assert_first();
        }
        for _ in 0..2 {
            for job in jobs {
                let run = run(job);
                assert!(run.line().p_cpu().is_some() && run.stderr.is_empty(), "{job:?}: {run:?}");
            }
        }
        assert_eq!(files(&world).len(), 1 + jobs.len());
        assert!(std::fs::read_to_string(&old).unwrap().starts_with("1562471764"), "left alone");
    }

    #[test]
    fn two_jobs_that_share_a_cache_print_no_cpu() {
        let world = World::new();
        let dir = world.cache_dir();
        let run = |pid| world.run(&["-pid", pid, "-cache-name=shared", "-cache-dir", &dir]);
        run("a:100").assert_first();
        for _ in 0..3 {
            for (pid, count) in [("b:200", 2), ("a:100", 3)] {
                let run = run(pid);
                let line = run.line();
                assert_eq!((line.p_cpu(), line.n_proc()), (None, count), "{run:?}");
                assert!(line.p_mem().unwrap() > 0.0 && run.stderr.is_empty(), "{run:?}");
            }
        }
        assert_eq!(files(&world), ["shared"]);
    }

    #[test]
    fn a_cache_of_the_original_is_a_first_run() {
        let world = World::new();
        let path = world.caches.path().join("mine");
        std::fs::write(&path, "1562471764000000000\n1,0,0.10,0.20,4096\n").unwrap();
        let dir = world.cache_dir();
        let run = || world.run(&["-pid", "a:100", "-cache-name", "mine", "-cache-dir", &dir]);
        let first = run();
        first.assert_first();
        let said = stderr::first_line(&first.stderr);
        stderr::assert_warning(said, &[path.to_str().unwrap(), "baseline"]);
        assert_eq!(run().line().p_cpu(), Some(0.0));
        // The original takes a first line that is no number for no cache at all.
        let bytes = std::fs::read(&path).unwrap();
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap();
        assert!(!line.iter().all(u8::is_ascii_digit), "{bytes:?}");
    }
}

/// A process of a name that no other has; it ends with this value, or with the test program.
struct Sleeper {
    child: Child,
    directory: TempDir,
    name: String,
}

impl Sleeper {
    fn new() -> Sleeper {
        let directory = tempfile::tempdir().unwrap();
        let name = format!("dropin{}", std::process::id());
        let program = directory.path().join(&name);
        copy_program(Path::new("/bin/cat"), &program);
        let mut command = Command::new(program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Once it answers it is what it is called, and has all its memory.
        let mut answer = [0];
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"x").unwrap();
        let mut stdout = Limited::new(child.stdout.take().unwrap());
        std::io::Read::read_exact(&mut stdout, &mut answer).unwrap();
        let pid_file = directory.path().join("pid");
        std::fs::write(pid_file, child.id().to_string()).unwrap();
        Sleeper { child, directory, name }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_process_is_found_by_every_form() {
    let sleeper = Sleeper::new();
    let directory = sleeper.directory.path().to_str().unwrap();
    for form in FORMS {
        let options = [
            ("pid", format!("by pid:{}", sleeper.child.id())),
            ("pid-file", format!("by file:{directory}/pid")),
            ("pattern", format!("by name:^{}$", sleeper.name)),
            ("pid-file", format!("{directory}/pid")),
            ("tag", "env=production".to_owned()),
            ("host", "tengu".to_owned()),
            ("cache-dir", directory.to_owned()),
            ("cache-name", format!("cache{}{}", form.0, form.1.trim())),
        ];
        let args = written(&options, form);
        run(&args).assert_first();
        let run = run(&args);
        let lines = run.lines();
        let names: Vec<&str> = lines.iter().map(Line::name).collect();
        assert_eq!(names, ["by pid", "by file", "by name", &sleeper.name], "{form:?}");
        for line in &lines {
            let tags: Vec<&str> = line.tags.iter().map(|(_, value)| value.as_str()).collect();
            assert_eq!(tags[..2], ["tengu", "production"], "{form:?}");
            assert_eq!(line.n_proc(), 1, "{form:?}: {run:?}");
            assert_eq!(line.p_mem(), lines[0].p_mem(), "{form:?}: {run:?}");
            assert!(line.p_cpu().is_some() && line.p_mem() > Some(0.0), "{form:?}: {run:?}");
        }
    }
}
