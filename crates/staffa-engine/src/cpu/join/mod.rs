//! BuildSink
use crate::RunContext;
use crate::engine::*;
use crate::plan::*;
use async_trait::async_trait;
use datafusion_common::{Result, not_impl_err};
use std::sync::Arc;
/// x
pub struct BuildSink;
impl BuildSink {
    /// x
    /// # Errors
    /// x
    pub fn new(_: &Arc<JoinSpec>, _: &Pipeline, _: &Arc<RunContext>) -> Result<Self> {
        Ok(Self)
    }
}
#[async_trait]
impl Sink for BuildSink {
    fn local(&self, _: usize) -> Result<Box<dyn SinkLocal>> {
        not_impl_err!("sink")
    }
    async fn seal(&self, _: Vec<Box<dyn SinkLocal>>) -> Result<Arc<dyn Sealed>> {
        not_impl_err!("sink")
    }
}
/// x
pub struct Probe;
impl Probe {
    /// x
    /// # Errors
    /// x
    pub fn new(_: &Arc<JoinSpec>, _: &Op, _: &Arc<RunContext>) -> Result<Self> {
        Ok(Self)
    }
}
impl OpFactory for Probe {
    fn lane(&self, _: Lane, _: Option<&Arc<dyn Sealed>>) -> Result<Box<dyn crate::LaneOp>> {
        not_impl_err!("probe")
    }
}
