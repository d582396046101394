use muster_session::TenantId;
use rusqlite::types::Value;

/// Conditions of a selection, and the values of their parameters.
pub(super) struct Conditions {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Conditions {
    /// Only what is a tenant's.
    pub(super) fn of(tenant: &TenantId) -> Self {
        Self { sql: "tenant = ?1".to_owned(), values: vec![tenant.as_str().to_owned().into()] }
    }

    /// One more; it has a `#` in the place of each value.
    pub(super) fn require<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        self.sql.push_str(" AND ");
        let mut parts = condition.split('#');
        self.sql.push_str(parts.next().unwrap_or_default());
        for (part, value) in parts.zip(values) {
            self.values.push(value);
            self.sql.push('?');
            self.sql.push_str(&self.values.len().to_string());
            self.sql.push_str(part);
        }
    }
}
