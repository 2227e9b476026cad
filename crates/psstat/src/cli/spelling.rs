//! The ways to write an option, reduced to one.
//!
//! The original psstat was written in Go, whose `flag` package takes `-pid 1`, `-pid=1`, `--pid 1`
//! and `--pid=1`, and truth values as in `-multi-threaded=true`. Its command lines keep working.

use clap::Command;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// A switch of the original, which has no effect here: one thread is the default.
const SINGLE_THREADED: &[u8] = b"single-threaded";

/// The flag that clap adds to every command.
const HELP: &[u8] = b"help";

/// Writes each option as `--name=value`, so that no value can look like an option. Anything that is
/// not an option of `command` stays as it is.
pub fn normalize(args: impl IntoIterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let mut args = args.into_iter();
    let mut normalized: Vec<OsString> = args.next().into_iter().collect();
    while let Some(arg) = args.next() {
        if arg == "--" {
            normalized.push(arg);
            normalized.extend(args);
            break;
        }
        let Some(option) = Spelled::of(arg.as_bytes()) else {
            normalized.push(arg);
            continue;
        };
        match option.kind(command) {
            Kind::Unknown => normalized.push(arg),
            Kind::Ignored => {}
            Kind::Flag => match option.value.map(truth) {
                None | Some(Some(true)) => normalized.push(option.normalized(None)),
                Some(Some(false)) => {}
                Some(None) => normalized.push(option.normalized(option.value)),
            },
            Kind::TakesValue => {
                let next = if option.value.is_none() { args.next() } else { None };
                let value = option.value.or(next.as_ref().map(|next| next.as_bytes()));
                normalized.push(option.normalized(value));
            }
        }
    }
    normalized
}

/// An argument with one or two dashes in front.
struct Spelled<'a> {
    name: &'a [u8],
    value: Option<&'a [u8]>,
}

enum Kind {
    Unknown,
    Ignored,
    Flag,
    TakesValue,
}

impl<'a> Spelled<'a> {
    fn of(arg: &'a [u8]) -> Option<Spelled<'a>> {
        let text = arg.strip_prefix(b"-")?;
        let text = text.strip_prefix(b"-").unwrap_or(text);
        Some(match text.iter().position(|&byte| byte == b'=') {
            Some(equals) => Spelled { name: &text[..equals], value: Some(&text[equals + 1..]) },
            None => Spelled { name: text, value: None },
        })
    }

    fn kind(&self, command: &Command) -> Kind {
        let mut options = command.get_arguments();
        let option = options
            .find(|option| option.get_long().is_some_and(|long| long.as_bytes() == self.name));
        match option {
            Some(option) if option.get_action().takes_values() => Kind::TakesValue,
            Some(_) => Kind::Flag,
            None if self.name == HELP => Kind::Flag,
            None if self.name == SINGLE_THREADED => Kind::Ignored,
            None => Kind::Unknown,
        }
    }

    fn normalized(&self, value: Option<&[u8]>) -> OsString {
        OsString::from_vec(match value {
            Some(value) => [b"--", self.name, b"=", value].concat(),
            None => [b"--", self.name].concat(),
        })
    }
}

/// A truth value as Go reads it.
fn truth(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}
