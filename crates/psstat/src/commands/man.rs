//! `psstat man`: the manual pages, from the definitions of the command line and of the configuration file.

mod configuration;

use crate::cli::{self, ManPage};
use crate::error::Error;
use crate::files::output;
use clap::{Arg, Command};
use clap_mangen::Man;
use psstat_core::field::Field;
use roff::{Inline, Roff, bold, italic, roman};
use std::io::{self, Write};

/// Prints a manual page.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(page: ManPage) -> Result<(), Error> {
    let text = match page {
        ManPage::Psstat => self::page(),
        ManPage::Configuration => configuration::page(),
    };
    output::print(text.as_bytes())?;
    Ok(())
}

/// The manual page in roff(7).
pub fn page() -> String {
    let mut definition = cli::definition();
    // Defines the arguments of the commands.
    definition.build();
    let mut page = Vec::new();
    // Writing to memory cannot fail.
    let _ = write_page(&definition, &mut page);
    String::from_utf8_lossy(&page).into_owned()
}

fn write_page(definition: &Command, page: &mut dyn Write) -> io::Result<()> {
    // The date is a space, so that the same source makes the same page. If it were empty, roff(7)
    // would take the next argument for it.
    let man = Man::new(definition.clone()).title("PSSTAT").section("1").date(" ");
    let man = man.manual("User Commands");
    man.render_title(page)?;
    man.render_name_section(page)?;
    synopsis(definition).to_writer(page)?;
    let help = definition.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (text, examples) = help.split_once("Examples:\n").unwrap_or((&help, ""));
    description(text).to_writer(page)?;
    man.render_options_section(page)?;
    commands(definition).to_writer(page)?;
    fields().to_writer(page)?;
    names_and_memory().to_writer(page)?;
    context().to_writer(page)?;
    closing(examples).to_writer(page)
}

/// The usage lines, one for each command.
fn synopsis(definition: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    let mut lines = vec![command_line(definition, "psstat")];
    for command in definition.get_subcommands() {
        lines.push(command_line(command, &format!("psstat {}", command.get_name())));
    }
    for (index, line) in lines.into_iter().enumerate() {
        if index > 0 {
            roff.control("br", []);
        }
        roff.text(line);
    }
    roff
}

/// The usage line of a command.
fn command_line(command: &Command, name: &str) -> Vec<Inline> {
    let mut line = vec![bold(name)];
    if command.get_arguments().any(|arg| arg.get_id() == "config") {
        line.extend([
            roman(" ["),
            italic("SELECTORS"),
            roman("] ["),
            italic("OPTIONS"),
            roman("]"),
        ]);
    }
    for argument in command.get_positionals() {
        let values = argument.get_possible_values();
        let values: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
        let value = italic(values.join("|"));
        if argument.is_required_set() {
            line.extend([roman(" "), value]);
        } else {
            line.extend([roman(" ["), value, roman("]")]);
        }
    }
    line
}

fn description(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in text.trim_end().split("\n\n") {
        roff.control("PP", []).text([roman(paragraph)]);
    }
    roff
}

/// The other commands, each with the options that only it has.
fn commands(definition: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["OTHER COMMANDS"]);
    let is_known = |arg: &Arg| {
        let mut known = definition.get_arguments().filter(|known| !known.is_hide_set());
        known.any(|known| known.get_id() == arg.get_id())
    };
    for command in definition.get_subcommands() {
        roff.control("TP", []).text([bold(format!("psstat {}", command.get_name()))]);
        roff.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && !is_known(arg)) {
            let value = arg.get_value_names().unwrap_or_default().join(" ");
            let head = match arg.get_long() {
                Some(long) if !arg.get_action().takes_values() => vec![bold(format!("--{long}"))],
                Some(long) => vec![bold(format!("--{long}")), roman(" "), italic(value)],
                None => vec![italic(value)],
            };
            roff.control("RS", []).control("TP", []).text(head);
            roff.text([roman(arg.get_help().map(ToString::to_string).unwrap_or_default())]);
            roff.control("RE", []);
        }
    }
    roff
}

/// The fields of `--fields`, with their units.
fn fields() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["FIELDS"]);
    for field in Field::all() {
        roff.control("TP", []).text([bold(field.name())]).text([roman(field.row().help)]);
    }
    roff
}

/// The names of groups, and the values of `--memory`.
fn names_and_memory() -> Roff {
    let mut roff = Roff::new();
    section(
        &mut roff,
        "NAMES",
        &[
            (
                "NAME:",
                "Selectors with the same NAME make one group, which prints a line even while it has no \
                 process. NAME ends at the first colon.",
            ),
            (
                "no NAME",
                "Processes are grouped by their process names (comm), units and control groups by their \
                 own names. A group prints a line only while it has a process.",
            ),
            (
                "{placeholder}",
                "In a NAME, makes one group for each name that comes out, at most 1000: {word} is what \
                 (?P<word>...) matches in the regex of the selector; {comm}, {exe} and {user} are of the \
                 process; {unit} and {instance} are of its systemd unit; {cgroup} is the path of its \
                 control group. The other processes are in the group other.",
            ),
        ],
    );
    section(
        &mut roff,
        "MEMORY MODES",
        &[
            (
                "auto",
                "Counts each page once that processes of a group share. Takes the kernel's account of a \
                 control group if the group has all its processes, else reads the memory maps of processes \
                 that have memory in common, if it may, else counts as shared-once does.",
            ),
            (
                "shared-once",
                "Counts files and shared memory once. What forked processes have in common counts in each.",
            ),
            (
                "pss",
                "The sum of the proportional set sizes: a page of several processes is divided among them, \
                 also among those of other groups. Needs the right to trace the processes.",
            ),
            (
                "rss",
                "The sum of the resident set sizes, as ps shows them. It can exceed the memory.",
            ),
        ],
    );
    roff
}

