use super::*;

const HEAD: &str = r#"
id = "demo"
label = "Demo"
seen = "2026-11-01"
example = "https://demo.example/m/1"
[[link]]
pattern = '^https://demo\.example/m/(?<id>\d+)$'
join_url = "{url}"
key = "demo/{id}"
"#;

#[test]
fn builtin_packs_are_valid_and_hand_out_their_source() {
    let packs = Packs::builtin();
    let ids: Vec<&str> = packs.iter().map(|pack| pack.id()).collect();
    assert_eq!(ids, ["google_meet", "sandbox", "teams", "zoom"]);
    for (id, label) in [("google_meet", "GMeet"), ("sandbox", "Sandbox"), ("teams", "Teams"), ("zoom", "Zoom")] {
        assert_eq!(packs.get(id).unwrap().label(), label);
        let again = Pack::parse(packs.source(id).unwrap()).unwrap();
        assert_eq!(again.id(), id);
        assert_eq!(again.steps().is_empty(), id != "sandbox", "{id}");
    }
    assert!(packs.get("webex").is_none() && packs.source("webex").is_none());
}

#[test]
fn a_small_pack_is_enough() {
    let pack = Pack::parse(HEAD).unwrap();
    assert_eq!((pack.id(), pack.seen()), ("demo", "2026-11-01"));
    assert!(matches!(pack.tracks(), TrackOwner::Mixed));
}

/// (what is added to a valid pack, what the error must say)
const MISTAKES: &[(&str, &[&str])] = &[
    ("id = ", &["line"]),
    ("[[step]]\nname = \"x\"", &["unknown field `step`", "`steps`"]),
    ("[[steps]]\nname = \"x\"\nclik = \"#a\"", &["unknown field `clik`", "`click`"]),
    ("[[steps]]\nclick = \"#a\"", &["missing field `name`"]),
    ("[[steps]]\nname = \"x\"", &["steps[0]", "exactly one of", "`press`"]),
    ("[[steps]]\nname = \"x\"\nclick = \"#a\"\nwait = \"#b\"", &["steps[0]", "exactly one of"]),
    ("[[steps]]\nname = \"x\"\nclick = \"#a\"", &["evidence", "\"admitted\""]),
    ("[[steps]]\nname = \"x\"\nfill = \"#a\"", &["steps[0].text", "go together"]),
    ("[[steps]]\nname = \"x\"\nfill = \"#a\"\ntext = \"{name}\"", &["steps[0].text", "{bot_name}"]),
    ("[[steps]]\nname = \"x\"\nclick = \" \"", &["steps[0].click", "empty"]),
    ("[[steps]]\nname = \"x\"\nclick = \"a\"\nwith_text = \"(\"", &["steps[0].with_text", "regular expression"]),
    ("[[steps]]\nname = \"x\"\nclick = \"a\"\ntimeout_ms = 0", &["steps[0].timeout_ms", "1 to 600000"]),
    ("[[steps]]\nname = \"x\"\npress = \"Enter\"\nwith_text = \"a\"", &["steps[0].with_text"]),
    ("[[leave]]\nname = \"x\"", &["leave[0]", "exactly one of"]),
    ("[[evidence]]\nstate = \"lobbi\"\nselector = \"a\"", &["lobbi", "`lobby`", "`admitted`", "`connection_lost`"]),
    ("[[evidence]]\nstate = \"lobby\"", &["evidence[0]", "at least one of", "`title`"]),
    ("[[evidence]]\nstate = \"lobby\"\nselektor = \"a\"", &["selektor", "`selector`"]),
    ("[[evidence]]\nstate = \"lobby\"\ntext = \"a\"\nhidden = true", &["evidence[0]", "need a `selector`"]),
    ("[[evidence]]\nstate = \"lobby\"\nurl = \"[\"", &["evidence[0].url", "regular expression"]),
    ("[[evidence]]\nstate = \"lobby\"\nurl = \"a\"\nafter = \"denied\"", &["denied", "`lobby`", "`admitted`"]),
    ("[[evidence]]\nstate = \"lobby\"\nurl = \"a\"\ndebounce_ms = 90000", &["evidence[0].debounce_ms", "60000"]),
    ("[roster]\nlist = \"li\"\nid = {}\nname = { attr = \"x\" }", &["unknown field `attr`", "`attribute`"]),
    ("[roster]\nlist = \"li\"\nid = { pattern = 'x' }\nname = {}", &["roster.id.pattern", "group"]),
    ("[roster]\nlist = \"\"\nid = {}\nname = {}", &["roster.list", "empty"]),
    ("[tracks]\nby = \"voice\"", &["voice", "`stream_id`", "`script`"]),
    ("[tracks]\nby = \"stream_id\"", &["tracks.by", "[roster]"]),
    ("[tracks]\nby = \"element\"", &["missing field"]),
    ("[tracks]\nby = \"script\"\nscript = \"\"", &["tracks.script", "empty"]),
    ("[[link]]\npattern = '('\nrefuse = 'x'", &["link[1].pattern", "regular expression"]),
    ("[[link]]\npattern = 'a'", &["link[1]", "`rewrite`", "`refuse`"]),
    ("[[link]]\npattern = 'a'\njoin_url = 'https://x'", &["link[1]", "`key`"]),
    ("[[link]]\npattern = '(?<a>.)'\nrewrite = '{b}'", &["link[1].rewrite", "{b}", "a, url, origin"]),
    ("[[link]]\npattern = '(?<a>.)'\nrewrite = '{a|upper}'", &["link[1].rewrite", "`lower` and `decode`"]),
    ("[[link]]\npattern = '(?<a>.)'\nrewrite = '{a'", &["link[1].rewrite", "`}`"]),
    ("[[link]]\npattern = 'a'\nrefuse = 'x'\nkeep_query = { p = 'x' }", &["link[1].keep_query", "join_url"]),
];

