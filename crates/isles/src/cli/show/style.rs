//! Colours and symbols. Text is always styled; the stream it is written to takes the styles off where they are not
//! wanted (`--color`, `NO_COLOR`, a pipe).

use anstyle::{Ansi256Color, AnsiColor, Color, Style};
use console::api::ServiceState;

/// Colours for services, in the middle between black and white, so that they are read on both.
const SERVICES: [u8; 10] = [32, 133, 64, 166, 36, 161, 99, 136, 68, 101];

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

/// The name of a state for a person.
pub fn state_name(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Waiting => "waiting",
        ServiceState::Building => "building",
        ServiceState::Preparing => "preparing",
        ServiceState::Starting => "starting",
        ServiceState::Ready => "ready",
        ServiceState::Degraded => "degraded",
        ServiceState::CrashLoop => "crash loop",
        ServiceState::BuildFailed => "build failed",
        ServiceState::Stopped => "stopped",
        ServiceState::Unknown => "unknown",
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
