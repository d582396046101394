//! Directories of workers.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A worker's directory: used again after its end, so that what a worker left behind that was killed is cleared away.
#[derive(Debug)]
pub(super) struct Place {
    /// From 1.
    pub(super) number: u32,
    pub(super) directory: PathBuf,
}

impl Place {
    /// The first that is not `taken` and that no other process uses. Made if it is not there.
    pub(super) fn free(above: &Path, taken: impl Fn(u32) -> bool) -> anyhow::Result<Self> {
        for number in (1..).filter(|number| !taken(*number)) {
            let directory = above.join(number.to_string());
            std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
            if is_free(&directory).with_context(|| format!("looking at {}", directory.display()))? {
                return Ok(Self { number, directory });
            }
        }
        anyhow::bail!("every directory below {} is in use", above.display())
    }

    /// What the worker logs.
    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("worker.log")
    }
}

/// A worker locks this file as long as it runs.
fn is_free(directory: &Path) -> std::io::Result<bool> {
    let file = File::options().write(true).create(true).truncate(false).open(directory.join("bots.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_by_one_and_again_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Place::free(dir.path(), |_| false).unwrap();
        assert_eq!((first.number, first.log()), (1, dir.path().join("1/worker.log")));
        let used = File::options().write(true).open(first.directory.join("bots.lock")).unwrap();
        used.lock().unwrap();
        assert_eq!(Place::free(dir.path(), |_| false).unwrap().number, 2, "a worker of an earlier run is there");
        assert_eq!(Place::free(dir.path(), |number| number == 2).unwrap().number, 3);
        drop(used);
        assert_eq!(Place::free(dir.path(), |_| false).unwrap().number, 1);
    }
}
