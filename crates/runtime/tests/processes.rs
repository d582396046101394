//! Real children that misbehave in every way we know. After each, nothing of it may be left.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use muster_runtime::{BotHandle, EndedBy, LaunchError, Launcher, Phase, sweep_strays};
use muster_session::protocol::{BotSpec, BrowserSpec, Command, Report};
use muster_session::{BotId, EndReason, MediaPlan, Meeting, TenantId};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const READY: &str = r#"echo '{"report":"ready"}'"#;
const LEAVE: Command = Command::Leave { reason: EndReason::LeaveRequested };

struct Bench {
    state: TempDir,
    launcher: Launcher,
}

impl Bench {
    /// A launcher whose bot is a shell script.
    fn new(script: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let launcher = Launcher {
            program: "/bin/bash".into(),
            args: vec!["-c".into(), script.replace("READY", READY)],
            launch_deadline: PATIENCE,
            state_dir: state.path().to_owned(),
            confinement: None,
        };
        Self { state, launcher }
    }

    async fn launch(&self) -> BotHandle {
        self.launcher.launch(&spec()).await.unwrap()
    }

    /// The check that runs after every test: no process in the group or with a mark of this bench, no directory.
    fn assert_nothing_left(&self, group: i32) {
        let left: Vec<i32> = living(self.state.path(), group);
        assert!(left.is_empty(), "left behind: {left:?}");
        let dirs: Vec<_> = std::fs::read_dir(self.state.path()).unwrap().flatten().map(|e| e.path()).collect();
        assert!(dirs.is_empty(), "left behind: {dirs:?}");
    }
}

/// Found by other means than those of the code under test: every bot here has its TMPDIR below `state`.
fn living(state: &Path, group: i32) -> Vec<i32> {
    let state = format!("TMPDIR={}/", state.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let marked = environment.split(|b| *b == 0).any(|v| v.starts_with(state.as_bytes()));
        if fields.first() != Some(&"Z") && (fields.get(2) == Some(&group.to_string().as_str()) || marked) {
            found.push(pid);
        }
    }
    found
}

fn spec() -> BotSpec {
    let url = url::Url::parse("http://127.0.0.1/room").unwrap();
    BotSpec {
        bot: BotId::from_uuid(uuid::Uuid::now_v7()),
        tenant: TenantId::new("test"),
        attempt: 1,
        meeting: Meeting {
            link: url.to_string(),
            platform: "sandbox".into(),
            label: "Sandbox".into(),
            join_url: url.clone(),
            key: "room".into(),
        },
        bot_name: "Notes".into(),
        leave: muster_session::leave::LeavePolicy::default(),
        media: MediaPlan::default(),
        custom_attributes: serde_json::Map::new(),
        pack: "x".repeat(200_000),
        storage: url::Url::parse("file:///nowhere").unwrap(),
        segment_seconds: 5,
        browser: BrowserSpec::default(),
        speech: None,
        allow_private: Vec::new(),
        join_timeout_ms: 1_000,
        capture_timeout_ms: 1_000,
        held_until: None,
        simulated: false,
    }
}

async fn next(bot: &mut BotHandle) -> Option<Report> {
    tokio::time::timeout(PATIENCE, bot.next_report()).await.expect("a report or the end of them")
}

/// The text of the next note.
async fn note(bot: &mut BotHandle) -> String {
    match next(bot).await {
        Some(Report::Note { text, .. }) => text,
        other => panic!("expected a note, got {other:?}"),
    }
}

async fn wait(bot: &mut BotHandle) -> muster_runtime::Exit {
    tokio::time::timeout(PATIENCE, bot.wait()).await.expect("the bot to end")
}

