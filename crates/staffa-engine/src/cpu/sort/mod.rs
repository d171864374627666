//! SortSink
use crate::RunContext;
use crate::engine::*;
use crate::plan::*;
use async_trait::async_trait;
use datafusion_common::{Result, not_impl_err};
use std::sync::Arc;
/// x
pub struct SortSink;
impl SortSink {
    /// x
    /// # Errors
    /// x
    pub fn new(_: &Arc<SortSpec>, _: &Pipeline, _: &Arc<RunContext>) -> Result<Self> {
        Ok(Self)
    }
}
#[async_trait]
impl Sink for SortSink {
    fn local(&self, _: usize) -> Result<Box<dyn SinkLocal>> {
        not_impl_err!("sink")
    }
    async fn seal(&self, _: Vec<Box<dyn SinkLocal>>) -> Result<Arc<dyn Sealed>> {
        not_impl_err!("sink")
    }
}
