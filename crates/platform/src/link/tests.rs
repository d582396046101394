use super::*;

/// (as given, platform, join URL, key)
#[rustfmt::skip]
const ACCEPTED: &[(&str, &str, &str, &str)] = &[
    ("https://meet.google.com/abc-defg-hij", "google_meet", "https://meet.google.com/abc-defg-hij", "meet.google.com/abc-defg-hij"),
    ("http://meet.google.com/abc-defg-hij/", "google_meet", "https://meet.google.com/abc-defg-hij", "meet.google.com/abc-defg-hij"),
    ("meet.google.com/abc-defg-hij", "google_meet", "https://meet.google.com/abc-defg-hij", "meet.google.com/abc-defg-hij"),
    ("  <https://meet.google.com/abc-defg-hij>\n", "google_meet", "https://meet.google.com/abc-defg-hij", "meet.google.com/abc-defg-hij"),
    ("HTTPS://MEET.GOOGLE.COM/ABC-DEFG-HIJ?authuser=0#x", "google_meet", "https://meet.google.com/abc-defg-hij", "meet.google.com/abc-defg-hij"),
    ("https%3A%2F%2Fmeet.google.com%2Fabc-defg-hij", "google_meet", "https://meet.google.com/abc-defg-hij", "meet.google.com/abc-defg-hij"),
    ("https%253A%252F%252Fmeet.google.com%252Fabc-defg-hij", "google_meet", "https://meet.google.com/abc-defg-hij", "meet.google.com/abc-defg-hij"),
    ("https://www.google.com/url?q=https://meet.google.com/abc-defg-hij&sa=D", "google_meet", "https://meet.google.com/abc-defg-hij", "meet.google.com/abc-defg-hij"),
    ("https://www.google.com/url?sa=D&q=https%3A%2F%2Fzoom.us%2Fj%2F123456789%3Fpwd%3Dab1", "zoom", "https://zoom.us/j/123456789?pwd=ab1", "zoom.us/123456789"),
    ("https://zoom.us/j/12345678901", "zoom", "https://zoom.us/j/12345678901", "zoom.us/12345678901"),
    ("https://us02web.zoom.us/j/12345678901?pwd=aBc.1&uname=x", "zoom", "https://us02web.zoom.us/j/12345678901?pwd=aBc.1", "zoom.us/12345678901"),
    ("https://acme.zoom.com/w/123456789?tk=T-1_x.y", "zoom", "https://acme.zoom.us/j/123456789?tk=T-1_x.y", "zoom.us/123456789"),
    ("https://app.zoom.us/wc/1234567890/join?fromPWA=1", "zoom", "https://app.zoom.us/j/1234567890", "zoom.us/1234567890"),
    ("https://zoom.us/wc/join/1234567890", "zoom", "https://zoom.us/j/1234567890", "zoom.us/1234567890"),
    ("https://zoomgov.com/j/1234567890?pwd=%3Cscript%3E", "zoom", "https://zoomgov.com/j/1234567890", "zoomgov.com/1234567890"),
    ("https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context=%7b%22Tid%22%3a%221%22%7d", "teams",
     "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context=%7B%22Tid%22%3A%221%22%7D", "teams/19:meeting_x@thread.v2/0"),
    ("https://teams.microsoft.com/v2/?meetingjoin=true#/l/meetup-join/19:meeting_x@thread.v2/0?context=%7b%22Tid%22%3a%221%22%7d&anon=true", "teams",
     "https://teams.microsoft.com/l/meetup-join/19:meeting_x@thread.v2/0?context=%7B%22Tid%22%3A%221%22%7D", "teams/19:meeting_x@thread.v2/0"),
    ("https://teams.microsoft.com/dl/launcher/launcher.html?url=%2F_%23%2Fl%2Fmeetup-join%2F19%3Ameeting_x%40thread.v2%2F0&type=meetup-join", "teams",
     "https://teams.microsoft.com/l/meetup-join/19:meeting_x@thread.v2/0", "teams/19:meeting_x@thread.v2/0"),
    ("https://teams.live.com/meet/9312345678901?p=AbC123", "teams", "https://teams.live.com/meet/9312345678901?p=AbC123", "teams/9312345678901"),
    ("https://teams.microsoft.com/v2/?meetingjoin=true#/meet/9312345678901?p=AbC123", "teams", "https://teams.microsoft.com/meet/9312345678901?p=AbC123", "teams/9312345678901"),
    ("https://gov.teams.microsoft.us/meet/9312345678901", "teams", "https://gov.teams.microsoft.us/meet/9312345678901", "teams/9312345678901"),
    ("https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fteams.live.com%2Fmeet%2F9312345678901&data=x", "teams", "https://teams.live.com/meet/9312345678901", "teams/9312345678901"),
    ("http://127.0.0.1:8080/sandbox/room-1", "sandbox", "http://127.0.0.1:8080/sandbox/room-1", "http://127.0.0.1:8080/sandbox/room-1"),
    ("127.0.0.1:8080/sandbox/room-1", "sandbox", "http://127.0.0.1:8080/sandbox/room-1", "http://127.0.0.1:8080/sandbox/room-1"),
    ("localhost:8080/sandbox/room_1?name=x&autojoin=1", "sandbox", "http://localhost:8080/sandbox/room_1", "http://localhost:8080/sandbox/room_1"),
    ("[::1]:8080/sandbox/r", "sandbox", "http://[::1]:8080/sandbox/r", "http://[::1]:8080/sandbox/r"),
    ("https://muster.example/sandbox/Daily/", "sandbox", "https://muster.example/sandbox/Daily", "https://muster.example/sandbox/Daily"),
];

