//! `psstat completions`: completions for shells, from the definition of the command line.

use crate::cli;
use crate::error::Error;
use crate::files::output;
use clap::{Arg, Command, ValueEnum, ValueHint};
use clap_complete::Shell;

/// Prints the completions of a shell.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(shell: Shell) -> Result<(), Error> {
    output::print(script(shell).as_bytes())?;
    Ok(())
}

/// The completions of a shell.
pub fn script(shell: Shell) -> String {
    let mut definition = cli::definition();
    // Defines the arguments of the commands.
    definition.build();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut hinted(definition), "psstat", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Fish { completed_for_fish(&script) } else { script }
}

/// Tells the shell what the values may be.
fn hinted(command: Command) -> Command {
    command.mut_args(hinted_arg).mut_subcommands(hinted)
}

/// The name of the value says what it may be. The definition itself has no hints, because every run
/// would pay for them.
fn hinted_arg(arg: Arg) -> Arg {
    let name = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
    match name {
        Some("FILE" | "[NAME:]PATH") => arg.value_hint(ValueHint::FilePath),
        Some("DIR") => arg.value_hint(ValueHint::DirPath),
        Some("[NAME:]USER") => arg.value_hint(ValueHint::Username),
        _ => arg,
    }
}

/// Adds to the script for fish what its generator leaves out.
///
/// The script asks a parser whether there is a subcommand already. The parser fails if the value of
/// an option is still missing, and then fish offers no values. And the generator only knows values
/// of options, not those of arguments.
fn completed_for_fish(script: &str) -> String {
    let script = script.replace("\n    or return\n", "\n    or return 0\n");
    let using = "complete -c psstat -n \"__fish_psstat_using_subcommand";
    let shells: Vec<String> = Shell::value_variants().iter().map(Shell::to_string).collect();
    let shells = shells.join(" ");
    format!("{script}{using} completions\" -f -a \"{shells}\"\n{using} man\" -f\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_have_every_option_in_every_shell() {
        let mut definition = cli::definition();
        definition.build();
        let commands = definition.get_subcommands().chain([&definition]);
        let options: Vec<&str> =
            commands.flat_map(Command::get_arguments).filter_map(Arg::get_long).collect();
        assert!(options.contains(&"interval") && options.contains(&"pid-file"), "{options:?}");
        for &shell in Shell::value_variants() {
            let script = script(shell);
            for option in &options {
                assert!(script.contains(option), "{shell}: {option} is missing");
            }
            assert!(script.contains("shared-once"), "{shell}: values are missing");
        }
    }

    #[test]
    fn a_shell_completes_paths_and_users() {
        let mut definition = cli::definition();
        definition.build();
        let definition = hinted(definition);
        let hint = |command: &Command, id: &str| {
            command.get_arguments().find(|arg| arg.get_id() == id).map(Arg::get_value_hint)
        };
        let execd = definition.find_subcommand("execd").unwrap();
        for command in [&definition, execd] {
            for id in ["config", "output", "pid-file"] {
                assert_eq!(hint(command, id), Some(ValueHint::FilePath), "{id}");
            }
            for id in ["cache_dir", "proc", "sys"] {
                assert_eq!(hint(command, id), Some(ValueHint::DirPath), "{id}");
            }
            assert_eq!(hint(command, "user"), Some(ValueHint::Username));
        }
    }
}
