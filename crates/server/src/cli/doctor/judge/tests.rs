use super::*;

fn healthy() -> Facts {
    Facts {
        browser: Browser::Works {
            path: "/usr/bin/c".into(),
            version: Some("Chromium 1".into()),
            start: Duration::from_millis(400),
        },
        descriptors: Descriptors { before: 1_024, now: 1_048_576, hard: 1_048_576 },
        shm: Ok(2 * GIB),
        memory: Ok(Memory { available: 16 * GIB, contained: false }),
        bots_wanted: 8,
        data_dir: "data".into(),
        disk: Ok(50 * GIB),
        listen: "127.0.0.1:8080".parse().unwrap(),
        port: Port::Free,
        queue: Ok(seen("redis 7.2.4 at h:6379")),
        store: Ok(seen("dynamodb, table muster")),
        lease: Duration::from_secs(30),
        speech: Some(Speech {
            url: "http://127.0.0.1:9000/".parse().unwrap(),
            model: "m".into(),
            answer: Ok(Duration::from_millis(700)),
        }),
        vendors: vec![vendor(Ok((Duration::from_millis(80), KeyCheck::Taken)))],
    }
}

fn seen(detail: &str) -> Seen {
    let round_trip = Some(Duration::from_micros(1_500));
    Seen { detail: detail.to_owned(), warnings: Vec::new(), remedy: "", round_trip, ahead_ms: Some(-300) }
}

fn refused() -> Complaint {
    Complaint { error: "store.url: redis at h:6379 is out of reach".into(), fix: "start it".into() }
}

fn vendor(answer: Result<(Duration, KeyCheck), String>) -> Vendor {
    let url = "wss://api.deepgram.com/".parse().unwrap();
    Vendor { name: "deepgram", url, key: "transcription.deepgram.api_key".into(), answer }
}

/// Changes one thing and answers the verdict on the check of that name; the others must stay well.
#[track_caller]
fn one(name: &str, change: impl FnOnce(&mut Facts)) -> Check {
    let mut facts = healthy();
    change(&mut facts);
    let (mut found, others): (Vec<Check>, Vec<Check>) = judge(&facts).into_iter().partition(|check| check.name == name);
    assert!(others.iter().all(|check| check.verdict == Verdict::Ok), "{others:?}");
    found.pop().unwrap()
}

#[test]
fn a_healthy_machine_has_nothing_to_mend() {
    for check in judge(&healthy()) {
        assert_eq!((check.verdict, check.fix), (Verdict::Ok, None), "{}", check.name);
    }
}

#[test]
fn every_complaint_names_its_fix() {
    let nothing = Facts {
        browser: Browser::Missing { error: "no Chromium".into() },
        descriptors: Descriptors { before: 1_024, now: 4_096, hard: 4_096 },
        shm: Ok(64 * MIB),
        memory: Ok(Memory { available: GIB, contained: true }),
        disk: Err("permission denied".into()),
        port: Port::Taken { error: "address in use".into() },
        queue: Err(refused()),
        store: Err(refused()),
        speech: None,
        vendors: Vec::new(),
        ..healthy()
    };
    let checks = judge(&nothing);
    assert!(checks.iter().all(|check| check.verdict != Verdict::Ok && check.fix.is_some()), "{checks:?}");
}

#[test]
fn a_browser_that_does_not_start_is_as_bad_as_none() {
    let broken = |facts: &mut Facts| {
        facts.browser = Browser::Broken { path: "/usr/bin/c".into(), version: None, error: "no libnss3".into() };
    };
    let check = one("chromium", broken);
    assert_eq!(check.verdict, Verdict::Fail);
    assert!(check.detail.contains("no libnss3"), "{check:?}");
}

#[test]
fn descriptors_are_a_warning_below_65536_and_a_hint_below_a_million() {
    let check = |now| one("descriptors", |facts| facts.descriptors = Descriptors { before: 1_024, now, hard: now });
    assert_eq!(check(65_535).verdict, Verdict::Warn);
    assert!(check(65_535).fix.is_some_and(|fix| fix.contains("LimitNOFILE=1000000")));
    assert_eq!(check(65_536).verdict, Verdict::Ok);
    assert!(check(65_536).detail.contains("1000000 are recommended"));
    assert!(!check(1_000_000).detail.contains("recommended"));
    assert!(check(u64::MAX).detail.starts_with("unlimited"));
}

