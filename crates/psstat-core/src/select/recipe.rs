//! Makes names of groups, from [templates](super::template) and what a selector matched.

use super::matcher::{self, PatternError};
use super::selector::{Conditions, PathPattern, Source};
use super::systemd;
use super::template::{Piece, Template};
use crate::model::label::{Label, excerpt};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use regex::bytes::{Captures, Regex};
use thiserror::Error;

/// The longest name that a template makes, in bytes. A command line can have any length.
const LONGEST_NAME: usize = 255;

/// The longest match whose named groups have values, in bytes. Finding where a regex matches takes one pass
/// over the text. Finding what its groups match takes a much slower one, over the match: whoever chooses a
/// command line must not make it long.
const LONGEST_MATCH: usize = 4096;

/// What stands for a placeholder without a value.
const NO_VALUE: &[u8] = b"?";

/// What a placeholder can show of a process or control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// The name of the process.
    Name,
    /// Its command line.
    Cmdline,
    /// The path of its executable.
    Exe,
    /// The name of its effective user, or its number if it has no name.
    User,
    /// The path of its control group, without a slash at either end.
    ControlGroup,
    /// The id of the unit that its control group is in.
    Unit,
}

impl Attribute {
    const ALL: [Attribute; 6] = [
        Attribute::Name,
        Attribute::Cmdline,
        Attribute::Exe,
        Attribute::User,
        Attribute::ControlGroup,
        Attribute::Unit,
    ];

    /// Whether only a process has it, and not a control group as a whole.
    fn is_of_process(self) -> bool {
        !matches!(self, Attribute::ControlGroup | Attribute::Unit)
    }
}

/// The values of the placeholders that every template can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Comm,
    Exe,
    User,
    Unit,
    Instance,
    ControlGroup,
}

impl Known {
    const ALL: [(&str, Known); 6] = [
        ("comm", Known::Comm),
        ("exe", Known::Exe),
        ("user", Known::User),
        ("unit", Known::Unit),
        ("instance", Known::Instance),
        ("cgroup", Known::ControlGroup),
    ];

    fn named(word: &str) -> Option<Known> {
        Known::ALL.into_iter().find(|(name, _)| *name == word).map(|(_, known)| known)
    }

    fn attribute(self) -> Attribute {
        match self {
            Known::Comm => Attribute::Name,
            Known::Exe => Attribute::Exe,
            Known::User => Attribute::User,
            Known::Unit | Known::Instance => Attribute::Unit,
            Known::ControlGroup => Attribute::ControlGroup,
        }
    }

    /// The value, given that of its attribute.
    fn value(self, attribute: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Known::Unit => systemd::display_name(attribute).into(),
            Known::Instance => {
                let id = core::str::from_utf8(attribute).ok();
                let template = id.and_then(systemd::Template::of);
                template.map_or(&b""[..], |template| template.instance().as_bytes()).into()
            }
            Known::ControlGroup if attribute.is_empty() => b"/"[..].into(),
            _ => attribute.into(),
        }
    }
}

/// Why a template cannot make names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// There is no such placeholder.
    #[error(
        "name {name:?}: nothing is called {{{placeholder}}}: use {}, or a named group of the regex, as in \
         (?P<{placeholder}>[a-z]+)",
        all()
    )]
    Unknown {
        /// The name, shortened if it is long.
        name: String,
        /// The word in the braces, shortened if it is long.
        placeholder: String,
    },
    /// It shows a property of a process, and the selector picks control groups as a whole.
    #[error(
        "name {name:?}: {{{placeholder}}} is a property of a process, and this selects whole units or \
         control groups: use {{unit}}, {{instance}} or {{cgroup}}, or a named group of a cgroup_regex"
    )]
    OfProcess {
        /// The name, shortened if it is long.
        name: String,
        /// The word in the braces.
        placeholder: String,
    },
    /// A regex is malformed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

fn all() -> String {
    let names = Known::ALL.map(|(name, _)| ["{", name, "}"].concat());
    names.join(", ")
}

/// A template whose placeholders are known to have values.
#[derive(Clone, Debug)]
pub struct Recipe {
    parts: Vec<Part>,
    /// The regexes that parts are captured with, each with what it is matched against.
    regexes: Vec<(Attribute, Regex)>,
    /// What its parts are made of, sorted.
    attributes: Vec<Attribute>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Known(Known),
    Capture {
        /// Index of the regex.
        regex: usize,
        /// Index of the group in it.
        group: usize,
    },
}