#[tokio::test]
async fn a_good_bot_reads_its_spec_and_leaves_when_asked() {
    let bench = Bench::new(
        r#"read -r spec; READY; read -r command
        printf '{"report":"note","at":1,"level":"info","text":"%s %s"}\n' "${#spec}" "${command//\"/}"; exit 3"#,
    );
    let mut bot = bench.launch().await;
    assert_eq!(bot.status().phase, Phase::Running);
    bot.begin_stop(LEAVE, PATIENCE).await;
    let said = note(&mut bot).await;
    let (length, command) = said.split_once(' ').unwrap();
    assert!(length.parse::<usize>().unwrap() > 200_000, "{length}");
    assert_eq!(command, "{command:leave,reason:leave_requested}");
    assert_eq!(next(&mut bot).await, None);
    let exit = wait(&mut bot).await;
    assert_eq!((exit.status.and_then(|s| s.code()), exit.by, exit.leaked.len()), (Some(3), EndedBy::Stop, 0));
    assert_eq!(bot.status().phase, Phase::Ended);
    assert_eq!(wait(&mut bot).await, exit);
    bench.assert_nothing_left(bot.pid());
}

#[tokio::test]
async fn sigterm_ignored_means_sigkill() {
    let bench = Bench::new("trap '' TERM; READY; while :; do sleep 1000 & wait; done");
    let bot = bench.launch().await;
    let group = bot.pid();
    let exit = tokio::time::timeout(PATIENCE, bot.stop(LEAVE, Duration::from_millis(50))).await.unwrap();
    assert_eq!(exit.by, EndedBy::Kill);
    bench.assert_nothing_left(group);
}

#[tokio::test]
async fn sigterm_is_enough_for_one_that_ignores_the_command() {
    let bench = Bench::new("READY; exec sleep 1000");
    let bot = bench.launch().await;
    let group = bot.pid();
    let exit = tokio::time::timeout(PATIENCE, bot.stop(LEAVE, Duration::from_millis(50))).await.unwrap();
    assert_eq!(exit.by, EndedBy::Terminate);
    bench.assert_nothing_left(group);
}

#[tokio::test]
async fn grandchildren_inside_and_outside_the_group_are_killed_and_named() {
    // One in the group, one in a session of its own.
    let bench = Bench::new(
        r#"sleep 1000 & inside=$!; setsid sleep 1000 & outside=$!
        echo '{"report":"note","at":1,"level":"info","text":"'$inside $outside'"}'; READY; read -r x; read -r command; exit 0"#,
    );
    let mut bot = bench.launch().await;
    let named = note(&mut bot).await;
    bot.command(LEAVE);
    let exit = wait(&mut bot).await;
    assert_eq!(exit.by, EndedBy::Itself);
    let mut want: Vec<i32> = named.split(' ').map(|pid| pid.parse().unwrap()).collect();
    want.sort_unstable();
    assert_eq!(exit.leaked, want);
    bench.assert_nothing_left(bot.pid());
}

#[tokio::test]
async fn a_stray_that_wiped_its_environment_is_found_by_its_family() {
    // It says itself who it is: once it does it has left the group.
    let bench = Bench::new(
        r#"setsid env -i /bin/bash -c 'echo "{\"report\":\"note\",\"at\":1,\"level\":\"info\",\"text\":\"$$\"}"; exec /bin/sleep 1000' &
        READY; exec sleep 1000"#,
    );
    let mut bot = bench.launch().await;
    let stray: i32 = note(&mut bot).await.parse().unwrap();
    bot.kill().await;
    let exit = wait(&mut bot).await;
    assert_eq!((exit.by, exit.leaked), (EndedBy::Kill, vec![stray]));
    assert!(!Path::new(&format!("/proc/{stray}/cmdline")).exists() || living(Path::new("/"), stray).is_empty());
    bench.assert_nothing_left(bot.pid());
}

#[tokio::test]
async fn floods_on_both_outputs_hold_nothing_up() {
    let bench = Bench::new(
        r#"READY; yes 'noise noise noise' | head -c 30000000 >&2 &
        yes '{"report":"health","at":1,"figures":null}' | head -n 200000; head -c 5000000 /dev/zero | tr '\0' x; echo; wait
        echo '{"report":"note","at":1,"level":"info","text":"still here"}'; read -r x; read -r command; exit 0"#,
    );
    let mut bot = bench.launch().await;
    assert_eq!(note(&mut bot).await, "still here");
    bot.command(LEAVE);
    let exit = wait(&mut bot).await;
    assert_eq!((exit.status.and_then(|s| s.code()), exit.leaked.len()), (Some(0), 0));
    bench.assert_nothing_left(bot.pid());
}

