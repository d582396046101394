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
fn sizes_and_cores_are_numbers_that_people_write() {
    let worker = |text: &str| Config::load(&file(&format!("[worker]\n{text}"))).unwrap().worker;
    let cost = Config::load(&Sources::default()).unwrap().worker.declared();
    assert_eq!(cost, muster_fleet::cost::Cost::PLANNED, "the guide's");
    assert_eq!(worker("bot_memory = \"512MiB\"").bot_memory, 512 << 20);
    assert_eq!(worker("bot_memory = \"0.25 GB\"").bot_memory, 250_000_000);
    assert_eq!(worker("bot_cpu = 0.25").bot_cpu_millis, 250);
    assert_eq!(worker("bot_cpu = 2").bot_cpu_millis, 2_000);
    assert_eq!(worker("exit_when_idle = \"never\"").exit_when_idle, None);
    assert_eq!(worker("exit_when_idle = \"5m\"").exit_when_idle, Some(Duration::from_secs(300)));
    let idle = file("[worker]\nexit_when_idle = \"5m\"");
    assert!(Config::load_as(&idle, Some(Role::Worker)).is_err(), "a role alone needs shared sessions");
    let error = Config::load_as(&idle, Some(Role::All)).unwrap_err();
    assert!(error.problems[0].contains("is for `muster serve worker`"), "{error}");
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
        ("[sources.a]\nkind = \"moon\"", "sources.a.kind: expected one of meetstream, zoom"),
        ("[sources.a]\nkind = \"zoom\"", "sources.a: a source needs 1 to 8 secrets, not 0"),
        ("[sources.a]\nkind = \"generic\"\nsecrets = \"s\"", "sources.a.header: required for the kind generic"),
        ("[sources.\"a b\"]\nkind = \"zoom\"", "sources.a b: the name of a source has"),
        (
            "[sources.a]\nkind = \"zoom\"\nsecrets = \"s\"\ntolerance = \"5\"",
            "sources.a.tolerance: expected a duration",
        ),
        ("[meetstream]\nurl = \"https://a.example\"", "meetstream.api_key: required with meetstream.url"),
        ("runtime = \"meetstream\"", "runtime: bots cannot run at meetstream without"),
        ("[tenants.a]\nruntime = \"moon\"", "tenants.a.runtime: expected one of fleet, meetstream"),
        ("[tenants.\"a b\"]\nruntime = \"fleet\"", "tenants.a b: the name of a tenant has 1 to 64 letters"),
        ("[meetstream]\noverflow_after = \"2h\"", "meetstream.overflow_after: expected `never` or 1s to 1h"),
        ("retention = \"7\"", "retention: expected a duration from 1h to 3650d"),
        ("retention = \"1m\"", "retention: expected a duration from 1h to 3650d"),
        ("durability = \"some\"", "durability: expected one of \"full\", \"normal\", got \"some\""),
        ("[worker]\nmax_concurrent_bots = 0", "worker.max_concurrent_bots: expected an integer from 1 to 1000, got 0"),
        ("[worker]\nmax_concurrent_bots = \"8\"", "worker.max_concurrent_bots: expected an integer"),
        ("[worker]\nlease = \"3s\"\nheartbeat = \"2s\"", "worker.lease: must be at least three times worker.heartbeat"),
        ("[worker]\nstop_deadline = \"25h\"", "worker.stop_deadline: expected a duration from 0s to 24h"),
        (
            "[worker]\nstop_deadline = \"2m\"\ndrain_deadline = \"1m\"",
            "worker.stop_deadline: must not be longer than worker.drain_deadline",
        ),
        ("[worker]\nbot_memory = \"1.5\"", "worker.bot_memory: expected a size from 16MB to 1TB, such as \"1.5GB\""),
        ("[worker]\nbot_memory = \"15MB\"", "worker.bot_memory: expected a size from 16MB"),
        ("[worker]\nbot_cpu = 0", "worker.bot_cpu: expected a number from 0.01 to 64, got 0"),
        ("[worker]\nbot_cpu = \"1\"", "worker.bot_cpu: expected a number"),
        ("[worker]\nbot_memory = \"4GB\"", "worker.bot_memory_limit: must not be less than worker.bot_memory"),
        (
            "[worker]\nexit_when_idle = \"soon\"",
            "worker.exit_when_idle: expected \"never\" or a duration from 1s to 7d",
        ),
        ("[worker]\nmemory_headroom = 91", "worker.memory_headroom: expected an integer from 0 to 90"),
        ("[worker]\nlaese = \"3s\"", "worker.laese: there is no such key"),
        ("[browser]\nextra_args = \"--x\"", "browser.extra_args: expected a list"),
        ("[storage]\nurl = \"gs://b\"", "storage.url: must be file:///directory or s3://bucket/prefix"),
        ("[hooks]\nallow_private = [\"127.0.0.0/99\"]", "hooks.allow_private:"),
        ("[hooks]\ntimeout = \"2h\"", "hooks.timeout: expected a duration from 1s to 1m"),
        ("[hooks]\ndisable_after = \"31d\"", "hooks.disable_after: expected a duration from 1h to 30d"),
        ("[tenants.\"a b\".hooks]\nsigning_secret = \"k\"", "tenants.a b: the name of a tenant has 1 to 64 letters"),
        ("[tenants.acme.hooks]\ntimeout = \"5s\"", "tenants.acme.hooks.timeout: there is no such key"),
        ("[limits]\nconcurrency = -1", "limits.concurrency: expected an integer from 0 to 1000000, got -1"),
        ("[limits]\nbeyond = \"drop\"", "limits.beyond: expected one of \"queue\", \"refuse\", got \"drop\""),
        ("[limits]\nweight = 0", "limits.weight: expected an integer from 1 to 1000, got 0"),
        ("[tenants.acme.limits]\nweight = 1001", "tenants.acme.limits.weight: expected an integer from 1 to 1000, got"),
        (
            "[tenants.acme.limits]\nbeyond = 1",
            "tenants.acme.limits.beyond: expected one of \"queue\", \"refuse\", got 1",
        ),
        ("[tenants.acme.limits]\nconcurency = 1", "tenants.acme.limits.concurency: there is no such key"),
        ("[sandbox]\nenabled = \"yes\"", "sandbox.enabled: expected true or false"),
        ("[transcription]\nurl = \"file:///x\"", "transcription.url: must be http or https"),
        ("[transcription.deepgram]\nurl = \"gs://x\"", "transcription.deepgram.url: must be wss, ws, https or http"),
        ("[transcription.assemblyai]\nurl = \"x\"", "transcription.assemblyai.url: expected a URL"),
        ("[transcription.sarvam]\napi_key = \"k\"", "transcription.sarvam.api_key: there is no such key"),
        ("[transcription.deepgram]\napi_key = 12345", "transcription.deepgram.api_key: expected text"),
        (
            "[tenants.acme.transcription]\ndeepgram_key = \"k\"",
            "tenants.acme.transcription.deepgram_key: there is no such",
        ),
        ("[tenants.acme]\nretention = \"7d\"", "tenants.acme.retention: there is no such key"),
        ("[tenants.\"a.b\".transcription]\napi_key = \"k\"", "tenants.a.b: the name of a tenant has 1 to 64 letters"),
        ("[queue]\nkind = \"redis\"", "queue.url: is needed when queue.kind is \"redis\""),
        ("[store]\nkind = \"redis\"\nurl = \"http://h\"", "store.url: expected redis:// or rediss:// and a host"),
        ("[store]\nkind = \"dynamo\"", "store.kind: expected one of \"embedded\", \"redis\""),
        ("[queue]\nurl = \"redis://h\"", "queue.url: is for queue.kind = \"redis\", which is \"embedded\""),
        ("[store]\nallow_volatile = false", "store.allow_volatile: is for store.kind = \"redis\""),
        ("[queue]\nkind = \"redis\"\nurl = \"redis://h\"", "store.kind: is \"embedded\", but queue.kind is not"),
        ("[store]\nkind = \"redis\"\nurl = \"redis://h\"", "queue.kind: is \"embedded\", but store.kind is not"),
        ("[store]\nkind = \"redis\"\nurl = \"redis://h\"", "storage.url: is needed when sessions are shared"),
        ("[queue]\nprefix = \"p\"", "queue.prefix: is for queue.kind = \"redis\" or \"sqs\", which is \"embedded\""),
        ("[queue]\nkind = \"sqs\"\nurl = \"redis://h\"", "queue.url: is for queue.kind = \"redis\", which is \"sqs\""),
        ("[queue]\nkind = \"sqs\"\nprefix = \"a.b\"", "queue.prefix: for \"sqs\" it has at most 60 letters"),
        (
            "[queue]\nkind = \"sqs\"\nendpoint_url = \"sqs\"",
            "queue.endpoint_url: expected https:// or http:// and a host",
        ),
        ("[queue]\nregion = \"eu-central-1\"", "queue.region: is for queue.kind = \"sqs\", which is \"embedded\""),
        ("[queue]\ntable = \"t\"", "queue.table: there is no such key"),
        ("[store]\nkind = \"dynamodb\"\ntable = \"a\"", "store.table: the name of a table has 3 to 255"),
        ("[store]\nkind = \"dynamodb\"\nprefix = \"p\"", "store.prefix: is for store.kind = \"redis\""),
        (
            "[store]\nkind = \"redis\"\nurl = \"redis://h\"\ntable = \"t\"",
            "store.table: is for store.kind = \"dynamodb\"",
        ),
        ("[store]\nkind = \"dynamodb\"\nallow_volatile = true", "store.allow_volatile: is for store.kind = \"redis\""),
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

const KEYS: &str = r#"
[hooks]
signing_secret = "whsec_abc"
[tenants.acme.hooks]
signing_secret = "whsec_abc-acme"
[transcription]
api_key = "sk-openai"
[transcription.deepgram]
api_key = "sk-deepgram"
[transcription.assemblyai]
api_key = "sk-assemblyai"
[tenants.acme.transcription]
api_key = "sk-acme-openai"
deepgram_api_key = "sk-acme-deepgram"
assemblyai_api_key = "sk-acme-assemblyai"
"#;

#[test]
fn secrets_are_not_printed() {
    let text = Config::print(&file(KEYS)).unwrap();
    assert_eq!(text.matches("(redacted)").count(), 8, "{text}");
    assert!(text.contains("[tenants.acme.transcription]\napi_key = \"(redacted)\"  # /etc/muster.toml\n"), "{text}");
    let debug = format!("{:?}", Config::load(&file(KEYS)).unwrap());
    for shown in [text, debug] {
        assert!(!shown.contains("whsec_abc") && !shown.contains("sk-"), "{shown}");
    }
    let error = Config::load(&file("[hooks]\nsigning_secret = 4711\n")).unwrap_err().to_string();
    assert!(error.contains("hooks.signing_secret") && !error.contains("4711"), "{error}");
}

#[test]
fn passwords_in_addresses_are_not_printed() {
    let sources = file(
        "public_url = \"https://u:s3cret@a.example/x\"\n[meetstream]\nurl = \"https://s3cret@b.example\"\napi_key = \"k\"\n\
         [transcription]\nurl = \"http://:s3cret@c.example/v1\"\n[transcription.deepgram]\nurl = \"wss://u:s3cret@d.example\"",
    );
    let text = Config::print(&sources).unwrap();
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.transcription.deepgram.url.password(), Some("s3cret"));
    for host in ["a.example/x", "b.example/", "c.example/v1", "d.example/"] {
        assert!(text.contains(&format!("://redacted@{host}\"")), "{text}");
    }
    for shown in [text, format!("{:?}", config.transcription)] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    for key in ["[transcription]\nurl", "[transcription.deepgram]\nurl"] {
        let error = Config::load(&file(&format!("{key} = \"u:s3cret@host:x/\""))).unwrap_err().to_string();
        let wrong = Config::load(&file(&format!("{key} = \"http://u:s3cret@host:x/\""))).unwrap_err().to_string();
        for error in [error, wrong] {
            assert!(error.contains("url: ") && !error.contains("s3cret"), "{error}");
        }
    }
}

