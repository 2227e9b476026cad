//! `/proc/PID/stat`: the bytes are a whole file. They are also the name of a process in a file that is
//! otherwise sound: no name may shift the fields after it.

use super::naive::{number, signed, words};
use psstat_core::model::process::Life;
use psstat_core::model::units::{Amounts, Count, Ticks};
use psstat_core::parse::procfs as parse;

/// What the checks need of a file, in the terms of proc_pid_stat(5).
#[derive(Debug, PartialEq)]
struct Fields<'t> {
    comm: &'t [u8],
    state: u8,
    ppid: u32,
    own: u64,
    children: u64,
    threads: u64,
    start: u64,
}

fn fields(text: &[u8]) -> Option<Fields<'_>> {
    let open = text.iter().position(|&byte| byte == b'(')?;
    let close = text.iter().rposition(|&byte| byte == b')').filter(|&close| close > open)?;
    let words = words(&text[close + 1..]);
    // Field 3 of the manual page is the first word.
    let field = |index: usize| words.get(index - 3).copied();
    let &[state] = field(3)? else { return None };
    let sum = |first: Option<u64>, second: Option<u64>| Some(first?.saturating_add(second?));
    Some(Fields {
        comm: &text[open + 1..close],
        state,
        ppid: number(field(4)?).filter(|&pid| pid <= 1 << 22)? as u32,
        own: sum(number(field(14)?), number(field(15)?))?,
        children: sum(signed(field(16)?), signed(field(17)?))?,
        threads: number(field(20)?)?,
        start: number(field(22)?)?,
    })
}

fn faults(text: &[u8]) -> Option<(Ticks, Amounts<Count>)> {
    let close = text.iter().rposition(|&byte| byte == b')')?;
    let words = words(&text[close + 1..]);
    let field = |index: usize| number(words.get(index - 3)?).map(Count);
    Some((Ticks(field(22)?.0), Amounts { own: field(12)?, children: field(13)? }))
}

/// Checks both parsers of the file. Returns whether they accept the bytes.
pub fn check(bytes: &[u8]) -> bool {
    let is_accepted = check_file(bytes);
    let name = &bytes[..bytes.len().min(64)];
    let mut file = b"42 (".to_vec();
    file.extend_from_slice(name);
    file.extend_from_slice(b") R 7 8 9 10 11 12 13 14 15 16 170 18 19 20 21 22 23 24 2500 26\n");
    assert!(check_file(&file), "a sound file is refused");
    let stat = parse::stat(&file).expect("accepted above");
    assert_eq!((stat.comm, stat.start, stat.parent.number()), (name, Ticks(2500), 7));
    is_accepted
}

fn check_file(bytes: &[u8]) -> bool {
    let parsed = parse::stat(bytes);
    let as_fields = parsed.map(|stat| Fields {
        comm: stat.comm,
        state: stat.state,
        ppid: stat.parent.number(),
        own: stat.times.own.0,
        children: stat.times.children.0,
        threads: stat.threads,
        start: stat.start.0,
    });
    assert_eq!(as_fields, fields(bytes));
    assert_eq!(parse::major_faults(bytes), faults(bytes));
    if let Some(stat) = parsed {
        let has_ended = b"ZXx".contains(&stat.state) && stat.threads < 2;
        assert_eq!(stat.life() == Life::Zombie, has_ended);
    }
    parsed.is_some()
}
