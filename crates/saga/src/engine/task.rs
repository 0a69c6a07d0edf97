//! The life of one saga: what follows is written down, then done, then what came of it is written down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::{Begin, Running, Shared, now, status};
use crate::advance::{Answer, Due, Effect, advance, answered, due};
use crate::plan::{Kind, Plan, Undo};
use crate::record::{Event, Outcome, Reason, Record};
use crate::state::State;
use crate::store::{Append, NEVER, Signal, StoreError, Then};

/// Of attempts beyond this only some are written down.
const EVERY_ATTEMPT: u32 = 16;

/// A saga that this engine has.
pub struct Saga {
    pub id: String,
    pub plan: Arc<Plan>,
    pub state: State,
    pub epoch: i64,
    pub trace: Option<String>,
    pub parent: Option<(String, String)>,
    pub running: Arc<Running>,
    /// Signals up to this number are in the journal, or in what is to be written next.
    pub seen: i64,
    /// The term in which it became ours.
    pub term: u64,
}

/// Why a task ends before its saga does.
enum Gone {
    /// It waits for something and is put down.
    PutDown,
    /// Another engine has it.
    Lost,
}

/// What came of an effect.
enum Came {
    /// An answer.
    Answer(Answer),
    /// Another saga was told, and will tell how it ended.
    Asked,
    /// Nothing was sent: the saga may be somebody else's by now.
    NotSent,
}

struct Task {
    shared: Arc<Shared>,
    saga: Saga,
    /// Records that are not durable yet.
    records: Vec<Record>,
    /// Whether it has to be found out if the saga is still ours.
    verify: bool,
    /// Under which term it was last.
    term: u64,
    /// Whether there are signals that will be in the journal with the next records.
    forget: bool,
    calls: FuturesUnordered<BoxFuture<'static, (Effect, Came)>>,
    in_flight: BTreeSet<Effect>,
    /// Other sagas that were told what to do, and are waited for.
    asked: BTreeSet<Effect>,
}

/// Runs a saga as far as it goes now. One that was claimed may have signals.
pub async fn run(shared: Arc<Shared>, saga: Saga, claimed: bool) {
    let term = saga.term;
    let mut task = Task {
        shared,
        saga,
        records: Vec::new(),
        verify: false,
        term,
        forget: false,
        calls: FuturesUnordered::new(),
        in_flight: BTreeSet::new(),
        asked: BTreeSet::new(),
    };
    match task.live(claimed).await {
        Ok(outcome) => {
            task.saga.running.ended.send_replace(Some(outcome));
        }
        Err(Gone::PutDown) => {}
        Err(Gone::Lost) => tracing::info!(saga = task.saga.id, "another engine has this saga now"),
    }
    task.shared.unregister(&task.saga.id, &task.saga.running);
}

impl Task {
    async fn live(&mut self, claimed: bool) -> Result<Outcome, Gone> {
        let mut signalled = claimed;
        loop {
            if std::mem::take(&mut signalled) {
                self.read_signals().await;
            }
            let (plan, in_flight) = (self.saga.plan.clone(), &self.in_flight);
            let called = |step| in_flight.contains(&Effect { step, undo: false });
            self.records.extend(advance(&plan, &mut self.saga.state, now(), &called));
            if let Some(outcome) = self.saga.state.ended.clone() {
                self.end(&outcome).await?;
                return Ok(outcome);
            }
            let due = self.due();
            let stopping = self.shared.stop.is_cancelled();
            let rest = if stopping { Some(now()) } else { self.rest(&due) };
            if let Some(until) = rest.filter(|_| self.calls.is_empty()) {
                self.append(Then::Release(until)).await?;
                return Err(Gone::PutDown);
            }
            if !self.records.is_empty() || self.forget || self.verify {
                self.append(Then::Keep).await?;
            }
            if !stopping {
                due.effects.into_iter().for_each(|effect| self.begin(effect));
            }
            signalled = self.wait(due.wake).await;
        }
    }

    fn due(&self) -> Due {
        let asked = |effect| self.in_flight.contains(&effect) || self.asked.contains(&effect);
        due(&self.saga.plan, &self.saga.state, now(), &asked)
    }

