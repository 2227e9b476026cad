//! What is to be done, validated: nothing in a [`Plan`] is optional that could still be wrong.
//!
//! Whoever makes a plan (the command line, the configuration file) goes through these types, so
//! that a bad regex or tag is found before anything is read.

use crate::account::group::Report;
use crate::account::memory::MemoryMode;
use crate::emit::{Emission, Field, Format};
use crate::label::{Label, Tags};
use crate::matcher::Matcher;
use crate::selector::{Selector, Source};
use crate::units::WallNanos;
use std::collections::BTreeMap;

/// FNV-1a, 64 bits: the same in every version of psstat, which the standard library's hashes do
/// not promise.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A whole job.
#[derive(Debug)]
pub struct Plan {
    /// In the order typed.
    pub selectors: Vec<Selector>,
    /// The regexes to be matched against names.
    pub patterns: Matcher,
    /// The regexes to be matched against command lines.
    pub cmdlines: Matcher,
    /// The globs to be matched against paths of executables.
    pub exes: Matcher,
    /// The globs to be matched against unit ids.
    pub units: Matcher,
    /// The globs to be matched against paths of control groups.
    pub control_groups: Matcher,
    /// The tags of the lines of each selector's groups, `host` first.
    pub tags: Vec<Tags>,
    /// How memory is summed.
    pub memory: MemoryMode,
    /// What is written of each group, in that order.
    pub fields: Vec<Field>,
    /// In which format.
    pub format: Format,
}

impl Plan {
    /// Puts a plan together. `tags` are those of every line, `host` first.
    ///
    /// # Errors
    /// The text says what is wrong and how to mend it: no selector, or a bad regex.
    pub fn new(
        selectors: Vec<Selector>,
        tags: Vec<(Label, Label)>,
        memory: MemoryMode,
    ) -> Result<Plan, String> {
        if selectors.is_empty() {
            return Err("nothing to measure: name at least one process, as in --pid-file \
                        /run/nginx.pid or --pattern nginx (see psstat --help)"
                .to_owned());
        }
        let of = |value: fn(&Selector) -> Option<&String>| {
            let selectors = selectors.iter().enumerate();
            selectors.filter_map(move |(at, selector)| Some((at, value(selector)?.as_str())))
        };
        let units = of(|selector| match &selector.source {
            Source::Unit(glob) => Some(glob),
            _ => None,
        });
        let control_groups = of(|selector| match &selector.source {
            Source::ControlGroup(glob) => Some(glob),
            _ => None,
        });
        Ok(Plan {
            patterns: Matcher::of_regexes(of(|picked| picked.conditions.pattern.as_ref()))?,
            cmdlines: Matcher::of_regexes(of(|picked| picked.conditions.cmdline.as_ref()))?,
            exes: Matcher::of_globs(of(|picked| picked.conditions.exe.as_ref()))?,
            units: Matcher::of_globs(units)?,
            control_groups: Matcher::of_globs(control_groups)?,
            tags: tags_of(&selectors, &tags),
            selectors,
            memory,
            fields: Field::DEFAULT.to_vec(),
            format: Format::default(),
        })
    }

    /// The same plan, written otherwise.
    pub fn written(self, fields: Vec<Field>, format: Format) -> Plan {
        Plan { fields, format, ..self }
    }

    /// Whether any of these is written, so that what it takes must be read.
    pub fn asks_for(&self, fields: &[Field]) -> bool {
        fields.iter().any(|field| self.fields.contains(field))
    }

    /// The text of a sample of this plan.
    pub fn text(&self, reports: &[Report], taken: WallNanos) -> String {
        let emission = Emission { reports, tags: &self.tags, fields: &self.fields, taken };
        emission.text(self.format)
    }

    /// Whether processes are looked for, and not control groups alone.
    pub fn looks_at_processes(&self) -> bool {
        !self.selectors.iter().all(Selector::takes_control_groups)
    }

