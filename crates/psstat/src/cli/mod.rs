//! The command line, turned into a [`Job`]. Pure: what must be asked of the system is handed in as
//! [`Surroundings`].

use crate::commands::documents;
use crate::config;
use crate::job::Job;
use crate::settings::{self, Settings, Surroundings, UsageError};
use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use psstat_core::model::label::{Label, excerpt};
use psstat_core::select::selector::{Conditions, Selector, Source, split_name};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What is asked for.
#[derive(Debug)]
pub enum Invocation {
    /// Print that text on standard output: help, version.
    Print(String),
    /// Take one sample.
    Once(Box<Job>),
    /// Stay, and take a sample at each request, and at each interval if there is one.
    Execd(Box<Job>),
}

/// Selectors: option, name of its value, help.
const SELECTORS: [(&str, &str, &str); 8] = [
    ("pid", "[NAME:]PID", "That process"),
    ("pid-file", "[NAME:]PATH", "The process whose number is the first line of the file"),
    ("pattern", "[NAME:]REGEX", "Every process whose name (comm) the regex finds"),
    ("systemd", "[NAME:]GLOB", "Every systemd unit whose id matches; nginx means nginx.service"),
    ("cmdline", "[NAME:]REGEX", "Every process whose command line the regex finds"),
    ("exe", "[NAME:]GLOB", "Every process whose executable's path matches"),
    ("user", "[NAME:]USER", "Every process of that user (name or uid; effective uid)"),
    ("cgroup", "[NAME:]GLOB", "Every control group whose path below the cgroup root matches"),
];

const ABOUT: &str = "What a group of processes costs: CPU, memory and number of a service and all \
                     its children";

const EXECD_ABOUT: &str = "\
The resident job, for Telegraf's execd: one sample per line feed on standard input and per SIGHUP,
SIGUSR1 or SIGUSR2. It ends when standard input does, with --interval too. State is kept in memory,
no cache file is used";

const AFTER_HELP: &str = "\
Each selector picks processes; these and all their descendants make a group, and each group is
one line. Selectors with the same NAME make one group; without NAME, processes are grouped by
their own names. For --systemd and --cgroup all processes in the control group make the group.
NAME may hold letters, digits, '_', '.', '-', '@' and spaces; a leading ':' says 'no name' where
the value itself holds a ':'. A DURATION is written 500ms, 1s or 2m.

The first run stores a baseline and prints no line. Later runs print. --wait 1s prints at once.

Examples:
  psstat --tag env=production --pid-file nginx:/run/nginx.pid --pattern mysql:mysqld
  psstat --wait 1s --user www-data
  psstat --systemd 'nginx*' --systemd pg:'postgresql@*' --cgroup 'user.slice/*'
  psstat check --config /etc/psstat.toml
  psstat --systemd nginx --format prometheus --output /var/lib/prometheus/node-exporter/psstat.prom";

const CHECK_ABOUT: &str = "\
Reads the command line and the configuration file, says what they make psstat measure, and
measures nothing";

/// The name of the resident job.
pub const EXECD: &str = "execd";

/// The name of what checks a configuration file.
pub const CHECK: &str = "check";

/// The command line of one sample.
pub fn command() -> Command {
    const USAGE: &str = "psstat [SELECTORS] [OPTIONS]\n       psstat execd [SELECTORS] [OPTIONS]\n       \
                         psstat check --config FILE\n       psstat man | completions SHELL";
    job_command("psstat").about(ABOUT).after_help(AFTER_HELP).override_usage(USAGE).arg(wait())
}

/// The command line of the resident job.
pub fn execd_command() -> Command {
    job_command("psstat execd")
        .about(EXECD_ABOUT)
        .override_usage("psstat execd [SELECTORS] [OPTIONS]")
        .arg(interval())
        // Taken, so that the same options do for both jobs, and without a meaning here.
        .mut_arg("cache-dir", |arg| arg.hide(true))
        .mut_arg("cache-name", |arg| arg.hide(true))
}

