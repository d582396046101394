//! The ways a visit can go.

use muster_platform::meeting::{OpenError, PageEvent, Participant};
use muster_platform::pack::{PackError, Packs};
use muster_session::EndReason;
use serde_json::json;

use super::page::{PACK, Product};
use super::{SHORT, next, pack, soon, step, try_visit, visit};
use crate::site::browser;
use crate::take::PATIENCE;

fn people(list: &[(&str, &str)]) -> Option<PageEvent> {
    let one = |(id, name): &(&str, &str)| Participant { id: (*id).to_owned(), name: (*name).to_owned() };
    Some(PageEvent::Roster(list.iter().map(one).collect()))
}

fn message(id: &str, text: &str) -> Option<PageEvent> {
    let (from, name) = ("ada".to_owned(), "Ada".to_owned());
    Some(PageEvent::Chat { id: id.to_owned(), from, name, text: text.to_owned() })
}

async fn through_the_lobby_until_removed(path: &str) {
    let (product, browser) = (Product::start().await, browser().await);
    let mut page = visit(&browser, pack(PACK), product.url(path)).await;
    assert_eq!(next(&mut page).await, step("name"));
    assert_eq!(next(&mut page).await, step("join"));
    // The steps go on while nobody asks.
    assert_eq!(product.did().await, "Bot \"7\" <é> joins by hand");
    product.command(json!({"state": "lobby"}));
    assert_eq!(next(&mut page).await, Some(PageEvent::Lobby), "although the button of the call is there too");
    let own = json!({"id": "me", "name": "Bot", "own": true});
    product.command(json!({"state": "call", "roster": [own, {"id": "ada", "name": "Ada"}]}));
    assert_eq!(next(&mut page).await, people(&[("ada", "Ada")]));
    assert_eq!(next(&mut page).await, Some(PageEvent::Admitted));
    // What is not in the pack is no news.
    product.command(json!({"touch": "5"}));
    product.command(json!({"chat": {"id": "1", "from": "ada", "name": "Ada", "text": "Hello  you"}}));
    assert_eq!(next(&mut page).await, message("1", "Hello you"));
    product.command(json!({"roster": [own, {"id": "grace", "name": ""}, {"id": "ada", "name": "Ada L."}, {"id": "ada", "name": "Twice"}]}));
    assert_eq!(next(&mut page).await, people(&[("grace", "grace"), ("ada", "Ada L.")]));
    product.command(json!({"chat": {"id": "2", "from": "ada", "name": "Ada", "text": "Bye"}}));
    assert_eq!(next(&mut page).await, message("2", "Bye"), "and not the first one again");
    product.command(json!({"state": "removed"}));
    let message = EndReason::Kicked.message().to_owned();
    assert_eq!(next(&mut page).await, Some(PageEvent::Over { reason: EndReason::Kicked, message }));
    page.close().await;
    browser.close().await;
}

#[tokio::test]
async fn through_the_lobby_into_the_call_until_removed() {
    through_the_lobby_until_removed("/meet").await;
}

#[tokio::test]
async fn a_strict_content_security_policy_changes_nothing() {
    through_the_lobby_until_removed("/strict").await;
}

#[tokio::test]
async fn leaving_is_done_when_the_page_shows_it() {
    let (product, browser) = (Product::start().await, browser().await);
    let mut page = visit(&browser, pack(PACK), product.url("/meet")).await;
    product.did().await;
    product.command(json!({"state": "call"}));
    while next(&mut page).await != Some(PageEvent::Admitted) {}
    product.command(json!({"chat": {"id": "1", "from": "ada", "name": "Ada", "text": "Last words"}}));
    assert!(soon(page.leave(SHORT)).await);
    assert_eq!(product.did().await, "leaves");
    assert_eq!(next(&mut page).await, message("1", "Last words"), "what happened meanwhile is not lost");
    browser.close().await;
    assert_eq!(next(&mut page).await, None, "nothing is over that was not left");
}

