//! What to measure and how to print it. A [`Plan`] is always valid: a bad regex or glob is an error
//! before anything is read.

use crate::emit::Format;
use crate::emit::emission::Emission;
use crate::emit::table::{Groups, Screen, Sort, Style};
use crate::field::{Field, Fields, Need};
use crate::model::collect;
use crate::model::label::{Label, Tags};
use crate::model::memory::MemoryMode;
use crate::model::report::Report;
use crate::model::units::WallNanos;
use crate::select::division::{Division, HIDDEN_REST};
use crate::select::selector::{Selector, Source};
use crate::select::selectors::{Selectors, SelectorsError};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use thiserror::Error;

/// What to measure and how to print it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The selectors, which pick the roots of the groups.
    pub selectors: Selectors,
    /// How groups share processes. `None` if they can overlap, and there is no rest.
    pub division: Option<Division>,
    /// The tags of each selector's lines, `host` first, without `process_name`.
    pub tags: Vec<Tags>,
    /// How memory is measured.
    pub memory: MemoryMode,
    /// The fields to measure: all that a group has.
    pub fields: Fields,
    /// The fields of each selector's lines, in the order to print.
    pub fields_of: Vec<Fields>,
    /// The format to print them in.
    pub format: Format,
    /// The order of the rows of a table. `None` is that of the groups.
    pub sort: Option<Sort>,
}

/// Why no plan could be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// There is no selector.
    #[error(
        "nothing to measure: give at least one selector, as in --pid-file /run/nginx.pid or \
         --pattern nginx (see psstat --help)"
    )]
    NoSelector,
    /// A regex or glob is malformed, or a placeholder in a name means nothing.
    #[error(transparent)]
    Selectors(#[from] SelectorsError),
}

/// How a plan prints and measures, apart from its selectors.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The tags of every line, `host` first.
    pub tags: Tags,
    /// How memory is measured.
    pub memory: MemoryMode,
    /// The fields to print of groups that have no list of their own.
    pub fields: Fields,
    /// The format to print them in.
    pub format: Format,
    /// The order of the rows of a table. `None` is that of the groups.
    pub sort: Option<Sort>,
    /// Whether each process belongs to one group at most.
    pub is_exclusive: bool,
    /// The name of the group that has all processes of no other group.
    pub rest: Option<Label>,
}

impl Plan {
    /// Makes a plan.
    ///
    /// # Errors
    /// [`PlanError`] if there is neither a selector nor a rest, a pattern is malformed, or a name cannot be made.
    pub fn new(mut selectors: Vec<Selector>, options: Options) -> Result<Plan, PlanError> {
        if selectors.is_empty() && options.rest.is_none() {
            return Err(PlanError::NoSelector);
        }
        let is_rest_hidden = options.is_exclusive && options.rest.is_none();
        let hidden = is_rest_hidden.then(|| Label::lossy(HIDDEN_REST.as_bytes()));
        let is_exclusive = options.is_exclusive;
        let rest = selectors.len();
        let division = options.rest.or(hidden).map(|name| {
            selectors.push(Selector::of_rest(name));
            Division { is_exclusive, rest, is_rest_hidden }
        });
        let fields_of = fields_of(&selectors, &options.fields);
        Ok(Plan {
            division,
            tags: tags_of(&selectors, &options.tags),
            selectors: Selectors::new(selectors)?,
            memory: options.memory,
            fields: all_of(&fields_of, &options.fields),
            fields_of,
            format: options.format,
            sort: options.sort,
        })
    }

    /// Whether each process belongs to one group at most.
    pub fn is_exclusive(&self) -> bool {
        self.division.is_some_and(|division| division.is_exclusive)
    }

    /// Whether that is the selector of a group that has no line.
    pub fn hides(&self, selector: usize) -> bool {
        self.division.is_some_and(|division| division.is_rest_hidden && division.rest == selector)
    }

    /// Whether a sample can read files of processes whose reading can block for ever.
    pub fn asks_processes(&self) -> bool {
        let reads_maps = matches!(self.memory, MemoryMode::Auto | MemoryMode::Pss)
            && self.fields.need(Need::Memory);
        let reads_fields = self.fields.need(Need::Storage) || self.fields.need(Need::OpenFiles);
        let asks = |selector: &Selector| selector.conditions.cmdline.is_some();
        let asks_for_roots = self.selectors.read_executables() || self.selectors.iter().any(asks);
        reads_maps || reads_fields || asks_for_roots
    }

    /// The tags of the group with that name. None if no selector has the name, as with placeholders.
    pub fn tags_of(&self, name: &Label) -> &[(Label, Label)] {
        let index = self.selectors.iter().position(|selector| selector.name() == Some(name));
        index.and_then(|index| self.tags.get(index)).map_or(&[], |tags| tags)
    }

    /// The fields that no group can have, because only control groups have them and no selector picks any.
    pub fn pointless_fields(&self) -> Vec<Field> {
        if self.selectors.iter().any(Selector::takes_control_groups) {
            return Vec::new();
        }
        let fields = self.fields.as_slice().iter().copied();
        fields.filter(|field| field.is_of_control_groups()).collect()
    }

    /// The pid files that a sample reads.
    pub fn pid_files(&self) -> impl Iterator<Item = &[u8]> {
        self.selectors.iter().filter_map(|selector| match &selector.source {
            Source::PidFile(path) => Some(&path[..]),
            _ => None,
        })
    }

    /// The output of a sample that was taken at `taken`: whole lines, or nothing. A table has no total,
    /// and any width.
    pub fn text(&self, reports: &[Report], taken: WallNanos) -> String {
        self.text_on(Screen::default(), reports, taken, Groups::default())
    }