#[tokio::test]
async fn reports_nobody_reads_do_not_hold_up_the_end() {
    let joining = r#"{"report":"joining","at":1}"#;
    let bench = Bench::new(&format!("READY; while :; do echo '{joining}'; done"));
    let mut bot = bench.launch().await;
    bot.begin_stop(LEAVE, Duration::from_millis(50)).await;
    assert_ne!(wait(&mut bot).await.by, EndedBy::Itself);
    bench.assert_nothing_left(bot.pid());
}

#[tokio::test]
async fn malformed_lines_are_not_fatal() {
    let bench = Bench::new(
        r#"echo hello; echo '{"report":"no such"}'; printf '\xff\xfe\n\n'; READY; echo '{'; echo '{"report":"joining","at":5}'"#,
    );
    let mut bot = bench.launch().await;
    assert!(matches!(next(&mut bot).await, Some(Report::Joining { .. })));
    assert_eq!(next(&mut bot).await, None);
    assert_eq!(wait(&mut bot).await.by, EndedBy::Itself);
    bench.assert_nothing_left(bot.pid());
}

#[tokio::test]
async fn dying_before_ready_says_how() {
    let bench = Bench::new("echo 'no browser here' >&2; sleep 1000 & exit 7");
    match bench.launcher.launch(&spec()).await {
        Err(error @ LaunchError::Died { status, .. }) => {
            // The child it left holds the output open, so the launch may have had to kill; the status is the bot's own.
            assert_eq!(status.and_then(|s| s.code()), Some(7), "{error}");
            assert!(error.to_string().contains("no browser here"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    bench.assert_nothing_left(0x7fff_ffff);
}

#[tokio::test]
async fn hanging_before_ready_is_killed_in_time() {
    let mut bench = Bench::new("echo 'thinking' >&2; sleep 1000 & trap '' TERM; wait");
    bench.launcher.launch_deadline = Duration::from_millis(500);
    match bench.launcher.launch(&spec()).await {
        Err(error @ LaunchError::NotReady { .. }) => assert!(error.to_string().contains("thinking"), "{error}"),
        other => panic!("{other:?}"),
    }
    bench.assert_nothing_left(0x7fff_ffff);
}

#[tokio::test]
async fn a_program_that_is_not_there_leaves_no_directory() {
    let mut bench = Bench::new("");
    bench.launcher.program = "/nonexistent/muster".into();
    assert!(matches!(bench.launcher.launch(&spec()).await, Err(LaunchError::Spawn { .. })));
    bench.assert_nothing_left(0x7fff_ffff);
}

#[tokio::test]
async fn one_that_closes_its_output_is_ended() {
    let bench = Bench::new("READY; exec >&-; exec sleep 1000");
    let mut bot = bench.launch().await;
    assert_eq!(next(&mut bot).await, None);
    assert_eq!(wait(&mut bot).await.by, EndedBy::Terminate);
    bench.assert_nothing_left(bot.pid());
}

#[tokio::test]
async fn dropping_the_handle_kills() {
    let bench = Bench::new("READY; sleep 1000 & exec sleep 1000");
    let bot = bench.launch().await;
    let group = bot.pid();
    let mut exit = bot.exit_watch();
    drop(bot);
    tokio::time::timeout(PATIENCE, exit.wait_for(Option::is_some)).await.unwrap().unwrap();
    bench.assert_nothing_left(group);
}

#[test]
fn the_end_of_the_runtime_kills() {
    let bench = Bench::new("READY; sleep 1000 & exec sleep 1000");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bot = runtime.block_on(bench.launch());
    let group = bot.pid();
    drop(runtime);
    bench.assert_nothing_left(group);
}

#[tokio::test]
async fn the_environment_is_minimal_and_files_are_the_bots_own() {
    let bench = Bench::new(
        r#"READY; touch "$TMPDIR/file"
        printf '{"report":"note","at":1,"level":"info","text":"%s|%s"}\n' "$(env | cut -d= -f1 | sort | xargs)" "$TMPDIR"
        read -r x; read -r command"#,
    );
    let mut bot = bench.launch().await;
    let said = note(&mut bot).await;
    let (names, dir) = said.split_once('|').unwrap();
    let allowed =
        ["HOME", "LANG", "MUSTER_BOT_ID", "PATH", "PWD", "RUST_BACKTRACE", "RUST_LOG", "SHLVL", "TMPDIR", "TZ", "_"];
    assert!(names.split(' ').all(|name| allowed.contains(&name) || name.starts_with("SSL_")), "{names}");
    assert!(Path::new(dir).starts_with(bench.state.path()) && Path::new(dir).join("file").exists(), "{dir}");
    let usage = bot.usage().await.unwrap();
    assert!(usage.processes >= 1 && usage.pss_bytes > 0, "{usage:?}");
    bot.stop(LEAVE, PATIENCE).await;
    assert!(!Path::new(dir).exists());
}

#[tokio::test]
async fn strays_of_a_dead_supervisor_are_swept() {
    let bench = Bench::new("READY; setsid sleep 1000 & sleep 1000");
    let bot = bench.launch().await;
    let group = bot.pid();
    // A supervisor that was killed takes no leave: its handles are never dropped.
    let supervisor = std::mem::ManuallyDrop::new(bot);
    let swept = sweep_strays(bench.state.path()).await.unwrap();
    assert_eq!(swept, 1);
    assert!(living(bench.state.path(), group).is_empty());
    let mut exit = supervisor.exit_watch();
    tokio::time::timeout(PATIENCE, exit.wait_for(Option::is_some)).await.unwrap().unwrap();
    bench.assert_nothing_left(group);
    assert_eq!(sweep_strays(bench.state.path()).await.unwrap(), 0);
    assert_eq!(sweep_strays(&bench.state.path().join("none")).await.unwrap(), 0);
}

#[tokio::test]
async fn the_sweep_leaves_strangers_alone() {
    let bench = Bench::new("");
    let foreign = bench.state.path().join("not-a-bot");
    std::fs::create_dir(&foreign).unwrap();
    // A bot's directory whose recorded process number belongs to somebody else by now: this test.
    let stale = bench.state.path().join(format!("{}.0123456789ab", spec().bot));
    std::fs::create_dir(&stale).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mut stranger =
        tokio::process::Command::new("sleep").arg("1000").process_group(0).kill_on_drop(true).spawn().unwrap();
    let record = serde_json::json!({"pid": stranger.id(), "start": 1, "boot": boot.trim()});
    std::fs::write(stale.join("process.json"), record.to_string()).unwrap();
    assert_eq!(sweep_strays(bench.state.path()).await.unwrap(), 1);
    assert_eq!(stranger.try_wait().unwrap(), None, "a stranger was killed");
    assert!(foreign.exists() && !stale.exists());
}

#[tokio::test]
async fn a_meter_sees_memory_and_time_of_all_processes_and_the_kernel_takes_a_bot_first() {
    // 64 MB in a child that has left the group.
    let bench = Bench::new(
        r#"read -r spec; setsid bash -c 'read -r score < /proc/self/oom_score_adj; sleep 600 & data=$(head -c 64000000 /dev/zero | tr "\0" x); echo "{\"report\":\"note\",\"at\":1,\"level\":\"info\",\"text\":\"$score\"}"; wait' & READY; wait"#,
    );
    let mut bot = bench.launch().await;
    let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    assert!(note(&mut bot).await.parse::<i32>().unwrap() > own);
    let mut meter = bot.meter();
    let usage = tokio::task::spawn_blocking(move || meter.read(&muster_runtime::ProcessTable::read())).await.unwrap();
    assert!(usage.pss_bytes > 60_000_000 && usage.cpu_time > Duration::ZERO, "{usage:?}");
    bot.kill().await;
    assert_eq!(wait(&mut bot).await.out_of_memory, None);
    bench.assert_nothing_left(bot.pid());
}
