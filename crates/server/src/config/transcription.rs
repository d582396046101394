//! `[transcription]` and `[tenants.NAME.transcription]`: who turns speech into words, and with whose key.

use std::collections::BTreeMap;

use muster_session::TenantId;
use url::Url;

use super::reader::{Reader, Text, without_userinfo};

/// Speech to text. Its `Debug` shows no key.
#[derive(Clone)]
pub struct TranscriptionConfig {
    /// Base URL of an OpenAI-compatible server.
    pub url: Option<Url>,
    /// Model name.
    pub model: String,
    /// Bearer token.
    pub api_key: Option<String>,
    /// Language hint.
    pub language: Option<String>,
    /// `[transcription.deepgram]`
    pub deepgram: ProviderConfig,
    /// `[transcription.assemblyai]`
    pub assemblyai: ProviderConfig,
    /// `[tenants.NAME.transcription]`
    pub tenants: BTreeMap<TenantId, TenantTranscription>,
}

/// Where a provider is, and the key that tenants without one of their own use.
#[derive(Clone)]
pub struct ProviderConfig {
    /// Base URL.
    pub url: Url,
    /// API key; without any key the provider is not used.
    pub api_key: Option<String>,
}

/// A tenant's own keys; each replaces the one that is common to all.
#[derive(Clone, Default)]
pub struct TenantTranscription {
    /// For the OpenAI-compatible server.
    pub api_key: Option<String>,
    /// For Deepgram.
    pub deepgram_api_key: Option<String>,
    /// For AssemblyAI.
    pub assemblyai_api_key: Option<String>,
}

impl std::fmt::Debug for TranscriptionConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TranscriptionConfig")
            .field("url", &self.url.as_ref().map(without_userinfo))
            .field("model", &self.model)
            .field("deepgram", &self.deepgram)
            .field("assemblyai", &self.assemblyai)
            .field("tenants", &self.tenants.keys())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("url", &without_userinfo(&self.url).as_str())
            .field("api_key", &self.api_key.as_ref().map(|_| "redacted"))
            .finish()
    }
}

impl std::fmt::Debug for TenantTranscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantTranscription").finish_non_exhaustive()
    }
}

impl TranscriptionConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let a_url = "a URL such as wss://host/path";
        Self {
            url: r.url_opt("transcription.url", "Base URL of an OpenAI-compatible speech-to-text server; /v1/audio/transcriptions is added. It serves every provider that is not set up below; without any of them no transcripts are made."),
            model: r.text(Text::new("transcription.model", "whisper-1", "Model name to ask for.")),
            api_key: r.secret("transcription.api_key", "Bearer token for that server."),
            language: r.text_opt("transcription.language", "Language hint such as `en`, for requests that name none. Default: detect."),
            deepgram: ProviderConfig {
                url: r.url(
                    Text::new("transcription.deepgram.url", "wss://api.deepgram.com", "Where `deepgram` and `deepgram_streaming` are recognised, if there is a key."),
                    a_url,
                ),
                api_key: r.secret("transcription.deepgram.api_key", "Deepgram API key for tenants without one of their own."),
            },
            assemblyai: ProviderConfig {
                url: r.url(
                    Text::new("transcription.assemblyai.url", "wss://streaming.assemblyai.com", "Where `assemblyai` and `assemblyai_streaming` are recognised, if there is a key. Recordings go to api.assemblyai.com, unless another host is set here."),
                    a_url,
                ),
                api_key: r.secret("transcription.assemblyai.api_key", "AssemblyAI API key for tenants without one of their own."),
            },
            tenants: tenants(r),
        }
    }

    pub(super) fn cross_check(&self, r: &mut Reader<'_>) {
        if self.url.as_ref().is_some_and(|url| !matches!(url.scheme(), "http" | "https")) {
            r.problem("transcription.url: must be http or https");
        }
        for (key, url) in [("deepgram", &self.deepgram.url), ("assemblyai", &self.assemblyai.url)] {
            if !matches!(url.scheme(), "ws" | "wss" | "http" | "https") {
                r.problem(format!("transcription.{key}.url: must be wss, ws, https or http"));
            }
        }
    }
}

fn tenants(r: &mut Reader<'_>) -> BTreeMap<TenantId, TenantTranscription> {
    r.document("tenants.NAME.transcription.api_key", "For the tenant NAME, instead of transcription.api_key.");
    r.document(
        "tenants.NAME.transcription.deepgram_api_key",
        "For the tenant NAME, instead of transcription.deepgram.api_key.",
    );
    r.document(
        "tenants.NAME.transcription.assemblyai_api_key",
        "For the tenant NAME, instead of transcription.assemblyai.api_key.",
    );
    let mut tenants = BTreeMap::new();
    for name in r.tenants("transcription") {
        let mut key = |key| r.secret_of(["tenants", &name, "transcription", key]);
        let keys = TenantTranscription {
            api_key: key("api_key"),
            deepgram_api_key: key("deepgram_api_key"),
            assemblyai_api_key: key("assemblyai_api_key"),
        };
        tenants.insert(TenantId::new(name), keys);
    }
    tenants
}
