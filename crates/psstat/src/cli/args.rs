//! The definition of the command line. `--help`, the manual page and the completions come from it.

use super::selectors::{SelectorArgs, as_optional};
use crate::settings::{CacheName, FieldList, Period, SortKey, ValueError};
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use psstat_core::emit::Format;
use psstat_core::model::memory::MemoryMode;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

const ABOUT: &str =
    "What a group of processes costs: CPU, memory and number of processes, children included";

const USAGE: &str = if cfg!(feature = "top") {
    "psstat [SELECTORS] [OPTIONS]\n       psstat execd [SELECTORS] [OPTIONS]\n       \
     psstat top [SELECTORS] [OPTIONS]\n       psstat explain [SELECTORS] [OPTIONS]\n       \
     psstat check [SELECTORS] [OPTIONS]\n       psstat man [PAGE] | completions SHELL"
} else {
    "psstat [SELECTORS] [OPTIONS]\n       psstat execd [SELECTORS] [OPTIONS]\n       \
     psstat explain [SELECTORS] [OPTIONS]\n       psstat check [SELECTORS] [OPTIONS]\n       \
     psstat man [PAGE] | completions SHELL"
};

const AFTER_HELP: &str = "\
The processes that a selector matches make a group with all their descendants. Each group prints one
line. Selectors with the same NAME make one group. Without NAME, processes are grouped by their
own names. With --systemd and --cgroup, all processes in the control group make the group. NAME may
contain letters, digits, '_', '.', '-', '@' and spaces. A ':' in front means 'no name', for a value
that contains a ':'.

A group with a NAME prints a line even if nothing matches. Without NAME, a selector that matches
nothing prints no line.

A NAME with {placeholders} makes a group for each name that comes out: {comm}, {exe}, {user},
{unit}, {instance}, {cgroup}, or a named group of the regex. --cmdline 'j-{app}:app=(?P<app>\\w+)'
makes the group j-shop of processes with app=shop. Names beyond 1000 are in the group 'other'.

A DURATION is a number with a unit: ms, s, m or h, in lower case, as in 500ms, 1s or 2m.

A REGEX matches anywhere in the text, and '^' and '$' anchor it. It is case-sensitive; '(?i)' in
front ignores case. A GLOB matches the whole text: '*/nginx' matches /usr/sbin/nginx, 'nginx' does
not.

--pattern matches comm, the first 15 bytes of the name of a process. A literal text of more than 15
bytes never matches. Use --cmdline or --exe for longer names.

--cmdline also matches a wrapper whose arguments contain the regex, such as sh -c, sudo or timeout.
Write '[k]afka' for 'kafka': the regex does not match itself. '^' leaves out wrappers in front.

--exe matches the path after all symbolic links are resolved. readlink /proc/PID/exe prints it.

A process selected by --pattern, --cmdline, --exe or --user (*) may have a parent outside the group.
Then what it used since the last sample is lost when it ends, because the kernel passes it on to
the parent. If it lived between two samples, it is not counted at all. To count short-lived
processes, use --systemd or --cgroup, or select the parent, or use psstat execd --exit-records.

--memory auto counts each page once. Forked processes have memory in common. psstat sees that if
they are all the processes of a control group, as those of a systemd service are, or if it may read
their memory maps: those of its own user, or as root or with CAP_SYS_PTRACE all. Otherwise each
process counts it.

The environment variables HOST_PROC, HOST_SYS and HOST_ETC say where the host's /proc, /sys and
/etc are mounted in a container. In HOST_ETC, psstat looks up users (passwd) and unit files;
HOST_ROOT and HOST_RUN are for unit files only.

The first run stores a baseline and prints no line. Later runs print lines. --wait 1s prints lines
at once.

Examples:
  psstat --tag env=production --pid-file nginx:/run/nginx.pid --pattern mysql:mysqld
  psstat --wait 1s --user www-data
  psstat --wait 1s --systemd '*' --format table --sort cpu
  psstat --systemd 'nginx*' --systemd pg:'postgresql@*' --cgroup 'user.slice/*'
  psstat check --config /etc/psstat.toml
  psstat --systemd nginx --format prometheus --output /var/lib/prometheus/node-exporter/psstat.prom";

const EXECD_ABOUT: &str = "\
Stay resident for Telegraf's execd. Take one sample for each line feed on standard input, and for
each SIGHUP, SIGUSR1 or SIGUSR2. The baseline is taken at the start, so the first request prints
lines too; their p_cpu covers the time since the start. End when standard input ends: with
/dev/null, at once. With --interval, end only with a pipe, a socket or a terminal. End also when
nobody reads standard output any more. By hand, press Enter for a sample and Ctrl-D to end. The
state between samples is kept in memory, and there is no cache file; --cache-dir and --cache-name
are ignored with a warning";

