//! The task of one slot. It alone changes that replica's state.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::{ObservedState, Phase, ProcessId, ReplicaId, ReplicaState, StopPolicy, StopSignal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::capture::Capture;
use crate::clock::unix_now;
use crate::launch::Program;
use crate::limits::{Keeper, Limits, Prepared};
use crate::machine::{Ended, Event, Machine, STABLE_AFTER};
use crate::probe::Probes;
use crate::process::{End, Leader, identify_even_dead, live};
use crate::spec::{ReplicaSpec, StartError};
use crate::supervisor::Shared;

/// What a slot can be told.
pub(crate) enum Command {
    Start(Box<ReplicaSpec>, oneshot::Sender<Result<ProcessId, StartError>>),
    Adopt(Box<(ReplicaSpec, ReplicaState)>, oneshot::Sender<bool>),
    Drain,
    Stop(oneshot::Sender<()>),
    Forget,
}

/// Where every replica's state is shown.
#[derive(Clone)]
pub(crate) struct Published(watch::Sender<Arc<ObservedState>>);

impl Published {
    pub fn new() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<ObservedState>> {
        self.0.subscribe()
    }

    fn set(&self, id: &ReplicaId, state: &ReplicaState) {
        self.0.send_modify(|all| {
            Arc::make_mut(all).replicas.insert(id.clone(), state.clone());
        });
    }

    fn remove(&self, id: &ReplicaId) {
        self.0.send_if_modified(|all| Arc::make_mut(all).replicas.remove(id).is_some());
    }
}

/// What the tasks of all slots use.
pub(crate) struct Means {
    pub published: Published,
    pub capture: Capture,
    pub limits: Keeper,
}

/// A process that is being watched.
struct Life {
    process: ProcessId,
    policy: StopPolicy,
    limits: Limits,
    /// Taken by the first order to stop.
    order: Option<oneshot::Sender<StopPolicy>>,
    end: Pin<Box<dyn Future<Output = End> + Send>>,
}

impl Life {
    fn new(process: ProcessId, leader: Leader, policy: StopPolicy, limits: Limits) -> Self {
        let (order, ordered) = oneshot::channel();
        Self { process, policy, limits, order: Some(order), end: Box::pin(live(process, leader, ordered)) }
    }

    /// Says whether this is the first order to end.
    fn end_by(&mut self, policy: StopPolicy) -> bool {
        // The receiver is in `end`, which is only polled to its end by the same task.
        self.order.take().is_some_and(|order| order.send(policy).is_ok())
    }
}

/// Runs a slot until it is empty, or until the last handle of the supervisor is gone.
pub(crate) async fn run(
    id: ReplicaId,
    mut commands: mpsc::UnboundedReceiver<Command>,
    shared: Weak<Shared>,
    with: Means,
) {
    let mut replica = Replica {
        id,
        with,
        machine: None,
        life: None,
        probes: Probes::none(),
        stable_at: None,
        killed_for: None,
        waiters: Vec::new(),
    };
    let mut next = commands.recv().await;
    loop {
        match next.take() {
            Some(command) => replica.handle(command).await,
            None => return,
        }
        while replica.machine.is_some() {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => replica.handle(command).await,
                    None => return,
                },
                turn = turn(&mut replica.life) => match turn {
                    Turn::Ended(end) => replica.ended(end).await,
                    Turn::TooLarge(said) => replica.too_large(said),
                },
                result = replica.probes.next() => replica.apply(Event::Probed(result)),
                () = until(replica.stable_at) => replica.apply(Event::Stable),
            }
        }
        let Some(shared) = shared.upgrade() else { return };
        next = shared.retire(&replica.id, &mut commands);
        if next.is_none() {
            return;
        }
    }
}

/// What a process can do.
enum Turn {
    Ended(End),
    /// It uses too much memory, in a sentence.
    TooLarge(String),
}

