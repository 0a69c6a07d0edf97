//! Cuts bytes into lines.

use std::borrow::Cow;

/// The longest line in bytes; what is longer becomes several.
pub(crate) const LONGEST: usize = 16 * 1024;

/// A line, and where in the buffer the next one begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub text: Cow<'a, str>,
    pub end: usize,
}

/// The lines of `bytes`, without their ends. An unfinished last line is left out unless `last`.
pub(crate) fn split(bytes: &[u8], last: bool) -> impl Iterator<Item = Piece<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let window = rest.get(..=LONGEST).unwrap_or(rest);
        let (line, used) = match window.iter().position(|byte| *byte == b'\n') {
            Some(at) => (&rest[..at], at + 1),
            None if rest.len() > LONGEST => {
                let cut = character_boundary(rest);
                (&rest[..cut], cut)
            }
            None if last => (rest, rest.len()),
            None => return None,
        };
        start += used;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Some(Piece { text: String::from_utf8_lossy(line), end: start })
    })
}

/// Where to cut a line that is too long: not inside a character, if it is UTF-8 at all.
fn character_boundary(rest: &[u8]) -> usize {
    let continues = |at: &usize| rest.get(*at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    (LONGEST - 3..=LONGEST).rev().find(|at| !continues(at)).unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(bytes: &[u8], last: bool) -> Vec<String> {
        split(bytes, last).map(|piece| piece.text.into_owned()).collect()
    }

    #[test]
    fn lines_end_at_newlines_and_an_unfinished_one_waits() {
        assert_eq!(texts(b"a\n\r\nb\r\nc", false), ["a", "", "b"]);
        assert_eq!(texts(b"a\nc", true), ["a", "c"]);
        assert_eq!(texts(b"", true), Vec::<String>::new());
        assert_eq!(texts(b"\xff\xfe!\n", false), ["\u{fffd}\u{fffd}!"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = "é".repeat(LONGEST) + "\n";
        let pieces = texts(long.as_bytes(), false);
        assert!(pieces.iter().all(|piece| piece.len() <= LONGEST && !piece.contains('\u{fffd}')));
        assert_eq!(pieces.concat(), long.trim_end());
        let exact = "x".repeat(LONGEST) + "\n";
        assert_eq!(texts(exact.as_bytes(), false), [exact.trim_end()]);
    }

    proptest! {
        #[test]
        fn every_byte_is_in_exactly_one_line(bytes in proptest::collection::vec(any::<u8>(), 0..40_000)) {
            let mut end = 0;
            for piece in split(&bytes, true) {
                prop_assert!(piece.end > end);
                end = piece.end;
            }
            prop_assert_eq!(end, bytes.len());
        }
    }
}
