//! The manual page and the shell completions, made from the command line's own definition: what
//! they say is what is understood. Pure.

use crate::cli;
use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};
use std::io::{self, Write};

/// The subcommands that print a document.
pub const MAN: &str = "man";
/// As [`MAN`].
pub const COMPLETIONS: &str = "completions";

/// The shells that [`completions`] knows.
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// The manual page, as roff(7).
pub fn manual() -> String {
    let mut page = Vec::new();
    // Memory takes whatever is written to it.
    let _ = write_manual(&mut page);
    String::from_utf8_lossy(&page).into_owned()
}

fn write_manual(page: &mut dyn Write) -> io::Result<()> {
    // The date is blank, so that the same source gives the same page. An empty one would not do:
    // roff(7) would take what stands behind it in its place.
    let once = Man::new(cli::command()).title("PSSTAT").section("1").date(" ");
    let once = once.manual("User Commands");
    once.render_title(page)?;
    once.render_name_section(page)?;
    synopsis().to_writer(page)?;
    let help = cli::command().get_after_help().map(ToString::to_string).unwrap_or_default();
    let (text, examples) = help.split_once("Examples:\n").unwrap_or((&help, ""));
    description(text).to_writer(page)?;
    // Selectors have a heading of their own.
    once.render_options_section(page)?;
    jobs().to_writer(page)?;
    surroundings().to_writer(page)?;
    closing(examples).to_writer(page)
}

fn synopsis() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    let job = [italic("SELECTORS"), roman("] ["), italic("OPTIONS"), roman("]")];
    let named = |name: &str| {
        let head = [bold("psstat"), roman(" "), bold(name), roman(" [")];
        [&head[..], &job].concat()
    };
    let lines: [Vec<Inline>; 5] = [
        [&[bold("psstat"), roman(" [")][..], &job].concat(),
        named(cli::EXECD),
        vec![bold("psstat check --config"), roman(" "), italic("FILE")],
        vec![bold("psstat man")],
        vec![bold("psstat completions"), roman(" "), italic(SHELLS.join("|"))],
    ];
    for (at, line) in lines.into_iter().enumerate() {
        if at > 0 {
            roff.control("br", []);
        }
        roff.text(line);
    }
    roff
}

/// What stands behind the options in `--help`.
fn description(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in text.trim_end().split("\n\n") {
        roff.control("PP", []).text([roman(paragraph)]);
    }
    roff
}

/// The other jobs, each with what it understands beside the options of one sample.
fn jobs() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["OTHER COMMANDS"]);
    let once = cli::command();
    let knows = |arg: &Arg| once.get_arguments().any(|known| known.get_id() == arg.get_id());
    for (name, command) in others() {
        roff.control("TP", []).text([bold(format!("psstat {name}"))]);
        roff.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
        for arg in command.get_arguments().filter(|arg| !knows(arg)) {
            let value = arg.get_value_names().unwrap_or_default().join(" ");
            let head = match arg.get_long() {
                Some(long) => vec![bold(format!("--{long}")), roman(" "), italic(value)],
                None => vec![italic(arg.get_id().as_str())],
            };
            roff.control("RS", []).control("TP", []).text(head);
            roff.text([roman(arg.get_help().map(ToString::to_string).unwrap_or_default())]);
            roff.control("RE", []);
        }
    }
    roff
}

/// What the command line's definition does not tell: files, environment, exit status.
fn surroundings() -> Roff {
    let mut roff = Roff::new();
    let mut section = |name: &str, items: &[(&str, &str)]| {
        roff.control("SH", [name]);
        for (item, text) in items {
            roff.control("TP", []).text([bold(*item)]);
            roff.text([roman(*text)]);
        }
    };
    section(
        "FILES",
        &[
            (
                "/tmp/psstat-UID-HASH",
                "The cache of one job, named after its user, selectors and fields: what the last \
                 run saw. Safe to delete: the next run is a first run.",
            ),
            ("/etc/psstat.toml", "A configuration file, where --config names it."),
            (
                "/usr/share/doc/psstat/examples",
                "An annotated configuration file, snippets for Telegraf, and units for \
                 node_exporter's textfile collector.",
            ),
        ],
    );
    section(
        "ENVIRONMENT",
        &[
            ("HOST_PROC", "Where procfs is mounted, unless --proc says."),
            ("HOST_SYS", "Where sysfs is mounted, unless --sys says."),
        ],
    );
    section(
        "SIGNALS",
        &[
            (
                "SIGTERM",
                "Ends a run, with whole lines printed or none; status 0. So does SIGINT in psstat \
                 execd.",
            ),
            ("SIGHUP, SIGUSR1, SIGUSR2", "Ask psstat execd for a sample."),
        ],
    );
    section(
        "EXIT STATUS",
        &[
            ("0", "Lines are printed, or a baseline is stored; a 'W! ' says what is missing."),
            ("1", "The run could not be done; an 'E! ' says why."),
            ("2", "The command line or the configuration file is wrong; an 'E! ' says where."),
        ],
    );
    roff
}

