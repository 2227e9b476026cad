//! Checks that the output has the form that docs/FORMATS.md describes, for every field.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::names;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::{Job, REPOSITORY, Run, is_installed, limit};
use regex::bytes::Regex;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

fn page() -> String {
    let path = Path::new(REPOSITORY).join("docs/FORMATS.md");
    std::fs::read_to_string(path).unwrap()
}

/// The rows of the page's table of fields: field, metric, type.
fn table() -> Vec<[String; 3]> {
    let row =
        Regex::new(r"(?m-u)^\| `([a-z_]+)` \| `(psstat_[a-z_]+)` \| (gauge|counter) \|").unwrap();
    let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
    let page = page();
    let rows = row.captures_iter(page.as_bytes());
    rows.map(|found| [1, 2, 3].map(|index| text(&found[index]))).collect()
}

/// Where its sysfs is, in the directory of its procfs.
const SYS: &str = "made-up-sys";

/// A machine with one process that has all files, in a control group that has all files.
fn tree() -> FakeProc {
    let tree = FakeProc::new();
    tree.write(SYS.to_owned() + "/fs/cgroup/cgroup.procs", "1\n");
    let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
    for (file, text) in [
        ("cgroup.procs", "100\n"),
        ("cpu.stat", "usage_usec 5\nthrottled_usec 3\n"),
        ("cpu.pressure", pressure),
        ("memory.pressure", pressure),
        ("io.pressure", pressure),
        ("memory.events", "oom 0\noom_kill 0\n"),
        ("memory.max", "4096\n"),
        ("memory.peak", "4096\n"),
        ("memory.swap.current", "0\n"),
    ] {
        tree.write(format!("{SYS}/fs/cgroup/web/{file}"), text);
    }
    tree.add(&Process { resident: 7, ..Process::new(100, 1, "web") });
    tree.set_io(100, 1, 1);
    tree.set_threads(100, &[(100, 1)]);
    tree.set_open_files(100, 3);
    tree
}

/// The second run with all fields of the table, in its order.
fn run(tree: &FakeProc, further: &[&str]) -> Run {
    let fields: Vec<String> = table().into_iter().map(|[field, ..]| field).collect();
    let fields = fields.join(",");
    let sys = format!("--sys={}", tree.file(SYS).display());
    let args = ["--cgroup", "web:web", "--fields", &fields, "--tag", "env=production", &sys];
    Job::new(tree, [&args[..], further].concat()).second_run()
}

#[test]
fn the_table_of_fields_matches_the_help() {
    let help = crate::support::run(["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let rows = table();
    let described: Vec<&str> = rows.iter().map(|[field, ..]| field.as_str()).collect();
    // The help of the option lists all fields before its default.
    let (_, option) = help.split_once("--fields").unwrap();
    let (option, _) = option.split_once('[').unwrap();
    let list = &option[option.find(described[0]).unwrap()..];
    let known: Vec<&str> = list.split([',', ' ', '\n']).filter(|word| !word.is_empty()).collect();
    assert_eq!(described, known);
}

#[test]
fn metrics_have_the_documented_names_and_types() {
    let page = run(&tree(), &["--format", "prometheus"]);
    let page = String::from_utf8(page.stdout).unwrap();
    let (of_groups, about) = page.split_at(page.find("# HELP psstat_build_info").unwrap());
    let types = |part: &str| -> Vec<String> {
        part.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.to_owned())).collect()
    };
    let expected: Vec<String> =
        table().into_iter().map(|[_, metric, kind]| format!("{metric} {kind}")).collect();
    assert_eq!(types(of_groups), expected);
    // Those that are there only if something is wrong are in the next test.
    let expected = ["build_info", "sample_duration_seconds", "sample_cpu_seconds"];
    assert_eq!(types(about), expected.map(|name| format!("psstat_{name} gauge")));
    let version = format!("psstat_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
    assert!(about.contains(&version), "{about}");
    for [_, metric, _] in table() {
        let labels = "{host=\"tengu\",env=\"production\",process_name=\"web\"} ";
        assert!(page.contains(&format!("\n{metric}{labels}")), "{metric}: {page}");
    }
}

#[test]
fn a_page_names_the_groups_that_could_not_be_measured() {
    let tree = tree();
    // A pid file that cannot be read: nobody knows whether its process runs.
    let tags = ["--pid-file", "db:/", "--pid", "4711", "--format", "prometheus"];
    let page = String::from_utf8(run(&tree, &tags).stdout).unwrap();
    for line in [
        "psstat_group_unmeasured{host=\"tengu\",env=\"production\",process_name=\"db\"} 1\n",
        "psstat_sample_warnings{kind=\"no_line\"} 1\n",
        "psstat_sample_warnings{kind=\"not_running\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    assert!(
        !page.contains("psstat_processes{host=\"tengu\",env=\"production\",process_name=\"db\"")
    );
    let documented = self::page();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, _) = line.split_once(' ').unwrap();
        let is_documented =
            ["` |", "{"].iter().any(|end| documented.contains(&format!("`{name}{end}")));
        assert!(is_documented, "{name}");
    }
}

