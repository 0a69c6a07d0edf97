//! The rules of money, over single steps and over random lives of a payment.

use super::*;

fn payment(amount: i64) -> Payment {
    Payment {
        id: "p".into(),
        customer_id: "c".into(),
        reference: "o".into(),
        amount,
        currency: "EUR".into(),
        state: State::RequiresPaymentMethod,
        payment_method: None,
        decline_code: None,
        cancel_reason: None,
        provider_reference: None,
        authorized: 0,
        captured: 0,
        refunding: 0,
        refunded: 0,
        authorization_expires_at: None,
        version: 1,
        created_at: 0,
        updated_at: 0,
    }
}

fn done() -> Answer {
    Answer { outcome: Outcome::Done, reference: Some("ch_1".into()) }
}

fn confirm() -> Wish {
    Wish::Confirm { payment_method: Some("pm_card_visa".into()), error_on_requires_action: false }
}

/// Follows a wish and applies the answer.
fn step(from: &Payment, wish: &Wish, answer: &Answer) -> Settled {
    let (asking, attempt) = begin(from, wish, None, 10).unwrap();
    settle(&asking, &attempt.unwrap(), answer, 1000, 10).unwrap()
}

fn authorized(amount: i64) -> Payment {
    step(&payment(amount), &confirm(), &done()).payment
}

#[test]
fn a_capture_of_less_gives_the_rest_back() {
    let captured = step(&authorized(100), &Wish::Capture { amount: Some(60) }, &done());
    assert_eq!(captured.entries, [(Entry::Captured, 60), (Entry::Canceled, 40)]);
    assert_eq!((captured.payment.state, captured.payment.captured), (State::Succeeded, 60));
    assert_eq!(refundable(&captured.payment), 60);
}

#[test]
fn a_refusal_returns_to_the_choice_of_a_method() {
    let refused = step(&payment(100), &confirm(), &Answer::declined("expired_card"));
    assert_eq!(refused.payment.state, State::RequiresPaymentMethod);
    assert_eq!(refused.payment.decline_code.as_deref(), Some("expired_card"));
    assert!(refused.entries.is_empty());
    let again = step(&refused.payment, &confirm(), &done());
    assert_eq!((again.payment.state, again.payment.decline_code), (State::RequiresCapture, None));
}

#[test]
fn an_answer_that_settles_nothing_is_asked_again() {
    let (asking, attempt) = begin(&payment(100), &confirm(), None, 10).unwrap();
    let attempt = attempt.unwrap();
    assert_eq!(settle(&asking, &attempt, &Answer::unknown("timeout"), 1000, 10), None);
    let (voiding, attempt) = begin(&authorized(100), &Wish::Cancel { reason: "x".into() }, None, 10).unwrap();
    assert_eq!(settle(&voiding, &attempt.unwrap(), &Answer::declined("odd"), 1000, 10), None);
}

#[test]
fn amounts_beyond_what_is_there_are_refused() {
    let ready = authorized(100);
    for amount in [0, -1, 101, i64::MAX, i64::MIN] {
        let refused = begin(&ready, &Wish::Capture { amount: Some(amount) }, None, 10);
        assert_eq!(refused, Err(Refusal::TooMuch(100)), "{amount}");
    }
    let paid = step(&ready, &Wish::Capture { amount: None }, &done()).payment;
    let refund = |amount| Wish::Refund { amount, reason: "r".into() };
    let (asking, _) = begin(&paid, &refund(Some(70)), None, 10).unwrap();
    assert_eq!(begin(&asking, &refund(Some(31)), None, 10), Err(Refusal::TooMuch(30)));
    let (asking, _) = begin(&asking, &refund(None), None, 10).unwrap();
    assert_eq!((asking.refunding, begin(&asking, &refund(None), None, 10)), (100, Err(Refusal::TooMuch(0))));
}

#[test]
fn an_authorization_that_is_over_cannot_be_captured() {
    let ready = authorized(100);
    let end = ready.authorization_expires_at.unwrap();
    assert!(begin(&ready, &Wish::Capture { amount: None }, None, end - 1).is_ok());
    assert_eq!(begin(&ready, &Wish::Capture { amount: None }, None, end), Err(Refusal::AuthorizationExpired));
}

#[test]
fn confirming_without_any_method_is_refused() {
    let nothing_chosen = Wish::Confirm { payment_method: None, error_on_requires_action: false };
    assert_eq!(begin(&payment(1), &nothing_chosen, None, 0), Err(Refusal::NoMethod));
}

/// What must hold of a payment at any time, and of its ledger.
fn check_books(payment: &Payment, ledger: &[(Entry, i64)], open: &[Attempt]) {
    let sum = |entry| ledger.iter().filter(|(kind, _)| *kind == entry).map(|(_, amount)| amount).sum::<i64>();
    assert!(payment.refunded + payment.refunding <= payment.captured, "{payment:?}");
    assert!(payment.captured <= payment.authorized && payment.authorized <= payment.amount, "{payment:?}");
    assert_eq!(sum(Entry::Authorized), payment.authorized);
    assert_eq!(sum(Entry::Captured), payment.captured);
    assert_eq!(sum(Entry::Refunded), payment.refunded);
    if matches!(payment.state, State::Succeeded | State::Canceled) {
        assert_eq!(
            sum(Entry::Captured) + sum(Entry::Canceled),
            sum(Entry::Authorized),
            "nothing stays set aside"
        );
    }
    let refunding: i64 =
        open.iter().filter(|a| a.operation == Operation::Refund).map(|attempt| attempt.amount).sum();
    assert_eq!(refunding, payment.refunding);
}

proptest::proptest! {
    #[test]
    fn books_balance_over_any_life(steps in proptest::collection::vec((0_u8..8, 0_i64..130, 0_usize..4), 1..60)) {
        let (mut payment, mut ledger, mut open) = (payment(100), Vec::new(), Vec::<Attempt>::new());
        for (choice, amount, which) in steps {
            let wish = match choice {
                0 => confirm(),
                1 => Wish::Capture { amount: Some(amount) },
                2 => Wish::Cancel { reason: "r".into() },
                3 => Wish::Refund { amount: Some(amount), reason: "r".into() },
                _ => {
                    let answer = match choice {
                        4 | 5 => done(),
                        6 => Answer::declined("no"),
                        _ => Answer::bare(Outcome::ActionRequired),
                    };
                    let Some(attempt) = open.get(which).cloned() else { continue };
                    if let Some(settled) = settle(&payment, &attempt, &answer, 1000, 10) {
                        payment = settled.payment;
                        ledger.extend(settled.entries);
                        open.remove(which);
                    }
                    check_books(&payment, &ledger, &open);
                    continue;
                }
            };
            if let Ok((changed, attempt)) = begin(&payment, &wish, None, 10) {
                payment = changed;
                open.extend(attempt);
            }
            check_books(&payment, &ledger, &open);
        }
    }
}
