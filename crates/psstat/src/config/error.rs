//! What can be wrong with a configuration file, and how to fix it.

use super::variables::VariableError;
use crate::settings::{TagError, ValueError};
use psstat_core::model::label::Label;
use psstat_core::select::matcher::PatternError;
use psstat_core::select::recipe::TemplateError;
use std::path::PathBuf;
use thiserror::Error;

/// At most so many selectors are made of one group.
pub const MOST_COMBINATIONS: usize = 1000;

/// Why a configuration file was refused: all that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// These errors, in the order of the files and of their lines. `None` if there is none.
    pub fn new(mut errors: Vec<ConfigError>, files: &[PathBuf]) -> Option<ConfigErrors> {
        errors.sort_by_cached_key(|error| {
            (files.iter().position(|path| *path == error.path), error.line)
        });
        if errors.is_empty() { None } else { Some(ConfigErrors(errors)) }
    }

    /// The errors, in the order of the files and of their lines.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

/// One thing that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}:{line}: {problem}", path.display())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at a place of the file, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// There are so many mistakes that the search was given up.
    #[error("there may be more mistakes: fix those above first")]
    TooMany,
    /// It is not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// A key is there twice.
    #[error("duplicate key {0}: remove one of the two")]
    DuplicateKey(String),
    /// A key that means nothing.
    #[error("unknown key {key:?} {place}: {}", cure(*suggestion, known))]
    UnknownKey {
        /// The key, shortened if it is long.
        key: String,
        /// Where it is.
        place: &'static str,
        /// What the user may have meant.
        suggestion: Option<&'static str>,
        /// The keys that may be there.
        known: &'static [&'static str],
    },
    /// A key of a group at the top of the file.
    #[error("{0} is a key of a group: move it below a [[group]] line")]
    BelongsInGroup(&'static str),
    /// An option in a group.
    #[error("{0} is not a key of a group: move it to the top of the file, above the first [table]")]
    BelongsAtTop(&'static str),
    /// An option among tags.
    #[error(
        "{0} is an option, and below [tags] it would be a tag: move it to the top of the file, above the \
         first [table]; if you mean a tag, write tags = {{ {0} = \"...\" }}"
    )]
    OptionAmongTags(&'static str),
    /// An option in an included file.
    #[error("{}", not_in_included(.0))]
    OptionInIncluded(&'static str),
    /// A file that is to be included cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file, or the glob.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// An environment variable has no value.
    #[error(transparent)]
    Variable(VariableError),
    /// A value of the wrong type.
    #[error("{key} must be {expected}, as in {key} = {example}; this is of type {found}")]
    Type {
        /// The key, shortened if it is long.
        key: String,
        /// The right type.
        expected: &'static str,
        /// A right value.
        example: &'static str,
        /// The type that was found.
        found: &'static str,
    },
    /// `group` is not an array of tables.
    #[error("write a group as [[group]], with two brackets")]
    GroupBrackets,
    /// `tags` is not a table.
    #[error("tags must be a table, as in [tags] or tags = {{ env = \"production\" }}")]
    TagsNotTable,
    /// A value of the right type that makes no sense.
    #[error("bad {key} {value}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value as written, shortened if it is long.
        value: String,
        /// What is wrong with it.
        reason: ValueError,
    },
    /// A regex or glob is not well formed.
    #[error("{key}: {reason}")]
    Pattern {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        reason: PatternError,
    },
    /// A name with placeholders cannot be made.
    #[error(transparent)]
    Template(TemplateError),
    /// A key that only a name with placeholders gives a meaning.
    #[error("{0} has no meaning without a name with placeholders, as in name = \"java-{{app}}\"")]
    NoTemplate(&'static str),
    /// A tag makes no sense.
    #[error("bad tag {key:?}: {reason}")]
    Tag {
        /// The tag's key, shortened if it is long.
        key: String,
        /// What is wrong with it.
        reason: TagError,
    },
    /// A group has two sources, or two patterns for one path.
    #[error(
        "{second} beside {first}: a [[group]] has one of these; to add to the group, write a second \
         [[group]] with the same name"
    )]
    TwoSources {
        /// The source that comes first.
        first: &'static str,
        /// The other one.
        second: &'static str,
    },
    /// The lists of a group make too many combinations.
    #[error(
        "the lists of this [[group]] make {0} combinations, and at most {most} are allowed: write several \
         [[group]]s with the same name",
        most = MOST_COMBINATIONS
    )]
    TooManyCombinations(usize),
    /// A group has neither a source nor a condition.
    #[error(
        "this [[group]] selects nothing: add a pid, pid_file, systemd, cgroup, pattern, cmdline, exe \
         or user; pattern = '.*' selects every process"
    )]
    SelectsNothing,
    /// `children = false` in a group of whole control groups.
    #[error(
        "children = false has no meaning for a whole unit or control group: add a pattern, cmdline, \
         exe or user, or remove it"
    )]
    NoChildrenToLeaveOut,
    /// Two parts of one group have different values of a tag.
    #[error(
        "tag {0} has another value in another [[group]] of the same name: they make one group with \
         one line, so use one value"
    )]
    TagConflict(Label),
    /// Two parts of one group have different fields.
    #[error(
        "fields differ from those of another [[group]] of the same name: they make one group with one line, so \
         give the list once"
    )]
    FieldsConflict,
}

fn not_in_included(key: &str) -> String {
    match key {
        "tags" => "tags of every line belong into the file that includes this one; those of a group are in its \
                   [[group]], as in tags = { team = \"web\" }"
            .to_owned(),
        _ => format!("{key} is an option: move it into the file that includes this one, which has only groups"),
    }
}

fn cure(suggestion: Option<&str>, known: &[&str]) -> String {
    match suggestion {
        Some(word) => format!("did you mean {word}?"),
        None => format!("the keys are {}", known.join(", ")),
    }
}
