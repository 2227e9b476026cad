//! Names of groups that are made of what was matched.

use crate::stderr::assert_warning;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::{Job, Run};

fn java(pid: u32, start: u64, app: &str) -> Process {
    let cmdline = format!("/usr/bin/java\0-Dapp={app}\0Main\0").into_bytes();
    Process { cmdline, start, ..Process::new(pid, 1, "java") }
}

fn of(tree: &FakeProc, config: &str) -> Run {
    tree.write("groups.toml", config);
    let file = tree.file("groups.toml");
    Job::new(tree, ["--config", file.to_str().unwrap()]).second_run()
}

fn counts(run: &Run) -> Vec<(String, usize)> {
    run.lines().iter().map(|line| (line.name().to_owned(), line.n_proc())).collect()
}

fn counted(groups: &[(&str, usize)]) -> Vec<(String, usize)> {
    groups.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn one_selector_makes_a_group_for_each_name() {
    let tree = FakeProc::new();
    tree.add_all(&[
        java(10, 5, "shop"),
        java(11, 6, "search"),
        java(12, 7, "shop"),
        Process { start: 9, ..Process::new(13, 12, "child") },
        java(14, 7, ""),
        Process { cmdline: b"java\0Main\0".to_vec(), ..Process::new(15, 1, "java") },
    ]);
    let expected = counted(&[("java-?", 1), ("java-search", 1), ("java-shop", 3)]);
    let rule = r"java-{app}:-Dapp=(?P<app>[\w-]*)";
    let run = Job::new(&tree, ["--cmdline", rule]).second_run();
    assert_eq!(counts(&run), expected, "{}", run.stderr);
    let run =
        of(&tree, &format!("[[group]]\nname = 'java-{{app}}'\ncmdline = '{}'\n", &rule[11..]));
    assert_eq!((counts(&run), &*run.stderr), (expected, ""));
}

#[test]
fn properties_of_a_process_can_name_its_group() {
    let tree = FakeProc::new();
    let python = |pid, uid| Process {
        exe: Some("/opt/py 3/python3".into()),
        effective_uid: uid,
        ..Process::new(pid, 1, "python3")
    };
    tree.add_all(&[python(10, 0), python(11, 4_294_967_294), Process::new(12, 1, "kthread")]);
    tree.write("1/cgroup", "0::/init.scope\n");
    tree.write("10/cgroup", "0::/system.slice/system-job.slice/job@7.service/inner\n");
    tree.write("11/cgroup", "0::/\n");
    for (name, expected) in [
        ("{comm}", [("python3", 2)].as_slice()),
        ("{user}!", &[("4294967294!", 1), ("root!", 1)]),
        ("{exe}", &[("/opt/py 3/python3", 2)]),
        ("{base}", &[("python", 2)]),
        ("{unit}", &[("-.slice", 1), ("job@7", 1)]),
        ("{unit}/{instance}", &[("-.slice/?", 1), ("job@7/7", 1)]),
        ("{cgroup}", &[("/", 1), ("system.slice/system-job.slice/job@7.service/inner", 1)]),
    ] {
        let rule = "pattern = '^python'\nexe_regex = '(?P<base>python)'";
        let run = of(&tree, &format!("[[group]]\nname = '{name}'\n{rule}\n"));
        assert_eq!(counts(&run), counted(expected), "{name}: {}", run.stderr);
    }
    // A kernel thread has no executable, and no command line.
    let run = of(&tree, "[[group]]\nname = 'x{exe}'\npattern = 'kthread'\n");
    assert_eq!((counts(&run), &*run.stderr), (counted(&[("x?", 1)]), ""));
    // A kernel without control groups has no file `cgroup`.
    let run = of(&tree, "[[group]]\nname = '{unit}-{cgroup}'\npattern = 'kthread'\n");
    assert_eq!((counts(&run), &*run.stderr), (counted(&[("?-?", 1)]), ""));
}

#[test]
fn names_beyond_max_groups_are_in_the_group_named_overflow() {
    let tree = FakeProc::new();
    // Later processes have names that sort before the others.
    for number in 0..20 {
        tree.add(&java(100 + number, 500 - u64::from(number), &format!("a{number:02}")));
    }
    let rule = "[[group]]\nname = 'j-{app}'\ncmdline = 'app=(?P<app>[a-z0-9]+)'\n";
    let run = of(&tree, &format!("{rule}max_groups = 3\noverflow = 'many'\n"));
    let expected = counted(&[("j-a17", 1), ("j-a18", 1), ("j-a19", 1), ("many", 17)]);
    assert_eq!(counts(&run), expected);
    assert_warning(
        &run.stderr,
        &[
            "j-{app}: cmdline ",
            "20 different names",
            "max_groups allows 3",
            "many",
            "the others are j-a16, j-a15, j-a14, j-a13, j-a12 and 12 more",
        ],
    );
    // At the top of the file they are for all groups.
    let run = of(&tree, &format!("max_groups = 19\n{rule}"));
    let lines = counts(&run);
    assert_eq!((lines.len(), lines[19].clone()), (20, ("other".to_owned(), 1)));
    let run = of(&tree, &format!("max_groups = 2\n{rule}max_groups = 20\n"));
    assert_eq!((counts(&run).len(), &*run.stderr), (20, ""));
}

/// Somebody's processes wait for a place in a group of their own, and are older than a service that starts anew.
#[test]
fn a_name_that_had_a_group_keeps_it() {
    let tree = FakeProc::new();
    let names = ["shop", "waiting", "wanting"];
    for (pid, name) in (10..).zip(names) {
        tree.add(&java(pid, 5 + u64::from(pid), name));
    }
    let rule = "[[group]]\nname = '{app}'\ncmdline = 'app=(?P<app>[a-z]+)'\n";
    tree.write("groups.toml", format!("{rule}max_groups = 2\n"));
    let file = tree.file("groups.toml");
    let job = Job::new(&tree, ["--config", file.to_str().unwrap()]);
    job.baseline();
    let expected = counted(&[("other", 1), ("shop", 1), ("waiting", 1)]);
    assert_eq!(counts(&job.run()), expected);
    for (last, pid) in [(10, 30), (30, 31), (31, 32)] {
        tree.remove(last);
        tree.add(&java(pid, 500 + u64::from(pid), "shop"));
        let run = job.run();
        assert_eq!(counts(&run), expected);
        assert_warning(&run.stderr, &["3 different names", "the others are wanting"]);
    }
    // A name that a sample did not find has given its place away.
    tree.remove(32);
    assert_eq!(counts(&job.run()), counted(&[("waiting", 1), ("wanting", 1)]));
    tree.add(&java(33, 600, "shop"));
    let expected = counted(&[("other", 1), ("waiting", 1), ("wanting", 1)]);
    assert_eq!(counts(&job.run()), expected);
    // What others have named says nothing of a name that was made.
    let given = "[[group]]\nname = 'shop'\npid = 11\n";
    tree.write("groups.toml", format!("{given}{rule}max_groups = 2\n"));
    for name in ["other", "shop"] {
        tree.remove(33);
        tree.add(&java(33, 600, name));
        job.run();
        let run = job.run();
        assert_warning(&run.stderr, &["3 different names", &format!("the others are {name}")]);
    }
}

#[test]
fn a_made_name_is_never_that_of_another_group() {
    let tree = FakeProc::new();
    tree.add_all(&[java(10, 5, "db"), Process::new(11, 1, "postgres")]);
    let config = "[[group]]\nname = 'db'\npattern = '^postgres$'\n\
                  [[group]]\nname = '{app}'\ncmdline = 'app=(?P<app>[a-z]+)'\n";
    let run = of(&tree, config);
    assert_eq!(counts(&run), counted(&[("db", 1), ("db (own name)", 1)]));
    // Two rules that make the same name make one group.
    let config = "[[group]]\nname = 'x-{comm}'\npattern = '^postgres$'\n\
                  [[group]]\nname = 'x-{word}'\npattern = '^(?P<word>post|j)'\n\
                  [[group]]\nname = 'x-{app}gres'\ncmdline = 'app=(?P<app>[a-z]+)'\n";
    let run = of(&tree, config);
    assert_eq!(
        counts(&run),
        counted(&[("x-postgres", 1), ("x-j", 1), ("x-post", 1), ("x-dbgres", 1)])
    );
}

#[test]
fn no_name_enters_a_group_that_the_user_named() {
    let tree = FakeProc::new();
    // Process 1 has no group but the rest.
    tree.add_all(&[
        java(10, 5, "a"),
        java(11, 6, "b"),
        java(12, 7, "many"),
        Process::new(20, 1, "postgres"),
    ]);
    let rule = "[[group]]\nname = '{app}'\ncmdline = 'app=(?P<app>[a-z]+)'\noverflow = 'many'\n";
    let given = "[[group]]\nname = 'many'\npattern = '^postgres$'\n";
    let a_and_b = [("a", 1), ("b", 1)];
    let with = |others: &[(&str, usize)]| counted(&[&a_and_b[..], others].concat());
    for (config, expected) in [
        // The process chose the name.
        (format!("{given}{rule}"), with(&[("many", 1), ("many (own name)", 1)])),
        (format!("rest = 'many'\n{rule}"), with(&[("many", 2), ("many (own name)", 1)])),
        (rule.to_owned(), with(&[("many", 1)])),
        // It is one too many. The rest may have it, if the user says so.
        (format!("{given}{rule}max_groups = 2\n"), with(&[("many", 1), ("many (own name)", 1)])),
        (format!("rest = 'many'\n{rule}max_groups = 2\n"), with(&[("many", 3)])),
        (format!("rest = 'x'\n{rule}max_groups = 2\n"), with(&[("many", 1), ("x", 2)])),
    ] {
        let mut found = counts(&of(&tree, &config));
        found.sort_unstable();
        assert_eq!(found, expected, "{config}");
    }
}

#[test]
fn whatever_a_process_is_called_its_line_is_whole() {
    let tree = FakeProc::new();
    for (pid, app) in (10..).zip(["a b,c=d", "x\\", "\n", "\u{1b}[31m", "ü,", &"y".repeat(4000)]) {
        tree.add(&java(pid, 5, app));
    }
    let run = of(&tree, "[[group]]\nname = '{app}'\ncmdline = '(?-u)app=(?P<app>.*) Main'\n");
    let names: Vec<String> = run.lines().iter().map(|line| line.name().to_owned()).collect();
    let long = "y".repeat(255);
    assert_eq!(names, ["?[31m", "\\n", "a b,c=d", "x", &long, "ü,"]);
    // A match of more than 4096 bytes has no value.
    let tree = FakeProc::new();
    tree.add(&java(10, 5, &"y".repeat(5000)));
    let run = of(&tree, "[[group]]\nname = 'x-{app}'\ncmdline = 'app=(?P<app>y+)'\n");
    assert_eq!(counts(&run), counted(&[("x-?", 1)]));
}

#[test]
fn a_cgroup_that_cannot_be_read_leaves_the_groups_of_the_rule_without_a_line() {
    let tree = FakeProc::new();
    tree.add_all(&[java(10, 5, "a"), java(11, 5, "b"), java(12, 5, "c")]);
    tree.write("10/cgroup", "0::/one\n");
    tree.write("11/cgroup", "0::/two\n");
    // It is a directory, which can be opened and not read.
    tree.write("12/cgroup/x", "");
    let run = of(
        &tree,
        "[[group]]\nname = '{cgroup}'\npattern = 'java'\n[[group]]\nname = 'all'\npattern = 'java'\n",
    );
    assert_eq!(counts(&run), counted(&[("all", 3)]));
    assert_warning(&run.stderr, &["no line for one, two: ", "12/cgroup"]);
}
