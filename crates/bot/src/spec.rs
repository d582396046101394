//! The first line of the input: what the bot is to do.

use muster_session::protocol::BotSpec;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Longest line that is read. A spec is a few kilobytes; a platform pack makes up most of it.
const MAX_BYTES: u64 = 1 << 20;

/// Why there is no spec.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    #[error("the input ended before a line with the spec came; this command is for the supervisor, not for people")]
    Missing,
    #[error("the spec is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Says where in the document, and never what is there: a spec holds secrets.
    #[error("the spec is not understood: {problem} at column {column}")]
    Malformed { problem: &'static str, column: usize },
    #[error("the input cannot be read: {0}")]
    Input(#[from] std::io::Error),
}

/// Reads one line; what follows it stays in `input`.
pub(crate) async fn read(input: &mut (impl AsyncBufRead + Unpin)) -> Result<BotSpec, SpecError> {
    let mut line = Vec::new();
    input.take(MAX_BYTES).read_until(b'\n', &mut line).await?;
    if !line.ends_with(b"\n") {
        return Err(if line.len() as u64 == MAX_BYTES { SpecError::TooLong } else { SpecError::Missing });
    }
    serde_json::from_slice(&line).map_err(|error| SpecError::Malformed {
        problem: match error.classify() {
            serde_json::error::Category::Data => "a field is missing or of the wrong type",
            _ => "it is not JSON",
        },
        column: error.column(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec_for_tests;

    #[tokio::test]
    async fn the_line_is_taken_and_what_follows_is_left() {
        let mut input = serde_json::to_vec(&spec_for_tests()).unwrap();
        input.extend(b"\nnext");
        let mut input = &input[..];
        assert_eq!(read(&mut input).await.unwrap().bot_name, "Notes");
        assert_eq!(input, b"next");
    }

    #[tokio::test]
    async fn what_is_no_spec_is_refused_without_repeating_it() {
        let refused = async |input: &[u8]| read(&mut &input[..]).await.unwrap_err().to_string();
        assert!(refused(b"").await.contains("ended before"));
        assert!(refused(b"{}").await.contains("ended before"), "cut off before the end of the line");
        assert!(refused(b"hello\n").await.contains("not JSON at column 1"));
        let secret = b"{\"bot\": \"s3cret\"}\n";
        let told = refused(secret).await;
        assert!(told.contains("wrong type") && !told.contains("s3cret"), "{told}");
        let endless = vec![b' '; 2 << 20];
        assert!(refused(&endless).await.contains("longer than"));
    }
}
