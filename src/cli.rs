//! The command line, turned into a [`Job`]. Pure: the host's name, the environment and the user
//! database are handed in as [`Surroundings`].

use crate::account::memory::MemoryMode;
use crate::documents;
use crate::emit::{Field, Format};
use crate::error::Error;
use crate::label::Label;
use crate::plan::{self, Plan, Selector, Source, split_name};
use crate::unit;
use crate::units::{Pid, Uid};
use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// What is asked for.
#[derive(Debug)]
pub enum Invocation {
    /// Print that text on standard output: help, version.
    Print(String),
    /// Take one sample.
    Once(Box<Job>),
    /// Stay, and take a sample at each request, and at each interval if there is one.
    Execd(Box<Job>, Option<Duration>),
}

/// One sample: what to measure, and where and how.
#[derive(Debug)]
pub struct Job {
    /// What to measure.
    pub plan: Plan,
    /// Where procfs is mounted.
    pub proc: PathBuf,
    /// Where sysfs is mounted.
    pub sys: PathBuf,
    /// What the sample is compared with.
    pub baseline: Baseline,
    /// Whether `/proc` is read by several threads.
    pub multi_threaded: bool,
    /// How long the run may last.
    pub timeout: Duration,
}

/// What a sample is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The sample that the run before has left in this file.
    Cache {
        /// The file's folder.
        dir: PathBuf,
        /// Its name.
        name: String,
    },
    /// Another sample, taken that long before by the same run.
    Wait(Duration),
}

/// What the command line means depends on these.
#[derive(Debug)]
pub struct Surroundings {
    /// The host's name (uname(2)).
    pub host: Vec<u8>,
    /// `HOST_PROC`, as Telegraf and its kin use it.
    pub host_proc: Option<OsString>,
    /// `HOST_SYS`.
    pub host_sys: Option<OsString>,
    /// The effective user psstat runs as.
    pub user: Uid,
    /// Finds a user's number by name.
    pub find_user: fn(&str) -> Option<Uid>,
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
                     its children, in Influx line protocol";

const EXECD_ABOUT: &str = "The resident job, for Telegraf's execd: one sample per line feed on \
                           standard input and per SIGHUP, SIGUSR1 or SIGUSR2. State is kept in \
                           memory, no cache file is used";

const AFTER_HELP: &str = "\
Each selector picks processes; these and all their descendants make a group, and each group is \
one line. Selectors with the same NAME make one group; without NAME, processes are grouped by \
their own names. For --systemd and --cgroup all processes in the control group make the group. \
NAME may hold letters, digits, '_', '.', '-', '@' and spaces; a leading ':' says \
'no name' where the value itself holds a ':'.

The first run stores a baseline and prints no line. Later runs print. --wait 1s prints at once.

Examples:
  psstat --tag env=production --pid-file nginx:/run/nginx.pid --pattern mysql:mysqld
  psstat --wait 1s --user www-data
  psstat --systemd 'nginx*' --systemd pg:'postgresql@*' --cgroup 'user.slice/*'";

/// The name of the resident job.
pub const EXECD: &str = "execd";

/// The command line of one sample.
pub fn command() -> Command {
    const USAGE: &str = "psstat [SELECTORS] [OPTIONS]\n       psstat execd [SELECTORS] [OPTIONS]\n       \
                         psstat man | completions SHELL";
    job_command("psstat").about(ABOUT).after_help(AFTER_HELP).override_usage(USAGE).arg(value(
        "wait",
        "DURATION",
        "Take two samples that far apart in this run; no cache file",
    ))
}

/// The command line of the resident job.
pub fn execd_command() -> Command {
    job_command("psstat execd")
        .about(EXECD_ABOUT)
        .override_usage("psstat execd [SELECTORS] [OPTIONS]")
        .arg(value("interval", "DURATION", "Sample by itself, that far apart"))
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
        value(name, placeholder, help)
            .action(ArgAction::Append)
            .help_heading("Selectors (each may be repeated; at least one is needed)")
    });
    let options = [
        ("host", "NAME", "Value of the host tag [default: the host's name]; empty: no such tag"),
        ("cache-dir", "DIR", "Folder of the cache file [default: /tmp]"),
        (
            "cache-name",
            "NAME",
            "Its name [default: psstat-, the user's id and a hash of the selectors and fields]",
        ),
        (
            "memory",
            "MODE",
            "How a group's memory is summed: rss, shared-once or pss [default: shared-once]",
        ),
        (
            "fields",
            "LIST",
            "Which fields, in that order: p_cpu, p_mem, n_proc, cpu_time, mem,\n\
             n_thread, n_zombie, n_fd, io_read, io_write, faults_major,\n\
             ctx_switches, uptime [default: p_cpu,p_mem,n_proc]",
        ),
        ("format", "FORMAT", "influx, json or prometheus [default: influx]"),
        ("proc", "DIR", "Where procfs is mounted [default: HOST_PROC, else /proc]"),
        ("sys", "DIR", "Where sysfs is mounted [default: HOST_SYS, else /sys]"),
        ("timeout", "DURATION", "A run never lasts longer [default: 4s]"),
    ];
    let tag = value("tag", "KEY=VALUE", "A tag on every line; may be repeated");
    Command::new(name)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .term_width(100)
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
/// [`Error::Usage`], in one line that says what is wrong and how to mend it.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    surroundings: &Surroundings,
) -> Result<Invocation, Error> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if let Some(document) = document(&args) {
        return document.map(Invocation::Print).map_err(Error::Usage);
    }
    let is_execd = args.get(1).is_some_and(|arg| arg == EXECD);
    let command = if is_execd { execd_command() } else { command() };
    if is_execd {
        args.remove(1);
    }
    let args = double_dashes(args, &command);
    match command.try_get_matches_from(args) {
        Ok(matches) => invocation(is_execd, &matches, surroundings).map_err(Error::Usage),
        Err(error) if !error.use_stderr() => Ok(Invocation::Print(error.to_string())),
        Err(error) => Err(Error::Usage(first_sentence(&error.to_string()))),
    }
}

