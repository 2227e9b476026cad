//! How groups share the processes of a machine.

/// How groups share processes. By default they can overlap, and need not have all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Division {
    /// Whether each process belongs to one group at most: the first that selects it, descendants included.
    pub is_exclusive: bool,
    /// The selector of the group that has all processes of no other group.
    pub rest: Option<usize>,
}

impl Division {
    /// Whether a process that ends in one group must not count again in another one that waits for it.
    pub fn is_joint(self) -> bool {
        self.is_exclusive || self.rest.is_some()
    }
}
