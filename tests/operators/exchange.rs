//! Hash exchanges.

use staffa::{Device, StaffaConfig};
use staffa_testkit::contract;

use crate::hold_for_key_types;

#[test]
fn rows_go_where_datafusion_sends_them() {
    let config = StaffaConfig { min_rows: 0, device: Device::Cpu, ..StaffaConfig::default() };
    hold_for_key_types(async |key| contract::partitions_as_datafusion(&config, &key).await);
}