/// The command line of the check: it takes what any other job takes, because the file may hold it.
pub fn check_command() -> Command {
    job_command("psstat check")
        .about(CHECK_ABOUT)
        .override_usage("psstat check --config FILE [SELECTORS] [OPTIONS]")
        .args([wait(), interval()])
}

fn wait() -> Arg {
    value("wait", "DURATION", "Take two samples that far apart in this run; no cache file")
}

fn interval() -> Arg {
    value("interval", "DURATION", "Sample by itself, that far apart")
}

fn value(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(placeholder)
        .help(help)
        .value_parser(OsStringValueParser::new())
        .allow_hyphen_values(true)
}

/// What every job understands.
fn job_command(name: &'static str) -> Command {
    let selectors = SELECTORS.map(|(name, placeholder, help)| {
        value(name, placeholder, help).action(ArgAction::Append).help_heading(
            "Selectors (each may be repeated; at least one is needed, here or in FILE)",
        )
    });
    let options = [
        (
            "config",
            "FILE",
            "A TOML file of groups, tags and options; what is typed adds to it\nand wins",
        ),
        ("host", "NAME", "Value of the host tag [default: the host's name]; empty: no such tag"),
        ("cache-dir", "DIR", "Folder of the cache file [default: /tmp]"),
        (
            "cache-name",
            "NAME",
            "Its name [default: psstat-, the user's id and a hash of selectors and\nfields]",
        ),
        ("memory", "MODE", "How memory is summed: rss, shared-once or pss [default: shared-once]"),
        (
            "fields",
            "LIST",
            "Which fields, in that order: p_cpu, p_mem, n_proc, cpu_time, mem,\n\
             n_thread, n_zombie, n_fd, io_read, io_write, faults_major,\n\
             ctx_switches, uptime [default: p_cpu,p_mem,n_proc]",
        ),
        ("format", "FORMAT", "influx, json or prometheus [default: influx]"),
        ("output", "FILE", "Replace FILE by each sample, in one step [default: standard output]"),
        ("proc", "DIR", "Where procfs is mounted [default: HOST_PROC, else /proc]"),
        ("sys", "DIR", "Where sysfs is mounted [default: HOST_SYS, else /sys]"),
        ("timeout", "DURATION", "A run never lasts longer [default: 4s, and what --wait says]"),
    ];
    let tag = value("tag", "KEY=VALUE", "A tag on every line; may be repeated");
    Command::new(name)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .version(env!("CARGO_PKG_VERSION"))
        .args(selectors)
        .arg(tag.action(ArgAction::Append))
        .args(options.map(|(name, placeholder, help)| value(name, placeholder, help)))
        .arg(
            Arg::new("multi-threaded")
                .long("multi-threaded")
                .action(ArgAction::SetTrue)
                .help("Read /proc on several threads"),
        )
        .arg(
            Arg::new("version")
                .short('v')
                .long("version")
                .action(ArgAction::Version)
                .help("Print the version"),
        )
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Print this"))
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// [`UsageError`], in one line that says what is wrong and how to mend it.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    surroundings: &Surroundings,
) -> Result<Invocation, UsageError> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let asks_for = |name: &str| args.get(1).is_some_and(|arg| arg == name);
    if asks_for(documents::MAN) || asks_for(documents::COMPLETIONS) {
        return document(args.split_off(1));
    }
    let (command, take): (Command, Take) = if asks_for(EXECD) {
        (execd_command(), |job| Invocation::Execd(Box::new(job)))
    } else if asks_for(CHECK) {
        (check_command(), |job| Invocation::Print(summary(&job)))
    } else {
        (command(), |job| Invocation::Once(Box::new(job)))
    };
    if asks_for(EXECD) || asks_for(CHECK) {
        args.remove(1);
    }
    let args = double_dashes(args, &command);
    match matches(command, args)? {
        Ok(matches) => job(&Typed(matches), surroundings).map(take).map_err(UsageError),
        Err(text) => Ok(Invocation::Print(text)),
    }
}

