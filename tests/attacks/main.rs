//! What a review found by attacking the core, each kept as a test.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node;
mod rig;
mod world;
