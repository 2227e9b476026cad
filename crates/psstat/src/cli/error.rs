//! What can be wrong with the command line, and how to fix it.

use crate::config::ConfigErrors;
use crate::files::config::ReadConfigError;
use crate::settings::{JobError, TagError, ValueError, alternatives};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use psstat_core::model::label::excerpt;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the command line, or the configuration file that it names, makes no sense.
#[derive(Debug, Error)]
pub enum UsageError {
    /// An argument is wrong.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The configuration file cannot be read.
    #[error("cannot read --config {}: {source}", path.display())]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ReadConfigError,
    },
    /// The configuration file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Neither the configuration file nor the command line selects anything.
    #[error(
        "{}: nothing to measure: add a [[group]] line and below it, for example, \
         pid_file = \"/run/nginx.pid\"",
        path.display()
    )]
    NoGroup {
        /// The file.
        path: PathBuf,
    },
    /// Each setting is right, but together they make no job.
    #[error(transparent)]
    Job(#[from] JobError),
}

/// What is wrong with an argument, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgumentError {
    /// An argument that nothing explains.
    #[error("unexpected argument '{argument}': {}", cure(suggestion.as_deref(), command))]
    Unexpected {
        /// The argument.
        argument: String,
        /// What the user may have meant.
        suggestion: Option<String>,
        /// The command that refused it.
        command: String,
    },
    /// An option at the end of the command line, or with an empty value.
    #[error("{} needs a value, as in {option}", option_name(option))]
    MissingValue {
        /// The option with the name of its value.
        option: String,
    },
    /// The value of an option makes no sense.
    #[error("bad {option} {value:?}: {reason}")]
    Value {
        /// The option.
        option: String,
        /// Its value, shortened if it is long.
        value: String,
        /// What is wrong with it.
        reason: ValueError,
    },
    /// The value of an option is none of those that it takes.
    #[error("bad {option} {value:?}: use {}", alternatives(known))]
    UnknownValue {
        /// The option.
        option: String,
        /// Its value, shortened if it is long.
        value: String,
        /// The values that it takes.
        known: Vec<String>,
    },
    /// A tag makes no sense.
    #[error("bad --tag {value:?}: {reason}")]
    Tag {
        /// What was typed, shortened if it is long.
        value: String,
        /// What is wrong with it.
        reason: TagError,
    },
    /// A value for a switch.
    #[error("{option} takes no value: leave out '={value}'")]
    ValueOfSwitch {
        /// The option.
        option: String,
        /// The value, shortened if it is long.
        value: String,
    },
    /// An option that may be given once was given twice.
    #[error("{option} was given twice: give it once")]
    Repeated {
        /// The option.
        option: String,
    },
    /// An option that the command does not take.
    #[error("{command} does not take {option}: {cure}")]
    NotTaken {
        /// The command.
        command: &'static str,
        /// The option.
        option: &'static str,
        /// What to do instead.
        cure: &'static str,
    },
    /// `--sort` for a format that is no table.
    #[error("--sort orders the rows of a table: add --format table, or leave out --sort")]
    SortWithoutTable,
    /// An argument that the command needs is missing.
    #[error("{command} needs {argument}: see {command} --help")]
    MissingArgument {
        /// The command.
        command: String,
        /// The argument.
        argument: String,
    },
    /// Anything else that clap refuses, in its words.
    #[error("{message}: see {command} --help")]
    Other {
        /// What clap says.
        message: String,
        /// The command that refused it.
        command: String,
    },
}

fn cure(suggestion: Option<&str>, command: &str) -> String {
    match suggestion {
        Some(suggestion) => format!("did you mean {suggestion}?"),
        None => format!("see {command} --help"),
    }
}

/// The option for a configuration file, if the argument looks like one.
fn as_config_file(argument: &str) -> Option<String> {
    let is_toml = Path::new(argument).extension().is_some_and(|extension| extension == "toml");
    (is_toml && !argument.starts_with('-')).then(|| format!("--config {argument}"))
}

/// `--wait` of `--wait <DURATION>`, `SHELL` of `<SHELL>`, or `PAGE` of `[PAGE]`.
fn option_name(option: &str) -> &str {
    option.split(' ').next().unwrap_or(option).trim_matches(['<', '>', '[', ']'])
}

impl ArgumentError {
    /// What is wrong, if clap refused the arguments of `command` with this error.
    pub fn of_clap(error: &clap::Error, command: &str) -> ArgumentError {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(excerpt(text).into_owned()),
            Some(ContextValue::Strings(texts)) => texts.first().map(|text| excerpt(text).into()),
            _ => None,
        };
        let command = command.to_owned();
        let argument = text(ContextKind::InvalidArg).unwrap_or_default();
        let option = option_name(&argument).to_owned();
        let value = text(ContextKind::InvalidValue).unwrap_or_default();
        match error.kind() {
            ErrorKind::UnknownArgument => {
                let suggestion =
                    text(ContextKind::SuggestedArg).or_else(|| as_config_file(&argument));
                ArgumentError::Unexpected { argument, suggestion, command }
            }
            ErrorKind::InvalidSubcommand => {
                let argument = text(ContextKind::InvalidSubcommand).unwrap_or_default();
                let suggestion = text(ContextKind::SuggestedSubcommand)
                    .map(|meant| format!("{command} {meant}"))
                    .or_else(|| as_config_file(&argument));
                ArgumentError::Unexpected { argument, suggestion, command }
            }
            ErrorKind::InvalidValue if value.is_empty() => {
                ArgumentError::MissingValue { option: argument }
            }
            ErrorKind::InvalidValue => {
                let known = match error.get(ContextKind::ValidValue) {
                    Some(ContextValue::Strings(known)) => known.clone(),
                    _ => Vec::new(),
                };
                ArgumentError::UnknownValue { option, value, known }
            }
            ErrorKind::ValueValidation => {
                match error.source().and_then(|source| source.downcast_ref::<ValueError>()) {
                    Some(reason) => ArgumentError::Value { option, value, reason: reason.clone() },
                    None => ArgumentError::other(error, command),
                }
            }
            ErrorKind::TooManyValues => ArgumentError::ValueOfSwitch { option, value },
            ErrorKind::ArgumentConflict => ArgumentError::Repeated { option },
            ErrorKind::MissingRequiredArgument => {
                ArgumentError::MissingArgument { command, argument: option }
            }
            _ => ArgumentError::other(error, command),
        }
    }

    /// The first line of clap's message.
    fn other(error: &clap::Error, command: String) -> ArgumentError {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        let message = excerpt(first.trim_start_matches("error: ")).into_owned();
        ArgumentError::Other { message, command }
    }
}