#[test]
fn keys_of_providers_and_tenants_come_from_file_and_environment() {
    let mut sources = file(KEYS);
    for (name, value) in [
        ("MUSTER_TRANSCRIPTION__DEEPGRAM__API_KEY", "deepgram-env"),
        ("MUSTER_TRANSCRIPTION__DEEPGRAM__URL", "ws://127.0.0.1:9001"),
        ("MUSTER_TENANTS__ACME__TRANSCRIPTION__API_KEY", "acme-env"),
        ("MUSTER_TENANTS__OTHER__TRANSCRIPTION__DEEPGRAM_API_KEY", "other-env"),
        ("MUSTER_TENANTS__OTHER__HOOKS__SIGNING_SECRET", "whsec_other-new whsec_other-old"),
    ] {
        sources.env.push((name.into(), value.into()));
    }
    let config = Config::load(&sources).unwrap();
    let secrets: Vec<_> = config.hooks.tenant_secrets.iter().map(|(name, secret)| (name.as_str(), &**secret)).collect();
    assert_eq!(secrets, [("acme", "whsec_abc-acme"), ("other", "whsec_other-new whsec_other-old")]);
    let config = config.transcription;
    assert_eq!(config.deepgram.api_key.as_deref(), Some("deepgram-env"));
    assert_eq!(config.deepgram.url.as_str(), "ws://127.0.0.1:9001/");
    assert_eq!(config.assemblyai.api_key.as_deref(), Some("sk-assemblyai"));
    assert_eq!(config.assemblyai.url.as_str(), "wss://streaming.assemblyai.com/");
    let of = |tenant: &str| config.tenants[&muster_session::TenantId::new(tenant)].clone();
    assert_eq!(of("acme").api_key.as_deref(), Some("acme-env"));
    assert_eq!(of("acme").assemblyai_api_key.as_deref(), Some("sk-acme-assemblyai"));
    assert_eq!(of("other").deepgram_api_key.as_deref(), Some("other-env"));
    assert_eq!((of("other").api_key, config.tenants.len()), (None, 2));
}

