use super::*;

fn file(text: &str) -> Sources {
    Sources { file: Some(("/etc/muster.toml".into(), text.to_owned())), ..Sources::default() }
}

#[test]
fn defaults_hold_without_any_source() {
    let config = Config::load(&Sources::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.retention, Duration::from_secs(7 * 86_400));
    assert!(config.durable && config.sandbox_enabled());
}

#[test]
fn later_sources_win() {
    let mut sources = file("listen = \"127.0.0.1:1\"\n[worker]\nlease = \"40s\"\nheartbeat = \"3s\"");
    sources.env.push(("MUSTER_LISTEN".into(), "127.0.0.1:2".into()));
    sources.env.push(("MUSTER_WORKER__MAX_CONCURRENT_BOTS".into(), "3".into()));
    sources.env.push(("PATH".into(), "/bin".into()));
    sources.flags.push(("listen".into(), "0.0.0.0:3".into()));
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:3");
    assert_eq!(config.worker.lease, Duration::from_secs(40));
    assert_eq!(config.worker.max_concurrent_bots, 3);
    assert!(!config.sandbox_enabled(), "no sandbox on a public address unless asked for");
}

#[test]
fn each_mistake_is_named_with_its_key_and_what_is_allowed() {
    let table = [
        ("listen = 8080", "listen: expected an address and port"),
        ("listen = \"8080\"", "listen: expected an address and port such as 127.0.0.1:8080, got \"8080\""),
        ("data_dir = \"\"", "data_dir: expected text that is not empty"),
        ("public_url = \"nowhere\"", "public_url: expected a URL"),
        ("public_url = \"ftp://host/\"", "public_url: must be http or https"),
        ("retention = \"7\"", "retention: expected a duration from 1h to 3650d"),
        ("retention = \"1m\"", "retention: expected a duration from 1h to 3650d"),
        ("durability = \"some\"", "durability: expected one of \"full\", \"normal\", got \"some\""),
        ("[worker]\nmax_concurrent_bots = 0", "worker.max_concurrent_bots: expected an integer from 1 to 1000, got 0"),
        ("[worker]\nmax_concurrent_bots = \"8\"", "worker.max_concurrent_bots: expected an integer"),
        ("[worker]\nlease = \"3s\"\nheartbeat = \"2s\"", "worker.lease: must be at least three times worker.heartbeat"),
        ("[worker]\nlaese = \"3s\"", "worker.laese: there is no such key"),
        ("[browser]\nextra_args = \"--x\"", "browser.extra_args: expected a list"),
        ("[storage]\nurl = \"gs://b\"", "storage.url: must be file:///directory or s3://bucket/prefix"),
        ("[hooks]\nallow_private = [\"127.0.0.0/99\"]", "hooks.allow_private:"),
        ("[hooks]\ntimeout = \"2h\"", "hooks.timeout: expected a duration from 1s to 1m"),
        ("[sandbox]\nenabled = \"yes\"", "sandbox.enabled: expected true or false"),
        ("[transcription]\nurl = \"file:///x\"", "transcription.url: must be http or https"),
        ("lease = \"30s\"", "did you mean `worker.lease`?"),
        ("this is not toml", "/etc/muster.toml:"),
    ];
    for (text, want) in table {
        let error = Config::load(&file(text)).expect_err(text).to_string();
        assert!(error.contains(want), "{text:?} gave {error:?}, which does not say {want:?}");
    }
}

#[test]
fn all_mistakes_are_reported_together() {
    let error = Config::load(&file("listen = 1\nretention = \"x\"\nnonsense = 2")).unwrap_err();
    assert_eq!(error.problems.len(), 3, "{error}");
}

#[test]
fn the_checked_in_default_file_is_the_one_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config.default.toml");
    let made = Config::default_file();
    if std::env::var_os("UPDATE_DEFAULT_CONFIG").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), made, "run with UPDATE_DEFAULT_CONFIG=1 to write it anew");
    Config::load(&Sources { file: Some((path.into(), made)), ..Sources::default() }).unwrap();
}

#[test]
fn secrets_are_not_printed() {
    let text = Config::print(&file("[hooks]\nsigning_secret = \"whsec_abc\"")).unwrap();
    assert!(text.contains("(redacted)") && !text.contains("whsec_abc"), "{text}");
}