impl Recipe {
    /// Finds out what the placeholders of a selector mean. A named group of one of its regexes comes before a
    /// property of the same name.
    ///
    /// # Errors
    /// [`TemplateError`] if a placeholder means nothing.
    pub fn new(
        template: &Template,
        source: &Source,
        conditions: &Conditions,
    ) -> Result<Recipe, TemplateError> {
        let regexes = regexes(source, conditions)?;
        let is_whole = source.is_control_group() && conditions.is_empty();
        let part = |piece: &Piece| {
            let word = match piece {
                Piece::Text(text) => return Ok(Part::Text(text.clone())),
                Piece::Placeholder(word) => word,
            };
            let captured = regexes.iter().enumerate().find_map(|(index, (_, regex))| {
                let group = regex.capture_names().position(|name| name == Some(word))?;
                Some(Part::Capture { regex: index, group })
            });
            if let Some(captured) = captured {
                return Ok(captured);
            }
            let name = || excerpt(template.as_str()).into_owned();
            match Known::named(word) {
                Some(known) if is_whole && known.attribute().is_of_process() => {
                    Err(TemplateError::OfProcess { name: name(), placeholder: word.clone() })
                }
                Some(known) => Ok(Part::Known(known)),
                None => Err(TemplateError::Unknown {
                    name: name(),
                    placeholder: excerpt(word).into_owned(),
                }),
            }
        };
        let parts: Vec<Part> = template.pieces().iter().map(part).collect::<Result<_, _>>()?;
        let is_used = |&attribute: &Attribute| {
            parts.iter().any(|part| match part {
                Part::Text(_) => false,
                Part::Known(known) => known.attribute() == attribute,
                Part::Capture { regex, .. } => regexes[*regex].0 == attribute,
            })
        };
        let attributes = Attribute::ALL.into_iter().filter(is_used).collect();
        Ok(Recipe { parts, regexes, attributes })
    }

    /// What must be known of a process or control group to name its group.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// Whether a part is captured with the regex with that index.
    fn captures_with(&self, index: usize) -> bool {
        let is_captured =
            |part: &Part| matches!(part, Part::Capture { regex, .. } if *regex == index);
        self.parts.iter().any(is_captured)
    }

    /// The name for a process or control group. `value` returns its attributes, `None` for one that it does
    /// not have. A placeholder without a value becomes `?`.
    pub fn name<'v>(&self, value: impl Fn(Attribute) -> Option<&'v [u8]>) -> Label {
        let captures: Vec<_> = self
            .regexes
            .iter()
            .enumerate()
            .map(|(index, (attribute, regex))| {
                let text = value(*attribute).filter(|_| self.captures_with(index))?;
                captures(regex, text)
            })
            .collect();
        let mut name: Vec<u8> = Vec::new();
        for part in &self.parts {
            let text: Option<Cow<'_, [u8]>> = match part {
                Part::Text(text) => Some(text.as_bytes().into()),
                Part::Known(known) => {
                    value(known.attribute()).map(|attribute| known.value(attribute))
                }
                Part::Capture { regex, group } => {
                    let captures = captures[*regex].as_ref();
                    captures.and_then(|all| all.get(*group)).map(|one| one.as_bytes().into())
                }
            };
            name.extend_from_slice(
                text.as_deref().filter(|text| !text.is_empty()).unwrap_or(NO_VALUE),
            );
        }
        let label = Label::lossy(&name);
        if label.as_str().len() <= LONGEST_NAME {
            return label;
        }
        let end = label.as_str().floor_char_boundary(LONGEST_NAME);
        Label::lossy(&label.as_str().as_bytes()[..end])
    }
}

/// What the groups of a regex match. `None` if it matches nothing, or more than [`LONGEST_MATCH`].
fn captures<'t>(regex: &Regex, text: &'t [u8]) -> Option<Captures<'t>> {
    let found = regex.find(text).filter(|found| found.len() <= LONGEST_MATCH)?;
    // The whole text is given, so that `^`, `\b` and `$` mean the same as before.
    regex.captures_at(text, found.start())
}