const EXPLAIN_ABOUT: &str = "\
Show which processes are in each group, and why: the selector that picked each, or its parent, or
its control group; what each uses; where CPU time and memory come from; what was left out; the line
as it would be sent. For a group without a process, show what comes nearest. Take two samples, one
second apart or as --wait says. Without selectors, show every systemd unit, or every process name
where there is none, without kernel threads. --format json prints an object for each group";

const CHECK_ABOUT: &str = "\
Check the command line and the configuration file, and show what they would measure: the groups, and
how many processes each has now. If the file has mistakes, print all of them, each with its line.
--interval and --wait are accepted because the file may hold them; they have no effect on the check";

#[cfg(feature = "top")]
const TOP_ABOUT: &str = "\
Show the groups live, in a terminal: CPU, memory and processes of each, with a history. Enter shows
the processes of a group and why each is in it, / filters, s sorts, Space pauses, + and - change the
interval, ? shows all keys, q quits. Without selectors, show every systemd unit, or every process
name where there is none. The corner shows what psstat itself costs";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "psstat",
    version,
    about = ABOUT,
    after_help = AFTER_HELP,
    override_usage = USAGE,
    disable_version_flag = true,
    disable_help_subcommand = true
)]
#[group(skip)]
pub struct Cli {
    #[command(flatten)]
    pub job: JobArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands. Their arguments are defined only when one of them is used.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Stay resident and take a sample on request (Telegraf's execd)
    Execd(ExecdArgs),
    /// Show the groups live, in a terminal
    #[cfg(feature = "top")]
    Top(TopArgs),
    /// Check the command line and the configuration file
    Check(CheckArgs),
    /// Show which processes are in each group, and why
    Explain(ExplainArgs),
    /// Print a manual page
    Man {
        /// psstat (the default), or psstat.toml for the configuration file
        #[arg(value_name = "PAGE", hide_possible_values = true)]
        page: Option<ManPage>,
    },
    /// Print shell completions
    Completions {
        /// The shell to print completions for
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
}

/// A manual page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ManPage {
    /// psstat(1)
    #[default]
    Psstat,
    /// psstat.toml(5)
    #[value(name = "psstat.toml")]
    Configuration,
}

/// The arguments of `psstat execd`.
#[derive(Args, Debug)]
#[command(
    version,
    display_name = "psstat execd",
    about = EXECD_ABOUT,
    override_usage = "psstat execd [SELECTORS] [OPTIONS]",
    mut_arg("interval", |arg| arg.hide(false)),
    mut_arg("no_sandbox", |arg| arg.hide(false)),
    mut_arg("exit_records", |arg| arg.hide(false)),
    mut_arg("timeout", |arg| arg.help("Give up on a sample after this long [default: 4s]")),
    mut_arg("wait", |arg| arg.hide(true)),
    mut_arg("cache_dir", |arg| arg.hide(true)),
    mut_arg("cache_name", |arg| arg.hide(true))
)]
#[group(skip)]
pub struct ExecdArgs {
    #[command(flatten)]
    pub job: JobArgs,
}

/// The arguments of `psstat top`.
#[cfg(feature = "top")]
#[derive(Args, Debug)]
#[command(
    version,
    display_name = "psstat top",
    about = TOP_ABOUT,
    override_usage = "psstat top [SELECTORS] [OPTIONS]",
    mut_arg("interval", |arg| arg.hide(false).help("The time between two samples [default: 2s]")),
    mut_arg("timeout", |arg| arg.help("Give up on a sample after this long [default: 4s]")),
    mut_arg("sort", |arg| arg.help(
        "Sort by name, cpu, mem, n_proc, n_thread, uptime or cpu_time\n\
         at first [default: cpu]"
    )),
    mut_args(|arg| {
        let has_effect = !NOT_FOR_TOP.iter().any(|option| arg.get_long() == Some(&option[2..]));
        as_optional(if has_effect { arg } else { arg.hide(true) })
    })
)]
#[group(skip)]
pub struct TopArgs {
    #[command(flatten)]
    pub job: JobArgs,
}

/// The options that mean nothing to `psstat top`, because it prints no lines and keeps no file.
pub const NOT_FOR_TOP: [&str; 10] = [
    "--tag",
    "--host",
    "--fields",
    "--format",
    "--output",
    "--wait",
    "--cache-dir",
    "--cache-name",
    "--no-sandbox",
    "--exit-records",
];

/// The arguments of `psstat check`: those of any job, because the file may be for any job.
#[derive(Args, Debug)]
#[command(
    version,
    display_name = "psstat check",
    about = CHECK_ABOUT,
    override_usage = "psstat check [SELECTORS] [OPTIONS]",
    mut_arg("interval", |arg| arg.hide(false)),
    mut_arg("no_sandbox", |arg| arg.hide(false)),
    mut_arg("exit_records", |arg| arg.hide(false))
)]
#[group(skip)]
pub struct CheckArgs {
    #[command(flatten)]
    pub job: JobArgs,
}

