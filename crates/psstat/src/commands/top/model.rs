//! What is shown, and how keys and samples change it. Pure: no terminal, no clock.

use super::groups::{Group, Groups, Sorting};
use super::keys::Key;
use super::scroll::Scroll;
use super::tree::Tree;
use crate::job::Order;
use psstat_core::model::label::Label;
use psstat_core::model::report::Report;
use std::time::Duration;

/// The intervals that the keys + and - choose from.
const INTERVALS: [Duration; 8] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// The longest filter.
const LONGEST_FILTER: usize = 60;

/// What a key asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// End.
    Quit,
    /// Let the shell have the terminal.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// Take samples at the interval of the model, or none while it is paused.
    Schedule,
}

/// What psstat itself costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Own {
    /// CPU time per elapsed time, since the sample before.
    pub cpu: Option<f64>,
    /// Resident memory in bytes.
    pub memory: Option<f64>,
}

/// What a sample says of the groups.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// What they cost.
    pub reports: Vec<Report>,
    /// Those of which it is not known who belongs to them.
    pub unknown: Vec<Label>,
}

/// What is shown over the list or the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// What the keys do.
    Help,
    /// The warnings of the last sample.
    Warnings,
}

/// What is shown.
#[derive(Debug)]
pub struct Model {
    /// What is measured, in a few words.
    pub title: String,
    /// The groups.
    pub groups: Groups,
    /// The group that the user has moved to. Its row stays marked wherever it moves.
    selected: Option<Label>,
    /// The place in the list of groups.
    pub scroll: Scroll,
    /// The processes of one group, if they are shown.
    pub tree: Option<Tree>,
    /// What is shown over it.
    pub overlay: Option<Overlay>,
    /// The first line of it that is shown. Whoever draws it keeps this within its lines.
    pub overlay_first: usize,
    /// The filter, as typed.
    pub filter: String,
    /// Whether the filter is being typed.
    pub is_typing: bool,
    /// The time between two samples.
    pub interval: Duration,
    /// Whether no samples are taken.
    pub is_paused: bool,
    /// Whether there are values to show.
    pub has_values: bool,
    /// How long the sample that is being taken has been overdue.
    pub overdue: Option<Duration>,
    /// What psstat itself costs.
    pub own: Own,
    /// The warnings of the last sample.
    pub warnings: Vec<String>,
    /// Why the last sample failed.
    pub error: Option<String>,
    /// How many rows of a list fit on the screen.
    page: usize,
}

impl Model {
    /// Nothing to show yet. `skips_empty`: whether groups without processes are left out.
    pub fn new(title: String, interval: Duration, order: Order, skips_empty: bool) -> Model {
        Model {
            title,
            groups: Groups::new(order, skips_empty),
            selected: None,
            scroll: Scroll::default(),
            tree: None,
            overlay: None,
            overlay_first: 0,
            filter: String::new(),
            is_typing: false,
            interval,
            is_paused: false,
            has_values: false,
            overdue: None,
            own: Own::default(),
            warnings: Vec::new(),
            error: None,
            page: 1,
        }
    }

    /// Takes the reports of a sample, and what psstat itself cost.
    pub fn sample(&mut self, values: Values, own: Own, warnings: Vec<String>) {
        (self.own, self.warnings, self.error, self.overdue) = (own, warnings, None, None);
        self.has_values = true;
        let Values { reports, unknown } = values;
        self.groups.update(reports, unknown);
        self.follow();
    }

    /// A sample has failed.
    pub fn fail(&mut self, error: String) {
        (self.error, self.overdue) = (Some(error), None);
    }

    /// Sets how many rows of a list fit on the screen.
    pub fn set_page(&mut self, rows: usize) {
        self.page = rows.max(1);
        self.scroll = self.scroll.within(self.groups.count_shown(), self.page);
        if let Some(tree) = &mut self.tree {
            tree.scroll = tree.scroll.within(tree.rows.len(), self.page);
        }
    }

    /// The group whose row is marked.
    pub fn marked(&self) -> Option<&Group> {
        self.groups.shown(self.scroll.cursor)
    }

