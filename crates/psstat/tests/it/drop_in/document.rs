//! docs/MIGRATION.md, read: what it shows is run.

use super::{World, split};
use crate::stderr::assert_warnings;
use crate::support::{REPOSITORY, Run, psstat};
use regex::bytes::Regex;
use std::path::Path;

fn page() -> String {
    let path = Path::new(REPOSITORY).join("docs/MIGRATION.md");
    std::fs::read_to_string(path).unwrap()
}

/// All that a regex's first group finds.
fn found(page: &str, regex: &str) -> Vec<String> {
    let regex = Regex::new(&format!("(?-u){regex}")).unwrap();
    let texts = regex.captures_iter(page.as_bytes()).map(|found| found[1].to_vec());
    texts.map(|text| String::from_utf8(text).unwrap()).collect()
}

/// The part of the page below a heading, down to the next.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let (_, below) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    below.split("\n#").next().unwrap()
}

/// The blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    found(page, &format!(r"(?s)```{language}\n(.*?)```"))
}

/// The command lines: in blocks, in Telegraf's `command`, and between backquotes.
fn commands(page: &str) -> Vec<String> {
    let mut commands = found(&blocks(page, "sh").concat(), r"(?m)^ *(?:\./)?(psstat .*)$");
    let arrays = found(page, r#"command = \["/usr/bin/(psstat", [^\]]*)"\]"#);
    assert!(!arrays.is_empty(), "no command of Telegraf was found");
    commands.extend(arrays.into_iter().map(|array| array.replace("\", \"", " ")));
    commands.extend(found(page, "`(psstat [^`]*)`"));
    commands
}

/// Runs a command line of the page on this machine, by two samples, so that no cache is kept.
fn run(line: &str, world: &World) -> Run {
    let mut args = split(line).split_off(1);
    // The resident process keeps no cache. It ends at once, because its standard input is empty.
    if !args.iter().any(|arg| arg == "--wait" || arg == "execd") {
        args.extend(["--wait".to_owned(), "100ms".to_owned()]);
    }
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("psstat.toml");
    std::fs::write(&config, &blocks(&page(), "toml")[0]).unwrap();
    for arg in &mut args {
        if arg.starts_with("/etc/psstat") {
            *arg = config.to_str().unwrap().to_owned();
        }
        // Nobody waits that long for a test.
        if arg == "10s" {
            "100ms".clone_into(arg);
        }
    }
    Run::of(psstat().current_dir(world.tree.path()).args(args))
}

#[test]
fn every_command_line_of_the_page_runs() {
    let page = page();
    let (refused, commands): (Vec<String>, Vec<String>) = {
        let below = section(&page, "### Refused");
        commands(&page).into_iter().partition(|line| below.contains(&format!("| `{line}` |")))
    };
    let world = World::new();
    let mut ran = 0;
    for line in &commands {
        // The names of other ways to run, not a job.
        if line == "psstat --help" || line == "psstat execd" {
            continue;
        }
        let run = run(line, &world);
        assert_eq!(run.status, Some(0), "{line}: {run:?}");
        assert!(!run.stderr.contains("E! "), "{line}: {run:?}");
        ran += 1;
    }
    assert!(ran >= 12 && refused.len() >= 15, "{ran} and {} were found", refused.len());
}

#[test]
fn every_refusal_of_the_page_is_refused() {
    let world = World::new();
    let page = page();
    let rows = found(section(&page, "### Refused"), r"(?m)^\| `(psstat[^`]*)` \| [^|]+ \|$");
    assert!(rows.len() >= 15, "{rows:?}");
    for line in &rows {
        // As it is: `--wait` would change what a job for a cache is refused for.
        let args = &split(line)[1..];
        let run = Run::of(psstat().current_dir(world.tree.path()).args(args));
        run.assert_failed(2, "");
        // The message quotes the value or the option that is wrong, and there is nothing else.
        let quoted = |arg: &String| run.stderr.contains(&format!("{arg:?}"));
        let is_named = |arg: &String| arg.starts_with("--") && run.stderr.contains(arg.as_str());
        let names_it = args.is_empty() || args.iter().any(|arg| quoted(arg) || is_named(arg));
        assert!(names_it, "{line}: {run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{line}: {run:?}");
    }
}

#[test]
fn every_option_of_the_page_is_in_the_help() {
    let help = Run::of(psstat().arg("--help"));
    let help = String::from_utf8(help.stdout).unwrap();
    let options = found(&page(), "[ `](--[a-z][a-z-]+)");
    assert!(options.len() > 40, "{options:?}");
    for option in options {
        // The original's, which is taken for old configurations alone.
        assert!(option == "--single-threaded" || help.contains(&option), "{option}");
    }
}

#[test]
fn each_configuration_of_the_page_is_valid() {
    let page = page();
    let files = blocks(&page, "toml");
    assert_eq!(files.len(), 5);
    let directory = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        let path = directory.path().join("psstat.toml");
        std::fs::write(&path, text).unwrap();
        let run = Run::of(psstat().args([
            "check",
            "--proc=/nowhere",
            "--config",
            path.to_str().unwrap(),
        ]));
        assert_eq!(run.status, Some(0), "{text}: {run:?}");
        // That no process can be counted is the only warning.
        assert_warnings(&run.stderr, &[&["were not counted"]]);
    };
    files.iter().for_each(|file| check(file));
    // Single keys, in the last column of a table; a bar is written with a backslash there.
    let keys = found(&page, r"(?m)\| `([a-z_]+ = [^`]+)` \|$");
    assert!(keys.len() >= 10, "{keys:?}");
    for key in keys.iter().filter(|key| !key.starts_with("children")) {
        check(&format!("[[group]]\nname = 'x'\n{}\n", key.replace("\\|", "|")));
    }
}

/// Each of the three makes what its text says.
#[test]
fn the_translated_configurations_make_these_groups() {
    let page = page();
    let files = blocks(section(&page, "### Three configurations, line by line"), "toml");
    let expected: [&[&str]; 3] = [
        &[
            "nginx: pid_file /run/nginx.pid",
            "fields: p_cpu, mem, n_thread",
            "php-fpm: systemd php8.2-fpm.service",
        ],
        &["java-{app}: cmdline -Dapp=", "user app"],
        &[
            "storage: systemd postgresql@*.service",
            "storage: systemd redis-server.service",
            "workers: pid_file /run/worker-a.pid, exe */python3*",
            "workers: pid_file /run/worker-b.pid, exe */python3*",
            "shells: pattern ^zsh$, user 1001, children false",
        ],
    ];
    assert_eq!(files.len(), expected.len());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("psstat.toml");
    for (file, parts) in files.iter().zip(expected) {
        std::fs::write(&path, file).unwrap();
        let run = Run::of(psstat().args([
            "check",
            "--proc=/nowhere",
            "--config",
            path.to_str().unwrap(),
        ]));
        let said = String::from_utf8(run.stdout).unwrap();
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn the_fields_of_the_page_are_those_printed() {
    let world = World::new();
    let run = world.run(&["--pid", "100", "--wait", "1ms"]);
    let names: Vec<String> = run.line().fields.into_iter().map(|(name, _)| name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["p_cpu", "p_mem", "n_proc"]);
    let page = page();
    let queries = section(&page, "### Queries");
    let asked = found(queries, r#"(?:mean|last)\("([a-z_]+)"\)[^|]*"psstat""#);
    let asked: Vec<&String> = asked.iter().filter(|name| *name != "pcpu").collect();
    assert!(asked.len() >= 4, "{asked:?}");
    assert!(asked.iter().all(|name| names.contains(&name.as_str())), "{asked:?}");
}