/// The text that `man` or `completions SHELL` asks for, where the command line does.
fn document(args: &[OsString]) -> Option<Result<String, String>> {
    match args.get(1)?.to_str()? {
        documents::MAN => Some(Ok(documents::manual())),
        documents::COMPLETIONS => {
            let shell = args.get(2).map_or("", |shell| shell.to_str().unwrap_or_default());
            Some(documents::completions(shell))
        }
        _ => None,
    }
}

fn invocation(
    is_execd: bool,
    matches: &ArgMatches,
    surroundings: &Surroundings,
) -> Result<Invocation, String> {
    if is_execd {
        let interval = duration(matches, "interval")?;
        let job = job(matches, None, surroundings)?;
        Ok(Invocation::Execd(Box::new(job), interval))
    } else {
        let wait = duration(matches, "wait")?;
        Ok(Invocation::Once(Box::new(job(matches, wait, surroundings)?)))
    }
}

/// The original took `-pid 1` and `-pid=1`; makes `--pid` of each such option.
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
        match option {
            Some(option) => {
                let takes_value = option.get_action().takes_values();
                doubled.push(OsString::from_vec([b"--", &bytes[dashes..]].concat()));
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

/// The first line of clap's message: what is wrong; the cure behind it.
fn first_sentence(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let tip = lines.find_map(|line| line.strip_prefix("tip: "));
    match tip {
        Some(tip) => format!("{first}: {tip}"),
        None => format!("{first}: see psstat --help"),
    }
}

fn job(
    matches: &ArgMatches,
    wait: Option<Duration>,
    surroundings: &Surroundings,
) -> Result<Job, String> {
    let selectors = selectors(matches, surroundings)?;
    let fields = fields(matches)?;
    let key = job_key(&selectors, &fields);
    let tags = tags(matches, surroundings)?;
    let memory = match text(matches, "memory")?.as_deref() {
        None | Some("shared-once") => MemoryMode::SharedOnce,
        Some("rss") => MemoryMode::Rss,
        Some("pss") => MemoryMode::Pss,
        Some(other) => {
            return Err(format!("bad --memory {other:?}: it is rss, shared-once or pss"));
        }
    };
    let plan = Plan::new(selectors, tags, memory)?.written(fields, format(matches)?);
    let timeout = match (duration(matches, "timeout")?, wait) {
        (Some(timeout), Some(wait)) if timeout <= wait => {
            return Err("--timeout must be longer than --wait".to_owned());
        }
        (Some(timeout), _) => timeout,
        (None, wait) => DEFAULT_TIMEOUT.saturating_add(wait.unwrap_or_default()),
    };
    let baseline = match wait {
        Some(wait) => Baseline::Wait(wait),
        None => Baseline::Cache {
            dir: path(matches, "cache-dir").unwrap_or_else(|| PathBuf::from("/tmp")),
            name: cache_name(matches, surroundings.user, &key)?,
        },
    };
    let mount = |option, variable: &Option<OsString>, default: &str| {
        path(matches, option)
            .or_else(|| variable.clone().filter(|dir| !dir.is_empty()).map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(default))
    };
    Ok(Job {
        plan,
        proc: mount("proc", &surroundings.host_proc, "/proc"),
        sys: mount("sys", &surroundings.host_sys, "/sys"),
        baseline,
        multi_threaded: matches.get_flag("multi-threaded"),
        timeout,
    })
}

/// What tells this job's cache from those of others: its selectors, and the fields for which more
/// must be remembered. Two jobs that share a cache would each lose what the other does not keep.
fn job_key(selectors: &[Selector], fields: &[Field]) -> Vec<u8> {
    let mut key: Vec<u8> = selectors.iter().flat_map(Selector::key).collect();
    let remembered = Field::ALL.iter().filter(|field| field.is_remembered());
    for field in remembered.filter(|field| fields.contains(field)) {
        key.extend_from_slice(field.name().as_bytes());
        key.push(0);
    }
    key
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(4);

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
    let bad = |reason: &str| format!("bad --{kind} {value:?}: {reason}");
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
    let text = || value.to_string_lossy().into_owned();
    let source = match kind {
        "pid" => Source::Pid(
            Pid::parse(value.as_bytes())
                .ok_or_else(|| bad("not the number of a process (1 to 4194304)"))?,
        ),
        "pid-file" => Source::PidFile(PathBuf::from(value)),
        "pattern" => Source::Pattern(text()),
        "cmdline" => Source::Cmdline(text()),
        "exe" => Source::Exe(text()),
        "systemd" => Source::Unit(unit::expand(&text())),
        "cgroup" => Source::ControlGroup(text().trim_matches('/').to_owned()),
        _ => Source::User(user(&text(), surroundings).ok_or_else(|| {
            bad("no such user in /etc/passwd: users from elsewhere go by number")
        })?),
    };
    Ok(Selector { name, source })
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

fn user(text: &str, surroundings: &Surroundings) -> Option<Uid> {
    (surroundings.find_user)(text).or_else(|| text.parse().ok().map(Uid))
}

/// `host` first, then the tags as typed.
fn tags(matches: &ArgMatches, surroundings: &Surroundings) -> Result<Vec<(Label, Label)>, String> {
    let mut host = match matches.get_one::<OsString>("host") {
        Some(name) => Label::new(name.as_bytes()),
        None => Label::new(&surroundings.host),
    };
    let mut tags: Vec<(Label, Label)> = Vec::new();
    let mut has_host = false;
    for tag in matches.get_many::<OsString>("tag").into_iter().flatten() {
        let bad = |reason: &str| format!("bad --tag {tag:?}: {reason}");
        let bytes = tag.as_bytes();
        let Some(split) = bytes.iter().position(|&byte| byte == b'=') else {
            return Err(bad("it is written KEY=VALUE"));
        };
        let part = |bytes, reason| Label::new(bytes).ok_or_else(|| bad(reason));
        let key = part(&bytes[..split], "the key is empty")?;
        let value = part(&bytes[split + 1..], "the value is empty")?;
        let twice = match key.as_str() {
            "process_name" => return Err(bad("psstat itself writes process_name")),
            // InfluxDB drops every point with such a tag.
            "time" | "_field" | "_measurement" => {
                return Err(bad("InfluxDB keeps that key for itself; choose another"));
            }
            "host" => {
                host = Some(value);
                std::mem::replace(&mut has_host, true)
            }
            _ => {
                let twice = tags.iter().any(|(other, _)| *other == key);
                tags.push((key, value));
                twice
            }
        };
        if twice {
            return Err(bad("that key is given twice"));
        }
    }
    let host = host.map(|host| (Label::lossy(b"host"), host));
    Ok(host.into_iter().chain(tags).collect())
}

fn fields(matches: &ArgMatches) -> Result<Vec<Field>, String> {
    let Some(list) = text(matches, "fields")? else { return Ok(Field::DEFAULT.to_vec()) };
    let mut fields = Vec::new();
    for name in list.split(',') {
        let known = || Field::ALL.map(Field::name).join(", ");
        let field = Field::named(name.trim())
            .ok_or_else(|| format!("bad --fields {list:?}: {name:?} is none of {}", known()))?;
        if fields.contains(&field) {
            return Err(format!("bad --fields {list:?}: {name} is there twice"));
        }
        fields.push(field);
    }
    Ok(fields)
}

fn format(matches: &ArgMatches) -> Result<Format, String> {
    match text(matches, "format")?.as_deref() {
        None | Some("influx") => Ok(Format::Influx),
        Some("json") => Ok(Format::Json),
        Some("prometheus") => Ok(Format::Prometheus),
        Some(other) => Err(format!("bad --format {other:?}: it is influx, json or prometheus")),
    }
}

fn cache_name(matches: &ArgMatches, user: Uid, key: &[u8]) -> Result<String, String> {
    match text(matches, "cache-name")? {
        None => Ok(format!("psstat-{}-{:016x}", user.0, plan::hash(key))),
        Some(name) if name.contains('/') => Err(format!(
            "bad --cache-name {name:?}: it is a name, without '/'; --cache-dir says where"
        )),
        Some(name) if matches!(name.as_str(), "" | "." | "..") => {
            Err(format!("bad --cache-name {name:?}: it is the name of a file"))
        }
        Some(name) => Ok(name),
    }
}

fn duration(matches: &ArgMatches, option: &str) -> Result<Option<Duration>, String> {
    let Some(text) = text(matches, option)? else { return Ok(None) };
    match humantime::parse_duration(&text) {
        Ok(duration) if !duration.is_zero() => Ok(Some(duration)),
        Ok(_) => Err(format!("bad --{option} {text:?}: it must be longer than nothing")),
        Err(_) => Err(format!("bad --{option} {text:?}: durations are written 500ms, 1s or 2m")),
    }
}

fn path(matches: &ArgMatches, option: &str) -> Option<PathBuf> {
    matches.get_one::<OsString>(option).map(PathBuf::from)
}

fn text(matches: &ArgMatches, option: &str) -> Result<Option<String>, String> {
    let value = matches.get_one::<OsString>(option);
    value
        .map(|value| {
            let text = value.to_str().map(str::to_owned);
            text.ok_or_else(|| format!("bad --{option} {value:?}: not UTF-8"))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings() -> Surroundings {
        Surroundings {
            host: b"tengu".to_vec(),
            host_proc: None,
            host_sys: None,
            user: Uid(1000),
            find_user: |name| (name == "www-data").then_some(Uid(33)),
        }
    }

    fn parsed(args: &[&str]) -> Result<Invocation, Error> {
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
            Err(Error::Usage(text)) => text,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    fn selectors_of(args: &[&str]) -> Vec<String> {
        let spell = |selector: &Selector| {
            let name = selector.name.as_ref().map_or("-", |name| name.as_str());
            format!("{name} {:?}", selector.source)
        };
        job_of(args).plan.selectors.iter().map(spell).collect()
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
            ["b Pattern(\"x\")", "- Pid(Pid(7))", "a Pattern(\"y\")", "- User(Uid(33))",]
        );
        assert_eq!(
            selectors_of(&["--exe", "*/nginx", "--cmdline", "n:a b", "--pid-file", "/run/a:b.pid"]),
            ["- Exe(\"*/nginx\")", "n Cmdline(\"a b\")", "- PidFile(\"/run/a:b.pid\")"]
        );
    }

    #[test]
    fn the_originals_single_dashes_work_and_values_are_left_alone() {
        let double = selectors_of(&["--pid", "1", "--pid-file=/x", "--pattern", "-pid"]);
        assert_eq!(selectors_of(&["-pid", "1", "-pid-file=/x", "-pattern", "-pid"]), double);
        assert_eq!(double[2], "- Pattern(\"-pid\")");
        assert_eq!(job_of(&["-tag", "-a=-b", "-pid", "1"]).plan.tags[1].0.as_str(), "-a");
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
    fn tags_are_host_then_those_typed() {
        let tags = |args: &[&str]| {
            let args = [&["--pid", "1"], args].concat();
            let tags = job_of(&args).plan.tags;
            tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(tags(&[]), ["host=tengu"]);
        assert_eq!(tags(&["--tag", "z=1", "--tag", "a=b=c"]), ["host=tengu", "z=1", "a=b=c"]);
        assert_eq!(tags(&["--tag", "z=1", "--tag", "host=oni"]), ["host=oni", "z=1"]);
        assert_eq!(tags(&["--host", "oni"]), ["host=oni"]);
        assert_eq!(tags(&["--host", ""]), [""; 0]);
        assert_eq!(tags(&["--host", "", "--tag", "host=x"]), ["host=x"]);
        for tag in ["x", "=x", "x=", "process_name=x", "time=1", "x=\\"] {
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
        assert_eq!(all.replace('\n', " "), Field::ALL.map(Field::name).join(", "));
        assert_eq!(default, format!("{}]", Field::DEFAULT.map(Field::name).join(",")));
    }

    #[test]
    fn fields_and_formats() {
        let written = |args: &[&str]| {
            let plan = job_of(&[&["--pid", "1"], args].concat()).plan;
            (plan.fields, plan.format)
        };
        assert_eq!(written(&[]), (Field::DEFAULT.to_vec(), Format::Influx));
        assert_eq!(
            written(&["--fields", "n_proc,p_cpu", "--format", "json"]),
            (vec![Field::Processes, Field::CpuShare], Format::Json)
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
    fn the_mounts_come_from_option_then_environment() {
        let mut surroundings = surroundings();
        surroundings.host_proc = Some("/host/proc".into());
        surroundings.host_sys = Some("".into());
        let job = |args: &[&str]| {
            let args = ["psstat", "--pid", "1"].iter().chain(args).map(OsString::from);
            match parse(args, &surroundings) {
                Ok(Invocation::Once(job)) => (job.proc, job.sys),
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
        assert_eq!(path.as_os_str().as_bytes(), b"/run/\xff.pid");
    }
}
