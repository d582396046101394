//! Documents of the store that several processes add to.

use muster_store::{Document, SessionStore, StoreError};
use serde::Serialize;

/// Changes what a document says, and answers what it says then. When somebody else wrote meanwhile it is read and changed again,
/// `tries` times in all. One that is not there begins as the default.
pub(super) async fn amend<T: Default + Serialize>(
    store: &dyn SessionStore,
    name: &str,
    tries: u32,
    read: impl Fn(&Document) -> T,
    mut change: impl FnMut(&mut T),
) -> Result<T, StoreError> {
    let mut left = tries;
    loop {
        let known = store.document(name).await?;
        let mut content = known.as_ref().map(&read).unwrap_or_default();
        change(&mut content);
        let body = serde_json::json!(content);
        let document = Document { name: name.to_owned(), version: known.map_or(0, |known| known.version), body };
        left = left.saturating_sub(1);
        match store.put_document(document).await {
            Err(StoreError::Conflict) if left > 0 => {}
            written => return written.map(|_| content),
        }
    }
}
