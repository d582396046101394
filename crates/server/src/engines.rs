//! Which recogniser makes the words of a bot, and with whose key.

use muster_session::protocol::SpeechSpec;
use muster_session::{TenantId, TranscriptPlan};
use serde_json::{Map, Value};

use crate::config::{ProviderConfig, TranscriptionConfig};

/// Options of the vendors that name a language or ask for its detection.
const LANGUAGE_OPTIONS: [&str; 4] = ["language", "language_code", "language_detection", "detect_language"];

/// Every recogniser that is configured. Its `Debug` shows no key.
#[derive(Clone, Debug)]
pub struct Engines(TranscriptionConfig);

impl Engines {
    /// The engines of this configuration.
    #[must_use]
    pub const fn new(config: TranscriptionConfig) -> Self {
        Self(config)
    }

    /// The recogniser for what a tenant asked for, with its options: the vendor that the provider is named after if there
    /// is a key of it for the tenant, otherwise the OpenAI-compatible server, or `None` if that is not configured.
    #[must_use]
    pub fn choose(&self, tenant: &TenantId, plan: &TranscriptPlan) -> Option<SpeechSpec> {
        let config = &self.0;
        let own = config.tenants.get(tenant);
        let key_of = |own: Option<&String>, common: Option<&String>| own.or(common).cloned();
        let vendor = plan.provider.strip_suffix("_streaming").unwrap_or(&plan.provider);
        match vendor {
            "deepgram" => {
                let ProviderConfig { url, api_key } = &config.deepgram;
                if let Some(api_key) = key_of(own.and_then(|own| own.deepgram_api_key.as_ref()), api_key.as_ref()) {
                    let options = self.options(plan);
                    return Some(SpeechSpec::Deepgram { url: url.clone(), api_key, options });
                }
            }
            "assemblyai" => {
                let ProviderConfig { url, api_key } = &config.assemblyai;
                if let Some(api_key) = key_of(own.and_then(|own| own.assemblyai_api_key.as_ref()), api_key.as_ref()) {
                    let options = self.options(plan);
                    return Some(SpeechSpec::Assemblyai { url: url.clone(), api_key, options });
                }
            }
            _ => {}
        }
        Some(SpeechSpec::Openai {
            url: config.url.clone()?,
            model: config.model.clone(),
            api_key: key_of(own.and_then(|own| own.api_key.as_ref()), config.api_key.as_ref()),
            language: language(plan).or_else(|| config.language.clone()),
        })
    }

    /// True if nothing can be recognised for anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Each engine with each key that is configured for it, and the name of what configures it.
    #[must_use]
    pub fn all(&self) -> Vec<(String, SpeechSpec)> {
        let config = &self.0;
        let options = || Value::Object(Map::new());
        let openai = |api_key: Option<&String>| {
            let (model, language) = (config.model.clone(), config.language.clone());
            let url = config.url.clone();
            url.map(|url| SpeechSpec::Openai { url, model, api_key: api_key.cloned(), language })
        };
        let deepgram = |api_key: Option<&String>| {
            let (url, api_key) = (config.deepgram.url.clone(), api_key?.clone());
            Some(SpeechSpec::Deepgram { url, api_key, options: options() })
        };
        let assemblyai = |api_key: Option<&String>| {
            let (url, api_key) = (config.assemblyai.url.clone(), api_key?.clone());
            Some(SpeechSpec::Assemblyai { url, api_key, options: options() })
        };
        let mut all = vec![
            ("transcription.url".to_owned(), openai(config.api_key.as_ref())),
            ("transcription.deepgram.api_key".to_owned(), deepgram(config.deepgram.api_key.as_ref())),
            ("transcription.assemblyai.api_key".to_owned(), assemblyai(config.assemblyai.api_key.as_ref())),
        ];
        for (tenant, own) in &config.tenants {
            let section = format!("tenants.{tenant}.transcription");
            let key = |name: &str| [section.as_str(), name].join(".");
            all.push((key("api_key"), own.api_key.as_ref().and_then(|own| openai(Some(own)))));
            all.push((key("deepgram_api_key"), deepgram(own.deepgram_api_key.as_ref())));
            all.push((key("assemblyai_api_key"), assemblyai(own.assemblyai_api_key.as_ref())));
        }
        all.into_iter().filter_map(|(key, spec)| Some((key, spec?))).collect()
    }

    /// The request's options, with the operator's language where it names none.
    fn options(&self, plan: &TranscriptPlan) -> Value {
        let mut options = plan.options.as_object().cloned().unwrap_or_default();
        if options.get("language").and_then(Value::as_str) == Some("auto") {
            options.remove("language");
        }
        if let Some(language) = &self.0.language
            && !LANGUAGE_OPTIONS.iter().any(|option| options.contains_key(*option))
        {
            options.insert("language".to_owned(), language.clone().into());
        }
        Value::Object(options)
    }
}

