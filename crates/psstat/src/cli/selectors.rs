//! The options that select processes, in the order typed.

use crate::settings::{self, Surroundings, ValueError};
use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use psstat_core::model::label::excerpt;
use psstat_core::select::selector::{
    self, Conditions, Naming, PathPattern, Selector, Source, split_name,
};
use psstat_core::select::template::Bound;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The selectors of a command line, in the order typed across their kinds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SelectorArgs(pub Vec<(SelectorKind, OsString)>);

/// An option that selects processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorKind {
    Pid,
    PidFile,
    Pattern,
    Systemd,
    Cmdline,
    Exe,
    User,
    Cgroup,
}

/// What the definition of the command line needs of a kind.
struct Row {
    /// The option, without dashes.
    option: &'static str,
    value_name: &'static str,
    help: &'static str,
}

/// The heading of the selectors in a help text.
pub const HEADING: &str =
    "Selectors (each may be repeated; at least one is required, here or in FILE)";

/// The same for the commands that show everything if there is no selector.
pub const HEADING_OF_OPTIONAL: &str = "Selectors (each may be repeated; without any, everything)";

/// The definition of an argument of a command that needs no selector.
pub fn as_optional(arg: Arg) -> Arg {
    let is_selector = arg.get_help_heading() == Some(HEADING);
    if is_selector { arg.help_heading(HEADING_OF_OPTIONAL) } else { arg }
}

impl SelectorKind {
    const ALL: [SelectorKind; 8] = [
        SelectorKind::Pid,
        SelectorKind::PidFile,
        SelectorKind::Pattern,
        SelectorKind::Cmdline,
        SelectorKind::Exe,
        SelectorKind::User,
        SelectorKind::Systemd,
        SelectorKind::Cgroup,
    ];

    fn row(self) -> Row {
        let (option, value_name, help) = match self {
            SelectorKind::Pid => ("pid", "[NAME:]PID", "The process with that pid"),
            SelectorKind::PidFile => (
                "pid-file",
                "[NAME:]PATH",
                "The process whose pid is on the first line of the file, or of\neach that matches a glob",
            ),
            SelectorKind::Pattern => (
                "pattern",
                "[NAME:]REGEX",
                "Every process whose name matches (comm: the first 15 bytes) (*)",
            ),
            SelectorKind::Cmdline => (
                "cmdline",
                "[NAME:]REGEX",
                "Every process whose command line matches (its arguments, joined\nby one space) (*)",
            ),
            SelectorKind::Exe => (
                "exe",
                "[NAME:]GLOB",
                "Every process whose executable's path matches (links resolved) (*)",
            ),
            SelectorKind::User => {
                ("user", "[NAME:]USER", "Every process of that effective user (name or uid) (*)")
            }
            SelectorKind::Systemd => (
                "systemd",
                "[NAME:]GLOB",
                "Every systemd unit whose id matches; nginx means nginx.service",
            ),
            SelectorKind::Cgroup => {
                ("cgroup", "[NAME:]GLOB", "Every control group whose path below the root matches")
            }
        };
        Row { option, value_name, help }
    }