    /// The same, for a screen, and with what else is known of the groups. Both matter to a table alone. A table
    /// has a total if no process is in two groups.
    pub fn text_on(
        &self,
        screen: Screen,
        reports: &[Report],
        taken: WallNanos,
        groups: Groups<'_>,
    ) -> String {
        let Plan { tags, fields, fields_of, .. } = self;
        let emission = Emission { reports, tags, fields, fields_of, taken };
        let style = Style { sort: self.sort, memory: self.memory, groups, screen };
        self.format.text(&emission, &style)
    }
}

/// The tags of the lines of each selector: the common tags, then the tags of all selectors of the
/// same group. If both have the same key, the group's value replaces the common value.
fn tags_of(selectors: &[Selector], common: &[(Label, Label)]) -> Vec<Tags> {
    let mut of_groups: BTreeMap<&Label, Vec<&(Label, Label)>> = BTreeMap::new();
    for selector in selectors {
        if let Some(name) = selector.name() {
            of_groups.entry(name).or_default().extend(&selector.tags);
        }
    }
    let of_groups: BTreeMap<&Label, Tags> =
        collect::map(of_groups.into_iter().map(|(name, own)| (name, with_own(common, own))));
    let tags = |selector: &Selector| match selector.name() {
        Some(name) => of_groups[name].clone(),
        None => with_own(common, &selector.tags),
    };
    selectors.iter().map(tags).collect()
}

/// The fields of the lines of each selector: its own, those of another selector of the same group, or the
/// common ones.
fn fields_of(selectors: &[Selector], common: &Fields) -> Vec<Fields> {
    let mut of_groups: BTreeMap<&Label, &Fields> = BTreeMap::new();
    for selector in selectors {
        if let (Some(name), Some(fields)) = (selector.name(), &selector.fields) {
            of_groups.entry(name).or_insert(fields);
        }
    }
    let of_group = |selector: &Selector| of_groups.get(selector.name()?).copied().cloned();
    let own = |selector: &Selector| of_group(selector).or_else(|| selector.fields.clone());
    selectors.iter().map(|selector| own(selector).unwrap_or_else(|| common.clone())).collect()
}

/// Each field once. Those of the common list keep their order, and the others follow.
fn all_of(fields_of: &[Fields], common: &Fields) -> Fields {
    let is_used = |field: &Field| fields_of.iter().any(|fields| fields.as_slice().contains(field));
    let mut all: Vec<Field> = common.as_slice().iter().copied().filter(is_used).collect();
    for field in fields_of.iter().flat_map(|fields| fields.as_slice()) {
        if !all.contains(field) {
            all.push(*field);
        }
    }
    Fields::new(all)
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
    use crate::select::selector::Source;
    use alloc::borrow::ToOwned;
    use alloc::vec;

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
    fn groups_have_fields_of_their_own() {
        let list = |fields: &[Field]| Fields::new(fields.iter().copied());
        let of = |name, fields: &[Field]| Selector {
            fields: (!fields.is_empty()).then(|| list(fields)),
            ..selector(name, &[])
        };
        let selectors = vec![
            of(Some("web"), &[]),
            of(Some("db"), &[Field::OpenFiles, Field::Processes]),
            of(Some("web"), &[Field::Memory]),
            of(None, &[]),
        ];
        let options =
            Options { fields: list(&[Field::Processes, Field::Swap]), ..Options::default() };
        let plan = Plan::new(selectors.clone(), options.clone()).unwrap();
        assert_eq!(plan.fields_of[0], list(&[Field::Memory]), "one group, one list");
        assert_eq!(plan.fields_of[1], list(&[Field::OpenFiles, Field::Processes]));
        assert_eq!(plan.fields_of[2], plan.fields_of[0]);
        assert_eq!(plan.fields_of[3], options.fields);
        let all = [Field::Processes, Field::Swap, Field::Memory, Field::OpenFiles];
        assert_eq!(plan.fields, list(&all));
        let plan = Plan::new(selectors[..3].to_vec(), options).unwrap();
        let all = [Field::Processes, Field::Memory, Field::OpenFiles];
        assert_eq!(plan.fields, list(&all), "what no group has is not measured");
    }

    #[test]
    fn own_tags_follow_the_common_tags() {
        let selectors = vec![
            selector(Some("web"), &[("team", "a")]),
            selector(Some("db"), &[("env", "test"), ("host", "box")]),
            selector(None, &[("z", "1")]),
            selector(Some("web"), &[("tier", "2")]),
            selector(None, &[]),
        ];
        let common = tags(&[("host", "tengu"), ("env", "live")]);
        let plan =
            |tags| Plan::new(selectors.clone(), Options { tags, ..Options::default() }).unwrap();
        let plan_of_all = plan(common);
        let web = tags(&[("host", "tengu"), ("env", "live"), ("team", "a"), ("tier", "2")]);
        assert_eq!(plan_of_all.tags[0], web);
        assert_eq!(plan_of_all.tags[1], tags(&[("host", "box"), ("env", "test")]));
        assert_eq!(plan_of_all.tags[2], tags(&[("host", "tengu"), ("env", "live"), ("z", "1")]));
        assert_eq!(plan_of_all.tags[3], web, "one group, one set of tags");
        assert_eq!(plan_of_all.tags[4], tags(&[("host", "tengu"), ("env", "live")]));
        let plan = plan(tags(&[("env", "live")]));
        assert_eq!(plan.tags[1], tags(&[("host", "box"), ("env", "test")]), "host comes first");
    }
}