/// The language that a request names, if it does; vendors call it by two names.
fn language(plan: &TranscriptPlan) -> Option<String> {
    let named = |key| plan.options.get(key).and_then(Value::as_str);
    ["language", "language_code"].into_iter().find_map(named).filter(|l| *l != "auto").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Config, Sources};

    const ALL: &str = r#"
        [transcription]
        url = "http://127.0.0.1:9000"
        api_key = "openai-common"
        [transcription.deepgram]
        api_key = "deepgram-common"
        [transcription.assemblyai]
        url = "ws://127.0.0.1:9002"
        [tenants.acme.transcription]
        deepgram_api_key = "deepgram-acme"
        assemblyai_api_key = "assemblyai-acme"
        [tenants.own.transcription]
        api_key = "openai-own"
    "#;

    fn engines(file: &str) -> Engines {
        let sources = Sources { file: Some(("m.toml".into(), file.to_owned())), ..Sources::default() };
        Engines::new(Config::load(&sources).unwrap().transcription)
    }

    fn plan(provider: &str, options: Value) -> TranscriptPlan {
        TranscriptPlan { provider: provider.into(), options }
    }

    /// Engine, host and key.
    fn choice(engines: &Engines, tenant: &str, provider: &str) -> (&'static str, String, String) {
        let Some(spec) = engines.choose(&TenantId::new(tenant), &plan(provider, json!({}))) else {
            return ("none", String::new(), String::new());
        };
        let key = match &spec {
            SpeechSpec::Openai { api_key, .. } => api_key.clone().unwrap_or_default(),
            SpeechSpec::Deepgram { api_key, .. } | SpeechSpec::Assemblyai { api_key, .. } => api_key.clone(),
        };
        (spec.name(), spec.url().host_str().unwrap().to_owned(), key)
    }

    #[test]
    fn a_provider_is_served_by_its_namesake_if_there_is_a_key_and_by_the_default_otherwise() {
        let engines = engines(ALL);
        let table = [
            ("default", "deepgram", ("deepgram", "api.deepgram.com", "deepgram-common")),
            ("default", "deepgram_streaming", ("deepgram", "api.deepgram.com", "deepgram-common")),
            ("acme", "deepgram_streaming", ("deepgram", "api.deepgram.com", "deepgram-acme")),
            ("own", "deepgram", ("deepgram", "api.deepgram.com", "deepgram-common")),
            ("acme", "assemblyai", ("assemblyai", "127.0.0.1", "assemblyai-acme")),
            ("acme", "assemblyai_streaming", ("assemblyai", "127.0.0.1", "assemblyai-acme")),
            ("default", "assemblyai", ("openai", "127.0.0.1", "openai-common")),
            ("own", "assemblyai_streaming", ("openai", "127.0.0.1", "openai-own")),
            ("default", "meetstream", ("openai", "127.0.0.1", "openai-common")),
            ("acme", "meetstream_streaming", ("openai", "127.0.0.1", "openai-common")),
            ("own", "meeting_captions", ("openai", "127.0.0.1", "openai-own")),
            ("default", "sarvam", ("openai", "127.0.0.1", "openai-common")),
            ("default", "jigsawstack_streaming", ("openai", "127.0.0.1", "openai-common")),
        ];
        for (tenant, provider, (engine, host, key)) in table {
            let want = (engine, host.to_owned(), key.to_owned());
            assert_eq!(choice(&engines, tenant, provider), want, "{tenant} {provider}");
        }
    }

    #[test]
    fn without_a_default_only_the_vendors_with_a_key_serve() {
        let engines = engines("[tenants.acme.transcription]\ndeepgram_api_key = \"k\"");
        assert_eq!(choice(&engines, "acme", "deepgram").0, "deepgram");
        assert_eq!(choice(&engines, "acme", "assemblyai").0, "none");
        assert_eq!(choice(&engines, "default", "deepgram").0, "none");
        assert!(!engines.is_empty() && self::engines("").is_empty());
        let keys: Vec<String> = self::engines(ALL).all().into_iter().map(|(key, _)| key).collect();
        let want = [
            "transcription.url",
            "transcription.deepgram.api_key",
            "tenants.acme.transcription.deepgram_api_key",
            "tenants.acme.transcription.assemblyai_api_key",
            "tenants.own.transcription.api_key",
        ];
        assert_eq!(keys, want);
    }

    #[test]
    fn options_go_along_and_the_language_is_the_requests_or_else_the_operators() {
        let common = "[transcription]\nurl = \"http://h\"\nlanguage = \"de\"\n";
        let engines = engines(
            &[common, "[transcription.deepgram]\napi_key = \"k\"\n[transcription.assemblyai]\napi_key = \"k\""]
                .concat(),
        );
        let options =
            |provider: &str, options: Value| match engines.choose(&TenantId::new("t"), &plan(provider, options)) {
                Some(SpeechSpec::Deepgram { options, .. } | SpeechSpec::Assemblyai { options, .. }) => options,
                Some(SpeechSpec::Openai { language, .. }) => json!(language),
                None => Value::Null,
            };
        let table = [
            ("deepgram", json!({"model": "nova-3"}), json!({"model": "nova-3", "language": "de"})),
            ("deepgram", json!({"language": "fr"}), json!({"language": "fr"})),
            ("deepgram", json!({"language": "auto"}), json!({"language": "de"})),
            ("deepgram", json!({"detect_language": true}), json!({"detect_language": true})),
            ("assemblyai", json!({}), json!({"language": "de"})),
            ("assemblyai_streaming", json!({"language_code": "es"}), json!({"language_code": "es"})),
            ("meetstream", json!({}), json!("de")),
            ("meetstream", json!({"language": "auto"}), json!("de")),
            ("sarvam", json!({"language_code": "hi"}), json!("hi")),
            ("jigsawstack", json!({"language": "pt"}), json!("pt")),
        ];
        for (provider, given, want) in table {
            assert_eq!(options(provider, given.clone()), want, "{provider} {given}");
        }
    }
}