    /// Marks the row of the selected group again after the rows have moved.
    fn follow(&mut self) {
        let found = self.selected.as_ref().and_then(|label| self.groups.position(label));
        if let Some(position) = found {
            self.scroll.cursor = position;
        }
        self.scroll = self.scroll.within(self.groups.count_shown(), self.page);
    }

    /// Does what a key means.
    pub fn key(&mut self, key: Key) -> Option<Request> {
        match key {
            Key::Control('c') => return Some(Request::Quit),
            Key::Control('z') => return Some(Request::Suspend),
            Key::Control('l') => return Some(Request::Redraw),
            _ => {}
        }
        if self.overlay.is_some() {
            match self.distance(key) {
                Some(lines) => {
                    self.overlay_first = self.overlay_first.saturating_add_signed(lines);
                }
                None => self.overlay = None,
            }
            return None;
        }
        if self.is_typing && self.typed(key) {
            return None;
        }
        match key {
            Key::Char('q') => Some(Request::Quit),
            Key::Char('h' | '?') => self.show(Overlay::Help),
            Key::Char('w') => self.show(Overlay::Warnings),
            Key::Char(' ') => {
                self.is_paused = !self.is_paused;
                Some(Request::Schedule)
            }
            Key::Char('+' | '=') => self.choose_interval(|known, now| known > now),
            Key::Char('-') => self.choose_interval(|known, now| known < now),
            _ => {
                if let Some(rows) = self.distance(key) {
                    self.go(rows);
                    return None;
                }
                if self.tree.is_some() { self.key_of_tree(key) } else { self.key_of_list(key) }
            }
        }
    }

    /// How many rows further down a key means.
    fn distance(&self, key: Key) -> Option<isize> {
        let page = isize::try_from(self.page).unwrap_or(isize::MAX);
        Some(match key {
            Key::Up | Key::Char('k') => -1,
            Key::Down | Key::Char('j') => 1,
            Key::PageUp | Key::Control('b') => -page,
            Key::PageDown | Key::Control('f') => page,
            Key::Home | Key::Char('g') => isize::MIN,
            Key::End | Key::Char('G') => isize::MAX,
            _ => return None,
        })
    }

    fn show(&mut self, overlay: Overlay) -> Option<Request> {
        (self.overlay, self.overlay_first) = (Some(overlay), 0);
        None
    }

    /// Adds a key to the filter. Returns whether it means something there.
    fn typed(&mut self, key: Key) -> bool {
        match key {
            Key::Char(one) if self.filter.chars().count() < LONGEST_FILTER => self.filter.push(one),
            Key::Char(_) => {}
            Key::Backspace if self.filter.is_empty() => self.is_typing = false,
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Control('u') => self.filter.clear(),
            Key::Enter => self.is_typing = false,
            Key::Escape => {
                self.is_typing = false;
                self.filter.clear();
            }
            _ => return false,
        }
        self.apply_filter();
        true
    }

    fn apply_filter(&mut self) {
        self.groups.filter(&self.filter);
        self.follow();
    }

    fn key_of_list(&mut self, key: Key) -> Option<Request> {
        let Sorting { order, is_reversed } = self.groups.sorting();
        let next = |step: usize| {
            let at = Order::ALL.iter().position(|&known| known == order).unwrap_or_default();
            Order::ALL[(at + step) % Order::ALL.len()]
        };
        let order = match key {
            Key::Enter | Key::Right | Key::Char('l') => {
                let marked = self.marked().map(|group| group.label.clone());
                self.selected.clone_from(&marked);
                self.tree = marked.map(Tree::of);
                return None;
            }
            Key::Char('/') => {
                self.is_typing = true;
                return None;
            }
            Key::Escape => {
                self.filter.clear();
                self.apply_filter();
                return None;
            }
            Key::Char('s') => next(1),
            Key::Char('S') => next(Order::ALL.len() - 1),
            Key::Char('c') => Order::Cpu,
            Key::Char('m') => Order::Memory,
            Key::Char('p') => Order::Processes,
            Key::Char('t') => Order::Threads,
            Key::Char('n') => Order::Name,
            Key::Char('r') => {
                self.sort(Sorting { order, is_reversed: !is_reversed });
                return None;
            }
            _ => return None,
        };
        self.sort(Sorting { order, is_reversed: false });
        None
    }

