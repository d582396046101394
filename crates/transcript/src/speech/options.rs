//! The provider options of a plan, as a vendor's parameters. Pure.

use serde_json::Value;

/// Options that never reach a vendor: they are about the plan, would send words or keys elsewhere, or are decided here.
const OURS: &[&str] = &[
    "transcription_mode",
    "encoding",
    "sample_rate",
    "channels",
    "multichannel",
    "container",
    "callback",
    "callback_method",
    "audio_url",
    "api_key",
    "token",
    "access_token",
];

/// The options to pass on, as given: without [`OURS`], those of `but`, and nulls.
pub(super) fn passed<'a>(options: &'a Value, but: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let kept = |name: &str| !OURS.contains(&name) && !but.contains(&name) && !name.starts_with("webhook");
    options
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
        .filter(move |(name, value)| kept(name) && !value.is_null())
}

/// A value as it is written in a query; nothing for lists and objects.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A language unless it says to find out.
pub(super) fn language<'a>(options: &'a Value, names: &[&str]) -> Option<&'a str> {
    let named = names.iter().find_map(|name| options.get(name)?.as_str());
    named.filter(|language| !matches!(*language, "" | "auto"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_ours_or_would_lead_elsewhere_is_not_passed_on() {
        let options = json!({
            "model": "nova-2", "encoding": "mulaw", "transcription_mode": "word", "callback": "https://x/",
            "webhook_url": "https://x/", "token": "t", "tag": null, "punctuate": true, "diarize": false,
        });
        let passed: Vec<_> = passed(&options, &["diarize"]).map(|(name, _)| name).collect();
        assert_eq!(passed, ["model", "punctuate"]);
        assert_eq!(super::passed(&json!(null), &[]).count(), 0);
    }

    #[test]
    fn a_language_to_be_found_out_is_none() {
        assert_eq!(language(&json!({"language": "auto"}), &["language"]), None);
        assert_eq!(language(&json!({"language_code": "de"}), &["language", "language_code"]), Some("de"));
        assert_eq!(scalar(&json!([1])), None);
        assert_eq!(scalar(&json!(0.5)).as_deref(), Some("0.5"));
    }
}
