//! What is said of real servers, and how a link lives with them. Needs `redis-server`, as [`testing`] says.
//!
//! [`testing`]: muster_redis::testing

use muster_redis::testing::Server;
use muster_redis::{Link, OpenError, Opened, Settings, cmd};

async fn open(settings: &Settings) -> Result<Opened, OpenError> {
    muster_redis::open(settings, "test", "{muster}:schema", 1).await
}

#[tokio::test]
async fn a_server_that_forgets_is_refused_and_one_that_may_is_named() {
    let Some(server) = Server::start() else { return };
    let mut connection = server.connection();
    let mut set =
        |name: &str, value: &str| cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut connection).unwrap();
    assert!(open(&server.settings()).await.unwrap().warnings.is_empty());
    set("appendfsync", "everysec");
    assert!(open(&server.settings()).await.unwrap().warnings[0].contains("up to 1 s"));
    set("appendonly", "no");
    let refused = open(&server.settings()).await.unwrap_err();
    assert!(matches!(&refused, OpenError::Volatile { detail, .. } if detail.contains("appendonly no")), "{refused}");
    let allowed = open(&Settings { allow_volatile: true, ..server.settings() }).await.unwrap();
    assert!(allowed.warnings[0].contains("appendonly no"), "{allowed:?}");
    set("appendonly", "yes");
    set("maxmemory", "1gb");
    set("maxmemory-policy", "allkeys-lru");
    let refused = open(&server.settings()).await.unwrap_err();
    assert!(matches!(&refused, OpenError::Volatile { detail, .. } if detail.contains("allkeys-lru")), "{refused}");
    set("maxmemory-policy", "volatile-lru");
    open(&server.settings()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_tell_everybody_is_used_with_a_warning() {
    let Some(server) = Server::start() else { return };
    let mut connection = server.connection();
    let mut user = |name: &str, forbidden: &[&str]| {
        cmd("ACL")
            .arg("SETUSER")
            .arg(name)
            .arg("on")
            .arg(">pass")
            .arg("~{muster*")
            .arg("+@all")
            .arg(forbidden)
            .exec(&mut connection)
            .unwrap();
        Settings { url: server.settings().url.replace("//", &format!("//{name}:pass@")), ..server.settings() }
    };
    let no_config = user("a", &["-config"]);
    assert!(open(&no_config).await.unwrap().warnings[0].contains("appendfsync"));
    let no_info = user("b", &["-config", "-info"]);
    assert!(open(&no_info).await.unwrap().warnings[0].contains("appendonly"));
    let wrong = Settings { url: no_info.url.replace("pass", "wrong"), ..no_info };
    let refused = open(&wrong).await.unwrap_err();
    assert!(matches!(refused, OpenError::Denied { .. }), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("wrong@"));
}

#[tokio::test]
async fn prefixes_that_would_break_keys_and_foreign_addresses_are_refused() {
    let settings = |url: &str, prefix: &str| Settings { url: url.into(), prefix: prefix.into(), allow_volatile: false };
    for prefix in ["", "a{b", "a b", "a:b", &"x".repeat(65)] {
        let refused = open(&settings("redis://127.0.0.1:1/", prefix)).await.unwrap_err();
        assert!(matches!(refused, OpenError::BadPrefix { .. }), "{prefix:?}: {refused}");
        assert!(refused.to_string().contains("test.prefix"), "{refused}");
    }
    let refused = open(&settings("http://127.0.0.1:1/", "muster")).await.unwrap_err();
    assert!(matches!(refused, OpenError::BadUrl { .. }), "{refused}");
}

#[tokio::test]
async fn a_connection_that_was_cut_is_made_again() {
    let Some(server) = Server::start() else { return };
    let link = Link::new(&server.settings().url).unwrap();
    for _ in 0..3 {
        let own: u64 = link.run(cmd("CLIENT").arg("ID")).await.unwrap();
        cmd("CLIENT").arg("KILL").arg("ID").arg(own).exec(&mut server.connection()).unwrap();
        // At most the command that meets the cut fails.
        let met: Result<u64, _> = link.run(cmd("CLIENT").arg("ID")).await;
        let now: u64 = link.run(cmd("CLIENT").arg("ID")).await.unwrap();
        assert!(now > own, "{met:?}");
    }
}
