//! A strict reader of Influx line protocol by Telegraf's grammar, written from its description
//! and not from psstat's writer, so that the two can disagree.
//!
//! A character of a tag is any but tab, line feed, form feed, carriage return, space, comma,
//! equals sign and backslash; or a backslash and any character but tab, line feed, form feed,
//! carriage return and backslash; or a backslash before another one, which is then looked at
//! again. Only `\,`, `\=` and `\ ` are undone; every other backslash stays.

/// One line, taken apart, escapes undone.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// In the order written, no key twice.
    pub tags: Vec<(String, String)>,
    /// In the order written, no key twice.
    pub fields: Vec<(String, Number)>,
    /// Nanoseconds since 1970.
    pub time: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Float(f64),
    Integer(i64),
}

impl Line {
    /// The group.
    pub fn name(&self) -> &str {
        self.tag("process_name").expect("process_name")
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn p_cpu(&self) -> Option<f64> {
        self.float("p_cpu")
    }

    pub fn p_mem(&self) -> Option<f64> {
        self.float("p_mem")
    }

    pub fn n_proc(&self) -> usize {
        match self.field("n_proc") {
            Some(Number::Integer(count)) => usize::try_from(count).expect("not negative"),
            other => panic!("n_proc is {other:?}"),
        }
    }

    /// A field of either kind.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.field(key).map(|number| match number {
            Number::Float(number) => number,
            Number::Integer(number) => number as f64,
        })
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.field(key).map(|number| match number {
            Number::Float(number) => number,
            Number::Integer(number) => panic!("{key} is the integer {number}"),
        })
    }

    fn field(&self, key: &str) -> Option<Number> {
        self.fields.iter().find(|(name, _)| name == key).map(|&(_, number)| number)
    }
}

/// Reads lines, each ended by a line feed.
///
/// # Panics
/// Where the grammar does not allow the bytes, or they hold a control character other than the
/// line feeds, or are no UTF-8.
pub fn read(bytes: &[u8]) -> Vec<Line> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut: {text:?}");
    text.split_terminator('\n')
        .map(|line| {
            assert!(!line.chars().any(char::is_control), "a control character in {line:?}");
            let mut reader = Reader { rest: line };
            reader.line().unwrap_or_else(|| panic!("not accepted at {:?} of {line:?}", reader.rest))
        })
        .collect()
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn line(&mut self) -> Option<Line> {
        if self.word()? != "psstat" {
            return None;
        }
        let mut tags = Vec::new();
        while self.take(',') {
            let key = self.word()?;
            let value = self.take('=').then(|| self.word())??;
            tags.push((key, value));
        }
        self.take(' ').then_some(())?;
        let mut fields = Vec::new();
        loop {
            let key = self.word()?;
            let value = self.take('=').then(|| self.number())??;
            fields.push((key, value));
            if !self.take(',') {
                break;
            }
        }
        self.take(' ').then_some(())?;
        let time = self.digits().filter(|digits| digits.len() <= 19)?.parse().ok()?;
        let once = no_key_twice(&tags) && no_key_twice(&fields);
        (once && self.rest.is_empty()).then_some(Line { tags, fields, time })
    }

    /// A key or the value of a tag: at least one character.
    fn word(&mut self) -> Option<String> {
        let mut word = String::new();
        while let Some(character) = self.rest.chars().next() {
            let mut length = character.len_utf8();
            match character {
                '\t' | '\n' | '\u{c}' | '\r' | ' ' | ',' | '=' => break,
                '\\' => match self.rest[length..].chars().next()? {
                    '\t' | '\n' | '\u{c}' | '\r' => return None,
                    '\\' => word.push('\\'),
                    escaped @ (',' | '=' | ' ') => {
                        word.push(escaped);
                        length += escaped.len_utf8();
                    }
                    other => {
                        word.push('\\');
                        word.push(other);
                        length += other.len_utf8();
                    }
                },
                other => word.push(other),
            }
            self.rest = &self.rest[length..];
        }
        (!word.is_empty()).then_some(word)
    }

    fn number(&mut self) -> Option<Number> {
        let negative = self.take('-');
        let mut text = String::from(if negative { "-" } else { "" });
        text.push_str(self.digits()?);
        if self.take('i') {
            return text.parse().ok().map(Number::Integer);
        }
        if self.take('.') {
            text.push('.');
            text.push_str(self.digits()?);
        }
        text.parse().ok().map(Number::Float)
    }

    fn digits(&mut self) -> Option<&str> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!digits.is_empty()).then_some(digits)
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

fn no_key_twice<T>(pairs: &[(String, T)]) -> bool {
    let mut keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys.windows(2).all(|two| two[0] != two[1])
}

#[test]
fn the_reader_itself_is_strict() {
    let good = r"psstat,a\,b=c\ d\=,process_name=\\x\\,\y p_cpu=0.5,n_proc=3i 1562471764000000000";
    let lines = read(format!("{good}\n").as_bytes());
    assert_eq!(
        lines[0].tags,
        [("a,b".to_owned(), "c d=".to_owned()), ("process_name".to_owned(), r"\\x\,\y".to_owned())]
    );
    assert_eq!((lines[0].p_cpu(), lines[0].n_proc()), (Some(0.5), 3));
    for bad in [
        "",
        "psstat",
        "psstat n_proc=1i",
        "psstat, n_proc=1i 1",
        "psstat,a= n_proc=1i 1",
        "psstat,=a n_proc=1i 1",
        "psstat,a=b\\ n_proc=1i 1",
        "psstat,a=b=c n_proc=1i 1",
        "psstat,a=b c n_proc=1i 1",
        "psstat,a=b,a=c n_proc=1i 1",
        "psstat,a=b  n_proc=1i 1",
        "psstat,a=b n_proc=NaN 1",
        "psstat,a=b n_proc=inf 1",
        "psstat,a=b n_proc=1. 1",
        "psstat,a=b n_proc=1i,n_proc=2i 1",
        "psstat,a=b n_proc=1i 1 ",
        "psstat,a=b n_proc=1i 12345678901234567890",
        "psstat,a=b\u{85} n_proc=1i 1",
    ] {
        let line = format!("{bad}\n");
        let outcome = std::panic::catch_unwind(|| read(line.as_bytes()));
        assert!(outcome.is_err(), "{bad:?} was accepted");
    }
}
