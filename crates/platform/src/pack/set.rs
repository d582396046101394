//! All packs that a process knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Pack, PackError};

const BUILTIN: [(&str, &str); 4] = [
    ("google_meet.toml", include_str!("../../packs/google_meet.toml")),
    ("sandbox.toml", include_str!("../../packs/sandbox.toml")),
    ("teams.toml", include_str!("../../packs/teams.toml")),
    ("zoom.toml", include_str!("../../packs/zoom.toml")),
];

/// A directory of packs that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A directory or file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no valid pack.
    #[error("{}: {source}", path.display())]
    Pack {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: PackError,
    },
    /// Two files of the directory have one id.
    #[error("{} and {}: both have the id \"{id}\"", first.display(), second.display())]
    Twice {
        /// The id.
        id: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    pack: Arc<Pack>,
    source: Arc<str>,
}

/// The known packs, each with its source.
#[derive(Clone, Debug, Default)]
pub struct Packs {
    /// By id; an operator's own packs are asked about links before the built-in ones.
    own: BTreeMap<String, Entry>,
    builtin: BTreeMap<String, Entry>,
}

impl Packs {
    /// The packs that are part of the program.
    #[must_use]
    pub fn builtin() -> Self {
        let mut packs = Self::default();
        for (name, source) in BUILTIN {
            let pack = Pack::parse(source).unwrap_or_else(|error| unreachable!("a test parses {name}: {error}"));
            packs.builtin.insert(pack.id().to_owned(), Entry { pack: Arc::new(pack), source: source.into() });
        }
        packs
    }

    /// Leaves a built-in pack out; its links are not understood then.
    pub fn forget(&mut self, id: &str) {
        self.builtin.remove(id);
    }

    /// Adds every `*.toml` of a directory. A pack with the id of a built-in one replaces it. Nothing is added if one
    /// of them is wrong.
    ///
    /// # Errors
    ///
    /// [`LoadError`], which names the file and the key.
    pub fn load_dir(&mut self, dir: &Path) -> Result<(), LoadError> {
        let read = |path: &Path, source| LoadError::Read { path: path.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(|error| read(dir, error))? {
            let path = entry.map_err(|error| read(dir, error))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut found: BTreeMap<String, (PathBuf, Entry)> = BTreeMap::new();
        for path in paths {
            let source = std::fs::read_to_string(&path).map_err(|error| read(&path, error))?;
            let pack = Pack::parse(&source).map_err(|source| LoadError::Pack { path: path.clone(), source })?;
            let id = pack.id().to_owned();
            if let Some((first, _)) = found.get(&id) {
                return Err(LoadError::Twice { id, first: first.clone(), second: path });
            }
            found.insert(id, (path, Entry { pack: Arc::new(pack), source: source.into() }));
        }
        self.own.extend(found.into_iter().map(|(id, (_, entry))| (id, entry)));
        Ok(())
    }

    /// The TOML text of a pack, which a bot process is given.
    #[must_use]
    pub fn source(&self, id: &str) -> Option<&str> {
        self.entry(id).map(|entry| &*entry.source)
    }

    /// The pack with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Pack>> {
        self.entry(id).map(|entry| &entry.pack)
    }

    /// Every pack, in the order in which they are asked about a link.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pack>> {
        let builtin = self.builtin.iter().filter(|(id, _)| !self.own.contains_key(*id));
        self.own.iter().chain(builtin).map(|(_, entry)| &entry.pack)
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.own.get(id).or_else(|| self.builtin.get(id))
    }
}
