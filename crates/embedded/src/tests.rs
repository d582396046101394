use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use rusqlite::Connection;

use super::{BATCH_MAX, Database, Durability, Error, OpenError, SchemaVersion, schema_version};

const SCHEMA: &[&str] = &["CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT"];

fn open(dir: &Path) -> Database {
    Database::open(&dir.join("test.db"), Durability::Normal, SCHEMA).unwrap()
}

fn add(connection: &Connection, name: &str) -> Result<(), Error> {
    connection.execute("INSERT INTO item (name) VALUES (?1)", [name])?;
    Ok(())
}

async fn names(database: &Database) -> Vec<String> {
    database
        .read(|connection| -> Result<Vec<String>, Error> {
            let mut statement = connection.prepare_cached("SELECT name FROM item ORDER BY id")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap()
}

/// Holds the writer until the answer is dropped, so that what is handed over meanwhile is one batch.
fn hold(database: &Database) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (began, beginning) = mpsc::channel();
    database.submit(move |_| {
        began.send(()).unwrap();
        let _ = held.recv();
        Ok(())
    });
    beginning.recv().unwrap();
    release
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_sees_every_write_answered_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    for i in 0..50 {
        database.write(move |c| add(c, &i.to_string())).await.unwrap();
        assert_eq!(names(&database).await.len(), i + 1);
    }
}

/// The log is moved into the file while it is open, and not only when it is closed.
#[tokio::test]
async fn what_was_committed_gets_into_the_file_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    let size = || std::fs::metadata(database.path()).unwrap().len();
    let empty = size();
    let many = |c: &Connection| (0..5_000).try_for_each(|i| add(c, &i.to_string()));
    database.write(many).await.unwrap();
    while size() == empty {
        tokio::task::yield_now().await;
    }
    assert_eq!(names(&database).await.len(), 5_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_and_panicking_neighbours_spoil_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    let release = hold(&database);
    let first = database.write(|c| add(c, "first"));
    let failing = database.write(|c| {
        add(c, "half")?;
        add(c, "first")
    });
    let panicking = database.write(|c| -> Result<(), Error> {
        add(c, "half too")?;
        panic!("as the test wants it");
    });
    let last = database.write(|c| add(c, "last"));
    let (first, failing, panicking, last, ()) =
        tokio::join!(biased; first, failing, panicking, last, async { drop(release) });
    first.unwrap();
    assert!(matches!(failing, Err(Error::Sqlite(_))), "{failing:?}");
    assert!(matches!(panicking, Err(Error::Panicked)), "{panicking:?}");
    last.unwrap();
    assert_eq!(names(&database).await, ["first", "last"]);
}

#[tokio::test]
async fn what_waits_is_committed_together_up_to_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    let release = hold(&database);
    let (sender, seen) = mpsc::channel();
    // The one that holds the writer is a batch of its own.
    for i in 0..BATCH_MAX + 10 {
        let sender = sender.clone();
        database.submit(move |c| {
            c.execute("INSERT INTO item (name) VALUES (?1)", [i.to_string()])?;
            // What another connection sees was committed by an earlier batch.
            let other = Connection::open(c.path().unwrap())?;
            sender.send(other.query_row("SELECT count(*) FROM item", [], |row| row.get::<_, i64>(0))?).unwrap();
            Ok(())
        });
    }
    drop((release, sender));
    let seen: Vec<i64> = seen.iter().collect();
    let batch = i64::try_from(BATCH_MAX).unwrap();
    assert_eq!(seen.iter().filter(|n| **n == 0).count(), BATCH_MAX, "first batch: {seen:?}");
    assert_eq!(seen.iter().filter(|n| **n == batch).count(), 10, "second batch: {seen:?}");
}

#[tokio::test]
async fn a_write_given_up_before_its_turn_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    let release = hold(&database);
    {
        let write = database.write(|c| add(c, "given up"));
        tokio::pin!(write);
        tokio::select! {
            biased;
            _ = &mut write => panic!("the writer is held"),
            () = std::future::ready(()) => {}
        }
    }
    drop(release);
    database.write(|c| add(c, "wanted")).await.unwrap();
    assert_eq!(names(&database).await, ["wanted"]);
}

