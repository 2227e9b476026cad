//! What people know processes by: user, command line, executable, state.

use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::label::printable;
use crate::model::process::Kinship;
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
    /// Its parent.
    pub parent: Option<Pid>,
    /// Its process group and session.
    pub kinship: Option<Kinship>,
}

/// So many bytes of a command line are kept. A process can have one of any length.
const COMMAND: usize = 4096;

/// Reads the facts of these processes. Those of a process that has ended are left out. Also returns whether
/// there was time to look at all.
pub fn read(kernel: &impl Kernel, pids: impl Iterator<Item = Pid>) -> (BTreeMap<Pid, Facts>, bool) {
    let (mut facts, mut buffer, mut line) = (BTreeMap::new(), Buffer::default(), Vec::new());
    for pid in pids {
        if kernel.out_of_time() {
            return (facts, false);
        }
        let Ok(stat) = kernel.stat(pid, &mut buffer) else { continue };
        let (name, state) = (text_of(stat.comm), char::from(stat.state));
        let command = kernel.cmdline(pid, &mut line).ok().map(|()| beginning(&line));
        let exe = kernel.exe(pid).ok().map(|path| text_of(&path));
        let user = kernel.effective_user(pid).ok().map(|uid| uid.0);
        let (state, parent) = (Some(state), Some(stat.parent));
        let kinship = kernel.kinship(pid);
        facts.insert(pid, Facts { name, command, exe, user, state, parent, kinship });
    }
    (facts, true)
}

/// The beginning of a command line.
fn beginning(line: &[u8]) -> String {
    text_of(&line[..line.len().min(COMMAND)])
}

/// The text that can be shown on a terminal: it has no control character, and nothing that is [unseen](visible).
pub fn text_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    printable(bytes, &mut text);
    visible(&text)
}

/// The text with `?` in place of control characters, and of characters that are not seen or that turn the
/// direction of writing: with them, a text can look like another.
pub fn visible(text: &str) -> String {
    let is_unseen = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(character, '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|character| if is_unseen(character) { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn what_is_unseen_is_shown() {
        for unseen in ["\u{200b}", "\u{200f}", "\u{202e}", "\u{2066}", "\u{feff}", "\u{1b}"] {
            assert_eq!(text_of(format!("a{unseen}b").as_bytes()), "a?b", "{unseen:?}");
        }
        assert_eq!(text_of("größe\n–".as_bytes()), "größe\\n–");
    }

    #[test]
    fn a_long_command_line_is_cut() {
        assert_eq!(beginning(&[b'a'; COMMAND + 1]).len(), COMMAND);
        assert_eq!(beginning(b"sleep 1"), "sleep 1");
    }
}