    /// Until when the saga can be put down, if that is worth it.
    fn rest(&self, due: &Due) -> Option<u64> {
        let wake = due.wake.unwrap_or(NEVER);
        let patience = u64::try_from(self.shared.options.patience.as_millis()).unwrap_or(u64::MAX);
        (due.effects.is_empty() && wake > now().saturating_add(patience)).then_some(wake)
    }

    /// Waits until something happens. Whether that is a signal.
    async fn wait(&mut self, wake: Option<u64>) -> bool {
        let stopped = self.shared.stop.is_cancelled();
        let pause = Duration::from_millis(wake.unwrap_or(NEVER).saturating_sub(now()).min(60_000));
        let timer = async {
            // Setting a timer for every call of every saga would cost more than it is worth.
            if wake.is_some() { tokio::time::sleep(pause).await } else { std::future::pending().await }
        };
        tokio::select! {
            biased;
            Some((effect, answer)) = self.calls.next(), if !self.calls.is_empty() => {
                self.answer(effect, answer);
                while let Some(Some((effect, answer))) = futures_util::FutureExt::now_or_never(self.calls.next()) {
                    self.answer(effect, answer);
                }
                false
            }
            () = self.saga.running.signal.notified() => true,
            () = timer => false,
            () = self.shared.stop.cancelled(), if !stopped => false,
        }
    }

    /// Puts into the journal what came of an effect.
    fn answer(&mut self, effect: Effect, came: Came) {
        self.in_flight.remove(&effect);
        let answer = match came {
            Came::Answer(answer) => answer,
            Came::Asked => {
                self.asked.insert(effect);
                return;
            }
            Came::NotSent => {
                self.verify = true;
                return;
            }
        };
        let random = fastrand::f64();
        for event in answered(&self.saga.plan, &self.saga.state, effect, answer, now(), random) {
            if let Event::Alert { step, error } = &event {
                tracing::error!(saga = self.saga.id, step, "a saga does not get on: {error}");
            }
            let noted = !matches!(&event, Event::Failed { attempt, .. } if *attempt > EVERY_ATTEMPT && !attempt.is_power_of_two());
            let record = Record { at: now(), event };
            self.saga.state.apply(&record);
            if noted {
                self.records.push(record);
            }
        }
    }

    fn note(&mut self, event: Event) {
        let record = Record { at: now(), event };
        self.saga.state.apply(&record);
        self.records.push(record);
    }

