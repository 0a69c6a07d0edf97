//! "Did you mean …?"

/// The candidate that is so close to `word` that a slip of the finger explains it.
pub(crate) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |s: &str| s.to_lowercase().replace('-', "_");
    let word = plain(word);
    // Long words cost quadratic time, and nobody means them.
    if word.len() > 128 {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let keys = ["command", "calls", "scale", "before_start"];
        assert_eq!(did_you_mean("comand", keys), Some("command"));
        assert_eq!(did_you_mean("clals", keys), Some("calls"));
        assert_eq!(did_you_mean("before-start", keys), Some("before_start"));
        assert_eq!(did_you_mean("Scale", keys), Some("scale"));
        assert_eq!(did_you_mean("replicas", keys), None);
        assert_eq!(did_you_mean("x", ["y"]), None);
        assert_eq!(did_you_mean("", keys), None);
    }
}
