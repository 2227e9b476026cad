//! A table for people: a header, a row for each group, and a total where one can be had.
//!
//! ```text
//! GROUP                CPU   MEM%  PROCS
//! web                42.0%   0.1%      5
//! db                315.0%   1.6%     65
//! total (2 groups)  357.0%  ~1.7%     70
//! ```
//!
//! Each cell has its unit. A value that is not known is `-`, and the cell of a field that a group does not
//! print is empty. No line is wider than the screen: long names
//! are cut in the middle, and if that is not enough, columns on the right are left out.

use super::emission::Emission;
use super::sizes::size;
use crate::field::{Field, Unit, Value};
use crate::model::label::Label;
use crate::model::memory::MemoryMode;
use crate::model::report::Report;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use unicode_width::UnicodeWidthChar;

/// Where a table is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// How many columns of characters it has. `None` if lines may have any length.
    pub columns: Option<usize>,
    /// Whether it shows colors.
    pub has_colors: bool,
}

/// What the rows of a table are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The name of the group.
    Name,
    /// The value of this field, the largest first.
    By(Field),
}

/// What is known of the groups of a table besides their reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Groups<'s> {
    /// The groups that have no report, because it is not known who belongs to them.
    pub unknown: &'s [Label],
    /// Whether no process is in two groups. If not, a total would count some processes twice.
    pub are_disjoint: bool,
}

/// How to make a table of the reports of a sample.
#[derive(Clone, Copy, Debug)]
pub struct Style<'s> {
    /// The order of the rows. `None` is the order of the reports.
    pub sort: Option<Sort>,
    /// How the memory was measured.
    pub memory: MemoryMode,
    /// What is known of the groups.
    pub groups: Groups<'s>,
    /// Where the table is shown.
    pub screen: Screen,
}

/// Returns the table. It is empty if there are no groups.
pub fn page(emission: &Emission<'_>, style: &Style<'_>) -> String {
    let mut reports: Vec<&Report> = emission.reports.iter().collect();
    let Groups { unknown, are_disjoint } = style.groups;
    if reports.is_empty() && unknown.is_empty() {
        return String::new();
    }
    match style.sort {
        None => {}
        Some(Sort::Name) => reports.sort_by(|a, b| a.label.cmp(&b.label)),
        // What is not known comes last.
        Some(Sort::By(field)) => reports.sort_by(|a, b| {
            let is_column = emission.fields.as_slice().contains(&field);
            let is_shown = |report| !is_column || emission.shows(report, field);
            let shown = |report| field.value(report).filter(|_| is_shown(report));
            let number = |report| shown(report).map_or(-1.0, Value::number);
            number(b).total_cmp(&number(a))
        }),
    }
    let fields = emission.fields.as_slice();
    let mut rows: Vec<Row> = Vec::from([header(fields)]);
    rows.extend(reports.iter().map(|report| row(report, emission)));
    rows.extend(unknown.iter().map(|label| unknown_row(label, fields)));
    let needs_total = reports.len() > 1;
    if needs_total && are_disjoint {
        let mut total = total(&reports, emission, style.memory);
        if !unknown.is_empty() {
            let all = reports.len() + unknown.len();
            total.name = format!("{TOTAL} ({} of {all} groups)", reports.len());
        }
        rows.push(total);
    }
    let layout = Layout::of(&rows, style.screen.columns);
    let mut text = String::new();
    for row in &rows {
        layout.write(row, style.screen.has_colors, &mut text);
    }
    if needs_total && !are_disjoint {
        text.push_str(&cut("no total: groups overlap", style.screen.columns));
        text.push('\n');
    }
    text
}

/// A line of the table.
struct Row {
    name: String,
    cells: Vec<String>,
    look: Look,
}

/// How a line looks in color.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    Header,
    Total,
    /// The group has no process, or nobody knows.
    Down,
}

const NOT_KNOWN: &str = "-";

/// The name of the last row, if there is no room to say of how many groups.
const TOTAL: &str = "total";

fn header(fields: &[Field]) -> Row {
    let cells = fields.iter().map(|field| field.row().title.to_owned());
    Row { name: "GROUP".to_owned(), cells: cells.collect(), look: Look::Header }
}

