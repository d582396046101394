//! A sandbox meeting without a browser, for load tests of a fleet: a guest over the sandbox's own WebSocket, who neither
//! sends nor hears sound. Everything else of the bot is the real thing.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use muster_hooks::guard::Policy;
use muster_hooks::socket::{Socket, connect_websocket};
use muster_platform::meeting::{PageEvent, Participant};
use muster_session::EndReason;
use muster_session::protocol::{BotSpec, Report};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use crate::call::End;
use crate::clock::Clock;
use crate::page::{Opener, Page};
use crate::report::Reporter;

/// The only platform: meetings of our own.
const PLATFORM: &str = "sandbox";
/// A simulated bot is called simulated everywhere, also by the people in the call.
const SUFFIX: &str = " (simulated)";
/// Characters that the sandbox takes for a name.
const NAME_CHARS: usize = 100;
const CONNECT: Duration = Duration::from_secs(10);

/// Attends without a browser.
#[derive(Debug)]
pub(crate) struct WithoutBrowser;

#[derive(Debug)]
pub(crate) struct SimulatedPage {
    socket: Socket,
    own: String,
    /// It was in lobby or call: what ends now ends for it.
    entered: bool,
    gone: bool,
    said: VecDeque<PageEvent>,
}

/// What the room says; offers of sound are nothing to us.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Said {
    Welcome {
        self_id: String,
    },
    Lobby,
    Admitted,
    Denied,
    Removed,
    Ended,
    Roster {
        participants: Vec<Entry>,
    },
    Chat {
        id: String,
        from: String,
        from_name: String,
        text: String,
    },
    Error {
        code: String,
        message: String,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    name: String,
}

impl Opener for WithoutBrowser {
    type Page = SimulatedPage;

    async fn open(&self, spec: &BotSpec, reporter: &Reporter, clock: Clock) -> Result<SimulatedPage, End> {
        reporter.say(Report::Joining { at: clock.now(), simulated: true });
        if spec.meeting.platform != PLATFORM {
            return Err(End::plain(EndReason::SimulatedOnly));
        }
        let policy = policy(spec).map_err(|error| {
            End::new(EndReason::Internal, format!("the allowed private addresses are wrong: {error}"))
        })?;
        let lost = |error: &dyn std::fmt::Display| {
            End::new(EndReason::ConnectionLost, format!("the sandbox meeting cannot be reached: {error}"))
        };
        let url = socket_url(&spec.meeting.join_url).ok_or_else(|| lost(&"its link is not one"))?;
        let mut socket = connect_websocket(&url, &policy, CONNECT).await.map_err(|error| lost(&error))?;
        let hello = json!({"type": "hello", "name": name(&spec.bot_name), "media": false});
        say(&mut socket, &hello).await.map_err(|error| lost(&error))?;
        Ok(SimulatedPage { socket, own: String::new(), entered: false, gone: false, said: VecDeque::new() })
    }
}

/// As for a browser: loopback addresses are for meetings on this machine.
fn policy(spec: &BotSpec) -> Result<Policy, impl std::fmt::Display> {
    let loopback = spec.browser.allow_loopback.then_some(["127.0.0.0/8", "::1/128"]).into_iter().flatten();
    Policy::new(spec.allow_private.iter().map(String::as_str).chain(loopback))
}

fn socket_url(meeting: &Url) -> Option<Url> {
    let mut url = meeting.clone();
    url.set_scheme(if meeting.scheme() == "https" { "wss" } else { "ws" }).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().push("ws");
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

fn name(bot_name: &str) -> String {
    let room = NAME_CHARS - SUFFIX.chars().count();
    bot_name.chars().take(room).collect::<String>() + SUFFIX
}

async fn say(socket: &mut Socket, what: &Value) -> Result<(), String> {
    socket.send(Message::text(what.to_string())).await.map_err(|error| error.to_string())
}

impl SimulatedPage {
    fn over(&mut self, reason: EndReason, message: impl Into<String>) {
        self.gone = true;
        self.said.push_back(PageEvent::Over { reason, message: message.into() });
    }

    fn hear(&mut self, said: Said) {
        let event = match said {
            Said::Welcome { self_id } => {
                self.own = self_id;
                return;
            }
            Said::Lobby => PageEvent::Lobby,
            Said::Admitted => PageEvent::Admitted,
            Said::Denied => return self.over(EndReason::JoinDenied, ""),
            Said::Removed => return self.over(EndReason::Kicked, ""),
            Said::Ended if self.entered => return self.over(EndReason::HostEnded, ""),
            Said::Ended => return self.over(EndReason::MeetingOver, ""),
            Said::Roster { participants } => {
                let others = participants.into_iter().filter(|person| person.id != self.own);
                PageEvent::Roster(others.map(|Entry { id, name }| Participant { id, name }).collect())
            }
            Said::Chat { id, from, from_name, text } => PageEvent::Chat { id, from, name: from_name, text },
            Said::Error { code, message } => {
                let reason = match code.as_str() {
                    "room_full" => EndReason::MeetingFull,
                    "lost" => EndReason::ConnectionLost,
                    _ => EndReason::PlatformBlocked,
                };
                return self.over(reason, message);
            }
            Said::Unknown => return,
        };
        self.entered |= matches!(event, PageEvent::Lobby | PageEvent::Admitted);
        self.said.push_back(event);
    }
}

impl Page for SimulatedPage {
    async fn next(&mut self) -> Option<PageEvent> {
        loop {
            if let Some(event) = self.said.pop_front() {
                return Some(event);
            }
            if self.gone {
                return None;
            }
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(said) => self.hear(said),
                    Err(error) => tracing::warn!(%error, "the sandbox said what is not understood"),
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    self.over(EndReason::ConnectionLost, "the sandbox closed the connection");
                }
                Some(Ok(_)) => {}
            }
        }
    }

    /// There is no sound to attach to.
    async fn reattach(&self) -> Result<(), String> {
        Ok(())
    }

    async fn leave(&mut self, within: Duration) -> bool {
        let leaving = async {
            say(&mut self.socket, &json!({"type": "leave"})).await.is_ok()
                // The room closes the socket of a guest who left.
                && loop {
                    match self.socket.next().await {
                        Some(Ok(Message::Close(_))) | None => break true,
                        Some(Ok(_)) => {}
                        Some(Err(_)) => break false,
                    }
                }
        };
        tokio::time::timeout(within, leaving).await.unwrap_or(false)
    }

    async fn close(self) {}
}

#[cfg(test)]
mod tests;
