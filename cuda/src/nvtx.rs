//! Named ranges for NVIDIA's profilers.
//!
//! With feature `nvtx` and `libnvToolsExt` on the library path, ranges show in Nsight Systems; in
//! every other case they are nothing and cost nothing.

use std::marker::PhantomData;

/// A range on this thread, from [`nvtx_range`] until it is dropped.
#[must_use = "a range ends when it is dropped"]
pub struct NvtxRange {
    open: bool,
    /// Ranges nest per thread, so one must end on the thread that began it.
    thread: PhantomData<*const ()>,
}

/// Begins a range. The name is shown up to its first zero byte.
pub fn nvtx_range(name: &str) -> NvtxRange {
    NvtxRange { open: library::push(name), thread: PhantomData }
}

impl Drop for NvtxRange {
    fn drop(&mut self) {
        if self.open {
            library::pop();
        }
    }
}

#[cfg(not(feature = "nvtx"))]
mod library {
    pub(super) fn push(_name: &str) -> bool {
        false
    }

    pub(super) fn pop() {}
}

#[cfg(feature = "nvtx")]
mod library {
    use std::ffi::{CString, c_char, c_int};
    use std::sync::OnceLock;

    struct Tools {
        push: unsafe extern "C" fn(*const c_char) -> c_int,
        pop: unsafe extern "C" fn() -> c_int,
    }

    fn tools() -> Option<&'static Tools> {
        static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
        TOOLS
            .get_or_init(|| {
                // SAFETY: the profiler's own library, under its well-known name.
                let library = unsafe { libloading::Library::new("libnvToolsExt.so.1") }.ok()?;
                // The library stays for the life of the process, as the functions do.
                let library: &'static libloading::Library = Box::leak(Box::new(library));
                // SAFETY: the signatures are those of nvToolsExt.h.
                unsafe {
                    Some(Tools {
                        push: *library.get("nvtxRangePushA").ok()?,
                        pop: *library.get("nvtxRangePop").ok()?,
                    })
                }
            })
            .as_ref()
    }

    pub(super) fn push(name: &str) -> bool {
        let Some(tools) = tools() else { return false };
        let end = name.find('\0').unwrap_or(name.len());
        let Ok(name) = CString::new(&name[..end]) else { return false };
        // SAFETY: the name ends with a zero and outlives the call, which copies it.
        unsafe { (tools.push)(name.as_ptr()) };
        true
    }

    pub(super) fn pop() {
        if let Some(tools) = tools() {
            // SAFETY: takes nothing; ends the range that this thread began last.
            unsafe { (tools.pop)() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_nest_with_or_without_a_profiler() {
        let _outer = nvtx_range("outer");
        let _inner = nvtx_range("in\0ner");
    }
}
