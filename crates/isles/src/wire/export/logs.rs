//! Every line of output from now on. They are in files here, so what a back end misses is not lost, and how much that is, is said.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use console::web::line::{self, TRACE};
use control::{Control, SentLog};
use supervisor::{LogLine, Stream};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use super::{BATCH, LOOK, REFUSED_PAUSE, Sent, longer, open, request, send};

/// Lines that wait for a back end that does not take them; then the oldest go.
const WAITING: usize = 20_000;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<SentLog>,
    lost: u64,
}

pub async fn run(control: Arc<Control>) {
    let mut lines = control.supervisor().logs();
    let (mut queue, mut pause) = (Queue::default(), LOOK);
    loop {
        // What comes meanwhile is taken all the time, or the supervisor's channel would run over.
        let (last, next) = {
            let batch: Vec<SentLog> = queue.waiting.iter().take(BATCH).cloned().collect();
            let work = async {
                sleep(pause).await;
                (!open(&control), round(&control, &batch).await)
            };
            tokio::pin!(work);
            loop {
                tokio::select! {
                    line = lines.recv() => match line {
                        Ok(line) => queue.take(&control, &line, batch.len()),
                        Err(RecvError::Lagged(count)) => queue.lost += count,
                        Err(RecvError::Closed) => return,
                    },
                    done = &mut work => break done,
                }
            }
        };
        pause = queue.settle(next, pause);
        if last {
            return;
        }
    }
}

impl Queue {
    /// The first `under_way` lines are being sent.
    fn take(&mut self, control: &Control, line: &LogLine, under_way: usize) {
        if control.status().borrow().desired.telemetry.export.is_none() {
            return;
        }
        if self.waiting.len() >= WAITING {
            self.waiting.remove(under_way);
            self.lost += 1;
        }
        self.waiting.push_back(read(line));
    }

    /// Takes note of what came of the first lines; gives how long to wait for the next.
    fn settle(&mut self, came: Result<(usize, Sent), String>, pause: Duration) -> Duration {
        match came {
            Ok((0, _)) => LOOK,
            Ok((count, Sent::Taken)) => {
                self.waiting.drain(..count);
                let lost = std::mem::take(&mut self.lost);
                if lost > 0 {
                    tracing::warn!(
                        "{lost} lines of output were not sent on, since too many waited; they are in the logs here"
                    );
                }
                if self.waiting.len() >= BATCH { Duration::ZERO } else { LOOK }
            }
            Ok((_, Sent::Refused(status))) => {
                let (lines, minutes) = (self.waiting.len(), REFUSED_PAUSE.as_secs() / 60);
                self.waiting.clear();
                tracing::warn!(
                    "the back end of `export` in [telemetry] takes no logs ({status}): {lines} lines are not sent on, and the next in {minutes} minutes"
                );
                REFUSED_PAUSE
            }
            Ok((_, Sent::Later(why))) | Err(why) => {
                tracing::warn!(
                    "lines of output could not be sent on and are sent again: {why}; look at `export` in [telemetry]"
                );
                longer(pause)
            }
        }
    }
}

/// Sends the lines; gives how many there were, and what came of it.
async fn round(control: &Control, batch: &[SentLog]) -> Result<(usize, Sent), String> {
    match request(control, "logs")? {
        Some((request, app)) if !batch.is_empty() => {
            Ok((batch.len(), send(request, control::export_logs(&app, batch)).await))
        }
        _ => Ok((0, Sent::Taken)),
    }
}

fn read(captured: &LogLine) -> SentLog {
    let read = line::read(&captured.text);
    // What an SDK sent begins with its severity.
    let first = read.message.split_whitespace().next().filter(|first| *first == first.to_uppercase());
    let first = first.map(str::to_lowercase).filter(|first| control::severity(first).is_some());
    let level = if read.level.is_empty() { first.unwrap_or_default() } else { read.level };
    let trace = read.fields.iter().find(|(key, _)| TRACE.contains(&key.as_str()));
    let trace = trace.and_then(|(_, id)| id.parse().ok());
    SentLog {
        at: captured.at,
        service: captured.replica.service.to_string(),
        replica: captured.replica.to_string(),
        stream: match captured.stream {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
            Stream::Isles => "isles",
            Stream::Otlp => "otlp",
        },
        level,
        message: read.message,
        fields: read.fields,
        trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> SentLog {
        let replica = "web-1".parse().unwrap();
        read(&LogLine { at: 1, replica, stream: Stream::Otlp, text: text.to_owned() })
    }

    #[test]
    fn a_line_has_its_severity_and_its_trace_in_whatever_form_it_was_written() {
        let trace = "5b8efff798038103d269b633813fc60c";
        for (text, level, message) in [
            (format!("{{\"level\":\"ERROR\",\"msg\":\"no\",\"trace_id\":\"{trace}\"}}"), "error", "no"),
            (format!("level=warn msg=late trace_id={trace}"), "warn", "late"),
            (format!("WARN half trace_id={trace}"), "warn", &*format!("WARN half trace_id={trace}")),
            (format!("plain trace_id={trace}"), "", &*format!("plain trace_id={trace}")),
        ] {
            let read = line(&text);
            assert_eq!((read.level.as_str(), read.message.as_str()), (level, message));
            assert!(read.fields.contains(&("trace_id".to_owned(), trace.to_owned())), "{read:?}");
            assert_eq!(read.trace, trace.parse().ok());
        }
    }

    #[test]
    fn too_many_lines_that_wait_are_counted_and_those_under_way_stay() {
        let mut queue = Queue { waiting: vec![line("first"); 3].into(), lost: 2 };
        assert_eq!(queue.settle(Err("no".to_owned()), LOOK), LOOK * 2);
        assert_eq!((queue.waiting.len(), queue.lost), (3, 2));
        assert_eq!(queue.settle(Ok((2, Sent::Taken)), LOOK), LOOK);
        assert_eq!((queue.waiting.len(), queue.lost), (1, 0), "said once");
        let refused = reqwest::StatusCode::NOT_FOUND;
        assert_eq!(queue.settle(Ok((1, Sent::Refused(refused))), LOOK), REFUSED_PAUSE);
        assert!(queue.waiting.is_empty());
    }
}