#[test]
fn a_tenant_has_the_limits_of_all_but_for_its_own() {
    let mut sources = file(
        "[limits]\nconcurrency = 50\nmax_waiting = 7\n[tenants.acme.limits]\nconcurrency = 5\nbeyond = \"refuse\"\nrequests_per_minute = 600\n[tenants.big.limits]\nconcurrency = 0\nweight = 3\n",
    );
    sources.env.push(("MUSTER_TENANTS__ENV__LIMITS__WEIGHT".into(), "2".into()));
    let tiers = Config::load(&sources).unwrap().tiers;
    let of = |name: &str| tiers.of(&muster_session::TenantId::new(name));
    let everybody = of("somebody");
    assert_eq!((everybody.concurrency, everybody.beyond, everybody.weight), (Some(50), Beyond::Queue, 1));
    assert_eq!((everybody.requests_per_minute.unwrap().get(), everybody.max_waiting), (60_000, 7));
    let requests_per_minute = std::num::NonZeroU32::new(600);
    let acme = Tier { concurrency: Some(5), beyond: Beyond::Refuse, requests_per_minute, ..everybody };
    assert_eq!(of("acme"), acme);
    assert_eq!(of("big"), Tier { concurrency: None, weight: 3, ..everybody });
    assert_eq!(of("env"), Tier { weight: 2, ..everybody });
    let text = Config::print(&sources).unwrap();
    assert!(text.contains("[tenants.acme.limits]\n"), "{text}");
}