    fn sort(&mut self, sorting: Sorting) {
        self.groups.sort(sorting);
        self.follow();
    }

    fn key_of_tree(&mut self, key: Key) -> Option<Request> {
        if let Key::Escape | Key::Left | Key::Backspace | Key::Enter = key {
            self.tree = None;
        }
        None
    }

    /// Moves the cursor.
    fn go(&mut self, rows: isize) {
        if let Some(tree) = &mut self.tree {
            tree.scroll = tree.scroll.moved(rows).within(tree.rows.len(), self.page);
        } else {
            self.scroll = self.scroll.moved(rows).within(self.groups.count_shown(), self.page);
            // At the top, the mark stays on the first row.
            let follows = self.scroll.cursor > 0;
            let marked = self.marked().filter(|_| follows).map(|group| group.label.clone());
            self.selected = marked;
        }
    }

    /// Chooses the nearest interval that is longer or shorter than now.
    fn choose_interval(&mut self, is_further: fn(Duration, Duration) -> bool) -> Option<Request> {
        let now = self.interval;
        let further = INTERVALS.into_iter().filter(|&known| is_further(known, now));
        self.interval = further.min_by_key(|known| known.abs_diff(now))?;
        Some(Request::Schedule)
    }
}

/// Tests, and models for the tests of the screens.
#[cfg(test)]
pub mod tests {
    use super::super::groups::tests::report;
    use super::*;

    /// A model of groups named g0, g1 and so on. Each uses less CPU than the one before, and more memory.
    pub fn model_of(count: usize) -> Model {
        let title = "every systemd unit".to_owned();
        let mut model = Model::new(title, Duration::from_secs(2), Order::Cpu, true);
        model.set_page(10);
        update(&mut model, count);
        model
    }

    fn update(model: &mut Model, count: usize) {
        let reports = (0..count).map(|index| {
            report(&format!("g{index}"), 1.0 / (index + 1) as f64, (index + 1) as f64, 1)
        });
        let values = Values { reports: reports.collect(), ..Values::default() };
        model.sample(values, Own::default(), Vec::new());
    }

    fn press(model: &mut Model, keys: &str) -> Vec<Request> {
        keys.chars().filter_map(|key| model.key(Key::Char(key))).collect()
    }

    fn marked(model: &Model) -> &str {
        model.marked().map_or("", |group| group.label.as_str())
    }

    #[test]
    fn the_mark_follows_a_group_unless_it_is_at_the_top() {
        let mut model = model_of(20);
        press(&mut model, "m");
        assert_eq!(marked(&model), "g19", "the first row");
        press(&mut model, "jj");
        assert_eq!(marked(&model), "g17");
        press(&mut model, "c");
        assert_eq!((marked(&model), model.scroll.cursor), ("g17", 17));
        assert!(model.scroll.first >= 8, "it is on the screen: {:?}", model.scroll);
        update(&mut model, 10);
        assert_eq!(marked(&model), "g9", "g17 has gone");
        model.key(Key::Home);
        press(&mut model, "m");
        assert_eq!(marked(&model), "g9");
    }

    #[test]
    fn a_thousand_groups_scroll() {
        let mut model = model_of(1000);
        let mut at = |key| {
            model.key(key);
            (model.scroll.first, model.scroll.cursor)
        };
        assert_eq!(at(Key::PageDown), (1, 10));
        assert_eq!(at(Key::End), (990, 999));
        assert_eq!(at(Key::Down), (990, 999));
        assert_eq!(at(Key::PageUp), (989, 989));
        assert_eq!(at(Key::Home), (0, 0));
    }

