//! `convoke sim`: the deterministic simulator.

use crate::Failure;
use crate::options::SimOptions;

pub(crate) fn run(options: &SimOptions) -> Result<(), Failure> {
    let _ = options;
    Err(Failure::usage("not yet: convoke sim"))
}