/// The regexes of a selector that have named groups, each with what it is matched against.
fn regexes(
    source: &Source,
    conditions: &Conditions,
) -> Result<Vec<(Attribute, Regex)>, PatternError> {
    let Conditions { pattern, cmdline, exe, user: _ } = conditions;
    let of_path = |pattern: Option<&PathPattern>| match pattern {
        Some(PathPattern::Regex(regex)) => Some(regex.clone()),
        Some(PathPattern::Glob(_)) | None => None,
    };
    let control_group = match source {
        Source::ControlGroup(pattern) => Some(pattern),
        _ => None,
    };
    let all = [
        (Attribute::Name, pattern.clone()),
        (Attribute::Cmdline, cmdline.clone()),
        (Attribute::Exe, of_path(exe.as_ref())),
        (Attribute::ControlGroup, of_path(control_group)),
    ];
    let compiled = all.into_iter().filter_map(|(attribute, text)| Some((attribute, text?)));
    let compiled = compiled
        .map(|(attribute, text)| Ok((attribute, matcher::regex(&text)?)))
        .collect::<Result<Vec<_>, PatternError>>()?;
    let has_names =
        |(_, regex): &(Attribute, Regex)| regex.capture_names().flatten().next().is_some();
    Ok(compiled.into_iter().filter(has_names).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn conditions(pattern: Option<&str>, cmdline: Option<&str>, exe: Option<&str>) -> Conditions {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let exe = text(exe).map(PathPattern::Regex);
        Conditions { pattern: text(pattern), cmdline: text(cmdline), exe, user: None }
    }

    fn recipe(name: &str, source: Source, conditions: &Conditions) -> Result<Recipe, String> {
        let template = Template::parse(name).expect("it has placeholders");
        Recipe::new(&template, &source, conditions).map_err(|error| error.to_string())
    }

    fn value(attribute: Attribute) -> Option<&'static [u8]> {
        Some(match attribute {
            Attribute::Name => b"java",
            Attribute::Cmdline => b"java -Dapp=shop -Dzone=eu-1 Main",
            Attribute::Exe => b"/usr/lib/jvm/bin/java",
            Attribute::User => b"web",
            Attribute::ControlGroup => b"system.slice/system-app.slice/app@7.service",
            Attribute::Unit => b"app@7.service",
        })
    }

    #[test]
    fn a_name_is_made_of_captures_and_properties() {
        let captures =
            conditions(None, Some("-Dapp=(?P<app>[\\w-]+)"), Some("bin/(?P<base>[^/]+)$"));
        for (name, expected) in [
            ("java-{app}", "java-shop"),
            ("{app}", "shop"),
            ("{comm}/{user}@{app}", "java/web@shop"),
            ("{base}:{exe}", "java:/usr/lib/jvm/bin/java"),
            ("{unit}", "app@7"),
            ("{instance} of {cgroup}", "7 of system.slice/system-app.slice/app@7.service"),
            ("{{app}}", "{shop}"),
            ("{3}{app}{", "{3}shop{"),
        ] {
            let recipe = recipe(name, Source::All, &captures).unwrap();
            assert_eq!(recipe.name(value).as_str(), expected, "{name}");
        }
    }

    #[test]
    fn a_placeholder_without_a_value_is_a_question_mark() {
        let captures = conditions(None, Some("app=(?P<app>x)?(?P<all>[a-z]*)"), None);
        let name = |name: &str, value: fn(Attribute) -> Option<&'static [u8]>| {
            recipe(name, Source::All, &captures).unwrap().name(value).to_string()
        };
        assert_eq!(name("a-{app}-{all}", value), "a-?-shop");
        assert_eq!(name("{user}-{unit}-{app}", |_| None), "?-?-?");
        let unit = |_: Attribute| Some(&b"cron.service"[..]);
        assert_eq!(name("{instance}", unit), "?");
        assert_eq!(name("{cgroup}", |_| Some(b"")), "/");
    }

    #[test]
    fn a_match_that_is_too_long_has_no_values() {
        let name = |regex: &str, line: &str| {
            let recipe = recipe("{app}", Source::All, &conditions(None, Some(regex), None));
            recipe.unwrap().name(|_| Some(line.as_bytes())).to_string()
        };
        let line = |length: usize| ["java -Dapp=", &"x".repeat(length), " Main"].concat();
        let regex = "-Dapp=(?P<app>[a-z]+)";
        let longest = LONGEST_MATCH - "-Dapp=".len();
        assert_eq!(name(regex, &line(longest)), "x".repeat(LONGEST_NAME));
        assert_eq!(name(regex, &line(longest + 1)), "?");
        assert_eq!(name(regex, &line(250_000)), "?");
        // A short match in a long text has values, and knows what is around it.
        let long = ["xapp=no ", &"y ".repeat(100_000), "app=shop"].concat();
        assert_eq!(name(r"\bapp=(?P<app>\w+)", &long), "shop");
        assert_eq!(name(r"(?P<app>\w+)$", &long), "shop");
        assert_eq!(name(r"^(?P<app>\w+)=", &long), "xapp");
        assert_eq!(name(r"\By(?P<app>x?)", &long), "?", "`y` is never inside a word");
    }

    #[test]
    fn an_unknown_placeholder_is_an_error_with_a_cure() {
        let captures = conditions(Some("(?P<first>.)"), None, None);
        let error = recipe("x-{app}", Source::All, &captures).unwrap_err();
        assert_eq!(
            error,
            "name \"x-{app}\": nothing is called {app}: use {comm}, {exe}, {user}, {unit}, \
             {instance}, {cgroup}, or a named group of the regex, as in (?P<app>[a-z]+)"
        );
        let unit = || Source::Unit("a@*".to_owned());
        let error = recipe("{comm}", unit(), &Conditions::default()).unwrap_err();
        assert!(error.starts_with("name \"{comm}\": {comm} is a property of a process"), "{error}");
        assert!(recipe("{comm}", unit(), &captures).is_ok(), "it picks processes in units");
        assert!(recipe("{instance}", unit(), &Conditions::default()).is_ok());
    }

    proptest! {
        #[test]
        fn any_name_is_short_and_printable(values in proptest::collection::vec(any::<u8>(), 0..600)) {
            let recipe = recipe("{comm}-{user}", Source::All, &Conditions::default()).unwrap();
            let name = recipe.name(|_| Some(&values));
            prop_assert!(name.as_str().len() <= LONGEST_NAME);
            prop_assert_eq!(&Label::lossy(name.as_str().as_bytes()), &name);
        }
    }
}
