//! The command line: arguments as typed become an [`Invocation`] as meant, in one step. Pure:
//! anything that the system must be asked for comes in as [`Surroundings`].

mod args;
mod error;
mod selectors;
mod spelling;

use crate::config;
use crate::everything;
use crate::job::Job;
#[cfg(feature = "top")]
use crate::job::{Order, Watched};
use crate::mistakes::Mistake;
use crate::settings::{FieldList, Settings, Surroundings, TagError, TagList};
#[cfg(feature = "top")]
use crate::settings::{JobError, ValueError};
pub use args::ManPage;
use args::{CheckArgs, Cli, Command, ExecdArgs, ExplainArgs, JobArgs, NOT_FOR_TOP};
use clap::{CommandFactory, FromArgMatches};
use clap_complete::Shell;
pub use error::{ArgumentError, UsageError};
use psstat_core::emit::Format;
use psstat_core::field::Field;
use psstat_core::model::label::excerpt;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What is asked for.
#[derive(Debug)]
pub enum Invocation {
    /// Print this text: help or version.
    Print(String),
    /// Take one sample.
    Once(Box<Job>),
    /// Stay resident and take a sample on request.
    Execd(Box<Job>),
    /// Show the groups live.
    #[cfg(feature = "top")]
    Top(Box<Watched>),
    /// Show what the job would measure.
    Check(Box<Job>),
    /// Show which processes are in each group, and why.
    Explain(Box<Job>),
    /// Print a manual page.
    Man(ManPage),
    /// Print the completions of a shell.
    Completions(Shell),
}

/// The first argument of a resident process.
pub const EXECD: &str = "execd";

/// The definition of the command line.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Reads a command line, which begins with the name of the program.
///
/// # Errors
/// [`UsageError`] if the command line or its configuration file makes no sense.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    surroundings: &Surroundings,
) -> Result<Invocation, UsageError> {
    let definition = definition();
    let args = spelling::normalize(args, &definition);
    let command = command_name(&args, &definition);
    let parsed = definition
        .try_get_matches_from(args)
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let Cli { job, command } = match parsed {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => return Ok(Invocation::Print(error.to_string())),
        Err(error) => return Err(ArgumentError::of_clap(&error, &command).into()),
    };
    let meant = |kind, typed: Vec<JobArgs>| meant(kind, typed, surroundings).map(Box::new);
    match command {
        None => meant(Kind::Once, vec![job]).map(Invocation::Once),
        Some(Command::Execd(ExecdArgs { job: after })) => {
            meant(Kind::Execd, vec![job, after]).map(Invocation::Execd)
        }
        #[cfg(feature = "top")]
        Some(Command::Top(args::TopArgs { job: after })) => {
            let watched = watched(vec![job, after], surroundings);
            Ok(Invocation::Top(Box::new(watched?)))
        }
        Some(Command::Check(CheckArgs { job: after })) => {
            meant(Kind::Check, vec![job, after]).map(Invocation::Check)
        }
        Some(Command::Explain(ExplainArgs { job: after })) => {
            meant(Kind::Explain, vec![job, after]).map(Invocation::Explain)
        }
        Some(Command::Man { page }) => {
            refuse_options(&job, "psstat man").map(|()| Invocation::Man(page.unwrap_or_default()))
        }
        Some(Command::Completions { shell }) => {
            refuse_options(&job, "psstat completions").map(|()| Invocation::Completions(shell))
        }
    }
}

/// `psstat`, or `psstat execd`: where the user finds help.
fn command_name(args: &[OsString], definition: &clap::Command) -> String {
    let program = definition.get_name();
    let arguments = args.iter().skip(1).take_while(|arg| *arg != "--");
    let mut names = arguments.filter_map(|arg| definition.find_subcommand(arg));
    match names.next() {
        Some(command) => format!("{program} {}", command.get_name()),
        None => program.to_owned(),
    }
}

/// The kinds of jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Once,
    Execd,
    Top,
    /// The file may be for any job, so this takes the options of all.
    Check,
    Explain,
}

