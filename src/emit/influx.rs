//! Influx line protocol, as Telegraf's parser and InfluxDB read it.
//!
//! In tag keys and values a comma, an equals sign and a space are escaped by a backslash; a
//! backslash is never doubled, because neither reader halves it again. What would break a line in
//! other ways cannot be in a [`Label`].

use crate::account::group::Report;
use crate::label::Label;
use crate::units::WallNanos;
use std::fmt::Write as _;

/// Writes one line per report, all with one time stamp. `tags` go before the group's own.
pub fn lines(reports: &[Report], tags: &[(Label, Label)], now: WallNanos) -> String {
    let mut head = String::from("psstat");
    for (key, value) in tags {
        head.push(',');
        escaped(key, &mut head);
        head.push('=');
        escaped(value, &mut head);
    }
    let mut text = String::new();
    for report in reports {
        text.push_str(&head);
        text.push_str(",process_name=");
        escaped(&report.label, &mut text);
        let mut separator = ' ';
        let mut field = |text: &mut String, key: &str| {
            text.push(separator);
            text.push_str(key);
            text.push('=');
            separator = ',';
        };
        if let Some(cpu) = report.cpu {
            field(&mut text, "p_cpu");
            decimal(cpu, 4, &mut text);
        }
        if let Some(memory) = report.memory {
            field(&mut text, "p_mem");
            decimal(memory, 6, &mut text);
        }
        field(&mut text, "n_proc");
        // A String takes whatever is written to it.
        let _ = writeln!(text, "{}i {}", report.processes, now.0);
    }
    text
}

fn escaped(label: &Label, text: &mut String) {
    for character in label.as_str().chars() {
        if matches!(character, ',' | '=' | ' ') {
            text.push('\\');
        }
        text.push(character);
    }
}

/// Writes a number that is not negative with at most so many decimals, zeros at the end cut.
fn decimal(number: f64, decimals: usize, text: &mut String) {
    // A String takes whatever is written to it.
    let _ = write!(text, "{number:.decimals$}");
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(name: &[u8], cpu: Option<f64>, memory: Option<f64>, processes: u64) -> Report {
        Report { label: Label::lossy(name), cpu, memory, processes }
    }

    fn tags(pairs: &[(&str, &str)]) -> Vec<(Label, Label)> {
        let label = |text: &str| Label::lossy(text.as_bytes());
        pairs.iter().map(|(key, value)| (label(key), label(value))).collect()
    }

    #[test]
    fn lines_are_those_of_the_contract() {
        let reports = [
            report(b"nginx", Some(0.42), Some(0.001), 5),
            report(b"mysql", Some(3.15), Some(1.592), 65),
        ];
        let tags = tags(&[("host", "tengu"), ("env", "production")]);
        assert_eq!(
            lines(&reports, &tags, WallNanos(1562471764000000000)),
            "psstat,host=tengu,env=production,process_name=nginx \
             p_cpu=0.42,p_mem=0.001,n_proc=5i 1562471764000000000\n\
             psstat,host=tengu,env=production,process_name=mysql \
             p_cpu=3.15,p_mem=1.592,n_proc=65i 1562471764000000000\n"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let text = lines(&[report(b"x", None, None, 3)], &[], WallNanos(7));
        assert_eq!(text, "psstat,process_name=x n_proc=3i 7\n");
        let text = lines(&[report(b"x", None, Some(0.5), 3)], &[], WallNanos(7));
        assert_eq!(text, "psstat,process_name=x p_mem=0.5,n_proc=3i 7\n");
        assert_eq!(lines(&[], &[], WallNanos(7)), "");
    }

    #[test]
    fn zeros_at_the_end_are_cut() {
        for (number, decimals, expected) in [
            (0.0, 4, "0"),
            (0.00004, 4, "0"),
            (0.00005001, 4, "0.0001"),
            (1.0, 4, "1"),
            (100.0, 4, "100"),
            (10.1, 4, "10.1"),
            (0.1234567, 6, "0.123457"),
            (0.9999999, 6, "1"),
            (2000.5, 4, "2000.5"),
        ] {
            let mut text = String::new();
            decimal(number, decimals, &mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn commas_equals_signs_and_spaces_are_escaped_and_backslashes_never_doubled() {
        let name = |name: &[u8]| {
            let text = lines(&[report(name, None, None, 0)], &[], WallNanos(0));
            text["psstat,process_name=".len()..text.len() - " n_proc=0i 0\n".len()].to_owned()
        };
        assert_eq!(name(b"a,b=c d"), "a\\,b\\=c\\ d");
        assert_eq!(name(b"a\\b"), "a\\b");
        assert_eq!(name(b"a\\,b"), "a\\\\,b");
        assert_eq!(name(b"foo\\"), "foo");
        assert_eq!(name(b"#x"), "#x");
        assert_eq!(name(b"\"q\""), "\"q\"");
        assert_eq!(name(b"a\nb"), "a\\nb");
        assert_eq!(name(b""), "?");
    }

    /// Splits a line where Telegraf's grammar does: at a comma, equals sign or space that no
    /// backslash stands before; undoes just the three escapes.
    fn tag_values(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if matches!(characters.peek(), Some(',' | '=' | ' ')) => {
                    words.last_mut().unwrap().extend(characters.next());
                }
                ',' | '=' => words.push(String::new()),
                ' ' => break,
                other => words.last_mut().unwrap().push(other),
            }
        }
        words
    }

    proptest! {
        #[test]
        fn any_name_comes_back_as_its_label(
            name in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b"\\\\,= \nab"[..])], 0..20,
            ),
        ) {
            let tags = [(Label::lossy(&name), Label::lossy(&name))];
            let text = lines(&[report(&name, Some(1.0), Some(0.5), 2)], &tags, WallNanos(9));
            prop_assert_eq!(text.matches('\n').count(), 1);
            let label = Label::lossy(&name);
            let label = label.as_str();
            prop_assert_eq!(tag_values(&text), ["psstat", label, label, "process_name", label]);
            prop_assert!(text.ends_with(" p_cpu=1,p_mem=0.5,n_proc=2i 9\n"), "{}", text);
        }

        #[test]
        fn a_decimal_reads_back_within_its_precision(number in 0.0f64..1e6) {
            let mut text = String::new();
            decimal(number, 4, &mut text);
            let back: f64 = text.parse().unwrap();
            prop_assert!((back - number).abs() <= 0.000_050_01);
            prop_assert!(!text.ends_with('.') && (!text.contains('.') || !text.ends_with('0')));
        }
    }
}
