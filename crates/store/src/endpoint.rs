use std::fmt;

use muster_session::event::Event;
use muster_session::{EndpointId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

/// An address that a tenant's webhooks go to, whichever of its bots they are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose.
    pub tenant: TenantId,
    /// Optimistic lock, kept by the store: 0 before the first write.
    #[serde(skip)]
    pub version: u64,
    /// Where the webhooks go.
    pub url: Url,
    /// For people.
    pub description: String,
    /// Names of the events it gets, `event` or `bot_event`; one that ends with `*` stands for all that begin so. Empty: all.
    pub events: Vec<String>,
    /// What its webhooks are signed with: the newest first, and those that are on their way out.
    pub secrets: Vec<EndpointSecret>,
    /// When it was made.
    pub created_at: Timestamp,
    /// No attempt has succeeded since this one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// It gets nothing while this is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
}

/// A signing secret of an endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecret {
    /// `whsec_…`
    pub secret: String,
    /// Signs until then; the newest has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl fmt::Debug for EndpointSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSecret").field("until", &self.until).finish_non_exhaustive()
    }
}

/// Why an endpoint gets nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// For people.
    pub reason: String,
}

impl Endpoint {
    /// True if an event is to be sent there. Events with an address of their own are for nobody else.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        let named = |filter: &String| match filter.strip_suffix('*') {
            Some(begin) => event.event.starts_with(begin) || event.bot_event.starts_with(begin),
            None => *filter == event.event || *filter == event.bot_event,
        };
        self.disabled.is_none() && event.to.is_none() && (self.events.is_empty() || self.events.iter().any(named))
    }

    /// The secrets that sign at this time, the newest first.
    pub fn secrets_at(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let signs = move |secret: &&EndpointSecret| secret.until.is_none_or(|until| now < until);
        self.secrets.iter().filter(signs).map(|secret| secret.secret.as_str())
    }
}

/// The deliveries that an event becomes: to its own address alone if it has one, otherwise to the bot's `callback_url` and to
/// every endpoint that takes it.
pub fn addresses<'a>(
    event: &'a Event,
    callback_url: Option<&'a Url>,
    endpoints: &'a [Endpoint],
) -> impl Iterator<Item = (&'a Url, Option<EndpointId>)> {
    let own = event.to.as_ref().or(callback_url).map(|url| (url, None));
    let others = endpoints.iter().filter(move |endpoint| endpoint.takes(event));
    own.into_iter().chain(others.map(|endpoint| (&endpoint.url, Some(endpoint.id))))
}

#[cfg(test)]
mod tests {
    use muster_session::BotId;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn endpoint(events: &[&str]) -> Endpoint {
        Endpoint {
            id: EndpointId::from_uuid(Uuid::from_u128(1)),
            tenant: TenantId::new("t"),
            version: 0,
            url: "https://example.com/all".parse().unwrap(),
            description: String::new(),
            events: events.iter().map(|name| (*name).to_owned()).collect(),
            secrets: Vec::new(),
            created_at: NOW,
            failing_since: None,
            disabled: None,
        }
    }

    fn kicked() -> Event {
        Event {
            bot: BotId::from_uuid(Uuid::from_u128(2)),
            sequence: 1,
            at: NOW,
            event: "bot.stopped".into(),
            bot_event: "bot.kicked".into(),
            to: None,
            body: json!({}),
        }
    }

    #[test]
    fn filters_take_both_names_and_beginnings() {
        let takes = |events: &[&str]| endpoint(events).takes(&kicked());
        for taken in [&[][..], &["bot.stopped"], &["bot.kicked"], &["bot.*"], &["*"], &["audio.processed", "bot.st*"]] {
            assert!(takes(taken), "{taken:?}");
        }
        for refused in [&["bot.done"][..], &["bot"], &["audio.*"], &["bot.kicke"]] {
            assert!(!takes(refused), "{refused:?}");
        }
    }

    #[test]
    fn an_event_with_its_own_address_is_for_nobody_else() {
        let (callback, own): (Url, Url) =
            ("https://example.com/bot".parse().unwrap(), "https://example.com/own".parse().unwrap());
        let (all, none) = (endpoint(&[]), endpoint(&["other"]));
        let disabled = Endpoint { disabled: Some(Disabled { at: NOW, reason: "gone".into() }), ..endpoint(&[]) };
        let endpoints = [all.clone(), none, disabled];
        let event = kicked();
        let to = |event: &Event, callback: Option<&Url>| {
            addresses(event, callback, &endpoints).map(|(url, id)| (url.clone(), id)).collect::<Vec<_>>()
        };
        assert_eq!(to(&event, Some(&callback)), [(callback.clone(), None), (all.url.clone(), Some(all.id))]);
        assert_eq!(to(&event, None), [(all.url.clone(), Some(all.id))]);
        let event = Event { to: Some(own.clone()), ..event };
        assert_eq!(to(&event, Some(&callback)), [(own, None)]);
    }

    #[test]
    fn secrets_end_and_are_not_shown() {
        let secret = |secret: &str, until| EndpointSecret { secret: secret.into(), until };
        let rotated =
            Endpoint { secrets: vec![secret("whsec_new", None), secret("whsec_old", Some(NOW))], ..endpoint(&[]) };
        assert_eq!(
            rotated.secrets_at(NOW - std::time::Duration::from_secs(1)).collect::<Vec<_>>(),
            ["whsec_new", "whsec_old"]
        );
        assert_eq!(rotated.secrets_at(NOW).collect::<Vec<_>>(), ["whsec_new"]);
        assert!(!format!("{rotated:?}").contains("whsec_"));
    }
}
