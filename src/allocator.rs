//! The allocator, and how soon it gives memory back.

/// Decoding and indexing allocate much and in small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's `mi_option_t`.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Freed pages go back to the system after this many milliseconds. mimalloc's own second keeps a quarter more memory resident
/// while parts are sealed; a tenth of this costs a tenth of the throughput.
const PURGE_AFTER_MS: std::ffi::c_long = 50;

/// Sets how soon freed memory goes back to the system. Called once, before anything else.
#[allow(unsafe_code)] // mimalloc has no other door to its options
pub(crate) fn give_back_soon() {
    // SAFETY: the function stores a number in a table of options; the option exists in every version of mimalloc 2 and 3.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_AFTER_MS) }
}
