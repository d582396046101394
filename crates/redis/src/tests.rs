use std::net::TcpListener;

use redis::cmd;

use crate::testing::{Prefix, Server};
use crate::{Link, OpenError, Settings, inspect, open};

const KEY: &str = "{muster}:schema";

/// Opening and looking, which have to say the same; answers what they say.
async fn refused(settings: &Settings) -> OpenError {
    let opened = open(settings, "store", KEY, 1).await.unwrap_err();
    let inspected = inspect(settings, "store", KEY, 1).await.unwrap_err();
    assert_eq!(opened.to_string(), inspected.to_string());
    opened
}

fn as_user(settings: &Settings, user: &str) -> Settings {
    let url = settings.url.replace("redis://", &format!("redis://{user}:s3cret@"));
    Settings { url, ..settings.clone() }
}

#[tokio::test]
async fn nobody_there_and_nobody_who_answers_are_out_of_reach() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [&gone, &silent].map(|listener| listener.local_addr().unwrap());
    drop(gone);
    for address in addresses {
        let url = format!("redis://:s3cret@{address}");
        let error = refused(&Settings { url, prefix: "muster".into(), allow_volatile: true }).await;
        assert!(matches!(&error, OpenError::Unreachable { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("store.url: redis at {address} is out of reach"));
    }
}

#[tokio::test]
async fn users_without_the_rights_are_told_what_they_need() {
    let Some(server) = Server::start() else { return };
    let mut connection = server.connection();
    for (user, rights) in [
        ("enough", &["~{muster*", "+@all", "-@dangerous", "+info", "+config|get"][..]),
        ("other-keys", &["~{other*", "+@all"]),
        ("no-scripts", &["~*", "+@all", "-@scripting"]),
        ("reader", &["~*", "+@read", "+info", "+time", "+eval", "+evalsha", "+script"]),
    ] {
        let mut set = cmd("ACL");
        set.arg("SETUSER").arg(user).arg("on").arg(">s3cret").arg(rights).exec(&mut connection).unwrap();
    }
    let settings = server.settings();
    for user in ["other-keys", "no-scripts", "reader", "stranger"] {
        let error = open(&as_user(&settings, user), "store", KEY, 1).await.unwrap_err();
        assert!(matches!(&error, OpenError::Denied { .. }), "{user}: {error:?}");
        let text = error.to_string();
        assert!(text.starts_with("store.url: ") && text.contains("needs ~{muster* +@all"), "{text}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
    cmd("ACL").arg("SETUSER").arg("default").arg(">s3cret").arg("resetpass").exec(&mut connection).unwrap();
    assert!(matches!(refused(&settings).await, OpenError::Denied { .. }), "it did not say who it is");
    let keys: Vec<String> = cmd("KEYS").arg("*").query(&mut connection).unwrap();
    assert_eq!(keys, Vec::<String>::new(), "nobody has written anything");
    open(&as_user(&settings, "enough"), "store", KEY, 1).await.unwrap();
}

#[tokio::test]
async fn a_replica_is_refused_and_a_look_leaves_nothing_behind() {
    let Some(server) = Server::start() else { return };
    let mut connection = server.connection();
    let seen = inspect(&server.settings(), "store", KEY, 1).await.unwrap();
    assert_eq!((seen.appendonly, seen.appendfsync.as_deref(), seen.has_data), (Some(true), Some("always"), false));
    assert!(seen.clock_ahead_ms.abs() < 1_000 && !seen.version.is_empty(), "{seen:?}");
    assert_eq!(cmd("DBSIZE").query::<u64>(&mut connection).unwrap(), 0);
    cmd("REPLICAOF").arg("127.0.0.1").arg(1).exec(&mut connection).unwrap();
    let error = open(&server.settings(), "store", KEY, 1).await.unwrap_err();
    assert!(matches!(&error, OpenError::Refused { .. }), "{error:?}");
    cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut connection).unwrap();
    open(&server.settings(), "store", KEY, 1).await.unwrap();
    assert!(inspect(&server.settings(), "store", KEY, 1).await.unwrap().has_data);
}

#[tokio::test]
async fn another_schema_is_refused_and_so_is_a_key_that_is_none() {
    let Some(prefix) = Prefix::new() else { return };
    let key = format!("{{{}}}:schema", prefix.settings().prefix);
    for found in ["0", "2", "x"] {
        cmd("SET").arg(&key).arg(found).exec(&mut prefix.connection()).unwrap();
        let opened = open(prefix.settings(), "store", &key, 1).await.unwrap_err();
        let inspected = inspect(prefix.settings(), "store", &key, 1).await.unwrap_err();
        for error in [opened, inspected] {
            assert!(error.to_string().starts_with("store.prefix: the data under this prefix has schema"), "{error}");
        }
    }
    cmd("DEL").arg(&key).exec(&mut prefix.connection()).unwrap();
    cmd("RPUSH").arg(&key).arg("x").exec(&mut prefix.connection()).unwrap();
    let error = open(prefix.settings(), "store", &key, 1).await.unwrap_err();
    assert!(matches!(&error, OpenError::Refused { .. }), "{error:?}");
    assert_eq!(prefix.keys(), [key]);
}

#[tokio::test]
async fn the_difference_of_clocks_is_measured() {
    let Some(prefix) = Prefix::new() else { return };
    let link = Link::new(&prefix.settings().url).unwrap();
    let ours = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_millis()).unwrap()
    };
    for off in [-600_000, 0, 5_000] {
        let ahead = link.ahead_ms_of(|| ours() + off).await.unwrap();
        assert!((ahead - off).abs() < 1_000, "{ahead} for {off}");
    }
}
