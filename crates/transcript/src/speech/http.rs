//! What all requests to recognisers share.

use std::time::Duration;

use muster_hooks::client::unguarded;
use reqwest::{Response, StatusCode};
use url::Url;

use super::Error;

/// Pauses between attempts; one attempt more than there are pauses.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
const EXCERPT_CHARS: usize = 300;
/// In the place of a key.
const HIDDEN: &str = "***";
/// Keys are no shorter; ids of requests are hidden with them.
const LONG_TOKEN: usize = 24;
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// A client for the server at `url`.
pub(super) fn client(url: &Url) -> Result<reqwest::Client, Error> {
    let client = unguarded(url).connect_timeout(Duration::from_secs(10)).build();
    client.map_err(|error| Error::Setup { detail: error.to_string() })
}

/// Makes attempts until one succeeds, is refused for good, or too many failed.
pub(super) async fn retried<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut pauses = PAUSES.iter();
    loop {
        match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(Failure { error, retry_after }) => {
                let pause = pauses.next().filter(|_| error.is_transient());
                let Some(pause) = pause else { return Err(error) };
                tracing::debug!(%error, "speech to text failed; trying again");
                tokio::time::sleep(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER).max(*pause)).await;
            }
        }
    }
}

/// Why an attempt failed, and how long the server wants to be left alone.
pub(super) struct Failure {
    pub(super) error: Error,
    retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn no_answer(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let detail = if error.is_timeout() {
            "no answer within the time limit".to_owned()
        } else {
            std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(": ")
        };
        Self { error: Error::Unavailable { detail, source: Some(Box::new(error)) }, retry_after: None }
    }
}

/// The body of a good answer. What a bad one says is told without `key`, which some servers echo.
pub(super) async fn read(response: Response, key: Option<&str>) -> Result<String, Failure> {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let body = response.text().await.map_err(Failure::no_answer)?;
    if status.is_success() {
        return Ok(body);
    }
    let detail: String = redacted(body.trim(), key).chars().take(EXCERPT_CHARS).collect();
    let error = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            Error::Unavailable { detail: format!("{status}: {detail}"), source: None }
        }
        status if status.is_server_error() => {
            Error::Unavailable { detail: format!("{status}: {detail}"), source: None }
        }
        status => Error::Rejected { status: status.as_u16(), detail },
    };
    Err(Failure { error, retry_after })
}

/// A text without a key, and without anything else that could be one.
pub(crate) fn redacted(text: &str, key: Option<&str>) -> String {
    let text = match key.filter(|key| !key.is_empty()) {
        Some(key) => text.replace(key, HIDDEN),
        None => text.to_owned(),
    };
    let of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let secret = |token: &str| token.len() >= LONG_TOKEN && token.contains(|c: char| c.is_ascii_digit());
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| of_token(c) != of_token(first)).unwrap_or(rest.len());
        let (part, later) = rest.split_at(end);
        out.push_str(if secret(part) { HIDDEN } else { part });
        rest = later;
    }
    out
}

/// A WAV file: PCM, mono, 16 bit, 16 kHz.
pub(super) fn wav(pcm16k: &[i16]) -> Vec<u8> {
    const RATE: u32 = 16_000;
    let data_bytes = u32::try_from(pcm16k.len() * 2).expect("pieces of audio are far below 4 GiB");
    let mut file = Vec::with_capacity(44 + pcm16k.len() * 2);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2).to_le_bytes());
    file.extend_from_slice(&2u16.to_le_bytes());
    file.extend_from_slice(&16u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data_bytes.to_le_bytes());
    file.extend(pcm16k.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_told() {
        let told = redacted(
            "key k-1 is bad; (0123456789abcdef0123456789abcdef) unauthorizedunauthorizedunauthorized",
            Some("k-1"),
        );
        assert_eq!(told, "key *** is bad; (***) unauthorizedunauthorizedunauthorized");
        assert_eq!(redacted("ärger: {\"error\": \"no\"}", None), "ärger: {\"error\": \"no\"}");
    }

    #[test]
    fn the_wav_header_is_right() {
        let file = wav(&[1, -2]);
        assert_eq!(file.len(), 48);
        assert_eq!(&file[..4], b"RIFF");
        assert_eq!(file[4..8], 40u32.to_le_bytes());
        assert_eq!(file[24..28], 16_000u32.to_le_bytes());
        assert_eq!(file[40..], [4, 0, 0, 0, 1, 0, 0xfe, 0xff]);
    }
}