#[test]
fn mistakes_name_their_key_and_what_is_allowed() {
    for (more, says) in MISTAKES {
        let error = Pack::parse(&format!("{HEAD}{more}\n")).expect_err(more).to_string();
        for text in *says {
            assert!(error.contains(text), "{more}\nexpected {text:?} in: {error}");
        }
    }
}

#[test]
fn mistakes_in_the_head_are_told_together() {
    let source = HEAD.replace("\"demo\"", "\"De mo\"").replace("2026-11-01", "yesterday").replace("\"Demo\"", "\"\"");
    let Err(PackError::Invalid(problems)) = Pack::parse(&source) else { panic!("accepted") };
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["id", "label", "seen"]);
    let error = Pack::parse(&HEAD.replace("/m/1", "/x")).expect_err("a wrong example").to_string();
    assert!(error.starts_with("example: "), "{error}");
}

#[test]
fn a_directory_adds_and_replaces() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("demo.toml"), HEAD).unwrap();
    std::fs::write(dir.path().join("ours.toml"), HEAD.replace("\"demo\"", "\"zoom\"")).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "not a pack").unwrap();
    let mut packs = Packs::builtin();
    packs.load_dir(dir.path()).unwrap();
    assert_eq!(packs.get("zoom").unwrap().label(), "Demo");
    assert!(packs.source("zoom").unwrap().contains("demo.example"));
    let ids: Vec<&str> = packs.iter().map(|pack| pack.id()).collect();
    assert_eq!(ids, ["demo", "zoom", "google_meet", "sandbox", "teams"], "the operator's own come first");
}

#[test]
fn a_wrong_directory_names_the_file_and_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut packs = Packs::builtin();
    let missing = packs.load_dir(&dir.path().join("missing")).unwrap_err().to_string();
    assert!(missing.contains("missing"), "{missing}");
    std::fs::write(dir.path().join("a.toml"), HEAD).unwrap();
    std::fs::write(dir.path().join("b.toml"), HEAD.replace("seen", "sehen")).unwrap();
    let error = packs.load_dir(dir.path()).unwrap_err().to_string();
    assert!(error.contains("b.toml") && error.contains("`sehen`"), "{error}");
    assert!(packs.get("demo").is_none());
    std::fs::write(dir.path().join("b.toml"), HEAD).unwrap();
    let error = packs.load_dir(dir.path()).unwrap_err().to_string();
    assert!(error.contains("a.toml") && error.contains("b.toml") && error.contains("\"demo\""), "{error}");
}
