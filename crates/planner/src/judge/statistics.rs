//! Exact tests for small counts.

/// The chance to see at least `new_hits` hits among `new` when both groups have the same rate: Fisher's exact test, one-sided
/// (R. A. Fisher, "Statistical Methods for Research Workers", 1934, § 21.02). Given all hits, those of the new group are
/// hypergeometrically distributed.
pub(super) fn fisher(new_hits: u64, new: u64, old_hits: u64, old: u64) -> f64 {
    let (hits, all) = (new_hits + old_hits, new + old);
    let first = ln_choose(new, new_hits) + ln_choose(old, old_hits) - ln_choose(all, hits);
    // P(k + 1) / P(k)
    let ratio = |k: u64| {
        let up = (hits - k) as f64 * (new - k) as f64;
        let down = (k + 1) as f64 * (old + k + 1 - hits) as f64;
        up / down
    };
    tail(first, new_hits, hits.min(new), ratio)
}

/// The chance to see at least `hits` hits in `trials` independent trials, each with the chance `rate`: the exact binomial test.
pub(super) fn binomial(hits: u64, trials: u64, rate: f64) -> f64 {
    if hits == 0 {
        return 1.0;
    }
    if rate <= 0.0 {
        return 0.0;
    }
    let misses = (trials - hits) as f64;
    let first =
        ln_choose(trials, hits) + hits as f64 * rate.ln() + misses * (1.0 - rate).max(f64::MIN_POSITIVE).ln();
    tail(first, hits, trials, |k| (trials - k) as f64 / (k + 1) as f64 * rate / (1.0 - rate))
}

/// Adds up the terms from the one of `from`, of which the logarithm is given, to that of `to`.
fn tail(first: f64, from: u64, to: u64, ratio: impl Fn(u64) -> f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in from..to {
        let ratio = ratio(k);
        term *= ratio;
        sum += term;
        // What is left falls faster than a geometric series.
        if ratio < 1.0 && term < sum * 1e-12 * (1.0 - ratio) {
            break;
        }
    }
    (first + sum.ln()).exp().min(1.0)
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// By Stirling's series, with an error below 1e-10 from 20 on; exactly below that.
fn ln_factorial(n: u64) -> f64 {
    if n < 20 {
        return (2..=n).map(|i| (i as f64).ln()).sum();
    }
    let x = n as f64;
    (x + 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + 1.0 / (12.0 * x)
        - 1.0 / (360.0 * x.powi(3))
        + 1.0 / (1260.0 * x.powi(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected * 1e-6, "{value} is not {expected}");
    }

    #[test]
    fn known_values() {
        // Fisher's lady tasting tea: all four right of eight cups is 1 in 70, three or more 17 in 70.
        near(fisher(4, 4, 0, 4), 1.0 / 70.0);
        near(fisher(3, 4, 1, 4), 17.0 / 70.0);
        near(fisher(0, 10, 5, 10), 1.0);
        near(fisher(2, 100, 0, 9_900), 100.0 * 99.0 / (10_000.0 * 9_999.0));
        near(binomial(1, 10, 0.5), 1.0 - 1.0 / 1024.0);
        near(binomial(10, 10, 0.5), 1.0 / 1024.0);
        near(binomial(0, 10, 0.01), 1.0);
        near(binomial(3, 3, 1.0), 1.0);
        near(ln_factorial(20), 2_432_902_008_176_640_000.0_f64.ln());
        near(ln_factorial(170), 7.257_415_615_307_994e306_f64.ln());
    }

    proptest::proptest! {
        #[test]
        fn they_are_chances_and_more_hits_are_less_likely(
            new in 1u64..5_000, old in 1u64..500_000, hits in 0u64..5_000, old_hits in 0u64..500_000, rate in 0.0f64..1.0,
        ) {
            let (hits, old_hits) = (hits % new, old_hits % old);
            let (now, more) = (fisher(hits, new, old_hits, old), fisher(hits + 1, new, old_hits, old));
            proptest::prop_assert!((0.0..=1.0).contains(&now) && more <= now * (1.0 + 1e-7), "{now} {more}");
            let (now, more) = (binomial(hits, new, rate), binomial(hits + 1, new, rate));
            proptest::prop_assert!((0.0..=1.0).contains(&now) && more <= now * (1.0 + 1e-7), "{now} {more}");
        }
    }
}
