//! The lists of values of a `[[group]]`, and their combinations.

use psstat_core::select::selector::{Conditions, PathPattern, User};

/// The values of the conditions of a group. A condition without values is none.
pub struct Lists {
    /// `pattern`.
    pub patterns: Vec<String>,
    /// `cmdline`.
    pub cmdlines: Vec<String>,
    /// `exe` and `exe_regex`.
    pub exes: Vec<PathPattern>,
    /// `user`.
    pub users: Vec<User>,
}

impl Lists {
    /// How many combinations there are.
    pub fn count(&self) -> usize {
        let Lists { patterns, cmdlines, exes, users } = self;
        let lengths = [patterns.len(), cmdlines.len(), exes.len(), users.len()];
        lengths.into_iter().fold(1, |count, length| count.saturating_mul(length.max(1)))
    }

    /// All combinations of the values.
    pub fn combinations(&self) -> Vec<Conditions> {
        fn each<T: Clone>(
            conditions: Vec<Conditions>,
            values: &[T],
            set: impl Fn(&mut Conditions, T),
        ) -> Vec<Conditions> {
            if values.is_empty() {
                return conditions;
            }
            let with = |(conditions, value): (&Conditions, &T)| {
                let mut conditions = conditions.clone();
                set(&mut conditions, value.clone());
                conditions
            };
            let combined =
                conditions.iter().flat_map(|one| values.iter().map(move |value| (one, value)));
            combined.map(with).collect()
        }
        let all = vec![Conditions::default()];
        let all = each(all, &self.patterns, |one, pattern| one.pattern = Some(pattern));
        let all = each(all, &self.cmdlines, |one, cmdline| one.cmdline = Some(cmdline));
        let all = each(all, &self.exes, |one, exe| one.exe = Some(exe));
        each(all, &self.users, |one, user| one.user = Some(user))
    }
}
