//! Which program is the browser, and how it is called.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster_session::protocol::BrowserSpec;

use super::BrowserError;

/// In order of preference: old headless costs half the memory of new headless, and programs come before the scripts
/// that start them, because a signal to a script does not reach the browser.
const PLACES: [&str; 7] = [
    "/usr/lib/chromium/chromium-headless-shell",
    "/usr/bin/chromium-headless-shell",
    "/usr/lib/chromium/chromium",
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome-stable",
    "/opt/google/chrome/chrome",
];

/// Below this, shared memory may run out under a page with media; then Chromium uses `/tmp` instead. Container engines
/// give 64 MiB.
pub const SMALL_SHM_BYTES: u64 = 512 << 20;

/// The browser to start: the given program, else the first that is installed, `chromium-headless-shell` before
/// `chromium`.
///
/// # Errors
/// [`BrowserError::NotExecutable`] if the given program is none, [`BrowserError::NotFound`] if none is installed.
pub fn find_executable(given: Option<&Path>) -> Result<PathBuf, BrowserError> {
    match given {
        Some(path) if is_program(path) => Ok(path.to_owned()),
        Some(path) => Err(BrowserError::NotExecutable { path: path.to_owned() }),
        None => PLACES.iter().map(PathBuf::from).find(|path| is_program(path)).ok_or(BrowserError::NotFound),
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The facts about this machine that change the command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// We are root, under whom Chromium's own sandbox refuses to run.
    root: bool,
    small_shm: bool,
}

impl Machine {
    pub(super) fn look() -> Self {
        let shm = rustix::fs::statvfs("/dev/shm").map_or(0, |shm| shm.f_blocks * shm.f_frsize);
        Self { root: rustix::process::geteuid().is_root(), small_shm: shm < SMALL_SHM_BYTES }
    }
}

/// Whether the browser is let use `/dev/shm` on this machine: it is not where that is small.
#[must_use]
pub fn uses_shm() -> bool {
    !Machine::look().small_shm
}

/// The command line. `silence` is a sound file that stands in for a microphone.
pub(super) fn arguments(spec: &BrowserSpec, machine: Machine, profile: &Path, silence: &Path) -> Vec<String> {
    let mut off = vec![
        // Nothing of these is wanted in a bot; each phones home or shows something over the page.
        "Translate",
        "MediaRouter",
        "OptimizationHints",
        "AutofillServerCommunication",
        "InterestFeedContentSuggestions",
        "CertificateTransparencyComponentUpdater",
        "PaintHolding",
    ];
    if spec.allow_loopback {
        // Candidates with names instead of addresses need multicast DNS to be resolved, which a loopback has not.
        off.push("WebRtcHideLocalIpsWithMdns");
    }
    let mut arguments: Vec<String> = [
        "--headless",
        "--remote-debugging-pipe",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-breakpad",
        "--disable-client-side-phishing-detection",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-domain-reliability",
        "--disable-extensions",
        "--disable-field-trial-config",
        "--disable-hang-monitor",
        "--disable-prompt-on-repost",
        "--disable-sync",
        "--metrics-recording-only",
        "--no-pings",
        "--password-store=basic",
        // A meeting's packets go over UDP of its own; QUIC for the rest only adds ways to fail.
        "--disable-quic",
        // Nobody looks and nobody listens. Capture takes the samples before the mute.
        "--disable-gpu",
        "--disable-software-rasterizer",
        "--mute-audio",
        "--autoplay-policy=no-user-gesture-required",
        "--hide-scrollbars",
        "--window-size=1280,720",
        "--lang=en-US",
        // A page that nobody sees must run like one that somebody does.
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
        // Never a microphone or camera of this machine: the one microphone is a silent file and there is no camera.
        // Without the second switch the headless shell knows no way to grant a device.
        "--use-fake-device-for-media-stream=device-count=0",
        "--use-fake-ui-for-media-stream",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--use-file-for-fake-audio-capture={}", silence.display()));
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments.push(format!("--disable-features={}", off.join(",")));
    if machine.root {
        arguments.push("--no-sandbox".into());
    }
    if machine.small_shm {
        arguments.push("--disable-dev-shm-usage".into());
    }
    if spec.allow_loopback {
        arguments.push("--allow-loopback-in-peer-connection".into());
    }
    arguments.extend(spec.extra_args.iter().cloned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(spec: &BrowserSpec, root: bool, small_shm: bool) -> Vec<String> {
        arguments(spec, Machine { root, small_shm }, Path::new("/p"), Path::new("/p/silence.wav"))
    }

    #[test]
    fn the_sandbox_is_off_and_shared_memory_avoided_only_where_it_must_be() {
        let spec = BrowserSpec::default();
        for (root, small) in [(false, false), (true, false), (false, true)] {
            let found = of(&spec, root, small);
            assert_eq!(found.iter().any(|a| a == "--no-sandbox"), root);
            assert_eq!(found.iter().any(|a| a == "--disable-dev-shm-usage"), small);
            assert!(!found.iter().any(|a| a.starts_with("--remote-debugging-port")), "no open port");
        }
    }

    #[test]
    fn loopback_is_allowed_only_on_demand_and_own_switches_come_last() {
        let mut spec = BrowserSpec { extra_args: vec!["--lang=de".into()], ..BrowserSpec::default() };
        assert!(!of(&spec, false, false).iter().any(|a| a.contains("loopback")));
        spec.allow_loopback = true;
        let found = of(&spec, false, false);
        assert!(found.iter().any(|a| a == "--allow-loopback-in-peer-connection"));
        assert_eq!(found.last().unwrap(), "--lang=de");
    }

    #[test]
    fn a_given_program_must_be_one() {
        for path in ["/no/such/program", "/", "/etc/passwd"] {
            let error = find_executable(Some(Path::new(path))).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
        assert_eq!(find_executable(Some(Path::new("/bin/sh"))).unwrap(), Path::new("/bin/sh"));
    }
}
