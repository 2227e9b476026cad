//! What an error of the system says to users.

use std::io;

/// The text of an error without its number: `No such file or directory`, and not `No such file or
/// directory (os error 2)`.
pub fn text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_is_left_out() {
        assert_eq!(text(&io::Error::from_raw_os_error(2)), "No such file or directory");
        assert_eq!(text(&io::Error::other("broken")), "broken");
    }
}