const SHARED: &str = r#"
[queue]
kind = "redis"
url = "redis://user:s3cret-1@queue.example/1"
[store]
kind = "redis"
url = "rediss://:s3cret-2@store.example:6380"
prefix = "blue"
allow_volatile = true
[storage]
url = "s3://bucket/prefix"
"#;

#[test]
fn shared_backends_come_from_file_and_environment() {
    let config = Config::load(&file(SHARED)).unwrap();
    let (QueueConfig::Redis(queue), StoreConfig::Redis(store)) = (&config.queue, &config.store) else {
        panic!("{config:?}")
    };
    assert_eq!((queue.url.as_str(), queue.prefix.as_str()), ("redis://user:s3cret-1@queue.example/1", "muster"));
    assert!(!queue.allow_volatile);
    assert_eq!((store.prefix.as_str(), store.allow_volatile), ("blue", true));
    let mut sources = file("[storage]\nurl = \"s3://b\"");
    for (name, value) in [
        ("MUSTER_QUEUE__KIND", "redis"),
        ("MUSTER_QUEUE__URL", "redis://h"),
        ("MUSTER_STORE__KIND", "redis"),
        ("MUSTER_STORE__URL", "redis://h"),
    ] {
        sources.env.push((name.into(), value.into()));
    }
    assert!(Config::load_as(&sources, Some(Role::Worker)).unwrap().is_shared());
}

