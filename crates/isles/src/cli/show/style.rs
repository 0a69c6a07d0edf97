//! Colours and symbols. Text is always styled; the stream it is written to takes the styles off where they are not
//! wanted (`--color`, `NO_COLOR`, a pipe).

use anstyle::{Ansi256Color, AnsiColor, Color, Style};
use console::api::ServiceState;

/// Colours for services, in the middle between black and white, so that they are read on both.
const SERVICES: [u8; 10] = [31, 133, 64, 130, 63, 29, 161, 97, 28, 131];

fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn ansi(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color)))
}

/// All is well.
pub fn good(text: &str) -> String {
    painted(ansi(AnsiColor::Green), text)
}

/// Under way, or worth a look.
pub fn busy(text: &str) -> String {
    painted(ansi(AnsiColor::Yellow), text)
}

/// Failed.
pub fn bad(text: &str) -> String {
    painted(ansi(AnsiColor::Red).bold(), text)
}

/// Something to know or to do.
pub fn note(text: &str) -> String {
    painted(ansi(AnsiColor::Cyan), text)
}

/// Less important.
pub fn dim(text: &str) -> String {
    painted(Style::new().dimmed(), text)
}

/// A heading or a name.
pub fn strong(text: &str) -> String {
    painted(Style::new().bold(), text)
}

/// In the colour of the `index`th service.
pub fn service(index: usize, text: &str) -> String {
    let color = Color::Ansi256(Ansi256Color(SERVICES[index % SERVICES.len()]));
    painted(Style::new().fg_color(Some(color)), text)
}

/// In the colour of a service's state.
pub fn state(state: ServiceState, text: &str) -> String {
    match state {
        ServiceState::Ready => good(text),
        ServiceState::CrashLoop | ServiceState::BuildFailed => bad(text),
        ServiceState::Waiting | ServiceState::Stopped | ServiceState::Unknown => dim(text),
        ServiceState::Building
        | ServiceState::Preparing
        | ServiceState::Starting
        | ServiceState::Degraded => busy(text),
    }
}

/// In the colour of a replica's phase.
pub fn phase(phase: &str, text: &str) -> String {
    match phase {
        "ready" => good(text),
        "crash_loop" | "exited" => bad(text),
        "starting" | "unready" | "back_off" => busy(text),
        _ => dim(text),
    }
}

/// Signs that stand before a line.
#[derive(Debug, Clone, Copy)]
pub struct Symbols {
    /// Done.
    pub done: &'static str,
    /// Failed.
    pub failed: &'static str,
    /// Worth a look.
    pub warning: &'static str,
    /// Nothing happens.
    pub idle: &'static str,
    /// Under way: shown one after the other.
    pub busy: &'static [&'static str],
    /// Between a name and its line.
    pub bar: &'static str,
    /// In place of what is cut off.
    pub ellipsis: &'static str,
}

/// For terminals that show UTF-8.
pub const UNICODE: Symbols = Symbols {
    done: "✓",
    failed: "✗",
    warning: "!",
    idle: "·",
    busy: &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
    bar: "│",
    ellipsis: "…",
};

/// For everything else.
pub const ASCII: Symbols = Symbols {
    done: "+",
    failed: "x",
    warning: "!",
    idle: "-",
    busy: &["|", "/", "-", "\\"],
    bar: "|",
    ellipsis: "~",
};

impl Symbols {
    /// Those that the user's locale can show (`LC_ALL`, `LC_CTYPE`, `LANG`, in this order).
    pub fn of_locale() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
            .unwrap_or_default()
            .to_ascii_lowercase();
        // An unset locale says nothing about the terminal, and terminals that are not UTF-8 are the rare ones.
        if locale.is_empty() || locale.contains("utf-8") || locale.contains("utf8") { UNICODE } else { ASCII }
    }

    /// The sign of a service's state at a tick of the animation.
    pub fn of(&self, state: ServiceState, tick: usize) -> &'static str {
        match state {
            ServiceState::Ready => self.done,
            ServiceState::CrashLoop | ServiceState::BuildFailed => self.failed,
            ServiceState::Degraded => self.warning,
            ServiceState::Waiting | ServiceState::Stopped | ServiceState::Unknown => self.idle,
            ServiceState::Building | ServiceState::Preparing | ServiceState::Starting => {
                self.busy[tick % self.busy.len()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of a colour of the 6x6x6 cube, as WCAG 2 defines it.
    fn luminance(index: u8) -> f64 {
        let level = |n: u8| if n == 0 { 0.0 } else { (55.0 + 40.0 * f64::from(n)) / 255.0 };
        let linear = |v: f64| if v <= 0.03928 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
        let cube = index - 16;
        let [r, g, b] = [cube / 36, cube / 6 % 6, cube % 6].map(|n| linear(level(n)));
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn service_colours_are_read_on_black_and_on_white() {
        for index in SERVICES {
            let l = luminance(index);
            let (on_white, on_black) = (1.05 / (l + 0.05), (l + 0.05) / 0.05);
            assert!(
                on_white > 4.0 && on_black > 4.0,
                "{index}: {on_white:.1} on white, {on_black:.1} on black"
            );
        }
    }
}