#[test]
fn memory_says_how_many_bots_fit() {
    let check = |mib| one("memory", |facts| facts.memory = Ok(Memory { available: mib * MIB, contained: false }));
    assert_eq!(check(100).verdict, Verdict::Fail);
    assert_eq!(check(7 * 130).verdict, Verdict::Warn);
    assert!(check(7 * 130).fix.is_some_and(|fix| fix.contains("to 7 or less")));
    let enough = check(8 * 130);
    assert_eq!(enough.verdict, Verdict::Ok);
    assert!(enough.detail.contains("about 8 bots in plain pages"), "{enough:?}");
}

#[test]
fn sizes_have_thresholds() {
    for (free, verdict) in [(50 * MIB, Verdict::Fail), (GIB, Verdict::Warn), (3 * GIB, Verdict::Ok)] {
        assert_eq!(one("data directory", |facts| facts.disk = Ok(free)).verdict, verdict, "{free}");
    }
    for (size, verdict) in [(64 * MIB, Verdict::Warn), (GIB, Verdict::Ok)] {
        assert_eq!(one("/dev/shm", |facts| facts.shm = Ok(size)).verdict, verdict, "{size}");
    }
    assert_eq!(one("/dev/shm", |facts| facts.shm = Err("not there".into())).verdict, Verdict::Fail);
}

#[test]
fn no_speech_is_a_warning_and_one_that_does_not_answer_a_failure() {
    assert_eq!(one("speech to text", |facts| facts.speech = None).verdict, Verdict::Ok, "a vendor has a key");
    let mut facts = healthy();
    (facts.speech, facts.vendors) = (None, Vec::new());
    assert!(judge(&facts).iter().any(|check| check.name == "speech to text" && check.verdict == Verdict::Warn));
    let down = |facts: &mut Facts| {
        if let Some(speech) = &mut facts.speech {
            speech.answer = Err("connection refused".into());
        }
    };
    assert_eq!(one("speech to text", down).verdict, Verdict::Fail);
    assert_eq!(one("listen address", |facts| facts.port = Port::Ours).verdict, Verdict::Ok);
}

#[test]
fn a_vendor_that_is_out_of_reach_or_refuses_the_key_is_a_failure() {
    let time = Duration::from_millis(80);
    let table = [
        (Ok((time, KeyCheck::Taken)), Verdict::Ok, "and takes transcription.deepgram.api_key"),
        (Ok((time, KeyCheck::Unknown)), Verdict::Ok, "is not known"),
        (Ok((time, KeyCheck::Refused)), Verdict::Fail, "refuses transcription.deepgram.api_key"),
        (Err("connection refused".to_owned()), Verdict::Fail, "connection refused"),
    ];
    for (answer, verdict, detail) in table {
        let check = one("deepgram", |facts| facts.vendors = vec![vendor(answer)]);
        assert_eq!(check.verdict, verdict);
        assert!(check.detail.contains(detail), "{}", check.detail);
    }
}

#[test]
fn a_backend_is_shown_with_its_answer_time_and_its_clock() {
    let check = one("store", |_| {});
    assert_eq!(check.detail, "dynamodb, table muster, answers in 1.5 ms; this machine's clock is 0.3 s behind its own");
    let check = one("store", |facts| facts.store = Err(refused()));
    assert_eq!((check.verdict, check.fix.as_deref()), (Verdict::Fail, Some("start it")));
    let lossy = Seen { warnings: vec!["it has `appendfsync everysec`".into()], remedy: "set it", ..seen("redis") };
    let check = one("queue", |facts| facts.queue = Ok(lossy));
    assert_eq!((check.verdict, check.fix.as_deref()), (Verdict::Warn, Some("set it")));
    assert!(check.detail.contains("; it has `appendfsync everysec`; this machine"), "{}", check.detail);
}

#[test]
fn a_clock_that_breaks_leases_is_a_failure_of_the_store_alone() {
    let off = |ms| Seen { ahead_ms: Some(ms), ..seen("redis") };
    assert_eq!(one("store", |facts| facts.store = Ok(off(3_000))).verdict, Verdict::Warn);
    let broken = one("store", |facts| facts.store = Ok(off(-16_000)));
    assert!(broken.detail.contains("worker.lease") && broken.verdict == Verdict::Fail, "{broken:?}");
    assert_eq!(one("queue", |facts| facts.queue = Ok(off(-16_000))).verdict, Verdict::Warn);
}
