//! Where a voter's promises and its roll survive a restart: the trait.

use crate::proto::{Restored, StoreWrite};
use std::fmt;

/// Why a store can't be used.
#[derive(Debug)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// Durable memory of a voter.
pub trait Store {
    /// What was written before; nothing where it is new.
    ///
    /// # Errors
    /// Where it can't be read.
    fn load(&mut self) -> Result<Option<Restored>, StoreError>;

    /// Makes these records durable before it returns.
    ///
    /// # Errors
    /// Where it can't.
    fn write(&mut self, write: &StoreWrite) -> Result<(), StoreError>;
}
