//! The manual page and the shell completions, made from the command line's own definition: what
//! they say is what is understood. Pure.

use crate::cli;
use clap::Command;
use clap_complete::Shell;

/// The subcommands that print a document.
pub const MAN: &str = "man";
/// As [`MAN`].
pub const COMPLETIONS: &str = "completions";

/// The manual page, as roff(7).
pub fn manual() -> String {
    let mut page = Vec::new();
    let manual = clap_mangen::Man::new(whole()).section("1").manual("User Commands");
    // Memory takes whatever is written to it.
    let _ = manual.render(&mut page);
    String::from_utf8_lossy(&page).into_owned()
}

/// The completions of one shell, to be put where that looks for them.
///
/// # Errors
/// The text names the shells that are known.
pub fn completions(shell: &str) -> Result<String, String> {
    let known: Shell = shell
        .parse()
        .map_err(|_| format!("bad shell {shell:?}: it is bash, elvish, fish, powershell or zsh"))?;
    let mut script = Vec::new();
    clap_complete::generate(known, &mut whole(), "psstat", &mut script);
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// The command line with all its subcommands.
fn whole() -> Command {
    let shell =
        clap::Arg::new("SHELL").required(true).help("bash, elvish, fish, powershell or zsh");
    cli::command()
        .subcommand(cli::execd_command().name(cli::EXECD))
        .subcommand(cli::check_command().name(cli::CHECK))
        .subcommand(Command::new(MAN).about("Print the manual page"))
        .subcommand(Command::new(COMPLETIONS).about("Print shell completions").arg(shell))
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
    fn the_manual_page_knows_every_option_of_one_sample() {
        let page = manual().replace("\\-", "-");
        assert!(page.starts_with(".ie"), "{page}");
        for option in cli::command().get_arguments() {
            let long = option.get_long().unwrap();
            assert!(page.contains(&format!("--{long}")), "--{long} is missing");
        }
        for name in [cli::EXECD, cli::CHECK, MAN, COMPLETIONS] {
            assert!(page.contains(name), "{name} is missing");
        }
    }

    #[test]
    fn completions_know_every_option_in_every_shell() {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let script = completions(shell).unwrap();
            for long in long_options() {
                assert!(script.contains(&long), "{shell}: {long} is missing");
            }
        }
        assert!(completions("tcsh").unwrap_err().contains("fish"));
    }
}