/// Adds a section: terms, each with its explanation.
fn section(roff: &mut Roff, name: &str, items: &[(&str, &str)]) {
    roff.control("SH", [name]);
    for (item, text) in items {
        roff.control("TP", []).text([bold(*item)]);
        roff.text([roman(*text)]);
    }
}

/// What the definition of the command line does not say: files, environment, signals, exit status.
fn context() -> Roff {
    let mut roff = Roff::new();
    let mut section = |name: &str, items: &[(&str, &str)]| section(&mut roff, name, items);
    section(
        "FILES",
        &[
            (
                "/tmp/psstat-UID-HASH",
                "The cache of one job: the state that the last run left. Its name is made from \
                 the user, the selectors and the fields. If it is deleted, the next run is a \
                 first run.",
            ),
            (
                "/etc/psstat.toml",
                "The usual place of a configuration file (psstat.toml(5)). It is used only if --config \
                 names it, as psstat.service does.",
            ),
            (
                "/usr/lib/systemd/system/psstat.service",
                "A unit that writes a page for Prometheus' node_exporter every 15 seconds.",
            ),
            (
                "/usr/share/doc/psstat/examples",
                "An annotated configuration file, and snippets for Telegraf.",
            ),
        ],
    );
    section(
        "ENVIRONMENT",
        &[
            ("HOST_PROC", "Mount point of procfs, unless --proc is given."),
            ("HOST_SYS", "Mount point of sysfs, unless --sys is given."),
            (
                "HOST_ETC",
                "Directory of the passwd file in which users are looked up, and of unit files, \
                 instead of /etc.",
            ),
            (
                "HOST_ROOT, HOST_RUN",
                "Directories in which unit files are looked up, instead of / and /run.",
            ),
        ],
    );
    section(
        "SIGNALS",
        &[
            (
                "SIGTERM",
                "Ends psstat with status 0. It has printed whole lines or nothing. SIGINT does \
                 the same for psstat execd.",
            ),
            (
                "SIGHUP, SIGUSR1, SIGUSR2",
                "Ask psstat execd for a sample. It reads its configuration file only when it starts.",
            ),
        ],
    );
    section(
        "EXIT STATUS",
        &[
            (
                "0",
                "Lines were printed, or a baseline was stored. A line 'W! ' on standard error says \
                 what is missing.",
            ),
            (
                "1",
                "No sample could be taken or written. A line 'E! ' on standard error says why. psstat execd \
                 ends so if the first sample fails, or if it may not write the file of --output any more.",
            ),
            (
                "2",
                "The command line or the configuration file is wrong. A line 'E! ' on standard \
                 error says what is wrong. Most of these lines also say how to fix it.",
            ),
        ],
    );
    roff
}

/// Examples and related pages.
fn closing(examples: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for example in examples.lines() {
        roff.control("PP", []).text([bold(example.trim())]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let pages =
        [("psstat.toml", "(5), "), ("proc", "(5), "), ("cgroups", "(7), "), ("systemctl", "(1)")];
    roff.text(pages.map(|(page, section)| [bold(page), roman(section)]).concat());
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_option_and_command() {
        let page = page().replace("\\-", "-");
        assert!(page.starts_with(".ie"), "{page}");
        let version = env!("CARGO_PKG_VERSION");
        let title = format!(".TH PSSTAT 1 \" \" \"psstat {version}\" \"User Commands\"");
        assert!(page.contains(&title), "{page}");
        let mut definition = cli::definition();
        definition.build();
        for command in definition.get_subcommands().chain([&definition]) {
            for long in command.get_arguments().filter_map(Arg::get_long) {
                assert!(page.contains(&format!("--{long}")), "--{long} is missing");
            }
        }
        for command in definition.get_subcommands() {
            let name = command.get_name();
            assert!(page.contains(&format!("psstat {name}")), "{name} is missing");
        }
        for (section, text) in [
            ("SYNOPSIS", "bash|elvish|fish"),
            ("DESCRIPTION", "Selectors with the same NAME make one group"),
            ("OTHER COMMANDS", "there is no cache file"),
            ("OTHER COMMANDS", "--interval"),
            ("OTHER COMMANDS", "--no-sandbox"),
            ("FIELDS", "uptime"),
            ("NAMES", "{instance}"),
            ("MEMORY MODES", "shared-once"),
            ("FILES", "psstat.toml"),
            ("ENVIRONMENT", "HOST_PROC"),
            ("SIGNALS", "SIGUSR1"),
            ("EXIT STATUS", "configuration file is wrong"),
            ("EXAMPLES", "--wait 1s --user www-data"),
        ] {
            let (_, below) = page
                .split_once(&format!(".SH \"{section}\"\n"))
                .or_else(|| page.split_once(&format!(".SH {section}\n")))
                .unwrap();
            assert!(below.split("\n.SH ").next().unwrap().contains(text), "{section}: {text}");
        }
    }
}