/// Examples, as they are typed, and where to read on.
fn closing(examples: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for example in examples.lines() {
        roff.control("PP", []).text([bold(example.trim())]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let pages = [("proc", "(5), "), ("cgroups", "(7), "), ("systemctl", "(1)")];
    roff.text(pages.map(|(page, section)| [bold(page), roman(section)]).concat());
    roff
}

/// The completions of one shell, to be put where that looks for them.
///
/// # Errors
/// The text names the shells that are known.
pub fn completions(shell: &str) -> Result<String, String> {
    let known: Shell =
        shell.parse().map_err(|_| format!("bad shell {shell:?}: name {}", SHELLS.join(", ")))?;
    let mut script = Vec::new();
    let commands = others().into_iter().map(|(name, command)| hinted(command).name(name));
    let mut whole = hinted(cli::command()).subcommands(commands).disable_help_subcommand(true);
    clap_complete::generate(known, &mut whole, "psstat", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Ok(if known == Shell::Fish { mended_for_fish(&script) } else { script })
}

/// The script for fish with what its generator leaves out. It asks a parser whether a subcommand
/// stands there already, which refuses an option whose value is still to be typed: no value was
/// offered then. And it knows no values but those of options.
fn mended_for_fish(script: &str) -> String {
    let script = script.replace("\n    or return\n", "\n    or return 0\n");
    let using = "complete -c psstat -n \"__fish_psstat_using_subcommand";
    let shells = SHELLS.join(" ");
    format!("{script}{using} {COMPLETIONS}\" -f -a \"{shells}\"\n{using} {MAN}\" -f\n")
}

/// The command line that prints the manual page.
pub fn man_command() -> Command {
    Command::new("psstat man").about("Print the manual page")
}

/// The command line that prints completions.
pub fn completions_command() -> Command {
    let shell = Arg::new("SHELL").help(SHELLS.join(", "));
    Command::new("psstat completions").about("Print shell completions").arg(shell)
}

/// The subcommands.
fn others() -> [(&'static str, Command); 4] {
    [
        (cli::EXECD, cli::execd_command()),
        (cli::CHECK, cli::check_command()),
        (MAN, man_command()),
        (COMPLETIONS, completions_command()),
    ]
}

/// Tells a shell what may stand behind an option. A run does without: it would pay for it.
fn hinted(command: Command) -> Command {
    command.mut_args(|arg| match arg.get_id().as_str() {
        "config" | "output" | "pid-file" => arg.value_hint(ValueHint::FilePath),
        "cache-dir" | "proc" | "sys" => arg.value_hint(ValueHint::DirPath),
        "user" => arg.value_hint(ValueHint::Username),
        "memory" => arg.value_parser(["rss", "shared-once", "pss"]),
        "SHELL" => arg.value_parser(PossibleValuesParser::new(SHELLS)),
        "format" => arg.value_parser(["influx", "json", "prometheus"]),
        _ => arg,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_options() -> Vec<String> {
        let commands = [cli::command(), cli::execd_command(), cli::check_command()];
        let options = commands.iter().flat_map(Command::get_arguments);
        options.map(|option| option.get_long().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_manual_page_knows_every_option_of_every_job() {
        let page = manual().replace("\\-", "-");
        assert!(page.starts_with(".ie"), "{page}");
        let version = env!("CARGO_PKG_VERSION");
        let title = format!(".TH PSSTAT 1 \" \" \"psstat {version}\" \"User Commands\"");
        assert!(page.contains(&title), "{page}");
        for long in long_options() {
            assert!(page.contains(&format!("--{long}")), "--{long} is missing");
        }
        for (name, _) in others() {
            assert!(page.contains(&format!("psstat {name}")), "{name} is missing");
        }
        for (section, text) in [
            ("DESCRIPTION", "Selectors with the same NAME make one group"),
            ("OTHER COMMANDS", "no cache file is used"),
            ("EXAMPLES", "--wait 1s --user www-data"),
        ] {
            let (_, below) = page
                .split_once(&format!(".SH \"{section}\"\n"))
                .or_else(|| page.split_once(&format!(".SH {section}\n")))
                .unwrap();
            assert!(below.split("\n.SH ").next().unwrap().contains(text), "{section}: {text}");
        }
    }

    #[test]
    fn completions_know_every_option_in_every_shell() {
        for shell in SHELLS {
            let script = completions(shell).unwrap();
            for long in long_options() {
                assert!(script.contains(&long), "{shell}: {long} is missing");
            }
            assert!(script.contains("shared-once"), "{shell}: values are missing");
        }
        assert!(completions("tcsh").unwrap_err().contains("fish"));
    }
}