#[tokio::test]
async fn a_pack_that_cannot_show_it_claims_no_leaving_and_does_not_wait() {
    let browser = browser().await;
    let without_evidence = PACK.replace("\"left\"", "\"not_found\"");
    let without_steps = PACK.split("[[leave]]").next().unwrap();
    for (rest, leaves) in [(without_steps, false), (&without_evidence, true)] {
        let product = Product::start().await;
        let mut page = visit(&browser, pack(rest), product.url("/meet")).await;
        assert!(product.did().await.contains("joins"));
        product.command(json!({"state": "call"}));
        assert!(!soon(page.leave(PATIENCE * 2)).await);
        if leaves {
            assert_eq!(product.did().await, "leaves");
        }
        page.close().await;
    }
    browser.close().await;
}

#[tokio::test]
async fn a_step_that_cannot_be_done_ends_the_visit_and_says_what_is_missing() {
    let (product, browser) = (Product::start().await, browser().await);
    for (body, says) in [
        ("click = '#nothing'", "step `x`: nothing matches `#nothing` after 300 ms"),
        ("wait = '#lobby'", "step `x`: `#lobby` is on the page but not visible after 300 ms"),
        ("click = '#join'", "step `x`: `#join` is disabled after 300 ms"),
        (
            "click = 'button'\nwith_text = '^enter$'",
            "step `x`: no match of `button` has a text like `^enter$` after 300 ms",
        ),
        ("click = '#name'\nuntil = '#call'", "step `x`: nothing visible matches `#call` after 300 ms"),
        ("press = 'Hyper'", "step `x`: the browser did not do it"),
    ] {
        let evidence = "[[evidence]]\nstate = 'admitted'\nselector = '#call'\n";
        let pack = pack(&format!("[[steps]]\nname = 'x'\n{body}\ntimeout_ms = 300\n{evidence}"));
        let mut page = visit(&browser, pack, product.url("/meet")).await;
        assert_eq!(next(&mut page).await, step("x"));
        let Some(PageEvent::Over { reason: EndReason::UiChanged, message }) = next(&mut page).await else {
            panic!("{body}: not over")
        };
        assert!(message.starts_with(says), "{body}: {message}");
    }
    browser.close().await;
}

#[tokio::test]
async fn a_step_that_fails_in_the_lobby_is_only_worth_a_note() {
    let (product, browser) = (Product::start().await, browser().await);
    let more = format!("{PACK}\n[[steps]]\nname = 'late'\nclick = '#nothing'\ntimeout_ms = 2000\n");
    let mut page = visit(&browser, pack(&more), product.url("/meet")).await;
    product.did().await;
    product.command(json!({"state": "lobby"}));
    while next(&mut page).await != Some(PageEvent::Lobby) {}
    let Some(PageEvent::Note { text }) = next(&mut page).await else { panic!("no note") };
    assert!(text.contains("`late`"), "{text}");
    browser.close().await;
}

#[tokio::test]
async fn steps_that_are_not_needed_are_passed_over_and_keys_are_pressed() {
    let (product, browser) = (Product::start().await, browser().await);
    let steps = r##"
[[steps]]
name = "dialog"
click = "#dialog"
optional = true
timeout_ms = 100
[[steps]]
name = "skipped"
click = "#nothing"
skip_if = "#prejoin"
[[steps]]
name = "field"
click = "#name"
[[steps]]
name = "key"
press = "Enter"
[[evidence]]
state = "admitted"
selector = "#call"
"##;
    let mut page = visit(&browser, pack(steps), product.url("/meet")).await;
    for name in ["dialog", "skipped", "field", "key"] {
        assert_eq!(next(&mut page).await, step(name));
    }
    assert_eq!(product.did().await, "key Enter");
    browser.close().await;
}

/// The demo's pack, with a step before all others.
fn pack_waiting_for(selector: &str) -> String {
    let first = "[[steps]]\nname = \"name\"";
    PACK.replacen(first, &format!("[[steps]]\nname = \"first\"\nwait = \"{selector}\"\n{first}"), 1)
}

