//! All selectors of a plan, with their patterns compiled.

use super::matcher::{Matcher, PatternError};
use super::recipe::{Attribute, Recipe, TemplateError};
use super::selector::{Conditions, Naming, PathPattern, Selector, Source, User};
use super::template::Bound;
use crate::model::units::Uid;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Index;
use thiserror::Error;

/// How a process that exists can become a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewRoots {
    /// Not by itself: processes are selected only by pid or control group.
    Fixed,
    /// By running: it takes another name, user or command line.
    ByRunning,
    /// At any time: the file that it executes is renamed.
    AtAnyTime,
}

/// All selectors of a plan, in the order given, with their patterns compiled. A matcher returns
/// indices of selectors.
#[derive(Clone, Debug)]
pub struct Selectors {
    list: Vec<Selector>,
    /// The regexes to match against process names.
    pub patterns: Matcher,
    /// The regexes to match against command lines.
    pub cmdlines: Matcher,
    /// The patterns to match against paths of executables.
    pub exes: Matcher,
    /// The globs to match against unit ids.
    pub units: Matcher,
    /// The patterns to match against paths of control groups.
    pub control_groups: Matcher,
    /// The ids that names of units stand for where these are aliases, by the index of the selector.
    aliases: BTreeMap<usize, String>,
    /// How names are made, by the index of the selector.
    recipes: BTreeMap<usize, Recipe>,
}