    #[test]
    fn the_sort_order_changes_and_turns_around() {
        let mut model = model_of(3);
        for order in Order::ALL {
            assert_eq!(model.groups.sorting(), Sorting { order, is_reversed: false });
            press(&mut model, "s");
        }
        assert_eq!(model.groups.sorting().order, Order::Cpu);
        press(&mut model, "S");
        assert_eq!(model.groups.sorting().order, Order::Name);
        press(&mut model, "r");
        assert_eq!(marked(&model), "g2");
        for (key, order) in [
            ("c", Order::Cpu),
            ("m", Order::Memory),
            ("p", Order::Processes),
            ("t", Order::Threads),
        ] {
            press(&mut model, key);
            assert_eq!(model.groups.sorting(), Sorting { order, is_reversed: false });
        }
    }

    #[test]
    fn a_filter_is_typed() {
        let mut model = model_of(20);
        assert_eq!(press(&mut model, "/g1q"), [], "q is a letter here");
        assert_eq!(model.groups.count_shown(), 0);
        assert_eq!(model.marked(), None);
        model.key(Key::Backspace);
        assert_eq!(model.groups.count_shown(), 11);
        model.key(Key::Down);
        assert_eq!(marked(&model), "g10", "arrows still move");
        model.key(Key::Enter);
        assert_eq!((model.is_typing, &*model.filter), (false, "g1"));
        model.key(Key::Escape);
        assert_eq!((model.groups.count_shown(), marked(&model)), (20, "g10"));
        press(&mut model, "/x");
        model.key(Key::Escape);
        assert_eq!((model.is_typing, &*model.filter), (false, ""));
        press(&mut model, "/");
        model.key(Key::Backspace);
        assert!(!model.is_typing);
    }

    #[test]
    fn the_tree_of_the_marked_group_opens_and_closes() {
        let mut model = model_of(3);
        press(&mut model, "j");
        model.key(Key::Enter);
        let label = |model: &Model| model.tree.as_ref().map(|tree| tree.label.to_string());
        assert_eq!(label(&model).as_deref(), Some("g1"));
        press(&mut model, "/");
        assert!(!model.is_typing, "the tree has no filter");
        model.key(Key::Escape);
        assert_eq!((label(&model), marked(&model)), (None, "g1"));
        update(&mut model, 0);
        model.key(Key::Enter);
        assert_eq!(label(&model), None, "there is no group");
    }

    #[test]
    fn the_interval_changes_in_steps() {
        let mut model = model_of(1);
        model.interval = Duration::from_secs(3);
        assert_eq!(press(&mut model, "+"), [Request::Schedule]);
        assert_eq!(model.interval, Duration::from_secs(5));
        assert_eq!(press(&mut model, "---"), [Request::Schedule; 3]);
        assert_eq!(model.interval, Duration::from_millis(500));
        assert_eq!(press(&mut model, "--"), []);
        press(&mut model, "++++++++++");
        assert_eq!(model.interval, Duration::from_secs(300));
    }

    #[test]
    fn keys_work_over_every_screen() {
        let mut model = model_of(1);
        assert_eq!(press(&mut model, " "), [Request::Schedule]);
        assert!(model.is_paused);
        press(&mut model, "?");
        assert_eq!(model.overlay, Some(Overlay::Help));
        assert_eq!(press(&mut model, "q"), [], "a key closes the help");
        assert_eq!(press(&mut model, "w"), []);
        assert_eq!(model.overlay, Some(Overlay::Warnings));
        model.key(Key::Escape);
        model.key(Key::Enter);
        assert_eq!(press(&mut model, "q"), [Request::Quit]);
        press(&mut model, "/");
        assert_eq!(model.key(Key::Control('c')), Some(Request::Quit));
        assert_eq!(model.key(Key::Control('z')), Some(Request::Suspend));
        assert_eq!(model.key(Key::Control('l')), Some(Request::Redraw));
    }

    #[test]
    fn a_failure_is_shown_until_the_next_sample() {
        let mut model = model_of(1);
        model.fail("no".to_owned());
        assert_eq!((model.error.as_deref(), model.groups.count()), (Some("no"), 1));
        update(&mut model, 1);
        assert_eq!(model.error, None);
    }
}
