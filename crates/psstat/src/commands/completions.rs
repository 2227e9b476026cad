//! `psstat completions`: completions for shells, from the definition of the command line.

use crate::cli;
use crate::error::Error;
use crate::files::output;
use clap::ValueEnum;
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
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::definition(), "psstat", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Fish { completed_for_fish(&script) } else { script }
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
        let options: Vec<&str> = commands
            .flat_map(clap::Command::get_arguments)
            .filter_map(|arg| arg.get_long())
            .collect();
        assert!(options.contains(&"interval") && options.contains(&"pid-file"), "{options:?}");
        for &shell in Shell::value_variants() {
            let script = script(shell);
            for option in &options {
                assert!(script.contains(option), "{shell}: {option} is missing");
            }
            assert!(script.contains("shared-once"), "{shell}: values are missing");
        }
    }
}
