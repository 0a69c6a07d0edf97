//! Tables, and simulated canaries by the thousand.

use fastrand::Rng;

use super::*;

fn sample(requests: u64, failures: u64, passed_on: u64) -> Sample {
    Sample { requests, failures, passed_on, latencies: Latencies::default() }
}

fn one(old: Sample, new: Sample) -> Evidence {
    Evidence { callers: [("gateway".to_owned(), Pair { old, new })].into() }
}

#[track_caller]
fn bad(evidence: &Evidence, expected: &str) {
    match judge(evidence, 99.0) {
        Verdict::Bad { reasons } | Verdict::Slow { reasons } => {
            assert!(reasons.join("\n").contains(expected), "{reasons:#?}")
        }
        other => panic!("not bad: {other:?}"),
    }
}

#[track_caller]
fn fine(evidence: &Evidence) {
    let verdict = judge(evidence, 99.0);
    assert!(!matches!(verdict, Verdict::Bad { .. } | Verdict::Slow { .. }), "{verdict:?}");
}

#[test]
fn failures_by_count() {
    // Nothing, or next to nothing, is no evidence.
    assert_eq!(judge(&Evidence::default(), 99.0), Verdict::TooLittle { have: 0, need: 300 });
    fine(&one(sample(10_000, 0, 0), sample(5, 5, 0)));
    assert_eq!(
        judge(&one(sample(9_900, 5, 0), sample(100, 0, 0)), 99.0),
        Verdict::TooLittle { have: 100, need: 300 }
    );
    assert!(matches!(judge(&one(sample(9_900, 9, 0), sample(300, 0, 0)), 99.0), Verdict::Good { .. }));
    // All of a few.
    bad(&one(sample(1_000, 0, 0), sample(12, 12, 0)), "100.00 % of 12");
    bad(&one(sample(10_000, 10, 0), sample(400, 20, 0)), "5.00 % of 400");
    // The same at both: not the release's fault.
    fine(&one(sample(10_000, 5_000, 0), sample(500, 250, 0)));
    // Without an old one there is the bound only.
    bad(&one(sample(0, 0, 0), sample(500, 50, 0)), "99 % have to succeed");
    fine(&one(sample(0, 0, 0), sample(500, 5, 0)));
}

#[test]
fn what_is_passed_on_from_a_callee_does_not_count() {
    fine(&one(sample(10_000, 0, 0), sample(1_000, 300, 300)));
    let Verdict::Good { text } = judge(&one(sample(10_000, 0, 0), sample(1_000, 300, 299)), 99.0) else {
        panic!()
    };
    assert!(text.contains("299 more failures came from its callees"), "{text}");
    // A release that fails beside a callee that fails is still found.
    bad(&one(sample(10_000, 3_000, 3_000), sample(1_000, 350, 300)), "5.00 % of 1000");
}

#[test]
fn one_caller_of_many() {
    let pair = |old, new| Pair { old, new };
    let mut evidence = Evidence {
        callers: (0..9).map(|i| (format!("c{i}"), pair(sample(9_000, 9, 0), sample(1_000, 1, 0)))).collect(),
    };
    evidence.callers.insert("orders".into(), pair(sample(300, 0, 0), sample(30, 30, 0)));
    bad(&evidence, "(30 of the 39 failures are calls of orders)");
    // Few among many are not seen in the sum, only at the caller.
    evidence.callers.insert("orders".into(), pair(sample(300, 0, 0), sample(12, 10, 0)));
    bad(&evidence, "orders");
    assert!(worse("", &evidence.total(), 99.0, ALARM / (STEPS * LOOKS)).is_nothing());
}

/// Answers that take `ms` give or take a quarter, in buckets 4 % wide.
fn latencies(rng: &mut Rng, count: u64, ms: f64) -> Latencies {
    let bucket = |ms: f64| Duration::from_secs_f64(1.04_f64.powf(ms.ln() / 1.04_f64.ln()).max(0.01) / 1e3);
    let rounded = |ms: f64| bucket(1.04_f64.powf((ms.ln() / 1.04_f64.ln()).ceil()));
    (0..count).map(|_| (rounded(ms * (0.75 + rng.f64() / 2.0)), 1)).collect()
}