async fn turn(life: &mut Option<Life>) -> Turn {
    let Some(life) = life else { return std::future::pending().await };
    tokio::select! {
        biased;
        end = &mut life.end => Turn::Ended(end),
        said = life.limits.found() => Turn::TooLarge(said),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

struct Replica {
    id: ReplicaId,
    with: Means,
    /// `None`: the slot is empty.
    machine: Option<Machine>,
    life: Option<Life>,
    probes: Probes,
    /// When it will have been ready long enough to forget its failures.
    stable_at: Option<Instant>,
    /// Why the process is being killed, while it is.
    killed_for: Option<String>,
    /// Who waits for the slot to be gone.
    waiters: Vec<oneshot::Sender<()>>,
}

impl Replica {
    async fn handle(&mut self, command: Command) {
        // An answer that cannot be delivered means that its asker has gone away.
        match command {
            Command::Start(spec, reply) => {
                let _ = reply.send(self.start(*spec).await);
            }
            Command::Adopt(both, reply) => {
                let _ = reply.send(self.adopt(both.0, both.1).await);
            }
            Command::Drain => self.apply(Event::Drain),
            Command::Stop(reply) => self.stop(reply),
            Command::Forget if self.life.is_none() => self.vacate(),
            Command::Forget => {}
        }
    }

    /// Lets the state machine decide, shows the outcome, and keeps probes and timer in step with it.
    fn apply(&mut self, event: Event) {
        let Some(machine) = &mut self.machine else { return };
        let was_ready = machine.state().phase == Phase::Ready;
        let changed = machine.apply(event, unix_now());
        let state = machine.state();
        match (was_ready, state.phase == Phase::Ready && state.failures > 0) {
            (_, false) => self.stable_at = None,
            (false, true) => self.stable_at = Some(Instant::now() + STABLE_AFTER),
            (true, true) => {}
        }
        if !machine.takes_probes() {
            self.probes = Probes::none();
        }
        if changed {
            self.with.published.set(&self.id, state);
        }
    }

    async fn start(&mut self, spec: ReplicaSpec) -> Result<ProcessId, StartError> {
        if let Some(life) = &self.life {
            return Err(StartError::Running { replica: self.id.clone(), pid: life.process.pid });
        }
        match &mut self.machine {
            Some(machine) => machine.retarget(spec.release.clone(), spec.address, spec.health.failures),
            None => {
                let (release, failures) = (spec.release.clone(), spec.health.failures);
                self.machine = Some(Machine::new(release, spec.address, failures, unix_now()));
            }
        }
        let prepared = self.with.limits.prepare(&spec).await;
        match spawn(&self.with.capture, &spec).await {
            Ok((process, leader)) => {
                // Not its arguments: a secret may have been filled into them.
                let program = spec.argv.first().map_or("", String::as_str);
                let note = format!("started pid {}: {program}", process.pid);
                self.with.capture.tail(&self.id, &note);
                let limits = limit(&self.with.capture, &spec, prepared, process).await;
                self.life = Some(Life::new(process, leader, spec.stop, limits));
                self.apply(Event::Started(process));
                self.probes = Probes::start(&spec.health, spec.address, false);
                Ok(process)
            }
            Err(message) => {
                prepared.discard();
                self.with.capture.note(&self.id, &format!("could not be started: {message}"));
                self.apply(Event::SpawnFailed(message.clone()));
                Err(StartError::Spawn { replica: self.id.clone(), message })
            }
        }
    }

    async fn adopt(&mut self, spec: ReplicaSpec, state: ReplicaState) -> bool {
        if let Some(life) = &self.life {
            return Some(life.process) == state.process;
        }
        let found = state.process.and_then(|process| Leader::find(process).map(|leader| (process, leader)));
        let ready = !matches!(state.phase, Phase::Starting);
        let dead = state.process.filter(|_| found.is_none());
        let machine = Machine::resume(state, spec.health.failures);
        self.with.published.set(&self.id, machine.state());
        let takes_probes = machine.takes_probes();
        self.machine = Some(machine);
        if let Some((process, leader)) = found {
            self.with.capture.tail(&self.id, &format!("adopted pid {}", process.pid));
            let limits = Limits::adopted(process, spec.memory);
            self.life = Some(Life::new(process, leader, spec.stop, limits));
            if takes_probes {
                self.probes = Probes::start(&spec.health, spec.address, ready);
            }
            self.stable_at = Some(Instant::now() + STABLE_AFTER);
            return true;
        }
        if let Some(process) = dead {
            crate::process::sweep(process).await;
            self.record_end(End::Unseen, Some("ended while Isles was not watching".to_owned())).await;
        }
        false
    }

    fn stop(&mut self, reply: oneshot::Sender<()>) {
        self.waiters.push(reply);
        let Some(life) = &mut self.life else { return self.vacate() };
        life.end_by(life.policy);
        self.apply(Event::Stop);
    }

    /// Ends what uses too much memory as the kernel would: it may not be able to do anything in order any more.
    fn too_large(&mut self, said: String) {
        let kill = StopPolicy { signal: StopSignal::Kill, grace: Duration::ZERO };
        if self.life.as_mut().is_some_and(|life| life.end_by(kill)) {
            self.killed_for = Some(said);
        }
    }

    async fn ended(&mut self, end: End) {
        let life = self.life.take();
        self.probes = Probes::none();
        let asked = self.machine.as_ref().is_some_and(|machine| machine.state().phase == Phase::Stopping);
        let by_kernel = match life {
            Some(life) => life.limits.end().await,
            None => None,
        };
        let reason = self.killed_for.take().or(by_kernel.filter(|_| !asked));
        self.record_end(end, reason).await;
        if asked {
            self.vacate();
        }
    }

    /// Takes the last output, and notes how the process ended.
    async fn record_end(&mut self, end: End, message: Option<String>) {
        let last_lines = self.with.capture.finish(&self.id).await;
        let (code, signal) = match end {
            End::Code(code) => (Some(code), None),
            End::Signal(signal) => (None, Some(signal)),
            End::Unseen => (None, None),
        };
        let started = self.machine.as_ref().map_or(0, |machine| machine.state().started_at);
        let ran = Duration::from_millis(unix_now().saturating_sub(started));
        let how = message.clone().unwrap_or_else(|| describe(end));
        self.with.capture.note(&self.id, &format!("{how} after {:.1} s", ran.as_secs_f64()));
        self.apply(Event::Ended(Ended { code, signal, message, last_lines }));
    }

    /// Empties the slot; the task ends after it.
    fn vacate(&mut self) {
        self.machine = None;
        self.stable_at = None;
        self.with.capture.close(&self.id);
        self.with.published.remove(&self.id);
        for waiter in self.waiters.drain(..) {
            // Its waiter has gone away.
            let _ = waiter.send(());
        }
    }
}

/// A process that cannot be held to its limits runs all the same, and its log says why.
async fn limit(capture: &Capture, spec: &ReplicaSpec, prepared: Prepared, process: ProcessId) -> Limits {
    let trouble = prepared.trouble.clone();
    let held = prepared.hold(process, spec.memory).await;
    let failed =
        held.as_ref().err().map(|e| format!("no control group takes it, so that no limit holds: {e}"));
    for trouble in trouble.into_iter().chain(failed) {
        capture.note(&spec.id, &trouble);
    }
    held.unwrap_or_else(|_| Limits::by_looking(process, spec.memory))
}

async fn spawn(capture: &Capture, spec: &ReplicaSpec) -> Result<(ProcessId, Leader), String> {
    let [out, err] = capture
        .renew(&spec.id)
        .await
        .map_err(|error| format!("the files for its output cannot be opened: {error}"))?;
    let program = Program { argv: &spec.argv, dir: &spec.dir, env: &spec.env };
    let mut child = program.spawn(out.into(), err.into()).await?;
    // Nobody has waited for the child yet, so that it is there, if only as a zombie.
    let Some(process) = child.id().and_then(identify_even_dead) else {
        // What cannot be identified cannot be looked after. It may have ended already.
        let _ = child.start_kill();
        return Err("the new process cannot be found: is /proc mounted?".to_owned());
    };
    Ok((process, Leader::Child(child)))
}

fn describe(end: End) -> String {
    match end {
        End::Code(code) => format!("exited with {code}"),
        End::Signal(signal) => format!("was ended by signal {signal}"),
        End::Unseen => "ended".to_owned(),
    }
}