#[tokio::test]
async fn a_covered_button_is_told_directly() {
    let (product, browser) = (Product::start().await, browser().await);
    product.command(json!({"cover": true}));
    let page = visit(&browser, pack(&pack_waiting_for("#cover")), product.url("/meet")).await;
    assert_eq!(product.did().await, "Bot \"7\" <é> joins by script");
    page.close().await;
    browser.close().await;
}

#[tokio::test]
async fn a_button_that_moves_under_the_mouse_is_clicked_again() {
    let (product, browser) = (Product::start().await, browser().await);
    product.command(json!({"dodge": true}));
    // Without `until`, only the engine itself can notice.
    let rest = pack_waiting_for("body[data-dodges]").replace("until = \"body:not([data-state='prejoin'])\"\n", "");
    let page = visit(&browser, pack(&rest), product.url("/meet")).await;
    assert_eq!(product.did().await, "Bot \"7\" <é> joins by hand");
    page.close().await;
    browser.close().await;
}

#[tokio::test]
async fn another_document_starts_anew_and_messages_are_not_told_twice() {
    let (product, browser) = (Product::start().await, browser().await);
    let mut page = visit(&browser, pack(PACK), product.url("/meet")).await;
    product.did().await;
    let hello = json!({"chat": {"id": "1", "from": "ada", "name": "Ada", "text": "Hello"}});
    product.command(json!({"state": "call"}));
    product.command(hello.clone());
    while next(&mut page).await != message("1", "Hello") {}
    product.command(json!({"go": "/strict"}));
    product.command(hello);
    product.command(json!({"chat": {"id": "2", "from": "ada", "name": "Ada", "text": "Again"}}));
    let mut seen = Vec::new();
    while seen.last() != Some(&message("2", "Again")) {
        seen.push(next(&mut page).await);
    }
    assert!(!seen.contains(&message("1", "Hello")), "{seen:?}");
    browser.close().await;
}

#[tokio::test]
async fn a_browser_that_dies_ends_the_visit() {
    let (product, browser) = (Product::start().await, browser().await);
    let mut page = visit(&browser, pack(PACK), product.url("/meet")).await;
    product.did().await;
    browser.close().await;
    let mut last = next(&mut page).await;
    while matches!(last, Some(PageEvent::Step { .. })) {
        last = next(&mut page).await;
    }
    assert!(matches!(last, Some(PageEvent::Over { reason: EndReason::BotCrashed, .. })), "{last:?}");
    assert_eq!(next(&mut page).await, None);
    assert!(!soon(page.leave(SHORT)).await);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let (product, browser) = (Product::start().await, browser().await);
    let meet = Packs::builtin().get("google_meet").unwrap().clone();
    let error = try_visit(&browser, meet, product.url("/meet")).await.unwrap_err();
    assert_eq!(error.reason(), EndReason::PlatformBlocked);
    assert!(error.to_string().contains("no join steps for this platform yet"), "{error}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = try_visit(&browser, pack(PACK), free).await.unwrap_err();
    assert_eq!(error.reason(), EndReason::ConnectionLost);
    assert!(error.to_string().contains("ERR_CONNECTION_REFUSED"), "{error}");

    let wrong = PACK
        .replace("\"#leave\"", "\"#leave[\"")
        .replace("\"#lobby\"", "\"::nonsense(\"")
        .replace("text = {}", "text = { pattern = '(?i)(x)' }");
    let wrong = format!("{wrong}\n[tracks]\nby = 'script'\nscript = 'return {{'\n");
    let error = try_visit(&browser, pack(&wrong), product.url("/meet")).await.unwrap_err();
    assert_eq!(error.reason(), EndReason::UiChanged);
    let OpenError::Pack { problems: PackError::Invalid(problems), .. } = &error else { panic!("{error}") };
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    for key in ["leave[0].click", "evidence[0].selector", "evidence[1].selector", "tracks.script"] {
        assert!(keys.contains(&key), "{key}: {error}");
    }
    browser.close().await;
}
