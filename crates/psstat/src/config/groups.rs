//! The groups of the configuration file, turned into [`Selector`]s.

use super::error::{MOST_COMBINATIONS, Problem};
use super::file::{Group, User};
use super::lists::Lists;
use super::several::Several;
use super::{Reader, label, path};
use crate::settings::{self, ValueError};
use psstat_core::field::Fields;
use psstat_core::model::label::Label;
use psstat_core::model::units::Uid;
use psstat_core::select::matcher::{Matcher, PatternError};
use psstat_core::select::recipe::Recipe;
use psstat_core::select::selector::{self, Naming, PathPattern, Place, Selector, Source};
use psstat_core::select::template::{Bound, stray_brace};
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use toml::Spanned;

impl Reader<'_> {
    /// The selectors of the groups of a file. `refused` are the places of keys that were taken out of the text,
    /// because they are wrong. `bound` is for the groups that say nothing of it.
    pub(super) fn groups(
        self,
        groups: Vec<Spanned<Group>>,
        refused: &[Range<usize>],
        bound: &Bound,
    ) -> Vec<Selector> {
        let mut selectors: Vec<Selector> = Vec::new();
        let mut tags_of_groups = self.noted.tags.borrow_mut();
        let mut fields_of_groups = self.noted.fields.borrow_mut();
        let mut groups = groups.into_iter().peekable();
        let (mut line, mut counted) = (1, 0);
        while let Some(group) = groups.next() {
            let start = group.span().start;
            line += self.lines_between(counted, start);
            counted = counted.max(start);
            let end = groups.peek().map_or(self.text.len(), |next| next.span().start);
            let is_whole = !refused.iter().any(|key| (start..end).contains(&key.start));
            let group = group.into_inner();
            let bound = self.bound(group.max_groups.as_ref(), group.overflow.as_ref(), bound);
            let of_group = self.selectors(start, group, is_whole, bound);
            // Selectors of one name are one group, which has one line.
            if let Some(selector) = of_group.first()
                && let Some(name) = selector.name()
            {
                let mut differs = |(key, value): &&(Label, Label)| {
                    let known = tags_of_groups.entry((name.clone(), key.clone()));
                    known.or_insert_with(|| value.clone()) != value
                };
                for (key, _) in selector.tags.iter().filter(|tag| differs(tag)) {
                    self.note(start, Problem::TagConflict(key.clone()));
                }
                if let Some(fields) = &selector.fields
                    && fields_of_groups.entry(name.clone()).or_insert_with(|| fields.clone())
                        != fields
                {
                    self.note(start, Problem::FieldsConflict);
                }
            }
            let file = self.path.to_string_lossy().into_owned();
            let place = Some(Place { file, line });
            let placed = |selector| Selector { place: place.clone(), ..selector };
            selectors.extend(of_group.into_iter().map(placed));
        }
        selectors
    }

    /// The selectors of the `[[group]]` that starts there: one, or one for each combination of the values in
    /// its lists. None if something is wrong with it. If keys were removed from it, it is not whole, and does
    /// not say what it selects.
    fn selectors(self, start: usize, group: Group, is_whole: bool, bound: Bound) -> Vec<Selector> {
        let errors_before = self.errors_so_far();
        let naming = self.value("name", group.name.as_ref(), |name| {
            if let Some(brace) = stray_brace(name) {
                return Err(ValueError::StrayBrace(brace));
            }
            let naming = Naming::parse(name, bound).ok_or(ValueError::EmptyName)?;
            if let Naming::Given(_) = naming {
                label(name)?;
            }
            Ok(naming)
        });
        let naming = naming.unwrap_or_default();
        let sources = self.sources(&group);
        let lists = self.conditions(&group);
        let count = lists.count().saturating_mul(sources.len());
        if count > MOST_COMBINATIONS {
            self.note(start, Problem::TooManyCombinations(count));
        }
        let fields = group.fields.as_ref().and_then(|names| self.fields(names)).map(Fields::from);
        let (group, tags) = (&group, self.tags(group.tags.clone()).into_pairs());
        if !is_whole || self.errors_so_far() > errors_before {
            return Vec::new();
        }
        let conditions = lists.combinations();
        let children = group.children.unwrap_or(true);
        let combined =
            sources.iter().flat_map(|source| conditions.iter().map(move |c| (source, c)));
        let selectors: Vec<Selector> = combined
            .map(|(source, conditions)| Selector {
                naming: naming.clone(),
                source: source.clone(),
                conditions: conditions.clone(),
                children,
                tags: tags.clone(),
                fields: fields.clone(),
                place: None,
            })
            .collect();
        // In what is checked here, they are all alike.
        let Some(first) = selectors.first() else { return selectors };
        if first.source == Source::All && first.conditions.is_empty() {
            self.note(start, Problem::SelectsNothing);
        } else if self.is_name_possible(start, group, &selectors)
            && first.takes_control_groups()
            && !children
        {
            self.note(start, Problem::NoChildrenToLeaveOut);
        }
        if self.errors_so_far() > errors_before { Vec::new() } else { selectors }
    }

    /// Whether the name of a group can be made for each of its selectors, and its other keys fit the name.
    fn is_name_possible(self, start: usize, group: &Group, selectors: &[Selector]) -> bool {
        for selector in selectors {
            let Naming::Template(template, _) = &selector.naming else { continue };
            if let Err(reason) = Recipe::new(template, &selector.source, &selector.conditions) {
                let name = group.name.as_ref().map_or(start, |name| name.span().start);
                self.note(name, Problem::Template(reason));
                return false;
            }
        }
        let is_template = |selector: &Selector| matches!(selector.naming, Naming::Template(..));
        if !selectors.iter().any(is_template) {
            let max_groups = group.max_groups.as_ref().map(Spanned::span);
            let overflow = group.overflow.as_ref().map(Spanned::span);
            let given = [("max_groups", max_groups), ("overflow", overflow)];
            for (key, span) in given.into_iter().filter_map(|(key, span)| Some((key, span?))) {
                self.note(span.start, Problem::NoTemplate(key));
            }
        }
        true
    }

    /// Where a group's processes come from: the values of its source, of which there is at most one.
    fn sources(self, group: &Group) -> Vec<Source> {
        fn start<T>(value: &Option<Several<T>>) -> Option<usize> {
            value.as_ref().map(|several| several.span.start)
        }
        let pid_file = |key, several: &Option<Several<String>>| {
            self.values(key, several.as_ref(), |value| {
                let path = self.value(key, Some(value), path)?;
                Some(Source::PidFile(path.into_os_string().into_vec()))
            })
        };
        let with_pattern =
            |key, several: &Option<Several<String>>, compile, source: fn(&str) -> Source| {
                let values = self.patterns(key, several.as_ref(), compile);
                values.iter().map(|text| source(text)).collect::<Vec<Source>>()
            };
        let by_regex = |regex: &str| Source::ControlGroup(PathPattern::Regex(regex.to_owned()));
        let all = [
            ("pid", start(&group.pid), self.values("pid", group.pid.as_ref(), |pid| self.pid(pid))),
            ("pid_file", start(&group.pid_file), pid_file("pid_file", &group.pid_file)),
            ("pid_files", start(&group.pid_files), pid_file("pid_files", &group.pid_files)),
            (
                "systemd",
                start(&group.systemd),
                with_pattern("systemd", &group.systemd, glob as Compile, settings::unit),
            ),
            (
                "cgroup",
                start(&group.cgroup),
                with_pattern("cgroup", &group.cgroup, glob, settings::control_group),
            ),
            (
                "cgroup_regex",
                start(&group.cgroup_regex),
                with_pattern("cgroup_regex", &group.cgroup_regex, regex, by_regex),
            ),
        ];
        let given =
            all.into_iter().filter_map(|(key, start, sources)| Some((start?, key, sources)));
        let mut given: Vec<(usize, &'static str, Vec<Source>)> = given.collect();
        given.sort_unstable_by_key(|&(start, ..)| start);
        if let [(_, first, _), (start, second, _), ..] = given[..] {
            self.note(start, Problem::TwoSources { first, second });
        }
        given.pop().map_or_else(|| vec![Source::All], |(_, _, sources)| sources)
    }

    /// The values of a group's conditions.
    fn conditions(self, group: &Group) -> Lists {
        let by_glob = self.patterns("exe", group.exe.as_ref(), glob);
        let by_regex = self.patterns("exe_regex", group.exe_regex.as_ref(), regex);
        if let (Some(_), Some(second)) = (&group.exe, &group.exe_regex) {
            let problem = Problem::TwoSources { first: "exe", second: "exe_regex" };
            self.note(second.span.start, problem);
        }
        let by_glob = by_glob.into_iter().map(PathPattern::Glob);
        Lists {
            patterns: self.patterns("pattern", group.pattern.as_ref(), regex),
            cmdlines: self.patterns("cmdline", group.cmdline.as_ref(), regex),
            exes: by_glob.chain(by_regex.into_iter().map(PathPattern::Regex)).collect(),
            users: self.values("user", group.user.as_ref(), |user| self.user(user)),
        }
    }

    fn pid(self, pid: &Spanned<i64>) -> Option<Source> {
        let found = settings::pid(&pid.get_ref().to_string());
        let found = found.map_err(|reason| self.note_value("pid", pid.span(), reason));
        found.map(Source::Pid).ok()
    }

    /// Regexes or globs. They are compiled here so that the error has a line.
    fn patterns(
        self,
        key: &'static str,
        several: Option<&Several<String>>,
        compile: Compile,
    ) -> Vec<String> {
        self.values(key, several, |value| {
            let text = self.value(key, Some(value), |text| match text {
                "" => Err(ValueError::EmptyPattern),
                _ => Ok(text.to_owned()),
            })?;
            let start = value.span().start;
            let compiled = compile(&text);
            compiled.map_err(|reason| self.note(start, Problem::Pattern { key, reason })).ok()?;
            Some(text)
        })
    }

    fn user(self, user: &Spanned<User>) -> Option<selector::User> {
        match user.get_ref() {
            User::Uid(uid) => u32::try_from(*uid)
                .map(|uid| selector::User::Id(Uid(uid)))
                .map_err(|_| self.note_value("user", user.span(), ValueError::NotAUid))
                .ok(),
            User::Name(name) => Some(settings::user(name, self.surroundings)),
        }
    }
}

/// Compiles a regex or glob, to find out whether it is well formed.
type Compile = fn(&str) -> Result<Matcher, PatternError>;

fn regex(text: &str) -> Result<Matcher, PatternError> {
    Matcher::of_regexes([(0, text)].into_iter())
}

fn glob(text: &str) -> Result<Matcher, PatternError> {
    Matcher::of_globs([(0, text)].into_iter())
}