#[test]
fn latency_by_distribution() {
    let rng = &mut Rng::with_seed(1);
    let mut with = |old: (u64, f64), new: (u64, f64)| {
        let sample =
            |latencies: Latencies| Sample { requests: latencies.count(), latencies, ..Sample::default() };
        one(sample(latencies(rng, old.0, old.1)), sample(latencies(rng, new.0, new.1)))
    };
    bad(&with((5_000, 20.0), (50, 60.0)), "the p50 of all callers is");
    fine(&with((5_000, 20.0), (500, 20.0)));
    fine(&with((5_000, 20.0), (500, 24.0)));
    fine(&with((5_000, 0.3), (500, 0.9)));
    fine(&with((0, 1.0), (500, 100.0)));
    // A tenth of the answers hang.
    let mut tail = with((5_000, 20.0), (450, 20.0));
    tail.callers.get_mut("gateway").unwrap().new.latencies.record(Duration::from_secs(1), 90);
    bad(&tail, "the p90");
}

/// One canary step from first to last request, looked at as the control plane does.
fn simulate(rng: &mut Rng, requests: u64, share: f64, old_rate: f64, new_rate: f64) -> bool {
    let (mut evidence, mut last) = (one(Sample::default(), Sample::default()), 0);
    let pair = |e: &mut Evidence, rng: &mut Rng| {
        let pair = e.callers.get_mut("gateway").unwrap();
        let is_new = rng.f64() < share;
        let (sample, rate) = if is_new { (&mut pair.new, new_rate) } else { (&mut pair.old, old_rate) };
        sample.requests += 1;
        sample.failures += u64::from(rng.f64() < rate);
    };
    for _ in 0..requests {
        pair(&mut evidence, rng);
        if evidence.is_due(last) {
            last = evidence.callers["gateway"].new.requests;
            if matches!(judge(&evidence, 99.0), Verdict::Bad { .. } | Verdict::Slow { .. }) {
                return true;
            }
        }
    }
    false
}

#[test]
fn of_ten_thousand_good_canaries_less_than_one_percent_is_blamed() {
    let rng = &mut Rng::with_seed(2);
    let mut blamed = 0;
    for i in 0..10_000 {
        let rate = [0.0, 0.001, 0.005, 0.0099, 0.03, 0.2][i % 6];
        let share = [0.05, 0.1, 0.5][i % 3];
        blamed += u32::from(simulate(rng, 3_000, share, rate, rate));
    }
    println!("blamed: {blamed} of 10,000");
    assert!(blamed < 100, "{blamed} of 10,000");
}

#[test]
fn a_doubled_share_of_failures_is_found() {
    let rng = &mut Rng::with_seed(3);
    let found = (0..1_000).filter(|_| simulate(rng, 40_000, 0.5, 0.01, 0.02)).count();
    println!("found: {found} of 1,000 with 40,000 requests, half of them at each release");
    assert!(found > 990, "{found} of 1,000");
}

proptest::proptest! {
    #[test]
    fn any_evidence_gets_a_verdict(
        counts in proptest::collection::vec((0u64..3_000, 0u64..3_000, 0u64..3_000, 0u64..3_000), 0..4), success in 0.0f64..=100.0,
    ) {
        let sample = |requests, failures| Sample {
            latencies: [(Duration::from_micros(requests * 7 + 1), requests)].into_iter().collect(),
            ..sample(requests, failures, failures / 3)
        };
        let pair = |(a, b, c, d): &(u64, u64, u64, u64)| Pair { old: sample(*a, *b), new: sample(*c, *d) };
        let callers = counts.iter().enumerate().map(|(i, c)| (format!("c{i}"), pair(c))).collect();
        let evidence = Evidence { callers };
        let total = evidence.total().new.requests;
        match judge(&evidence, success) {
            Verdict::TooLittle { have, need } => proptest::prop_assert!(have == total && have < need),
            Verdict::Good { .. } => proptest::prop_assert!(total >= needed(success)),
            Verdict::Bad { reasons } | Verdict::Slow { reasons } => proptest::prop_assert!(!reasons.is_empty() && total >= FEWEST),
        }
    }
}
