//! A device's morsel that does not go back as it is: it goes through the joins behind the scan, or into groups, or
//! both.

use super::chain::{Came, Uploaded};
use super::device::{DeviceLane, Finished, Queued};
use super::grouping::Entering;
use super::riding::Made;

impl DeviceLane {
    /// Joins or groups a morsel, once it is known that it may be believed.
    pub(super) async fn stay(&mut self, queued: Queued) -> Finished {
        let Queued { file, group, rows, decoded, slot, count, entering, timer, began, .. } = queued;
        let known = self.rows(&decoded, slot, count, rows).await;
        let (Ok(rows), Some(columns)) = (known, entering) else {
            self.on.metrics.record(&self.on.lane.counters.snapshot());
            self.on.metrics.failed_morsels.add(1);
            return Finished::Undone(file, group);
        };
        if let Some(timer) = timer {
            // Both marks were passed; the time goes to the lane's counters.
            drop(timer.elapsed_ns());
        }
        self.on.metrics.morsels.add(1);
        let joined = file.device_plan().ok().and_then(|plan| plan.joined.clone());
        let work = (file, group);
        let came = match joined {
            Some(joined) => {
                let entering = Uploaded { columns, rows, sources: &decoded.columns };
                self.on.join(&joined, entering, work).await
            }
            None => self.on.group(Entering { columns, rows, passed: None, work }).await,
        };
        self.on.metrics.record(&self.on.lane.counters.snapshot());
        self.on.metrics.morsel_time.add_duration(began.elapsed());
        match came {
            Came::Rows(rows) => Finished::Joined(rows.into_iter().map(Made::of).collect()),
            Came::Grouped(outcome) => Finished::Grouped(outcome),
            Came::Undone((file, group)) => Finished::Undone(file, group),
        }
    }
}
