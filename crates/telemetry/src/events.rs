//! What happened at one moment: deploys, replicas that came and went, scaling, circuit breakers, ejections.

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in Unix milliseconds.
    pub at: u64,
    /// Of which kind: a word.
    pub kind: String,
    /// To which service; none where it is of the whole app.
    pub service: Option<String>,
    /// What, with its reason, in a sentence.
    pub text: String,
}

/// Which of them: those within a time, the latest, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// From this time on, in Unix milliseconds.
    pub from: u64,
    /// Only of this service.
    pub service: Option<String>,
    /// At most so many.
    pub most: usize,
}

impl Wanted {
    /// Whether it is one of them, if there is room.
    pub(crate) fn takes(&self, event: &Event) -> bool {
        event.at >= self.from && (self.service.is_none() || self.service == event.service)
    }
}
