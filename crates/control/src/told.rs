//! What the control plane can be asked of what happened, and what it is told of it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use model::{KeptSpan, Measured, ServiceName};
use telemetry::alerts::Calls;
use telemetry::otlp::Intake;
use telemetry::{Counts, Event, Line, Series, Span, SpanQuery, Wanted};
use tokio::task::spawn_blocking;

use crate::control::{Control, Refused};
use crate::intake::ToWorld;
use crate::world::now;

/// Does what blocks where it holds nothing else up.
pub(crate) async fn aside<T: Send + 'static, E: Display + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Refused> {
    let done = spawn_blocking(work).await.map_err(|e| Refused::Store(e.to_string()))?;
    done.map_err(|e| Refused::Store(e.to_string()))
}

impl Control {
    /// The calls of the edges to `service`, or of all, over time; with the seconds of a point.
    pub async fn metrics(&self, service: Option<&str>, span: Span) -> Result<(u64, Vec<Line>), Refused> {
        let name = service.map(|name| self.service(name)).transpose()?.map(|service| service.name);
        let metrics = self.world.metrics.clone();
        aside(move || metrics.read(name.as_ref().map(ServiceName::as_str), span, now() / 1000)).await
    }

    /// The newest spans that are wanted, the newest first, and what became of all.
    pub async fn spans(&self, query: SpanQuery) -> Result<(Vec<KeptSpan>, Counts), Refused> {
        let traces = self.world.traces.clone();
        let counts = traces.counts();
        Ok((aside(move || traces.find(&query)).await?, counts))
    }

    /// The oldest spans that were not sent on, at most so many, and a number for [`Control::exported`].
    pub async fn spans_to_export(&self, most: usize) -> Result<(Vec<KeptSpan>, i64), Refused> {
        let traces = self.world.traces.clone();
        aside(move || traces.unsent(most)).await
    }

    /// Spans up to a number were sent on.
    pub async fn exported(&self, number: i64) -> Result<(), Refused> {
        let traces = self.world.traces.clone();
        aside(move || traces.sent(number)).await
    }

    /// What takes the telemetry that services send.
    pub fn intake(&self) -> Arc<dyn Intake> {
        Arc::new(ToWorld(self.world.clone()))
    }

    /// What a service measures itself, the latest of each.
    pub fn points(&self, service: &ServiceName) -> Vec<Measured> {
        self.world.points.of(service, now() / 1000)
    }

    /// All numbers of that name that a service measures, over time; with the seconds of a point.
    pub async fn series(&self, service: &str, name: &str, span: Span) -> Result<(u64, Vec<Series>), Refused> {
        let (service, name) = (self.service(service)?.name, name.to_owned());
        let history = self.world.history.clone();
        aside(move || history.read(&service, &name, span, now() / 1000)).await
    }

    /// All calls to each service within the last so many seconds.
    pub async fn calls_within(&self, seconds: u64) -> Result<BTreeMap<ServiceName, Calls>, Refused> {
        let metrics = self.world.metrics.clone();
        let now = now() / 1000;
        aside(move || metrics.sums(now.saturating_sub(seconds), now)).await
    }

    /// Something happened, for the timeline.
    pub fn happened(&self, kind: &str, service: Option<String>, text: String) {
        self.world.metrics.happened(Event { at: now(), kind: kind.to_owned(), service, text });
    }

    /// What happened, newest first.
    pub async fn events(&self, wanted: Wanted) -> Result<Vec<Event>, Refused> {
        let metrics = self.world.metrics.clone();
        aside(move || metrics.events(&wanted)).await
    }
}
