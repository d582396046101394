//! What is for `kind = "redis"`.

use muster_redis::Settings;

use super::Keys;
use crate::config::reader::Reader;

const SCHEMES: [&str; 2] = ["redis", "rediss"];

/// Where the server is, and what it may be like.
pub(super) struct Server {
    url: String,
    allow_volatile: bool,
}

impl Server {
    pub(super) fn with_prefix(self, prefix: String) -> Settings {
        Settings { url: self.url, prefix, allow_volatile: self.allow_volatile }
    }
}

/// Reads the keys; given for another kind, they are mistakes.
pub(super) fn read(r: &mut Reader<'_>, kind: &str, keys: &Keys) -> Server {
    let url = r.address(
        keys.url,
        "For `redis`, which needs it: redis://[user[:password]@]host[:port][/database], or rediss:// for TLS.",
        &SCHEMES,
    );
    let volatile = r.bool_opt(
        keys.allow_volatile,
        "For `redis`: take a server that may lose acknowledged writes at any time. Default: false.",
    );
    keys.only_for(r, kind, &["redis"], &[keys.url, keys.allow_volatile]);
    if kind == "redis" && url.is_none() && !r.is_given(keys.url) {
        r.problem(format!("{}: is needed when {} is \"redis\", such as redis://127.0.0.1:6379", keys.url, keys.kind));
    }
    Server { url: url.unwrap_or_default(), allow_volatile: volatile.unwrap_or(false) }
}
