//! How groups share the processes of a machine.

/// How groups share processes. By default they can overlap, and need not have all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Division {
    /// Whether each process belongs to one group at most: the first that selects it, descendants included.
    pub is_exclusive: bool,
    /// The selector of the group that has all processes of no other group.
    pub rest: Option<usize>,
    /// Whether nobody asked for that group. Exclusive groups need it all the same: who waits for a process of no
    /// group inherits what that has used in its whole life, which is not to be taken for new.
    pub is_rest_hidden: bool,
}

/// The name of the group of all other processes that nobody asked for. It has no line.
pub const HIDDEN_REST: &str = "(no group)";

impl Division {
    /// Whether that is the selector of a group that has no line.
    pub fn hides(self, selector: usize) -> bool {
        self.is_rest_hidden && self.rest == Some(selector)
    }

    /// Whether a process that ends in one group must not count again in another one that waits for it.
    pub fn is_joint(self) -> bool {
        self.is_exclusive || self.rest.is_some()
    }
}
