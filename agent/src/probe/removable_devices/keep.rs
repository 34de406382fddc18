//! Keeps media watched: a watch that ends is begun again, with pauses that grow, and the time between is an
//! event of its own, so that nobody takes "no event" for "no medium".

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tenken_shared::report::Event;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::sys::SysError;
use crate::transport::backoff::Backoff;

/// A watch has begun, or cannot: `data.how` is `notices`, `polling` or `unavailable`. For the agent itself; stands
/// in a fact, not in the report's events.
pub const WATCHED: &str = "media.watch";
/// The watch has ended (`data.reason`): from here on media come and go unseen.
const LOST: &str = "media.watch_lost";
/// It goes on; `data.lost_at` says since when nothing was seen.
const RESUMED: &str = "media.watch_resumed";
/// Longest pause before another try.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Takes an event; answers `false` where it cannot be delivered.
pub type Tell<'a> = &'a mut (dyn FnMut(Event) -> bool + Send);
/// A watch under way.
pub type Watching<'a> = Pin<Box<dyn Future<Output = Result<(), SysError>> + Send + 'a>>;

/// Runs `watch` again and again until the receiver is gone, or this system cannot watch at all. `random` spreads
/// the pauses between.
pub async fn keep(
    send: mpsc::Sender<Event>,
    random: fn() -> u32,
    mut watch: impl for<'a> FnMut(Tell<'a>) -> Watching<'a>,
) {
    let mut backoff = Backoff::new(LONGEST_PAUSE);
    let mut lost_at = None;
    loop {
        let mut overflow = false;
        let begun = tokio::time::Instant::now();
        let mut tell = |event: Event| {
            let resumed = begins(&event).then(|| lost_at.take()).flatten();
            let resumed = resumed.map(|lost_at: i64| Event {
                at: event.at,
                kind: RESUMED.into(),
                data: json!({ "lost_at": lost_at }),
            });
            let full = |event| matches!(send.try_send(event), Err(TrySendError::Full(_)));
            overflow |= [Some(event), resumed].into_iter().flatten().any(full);
            !overflow && !send.is_closed()
        };
        let ended = watch(&mut tell).await;
        if send.is_closed() {
            return;
        }
        let reason = match ended {
            Err(error @ SysError::Unsupported { .. }) => {
                tracing::warn!(%error, "Media cannot be watched; they are seen at the next interval.");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "Media are not watched any more; it is tried again.");
                error.reason().code
            }
            Ok(()) => {
                tracing::warn!(overflow, "Media events could not be taken; the watch begins anew.");
                if overflow { "too_many_events" } else { "ended" }.into()
            }
        };
        if begun.elapsed() > LONGEST_PAUSE {
            backoff.reset();
        }
        if lost_at.is_none() {
            let at = Timestamp::now().as_millisecond();
            lost_at = Some(at);
            // Waits for room: this one must not be lost.
            let lost = Event { at, kind: LOST.into(), data: json!({ "reason": reason }) };
            if send.send(lost).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(backoff.next(None, random())).await;
    }
}

/// Whether from here on media are watched.
fn begins(event: &Event) -> bool {
    event.kind == WATCHED && event.data["how"] != "unavailable"
}

/// Since when media are watched without a break, after `event`.
#[must_use]
pub fn watched_since(event: &Event, before: Option<Timestamp>) -> Option<Timestamp> {
    match event.kind.as_str() {
        WATCHED if begins(event) => Timestamp::from_millisecond(event.at).ok(),
        WATCHED | LOST => None,
        _ => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, at: i64) -> Event {
        Event { at, kind: kind.into(), data: json!({}) }
    }

    fn at_once() -> u32 {
        0
    }

    fn ended() -> SysError {
        SysError::Failed { what: "USB events".into(), reason: "ended".into(), detail: String::new() }
    }

    #[tokio::test]
    async fn a_watch_that_ends_begins_again_and_the_gap_is_told() {
        let (send, mut receive) = mpsc::channel(16);
        let mut tries = 0;
        let task = keep(send, at_once, move |tell| {
            tries += 1;
            let this = tries;
            Box::pin(async move {
                // The second try finds the source still gone.
                if this == 2 {
                    return Err(ended());
                }
                tell(told(WATCHED, this));
                tell(told("media.arrived", this));
                if this == 1 { Err(ended()) } else { std::future::pending().await }
            })
        });
        let task = tokio::spawn(task);
        let mut kinds = Vec::new();
        let mut since = None;
        let mut seen = Vec::new();
        for _ in 0..6 {
            let event = receive.recv().await.unwrap();
            since = watched_since(&event, since);
            seen.push(since.map(Timestamp::as_millisecond));
            kinds.push(event.kind.clone());
            if event.kind == RESUMED {
                assert!(event.data["lost_at"].is_i64());
            }
        }
        assert_eq!(kinds, [WATCHED, "media.arrived", LOST, WATCHED, RESUMED, "media.arrived"]);
        assert_eq!(seen, [Some(1), Some(1), None, Some(3), Some(3), Some(3)]);
        drop(receive);
        task.abort();
    }

    #[tokio::test]
    async fn events_beyond_the_queue_are_a_gap_and_a_gone_receiver_ends_it() {
        let (send, mut receive) = mpsc::channel(2);
        let flood: fn(Tell<'_>) -> Watching<'_> = |tell| {
            Box::pin(async move {
                while tell(told("media.arrived", 1)) {}
                Ok(())
            })
        };
        let task = tokio::spawn(keep(send, at_once, flood));
        let mut lost = None;
        while lost.is_none() {
            lost = Some(receive.recv().await.unwrap()).filter(|event| event.kind == LOST);
        }
        assert_eq!(lost.unwrap().data["reason"], "too_many_events");
        drop(receive);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_system_that_cannot_watch_is_not_asked_again() {
        let (send, _receive) = mpsc::channel(2);
        let cannot: fn(Tell<'_>) -> Watching<'_> = |_| {
            Box::pin(async { Err(SysError::Unsupported { what: "x".into(), reason: "live_only".into() }) })
        };
        keep(send, at_once, cannot).await;
    }
}
