//! Validation that tells everything at once.

use super::{FieldError, Problem};

/// Gathers what is wrong with a request, so that all of it is told at once.
///
/// ```
/// # use service_kit::problem::Checks;
/// let mut checks = Checks::default();
/// checks.require(3 <= 99, "quantity", "too_large", "Order at most 99.");
/// assert!(checks.finish().is_ok());
/// ```
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes the field's error unless `holds`.
    pub fn require(&mut self, holds: bool, field: &str, code: &str, message: &str) {
        if !holds {
            self.0.push(FieldError { field: field.into(), code: code.into(), message: message.into() });
        }
    }

    /// Notes an error unless the text has between `min` and `max` characters and no control characters but line breaks.
    pub fn text(&mut self, value: &str, field: &str, min: usize, max: usize) {
        let length = value.chars().count();
        let message = format!("Must have between {min} and {max} characters.");
        self.require((min..=max).contains(&length), field, "length", &message);
        let clean = !value.chars().any(|c| c.is_control() && c != '\n' && c != '\r' && c != '\t');
        self.require(clean, field, "control_character", "Must not contain control characters.");
    }

    /// Ends the checking.
    ///
    /// # Errors
    /// 422 `validation_failed` with everything that was noted.
    pub fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut problem = Problem::validation_failed();
        problem.0.errors = self.0;
        Err(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_everything_at_once() {
        let mut checks = Checks::default();
        checks.text("", "name", 1, 5);
        checks.text("a\u{0}", "note", 0, 5);
        checks.require(true, "x", "x", "x");
        let problem = checks.finish().unwrap_err();
        assert_eq!(problem.errors().iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), ["name", "note"]);
    }
}
