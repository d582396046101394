//! Asks the vendors of speech to text whether they are there and take the keys. No audio is sent.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use muster_hooks::client::unguarded;
use muster_session::protocol::SpeechSpec;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use url::Url;

use super::judge::{KeyCheck, Vendor};
use crate::chain::chain;
use crate::config::without_userinfo;
use crate::engines::Engines;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks with every key that is configured, all at a time.
pub(super) async fn ask(engines: &Engines) -> Vec<Vendor> {
    let questions = engines.all().into_iter().filter_map(|(key, spec)| question(&spec).map(|ask| (key, spec, ask)));
    join_all(questions.map(|(key, spec, (path, authorization))| async move {
        let url = spec.url().clone();
        let answer = get(&url, path, authorization).await;
        Vendor { name: spec.name(), url: without_userinfo(&url), key, answer }
    }))
    .await
}

/// A request that costs nothing and needs the key, and how the key is sent; none for a server that is asked with audio.
fn question(spec: &SpeechSpec) -> Option<(&'static str, String)> {
    match spec {
        SpeechSpec::Openai { .. } => None,
        SpeechSpec::Deepgram { api_key, .. } => Some(("/v1/auth/token", ["Token ", api_key].concat())),
        SpeechSpec::Assemblyai { api_key, .. } => Some(("/v3/token?expires_in_seconds=60", api_key.clone())),
    }
}

async fn get(url: &Url, path: &str, authorization: String) -> Result<(Duration, KeyCheck), String> {
    let http = unguarded(url).timeout(TIMEOUT).build().map_err(|error| chain(&error))?;
    let mut authorization =
        HeaderValue::from_str(&authorization).map_err(|_| "the key has characters that no key can have".to_owned())?;
    authorization.set_sensitive(true);
    let begun = Instant::now();
    let request = http.get(address(url, path)).header(AUTHORIZATION, authorization);
    let response = request.send().await.map_err(|error| chain(&error.without_url()))?;
    let key = match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => KeyCheck::Refused,
        status if status.is_success() => KeyCheck::Taken,
        _ => KeyCheck::Unknown,
    };
    Ok((begun.elapsed(), key))
}

/// A path below the base, over HTTP where the base is a WebSocket's.
fn address(base: &Url, path: &str) -> String {
    let base = base.as_str().trim_end_matches('/');
    let base = match base.strip_prefix("ws") {
        Some(rest) => ["http", rest].concat(),
        None => base.to_owned(),
    };
    [&base, path].concat()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::get;

    use super::*;
    use crate::config::{Config, Sources};

    /// Takes the key `right`, as Deepgram and as AssemblyAI want it.
    async fn vendor() -> String {
        let judge = |want: &'static str| {
            get(move |headers: HeaderMap| async move {
                if headers["authorization"] == want { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
            })
        };
        let app = Router::new().route("/v1/auth/token", judge("Token right")).route("/v3/token", judge("right"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        url
    }

    #[tokio::test]
    async fn every_key_is_tried_where_it_would_be_used() {
        let url = vendor().await;
        let text = format!(
            "[transcription]\nurl = \"http://127.0.0.1:9\"\n[transcription.deepgram]\nurl = \"{url}\"\napi_key = \"right\"\n\
             [transcription.assemblyai]\nurl = \"{url}/elsewhere\"\n\
             [tenants.a.transcription]\ndeepgram_api_key = \"wrong\"\nassemblyai_api_key = \"right\"\n"
        );
        let config = Config::load(&Sources { file: Some(("m.toml".into(), text)), ..Sources::default() }).unwrap();
        let seen: Vec<_> = ask(&Engines::new(config.transcription))
            .await
            .into_iter()
            .map(|vendor| (vendor.name, vendor.key, vendor.answer.unwrap().1))
            .collect();
        let want = [
            ("deepgram", "transcription.deepgram.api_key".to_owned(), KeyCheck::Taken),
            ("deepgram", "tenants.a.transcription.deepgram_api_key".to_owned(), KeyCheck::Refused),
            ("assemblyai", "tenants.a.transcription.assemblyai_api_key".to_owned(), KeyCheck::Unknown),
        ];
        assert_eq!(seen, want);
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_without_the_key() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url: Url = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let error = get_error(&url).await;
        assert!(!error.contains("secret"), "{error}");
    }

    async fn get_error(url: &Url) -> String {
        super::get(url, "/v1/auth/token", "Token secret".to_owned()).await.unwrap_err()
    }
}
