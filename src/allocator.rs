//! The allocator, and how soon it gives memory back.

/// Decoding and indexing allocate much and in small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's `mi_option_t`.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Freed pages go back to the system after this many milliseconds. mimalloc's own second keeps a quarter more memory resident
/// while parts are sealed; a tenth of this costs a tenth of the throughput.
const PURGE_AFTER_MS: std::ffi::c_long = 50;
/// `mi_option_arena_purge_mult`: how many times as long what is freed in whole segments is kept.
const ARENA_PURGE_MULT: libmimalloc_sys::mi_option_t = 24;

/// Sets how soon freed memory goes back to the system. Called once, before anything else.
///
/// Segments go back at once, and the system gives no huge pages: together that is a quarter less memory while parts are
/// sealed, for 5 % of the throughput.
#[allow(unsafe_code)] // mimalloc has no other door to its options
pub(crate) fn give_back_soon() {
    // SAFETY: the function stores a number in a table of options; the options exist in every version of mimalloc 2 and 3.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_AFTER_MS);
        libmimalloc_sys::mi_option_set(ARENA_PURGE_MULT, 0);
    }
    // An old kernel may refuse: then memory is a little larger.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
