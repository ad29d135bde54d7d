//! The allocator, and how soon it gives memory back.

use mangru_store::Store;
use std::sync::Weak;
use std::time::Duration;

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
/// mimalloc's own.
const KEPT: std::ffi::c_long = 10;
/// Nothing is kept.
const NOT_KEPT: std::ffi::c_long = 0;
/// How often the load is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// So many rows between two looks are a heavy load.
const HEAVY_ROWS: u64 = 2000;
/// So many looks without it are the end of it: what came in is then sealed and merged.
const QUIET_LOOKS: u32 = 10;

/// Sets how soon freed memory goes back to the system. Called once, before anything else.
pub(crate) fn give_back_soon() {
    set(PURGE_DELAY, PURGE_AFTER_MS);
    // An old kernel may refuse: then memory is a little larger.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Lets segments go back at once while much comes in, and keeps them for queries otherwise: at full load that is a quarter
/// less memory for a tenth of the throughput, while a query whose memory is taken away takes twice as long.
pub(crate) async fn follow_load(store: Weak<Store>) {
    let (mut before, mut quiet, mut kept) = (0, 0, NOT_KEPT);
    set(ARENA_PURGE_MULT, kept);
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(store) = store.upgrade() else { return };
        let rows = store.appended_rows();
        quiet = if rows - before > HEAVY_ROWS { 0 } else { quiet + 1 };
        let wanted = if quiet < QUIET_LOOKS { NOT_KEPT } else { KEPT };
        before = rows;
        if wanted != kept {
            set(ARENA_PURGE_MULT, wanted);
            kept = wanted;
        }
    }
}

#[allow(unsafe_code)] // mimalloc has no other door to its options
fn set(option: libmimalloc_sys::mi_option_t, value: std::ffi::c_long) {
    // SAFETY: the function stores a number in a table of options; those here exist in every version of mimalloc 2 and 3.
    unsafe { libmimalloc_sys::mi_option_set(option, value) }
}
