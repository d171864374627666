//! Devices: opening, sharing, what is said where there is none.

mod common;

use staffa_common::FaultClass;
use staffa_cuda::{Capability, CudaError, Device, MINIMUM_DRIVER, Unavailable, probe};

#[test]
fn a_device_is_opened_once_and_shared() {
    let Some(gpu) = common::gpu() else { return };
    let again = Device::open(0).unwrap();
    gpu.device.counters().snapshot();
    assert!(std::sync::Arc::ptr_eq(gpu.device.total(), again.total()));
}

#[test]
fn limits_make_sense() {
    let Some(gpu) = common::gpu() else { return };
    let limits = gpu.device.limits();
    assert!(limits.capability >= Capability::OLDEST, "{limits:?}");
    assert_eq!(limits.warp_threads, 32);
    assert!(limits.block_threads >= 1024 && limits.multiprocessors > 0);
    assert!(limits.shared_optin_bytes >= limits.shared_bytes && limits.shared_bytes >= 48 << 10);
    assert!(limits.grid_dims[0] == i32::MAX as u32 && limits.block_dims[2] >= 64);
    assert!(!limits.name.is_empty());
    let (free, total) = gpu.device.memory().unwrap();
    assert!(free > 0 && free <= total);
}

#[test]
fn a_device_that_is_not_there_is_unsupported() {
    let error = Device::open(4711).unwrap_err();
    assert_eq!(error.class(), FaultClass::Unsupported);
    if common::device().is_some() {
        let CudaError::Unavailable(reason) = error else { panic!("{error}") };
        assert_eq!(reason.code(), "D005");
    }
}

#[test]
fn the_probe_agrees_with_opening() {
    let report = probe(true);
    match Device::open(0) {
        Ok(_) => {
            assert!(report.driver.clone().unwrap() >= MINIMUM_DRIVER);
            assert_eq!(report.reason(), None);
            let first = report.usable().next().unwrap();
            assert!(first.free_bytes.unwrap() > 0);
            assert!(first.limits.is_some());
        }
        Err(CudaError::Unavailable(reason)) => assert_eq!(report.reason(), Some(reason)),
        Err(error) => panic!("{error}"),
    }
}

/// Run by the next test in a process that finds no driver.
#[test]
#[ignore = "run by without_a_driver_everything_says_so"]
fn child_without_a_driver() {
    assert_eq!(probe(true).driver.unwrap_err(), Unavailable::NoDriver);
    for _ in 0..2 {
        let error = Device::open(0).unwrap_err();
        assert_eq!(error.class(), FaultClass::Unsupported);
        assert_eq!(error.to_string(), "D001 no NVIDIA driver is installed");
    }
    println!("child ran");
}

#[test]
fn without_a_driver_everything_says_so() {
    if common::device().is_some() && common::Emulator::find().is_none() {
        eprintln!("SKIPPED: a real driver is found in the system's folders");
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_without_a_driver", "--ignored", "--nocapture"])
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("LD_PRELOAD")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("child ran"), "{text}");
}

#[test]
fn many_threads_open_and_close() {
    let Some(gpu) = common::gpu() else { return };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let device = Device::open(0).unwrap();
                    let stream = device.stream(&device.counters()).unwrap();
                    stream.synchronize().unwrap();
                }
            });
        }
    });
    drop(gpu);
}
