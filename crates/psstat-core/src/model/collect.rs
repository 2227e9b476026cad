//! Collects small maps and sets.
//!
//! `collect` sorts the elements before it makes a map or set, and the compiler makes that sort anew for
//! each type of element: about eight kilobytes each. These functions insert one element after the other.

use alloc::collections::{BTreeMap, BTreeSet};

/// A map of these pairs. Of two with the same key, the last counts.
pub fn map<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(pairs);
    map
}

/// A set of these elements.
pub fn set<T: Ord>(elements: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    set.extend(elements);
    set
}
