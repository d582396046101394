//! `muster-demo up`: a server with a meeting in it, to look around.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::api::{Api, scenario};
use crate::server::{Server, Setup, said};
use crate::speech;
use crate::workplace::Workplace;
use crate::{Whisper, interrupted};

const ROOM: &str = "hello";
/// The port that `muster bots` takes by default.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Runs until a signal. What it recorded is there again the next time.
pub(crate) async fn up(whisper: Option<Whisper>) -> anyhow::Result<ExitCode> {
    let place = Workplace::open("up", false)?;
    let key = api_key(&place.path("api-key"))?;
    let setup = Setup {
        listen: free_address(),
        data_dir: place.path("data"),
        config_file: place.path("muster.toml"),
        log_file: place.path("server.log"),
        api_key: &key,
        whisper: whisper.as_ref(),
        lan: true,
    };
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    let mut server = tokio::select! {
        server = start(&place, &setup) => server?,
        signal = &mut interrupted => {
            println!("\n{}: stopping", signal?);
            return Ok(ExitCode::SUCCESS);
        }
    };
    print!("{}", welcome(&server.url, &key, whisper.is_some(), &setup));
    tokio::select! {
        status = server.ended() => bail!("the server ended with {}. {}", status?, said(&setup.log_file)),
        signal = &mut interrupted => println!("\n{}: stopping", signal?),
    }
    server.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The server, with the meeting in it.
async fn start(place: &Workplace, setup: &Setup<'_>) -> anyhow::Result<Server> {
    let words = place.path("speech");
    std::fs::create_dir_all(&words).context("the directory for speech")?;
    let spoken = speech::passage(&words).await?;
    let server = Server::start(setup).await?;
    Api::new(&server.url, setup.api_key)?.room(ROOM, &scenario(&spoken, true)).await?;
    Ok(server)
}

/// The usual address if nobody has it, any other one if somebody does.
fn free_address() -> SocketAddr {
    match std::net::TcpListener::bind(USUAL) {
        Ok(_) => USUAL,
        Err(_) => SocketAddr::new(USUAL.ip(), 0),
    }
}

/// `MUSTER_API_KEY`, or the key of the last time, or a new one.
fn api_key(path: &Path) -> anyhow::Result<String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(key) = std::env::var("MUSTER_API_KEY").ok().filter(|key| key.len() >= 8) {
        return Ok(key);
    }
    if let Ok(key) = std::fs::read_to_string(path)
        && key.len() >= 8
    {
        return Ok(key);
    }
    let key = format!("mst_{}", uuid::Uuid::new_v4().as_simple());
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(key.as_bytes())).with_context(|| format!("writing {}", path.display()))?;
    Ok(key)
}

fn welcome(url: &str, key: &str, transcripts: bool, setup: &Setup<'_>) -> String {
    let link = format!("{url}/sandbox/{ROOM}");
    let transcribe = if transcripts { " --transcribe" } else { "" };
    let off =
        if transcripts { "" } else { "Transcripts are off: MUSTER_DEMO_WHISPER_URL is not set; `make up` sets it.\n" };
    format!(
        "Muster is up. Two people talk in a sandbox meeting, again and again.

Join it with your own browser
  {link}?name=Me&autojoin=1

API key
  {key}

Send a bot and watch it
  export MUSTER_SERVER={url} MUSTER_API_KEY={key}
  muster bots create {link}{transcribe} --watch

The same over HTTP
  curl -s {url}/api/v1/bots/create_bot \\
    -H 'Authorization: Token {key}' -H 'Content-Type: application/json' \\
    -d '{{\"meeting_link\":\"{link}\",\"bot_name\":\"Notes\"}}'

Make it leave, or end the meeting
  muster bots list --status active
  curl -s {url}/sandbox/api/rooms/{ROOM}/actions -H 'Content-Type: application/json' -d '{{\"do\":\"end\"}}'

All meetings: {url}/sandbox    Log: {log}    Data: {data}
{off}Ctrl-C ends it.
",
        log = setup.log_file.display(),
        data = setup.data_dir.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_and_only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api-key");
        let first = api_key(&path).unwrap();
        assert_eq!(api_key(&path).unwrap(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_welcome_can_be_pasted() {
        let setup = Setup {
            listen: USUAL,
            data_dir: "/d".into(),
            config_file: "/c".into(),
            log_file: "/l".into(),
            api_key: "key",
            whisper: None,
            lan: true,
        };
        let text = welcome("http://127.0.0.1:8080", "key-of-mine", false, &setup);
        assert!(
            text.contains("-d '{\"meeting_link\":\"http://127.0.0.1:8080/sandbox/hello\",\"bot_name\":\"Notes\"}'")
        );
        assert!(text.contains("Transcripts are off") && !text.contains("--transcribe"));
        assert!(welcome("u", "k", true, &setup).contains("--transcribe --watch"));
    }
}