#[tokio::test]
async fn a_second_opener_is_told_who_has_it_and_a_reopening_finds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    database.write(|c| add(c, "kept")).await.unwrap();
    let refused = Database::open(database.path(), Durability::Normal, SCHEMA).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    assert!(refused.to_string().contains("this process already"), "{refused}");
    // Handed over and not waited for: closing finishes it.
    database.submit(|c| c.execute("INSERT INTO item (name) VALUES ('late')", []).map(drop));
    drop(database);
    assert_eq!(names(&open(dir.path())).await, ["kept", "late"]);
}

#[tokio::test]
async fn schemas_move_on_step_by_step_and_never_back() {
    const NEXT: &[&str] = &[SCHEMA[0], "ALTER TABLE item ADD COLUMN size INTEGER NOT NULL DEFAULT 7"];
    const BROKEN: &[&str] = &[SCHEMA[0], NEXT[1], "CREATE TABLE other (a) ; CREATE TABLE nonsense ("];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let database = open(dir.path());
    database.write(|c| add(c, "old")).await.unwrap();
    drop(database);
    let broken = Database::open(&path, Durability::Normal, BROKEN).unwrap_err();
    assert!(matches!(broken, OpenError::Migration { version: 3, .. }), "{broken:?}");
    let database = Database::open(&path, Durability::Full, NEXT).unwrap();
    let count = |sql: &'static str| {
        database.read(move |c| -> Result<i64, Error> { Ok(c.query_row(sql, [], |row| row.get(0))?) })
    };
    assert_eq!(count("SELECT size FROM item").await.unwrap(), 7);
    assert_eq!(count("SELECT count(*) FROM sqlite_schema WHERE name = 'other'").await.unwrap(), 0);
    let version = schema_version(&path, BROKEN).unwrap();
    assert_eq!(version, Some(SchemaVersion { found: 2, known: 3 }), "while it is in use");
    drop(database);
    assert!(matches!(schema_version(&path, SCHEMA), Err(OpenError::TooNew { found: 2, known: 1, .. })));
    assert_eq!(schema_version(&dir.path().join("none.db"), SCHEMA).unwrap(), None);
    let older = Database::open(&path, Durability::Normal, SCHEMA).unwrap_err();
    assert!(matches!(older, OpenError::TooNew { found: 2, known: 1, .. }), "{older:?}");
}

#[test]
fn what_is_not_a_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    std::fs::write(&path, "this is not a database, however long one looks at it".repeat(100)).unwrap();
    let refused = Database::open(&path, Durability::Full, SCHEMA).unwrap_err();
    assert!(matches!(refused, OpenError::Sqlite { .. }), "{refused:?}");
}

#[tokio::test]
async fn readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    let refused = database.read(|c| add(c, "x")).await;
    assert!(matches!(refused, Err(Error::Sqlite(_))), "{refused:?}");
}

/// Names the directory to a copy of this test program that is to be killed.
const CHILD_DIR: &str = "MUSTER_EMBEDDED_CHILD_DIR";

/// Not a test of its own: the part of the killed process below. Without its variable it does nothing.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let database = Database::open(&Path::new(&dir).join("test.db"), Durability::Full, SCHEMA).unwrap();
    for i in 0u64.. {
        database.write(move |c| add(c, &i.to_string())).await.unwrap();
        // Not println!, which the test harness would keep to itself.
        use std::io::Write;
        writeln!(std::io::stderr(), "acknowledged {i}").unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    use std::io::BufRead;
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::child_that_writes_until_it_is_killed", "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line == "acknowledged 100"));
    let refused = Database::open(&dir.path().join("test.db"), Durability::Full, SCHEMA).unwrap_err();
    assert!(refused.to_string().contains(&format!("pid {}", child.id())), "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
    let acknowledged = lines.filter(|line| line.starts_with("acknowledged ")).count() + 101;
    let database = open(dir.path());
    let kept = names(&database).await;
    assert!(kept.len() >= acknowledged, "{} kept, {acknowledged} acknowledged", kept.len());
    let check =
        |c: &Connection| -> Result<String, Error> { Ok(c.query_row("PRAGMA integrity_check", [], |row| row.get(0))?) };
    assert_eq!(database.read(check).await.unwrap(), "ok");
}