/// What a command line says by its definition; or the text that it asks for, help or version.
fn matches(
    command: Command,
    args: Vec<OsString>,
) -> Result<Result<ArgMatches, String>, UsageError> {
    let name = command.get_name().to_owned();
    match command.try_get_matches_from(args) {
        Ok(matches) => Ok(Ok(matches)),
        Err(error) if !error.use_stderr() => Ok(Err(error.to_string())),
        Err(error) => Err(UsageError(first_sentence(&error.to_string(), &name))),
    }
}

/// What `man` or `completions SHELL` asks for.
fn document(args: Vec<OsString>) -> Result<Invocation, UsageError> {
    let is_manual = args[0] == documents::MAN;
    let command =
        if is_manual { documents::man_command() } else { documents::completions_command() };
    let text = match matches(command, args)? {
        Err(help) => Ok(help),
        Ok(_) if is_manual => Ok(documents::manual()),
        Ok(matches) => {
            documents::completions(matches.get_one::<String>("SHELL").map_or("", String::as_str))
        }
    };
    text.map(Invocation::Print).map_err(UsageError)
}

/// What becomes of a job.
type Take = fn(Job) -> Invocation;

/// What a job measures, for people: group by group, with the tags of its lines. An option that has
/// slipped below `[tags]` shows there.
fn summary(job: &Job) -> String {
    let plan = &job.plan;
    let mut text = String::from("valid; psstat would measure\n");
    for (selector, tags) in plan.selectors.iter().zip(&plan.tags) {
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        text += &format!("  {selector}\n    tags: {}\n", tags.join(", "));
    }
    let fields: Vec<&str> = plan.fields.as_slice().iter().map(|field| field.name()).collect();
    text += &format!("  fields: {}; memory: {}\n", fields.join(", "), plan.memory.name());
    text
}

/// Makes our options of the original's: `--pid` of `-pid 1` and `-pid=1`; `--multi-threaded`, or
/// nothing, of `-multi-threaded=true` and `=false`. `--single-threaded` is what we do anyway.
fn double_dashes(args: impl IntoIterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let known = |name: &[u8]| {
        let mut options = command.get_arguments();
        options.find(|option| option.get_long().is_some_and(|long| long.as_bytes() == name))
    };
    let mut args = args.into_iter();
    let mut doubled: Vec<OsString> = args.next().into_iter().collect();
    while let Some(arg) = args.next() {
        if arg == "--" {
            doubled.push(arg);
            doubled.extend(args);
            break;
        }
        let bytes = arg.as_bytes();
        let dashes = bytes.iter().take_while(|&&byte| byte == b'-').count();
        let name = bytes[dashes..].split(|&byte| byte == b'=').next().unwrap_or_default();
        let option = known(name).filter(|_| matches!(dashes, 1 | 2));
        let has_value = dashes + name.len() < bytes.len();
        if name == b"single-threaded" && matches!(dashes, 1 | 2) {
            continue;
        }
        match option {
            Some(option) => {
                let takes_value = option.get_action().takes_values();
                let typed = OsString::from_vec([b"--", &bytes[dashes..]].concat());
                if has_value && !takes_value {
                    match truth(&bytes[dashes + name.len() + 1..]) {
                        Some(true) => doubled.push(OsString::from_vec([b"--", name].concat())),
                        Some(false) => {}
                        None => doubled.push(typed),
                    }
                    continue;
                }
                doubled.push(typed);
                // What follows is its value, whatever it looks like.
                if takes_value && !has_value {
                    doubled.extend(args.next());
                }
            }
            None => doubled.push(arg),
        }
    }
    doubled
}

/// The original printed values of tags as they were typed, so that its users escape what line
/// protocol wants escaped. No tag could show such a backslash otherwise (see [`Label::lossy`]).
fn without_escapes(value: &[u8]) -> Vec<u8> {
    let is_escape =
        |at: usize| value[at] == b'\\' && matches!(value.get(at + 1), Some(b',' | b'=' | b' '));
    (0..value.len()).filter(|&at| !is_escape(at)).map(|at| value[at]).collect()
}

