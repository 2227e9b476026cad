//! Influx line protocol, as Telegraf and InfluxDB parse it.
//!
//! In tag keys and values, a backslash escapes a comma, an equals sign and a space. A backslash
//! itself is not doubled, because neither parser would undo it. A [`Label`] contains nothing else
//! that could break a line: no control character, and no backslash before one of these characters.

use super::emission::Emission;
use crate::field::Value;
use crate::model::label::Label;
use alloc::string::String;
use core::fmt::Write as _;

/// Returns one line for each report that has a field, all with the same timestamp.
pub fn lines(emission: &Emission<'_>) -> String {
    let mut text = String::new();
    for report in emission.reports {
        let start = text.len();
        text.push_str("psstat");
        for (key, value) in emission.tags(report) {
            text.push(',');
            escaped(key, &mut text);
            text.push('=');
            escaped(value, &mut text);
        }
        text.push_str(",process_name=");
        escaped(&report.label, &mut text);
        let mut separator = ' ';
        for (field, value) in emission.known(report) {
            text.push(separator);
            text.push_str(field.name());
            text.push('=');
            value.write(&mut text);
            if let Value::Count(_) = value {
                text.push('i');
            }
            separator = ',';
        }
        if separator == ' ' {
            // A line needs at least one field.
            text.truncate(start);
        } else {
            // Writing to a String cannot fail.
            let _ = writeln!(text, " {}", emission.taken.0);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::emission::tests::empty_report;
    use crate::field::{Field, Fields};
    use crate::model::report::Report;
    use crate::model::units::WallNanos;
    use alloc::borrow::ToOwned;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn lines(reports: &[Report], tags: &[(Label, Label)], taken: WallNanos) -> String {
        let fields = Fields::default();
        let tags = [tags.to_vec()];
        let fields = &fields;
        super::lines(&Emission { reports, tags: &tags, fields, fields_of: &[], taken })
    }

    fn report(name: &[u8], cpu: Option<f64>, memory: Option<f64>, processes: u64) -> Report {
        Report { label: Label::lossy(name), cpu, memory, processes, ..empty_report("x") }
    }

    fn tags(pairs: &[(&str, &str)]) -> Vec<(Label, Label)> {
        let label = |text: &str| Label::lossy(text.as_bytes());
        pairs.iter().map(|(key, value)| (label(key), label(value))).collect()
    }

    #[test]
    fn lines_match_the_specification() {
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
    fn unknown_fields_are_left_out() {
        let text = lines(&[report(b"x", None, None, 3)], &[], WallNanos(7));
        assert_eq!(text, "psstat,process_name=x n_proc=3i 7\n");
        let text = lines(&[report(b"x", None, Some(0.5), 3)], &[], WallNanos(7));
        assert_eq!(text, "psstat,process_name=x p_mem=0.5,n_proc=3i 7\n");
        assert_eq!(lines(&[], &[], WallNanos(7)), "");
    }

    #[test]
    fn fields_keep_their_order_and_empty_lines_are_skipped() {
        let reports = [report(b"x", None, Some(0.5), 3), report(b"y", Some(1.0), None, 4)];
        let fields = Fields::new([Field::Processes, Field::CpuShare]);
        let emission = Emission {
            reports: &reports,
            tags: &[],
            fields: &fields,
            fields_of: &[],
            taken: WallNanos(7),
        };
        let expected =
            "psstat,process_name=x n_proc=3i 7\npsstat,process_name=y n_proc=4i,p_cpu=1 7\n";
        assert_eq!(super::lines(&emission), expected);
        let fields = Fields::new([Field::CpuShare]);
        let emission = Emission { fields: &fields, ..emission };
        assert_eq!(super::lines(&emission), "psstat,process_name=y p_cpu=1 7\n");
    }

    #[test]
    fn special_characters_are_escaped_but_not_backslashes() {
        let name = |name: &[u8]| {
            let text = lines(&[report(name, None, None, 0)], &[], WallNanos(0));
            text["psstat,process_name=".len()..text.len() - " n_proc=0i 0\n".len()].to_owned()
        };
        assert_eq!(name(b"a,b=c d"), "a\\,b\\=c\\ d");
        assert_eq!(name(b"a\\b"), "a\\b");
        assert_eq!(name(b"a\\,b"), "a?\\,b");
        assert_eq!(name(b"foo\\"), "foo");
        assert_eq!(name(b"#x"), "#x");
        assert_eq!(name(b"\"q\""), "\"q\"");
        assert_eq!(name(b"a\nb"), "a\\nb");
        assert_eq!(name(b""), "?");
    }

    /// Splits the tags of a line as Telegraf does: at a comma, equals sign or space without a
    /// backslash before it. Undoes these three escapes and no others.
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
        fn any_name_reads_back_as_its_label(
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
    }
}
