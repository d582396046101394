//! Calls to the server's public API.

use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::passage::{SPEAKERS, schedule};
use crate::speech::Spoken;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Api {
    pub(crate) fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().context("the HTTP client")?;
        Ok(Self { http, url: url.to_owned(), key: key.to_owned() })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let what = format!("{method} {path}");
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .header("Authorization", format!("Token {}", self.key));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| what.clone())?;
        let status = response.status();
        let text = response.text().await.with_context(|| what.clone())?;
        // 202 is the API's "not yet"; nothing that is asked for here may be late.
        if !status.is_success() || status == reqwest::StatusCode::ACCEPTED {
            bail!("{what} answered {status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("{what} answered something that is not JSON: {text}"))
    }

    /// What a signed link leads to.
    pub(crate) async fn download(&self, link: &str) -> anyhow::Result<Vec<u8>> {
        let response = self.http.get(link).send().await.and_then(reqwest::Response::error_for_status);
        Ok(response.context("downloading the recording")?.bytes().await.context("downloading the recording")?.to_vec())
    }

    /// Puts the passage into a room.
    pub(crate) async fn room(&self, room: &str, scenario: &Value) -> anyhow::Result<()> {
        self.call(Method::PUT, &format!("/sandbox/api/rooms/{room}"), Some(scenario)).await?;
        Ok(())
    }
}

/// The passage as a sandbox scenario. Once, with the host's end after it; or `again` and again, without an end.
pub(crate) fn scenario(spoken: &[Spoken], again: bool) -> Value {
    let lengths: Vec<Duration> = spoken.iter().map(|line| line.length).collect();
    let (starts, end) = schedule(&lengths);
    let participants: Vec<Value> = SPEAKERS
        .iter()
        .map(|speaker| {
            let speaks: Vec<Value> = spoken
                .iter()
                .zip(&starts)
                .filter(|(line, _)| line.speaker == *speaker)
                .map(|(line, at)| {
                    let mut speech = json!({"at": at.as_secs_f64(), "wav_base64": STANDARD.encode(&line.wav)});
                    if again {
                        speech["every"] = json!(end.as_secs_f64());
                    }
                    speech
                })
                .collect();
            json!({"id": speaker.id, "name": speaker.name, "speaks": speaks})
        })
        .collect();
    let timeline = if again { json!([]) } else { json!([{"at": end.as_secs_f64(), "do": "end"}]) };
    json!({"clock": "first_guest", "participants": participants, "timeline": timeline})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::{ADA, BEN};

    #[test]
    fn everybody_speaks_their_own_lines_in_turn() {
        let line = |speaker, seconds| Spoken { speaker, wav: vec![1, 2, 3], length: Duration::from_secs(seconds) };
        let spoken = [line(ADA, 3), line(BEN, 2), line(ADA, 1)];
        let once = scenario(&spoken, false);
        let [ada, ben] = [&once["participants"][0], &once["participants"][1]];
        assert_eq!((&ada["name"], ada["speaks"].as_array().unwrap().len()), (&json!("Ada"), 2));
        assert_eq!(ben["speaks"].as_array().unwrap().len(), 1);
        assert_eq!(ben["speaks"][0]["wav_base64"], "AQID");
        assert!(ben["speaks"][0]["at"].as_f64() > ada["speaks"][0]["at"].as_f64().map(|at| at + 3.0));
        let end = once["timeline"][0]["at"].as_f64().unwrap();
        assert!(end > ada["speaks"][1]["at"].as_f64().unwrap() + 1.0);
        let again = scenario(&spoken, true);
        assert_eq!(again["timeline"], json!([]));
        assert_eq!(again["participants"][0]["speaks"][0]["every"].as_f64(), Some(end));
    }
}
