//! One core against peers that are played by hand: its elections, and what reviews found by attacking it.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod electing;
mod node;
mod rig;
mod world;