#[test]
fn json_objects_have_the_documented_keys() {
    let json = run(&tree(), &["--format", "json"]);
    let json = String::from_utf8(json.stdout).unwrap();
    let shape = Regex::new(r#"(?-u):("[^"]*"|-?[0-9.]+)"#).unwrap();
    let keys_alone = shape.replace_all(json.as_bytes(), &b":_"[..]);
    let fields: Vec<String> = table().iter().map(|[field, ..]| format!("\"{field}\":_")).collect();
    let expected = format!(
        "{{\"name\":_,\"tags\":{{\"host\":_,\"env\":_,\"process_name\":_}},\"fields\":{{{}}},\
         \"timestamp\":_}}\n",
        fields.join(",")
    );
    assert_eq!(String::from_utf8_lossy(&keys_alone), expected);
    // The example of the page has no other keys.
    let (_, example) =
        page().split_once("```json\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let example = example.split('\n').next().unwrap().to_owned();
    let key = Regex::new(r#"(?-u)"([a-z_]+)":"#).unwrap();
    let keys = |text: &str| -> BTreeSet<Vec<u8>> {
        key.captures_iter(text.as_bytes()).map(|found| found[1].to_vec()).collect()
    };
    assert!(keys(&example).is_subset(&keys(&json)), "{example}");
}

#[test]
fn json_of_hostile_names_can_be_parsed() {
    if !is_installed("python3") {
        return;
    }
    let tree = names::tree_of_all_names();
    let args = [names::each_by_pid(), vec!["--format=json".to_owned()]].concat();
    let printed = Job::new(&tree, args).second_run();
    assert_eq!(printed.status, Some(0), "{printed:?}");
    let reader = "import json, sys\n\
                  for line in sys.stdin.buffer:\n    \
                  read = json.loads(line.decode())\n    \
                  print(json.dumps([read['tags']['process_name'], read['fields']['n_proc']]))";
    let mut python = Command::new("python3")
        .args(["-c", reader])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let lines = printed.stdout.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&lines));
    let output = limit::finish(python, limit::LIMIT);
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = String::from_utf8(output.stdout).unwrap();
    let mut read: Vec<&str> = read.lines().collect();
    let quoted = |text: &str| {
        let mut quoted = String::from("\"");
        for unit in text.encode_utf16() {
            match char::from_u32(u32::from(unit)) {
                Some(c @ ('"' | '\\')) => quoted.extend(['\\', c]),
                Some(c) if c.is_ascii() => quoted.push(c),
                _ => quoted.push_str(&format!("\\u{unit:04x}")),
            }
        }
        quoted + "\""
    };
    let mut expected: Vec<String> = names::expected()
        .iter()
        .map(|(name, count)| format!("[{}, {count}]", quoted(name)))
        .collect();
    read.sort_unstable();
    expected.sort_unstable();
    assert_eq!(read, expected);
}
