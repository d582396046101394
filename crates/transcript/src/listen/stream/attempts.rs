//! As many connections as it takes for the words of one voice.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio_tungstenite::Connector;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::Shared;
use super::connection::{Connection, Ended, Socket, lost};
use super::voice::Voice;
use crate::listen::Heard;

/// Incoming messages larger than this end the connection.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Vendors have been seen to refuse a good key now and then: unless a handshake says so, it must come so many times in a
/// row.
const REFUSALS: u32 = 3;

/// Runs until the voice has ended and all its words were heard, or the recogniser refuses.
pub(super) async fn run(shared: Arc<Shared>, voice: Arc<Voice>, heard: mpsc::UnboundedSender<Heard>) {
    let _report = Report { shared: &shared, voice: &voice, heard: &heard };
    let mut pause = shared.pace.first_pause;
    let mut refusals = 0;
    while voice.wanted().await {
        voice.restart();
        let ended = match connect(&shared).await {
            Ok(socket) => Connection::new(socket, &shared, &voice, &heard).serve().await,
            Err(ended) => ended,
        };
        let useful = match ended {
            Ended::Closed => {
                (pause, refusals) = (shared.pace.first_pause, 0);
                continue;
            }
            Ended::Lost { problem, useful } => {
                tracing::debug!(problem, "a stream to the recogniser is lost");
                // A stream may end where nothing is said.
                if voice.waiting_ms() > 0 {
                    tell(&heard, shared.trouble(&problem));
                }
                refusals = 0;
                useful
            }
            // One voice, or too much at a time, may be refused where others are not.
            Ended::Refused { problem, .. } if shared.worked.load(Ordering::Relaxed) => {
                tell(&heard, shared.trouble(&problem));
                false
            }
            Ended::Refused { problem, surely } => {
                refusals += 1;
                if surely || refusals >= REFUSALS {
                    tell(&heard, shared.refusal(&problem));
                }
                false
            }
        };
        if shared.refused.load(Ordering::Relaxed) {
            return;
        }
        if useful {
            pause = shared.pace.first_pause;
        }
        tokio::time::sleep(pause).await;
        pause = shared.pace.longer(pause);
    }
}

/// Says what became no words when nothing more is done for a voice, for whatever reason.
struct Report<'a> {
    shared: &'a Shared,
    voice: &'a Voice,
    heard: &'a mpsc::UnboundedSender<Heard>,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        let ms = self.voice.clear(&self.shared.budget);
        tell(self.heard, (ms > 0).then_some(Heard::Unrecognised { ms }));
    }
}

fn tell(heard: &mpsc::UnboundedSender<Heard>, what: Option<Heard>) {
    if let Some(what) = what {
        let _ = heard.send(what);
    }
}

async fn connect(shared: &Shared) -> Result<Socket, Ended> {
    let request = shared
        .protocol
        .request(shared.language.as_deref())
        .map_err(|error| Ended::Refused { problem: error.to_string(), surely: true })?;
    let connector = Connector::Rustls(Arc::new(muster_hooks::tls::client_config()));
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    let connecting = tokio_tungstenite::connect_async_tls_with_config(request, Some(config), true, Some(connector));
    match tokio::time::timeout(shared.pace.connect, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(WsError::Http(answer))) => {
            let status = answer.status();
            let problem = format!("the recogniser answered {status} instead of opening a stream");
            let transient = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
            let surely = matches!(status.as_u16(), 401 | 403);
            Err(if transient { lost(problem, false) } else { Ended::Refused { problem, surely } })
        }
        Ok(Err(error)) => Err(lost(error.to_string(), false)),
        Err(_) => Err(lost("no connection within the time limit".to_owned(), false)),
    }
}