/// The arguments of `psstat explain`.
#[derive(Args, Debug)]
#[command(
    version,
    display_name = "psstat explain",
    about = EXPLAIN_ABOUT,
    override_usage = "psstat explain [SELECTORS] [OPTIONS]",
    mut_arg("wait", |arg| arg.help("The time between the two samples [default: 1s]")),
    mut_arg("format", |arg| arg.help("json, or else text")),
    mut_arg("sort", |arg| arg.hide(true)),
    mut_arg("output", |arg| arg.hide(true)),
    mut_arg("cache_dir", |arg| arg.hide(true)),
    mut_arg("cache_name", |arg| arg.hide(true)),
    mut_args(as_optional)
)]
#[group(skip)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub job: JobArgs,
}

/// The arguments of a job. They may be given before or after the command.
#[derive(Args, Debug, Default, PartialEq, Eq)]
#[group(skip)]
pub struct JobArgs {
    #[command(flatten)]
    pub selectors: SelectorArgs,

    /// Add a tag to every line; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub tags: Vec<OsString>,

    /// Read groups, tags and options from FILE. Selectors on the
    /// command line are added; options and tags replace those of FILE
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub config: Option<PathBuf>,

    /// Value of the host tag; empty for no such tag [default: host name;
    /// none for prometheus]
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    pub host: Option<OsString>,

    /// Directory of the cache file [default: /tmp]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Name of the cache file [default: psstat-UID-HASH; the hash is
    /// that of selectors, fields and tags]
    #[arg(long, value_name = "NAME", value_parser = text::<CacheName>(), verbatim_doc_comment)]
    pub cache_name: Option<CacheName>,

    /// How memory is measured: auto, shared-once, pss or rss
    /// [default: auto]
    #[arg(
        long,
        value_name = "MODE",
        value_parser = one_of(MemoryMode::ALL.map(MemoryMode::name), MemoryMode::named),
        hide_possible_values = true,
        verbatim_doc_comment
    )]
    pub memory: Option<MemoryMode>,

    /// Fields to print, in the order of LIST: p_cpu, p_mem, n_proc,
    /// cpu_time, mem, n_thread, n_zombie, n_fd, io_read, io_write,
    /// faults_major, ctx_switches, uptime, swap, starts,
    /// cpu_throttled, cpu_pressure, mem_pressure, io_pressure,
    /// oom_kills, mem_limit, mem_peak [default: p_cpu,p_mem,n_proc;
    /// cpu_time,mem,n_proc for prometheus]
    #[arg(long, value_name = "LIST", value_parser = text::<FieldList>(), verbatim_doc_comment)]
    pub fields: Option<FieldList>,

    /// Output format: influx, json, prometheus or table
    /// [default: influx]
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = one_of(Format::ALL.map(Format::name), Format::named),
        hide_possible_values = true,
        verbatim_doc_comment
    )]
    pub format: Option<Format>,

    /// Sort the table of --format table by name, by cpu or by a field,
    /// the largest value first [default: in the order of the selectors]
    #[arg(long, value_name = "FIELD", value_parser = text::<SortKey>(), verbatim_doc_comment)]
    pub sort: Option<SortKey>,

    /// Replace FILE atomically with each sample
    /// [default: standard output]
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub output: Option<PathBuf>,

    /// Mount point of procfs [default: HOST_PROC, else /proc]
    #[arg(long, value_name = "DIR")]
    pub proc: Option<PathBuf>,

    /// Mount point of sysfs [default: HOST_SYS, else /sys]
    #[arg(long, value_name = "DIR")]
    pub sys: Option<PathBuf>,

    /// Give up on a sample after this long [default: 4s plus --wait]
    #[arg(long, value_name = "DURATION", value_parser = text::<Period>())]
    pub timeout: Option<Period>,

    /// Read /proc on several threads
    #[arg(long)]
    pub multi_threaded: bool,

    /// Take two samples in this run, this far apart; no cache file
    #[arg(long, value_name = "DURATION", value_parser = text::<Period>())]
    pub wait: Option<Period>,

    /// Also take a sample at this interval
    #[arg(long, value_name = "DURATION", value_parser = text::<Period>(), hide = true)]
    pub interval: Option<Period>,

    /// Keep all rights after the first sample. Without this option, psstat
    /// keeps only those that it needs, as far as the kernel can do that
    #[arg(long, hide = true, verbatim_doc_comment)]
    pub no_sandbox: bool,

    /// Ask the kernel for a record of each process that ends, so that short-
    /// lived processes count. Needs CAP_NET_ADMIN at the start
    #[arg(long, hide = true, verbatim_doc_comment)]
    pub exit_records: bool,

    /// Print version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Reads a value that is text.
fn text<T>() -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = ValueError> + Clone + Send + Sync + 'static,
{
    OsStringValueParser::new()
        .try_map(|value: OsString| value.to_str().ok_or(ValueError::NotUtf8)?.parse::<T>())
}

/// Reads a value that is one of these names.
fn one_of<T, const N: usize>(
    names: [&'static str; N],
    named: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names)
        .try_map(move |name| named(&name).ok_or_else(|| ValueError::NotOneOf(names.to_vec())))
}
