//! Beginnings and ends of browsers and pages.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use muster_platform::browser::{Browser, BrowserError, find_executable};
use muster_platform::page::BrowserEvent;
use muster_session::protocol::BrowserSpec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::site::{Site, browser, captured_page, spec};
use crate::take::PATIENCE;

/// Every process that was started by `pid`, itself included.
fn tree(pid: u32) -> Vec<u32> {
    let output = Command::new("ps").args(["-eo", "pid=,ppid="]).output().unwrap();
    let rows: Vec<(u32, u32)> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap());
            (numbers.next().unwrap(), numbers.next().unwrap())
        })
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(rows.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(i32::try_from(raw).unwrap()).unwrap()
}

/// Waits for what the descriptor stands for; false if it does not come in time.
async fn comes(descriptor: OwnedFd, within: Duration) -> bool {
    let wait = move || poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&within.try_into().unwrap())).unwrap();
    tokio::task::spawn_blocking(wait).await.unwrap() == 1
}

/// The profiles in a directory.
fn profiles(root: &Path) -> usize {
    std::fs::read_dir(root).unwrap().count()
}

#[tokio::test]
async fn nothing_is_left_of_a_closed_browser() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::start().await;
    let browser = Browser::launch(&BrowserSpec { profile_root: Some(root.path().into()), ..spec() }).await.unwrap();
    let page = captured_page(&browser).await;
    page.navigate(&site.url("/call"), PATIENCE).await.unwrap();
    let processes = tree(browser.pid());
    assert!(processes.len() > 3 && profiles(root.path()) == 1, "{processes:?}");
    assert!(browser.version().contains("Chrom"), "{}", browser.version());
    let handles: Vec<_> = processes.iter().filter_map(|p| pidfd_open(pid(*p), PidfdFlags::NONBLOCK).ok()).collect();
    browser.close().await;
    assert_eq!(profiles(root.path()), 0);
    // They have let go of everything; that the kernel has struck them off may take it a moment.
    for handle in handles {
        assert!(comes(handle, Duration::from_secs(2)).await, "a process is left");
    }
}

#[tokio::test]
async fn a_dropped_browser_ends_too() {
    let root = tempfile::tempdir().unwrap();
    let browser = Browser::launch(&BrowserSpec { profile_root: Some(root.path().into()), ..spec() }).await.unwrap();
    let mut page = browser.open_page().await.unwrap();
    let removals = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&removals, root.path(), inotify::WatchFlags::DELETE).unwrap();
    drop(browser);
    assert_eq!(page.next_event().await, Some(BrowserEvent::Closed));
    assert_eq!(page.next_event().await, None);
    assert!(comes(removals, PATIENCE).await, "the profile is left");
    assert_eq!(profiles(root.path()), 0);
}

#[tokio::test]
async fn a_killed_browser_is_told_to_everybody() {
    let browser = browser().await;
    let mut page = browser.open_page().await.unwrap();
    let waiting = tokio::spawn({
        let page = page.clone();
        async move { page.evaluate("new Promise(() => {})").await }
    });
    kill_process(pid(browser.pid()), Signal::KILL).unwrap();
    assert_eq!(page.next_event().await, Some(BrowserEvent::Closed));
    assert_eq!(page.next_event().await, None);
    assert!(matches!(waiting.await.unwrap(), Err(BrowserError::Gone)));
    assert!(matches!(page.evaluate("1").await, Err(BrowserError::Gone)));
    assert!(matches!(browser.open_page().await, Err(BrowserError::Gone)));
    browser.close().await;
}

#[tokio::test]
async fn a_crashed_page_is_told_and_the_others_live_on() {
    let browser = browser().await;
    let mut page = browser.open_page().await.unwrap();
    let other = browser.open_page().await.unwrap();
    // What this itself answers depends on which comes first.
    page.navigate(&"chrome://crash".parse().unwrap(), PATIENCE).await.unwrap_err();
    assert_eq!(page.next_event().await, Some(BrowserEvent::Crashed));
    assert_eq!(page.next_event().await, None);
    let error = page.evaluate("1").await.unwrap_err();
    assert!(matches!(error, BrowserError::Crashed) && error.is_final(), "{error}");
    assert_eq!(other.evaluate("1").await.unwrap(), 1);
    browser.close().await;
}

#[tokio::test]
async fn a_closed_page_is_told_to_its_other_handles() {
    let browser = browser().await;
    let page = browser.open_page().await.unwrap();
    let mut other = page.clone();
    page.close().await;
    assert_eq!(other.next_event().await, Some(BrowserEvent::Closed));
    assert!(matches!(other.evaluate("1").await, Err(BrowserError::Closed)));
    browser.close().await;
}

#[tokio::test]
async fn a_browser_that_cannot_start_says_why() {
    let root = tempfile::tempdir().unwrap();
    let launch = async |program: &str, root: &Path| {
        let spec =
            BrowserSpec { executable: Some(program.into()), profile_root: Some(root.into()), ..BrowserSpec::default() };
        Browser::launch(&spec).await.unwrap_err()
    };
    let error = launch("/no/such/browser", root.path()).await;
    assert!(matches!(error, BrowserError::NotExecutable { .. }), "{error}");
    let error = launch("/bin/false", root.path()).await;
    assert!(matches!(&error, BrowserError::Died { status, .. } if status.contains("exit status: 1")), "{error}");
    // `ls` complains about switches that it does not know.
    let error = launch("/bin/ls", root.path()).await;
    assert!(matches!(&error, BrowserError::Died { stderr, .. } if stderr.contains("--headless")), "{error}");
    let error = launch("/bin/ls", Path::new("/dev/null/x")).await;
    assert!(matches!(error, BrowserError::Profile { .. }), "{error}");
}

#[tokio::test]
async fn a_browser_that_crashes_at_its_start_is_started_once_more() {
    let root = tempfile::tempdir().unwrap();
    let real = find_executable(spec().executable.as_deref()).unwrap();
    // Crashes as often as there are lines in the file.
    let script = |crashes: usize| {
        let (left, program) = (root.path().join("left"), root.path().join(format!("browser-{crashes}")));
        std::fs::write(&left, "x\n".repeat(crashes)).unwrap();
        let text = format!(
            "#!/bin/sh\nif [ -s '{0}' ]; then sed -i 1d '{0}'; kill -SEGV $$; fi\nexec '{1}' \"$@\"\n",
            left.display(),
            real.display()
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        BrowserSpec { executable: Some(program), ..spec() }
    };
    let browser = Browser::launch(&script(1)).await.unwrap();
    assert_eq!(browser.open_page().await.unwrap().evaluate("1 + 1").await.unwrap(), 2);
    browser.close().await;
    let error = Browser::launch(&script(2)).await.unwrap_err();
    assert!(matches!(&error, BrowserError::Died { status, .. } if status.starts_with("signal: 11")), "{error}");
}