fn row(report: &Report, emission: &Emission<'_>) -> Row {
    let cell = |field: &Field| match field.value(report) {
        _ if !emission.shows(report, *field) => String::new(),
        Some(value) => cell(value.number(), field.row().unit),
        None => NOT_KNOWN.to_owned(),
    };
    Row {
        name: shown(&report.label),
        cells: emission.fields.as_slice().iter().map(cell).collect(),
        look: if report.processes == 0 { Look::Down } else { Look::Plain },
    }
}

/// A group of which it is not known who belongs to it. It comes after all others.
fn unknown_row(label: &Label, fields: &[Field]) -> Row {
    let cells = fields.iter().map(|_| "?".to_owned()).collect();
    Row { name: shown(label), cells, look: Look::Down }
}

/// The total of groups that have no process in common. The total of a field is not known if one of its
/// values is not. There is none if a group does not print the field.
fn total(reports: &[&Report], emission: &Emission<'_>, memory: MemoryMode) -> Row {
    let is_of_all = |field| reports.iter().all(|report| emission.shows(report, field));
    let sum = |field: Field| {
        let values = reports.iter().map(|report| field.value(report).map(Value::number));
        values.sum::<Option<f64>>()
    };
    let cell = |&field: &Field| match (field, sum(field)) {
        // The age of a group is that of its oldest process. Groups stall and are limited at the same time.
        (field, _) if !adds_up(field) || !is_of_all(field) => String::new(),
        (_, None) => NOT_KNOWN.to_owned(),
        // Groups can have pages in common, of a library for example. Only PSS divides them up.
        (Field::Memory | Field::MemoryShare, Some(sum)) if memory != MemoryMode::Pss => {
            format!("~{}", cell(sum, field.row().unit))
        }
        (_, Some(sum)) => cell(sum, field.row().unit),
    };
    let cells = emission.fields.as_slice().iter().map(cell).collect();
    Row { name: format!("{TOTAL} ({} groups)", reports.len()), cells, look: Look::Total }
}

/// Whether the sum of a field over groups means anything.
fn adds_up(field: Field) -> bool {
    !matches!(
        field,
        Field::Uptime
            | Field::CpuPressure
            | Field::MemoryPressure
            | Field::IoPressure
            | Field::MemoryLimit
            | Field::MemoryPeak
    )
}

// ---- Values -------------------------------------------------------------------------------------

/// A value with its unit.
fn cell(number: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{}%", tenths(number * 100.0)),
        Unit::Count => format!("{number:.0}"),
        Unit::Bytes => size(number),
        Unit::BytesPerSecond => format!("{}/s", size(number)),
        Unit::PerSecond => format!("{}/s", tenths(number)),
        Unit::Seconds => duration(number),
    }
}

/// A number with one decimal. What would be rounded to 0 and is more is not shown as 0.
fn tenths(number: f64) -> String {
    if number > 0.0 && number < 0.05 { "<0.1".to_owned() } else { format!("{number:.1}") }
}

