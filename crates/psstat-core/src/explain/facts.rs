//! What people know processes by: user, command line, executable, state.

use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::label::printable;
use crate::model::units::Pid;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What is known of a process besides what a sample reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Its command line. Empty for a kernel thread. `None` if it cannot be read.
    pub command: Option<String>,
    /// The path of its executable. `None` if it cannot be read or it has none.
    pub exe: Option<String>,
    /// Its effective user.
    pub user: Option<u32>,
    /// Its state, as `ps` shows it.
    pub state: Option<char>,
}

/// Reads the facts of these processes. Those of a process that has ended are left out.
pub fn read(kernel: &impl Kernel, pids: impl Iterator<Item = Pid>) -> BTreeMap<Pid, Facts> {
    let (mut facts, mut buffer, mut line) = (BTreeMap::new(), Buffer::default(), Vec::new());
    for pid in pids {
        if kernel.out_of_time() {
            break;
        }
        let Ok(stat) = kernel.stat(pid, &mut buffer) else { continue };
        let (name, state) = (text_of(stat.comm), char::from(stat.state));
        let command = kernel.cmdline(pid, &mut line).ok().map(|()| text_of(&line));
        let exe = kernel.exe(pid).ok().map(|path| text_of(&path));
        let user = kernel.effective_user(pid).ok().map(|uid| uid.0);
        facts.insert(pid, Facts { name, command, exe, user, state: Some(state) });
    }
    facts
}

/// The text without control characters.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    printable(bytes, &mut text);
    text
}
