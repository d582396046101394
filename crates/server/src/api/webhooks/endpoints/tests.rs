use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId::from_uuid(Uuid::nil()),
        tenant: TenantId::new("t"),
        version: 1,
        url: "https://example.com/".parse().unwrap(),
        description: String::new(),
        events: Vec::new(),
        secrets: vec![EndpointSecret { secret: "whsec_0".into(), until: None }],
        created_at: NOW,
        failing_since: None,
        disabled: None,
    }
}

#[test]
fn secrets_overlap_and_end() {
    let mut endpoint = endpoint();
    let hour = Duration::from_secs(3_600);
    rotate(&mut endpoint, "whsec_1", hour, NOW).unwrap();
    rotate(&mut endpoint, "whsec_2", 2 * hour, NOW).unwrap();
    let at = |time| endpoint.secrets_at(time).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(at(NOW), ["whsec_2", "whsec_1", "whsec_0"]);
    assert_eq!(at(NOW + hour), ["whsec_2", "whsec_1"], "a later rotation lengthens nothing");
    assert_eq!(at(NOW + 2 * hour), ["whsec_2"]);
    rotate(&mut endpoint, "whsec_3", Duration::ZERO, NOW).unwrap();
    assert_eq!(endpoint.secrets_at(NOW).collect::<Vec<_>>(), ["whsec_3"]);
    for _ in 1..MAX_SECRETS {
        rotate(&mut endpoint, "whsec_n", hour, NOW).unwrap();
    }
    assert!(rotate(&mut endpoint, "whsec_n", hour, NOW).is_err());
    rotate(&mut endpoint, "whsec_n", hour, NOW + hour).unwrap();
}

#[test]
fn disabling_twice_keeps_the_first_reason_and_enabling_clears_the_record() {
    let change = |disabled| Change { url: None, events: None, description: None, disabled: Some(disabled) };
    let mut endpoint = endpoint();
    endpoint.failing_since = Some(NOW);
    let failed = Disabled { at: NOW, reason: "failed for 5 days".into() };
    endpoint.disabled = Some(failed.clone());
    change(true).apply(&mut endpoint, NOW + Duration::from_secs(1));
    assert_eq!(endpoint.disabled, Some(failed));
    change(false).apply(&mut endpoint, NOW);
    assert_eq!((endpoint.disabled, endpoint.failing_since), (None, None));
}

#[test]
fn another_address_is_not_failing_and_stays_disabled() {
    let change =
        |url: &str| Change { url: Some(url.parse().unwrap()), events: None, description: None, disabled: None };
    let mut endpoint = endpoint();
    endpoint.failing_since = Some(NOW);
    endpoint.disabled = Some(Disabled { at: NOW, reason: "failed for 5 days".into() });
    change("https://example.com/").apply(&mut endpoint, NOW);
    assert_eq!(endpoint.failing_since, Some(NOW), "it is the same");
    change("https://example.com/new").apply(&mut endpoint, NOW);
    assert_eq!((endpoint.failing_since, endpoint.disabled.is_some()), (None, true));
}