/// Seconds as the two largest of days, hours, minutes and seconds.
fn duration(seconds: f64) -> String {
    if seconds < 9.995 {
        return format!("{seconds:.2}s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1}s");
    }
    let rounded = Duration::try_from_secs_f64(seconds + 0.5);
    let seconds = rounded.map_or(u64::MAX, |rounded| rounded.as_secs());
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours) {
        (0, 0) => format!("{minutes}m {}s", seconds % 60),
        (0, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

// ---- Layout -------------------------------------------------------------------------------------

/// The gap between two columns.
const GAP: usize = 2;

/// A name that has at least this width is not cut further while there are columns to leave out.
const SHORTEST_NAME: usize = 8;

/// What a cut text has in place of what was left out.
const ELLIPSIS: char = '…';

/// The widths of the columns.
struct Layout {
    name: usize,
    /// The columns that are shown, from the left.
    columns: Vec<usize>,
    /// Whether there is room to say that some are not.
    has_mark: bool,
}

impl Layout {
    fn of(rows: &[Row], limit: Option<usize>) -> Layout {
        let widest = |cells: &mut dyn Iterator<Item = &str>| cells.map(width).max().unwrap_or(0);
        let name = widest(&mut rows.iter().map(|row| row.name.as_str()));
        let count = rows.first().map_or(0, |row| row.cells.len());
        let column = |index: usize| widest(&mut rows.iter().map(|row| row.cells[index].as_str()));
        let mut columns: Vec<usize> = (0..count).map(column).collect();
        let Some(limit) = limit else { return Layout { name, columns, has_mark: false } };
        let needed = |columns: &[usize]| -> usize {
            // The mark takes as much room as a gap.
            let mark = if columns.len() < count { GAP } else { 0 };
            columns.iter().map(|column| GAP + column).sum::<usize>() + mark
        };
        while !columns.is_empty() && needed(&columns) + name.min(SHORTEST_NAME) > limit {
            columns.pop();
        }
        let room = limit.saturating_sub(needed(&columns)).max(1);
        let has_mark = columns.len() < count && limit > needed(&columns);
        Layout { name: name.min(room), columns, has_mark }
    }

    fn write(&self, row: &Row, has_colors: bool, text: &mut String) {
        let whole = match row.look {
            Look::Total if width(&row.name) > self.name => TOTAL,
            _ => &row.name,
        };
        let name = cut(whole, Some(self.name));
        let mut line = painted(&name, row.look, has_colors);
        let mut blanks = self.name - width(&name).min(self.name);
        for (cell, column) in row.cells.iter().zip(&self.columns) {
            blanks += GAP + column - width(cell);
            if cell.is_empty() {
                continue;
            }
            line.extend(core::iter::repeat_n(' ', core::mem::take(&mut blanks)));
            let look = if row.look == Look::Down { Look::Plain } else { row.look };
            line.push_str(&painted(cell, look, has_colors));
        }
        if self.has_mark && row.look == Look::Header {
            line.extend(core::iter::repeat_n(' ', blanks + GAP - 1));
            line.push(ELLIPSIS);
        }
        text.push_str(&line);
        text.push('\n');
    }
}

fn painted(text: &str, look: Look, has_colors: bool) -> String {
    match look {
        Look::Header | Look::Total if has_colors => format!("\x1b[1m{text}\x1b[0m"),
        Look::Down if has_colors => format!("\x1b[33m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

/// A label as a table shows it. Characters that have no place of their own and change how others are shown
/// would shift columns, so they are replaced or left out.
fn shown(label: &Label) -> String {
    let shown = |character| match character {
        // Variation selectors: with them, terminals disagree on the width of the character before.
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => None,
        // Controls of direction, joiners, separators, invisible operators and tags.
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Some('?'),
        other => Some(other),
    };
    let text: String = label.as_str().chars().filter_map(shown).collect();
    // A name of nothing that can be seen would leave its line empty.
    if width(&text) == 0 { "?".into() } else { text }
}

/// How many columns of a terminal a text takes.
fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn width_of(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// A text, cut in the middle if it is wider than the limit: beginning and end tell names apart.
fn cut(text: &str, limit: Option<usize>) -> String {
    let limit = match limit {
        Some(limit) if width(text) > limit => limit,
        _ => return text.to_owned(),
    };
    let Some(room) = limit.checked_sub(1) else { return String::new() };
    let end = fitting(text.chars().rev(), room / 2);
    let begin = fitting(text.chars(), room - room / 2);
    let end = text.chars().count() - end;
    let begin = text.chars().take(begin);
    begin.chain([ELLIPSIS]).chain(text.chars().skip(end)).collect()
}

/// How many of the characters fit in a room.
fn fitting(characters: impl Iterator<Item = char>, room: usize) -> usize {
    let mut taken = 0;
    characters
        .take_while(|&character| {
            taken += width_of(character);
            taken <= room
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::emission::tests::{empty_report, label};
    use crate::field::Fields;
    use crate::model::control_group::Figure;
    use crate::model::report::{Rate, Tally};
    use crate::model::units::{Bytes, CpuNanos, WallNanos};
    use alloc::collections::BTreeMap;
    use alloc::vec;
    use proptest::prelude::*;

    const STYLE: Style<'_> = Style {
        sort: None,
        memory: MemoryMode::Auto,
        groups: Groups { unknown: &[], are_disjoint: true },
        screen: Screen { columns: None, has_colors: false },
    };

    fn wide(columns: usize) -> Style<'static> {
        Style { screen: Screen { columns: Some(columns), has_colors: false }, ..STYLE }
    }

    fn table(reports: &[Report], fields: &[Field], style: &Style<'_>) -> String {
        let fields = Fields::new(fields.iter().copied());
        table_of(reports, &fields, &[], style)
    }

    /// A table as it is written here, with a line feed in front.
    fn assert_table(shown: &str, expected: &str) {
        assert_eq!(shown, expected.strip_prefix('\n').unwrap(), "\n{shown}");
    }

    /// Some groups with values of every size.
    fn reports() -> Vec<Report> {
        let rates = |values: [f64; 4]| -> BTreeMap<Rate, f64> {
            Rate::ALL.into_iter().zip(values).collect()
        };
        vec![
            Report {
                cpu: Some(0.42),
                memory: Some(0.001),
                processes: 5,
                bytes: Some(Bytes(17_000_000)),
                threads: Some(9),
                zombies: Some(0),
                open_files: Some(40),
                uptime: Some(Duration::from_secs(93_784)),
                cpu_time: Some(CpuNanos(83_250_000_000)),
                rates: rates([0.0, 1536.0, 0.01, 1234.56]),
                ..empty_report("web")
            },
            Report {
                cpu: Some(3.15),
                memory: Some(0.0158),
                processes: 65,
                bytes: Some(Bytes(269_000_000)),
                threads: Some(70),
                zombies: Some(1),
                open_files: Some(812),
                uptime: Some(Duration::from_millis(1500)),
                cpu_time: Some(CpuNanos(8_000_000_000_000)),
                rates: rates([2.5e9, 20.0, 7.25, 99.96]),
                ..empty_report("postgresql@15-main.service")
            },
            Report { cpu: Some(0.0001), processes: 0, ..empty_report("größe 数据库") },
        ]
    }

    #[test]
    fn a_table_has_header_rows_and_total() {
        assert_table(
            &table(&reports(), &Field::DEFAULT, &STYLE),
            "
GROUP                          CPU  MEM%  PROCS
web                          42.0%  0.1%      5
postgresql@15-main.service  315.0%  1.6%     65
größe 数据库                 <0.1%     -      0
total (3 groups)            357.0%     -     70
",
        );
        let all: Vec<Field> = Field::all().take_while(|&field| field != Field::Swap).collect();
        assert_table(
            &table(&reports()[..2], &all, &STYLE),
            "
GROUP                          CPU   MEM%  PROCS  CPU TIME       MEM  THREADS  ZOMBIES  FDS       READ      WRITE  FAULTS  SWITCHES  UPTIME
web                          42.0%   0.1%      5    1m 23s  16.2 MiB        9        0   40      0 B/s  1.5 KiB/s  <0.1/s  1234.6/s   1d 2h
postgresql@15-main.service  315.0%   1.6%     65    2h 13m   257 MiB       70        1  812  2.3 GiB/s     20 B/s   7.2/s   100.0/s   1.50s
total (2 groups)            357.0%  ~1.7%     70    2h 14m  ~273 MiB       79        1  852  2.3 GiB/s  1.5 KiB/s   7.3/s  1334.5/s
",
        );
    }

    #[test]
    fn what_control_groups_feel_has_a_total_only_if_it_adds_up() {
        let killed = |name, number: u64| Report {
            swap: Some(Bytes(number << 20)),
            starts: Some(number),
            gains: Figure::COUNTERS
                .into_iter()
                .map(|figure| (figure, 0.01 * number as f64))
                .collect(),
            levels: Figure::LEVELS.into_iter().map(|figure| (figure, number << 20)).collect(),
            totals: [(Tally::Figure(Figure::OomKills), number)].into(),
            ..empty_report(name)
        };
        let fields: Vec<Field> = Field::all().skip_while(|&field| field != Field::Swap).collect();
        assert_table(
            &table(&[killed("web", 3), killed("db", 40)], &fields, &STYLE),
            "
GROUP                 SWAP  STARTS  THROTTLED  CPU STALL  MEM STALL  IO STALL  OOM KILLS  MEM LIMIT  MEM PEAK
web                3.0 MiB       3       3.0%       3.0%       3.0%      3.0%          3    3.0 MiB   3.0 MiB
db                40.0 MiB      40      40.0%      40.0%      40.0%     40.0%         40   40.0 MiB  40.0 MiB
total (2 groups)  43.0 MiB      43      43.0%                                         43
",
        );
    }

    fn table_of(
        reports: &[Report],
        fields: &Fields,
        fields_of: &[Fields],
        style: &Style<'_>,
    ) -> String {
        page(&Emission { reports, tags: &[], fields, fields_of, taken: WallNanos(7) }, style)
    }

    #[test]
    fn the_cell_of_a_field_that_a_group_does_not_print_is_empty() {
        let mut both = reports()[..2].to_vec();
        both[1].selector = 1;
        let fields = Fields::new([Field::CpuShare, Field::Processes]);
        let fields_of = [Fields::new([Field::Processes]), fields.clone()];
        let style = Style { sort: Some(Sort::By(Field::CpuShare)), ..STYLE };
        assert_table(
            &table_of(&both, &fields, &fields_of, &style),
            "
GROUP                          CPU  PROCS
postgresql@15-main.service  315.0%     65
web                                     5
total (2 groups)                       70
",
        );
    }

    #[test]
    fn a_narrow_screen_cuts_names_and_then_leaves_columns_out() {
        assert_table(
            &table(&reports(), &Field::DEFAULT, &wide(40)),
            "
GROUP                   CPU  MEM%  PROCS
web                   42.0%  0.1%      5
postgresq…n.service  315.0%  1.6%     65
größe 数据库          <0.1%     -      0
total (3 groups)     357.0%     -     70
",
        );
        assert_table(
            &table(&reports()[..2], &Field::DEFAULT, &wide(26)),
            "
GROUP         CPU   MEM% …
web         42.0%   0.1%
post…vice  315.0%   1.6%
total      357.0%  ~1.7%
",
        );
    }

    #[test]
    fn groups_that_are_not_known_have_a_row() {
        let unknown = [label("who")];
        let groups = Groups { unknown: &unknown, are_disjoint: true };
        assert_table(
            &table(&reports()[..2], &Field::DEFAULT, &Style { groups, ..STYLE }),
            "
GROUP                          CPU   MEM%  PROCS
web                          42.0%   0.1%      5
postgresql@15-main.service  315.0%   1.6%     65
who                              ?      ?      ?
total (2 of 3 groups)       357.0%  ~1.7%     70
",
        );
        let alone = table(&[], &[Field::Processes], &Style { groups, ..STYLE });
        assert_eq!(alone, "GROUP  PROCS\nwho        ?\n");
    }

    #[test]
    fn what_cannot_be_added_has_no_total() {
        let both = &reports()[..2];
        let fields = [Field::Memory, Field::Uptime];
        let last = |style: &Style<'_>| {
            let shown = table(both, &fields, style);
            shown.lines().last().unwrap().to_owned()
        };
        assert_eq!(last(&STYLE), "total (2 groups)            ~273 MiB");
        let exact = Style { memory: MemoryMode::Pss, ..STYLE };
        assert_eq!(last(&exact), "total (2 groups)             273 MiB");
        let overlap = Groups { are_disjoint: false, ..STYLE.groups };
        let overlapping = Style { groups: overlap, ..STYLE };
        assert_eq!(last(&overlapping), "no total: groups overlap");
        let narrow = Style { groups: overlap, ..wide(10) };
        assert_eq!(last(&narrow), "no to…rlap");
        let one = table(&both[..1], &fields, &STYLE);
        assert_eq!(one.lines().count(), 2, "the only group is its own total: {one}");
        assert_eq!(table(&[], &fields, &STYLE), "");
    }

    #[test]
    fn rows_are_sorted_as_asked() {
        let names = |sort| {
            let style = Style { sort, ..STYLE };
            let shown = table(&reports(), &Field::DEFAULT, &style);
            let names: Vec<String> =
                shown.lines().map(|line| line.chars().take(3).collect()).collect();
            names[1..4].join(" ")
        };
        assert_eq!(names(None), "web pos grö");
        assert_eq!(names(Some(Sort::Name)), "grö pos web");
        assert_eq!(names(Some(Sort::By(Field::CpuShare))), "pos web grö");
        assert_eq!(names(Some(Sort::By(Field::MemoryShare))), "pos web grö", "unknown comes last");
        assert_eq!(names(Some(Sort::By(Field::Uptime))), "web pos grö");
        assert_eq!(names(Some(Sort::By(Field::Zombies))), "pos web grö");
    }

    #[test]
    fn colors_mark_header_total_and_groups_without_processes() {
        let screen = Screen { columns: None, has_colors: true };
        let shown = table(&reports()[1..], &[Field::Processes], &Style { screen, ..STYLE });
        assert_eq!(
            shown,
            "\x1b[1mGROUP\x1b[0m                       \x1b[1mPROCS\x1b[0m\n\
             postgresql@15-main.service     65\n\
             \x1b[33mgröße 数据库\x1b[0m                    0\n\
             \x1b[1mtotal (2 groups)\x1b[0m               \x1b[1m65\x1b[0m\n"
        );
    }

    #[test]
    fn values_have_units_for_people() {
        for (number, unit, expected) in [
            (0.0, Unit::Share, "0.0%"),
            (0.0004, Unit::Share, "<0.1%"),
            (0.0005, Unit::Share, "0.1%"),
            (12.0, Unit::Share, "1200.0%"),
            (0.0, Unit::Bytes, "0 B"),
            (17e6, Unit::Bytes, "16.2 MiB"),
            (3.0e6, Unit::BytesPerSecond, "2.9 MiB/s"),
            (0.04, Unit::PerSecond, "<0.1/s"),
            (0.0, Unit::Seconds, "0.00s"),
            (9.994, Unit::Seconds, "9.99s"),
            (9.996, Unit::Seconds, "10.0s"),
            (59.94, Unit::Seconds, "59.9s"),
            (59.96, Unit::Seconds, "1m 0s"),
            (3599.6, Unit::Seconds, "1h 0m"),
            (86_399.6, Unit::Seconds, "1d 0h"),
            (1e7, Unit::Seconds, "115d 17h"),
        ] {
            assert_eq!(cell(number, unit), expected, "{number}");
        }
    }

    #[test]
    fn names_are_cut_in_the_middle() {
        for (limit, expected) in [
            (26, "postgresql@15-main.service"),
            (25, "postgresql@1…main.service"),
            (8, "post…ice"),
            (2, "p…"),
            (1, "…"),
            (0, ""),
        ] {
            assert_eq!(cut("postgresql@15-main.service", Some(limit)), expected);
        }
        assert_eq!(cut("数据库数据库", Some(7)), "数…库", "half a character cannot be shown");
        assert_eq!(shown(&label("a\u{202e}b\u{200d}c\u{fe0f}d\u{2028}")), "a?b?cd?");
        assert_eq!(shown(&label("\u{fe0f}")), "?");
    }

    fn any_report() -> impl Strategy<Value = Report> {
        let name =
            prop_oneof!["\\PC{0,40}", "[a-z\u{300}数\u{200b}\u{202e}\u{fe0f}\u{1f600}]{0,60}",];
        let values = (
            proptest::option::of(0.0..1e4f64),
            proptest::option::of(0.0..1.0f64),
            proptest::option::of(any::<u64>()),
            proptest::option::of(any::<u32>()),
        );
        (name, values, any::<u32>()).prop_map(|(name, (cpu, memory, bytes, uptime), count)| {
            Report {
                cpu,
                memory,
                processes: count.into(),
                bytes: bytes.map(Bytes),
                uptime: uptime.map(|uptime| Duration::from_secs(uptime.into())),
                ..empty_report(&name)
            }
        })
    }

    proptest! {
        #[test]
        fn lines_fit_and_columns_align(
            reports in proptest::collection::vec(any_report(), 1..6),
            columns in proptest::option::of(1usize..120),
            are_disjoint: bool,
        ) {
            let fields = [Field::CpuShare, Field::MemoryShare, Field::Processes, Field::Memory, Field::Uptime];
            let groups = Groups { unknown: &[], are_disjoint };
            let style = Style { screen: Screen { columns, has_colors: false }, groups, ..STYLE };
            let shown = table(&reports, &fields, &style);
            let lines: Vec<&str> = shown.lines().collect();
            let has_last = usize::from(reports.len() > 1);
            prop_assert_eq!(lines.len(), 1 + reports.len() + has_last);
            for line in &lines {
                prop_assert!(!line.is_empty(), "{}", shown);
                prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
                prop_assert!(columns.is_none_or(|columns| width(line) <= columns), "{:?}\n{}", columns, shown);
            }
            // The last column has a cell in each row, which ends where the header does.
            let mark = [GAP - 1, 1].map(|count| " ".repeat(count));
            let header = lines[0].strip_suffix(ELLIPSIS).map_or(lines[0], |rest| rest.strip_suffix(&mark[0]).unwrap_or(rest));
            for row in &lines[1..=reports.len()] {
                let has_cells = fields.iter().any(|field| header.contains(field.row().title));
                prop_assert!(!has_cells || width(row) == width(header), "\n{}", shown);
            }
            // Colors change nothing else.
            let screen = Screen { has_colors: true, ..style.screen };
            let painted = table(&reports, &fields, &Style { screen, ..style });
            let plain = ["\x1b[0m", "\x1b[1m", "\x1b[33m"].iter().fold(painted, |text, code| text.replace(code, ""));
            prop_assert_eq!(plain, shown);
        }
    }
}