#[test]
fn every_spelling_of_a_link_is_recognised() {
    let packs = Packs::builtin();
    for (given, platform, join_url, key) in ACCEPTED {
        let found = recognise(given, &packs).unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!(
            (found.platform.as_str(), found.join_url.as_str(), found.key.as_str()),
            (*platform, *join_url, *key),
            "{given}"
        );
        assert_eq!(found.label, packs.get(platform).unwrap().label());
        let again = recognise(found.join_url.as_str(), &packs).unwrap_or_else(|error| panic!("{join_url}: {error}"));
        assert_eq!(again, found, "the join URL is itself such a link");
    }
}

/// (as given, what the error says)
const REFUSED: &[(&str, &str)] = &[
    ("", "empty"),
    (" \t\n", "empty"),
    ("<>", "empty"),
    ("hello", "GMeet (https://meet.google.com/abc-defg-hij)"),
    ("hello world", "such as https://"),
    ("https://", "such as https://"),
    ("https://[::", "such as https://"),
    ("%%%", "such as https://"),
    ("https%", "such as https://"),
    ("javascript:alert(1)", "http://, got javascript:"),
    ("file:///etc/passwd", "got file:"),
    ("mailto:ada@example.com", "got mailto:"),
    ("zoommtg://zoom.us/join?confno=123456789", "got zoommtg:"),
    ("https://example.com/meeting", "no known platform has links like this at example.com"),
    ("http://127.0.0.1/latest", "127.0.0.1; known are"),
    ("https://user:pass@meet.google.com/abc-defg-hij", "user name or password"),
    ("https://meet.google.com@evil.example/abc-defg-hij", "user name or password"),
    ("https://meet.google.com.evil.example/abc-defg-hij", "meet.google.com.evil.example"),
    ("https://evil.example/?u=https://meet.google.com/abc-defg-hij", "evil.example"),
    ("https://meet.google.com/", "GMeet: expected a link of the form"),
    ("https://meet.google.com/abcd-efg-hij", "GMeet: expected a link of the form"),
    ("https://meet.google.com/lookup/abc", "/lookup/"),
    ("https://meet.google.com/abc-defg-hijhttps://zoom.us/j/123456789", "GMeet: expected"),
    ("https://meet.google.com/abc-defg-hij?x=https%3A%2F%2Fzoom.us", "several"),
    ("https://meet.google.com/abc-defg-hij https://zoom.us/j/123456789", "GMeet: expected"),
    ("https://www.google.com/url?q=https://www.google.com/url?q=https%3A%2F%2Fexample.com", "example.com"),
    ("https://www.google.com/search?q=x", "no known platform"),
    ("https://zoom.us/", "Zoom: expected"),
    ("https://zoom.us/j/12", "9 to 11 digits"),
    ("https://zoom.us/j/123456789012", "9 to 11 digits"),
    ("https://zoom.us/my/ada", "personal room names"),
    ("https://events.zoom.us/ev/123456789", "Zoom Events"),
    ("https://notzoom.us/j/123456789", "no known platform"),
    ("https://teams.microsoft.com/", "Teams: expected"),
    ("https://teams.microsoft.com/meet/12", "Teams: expected"),
    ("https://host.example/sandbox/", "no known platform"),
    ("https://host.example/sandbox/a/b", "no known platform"),
    ("https://host.example/sandbox/a%2Fb", "no known platform"),
    ("https://host.example/x/sandbox/a", "no known platform"),
];

#[test]
fn other_links_are_refused_with_what_is_expected() {
    let packs = Packs::builtin();
    for (given, says) in REFUSED {
        let error = recognise(given, &packs).expect_err(given).to_string();
        assert!(error.contains(says), "{given:?}: expected {says:?} in: {error}");
        assert!(error.len() < 1_000, "{given:?}: {error}");
    }
    let long = format!("https://meet.google.com/{}", "x".repeat(20_000));
    assert_eq!(recognise(&long, &packs), Err(LinkError::TooLong(long.len())));
    let long = format!("https://{}.example/", "ü".repeat(3_000));
    assert!(recognise(&long, &packs).expect_err("long").to_string().len() < 1_000);
    let long = "é".repeat(63);
    assert!(recognise(&format!("{long} x"), &packs).is_err());
}

#[test]
fn redirects_that_never_end_are_refused() {
    let pack = r#"
id = "loop"
label = "Loop"
seen = "2026-11-01"
example = "https://loop.example/m"
[[link]]
pattern = '^https://loop\.example/m$'
join_url = "{url}"
key = "x"
[[link]]
pattern = '^https://loop\.example/'
rewrite = "{url}"
"#;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("loop.toml"), pack).unwrap();
    let mut packs = Packs::builtin();
    packs.load_dir(dir.path()).unwrap();
    assert_eq!(recognise("https://loop.example/x", &packs), Err(LinkError::Several));
}

#[test]
fn without_packs_nothing_is_known() {
    let error = recognise("https://meet.google.com/abc-defg-hij", &Packs::default()).unwrap_err().to_string();
    assert!(error.ends_with("known are none"), "{error}");
}

#[test]
fn no_text_makes_it_panic() {
    let packs = Packs::builtin();
    let pieces = [
        "https://",
        "http%3A",
        "%2F",
        ":",
        "//",
        "[",
        "]",
        "@",
        "#",
        "?q=",
        "é",
        "\u{0}",
        "/sandbox/",
        "meet.google.com",
        "www.google.com/url",
        "zoom.us/j/",
        "123456789",
        "%",
        "\u{2028}",
        "<",
        "127.0.0.1",
        " ",
    ];
    // Every text of three pieces.
    for a in pieces {
        for b in pieces {
            for c in pieces {
                if let Ok(found) = recognise(&format!("{a}{b}{c}"), &packs) {
                    assert!(matches!(found.join_url.scheme(), "http" | "https"));
                }
            }
        }
    }
}
