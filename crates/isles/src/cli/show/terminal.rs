//! The terminal: how large it is, and a block of lines at its end that is drawn again and again.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

/// Columns when the output is no terminal: nothing is cut.
const UNLIMITED: usize = 100_000;

/// Columns and rows of the terminal behind `stream`; without bounds when it is none.
pub fn size(stream: &(impl AsFd + IsTerminal)) -> (usize, usize) {
    if !stream.is_terminal() {
        return (UNLIMITED, UNLIMITED);
    }
    match rustix::termios::tcgetwinsize(stream) {
        Ok(size) if size.ws_col > 0 => (usize::from(size.ws_col), usize::from(size.ws_row.max(4))),
        _ => (80, 24),
    }
}

/// Whether lines that were written can be written over.
pub fn can_redraw(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Lines at the end of standard error that are drawn over each time.
#[derive(Debug, Default)]
pub struct Live {
    drawn: usize,
}

impl Live {
    /// Draws `lines` in place of those of the last time. None of them may be wider than the terminal, and there may
    /// not be more of them than it has rows.
    pub fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        // One write a frame, so that no half of it is seen.
        let mut frame = self.erase();
        for line in lines {
            frame.push_str(line);
            frame.push('\n');
        }
        self.drawn = lines.len();
        write(&frame)
    }

    /// Takes the lines away.
    pub fn clear(&mut self) -> io::Result<()> {
        let frame = self.erase();
        self.drawn = 0;
        if frame.is_empty() { Ok(()) } else { write(&frame) }
    }

    fn erase(&self) -> String {
        // Up to the first line that was drawn, and clear to the end of the screen.
        if self.drawn == 0 { String::new() } else { format!("\u{1b}[{}F\u{1b}[J", self.drawn) }
    }
}

/// Clears the line that the cursor is in, and goes to its beginning.
pub fn begin_line() -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(b"\r\x1b[K")?;
    stderr.flush()
}

fn write(frame: &str) -> io::Result<()> {
    // Anstream's own stream would take off the cursor's movements together with the colours.
    let mut stderr = io::stderr().lock();
    match anstream::AutoStream::choice(&stderr) {
        anstream::ColorChoice::Never => stderr.write_all(without_colors(frame).as_bytes())?,
        _ => stderr.write_all(frame.as_bytes())?,
    }
    stderr.flush()
}

/// Takes off styles and leaves the movement of the cursor at the start of a frame.
fn without_colors(frame: &str) -> String {
    let start = frame.find("\u{1b}[J").map_or(0, |at| at + 3);
    let (movement, lines) = frame.split_at(start);
    format!("{movement}{}", anstream::adapter::strip_str(lines))
}
