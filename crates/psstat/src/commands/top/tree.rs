//! The processes of one group, as a tree. Pure.

use super::scroll::Scroll;
use psstat_core::model::label::Label;

/// The processes of one group.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The name of the group.
    pub label: Label,
    /// A row for each process: parents before their children.
    pub rows: Vec<Row>,
    /// Why there is none, and what comes nearest.
    pub notes: Vec<String>,
    /// The place in the rows.
    pub scroll: Scroll,
}

/// A process of the group, or what belongs to no process that lives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its pid. `None` if it is no process.
    pub pid: Option<u32>,
    /// How many of its ancestors are above it.
    pub depth: usize,
    /// Its user.
    pub user: String,
    /// Its name or command line.
    pub name: String,
    /// CPU time per elapsed time.
    pub cpu: Option<f64>,
    /// Memory in bytes.
    pub memory: Option<f64>,
    /// Number of threads.
    pub threads: Option<u64>,
    /// Why it is in the group.
    pub why: String,
}

impl Tree {
    /// The tree of a group. Its rows come later.
    pub fn of(label: Label) -> Tree {
        Tree { label, rows: Vec::new(), notes: Vec::new(), scroll: Scroll::default() }
    }

    /// Takes new rows and notes. The cursor stays on its process.
    pub fn update(&mut self, rows: Vec<Row>, notes: Vec<String>) {
        let marked = self.rows.get(self.scroll.cursor).and_then(|row| row.pid);
        let found = rows.iter().position(|row| row.pid.is_some() && row.pid == marked);
        // At the top, the mark stays on the first row.
        if let Some(position) = found.filter(|_| self.scroll.cursor > 0) {
            self.scroll.cursor = position;
        }
        self.rows = rows;
        self.notes = notes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_on_its_process() {
        let rows = |pids: &[u32]| -> Vec<Row> {
            pids.iter().map(|&pid| Row { pid: Some(pid), ..Row::default() }).collect()
        };
        let mut tree = Tree::of(Label::lossy(b"web"));
        tree.update(rows(&[5, 6, 7]), Vec::new());
        tree.scroll.cursor = 2;
        tree.update(rows(&[4, 5, 6, 7]), Vec::new());
        assert_eq!(tree.scroll.cursor, 3);
        tree.update(rows(&[4, 5]), Vec::new());
        assert_eq!(tree.scroll.cursor, 3, "whoever draws brings it back into the list");
    }
}
