//! Quantities in few columns, with units for people. Pure.

use psstat_core::emit::sizes::short_size;
use std::time::Duration;

/// What stands for a value that is not known.
const UNKNOWN: &str = "-";

/// CPU time per elapsed time, as a percentage of one core.
pub fn percent(cores: Option<f64>) -> String {
    match cores.map(|cores| cores * 100.0) {
        None => UNKNOWN.to_owned(),
        Some(percent) if percent < 999.95 => format!("{percent:.1}"),
        Some(percent) => format!("{percent:.0}"),
    }
}

/// The same with its sign, for a text.
pub fn percent_sign(cores: Option<f64>) -> String {
    let sign = if cores.is_some() { "%" } else { "" };
    percent(cores) + sign
}

/// An amount of memory, in powers of 1024.
pub fn bytes(bytes: Option<f64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), short_size)
}

/// A number of things.
pub fn count(count: Option<u64>) -> String {
    match count {
        None => UNKNOWN.to_owned(),
        Some(count @ ..=99_999) => count.to_string(),
        Some(count) => format!("{}k", count / 1000),
    }
}

/// A time, in its two largest units.
pub fn time(time: Option<Duration>) -> String {
    let Some(time) = time else { return UNKNOWN.to_owned() };
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if minutes == 0 {
        format!("{seconds}s")
    } else if hours == 0 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else if days == 0 {
        format!("{hours}h{:02}m", minutes % 60)
    } else {
        format!("{days}d{:02}h", hours % 24)
    }
}

/// The time between two samples.
pub fn interval(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_short() {
        assert_eq!(
            [0.0, 0.0123, 9.9994, 64.0].map(|cores| percent(Some(cores))),
            ["0.0", "1.2", "999.9", "6400"]
        );
        assert_eq!([0.0, 1.5e9].map(|amount| bytes(Some(amount))), ["0B", "1.4G"]);
        assert_eq!([0, 99_999, 100_000].map(|number| count(Some(number))), ["0", "99999", "100k"]);
        let times = [0, 59, 60, 3599, 3600, 86_399, 90_000];
        assert_eq!(
            times.map(|seconds| time(Some(Duration::from_secs(seconds)))),
            ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d01h"]
        );
        assert_eq!([percent_sign(Some(0.5)), percent_sign(None)], ["50.0%", "-"]);
        assert_eq!([percent(None), bytes(None), count(None), time(None)], ["-"; 4]);
        assert_eq!(interval(Duration::from_millis(500)), "500ms");
    }
}