/// Why selectors were refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorsError {
    /// A regex or glob is malformed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A name with placeholders cannot be made.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Selectors {
    /// Compiles the patterns of the selectors.
    ///
    /// # Errors
    /// [`SelectorsError`] if a regex or glob is malformed, or a placeholder means nothing.
    pub fn new(list: Vec<Selector>) -> Result<Selectors, SelectorsError> {
        let of = |value: fn(&Selector) -> Option<&String>| {
            let selectors = list.iter().enumerate();
            selectors.filter_map(move |(index, selector)| Some((index, value(selector)?.as_str())))
        };
        let units = of(|selector| match &selector.source {
            Source::Unit(glob) => Some(glob),
            _ => None,
        });
        let of_paths = |value: fn(&Selector) -> Option<&PathPattern>| {
            let selectors = list.iter().enumerate();
            selectors.filter_map(move |(index, selector)| Some((index, value(selector)?)))
        };
        let control_groups = of_paths(|selector| match &selector.source {
            Source::ControlGroup(pattern) => Some(pattern),
            _ => None,
        });
        let mut recipes = BTreeMap::new();
        for (index, selector) in list.iter().enumerate() {
            if let Naming::Template(template, _) = &selector.naming {
                let recipe = Recipe::new(template, &selector.source, &selector.conditions)?;
                recipes.insert(index, recipe);
            }
        }
        Ok(Selectors {
            patterns: Matcher::of_regexes(of(|selector| selector.conditions.pattern.as_ref()))?,
            cmdlines: Matcher::of_regexes(of(|selector| selector.conditions.cmdline.as_ref()))?,
            exes: Matcher::of_paths(of_paths(|selector| selector.conditions.exe.as_ref()))?,
            units: Matcher::of_globs(units)?,
            control_groups: Matcher::of_paths(control_groups)?,
            aliases: BTreeMap::new(),
            recipes,
            list,
        })
    }

    /// The selectors, in the order given.
    pub fn iter(&self) -> core::slice::Iter<'_, Selector> {
        self.list.iter()
    }

    /// The selectors, in the order given.
    pub fn as_slice(&self) -> &[Selector] {
        &self.list
    }

    /// How the groups of a selector are named and how many there may be, if their names are made of what was
    /// matched.
    pub fn recipe(&self, selector: usize) -> Option<(&Recipe, &Bound)> {
        match &self.list[selector].naming {
            Naming::Template(_, bound) => Some((self.recipes.get(&selector)?, bound)),
            Naming::Own | Naming::Given(_) => None,
        }
    }

    /// Whether names are made of what was matched.
    pub fn have_recipes(&self) -> bool {
        !self.recipes.is_empty()
    }

    /// Whether the executables of processes are read: to select some, or to name groups.
    pub fn read_executables(&self) -> bool {
        let names = self.recipes.values().any(|one| one.attributes().contains(&Attribute::Exe));
        names || self.list.iter().any(|selector| selector.conditions.exe.is_some())
    }

    /// Whether groups are named after users.
    pub fn name_users(&self) -> bool {
        self.recipes.values().any(|one| one.attributes().contains(&Attribute::User))
    }

    /// Looks up the users whose ids are not known yet. Returns those that are still unknown, with the
    /// index of the selector of each.
    pub fn find_users(
        &mut self,
        mut find: impl FnMut(&str) -> Option<Uid>,
    ) -> Vec<(usize, String)> {
        let mut unknown = Vec::new();
        for (index, selector) in self.list.iter_mut().enumerate() {
            let user = &mut selector.conditions.user;
            let Some(User::Named { name, id: id @ None }) = user else { continue };
            *id = find(name);
            if id.is_none() {
                unknown.push((index, name.clone()));
            }
        }
        unknown
    }

    /// Makes a selector of a unit pick the unit with this id instead of the one that it names, or that one
    /// again. Returns whether that changes what it picks.
    pub fn set_alias(&mut self, selector: usize, id: Option<String>) -> bool {
        if self.aliases.get(&selector) == id.as_ref() {
            return false;
        }
        match id {
            Some(id) => self.aliases.insert(selector, id),
            None => self.aliases.remove(&selector),
        };
        let unit = |(index, selector): (usize, &'_ Selector)| match &selector.source {
            Source::Unit(glob) => Some((index, self.aliases.get(&index).unwrap_or(glob).clone())),
            _ => None,
        };
        let globs: Vec<(usize, String)> = self.list.iter().enumerate().filter_map(unit).collect();
        match Matcher::of_globs(globs.iter().map(|(index, glob)| (*index, glob.as_str()))) {
            Ok(units) => self.units = units,
            // An id that is no valid glob is that of no unit.
            Err(_) => return false,
        }
        true
    }

    /// Whether a selector picks processes, and not a whole control group.
    pub fn select_processes(&self) -> bool {
        !self.list.iter().all(Selector::takes_control_groups)
    }

    /// How a process that exists can become a root.
    pub fn new_roots(&self) -> NewRoots {
        if self.of_all().any(|conditions| conditions.exe.is_some()) {
            NewRoots::AtAnyTime
        } else if self.of_all().next().is_some() {
            NewRoots::ByRunning
        } else {
            NewRoots::Fixed
        }
    }

    /// Whether a selector of all processes has a condition on what `stat` does not show: the user,
    /// command line or executable.
    pub fn select_by_files(&self) -> bool {
        self.of_all().any(|Conditions { cmdline, exe, user, .. }| {
            cmdline.is_some() || exe.is_some() || user.is_some()
        })
    }

    /// The conditions of the selectors of all processes.
    fn of_all(&self) -> impl Iterator<Item = &Conditions> {
        let of_all = self.list.iter().filter(|selector| selector.source.is_all());
        of_all.map(|selector| &selector.conditions)
    }

    /// Whether a selector picks control groups, or processes in control groups.
    pub fn select_control_groups(&self) -> bool {
        !self.units.is_empty() || !self.control_groups.is_empty()
    }
}

impl Index<usize> for Selectors {
    type Output = Selector;

    fn index(&self, index: usize) -> &Selector {
        &self.list[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::vec;

    #[test]
    fn a_condition_on_a_control_group_selects_processes() {
        let selectors = |selector| Selectors::new(vec![selector]).unwrap();
        let whole = || Selector::new(None, Source::Unit("x".to_owned()));
        assert!(!selectors(whole()).select_processes());
        assert!(selectors(whole()).select_control_groups());
        let mut conditional = whole();
        conditional.conditions.pattern = Some("x".to_owned());
        let conditional = selectors(conditional);
        assert!(conditional.select_processes() && conditional.select_control_groups());
        assert_eq!(conditional.new_roots(), NewRoots::Fixed, "all are in the control group");
    }
}