#[test]
fn passwords_of_addresses_are_not_shown() {
    let text = Config::print(&file(SHARED)).unwrap();
    assert!(text.contains("url = \"redis://user:redacted@queue.example/1\""), "{text}");
    assert!(text.contains("url = \"rediss://:redacted@store.example:6380\""), "{text}");
    let debug = format!("{:?}", Config::load(&file(SHARED)).unwrap());
    let wrong = SHARED.replace("redis://", "http://").replace("rediss://", "http://");
    let error = Config::load(&file(&wrong)).unwrap_err().to_string();
    for shown in [text, debug, error] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_part_of_the_work_needs_shared_backends() {
    for role in [Role::Api, Role::Worker, Role::Hooks, Role::Control] {
        let error = Config::load_as(&Sources::default(), Some(role)).unwrap_err().to_string();
        assert!(error.contains(&format!("`muster serve {role}`")) && error.contains("\"redis\""), "{error}");
        Config::load_as(&file(SHARED), Some(role)).unwrap();
    }
    Config::load_as(&Sources::default(), Some(Role::All)).unwrap();
}

#[cfg(feature = "aws")]
#[test]
fn amazon_and_redis_can_be_mixed() {
    const STORAGE: &str = "[storage]\nurl = \"s3://b\"\n";
    let sqs = "[queue]\nkind = \"sqs\"\nregion = \"eu-central-1\"\nendpoint_url = \"https://vpce.example\"\nprefix = \"blue\"\n";
    let dynamodb = "[store]\nkind = \"dynamodb\"\ntable = \"sessions\"\n";
    let config = Config::load(&file(&[sqs, dynamodb, STORAGE].concat())).unwrap();
    let (QueueConfig::Sqs(queue), StoreConfig::Dynamodb(store)) = (&config.queue, &config.store) else {
        panic!("{config:?}")
    };
    assert_eq!(
        (queue.aws.region.as_deref(), queue.aws.endpoint_url.as_deref(), queue.prefix.as_str()),
        (Some("eu-central-1"), Some("https://vpce.example"), "blue")
    );
    assert_eq!((&store.aws.region, store.table.as_str()), (&None, "sessions"));
    let redis = |table: &str| format!("[{table}]\nkind = \"redis\"\nurl = \"redis://h\"\n");
    for text in [[sqs, &redis("store"), STORAGE].concat(), [&redis("queue"), dynamodb, STORAGE].concat()] {
        assert!(Config::load_as(&file(&text), Some(Role::Control)).unwrap().is_shared());
    }
    let alone = Config::load(&file(&[sqs, STORAGE].concat())).unwrap_err().to_string();
    assert!(alone.contains("store.kind: is \"embedded\", but queue.kind is not"), "{alone}");
}