/// The job that was meant. `typed` holds the arguments before the command, then those after it.
fn meant(kind: Kind, typed: Vec<JobArgs>, surroundings: &Surroundings) -> Result<Job, UsageError> {
    let mut config = None;
    let mut settings = Settings::default();
    let mut options_without_effect = Vec::new();
    let is_sorted = typed.iter().any(|args| args.sort.is_some());
    for args in typed {
        refuse_options_of_others(kind, &args)?;
        options_without_effect.extend(cache_options(&args));
        config = args.config.clone().or(config);
        settings = args.settings(surroundings)?.over(settings);
    }
    if let Some(path) = config {
        settings = with_file(settings, &path, surroundings)?;
    }
    let is_for_people = matches!(kind, Kind::Explain | Kind::Top);
    if is_for_people && settings.selectors.is_empty() && settings.rest.is_none() {
        let sys = settings.mounts(surroundings).sys;
        settings.selectors = everything::selectors((surroundings.has_units)(&sys));
    }
    if kind == Kind::Top {
        // The file may be for other kinds of jobs too.
        settings.wait = None;
        settings.format = Some(Format::Table);
        settings.fields = FieldList::of_names(FIELDS_OF_TOP.map(Field::name)).ok();
        settings.selectors.iter_mut().for_each(|selector| selector.fields = None);
    }
    // In the file, it is for those who ask for a table.
    if is_sorted && settings.format != Some(Format::Table) {
        return Err(ArgumentError::SortWithoutTable.into());
    }
    if kind == Kind::Execd {
        settings.mistakes.extend(options_without_effect);
        // The file may be for other kinds of jobs too.
        settings.wait = None;
    }
    Ok(settings.job(surroundings)?)
}

/// The fields that `psstat top` shows.
const FIELDS_OF_TOP: [Field; 7] = [
    Field::CpuShare,
    Field::Memory,
    Field::MemoryShare,
    Field::Processes,
    Field::Threads,
    Field::Uptime,
    Field::CpuTime,
];

/// What is to be shown live.
#[cfg(feature = "top")]
fn watched(typed: Vec<JobArgs>, surroundings: &Surroundings) -> Result<Watched, UsageError> {
    let job = meant(Kind::Top, typed, surroundings).map_err(|error| match error {
        UsageError::Job(JobError::SortByMissing(field)) => {
            let reason = ValueError::NotOneOf(Order::ALL.map(Order::name).to_vec());
            let option = "--sort".to_owned();
            ArgumentError::Value { option, value: field.to_owned(), reason }.into()
        }
        other => other,
    })?;
    let order = job.plan.sort.map(Order::of).unwrap_or_default();
    let is_everything =
        |has_units: bool| job.plan.selectors.iter().eq(&everything::selectors(has_units));
    let title = if is_everything(true) {
        "systemd units"
    } else if is_everything(false) {
        "process names"
    } else {
        "groups"
    };
    let skips_empty = is_everything(true);
    Ok(Watched { title: title.to_owned(), skips_empty, order, job })
}

fn with_file(
    settings: Settings,
    path: &Path,
    surroundings: &Surroundings,
) -> Result<Settings, UsageError> {
    let text = (surroundings.read_config)(path)
        .map_err(|source| UsageError::ReadConfig { path: path.to_owned(), source })?;
    let settings = settings.over(config::parse(path, &text, surroundings)?);
    if settings.selectors.is_empty() && settings.rest.is_none() {
        return Err(UsageError::NoGroup { path: path.to_owned() });
    }
    Ok(settings)
}

