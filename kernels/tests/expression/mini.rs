//! Development harness: the kernels compiled by g++ into one library.
#![expect(unsafe_code, reason = "a development harness")]

use std::ffi::{CString, c_char, c_int, c_void};

use staffa_kernels::expression::format::LaunchParameters;

use super::Machine;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

type LaunchFn = unsafe extern "C" fn(*const c_char, *mut c_void, u32, u32, u32) -> c_int;

struct Mini {
    launch: LaunchFn,
    buffers: Vec<Vec<u128>>,
}

static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());

pub fn machine() -> Option<Box<dyn Machine>> {
    let path = CString::new(std::env::var("STAFFA_MINI").ok()?).unwrap();
    unsafe {
        let library = dlopen(path.as_ptr(), 2);
        assert!(!library.is_null());
        let symbol = dlsym(library, c"mini_launch".as_ptr());
        assert!(!symbol.is_null());
        Some(Box::new(Mini { launch: std::mem::transmute::<*mut c_void, LaunchFn>(symbol), buffers: Vec::new() }))
    }
}

impl Machine for Mini {
    fn upload(&mut self, bytes: &[u8]) -> u64 {
        let mut buffer = vec![0u128; bytes.len().div_ceil(16).max(1)];
        bytemuck::cast_slice_mut::<u128, u8>(&mut buffer)[..bytes.len()].copy_from_slice(bytes);
        self.buffers.push(buffer);
        self.buffers.last().unwrap().as_ptr() as u64
    }
    fn write(&mut self, address: u64, bytes: &[u8]) {
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) }
    }
    fn read(&mut self, address: u64, bytes: usize) -> Vec<u8> {
        unsafe { std::slice::from_raw_parts(address as *const u8, bytes).to_vec() }
    }
    fn launch(&mut self, kernel: &str, parameters: &LaunchParameters, blocks: u32, threads: u32, shared: u32) {
        let _guard = LOCK.lock().unwrap_or_else(|e| e.into_inner());
        let name = CString::new(kernel).unwrap();
        let mut copy = *parameters;
        let rc = unsafe { (self.launch)(name.as_ptr(), (&raw mut copy).cast(), blocks, threads, shared) };
        assert_eq!(rc, 0);
    }
}