    /// Whether any process may become a root by what it does: takes a name, a user, an executable.
    pub fn names_pick(&self) -> bool {
        self.selectors.iter().any(|selector| selector.source == Source::All)
    }

    /// Whether control groups must be looked at.
    pub fn looks_at_control_groups(&self) -> bool {
        !self.units.is_empty() || !self.control_groups.is_empty()
    }
}

/// The tags of the lines of each selector: those of every line, then those of all selectors that
/// make the same group. Of one key the group's own value holds, in the place of the other.
fn tags_of(selectors: &[Selector], common: &[(Label, Label)]) -> Vec<Tags> {
    let mut of_groups: BTreeMap<&Label, Vec<&(Label, Label)>> = BTreeMap::new();
    for selector in selectors {
        if let Some(name) = &selector.name {
            of_groups.entry(name).or_default().extend(&selector.tags);
        }
    }
    let of_groups: BTreeMap<&Label, Tags> =
        of_groups.into_iter().map(|(name, own)| (name, with_own(common, own))).collect();
    let tags = |selector: &Selector| match &selector.name {
        Some(name) => of_groups[name].clone(),
        None => with_own(common, &selector.tags),
    };
    selectors.iter().map(tags).collect()
}

fn with_own<'t>(
    common: &[(Label, Label)],
    own: impl IntoIterator<Item = &'t (Label, Label)>,
) -> Tags {
    let mut tags = common.to_vec();
    let mut has_host = common.iter().any(|(key, _)| key.as_str() == "host");
    for (key, value) in own {
        match tags.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => known.clone_from(value),
            None if key.as_str() == "host" && !has_host => {
                tags.insert(0, (key.clone(), value.clone()));
                has_host = true;
            }
            None => tags.push((key.clone(), value.clone())),
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        Label::lossy(text.as_bytes())
    }

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| (label(key), label(value))).collect()
    }

    fn selector(name: Option<&str>, own: &[(&str, &str)]) -> Selector {
        let selector = Selector::new(name.map(label), Source::Unit("x".to_owned()));
        Selector { tags: tags(own), ..selector }
    }

    #[test]
    fn a_groups_own_tags_come_behind_those_of_every_line() {
        let selectors = vec![
            selector(Some("web"), &[("team", "a")]),
            selector(Some("db"), &[("env", "test"), ("host", "box")]),
            selector(None, &[("z", "1")]),
            selector(Some("web"), &[("tier", "2")]),
            selector(None, &[]),
        ];
        let common = tags(&[("host", "tengu"), ("env", "live")]);
        let plan = Plan::new(selectors.clone(), common, MemoryMode::Rss).unwrap();
        let web = tags(&[("host", "tengu"), ("env", "live"), ("team", "a"), ("tier", "2")]);
        assert_eq!(plan.tags[0], web);
        assert_eq!(plan.tags[1], tags(&[("host", "box"), ("env", "test")]));
        assert_eq!(plan.tags[2], tags(&[("host", "tengu"), ("env", "live"), ("z", "1")]));
        assert_eq!(plan.tags[3], web, "one group, one set of tags");
        assert_eq!(plan.tags[4], tags(&[("host", "tengu"), ("env", "live")]));
        let plan = Plan::new(selectors, tags(&[("env", "live")]), MemoryMode::Rss).unwrap();
        assert_eq!(plan.tags[1], tags(&[("host", "box"), ("env", "test")]), "host comes first");
    }

    #[test]
    fn processes_are_looked_for_in_control_groups_only_under_a_condition() {
        let plan = |selector| Plan::new(vec![selector], Vec::new(), MemoryMode::Rss).unwrap();
        let whole = plan(selector(None, &[]));
        assert!(!whole.looks_at_processes() && whole.looks_at_control_groups());
        let mut bound = selector(None, &[]);
        bound.conditions.pattern = Some("x".to_owned());
        let bound = plan(bound);
        assert!(bound.looks_at_processes() && bound.looks_at_control_groups());
        assert!(!bound.names_pick(), "all that may become a root is in the control group");
    }
}
