//! Each condition of an evidence rule, and every pack in the tree, held against a real browser.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use muster_platform::meeting::{PageEvent, refused};
use muster_platform::pack::{Pack, Packs};
use muster_session::EndReason;

use super::{next, pack, visit};
use crate::site::browser;

const PAGE: &str = r#"<!doctype html><meta charset=utf-8><title>The  Meeting</title>
<p id=text>You’ll join
 soon</p> <p id=none style="display: none">none</p> <p id=clear style="opacity: 0">clear</p>
<p id=unseen style="visibility: hidden">unseen</p> <div id=flat></div> <p id=empty style="height: 0"></p>
<div id=frame style="width: 100px; height: 50px" aria-label="Captcha here"></div>
<ul><li class=one>alpha<li class=one data-on=1 style="display: none">beta<li class=one>gamma</ul>"#;

/// (conditions, whether they hold)
const RULES: &[(&str, bool)] = &[
    ("selector = '#text'", true),
    ("selector = '#missing'", false),
    ("selector = '#missing, #text'", true),
    ("selector = 'body'", true),
    ("selector = '#none'", false),
    ("selector = '#clear'", false),
    ("selector = '#unseen'", false),
    ("selector = '#flat'", false),
    ("selector = '#none'\nhidden = true", true),
    ("selector = '#missing'\nhidden = true", false),
    ("selector = '#text'\ntext = \"^YOU'LL JOIN SOON$\"", true),
    ("selector = '#text'\ntext = 'later'", false),
    ("selector = '#none'\nhidden = true\ntext = 'none'", true),
    ("selector = '.one'\ntext = 'gamma'", true),
    ("selector = '.one'\ntext = 'beta'", false),
    ("selector = '.one'\ntext = 'gamma'\nattribute = { name = 'data-on', pattern = '1' }", false),
    ("selector = '.one'\nhidden = true\nattribute = { name = 'data-on', pattern = '^1$' }", true),
    ("selector = '#frame'\nattribute = { name = 'aria-label', pattern = 'captcha' }", true),
    ("selector = '#frame'\nattribute = { name = 'role', pattern = '' }", false),
    ("selector = '#frame'\nmin_size = [100, 50]", true),
    ("selector = '#frame'\nmin_size = [120, 40]", false),
    ("text = \"you'll join soon\"", true),
    ("text = 'unseen|nowhere'", false),
    ("absent = '#missing'", true),
    ("absent = '#none'", true),
    ("absent = '#text'", false),
    ("selector = '#text'\nabsent = '#frame'", false),
    ("url = '/rules\\?x=1$'", true),
    ("url = 'example'", false),
    ("title = '^the meeting$'", true),
    ("title = 'other'\nselector = '#text'", false),
];

#[tokio::test]
async fn every_condition_holds_exactly_when_it_should() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: url::Url = format!("http://{}/rules?x=1", listener.local_addr().unwrap()).parse().unwrap();
    let router = Router::new().route("/rules", get(|| async { Html(PAGE) }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let browser = browser().await;
    for (rule, holds) in RULES {
        // The rule under test outranks one that always holds, so that there is something to wait for either way.
        let pack = pack(&format!(
            "[[steps]]\nname = 'x'\nwait = '#text'\n
            [[evidence]]\nstate = 'blocked'\npriority = 1\n{rule}\n
            [[evidence]]\nstate = 'ended'\nselector = '.one'\ntext = 'gamma'\ndebounce_ms = 50\n
            [[evidence]]\nstate = 'admitted'\npriority = -1\nselector = 'body'\n"
        ));
        let mut page = visit(&browser, pack, url.clone()).await;
        let reason = loop {
            match next(&mut page).await {
                Some(PageEvent::Over { reason, .. }) => break reason,
                Some(_) => {}
                None => panic!("{rule}: the page is gone"),
            }
        };
        assert_eq!(reason, if *holds { EndReason::PlatformBlocked } else { EndReason::HostEnded }, "{rule}");
        page.close().await;
    }
    browser.close().await;
}

#[tokio::test]
async fn the_browser_accepts_every_selector_expression_and_script_of_all_packs() {
    let browser = browser().await;
    let page = browser.open_page().await.unwrap();
    let packs = Packs::builtin();
    for pack in packs.iter() {
        assert_eq!(refused(&page, pack).await.unwrap(), [], "{}", pack.id());
    }
    let tested = Pack::parse(include_str!("../../../../server/tests/packs/easyrtc.toml")).unwrap();
    assert_eq!(refused(&page, &tested).await.unwrap(), [], "{}", tested.id());
    browser.close().await;
}
