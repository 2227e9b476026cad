//! How groups share the processes of a machine.

/// How groups share processes, if a process that ends in one group must not count again in another one that
/// waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// Whether each process belongs to one group: the first that selects it, descendants included. If not, groups
    /// can overlap.
    pub is_exclusive: bool,
    /// The selector of the group that has all processes of no other group.
    pub rest: usize,
    /// Whether nobody asked for that group. Exclusive groups need it all the same: who waits for a process of no
    /// group inherits what that has used in its whole life, which is not to be taken for new.
    pub is_rest_hidden: bool,
}

/// The name of the group of all other processes that nobody asked for. It has no line.
pub const HIDDEN_REST: &str = "(no group)";
