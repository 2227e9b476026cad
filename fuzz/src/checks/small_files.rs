//! The other files of procfs that psstat reads, and pid files. The first byte chooses one.

use super::naive::{number, number_after, words};
use psstat_core::model::memory::Statm;
use psstat_core::model::readings::Storage;
use psstat_core::model::units::{Count, CpuNanos, Pages, Pid};
use psstat_core::parse::{line, procfs as parse};

/// Checks the parser of that file. Returns whether it accepts the bytes.
pub fn check(bytes: &[u8]) -> bool {
    let Some((&choice, text)) = bytes.split_first() else { return false };
    match choice % 9 {
        0 => same(parse::statm(text), statm(text)),
        1 => same(
            parse::schedstat(text),
            words(text).first().and_then(|word| number(word)).map(CpuNanos),
        ),
        2 => same(parse::io(text), io(text)),
        3 => same(parse::pid_file(text), pid_file(text)),
        4 => same(parse::loadavg(text), loadavg(text)),
        5 => same(parse::forks(text), number_after(text, "processes ")),
        6 => same(parse::cpu_list(text), cpu_list(text)),
        7 => same(line::number(text), trimmed_number(text)),
        _ => {
            let mut joined = text.to_vec();
            parse::join_arguments(&mut joined);
            let length = text.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            let naive = text[..length].iter().map(|&byte| if byte == 0 { b' ' } else { byte });
            assert_eq!(joined, naive.collect::<Vec<u8>>());
            true
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(parsed: Option<T>, naive: Option<T>) -> bool {
    assert_eq!(parsed, naive);
    parsed.is_some()
}

fn statm(text: &[u8]) -> Option<Statm> {
    let words = words(text);
    let pages = |index: usize| number(words.get(index)?).map(Pages);
    Some(Statm { resident: pages(1)?, shared: pages(2)? })
}

fn io(text: &[u8]) -> Option<Storage> {
    let count = |key| number_after(text, key).map(Count);
    Some(Storage { read: count("read_bytes:")?, written: count("write_bytes:")? })
}

fn pid(word: &[u8]) -> Option<Pid> {
    let number = number(word).filter(|number| (1..=4_194_304).contains(number))?;
    // `Pid::parse` refuses more than seven digits, leading zeros included.
    (word.len() <= 7).then(|| Pid::new(u32::try_from(number).expect("a pid has 23 bits")))
}

fn pid_file(text: &[u8]) -> Option<Pid> {
    pid(text.split(|&byte| byte == b'\n').next()?.trim_ascii())
}

fn loadavg(text: &[u8]) -> Option<(u64, Pid)> {
    let words = words(text);
    let tasks = *words.get(3)?;
    let slash = tasks.iter().position(|&byte| byte == b'/')?;
    Some((number(&tasks[slash + 1..])?, pid(words.get(4)?)?))
}

fn trimmed_number(text: &[u8]) -> Option<u64> {
    number(text.trim_ascii())
}

/// Adds in 128 bits, so that no sum is too large on the way.
fn cpu_list(text: &[u8]) -> Option<u64> {
    let mut count = 0u128;
    for range in text.trim_ascii().split(|&byte| byte == b',') {
        let (first, last) = match range.iter().position(|&byte| byte == b'-') {
            Some(dash) => (number(&range[..dash])?, number(&range[dash + 1..])?),
            None => (number(range)?, number(range)?),
        };
        if last < first || last - first == u64::MAX {
            return None;
        }
        count += u128::from(last - first) + 1;
    }
    u64::try_from(count).ok()
}