/// Refuses an option that has no meaning for this kind of job.
fn refuse_options_of_others(kind: Kind, args: &JobArgs) -> Result<(), ArgumentError> {
    match kind {
        Kind::Once if args.interval.is_some() => Err(ArgumentError::NotTaken {
            command: "psstat",
            option: "--interval",
            cure: "use psstat execd --interval, or --wait for one sample over that time",
        }),
        Kind::Explain if args.interval.is_some() => Err(ArgumentError::NotTaken {
            command: "psstat explain",
            option: "--interval",
            cure: "it takes two samples; --wait is the time between them",
        }),
        Kind::Explain if args.sort.is_some() => Err(ArgumentError::NotTaken {
            command: "psstat explain",
            option: "--sort",
            cure: "it shows the groups in the order of the selectors, and parents before children",
        }),
        Kind::Explain if args.output.is_some() => Err(ArgumentError::NotTaken {
            command: "psstat explain",
            option: "--output",
            cure: "use the shell: > FILE",
        }),
        Kind::Explain if args.format == Some(Format::Prometheus) => Err(ArgumentError::NotTaken {
            command: "psstat explain",
            option: "--format prometheus",
            cure: "it prints text, or with --format json an object for each group",
        }),
        Kind::Once if args.no_sandbox => Err(ArgumentError::NotTaken {
            command: "psstat",
            option: "--no-sandbox",
            cure: "only psstat execd gives up rights: leave it out",
        }),
        Kind::Once if args.exit_records => Err(ArgumentError::NotTaken {
            command: "psstat",
            option: "--exit-records",
            cure: "only a resident psstat gets records of exits: use psstat execd",
        }),
        Kind::Explain if args.exit_records => Err(ArgumentError::NotTaken {
            command: "psstat explain",
            option: "--exit-records",
            cure: "only a resident psstat gets records of exits: use psstat execd",
        }),
        Kind::Execd if args.wait.is_some() => Err(ArgumentError::NotTaken {
            command: "psstat execd",
            option: "--wait",
            cure: "it keeps its state in memory; to take samples regularly, use --interval",
        }),
        Kind::Top => match options_not_for_top(args).next() {
            Some(option) => {
                let cure = "it prints no lines and has no cache file: leave it out";
                Err(ArgumentError::NotTaken { command: "psstat top", option, cure })
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The options that were given and mean nothing to `psstat top`.
fn options_not_for_top(args: &JobArgs) -> impl Iterator<Item = &'static str> {
    let is_given = [
        !args.tags.is_empty(),
        args.host.is_some(),
        args.fields.is_some(),
        args.format.is_some(),
        args.output.is_some(),
        args.wait.is_some(),
        args.cache_dir.is_some(),
        args.cache_name.is_some(),
        args.no_sandbox,
        args.exit_records,
    ];
    NOT_FOR_TOP.into_iter().zip(is_given).filter(|(_, is_given)| *is_given).map(|(name, _)| name)
}

/// A mistake for each option that `psstat execd` takes and does not need.
fn cache_options(args: &JobArgs) -> impl Iterator<Item = Mistake> {
    let dir = args.cache_dir.as_ref().map(|_| "--cache-dir");
    let name = args.cache_name.as_ref().map(|_| "--cache-name");
    let reason = "it keeps its state in memory and has no cache file";
    let of = move |option| Mistake::NoEffect { command: "psstat execd", option, reason };
    [dir, name].into_iter().flatten().map(of)
}

/// Refuses the options of jobs before a command that takes none.
fn refuse_options(job: &JobArgs, command: &'static str) -> Result<(), UsageError> {
    if *job == JobArgs::default() {
        return Ok(());
    }
    let (option, cure) = ("selectors or options", "leave them out");
    Err(ArgumentError::NotTaken { command, option, cure }.into())
}

impl JobArgs {
    /// The settings that were meant.
    fn settings(self, surroundings: &Surroundings) -> Result<Settings, ArgumentError> {
        let selectors = self.selectors.0.iter().map(|(kind, value)| {
            let bad = |reason| ArgumentError::Value {
                option: format!("--{}", kind.option()),
                value: shortened(value),
                reason,
            };
            kind.selector(value, surroundings).map_err(bad)
        });
        let with_space = self.selectors.0.iter().filter(|(kind, value)| kind.has_space(value));
        let with_space = with_space.map(|(kind, value)| Mistake::Space {
            option: format!("--{}", kind.option()),
            typed: shortened(value),
            or: if kind.has_brackets() { ", or write [ ] if it is meant" } else { "" },
        });
        let mut tags = TagList::default();
        for tag in &self.tags {
            let bad = |reason| ArgumentError::Tag { value: shortened(tag), reason };
            let (key, value) = split_tag(tag).ok_or_else(|| bad(TagError::NoEquals))?;
            tags.push(key, &without_escapes(value)).map_err(bad)?;
        }
        Ok(Settings {
            selectors: selectors.collect::<Result<_, _>>()?,
            tags,
            host: self.host.map(|host| host.as_bytes().to_vec()),
            cache_dir: self.cache_dir,
            cache_name: self.cache_name,
            wait: self.wait,
            interval: self.interval,
            fields: self.fields,
            memory: self.memory,
            format: self.format,
            sort: self.sort,
            output: self.output,
            proc: self.proc,
            sys: self.sys,
            timeout: self.timeout,
            multi_threaded: self.multi_threaded.then_some(true),
            no_sandbox: self.no_sandbox.then_some(true),
            exclusive: None,
            rest: None,
            exit_records: self.exit_records.then_some(true),
            files: Vec::new(),
            mistakes: with_space.collect(),
        })
    }
}

/// What was typed, as an error quotes it.
fn shortened(typed: &OsStr) -> String {
    excerpt(&typed.to_string_lossy()).into_owned()
}

/// Splits `KEY=VALUE`.
fn split_tag(tag: &OsStr) -> Option<(&[u8], &[u8])> {
    let bytes = tag.as_bytes();
    let equals = bytes.iter().position(|&byte| byte == b'=')?;
    Some((&bytes[..equals], &bytes[equals + 1..]))
}

/// Removes the escapes of line protocol. The original psstat printed the values of tags as typed,
/// so its users escape them. A label could not contain such a backslash anyway (see
/// [`Label::lossy`](psstat_core::model::label::Label::lossy)).
fn without_escapes(value: &[u8]) -> Vec<u8> {
    let is_escape = |index: usize| {
        value[index] == b'\\' && matches!(value.get(index + 1), Some(b',' | b'=' | b' '))
    };
    (0..value.len()).filter(|&index| !is_escape(index)).map(|index| value[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::config::ReadConfigError;
    use crate::job::Baseline;
    use crate::settings::alternatives;
    use psstat_core::emit::table::Sort;
    use psstat_core::field::{Field, Fields};
    use psstat_core::model::memory::MemoryMode;
    use psstat_core::select::selector::{Selector, Source};
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;
    use std::time::Duration;

    fn surroundings() -> Surroundings {
        Surroundings::made_up(|path| match path.to_str() {
            Some("web.toml") => Ok(WEB.to_owned()),
            Some("rest.toml") => Ok("rest = 'a'\n".to_owned()),
            Some("sorted.toml") => Ok("sort = 'name'\n[[group]]\npid = 1\n".to_owned()),
            _ => Err(ReadConfigError::TooLong),
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
            Err(error) => error.to_string(),
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
                "(by their own names): user www-data"
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
    fn single_dashes_work_and_values_are_left_alone() {
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
        let visible = |argument: &&clap::Arg| !argument.is_hide_set();
        for argument in definition().get_arguments().filter(visible) {
            let long = argument.get_long().unwrap();
            assert!(help.contains(&format!("--{long}")), "--{long} is not in the help");
        }
    }

    #[test]
    fn help_fits_a_terminal_of_100_columns() {
        let commands = ["execd", "check", "explain", "man"].map(|command| vec![command, "--help"]);
        for args in [vec!["--help"]].iter().chain(&commands) {
            let Ok(Invocation::Print(help)) = parsed(args) else { panic!("{args:?}") };
            let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 100).collect();
            assert!(wide.is_empty(), "{args:?}: {wide:?}");
        }
    }

    #[test]
    fn explain_needs_no_selector_and_takes_no_order() {
        let Ok(Invocation::Explain(job)) = parsed(&["explain"]) else { panic!("no job") };
        assert_eq!(job.plan.selectors.iter().count(), 2);
        let Ok(Invocation::Print(help)) = parsed(&["explain", "--help"]) else { panic!("no help") };
        assert!(help.contains("without any, everything"), "{help}");
        assert!(!help.contains("required") && !help.contains("--sort"), "{help}");
        let error = error_of(&["explain", "--format", "table", "--sort", "cpu"]);
        assert!(error.contains("psstat explain does not take --sort"), "{error}");
        let Ok(Invocation::Print(help)) = parsed(&["check", "--help"]) else { panic!("no help") };
        assert!(help.contains("at least one is required"), "{help}");
    }

    #[cfg(feature = "top")]
    #[test]
    fn top_shows_everything_if_nobody_says_what() {
        let watched = |args: &[&str]| match parsed(&[&["top"], args].concat()) {
            Ok(Invocation::Top(watched)) => *watched,
            other => panic!("{args:?}: {other:?}"),
        };
        let all = watched(&[]);
        let terms: Vec<String> = all.job.plan.selectors.iter().map(Selector::terms).collect();
        assert_eq!(terms, ["systemd *.service", "systemd *.scope"]);
        assert_eq!((&*all.title, all.skips_empty, all.order), ("systemd units", true, Order::Cpu));
        assert_eq!(all.job.plan.fields, Fields::new(FIELDS_OF_TOP.to_vec()));
        let some = watched(&["--pid", "7", "--sort", "mem", "--interval", "5s"]);
        assert_eq!((&*some.title, some.skips_empty, some.order), ("groups", false, Order::Memory));
        assert_eq!(some.job.interval, Some(Duration::from_secs(5)));
        let of_file = watched(&["--config", "web.toml"]);
        assert_eq!(of_file.job.plan.selectors.iter().count(), 1);
        assert_eq!(of_file.job.interval, Some(Duration::from_secs(5)), "that of the file");
    }

    #[cfg(feature = "top")]
    #[test]
    fn top_refuses_what_has_no_effect() {
        let Ok(Invocation::Print(help)) = parsed(&["top", "--help"]) else { panic!("no help") };
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        for (args, option) in [
            (&["--tag", "a=b"][..], "--tag"),
            (&["--host", "x"], "--host"),
            (&["--fields", "p_cpu"], "--fields"),
            (&["--format", "json"], "--format"),
            (&["--output", "/x"], "--output"),
            (&["--wait", "1s"], "--wait"),
            (&["--cache-dir", "/x"], "--cache-dir"),
            (&["--cache-name", "x"], "--cache-name"),
            (&["--no-sandbox"], "--no-sandbox"),
        ] {
            let error = error_of(&[&["top"], args].concat());
            assert!(error.contains("psstat top") && error.contains(option), "{error}");
            assert!(!help.contains(&format!("{option} ")), "{option} is in the help");
        }
        for other in ["size", "io_read"] {
            assert!(error_of(&["top", "--sort", other]).contains("n_thread"), "{other}");
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
    fn the_cache_is_named_after_user_selectors_fields_and_tags() {
        let name = |args: &[&str]| match job_of(args).baseline {
            Baseline::Cache { dir, name } => {
                assert_eq!(dir, PathBuf::from("/tmp"));
                name
            }
            Baseline::Wait(_) => panic!("{args:?}"),
        };
        let one = name(&["--pattern", "a"]);
        assert!(one.starts_with("psstat-1000-") && one.len() == "psstat-1000-".len() + 16, "{one}");
        assert_eq!(one, name(&["-pattern=a", "--memory", "rss", "--format", "json"]));
        assert_eq!(one, name(&["--pattern", "a", "--fields", "p_cpu,p_mem,n_proc"]));
        for other in [
            &["--pattern", "b"][..],
            &["--pattern", "a:a"],
            &["--cmdline", "a"],
            &["--pattern", "a", "--fields", "n_proc"],
            &["--pattern", "a", "--fields", "p_cpu"],
            &["--pattern", "a", "--format", "prometheus"],
            &["--pattern", "a", "--fields", "cpu_time"],
            &["--pattern", "a", "--fields", "io_read"],
            &["--pattern", "a", "--tag", "x=y"],
            &["--pattern", "a", "--host", "x"],
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
        let definition = definition();
        let fields = definition.get_arguments().find(|option| option.get_id() == "fields").unwrap();
        let help = fields.get_help().unwrap().to_string();
        let (all, default) = help.split_once(" [default: ").unwrap();
        let (_, all) = all.split_once(": ").unwrap();
        assert_eq!(
            all.replace('\n', " "),
            Field::all().map(Field::name).collect::<Vec<_>>().join(", ")
        );
        let [default_fields, of_page] = [Field::DEFAULT, Field::DEFAULT_OF_PAGE]
            .map(|fields| fields.map(Field::name).join(","));
        assert_eq!(default, format!("{default_fields};\n{of_page} for prometheus]"));
    }

    #[test]
    fn the_help_names_every_memory_mode_and_format() {
        let definition = definition();
        let help = |id: &str| {
            let option = definition.get_arguments().find(|option| option.get_id() == id);
            option.and_then(clap::Arg::get_help).map(ToString::to_string).unwrap_or_default()
        };
        let memory = alternatives(&MemoryMode::ALL.map(MemoryMode::name));
        assert!(help("memory").contains(&memory), "{memory}");
        let format = alternatives(&Format::ALL.map(Format::name));
        assert!(help("format").contains(&format), "{format}");
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
            error_of(&["--pid", "1", "--format", "xml"])
                .contains("influx, json, prometheus or table")
        );
    }

    #[test]
    fn a_table_is_sorted_by_a_column_that_it_has() {
        let sort =
            |args: &[&str]| job_of(&[&["--pid=1", "--format=table"], args].concat()).plan.sort;
        assert_eq!(sort(&[]), None);
        assert_eq!(sort(&["--sort=name"]), Some(Sort::Name));
        assert_eq!(sort(&["--sort=cpu"]), Some(Sort::By(Field::CpuShare)));
        assert_eq!(sort(&["--sort=n_proc"]), Some(Sort::By(Field::Processes)));
        assert_eq!(sort(&["--sort=mem"]), Some(Sort::By(Field::MemoryShare)));
        assert_eq!(sort(&["--sort=p_mem", "--fields=mem"]), Some(Sort::By(Field::Memory)));
        let both = ["--sort=mem", "--fields=p_mem,mem"];
        assert_eq!(sort(&both), Some(Sort::By(Field::Memory)));
        for (args, cause) in [
            (&["--format=table", "--sort=x"][..], "bad --sort \"x\": use name, cpu or a field"),
            (&["--format=table", "--sort=n_fd"], "add n_fd to the fields (--fields)"),
            (&["--sort=cpu"], "add --format table"),
            (&["--sort=cpu", "--format=json"], "add --format table"),
            (&["execd", "--sort=cpu"], "add --format table"),
            (&["--sort=cpu", "check"], "add --format table"),
        ] {
            let error = error_of(&[&["--pid=1"], args].concat());
            assert!(error.contains(cause), "{args:?}: {error}");
        }
        let of_file = |args: &[&str]| job_of(&[&["--config=sorted.toml"], args].concat()).plan;
        assert_eq!(of_file(&[]).sort, None, "it is for those who ask for a table");
        assert_eq!(of_file(&["--format=table"]).sort, Some(Sort::Name));
        let plan = of_file(&["--format=table", "--sort=cpu"]);
        assert_eq!(plan.sort, Some(Sort::By(Field::CpuShare)));
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
        assert_eq!(selectors, ["web: pattern nginx, user www-data", "x: pid 7"]);
        assert_eq!(spelt(&both, 0), ["host=typed", "env=cli", "team=a", "tier=1"]);
        assert_eq!(spelt(&both, 1), ["host=typed", "env=cli", "team=a"]);
        assert_eq!(both.baseline, Baseline::Wait(Duration::from_millis(1500)));
        let error = error_of(&["--config", "none.toml"]);
        assert!(error.starts_with("cannot read --config none.toml: longer than"), "{error}");
    }

    #[test]
    fn a_job_ignores_options_of_other_jobs_in_the_file() {
        let Ok(Invocation::Execd(job)) = parsed(&["execd", "--config", "web.toml"]) else {
            panic!("no resident job")
        };
        assert_eq!(job.interval, Some(Duration::from_secs(5)));
        let cache = Baseline::Cache { dir: "/tmp".into(), name: "web".to_owned() };
        assert_eq!(job.baseline, cache, "a resident job does not wait");
        assert_eq!(job.timeout, Duration::from_secs(2));
    }

    fn summary(args: &[&str]) -> String {
        match parsed(args) {
            Ok(Invocation::Check(job)) => {
                job.plan.selectors.iter().map(|selector| format!("{selector};")).collect()
            }
            other => panic!("{args:?}: {other:?}"),
        }
    }

    #[test]
    fn options_before_and_after_a_command_mean_the_same() {
        let expected = "web: pattern nginx, user www-data;(by their own names): pid 7;";
        for args in [
            &["check", "--config=web.toml", "--pid=7"][..],
            &["--config", "web.toml", "check", "--pid", "7"],
            &["--config=web.toml", "--pid=7", "check"],
            &["--pid", "7", "check", "--config", "web.toml"],
            &["-pid", "7", "-config=web.toml", "check"],
        ] {
            assert_eq!(summary(args), expected, "{args:?}");
        }
        let both = ["--pid=1", "--config=none.toml", "check", "--pid=2", "--config=web.toml"];
        let expected = "web: pattern nginx, user www-data;(by their own names): pid 1;(by their own names): pid 2;";
        assert_eq!(summary(&both), expected, "the last --config wins, selectors add up");
        let typed = [
            "--pid=1",
            "--tag=a=1",
            "--tag=b=1",
            "--timeout=1s",
            "execd",
            "--tag=b=2",
            "--timeout=2s",
        ];
        let Ok(Invocation::Execd(job)) = parsed(&typed) else { panic!("no resident job") };
        let tags: Vec<String> =
            job.plan.tags[0].iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(tags, ["host=tengu", "a=1", "b=2"]);
        assert_eq!(job.timeout, Duration::from_secs(2));
    }

    #[test]
    fn the_name_of_a_command_is_a_value_behind_an_option() {
        assert_eq!(selectors_of(&["--pattern", "check"]), ["(by their own names): pattern check"]);
        assert_eq!(selectors_of(&["-pattern", "execd"]), ["(by their own names): pattern execd"]);
    }

    #[test]
    fn a_command_refuses_the_options_of_others() {
        for (args, option) in [
            (&["execd", "--pid=1", "--wait", "1s"][..], "--wait"),
            (&["--wait=1s", "execd", "--pid=1"], "--wait"),
            (&["--pid=1", "--interval", "1s"], "--interval"),
            (&["--pid=1", "man"], "psstat man does not take selectors or options"),
            (&["--timeout=1s", "completions", "bash"], "does not take selectors or options"),
        ] {
            let error = error_of(args);
            assert!(error.contains(option) && error.contains("does not take"), "{error}");
        }
        assert_eq!(summary(&["check", "--pid=7", "--wait=1s", "--interval=1s"]).lines().count(), 1);
    }

    #[test]
    fn the_help_of_a_command_names_only_its_own_options() {
        let help = |command: &str| match parsed(&[command, "--help"]) {
            Ok(Invocation::Print(text)) => text,
            other => panic!("{command}: {other:?}"),
        };
        let (execd, check) = (help("execd"), help("check"));
        assert!(execd.contains("[default: 4s]") && !execd.contains("--wait"), "{execd}");
        assert!(check.contains("[default: 4s plus --wait]"), "{check}");
    }

    #[test]
    fn what_is_almost_a_name_is_refused_with_the_cure() {
        for option in ["--cmdline", "--user", "--exe", "--pid", "--pattern"] {
            let error = error_of(&[option, "app-{app:7"]);
            let cause =
                format!("bad {option} \"app-{{app:7\": \"app-{{app\" is no NAME, because a brace");
            assert!(
                error.starts_with(&cause) && error.contains("begin the value with ':'"),
                "{error}"
            );
        }
        assert_eq!(selectors_of(&["--pattern=:app}:7"]), ["(by their own names): pattern app}:7"]);
    }

    #[test]
    fn the_rest_has_a_name_of_its_own() {
        let error = error_of(&["--config=rest.toml", "--pid=a:1"]);
        let expected =
            "rest = \"a\": a selector has that NAME too: give one of the two another name";
        assert_eq!(error, expected);
        for (selectors, count) in [(&["--pid=b:1"][..], 2), (&["--pid=1"], 2), (&[], 1)] {
            let args = [&["--config=rest.toml"], selectors].concat();
            assert_eq!(job_of(&args).plan.selectors.iter().count(), count, "{args:?}");
        }
        let Ok(Invocation::Explain(job)) = parsed(&["explain", "--config=rest.toml"]) else {
            panic!("it is refused");
        };
        assert_eq!(job.plan.selectors.iter().count(), 1, "the rest is everything");
    }

    #[test]
    fn a_space_after_the_name_is_a_mistake() {
        for (selector, is_mistake) in [
            ("--pattern=web: nginx", true),
            ("--user=web: www-data", true),
            ("--pid-file=web: /run/nginx.pid", true),
            ("--pattern= nginx", false),
            ("--pattern=: nginx", false),
            ("--pattern=web:nginx worker", false),
            ("--pid-file=web a:/run/nginx.pid", false),
        ] {
            let mistakes = job_of(&[selector]).mistakes;
            let has_space = |mistake: &Mistake| matches!(mistake, Mistake::Space { .. });
            assert_eq!(mistakes.iter().any(has_space), is_mistake, "{selector}: {mistakes:?}");
            let offers_brackets =
                mistakes.iter().any(|mistake| mistake.to_string().contains("[ ]"));
            assert_eq!(offers_brackets, selector == "--pattern=web: nginx", "{mistakes:?}");
        }
    }

    #[test]
    fn a_resident_ignores_cache_options_with_a_warning() {
        let mistakes = |args: &[&str]| match parsed(args) {
            Ok(Invocation::Execd(job)) => job.mistakes.len(),
            other => panic!("{args:?}: {other:?}"),
        };
        assert_eq!(mistakes(&["execd", "--pid=1", "--cache-dir=/x", "--cache-name=y"]), 2);
        assert_eq!(mistakes(&["--cache-dir=/x", "execd", "--pid=1"]), 1);
        assert_eq!(mistakes(&["execd", "--config=web.toml"]), 0, "the file is for others too");
        assert!(job_of(&["--pid=1", "--cache-dir=/x"]).mistakes.is_empty());
    }

    #[test]
    fn an_error_names_the_help_of_its_command() {
        for (args, expected) in [
            (&["stray"][..], "see psstat --help"),
            (&["execd", "stray"], "see psstat execd --help"),
            (&["--pid", "1", "check", "stray"], "see psstat check --help"),
            (&["man", "psstat", "more"], "see psstat man --help"),
            (&["man", "toml"], "bad PAGE \"toml\": use psstat or psstat.toml"),
            (&["completions"], "psstat completions needs SHELL: see psstat completions --help"),
            (
                &["completions", "tcsh"],
                "bad SHELL \"tcsh\": use bash, elvish, fish, powershell or zsh",
            ),
            (&["chek"], "did you mean psstat check?"),
            (&["check", "web.toml"], "did you mean --config web.toml?"),
            (&["web.toml"], "did you mean --config web.toml?"),
            (&["--pattrn", "x"], "did you mean --pattern?"),
            (&["execd", "--pattrn", "x"], "did you mean --pattern?"),
            (&["check"], "nothing to measure"),
            (&["check", "--wait", "1s"], "nothing to measure"),
        ] {
            let error = error_of(args);
            assert!(error.contains(expected), "{args:?}: {error}");
        }
        for command in ["execd", "check", "man", "completions"] {
            assert!(matches!(parsed(&[command, "--help"]), Ok(Invocation::Print(_))), "{command}");
        }
        assert!(matches!(parsed(&["man"]), Ok(Invocation::Man(ManPage::Psstat))));
        let page = parsed(&["man", "psstat.toml"]);
        assert!(matches!(page, Ok(Invocation::Man(ManPage::Configuration))));
        assert!(matches!(parsed(&["completions", "zsh"]), Ok(Invocation::Completions(Shell::Zsh))));
    }

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
        assert!(definition().find_subcommand(EXECD).is_some());
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
    fn a_usage_error_is_one_line_with_the_cure() {
        for (args, expected) in [
            (&[][..], "nothing to measure"),
            (&["--nonsense"], "unexpected argument '--nonsense'"),
            (&["stray"], "unexpected argument 'stray'"),
            (&["--pid"], "--pid needs a value, as in --pid <[NAME:]PID>"),
            (&["--pid", "0"], "bad --pid \"0\""),
            (&["--pid", "web:x"], "bad --pid \"web:x\""),
            (&["--pattern", "a("], "bad regex \"a(\": unclosed group"),
            (&["--pattern", "web:"], "missing value after NAME: (the regex '.*' matches"),
            (&["--user", "web:"], "bad --user \"web:\": missing value after NAME:"),
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
        assert_eq!(job.plan.selectors[0].name().unwrap().as_str(), "web");
        let Source::PidFile(path) = &job.plan.selectors[0].source else { panic!("no file") };
        assert_eq!(path.as_slice(), b"/run/\xff.pid");
    }
}
