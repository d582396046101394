//! Looks at the machine. Leaves nothing behind.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_session::protocol::{BrowserSpec, SpeechSpec};

use super::judge::{Browser, Descriptors, Facts, Memory, Port, Speech};
use super::vendors;
use crate::backends::{self, Part};
use crate::chain::chain;
use crate::config::{Config, without_userinfo};
use crate::engines::Engines;

/// A first start on a cold disk takes seconds.
const BROWSER_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that loads its model at the first request takes its time.
const SPEECH_TIMEOUT: Duration = Duration::from_secs(90);
const PORT_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn look(config: &Config) -> Facts {
    // Together: the browser and the speech server take seconds each.
    let engines = Engines::new(config.transcription.clone());
    let (browser, speech, vendors, port, queue, store) = tokio::join!(
        browser(config),
        speech(config),
        vendors::ask(&engines),
        port(config.listen),
        backends::inspect(config, Part::Queue),
        backends::inspect(config, Part::Store),
    );
    let limits = muster_runtime::limits::raise_descriptor_limit();
    Facts {
        browser,
        descriptors: Descriptors { before: limits.before, now: limits.now, hard: limits.hard },
        shm: space(Path::new("/dev/shm")).map(|space| space.size),
        memory: memory(),
        bots_wanted: config.worker.max_concurrent_bots,
        data_dir: config.data_dir.clone(),
        disk: disk(&config.data_dir),
        listen: config.listen,
        port,
        queue,
        store,
        lease: config.worker.lease,
        speech,
        vendors,
    }
}

async fn browser(config: &Config) -> Browser {
    let path = match muster_platform::browser::find_executable(config.browser.executable.as_deref()) {
        Ok(path) => path,
        Err(error) => return Browser::Missing { error: chain(&error) },
    };
    let version = version(&path).await;
    let spec = BrowserSpec {
        executable: Some(path.clone()),
        extra_args: config.browser.extra_args.clone(),
        ..BrowserSpec::default()
    };
    let begun = Instant::now();
    let error = match tokio::time::timeout(BROWSER_TIMEOUT, start(&spec)).await {
        Ok(Ok(())) => return Browser::Works { path, version, start: begun.elapsed() },
        Ok(Err(error)) => chain(&error),
        Err(_) => format!("it was not ready within {} s", BROWSER_TIMEOUT.as_secs()),
    };
    Browser::Broken { path, version, error }
}

/// Starts it as a bot does, with a page.
async fn start(spec: &BrowserSpec) -> Result<(), muster_platform::browser::BrowserError> {
    let browser = muster_platform::browser::Browser::launch(spec).await?;
    let page = browser.open_page().await;
    if let Ok(page) = page {
        page.close().await;
        browser.close().await;
        return Ok(());
    }
    browser.close().await;
    page.map(drop)
}

async fn version(path: &Path) -> Option<String> {
    let output = tokio::process::Command::new(path).arg("--version").kill_on_drop(true).output();
    let output = tokio::time::timeout(BROWSER_TIMEOUT, output).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

async fn speech(config: &Config) -> Option<Speech> {
    let transcription = &config.transcription;
    let url = transcription.url.clone()?;
    let spec = SpeechSpec::Openai {
        url: url.clone(),
        model: transcription.model.clone(),
        api_key: transcription.api_key.clone(),
        language: transcription.language.clone(),
    };
    let ask = async {
        let begun = Instant::now();
        let server = muster_transcript::speech::open(&spec).map_err(|error| chain(&error))?;
        // A quiet tone: something to work on, with nothing to be found in it.
        let sound: Vec<i16> =
            (0..16_000_u16).map(|at| (f32::from(at) * 0.17).sin() * 300.0).map(|s| s as i16).collect();
        server.transcribe(&sound, None).await.map_err(|error| chain(&error))?;
        Ok(begun.elapsed())
    };
    let late = || Err(format!("no answer within {} s", SPEECH_TIMEOUT.as_secs()));
    let answer = tokio::time::timeout(SPEECH_TIMEOUT, ask).await.unwrap_or_else(|_| late());
    Some(Speech { url: without_userinfo(&url), model: transcription.model.clone(), answer })
}

async fn port(listen: SocketAddr) -> Port {
    match tokio::net::TcpListener::bind(listen).await {
        Ok(_) => Port::Free,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && is_muster(listen).await => Port::Ours,
        Err(error) => Port::Taken { error: error.to_string() },
    }
}

/// True if the readiness probe of a Muster server answers there.
async fn is_muster(listen: SocketAddr) -> bool {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(muster_hooks::tls::client_config())
        .no_proxy()
        .timeout(PORT_TIMEOUT);
    let Ok(http) = builder.build() else { return false };
    let Ok(response) = http.get(format!("http://{listen}/readyz")).send().await else { return false };
    let Ok(body) = response.text().await else { return false };
    serde_json::from_str::<serde_json::Value>(&body)
        .is_ok_and(|body| body["ready"].is_boolean() && body["store"].is_boolean())
}

struct Space {
    size: u64,
    free: u64,
}

fn space(path: &Path) -> Result<Space, String> {
    let stat = rustix::fs::statvfs(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Space { size: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize })
}

/// Free bytes where the data directory is or will be, after a file was written there and removed.
fn disk(data_dir: &Path) -> Result<u64, String> {
    let here = existing_ancestor(data_dir);
    if !here.is_dir() {
        return Err(format!("{} is not a directory", here.display()));
    }
    let probe = here.join(format!(".muster-doctor-{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)
        .and_then(|mut file| file.write_all(b"muster doctor\n").and_then(|()| file.sync_all()));
    let removed = std::fs::remove_file(&probe);
    written.and(removed).map_err(|error| format!("nothing can be written in {}: {error}", here.display()))?;
    space(&here).map(|space| space.free)
}

/// The directory itself, or the nearest one above it that is there.
fn existing_ancestor(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// What the machine has left, or the container if that is less.
fn memory() -> Result<Memory, String> {
    let text = std::fs::read_to_string("/proc/meminfo").map_err(|error| format!("/proc/meminfo: {error}"))?;
    let machine = available(&text).ok_or("/proc/meminfo does not say how much is available")?;
    let container = container_rest("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current");
    Ok(match container.filter(|rest| *rest < machine) {
        Some(available) => Memory { available, contained: true },
        None => Memory { available: machine, contained: false },
    })
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn container_rest(limit: &str, used: &str) -> Option<u64> {
    let read = |path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    Some(read(limit)?.saturating_sub(read(used)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_that_is_not_there_yet_is_judged_by_where_it_would_be() {
        let dir = tempfile::tempdir().unwrap();
        assert!(disk(&dir.path().join("a/b/c")).unwrap() > 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(disk(&file).unwrap_err().contains("not a directory"));
    }

    #[test]
    fn meminfo_is_read_in_kibibytes() {
        assert_eq!(available("MemTotal: 10 kB\nMemAvailable:     2048 kB\n"), Some(2 * 1024 * 1024));
        assert_eq!(available("MemTotal: 10 kB\n"), None);
    }

    #[tokio::test]
    async fn a_taken_port_is_told_from_a_free_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = async { matches!(port(address).await, Port::Taken { .. }) };
        // Nobody accepts, so the question whether it is Muster runs into its time limit or is closed with the listener.
        assert!(taken.await);
        drop(listener);
        assert!(matches!(port(address).await, Port::Free));
    }
}
