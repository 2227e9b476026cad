//! Makes the names of groups that templates describe, and reads what they need of processes.

use super::doubts::Doubts;
use super::roots::FoundRoots;
use crate::account::accounts::Accounts;
use crate::account::doubts::Subject;
use crate::account::names::{Made, is_reserved};
use crate::diagnostics::{Diagnostics, NAMED_GROUPS, Warning, What};
use crate::discovery::known::Unmoved;
use crate::discovery::scan;
use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::collect;
use crate::model::control_group::ControlGroup;
use crate::model::label::Label;
use crate::model::process::Life;
use crate::model::read_error::{ReadError, Reason, Unreadable};
use crate::model::snapshot::Snapshot;
use crate::model::units::{Pid, ProcId, Uid};
use crate::parse::cgroupfs;
use crate::select::recipe::{Attribute, Recipe};
use crate::select::roots::{self, Root};
use crate::select::selector::Selector;
use crate::select::selectors::Selectors;
use crate::select::systemd;
use crate::select::template::Bound;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::OnceCell;

/// The names that the last sample made. Only a program that stays resident has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownNames {
    /// Those of roots, by process and selector.
    of_roots: BTreeMap<(ProcId, usize), Label>,
    /// Those that had a place, by selector. `None` if that is not known.
    with_place: Option<BTreeMap<usize, BTreeSet<Label>>>,
}

impl KnownNames {
    /// Keeps what a sample made.
    pub fn of(made: Made, snapshot: &Snapshot) -> KnownNames {
        let Made { of_roots, of_control_groups, too_many } = made;
        let has_place = |(selector, name): &(usize, &Label)| {
            !too_many.get(selector).is_some_and(|names| names.contains(*name))
        };
        let names = of_roots.iter().map(|(root, name)| (root.selector, name));
        let names = names.chain(of_control_groups.iter().map(|((_, of), name)| (*of, name)));
        let mut with_place: BTreeMap<usize, BTreeSet<Label>> = BTreeMap::new();
        for (selector, name) in names.filter(has_place) {
            let names = with_place.entry(selector).or_default();
            // Many processes may have one name.
            if !names.contains(name) {
                names.insert(name.clone());
            }
        }
        let by_process = |(root, name): (Root, Label)| {
            ((snapshot.processes[root.process].id, root.selector), name)
        };
        let of_roots = collect::map(of_roots.into_iter().map(by_process));
        KnownNames { of_roots, with_place: Some(with_place) }
    }

    /// Whether a name may have had a place among those of its selector.
    fn may_have_had_place(&self, selector: usize, name: &Label) -> bool {
        let is_in = |names: &BTreeSet<Label>| names.contains(name);
        self.with_place.as_ref().is_none_or(|of| of.get(&selector).is_some_and(is_in))
    }
}

/// Makes names in one snapshot.
pub struct Namer<'n, K> {
    /// The selectors.
    pub selectors: &'n Selectors,
    /// The machine.
    pub kernel: &'n K,
    /// The processes.
    pub snapshot: &'n Snapshot,
    /// The processes that have not run since the last sample.
    pub unmoved: &'n Unmoved<'n>,
    /// The names that the last sample made.
    pub known: &'n KnownNames,
    /// The groups of the last sample. `None` if there was none.
    pub last: Option<&'n Accounts>,
}

/// What used a name first: a process, or a control group. One that comes before others is less than they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct First {
    /// Whether it is a process that has ended.
    is_dead: bool,
    /// When it started or was made.
    since: u64,
    /// Tells those of one moment apart.
    number: u64,
}

/// For each name, by selector, what used it first.
type Firsts<'m> = BTreeMap<(usize, &'m Label), First>;

impl First {
    fn add<'m>(name: (usize, &'m Label), first: First, firsts: &mut Firsts<'m>) {
        let known = firsts.entry(name).or_insert(first);
        *known = first.min(*known);
    }
}

/// Why a process has no name.
enum Nameless {
    /// It has ended.
    Ended,
    /// What the name is made of could not be read.
    Unreadable(What, ReadError),
}

/// What is read of one process at most once.
struct Values<'v, K> {
    kernel: &'v K,
    /// The names of users, once they are read.
    users: &'v OnceCell<BTreeMap<Uid, String>>,
    process: ProcId,
    cmdline: Option<Vec<u8>>,
    control_group: Option<Option<Vec<u8>>>,
}

