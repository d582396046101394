//! The directory of a demo: what it leaves behind can be looked at until the next one.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A directory with a lock on it.
#[derive(Debug)]
pub(crate) struct Workplace {
    dir: PathBuf,
    _lock: File,
}

impl Workplace {
    /// `name` in the demo's directory. With `fresh` everything of the run before is removed.
    pub(crate) fn open(name: &str, fresh: bool) -> anyhow::Result<Self> {
        Self::open_in(&root()?, name, fresh)
    }

    fn open_in(root: &Path, name: &str, fresh: bool) -> anyhow::Result<Self> {
        let dir = root.join(name);
        std::fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
        let lock_path = root.join(format!("{name}.lock"));
        let lock = File::create(&lock_path).with_context(|| format!("making {}", lock_path.display()))?;
        if lock.try_lock().is_err() {
            bail!("another one is running in {}; set MUSTER_DEMO_DIR to run a second", dir.display());
        }
        if fresh && dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        }
        std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("finding {}", dir.display()))?;
        Ok(Self { dir, _lock: lock })
    }

    /// Absolute.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// `MUSTER_DEMO_DIR`, or `demo` above the directory of this program: `target/demo`.
fn root() -> anyhow::Result<PathBuf> {
    if let Some(dir) = std::env::var_os("MUSTER_DEMO_DIR").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let program = std::env::current_exe().context("the path of this program")?;
    let above = program.parent().and_then(Path::parent).context("this program has no directory above its own")?;
    Ok(above.join("demo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_a_fresh_one_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let first = Workplace::open_in(root.path(), "run", true).unwrap();
        std::fs::write(first.path("server.log"), "x").unwrap();
        let error = Workplace::open_in(root.path(), "run", true).unwrap_err();
        assert!(error.to_string().contains("another one is running"), "{error}");
        drop(first);
        assert!(Workplace::open_in(root.path(), "run", false).unwrap().path("server.log").exists());
        assert!(!Workplace::open_in(root.path(), "run", true).unwrap().path("server.log").exists());
    }
}