/// A truth value as the original read it.
fn truth(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

/// The first line of clap's message: what is wrong; the cure behind it.
fn first_sentence(message: &str, command: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let tip = lines.find_map(|line| line.strip_prefix("tip: "));
    match tip {
        Some(tip) => format!("{first}: {tip}"),
        None => format!("{first}: see {command} --help"),
    }
}

fn job(typed: &Typed, surroundings: &Surroundings) -> Result<Job, String> {
    let mut settings = typed.settings(surroundings)?;
    if let Some(path) = typed.path("config")? {
        let text = (surroundings.read_config)(&path)
            .map_err(|reason| format!("cannot read --config {}: {reason}", path.display()))?;
        settings = settings.over(config::parse(&path, &text, surroundings)?);
        if settings.selectors.is_empty() {
            return Err(format!(
                "{}: nothing to measure: add a [[group]], as in [[group]] and below it pid_file = \
                 \"/run/nginx.pid\"",
                path.display()
            ));
        }
    }
    if !typed.understands("wait") {
        // The file may hold the wait of another kind of job.
        settings.wait = None;
    }
    settings.job(surroundings)
}

/// What was typed.
struct Typed(ArgMatches);

impl Typed {
    fn settings(&self, surroundings: &Surroundings) -> Result<Settings, String> {
        let mut settings = Settings {
            selectors: selectors(&self.0, surroundings)?,
            host: self.value("host").map(|host| host.as_bytes().to_vec()),
            cache_dir: self.path("cache-dir")?,
            cache_name: self.parsed("cache-name", settings::cache_name)?,
            wait: self.parsed("wait", settings::duration)?,
            interval: self.parsed("interval", settings::duration)?,
            fields: self.parsed("fields", |list| settings::fields(list.split(',')))?,
            memory: self.parsed("memory", settings::memory)?,
            format: self.parsed("format", settings::format)?,
            output: self.path("output")?,
            proc: self.path("proc")?,
            sys: self.path("sys")?,
            timeout: self.parsed("timeout", settings::duration)?,
            multi_threaded: self.0.get_flag("multi-threaded").then_some(true),
            ..Settings::default()
        };
        for tag in self.0.get_many::<OsString>("tag").into_iter().flatten() {
            let bytes = tag.as_bytes();
            let bad = |reason: &str| format!("bad --tag {}: {reason}", quoted(tag));
            let split = bytes.iter().position(|&byte| byte == b'=');
            let split = split.ok_or_else(|| bad("it is written KEY=VALUE"))?;
            let pushed = settings.tags.push(&bytes[..split], &without_escapes(&bytes[split + 1..]));
            pushed.map_err(|reason| bad(&reason))?;
        }
        Ok(settings)
    }

    /// Whether the command line has that option at all.
    fn understands(&self, option: &str) -> bool {
        self.0.try_get_one::<OsString>(option).is_ok()
    }

    fn value(&self, option: &str) -> Option<&OsString> {
        self.0.try_get_one(option).ok().flatten()
    }

    fn path(&self, option: &str) -> Result<Option<PathBuf>, String> {
        match self.value(option) {
            Some(path) if path.is_empty() => {
                Err(format!("bad --{option} \"\": nothing stands in it"))
            }
            path => Ok(path.map(PathBuf::from)),
        }
    }

    fn parsed<T>(
        &self,
        option: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let bad = |reason: String| format!("bad --{option} {}: {reason}", quoted(value));
        let text = value.to_str().ok_or_else(|| bad("not UTF-8".to_owned()))?;
        parse(text).map(Some).map_err(bad)
    }
}

/// What was typed, as an error quotes it.
fn quoted(typed: &OsStr) -> String {
    format!("{:?}", excerpt(&typed.to_string_lossy()))
}

/// All selectors in the order typed, across their kinds.
fn selectors(matches: &ArgMatches, surroundings: &Surroundings) -> Result<Vec<Selector>, String> {
    let mut typed: Vec<(usize, &str, &OsString)> = Vec::new();
    for (kind, _, _) in SELECTORS {
        let Some(values) = matches.get_many::<OsString>(kind) else { continue };
        let places = matches.indices_of(kind).into_iter().flatten();
        typed.extend(places.zip(values).map(|(place, value)| (place, kind, value)));
    }
    typed.sort_by_key(|&(place, _, _)| place);
    typed.into_iter().map(|(_, kind, value)| selector(kind, value, surroundings)).collect()
}

fn selector(kind: &str, value: &OsStr, surroundings: &Surroundings) -> Result<Selector, String> {
    let typed = value;
    let bad = |reason: &str| format!("bad --{kind} {}: {reason}", quoted(typed));
    // A path need not be UTF-8. Its name, being before the first ':', is split off as bytes.
    let (name, value) = match value.to_str() {
        Some(text) => {
            let (name, value) = split_name(text);
            (name, OsStr::new(value))
        }
        None if kind == "pid-file" => split_os_name(value),
        None => return Err(bad("not UTF-8")),
    };
    let name = match name {
        None => None,
        Some(name) => Some(Label::new(name.as_bytes()).ok_or_else(|| bad("the name is empty"))?),
    };
    if value.is_empty() {
        return Err(bad("nothing stands behind the name; to match everything write '.*'"));
    }
    let text = value.to_string_lossy();
    let on_all = |conditions| Ok(Selector::of_all(name.clone(), conditions));
    let whole = Some(text.clone().into_owned());
    let none = Conditions::default();
    let source = match kind {
        "pattern" => return on_all(Conditions { pattern: whole, ..none }),
        "cmdline" => return on_all(Conditions { cmdline: whole, ..none }),
        "exe" => return on_all(Conditions { exe: whole, ..none }),
        "user" => {
            let user = settings::user(&text, surroundings).map_err(|reason| bad(&reason))?;
            return on_all(Conditions { user: Some(user), ..none });
        }
        "pid" => Source::Pid(settings::pid(&text).map_err(|reason| bad(&reason))?),
        "pid-file" => Source::PidFile(value.as_bytes().to_vec()),
        "systemd" => settings::unit(&text),
        _ => settings::control_group(&text),
    };
    Ok(Selector::new(name, source))
}

fn split_os_name(value: &OsStr) -> (Option<&str>, &OsStr) {
    let bytes = value.as_bytes();
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    match split_name(valid) {
        // A name that the bytes behind it do not touch.
        (name, rest) if rest.len() < valid.len() => {
            (name, OsStr::from_bytes(&bytes[valid.len() - rest.len()..]))
        }
        _ => (None, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Baseline;
    use psstat_core::emit::Format;
    use psstat_core::field::{Field, Fields};
    use psstat_core::model::memory::MemoryMode;
    use std::time::Duration;

    fn surroundings() -> Surroundings {
        Surroundings::made_up(|path| match path.to_str() {
            Some("web.toml") => Ok(WEB.to_owned()),
            _ => Err("no such file".to_owned()),
        })
    }

    const WEB: &str = "\
host = 'file'
timeout = '2s'
wait = '1s'
interval = '5s'
cache_name = 'web'
[tags]
env = 'test'
team = 'a'
[[group]]
name = 'web'
pattern = 'nginx'
user = 'www-data'
tags = { env = 'live', tier = '1' }
";

    fn parsed(args: &[&str]) -> Result<Invocation, UsageError> {
        let args = std::iter::once("psstat").chain(args.iter().copied()).map(OsString::from);
        parse(args, &surroundings())
    }

    fn job_of(args: &[&str]) -> Job {
        match parsed(args) {
            Ok(Invocation::Once(job)) => *job,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    fn error_of(args: &[&str]) -> String {
        match parsed(args) {
            Err(UsageError(text)) => text,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    fn selectors_of(args: &[&str]) -> Vec<String> {
        job_of(args).plan.selectors.iter().map(Selector::to_string).collect()
    }

    #[test]
    fn selectors_keep_the_order_typed_across_their_kinds() {
        assert_eq!(
            selectors_of(&[
                "--pattern",
                "b:x",
                "--pid",
                "7",
                "--pattern=a:y",
                "--user",
                "www-data"
            ]),
            [
                "b: pattern x",
                "(by their own names): pid 7",
                "a: pattern y",
                "(by their own names): user 33"
            ]
        );
        assert_eq!(
            selectors_of(&["--exe", "*/nginx", "--cmdline", "n:a b", "--pid-file", "/run/a:b.pid"]),
            [
                "(by their own names): exe */nginx",
                "n: cmdline a b",
                "(by their own names): pid_file /run/a:b.pid"
            ]
        );
    }

    #[test]
    fn the_originals_single_dashes_work_and_values_are_left_alone() {
        let double = selectors_of(&["--pid", "1", "--pid-file=/x", "--pattern", "-pid"]);
        assert_eq!(selectors_of(&["-pid", "1", "-pid-file=/x", "-pattern", "-pid"]), double);
        assert_eq!(double[2], "(by their own names): pattern -pid");
        assert_eq!(job_of(&["-tag", "-a=-b", "-pid", "1"]).plan.tags[0][1].0.as_str(), "-a");
        assert!(matches!(parsed(&["-version"]), Ok(Invocation::Print(_))));
        assert!(matches!(parsed(&["-help"]), Ok(Invocation::Print(_))));
    }

    #[test]
    fn version_and_help_go_to_standard_output() {
        for flag in ["-v", "--version"] {
            let Ok(Invocation::Print(text)) = parsed(&[flag]) else { panic!("{flag}") };
            assert_eq!(text, format!("psstat {}\n", env!("CARGO_PKG_VERSION")));
        }
        let Ok(Invocation::Print(help)) = parsed(&["--help"]) else { panic!("--help") };
        for argument in command().get_arguments() {
            let long = argument.get_long().unwrap();
            assert!(help.contains(&format!("--{long}")), "--{long} is not in the help");
        }
    }

    #[test]
    fn help_fits_a_terminal_of_100_columns() {
        for args in [&["--help"][..], &["execd", "--help"], &["check", "--help"]] {
            let Ok(Invocation::Print(help)) = parsed(args) else { panic!("{args:?}") };
            let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 100).collect();
            assert!(wide.is_empty(), "{args:?}: {wide:?}");
        }
    }

    #[test]
    fn tags_are_host_then_those_typed() {
        let tags = |args: &[&str]| {
            let args = [&["--pid", "1"], args].concat();
            let tags = job_of(&args).plan.tags;
            tags[0].iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(tags(&[]), ["host=tengu"]);
        assert_eq!(tags(&["--tag", "z=1", "--tag", "a=b=c"]), ["host=tengu", "z=1", "a=b=c"]);
        assert_eq!(tags(&["--tag", "z=1", "--tag", "host=oni"]), ["host=oni", "z=1"]);
        assert_eq!(tags(&["--tag", "a=b\\ c\\,d\\=e\\f"]), ["host=tengu", "a=b c,d=e\\f"]);
        assert_eq!(tags(&["--host", "oni"]), ["host=oni"]);
        assert_eq!(tags(&["--host", ""]), [""; 0]);
        assert_eq!(tags(&["--host", "", "--tag", "host=x"]), ["host=x"]);
        for tag in ["x", "=x", "x=", "process_name=x", "time=1", "__name__=x", "x=\\"] {
            assert!(error_of(&["--pid", "1", "--tag", tag]).starts_with("bad --tag"), "{tag}");
        }
        for twice in ["a=2", "a\\=2"] {
            let error = error_of(&["--pid", "1", "--tag", "a=1", "--tag", twice]);
            assert!(error.contains("twice"), "{error}");
        }
        assert!(error_of(&["--pid", "1", "--tag", "host=1", "--tag", "host=2"]).contains("twice"));
    }

    #[test]
    fn the_cache_is_named_after_user_and_selectors() {
        let name = |args: &[&str]| match job_of(args).baseline {
            Baseline::Cache { dir, name } => {
                assert_eq!(dir, PathBuf::from("/tmp"));
                name
            }
            Baseline::Wait(_) => panic!("{args:?}"),
        };
        let one = name(&["--pattern", "a"]);
        assert!(one.starts_with("psstat-1000-") && one.len() == "psstat-1000-".len() + 16, "{one}");
        assert_eq!(one, name(&["-pattern=a", "--tag", "x=y", "--memory", "rss"]));
        assert_eq!(one, name(&["--pattern", "a", "--fields", "n_proc,n_fd,uptime"]));
        for other in [
            &["--pattern", "b"][..],
            &["--pattern", "a:a"],
            &["--cmdline", "a"],
            &["--pattern", "a", "--fields", "cpu_time"],
            &["--pattern", "a", "--fields", "io_read"],
        ] {
            assert_ne!(one, name(other), "{other:?}");
        }
        assert_eq!(name(&["--pid", "1", "--cache-name", "mine"]), "mine");
        for bad in ["a/b", "", ".", ".."] {
            assert!(error_of(&["--pid", "1", "--cache-name", bad]).contains("--cache-name"));
        }
    }

    #[test]
    fn durations_and_modes() {
        let job = job_of(&["--pid", "1", "--wait", "500ms"]);
        assert_eq!(job.baseline, Baseline::Wait(Duration::from_millis(500)));
        assert_eq!(job.timeout, Duration::from_millis(4500), "the wait comes on top");
        assert_eq!(job_of(&["--pid", "1", "--timeout", "2m"]).timeout, Duration::from_secs(120));
        assert_eq!(job_of(&["--pid", "1", "--memory", "pss"]).plan.memory, MemoryMode::Pss);
        for args in [
            &["--wait", "1"][..],
            &["--wait", "0s"],
            &["--wait", "soon"],
            &["--memory", "most"],
            &["--wait", "2s", "--timeout", "1s"],
        ] {
            error_of(&[&["--pid", "1"], args].concat());
        }
    }

    #[test]
    fn the_help_names_every_field() {
        let command = command();
        let fields = command.get_arguments().find(|option| option.get_id() == "fields").unwrap();
        let help = fields.get_help().unwrap().to_string();
        let (all, default) = help.split_once(" [default: ").unwrap();
        let (_, all) = all.split_once(": ").unwrap();
        assert_eq!(
            all.replace('\n', " "),
            Field::all().map(Field::name).collect::<Vec<_>>().join(", ")
        );
        assert_eq!(default, format!("{}]", Field::DEFAULT.map(Field::name).join(",")));
    }

    #[test]
    fn fields_and_formats() {
        let written = |args: &[&str]| {
            let plan = job_of(&[&["--pid", "1"], args].concat()).plan;
            (plan.fields, plan.format)
        };
        assert_eq!(written(&[]), (Fields::default(), Format::Influx));
        assert_eq!(
            written(&["--fields", "n_proc,p_cpu", "--format", "json"]),
            (Fields::new([Field::Processes, Field::CpuShare]), Format::Json)
        );
        for fields in ["", "p_cpu,", "cpu", "p_cpu,p_cpu"] {
            let error = error_of(&["--pid", "1", "--fields", fields]);
            assert!(error.starts_with("bad --fields"), "{error}");
        }
        assert!(
            error_of(&["--pid", "1", "--format", "xml"]).contains("influx, json or prometheus")
        );
    }

    #[test]
    fn the_command_line_adds_to_the_file_and_wins() {
        let job = |args: &[&str]| job_of(&[&["--config", "web.toml"], args].concat());
        let spelt = |job: &Job, selector: usize| {
            let tags = job.plan.tags[selector].iter();
            tags.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        let of_file = job(&[]);
        assert_eq!(of_file.plan.selectors.iter().count(), 1);
        assert_eq!(spelt(&of_file, 0), ["host=file", "env=live", "team=a", "tier=1"]);
        assert_eq!(of_file.baseline, Baseline::Wait(Duration::from_secs(1)));
        assert_eq!(of_file.timeout, Duration::from_secs(2));

        let both = job(&["--pid", "x:7", "--wait=1500ms", "--tag", "env=cli", "--host", "typed"]);
        let selectors: Vec<String> = both.plan.selectors.iter().map(Selector::to_string).collect();
        assert_eq!(selectors, ["web: pattern nginx, user 33", "x: pid 7"]);
        assert_eq!(spelt(&both, 0), ["host=typed", "env=cli", "team=a", "tier=1"]);
        assert_eq!(spelt(&both, 1), ["host=typed", "env=cli", "team=a"]);
        assert_eq!(both.baseline, Baseline::Wait(Duration::from_millis(1500)));
        let error = error_of(&["--config", "none.toml"]);
        assert_eq!(error, "cannot read --config none.toml: no such file");
    }

    #[test]
    fn each_job_takes_from_the_file_what_concerns_it() {
        let Ok(Invocation::Execd(job)) = parsed(&["execd", "--config", "web.toml"]) else {
            panic!("no resident job")
        };
        assert_eq!(job.interval, Some(Duration::from_secs(5)));
        let cache = Baseline::Cache { dir: "/tmp".into(), name: "web".to_owned() };
        assert_eq!(job.baseline, cache, "a resident job does not wait");
        assert_eq!(job.timeout, Duration::from_secs(2));
    }

    #[test]
    fn a_check_says_what_would_be_measured() {
        let Ok(Invocation::Print(text)) = parsed(&["check", "--config=web.toml", "--pid=7"]) else {
            panic!("not checked")
        };
        assert_eq!(
            text,
            "valid; psstat would measure\n  web: pattern nginx, user 33\n    tags: host=file, \
             env=live, team=a, tier=1\n  (by their own names): pid 7\n    tags: host=file, \
             env=test, team=a\n  fields: p_cpu, p_mem, n_proc; memory: shared-once\n"
        );
        assert!(error_of(&["execd", "--wait", "1s"]).ends_with("see psstat execd --help"));
        assert!(error_of(&["man", "more"]).ends_with("see psstat man --help"));
        assert!(error_of(&["completions"]).contains("name bash, "));
        assert!(matches!(parsed(&["completions", "--help"]), Ok(Invocation::Print(_))));
        assert!(error_of(&["check"]).contains("nothing to measure"));
        assert!(error_of(&["check", "--wait", "1s"]).contains("nothing to measure"));
    }

    #[test]
    fn the_mounts_come_from_option_then_environment() {
        let mut surroundings = surroundings();
        surroundings.host_proc = Some("/host/proc".into());
        surroundings.host_sys = Some("".into());
        let job = |args: &[&str]| {
            let args = ["psstat", "--pid", "1"].iter().chain(args).map(OsString::from);
            match parse(args, &surroundings) {
                Ok(Invocation::Once(job)) => (job.mounts.proc, job.mounts.sys),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(job(&[]), (PathBuf::from("/host/proc"), PathBuf::from("/sys")));
        assert_eq!(
            job(&["--proc", "/p", "--sys", "/s"]),
            (PathBuf::from("/p"), PathBuf::from("/s"))
        );
    }

    #[test]
    fn what_makes_no_sense_is_said_in_one_line_with_the_cure() {
        for (args, expected) in [
            (&[][..], "nothing to measure"),
            (&["--nonsense"], "unexpected argument '--nonsense'"),
            (&["stray"], "unexpected argument 'stray'"),
            (&["--pid"], "a value is required for '--pid"),
            (&["--pid", "0"], "bad --pid \"0\""),
            (&["--pid", "web:x"], "bad --pid \"web:x\""),
            (&["--pattern", "a("], "bad regex \"a(\": unclosed group"),
            (&["--pattern", "web:"], "bad --pattern \"web:\""),
            (&["--user", "nobody-here"], "no such user"),
        ] {
            let error = error_of(args);
            assert!(error.contains(expected), "{args:?}: {error}");
            assert!(!error.contains('\n'), "{args:?}: {error}");
        }
    }

    #[test]
    fn a_path_need_not_be_utf8() {
        let args = ["psstat", "--pid-file"].map(OsString::from).into_iter();
        let odd = OsString::from_vec(b"web:/run/\xff.pid".to_vec());
        let Ok(Invocation::Once(job)) = parse(args.chain([odd]), &surroundings()) else {
            panic!("refused")
        };
        assert_eq!(job.plan.selectors[0].name.as_ref().unwrap().as_str(), "web");
        let Source::PidFile(path) = &job.plan.selectors[0].source else { panic!("no file") };
        assert_eq!(path.as_slice(), b"/run/\xff.pid");
    }
}
