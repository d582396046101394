//! Logs go to standard error; `MUSTER_LOG` filters them.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

fn filter(default: &str) -> EnvFilter {
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // At `trace` this module writes requests down whole, with the keys in them.
    filter.add_directive("tungstenite::handshake=info".parse().expect("a target and a level"))
}

/// For people on a terminal, as JSON lines otherwise.
pub(super) fn init() {
    let builder = tracing_subscriber::fmt().with_env_filter(filter("info")).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().init();
    } else {
        builder.json().flatten_event(true).init();
    }
}

/// A bot's log is captured line by line by its worker, which adds the time.
pub(super) fn init_bot() {
    tracing_subscriber::fmt()
        .with_env_filter(filter("info"))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .compact()
        .init();
}
