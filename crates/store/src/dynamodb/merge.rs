//! What is spread over shards, in one order again.

use std::collections::VecDeque;

use futures_util::future::try_join_all;

use super::item::{Item, text};
use super::table::{Select, Table};
use crate::StoreError;

/// Items of several selections, each in order, as one in order.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    table: &'a Table,
    /// The attribute that all are sorted by.
    by: &'static str,
    descending: bool,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    select: Select,
    read: VecDeque<(String, Item)>,
    /// None at the end.
    next: Option<Option<Item>>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        table: &'a Table,
        by: &'static str,
        descending: bool,
        selects: impl IntoIterator<Item = Select>,
    ) -> Self {
        let source = |select| Source { select, read: VecDeque::new(), next: Some(None) };
        Self { table, by, descending, sources: selects.into_iter().map(source).collect() }
    }

    /// The next item of all.
    pub(super) async fn next(&mut self) -> Result<Option<Item>, StoreError> {
        // Nothing can be said before every selection has said its next one.
        let (table, by) = (self.table, self.by);
        let reads: Vec<_> = self.sources.iter_mut().map(|source| source.fill(table, by)).collect();
        try_join_all(reads).await?;
        let heads = self.sources.iter_mut().filter(|source| !source.read.is_empty());
        let key = |source: &&mut Source| source.read.front().map(|(key, _)| key.clone());
        let first = if self.descending { heads.max_by_key(key) } else { heads.min_by_key(key) };
        Ok(first.and_then(|source| source.read.pop_front()).map(|(_, item)| item))
    }

    /// The next `count`, or as many as there are.
    pub(super) async fn take(&mut self, count: usize) -> Result<Vec<Item>, StoreError> {
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some(item) = self.next().await?
        {
            taken.push(item);
        }
        Ok(taken)
    }
}

impl Source {
    /// Reads on until there is something, or nothing more. A filter may leave nothing of a page.
    async fn fill(&mut self, table: &Table, by: &str) -> Result<(), StoreError> {
        while self.read.is_empty()
            && let Some(from) = self.next.take()
        {
            let (items, next) = table.page(&self.select, from).await?;
            self.next = next.map(Some);
            for item in items {
                self.read.push_back((text(&item, by)?.to_owned(), item));
            }
        }
        Ok(())
    }
}