    /// The option, without dashes.
    pub fn option(self) -> &'static str {
        self.row().option
    }

    fn arg(self) -> Arg {
        let Row { option, value_name, help } = self.row();
        Arg::new(option)
            .long(option)
            .value_name(value_name)
            .help(help)
            .help_heading(HEADING)
            .value_parser(OsStringValueParser::new())
            .action(ArgAction::Append)
    }

    /// What the value of this option selects.
    ///
    /// # Errors
    /// [`ValueError`] if the value makes no sense.
    pub fn selector(
        self,
        typed: &OsStr,
        surroundings: &Surroundings,
    ) -> Result<Selector, ValueError> {
        let (name, value) = self.split(typed)?;
        if let Some(name) = typed.to_str().and_then(selector::almost_name) {
            return Err(ValueError::AlmostName { name: excerpt(name).into_owned() });
        }
        let name = match name {
            None => Naming::Own,
            Some(name) => Naming::parse(name, Bound::default()).ok_or(ValueError::EmptyName)?,
        };
        if value.is_empty() {
            return Err(match (name, self) {
                (Naming::Own, _) => ValueError::Empty,
                (_, SelectorKind::Pattern | SelectorKind::Cmdline) => ValueError::NoRegexAfterName,
                _ => ValueError::NothingAfterName,
            });
        }
        let text = value.to_string_lossy().into_owned();
        let none = Conditions::default();
        Ok(match self {
            SelectorKind::Pid => Selector::new(name, Source::Pid(settings::pid(&text)?)),
            SelectorKind::PidFile => {
                Selector::new(name, Source::PidFile(value.as_bytes().to_vec()))
            }
            SelectorKind::Pattern => {
                Selector::of_all(name, Conditions { pattern: Some(text), ..none })
            }
            SelectorKind::Cmdline => {
                Selector::of_all(name, Conditions { cmdline: Some(text), ..none })
            }
            SelectorKind::Exe => {
                let exe = Some(PathPattern::Glob(text));
                Selector::of_all(name, Conditions { exe, ..none })
            }
            SelectorKind::User => {
                let user = settings::user(&text, surroundings);
                Selector::of_all(name, Conditions { user: Some(user), ..none })
            }
            SelectorKind::Systemd => Selector::new(name, settings::unit(&text)),
            SelectorKind::Cgroup => Selector::new(name, settings::control_group(&text)),
        })
    }

    /// Whether its value is a regex or a glob.
    pub fn has_brackets(self) -> bool {
        match self {
            SelectorKind::Pid | SelectorKind::PidFile | SelectorKind::User => false,
            SelectorKind::Pattern
            | SelectorKind::Systemd
            | SelectorKind::Cmdline
            | SelectorKind::Exe
            | SelectorKind::Cgroup => true,
        }
    }

    /// Whether there is a name, and the value after it begins with a space.
    pub fn has_space(self, typed: &OsStr) -> bool {
        let split = self.split(typed);
        split.is_ok_and(|(name, value)| name.is_some() && value.as_bytes().starts_with(b" "))
    }

    /// Splits `NAME:VALUE`.
    fn split(self, typed: &OsStr) -> Result<(Option<&str>, &OsStr), ValueError> {
        match typed.to_str() {
            Some(text) => {
                let (name, value) = split_name(text);
                Ok((name, OsStr::new(value)))
            }
            // A path need not be UTF-8.
            None if self == SelectorKind::PidFile => Ok(split_path(typed)),
            None => Err(ValueError::NotUtf8),
        }
    }
}

/// Splits `NAME:PATH`, where the path is not UTF-8.
fn split_path(typed: &OsStr) -> (Option<&str>, &OsStr) {
    let bytes = typed.as_bytes();
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    match split_name(valid) {
        (name, rest) if rest.len() < valid.len() => {
            (name, OsStr::from_bytes(&bytes[valid.len() - rest.len()..]))
        }
        _ => (None, typed),
    }
}

impl Args for SelectorArgs {
    fn augment_args(command: Command) -> Command {
        command.args(SelectorKind::ALL.map(SelectorKind::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        SelectorArgs::augment_args(command)
    }
}

impl FromArgMatches for SelectorArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<SelectorArgs, clap::Error> {
        let mut typed: Vec<(usize, SelectorKind, OsString)> = Vec::new();
        for kind in SelectorKind::ALL {
            let Some(values) = matches.get_many::<OsString>(kind.option()) else { continue };
            let indices = matches.indices_of(kind.option()).into_iter().flatten();
            typed.extend(indices.zip(values).map(|(index, value)| (index, kind, value.clone())));
        }
        typed.sort_unstable_by_key(|&(index, ..)| index);
        Ok(SelectorArgs(typed.into_iter().map(|(_, kind, value)| (kind, value)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = SelectorArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_an_option_of_its_own() {
        // Without a wildcard, so that a new kind must be added here and to `ALL`.
        let index = |kind| match kind {
            SelectorKind::Pid => 0,
            SelectorKind::PidFile => 1,
            SelectorKind::Pattern => 2,
            SelectorKind::Cmdline => 3,
            SelectorKind::Exe => 4,
            SelectorKind::User => 5,
            SelectorKind::Systemd => 6,
            SelectorKind::Cgroup => 7,
        };
        assert_eq!(SelectorKind::ALL.map(index), [0, 1, 2, 3, 4, 5, 6, 7]);
        let mut options = SelectorKind::ALL.map(SelectorKind::option);
        options.sort_unstable();
        assert!(options.windows(2).all(|two| two[0] != two[1]), "{options:?}");
    }
}