impl<K: Kernel> Namer<'_, K> {
    /// Makes the names of roots, and of control groups that selectors picked as a whole.
    pub fn make(
        &self,
        found: &FoundRoots,
        control_groups: &[ControlGroup],
        diagnostics: &mut Diagnostics,
        doubts: &mut Doubts,
    ) -> Made {
        let roots = &found.list;
        let mut made = Made::default();
        if !self.selectors.have_recipes() {
            return made;
        }
        let manager = self.manager(roots, control_groups);
        self.name_control_groups(control_groups, &manager, &mut made);
        self.name_roots(roots, &manager, doubts, &mut made);
        // The name of one that may be a root says which group is in doubt.
        self.name_roots(&found.undecided, &manager, doubts, &mut made);
        self.limit_roots(roots, diagnostics, &mut made);
        self.limit_control_groups(control_groups, diagnostics, &mut made);
        made
    }

    fn recipe(&self, selector: usize) -> Option<&Recipe> {
        self.selectors.recipe(selector).map(|(recipe, _)| recipe)
    }

    fn needs(&self, selector: usize, attribute: Attribute) -> bool {
        self.recipe(selector).is_some_and(|recipe| recipe.attributes().contains(&attribute))
    }

    /// The path of systemd's root, if a name needs a unit.
    fn manager(&self, roots: &[Root], control_groups: &[ControlGroup]) -> Vec<u8> {
        let of_roots = roots.iter().map(|root| root.selector);
        let of_groups = control_groups.iter().flat_map(|group| group.selectors.iter().copied());
        let mut selectors = of_roots.chain(of_groups);
        if !selectors.any(|selector| self.needs(selector, Attribute::Unit)) {
            return Vec::new();
        }
        cgroupfs::manager_root(&self.kernel.cgroup(Pid::INIT).unwrap_or_default())
    }

    fn name_control_groups(&self, groups: &[ControlGroup], manager: &[u8], made: &mut Made) {
        for (index, group) in groups.iter().enumerate() {
            let whole = |&&selector: &&usize| self.selectors[selector].takes_control_groups();
            for &selector in group.selectors.iter().filter(whole) {
                let Some(recipe) = self.recipe(selector) else { continue };
                let unit = || systemd::unit_of(manager, &group.path);
                let name = recipe.name(|attribute| match attribute {
                    Attribute::ControlGroup => Some(&group.path[..]),
                    Attribute::Unit => group.unit.as_deref().or_else(unit),
                    _ => None,
                });
                made.of_control_groups.insert((index, selector), name);
            }
        }
    }

    fn name_roots(&self, roots: &[Root], manager: &[u8], doubts: &mut Doubts, made: &mut Made) {
        let with_recipe = roots.iter().filter(|root| self.recipe(root.selector).is_some());
        let mut with_recipe: Vec<Root> = with_recipe.copied().collect();
        // The files of a process are read for all its selectors together.
        roots::sort(&mut with_recipe);
        with_recipe.dedup();
        let users = OnceCell::new();
        let mut unreadable: BTreeMap<&str, (What, Unreadable, BTreeSet<usize>)> = BTreeMap::new();
        for of_process in with_recipe.chunk_by(|one, other| one.process == other.process) {
            if self.kernel.out_of_time() {
                return;
            }
            let process = &self.snapshot.processes[of_process[0].process];
            let mut values = Values {
                kernel: self.kernel,
                users: &users,
                process: process.id,
                cmdline: None,
                control_group: None,
            };
            for &root in of_process {
                let known = self.known.of_roots.get(&(process.id, root.selector));
                // A zombie has lost its command line and its executable.
                let is_zombie = process.life == Life::Zombie;
                let known_still = known.filter(|_| is_zombie || self.is_unchanged(root));
                let name = match known_still {
                    Some(known) => Ok(known.clone()),
                    None => self.name(root, &mut values, manager),
                };
                match (name, known) {
                    (Ok(name), _) => {
                        made.of_roots.insert(root, name);
                    }
                    // It was read before, and the process does not answer now.
                    (Err(Nameless::Unreadable(_, error)), Some(known))
                        if error.reason.is_unanswered() =>
                    {
                        made.of_roots.insert(root, known.clone());
                        doubts.add(unanswered(error), []);
                    }
                    (Err(Nameless::Unreadable(_, error)), None) if error.reason.is_unanswered() => {
                        doubts.add(unanswered(error), []);
                    }
                    (Err(Nameless::Unreadable(what, error)), _) => {
                        let nothing = (what, Unreadable::default(), BTreeSet::new());
                        let of_kind = unreadable.entry(what.name()).or_insert(nothing);
                        of_kind.1.add(error);
                        of_kind.2.insert(root.selector);
                    }
                    (Err(Nameless::Ended), _) => {}
                }
            }
        }
        for (what, Unreadable { count, first }, selectors) in unreadable.into_values() {
            if let Some(first) = first {
                let subjects = selectors.into_iter().map(Subject::Selector);
                doubts.add(Warning::Unreadable { what, count, first }, subjects);
            }
        }
    }

    /// Whether the name of a root is certainly the same as at the last sample: the process has not run, and
    /// nobody else can change what the name is made of.
    fn is_unchanged(&self, root: Root) -> bool {
        let only_it_can_change = |attribute: &Attribute| {
            matches!(attribute, Attribute::Name | Attribute::Cmdline | Attribute::User)
        };
        let pid = self.snapshot.processes[root.process].id.pid;
        self.unmoved.has_not_run(pid)
            && self
                .recipe(root.selector)
                .is_some_and(|recipe| recipe.attributes().iter().all(only_it_can_change))
    }

    fn name(
        &self,
        root: Root,
        values: &mut Values<'_, K>,
        manager: &[u8],
    ) -> Result<Label, Nameless> {
        let Some(recipe) = self.recipe(root.selector) else { return Err(Nameless::Ended) };
        let process = &self.snapshot.processes[root.process];
        let mut read: Vec<(Attribute, Vec<u8>)> = Vec::new();
        for &attribute in recipe.attributes() {
            let value = match attribute {
                Attribute::Name => Some(self.snapshot.names.text(process.comm).to_vec()),
                Attribute::Cmdline => Some(values.cmdline()?.to_vec()),
                Attribute::Exe => values.exe()?,
                Attribute::User => Some(values.user()?),
                Attribute::ControlGroup => values.control_group()?.map(<[u8]>::to_vec),
                Attribute::Unit => {
                    let path = values.control_group()?;
                    path.and_then(|path| systemd::unit_of(manager, path)).map(<[u8]>::to_vec)
                }
            };
            read.extend(value.map(|value| (attribute, value)));
        }
        Ok(recipe.name(|attribute| {
            read.iter().find(|(of, _)| *of == attribute).map(|(_, value)| &value[..])
        }))
    }

    /// Notes which names of roots are too many. Those that had a group at the last sample are kept, and then those
    /// of the processes that started first. So nobody can push another name out by making new ones, and a service
    /// that starts anew between two samples does not lose its name to older processes that wait for a place.
    /// A name without a living process makes no line, and comes last.
    fn limit_roots(&self, roots: &[Root], diagnostics: &mut Diagnostics, made: &mut Made) {
        let with_names = roots.iter().filter_map(|root| Some((root, made.of_roots.get(root)?)));
        let mut firsts = BTreeMap::new();
        for (root, name) in with_names {
            let process = &self.snapshot.processes[root.process];
            let first = First {
                is_dead: process.life != Life::Alive,
                since: process.id.start.0,
                number: u64::from(process.id.pid.number()),
            };
            First::add((root.selector, name), first, &mut firsts);
        }
        let too_many = self.too_many(firsts, diagnostics);
        made.too_many.extend(too_many);
    }

    /// The same for control groups. After those that had a group, those that were made first are kept.
    fn limit_control_groups(
        &self,
        groups: &[ControlGroup],
        diagnostics: &mut Diagnostics,
        made: &mut Made,
    ) {
        let mut firsts = BTreeMap::new();
        for (&(index, selector), name) in &made.of_control_groups {
            let first = First { is_dead: false, since: groups[index].id, number: index as u64 };
            First::add((selector, name), first, &mut firsts);
        }
        let too_many = self.too_many(firsts, diagnostics);
        made.too_many.extend(too_many);
    }

    /// The names that the user gave to groups.
    fn given_names(&self) -> BTreeSet<&Label> {
        collect::set(self.selectors.as_slice().iter().filter_map(Selector::name))
    }

    /// The names of each selector that are too many. `firsts` has for each name what used it first.
    fn too_many(
        &self,
        firsts: Firsts<'_>,
        diagnostics: &mut Diagnostics,
    ) -> BTreeMap<usize, BTreeSet<Label>> {
        let mut of_selectors: BTreeMap<usize, Vec<(First, &Label)>> = BTreeMap::new();
        for ((selector, name), first) in firsts {
            of_selectors.entry(selector).or_default().push((first, name));
        }
        let given = OnceCell::new();
        let mut too_many = BTreeMap::new();
        for (selector, mut names) in of_selectors {
            let Some((_, Bound { max_groups, overflow })) = self.selectors.recipe(selector) else {
                continue;
            };
            if names.len() <= *max_groups {
                continue;
            }
            let had_group = |name: &Label| {
                let has_account = self.last.is_some_and(|last| last.groups.contains_key(name));
                // A group of that name need not be one that the name made, nor of this selector. A program that
                // does not stay knows of its last sample only what all groups were called.
                has_account
                    && name != overflow
                    && !given.get_or_init(|| self.given_names()).contains(name)
                    && !is_reserved(name)
                    && self.known.may_have_had_place(selector, name)
            };
            names.sort_by_cached_key(|&(first, name)| (first.is_dead, !had_group(name), first));
            let others = names.iter().skip(*max_groups);
            diagnostics.add(Warning::TooManyNames {
                rule: Label::lossy(format!("{}", self.selectors[selector]).as_bytes()),
                names: names.len(),
                max_groups: *max_groups,
                overflow: overflow.clone(),
                others: others.take(NAMED_GROUPS).map(|(_, name)| (*name).clone()).collect(),
            });
            let names = names.into_iter().skip(*max_groups).map(|(_, name)| name.clone());
            too_many.insert(selector, collect::set(names));
        }
        too_many
    }
}

