//! Which lanes can be read one after the other.

use super::region::Input;
use crate::plan::{PipelineId, Program, Scope, Source};

/// Whether the lanes of a pipeline do not wait for each other to be read.
pub(super) fn independent(program: &Program, inputs: &[Input], id: PipelineId) -> bool {
    let all = |ids: &[PipelineId]| ids.iter().all(|&id| independent(program, inputs, id));
    match &program.pipelines[id].source {
        Source::Input(input) => inputs[*input].children().is_empty(),
        Source::Scan(..) | Source::Sealed(_, Scope::Shared) | Source::Groups(..) => true,
        Source::Sealed(of, Scope::PerLane) | Source::Lift(of, _) => {
            independent(program, inputs, *of)
        }
        Source::Lanes(ids) | Source::Zip(ids) => all(ids),
        Source::Merge(..) | Source::Exchange(_) | Source::Share(_) | Source::Fetched(..) => false,
    }
}