    async fn read_signals(&mut self) {
        let signals = loop {
            match self.shared.store.signals(&self.saga.id).await {
                Ok(signals) => break signals,
                // Then the next engine reads them.
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!(saga = self.saga.id, "signals could not be read: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        for (seq, signal) in signals {
            if seq > self.saga.seen {
                (self.saga.seen, self.forget) = (seq, true);
                self.take(signal);
            }
        }
    }

    fn take(&mut self, signal: Signal) {
        let (plan, state) = (&self.saga.plan, &self.saga.state);
        match signal {
            Signal::Undo if state.undoing.is_none() && !state.past_pivot(plan) => {
                self.note(Event::Undoing { reason: Reason::Cancelled });
            }
            // From the pivot on there is no way back.
            Signal::Undo => {}
            Signal::Retry if state.ended.is_none() => {
                self.asked.clear();
                self.note(Event::Retried);
            }
            // What nobody waits for, or what is there already, would only make the journal longer.
            Signal::Event { name, body } if plan.waits_for(&name) && !state.events.contains_key(&name) => {
                self.note(Event::Event { name, body });
            }
            Signal::Child { step, outcome } => self.note(Event::Child { step, outcome }),
            Signal::Retry | Signal::Event { .. } => {}
        }
    }

    fn begin(&mut self, effect: Effect) {
        let saga = &self.saga;
        let Some(step) = saga.plan.steps.get(effect.step) else { return };
        let call = match (&step.kind, &step.undo) {
            (_, Undo::Call(call)) if effect.undo => Some(call.as_ref()),
            (Kind::Call(call), _) if !effect.undo => Some(call),
            _ => None,
        };
        let future: BoxFuture<'static, (Effect, Came)> = if let Some(call) = call {
            let key = saga.state.key(&step.id);
            let key = if effect.undo { format!("{key}.undo") } else { key };
            let wants_body = !effect.undo && !step.keep.is_empty();
            match self.shared.caller.request(
                call,
                &saga.state,
                &key,
                &saga.id,
                saga.trace.as_deref(),
                wants_body,
            ) {
                Ok(request) => {
                    let (shared, term) = (self.shared.clone(), self.term);
                    Box::pin(async move {
                        (effect, shared.send(request, term).await.map_or(Came::NotSent, Came::Answer))
                    })
                }
                Err(body) => Box::pin(std::future::ready((
                    effect,
                    Came::Answer(Answer::Refused { status: None, body }),
                ))),
            }
        } else if let Kind::Saga { name, input } = &step.kind {
            let begin = Begin {
                saga: name.clone(),
                key: saga.state.key(&step.id),
                input: input.value(&saga.state),
                trace: saga.trace.clone(),
                parent: Some((saga.id.clone(), step.id.clone())),
            };
            let shared = self.shared.clone();
            Box::pin(async move {
                (effect, child(&shared, begin, effect.undo).await.map_or(Came::Asked, Came::Answer))
            })
        } else {
            return;
        };
        self.in_flight.insert(effect);
        self.calls.push(future);
    }

    async fn end(&mut self, outcome: &Outcome) -> Result<(), Gone> {
        // Nothing new: it was done before, and a signal that changes nothing brought it back.
        let told = self.records.iter().any(|r| matches!(r.event, Event::Ended { .. }));
        let tell = self.saga.parent.clone().filter(|_| told).map(|(id, step)| (id, step, outcome.clone()));
        let parent = tell.as_ref().map(|(id, ..)| id.clone());
        self.append(Then::End { at: now(), tell }).await?;
        if let Some(parent) = parent {
            self.shared.tell(&parent);
        }
        Ok(())
    }

    /// Makes durable what is not; while the store fails nothing goes on.
    async fn append(&mut self, then: Then) -> Result<(), Gone> {
        let mut journal = Vec::new();
        crate::record::write(&self.records, &mut journal);
        let append = Append {
            id: self.saga.id.clone(),
            epoch: self.saga.epoch,
            journal,
            status: status(&self.saga.plan, &self.saga.state),
            alert: self.saga.state.alerted(),
            then,
            seen: self.saga.seen,
            forget: self.forget,
        };
        let mut pause = Duration::from_millis(50);
        loop {
            // From before the question: if the lease runs out meanwhile nothing is sent.
            let term = self.shared.term();
            match self.shared.store.append(append.clone()).await {
                Ok(true) => {
                    self.records.clear();
                    (self.forget, self.verify, self.term) = (false, false, term);
                    return Ok(());
                }
                Ok(false) | Err(StoreError::Closed) => return Err(Gone::Lost),
                Err(error) => tracing::error!(saga = self.saga.id, "{error}; it is tried again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// Starts another saga, or has it undone. It is started for that too if it was not: then nothing that comes late can start it.
async fn child(shared: &Arc<Shared>, begin: Begin, undo: bool) -> Option<Answer> {
    let open = |error: String| Some(Answer::Open { on: None, error, pause: None });
    // A saga that starts another that starts another: the types would be endless.
    let begun: BoxFuture<'_, _> = Box::pin(shared.begin(begin.clone()));
    let (id, new) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return open(error.to_string()),
    };
    if undo {
        return match shared.signal(&id, Signal::Undo).await {
            Ok(true) => None,
            // It is over and was not done, so it is undone.
            Ok(false) => Some(Answer::Done(serde_json::Value::Null)),
            Err(error) => open(error.to_string()),
        };
    }
    if new {
        return None;
    }
    // It may have ended before this saga could hear of it.
    match shared.store.find(&id).await {
        Ok(Some(stored)) if stored.ended_at.is_some() => {
            let ended = stored.journal.iter().rev().find_map(|r| match &r.event {
                Event::Ended { outcome } => Some(outcome.clone()),
                _ => None,
            });
            let (parent, step) = begin.parent?;
            let outcome = ended?;
            match shared.signal(&parent, Signal::Child { step, outcome }).await {
                Ok(_) => None,
                Err(error) => open(error.to_string()),
            }
        }
        Ok(_) => None,
        Err(error) => open(error.to_string()),
    }
}