/// The warning that a process does not answer.
fn unanswered(error: ReadError) -> Warning {
    match error.reason {
        Reason::NotAsked => Warning::NotAsked { count: 1, first: error.path },
        _ => Warning::NoAnswer(error.path),
    }
}

impl<K: Kernel> Values<'_, K> {
    fn cmdline(&mut self) -> Result<&[u8], Nameless> {
        if self.cmdline.is_none() {
            let mut line = Vec::new();
            let read = self.kernel.cmdline(self.process.pid, &mut line);
            read.map_err(|error| nameless(What::CommandLines, error))?;
            self.cmdline = Some(line);
        }
        Ok(self.cmdline.as_deref().unwrap_or_default())
    }

    /// `None` if it has none: a kernel thread, or a zombie.
    fn exe(&mut self) -> Result<Option<Vec<u8>>, Nameless> {
        match self.kernel.exe(self.process.pid) {
            Ok(path) => Ok(Some(path)),
            Err(error) if matches!(error.reason, Reason::Vanished | Reason::Missing) => {
                self.cmdline().map(|_| None)
            }
            Err(error) => Err(nameless(What::Executables, error)),
        }
    }

    /// The name of its effective user, or his uid.
    fn user(&self) -> Result<Vec<u8>, Nameless> {
        let uid = self.kernel.effective_user(self.process.pid);
        let uid = uid.map_err(|error| nameless(What::Users, error))?;
        let names = self.users.get_or_init(|| self.kernel.user_names());
        let name = names.get(&uid).cloned();
        Ok(name.unwrap_or_else(|| format!("{}", uid.0)).into_bytes())
    }

    fn exists(&self) -> bool {
        scan::exists(self.kernel, self.process, &mut Buffer::default())
    }

    /// `None` if the kernel shows none.
    fn control_group(&mut self) -> Result<Option<&[u8]>, Nameless> {
        if self.control_group.is_none() {
            let text = match self.kernel.cgroup(self.process.pid) {
                Ok(text) => text,
                // A kernel without control groups has no such file.
                Err(error) if error.reason == Reason::Vanished && self.exists() => Vec::new(),
                Err(error) if error.reason == Reason::Missing => Vec::new(),
                Err(error) => return Err(nameless(What::ControlGroups, error)),
            };
            self.control_group = Some(cgroupfs::cgroup_path(&text).map(ToOwned::to_owned));
        }
        Ok(self.control_group.as_ref().and_then(Option::as_deref))
    }
}

fn nameless(what: What, error: ReadError) -> Nameless {
    match error.reason {
        Reason::Vanished => Nameless::Ended,
        _ => Nameless::Unreadable(what, error),
    }
}
