//! JSON: one object per line, in the shape of Telegraf's JSON serializer.
//!
//! ```json
//! {"name":"psstat","tags":{"host":"tengu","process_name":"web"},
//!  "fields":{"p_cpu":0.42,"p_mem":0.001,"n_proc":5},"timestamp":1562471764000000000}
//! ```
//!
//! The output has no line break within an object. The timestamp is in nanoseconds. A field that is
//! not known is left out.

use super::emission::{Emission, quoted};
use alloc::string::String;
use core::fmt::Write as _;

/// Returns one object for each report.
pub fn lines(emission: &Emission<'_>) -> String {
    let mut text = String::new();
    for report in emission.reports {
        text.push_str("{\"name\":\"psstat\",\"tags\":{");
        for (key, value) in emission.tags(report) {
            quoted(key.as_str(), &mut text);
            text.push(':');
            quoted(value.as_str(), &mut text);
            text.push(',');
        }
        text.push_str("\"process_name\":");
        quoted(report.label.as_str(), &mut text);
        text.push_str("},\"fields\":{");
        for (index, (field, value)) in emission.known(report).enumerate() {
            if index > 0 {
                text.push(',');
            }
            quoted(field.name(), &mut text);
            text.push(':');
            value.write(&mut text);
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "}},\"timestamp\":{}}}", emission.taken.0);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::emission::tests::{empty_report, label};
    use crate::field::Fields;
    use crate::model::report::Report;
    use crate::model::units::WallNanos;

    #[test]
    fn each_report_is_an_object_on_its_own_line() {
        let reports = [
            Report {
                cpu: Some(0.42),
                memory: Some(0.001),
                processes: 5,
                ..empty_report("we\"b\\n")
            },
            empty_report("x"),
        ];
        let tags = [(label("host"), label("tengu"))];
        let emission = Emission {
            reports: &reports,
            tags: &[tags.to_vec()],
            fields: &Fields::default(),
            fields_of: &[],
            taken: WallNanos(1_562_471_764_000_000_000),
        };
        assert_eq!(
            lines(&emission),
            "{\"name\":\"psstat\",\"tags\":{\"host\":\"tengu\",\"process_name\":\"we\\\"b\\\\n\"},\
             \"fields\":{\"p_cpu\":0.42,\"p_mem\":0.001,\"n_proc\":5},\
             \"timestamp\":1562471764000000000}\n\
             {\"name\":\"psstat\",\"tags\":{\"host\":\"tengu\",\"process_name\":\"x\"},\
             \"fields\":{\"n_proc\":0},\"timestamp\":1562471764000000000}\n"
        );
    }
}
