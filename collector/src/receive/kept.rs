//! The memory of bodies, kept for the next ones: pages that are touched the first time cost more than what is written to them.

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

/// Bodies whose memory is kept.
const KEPT: usize = 4;
/// The memory of a larger body is not kept.
const KEPT_BYTES: usize = 1 << 20;

static POOL: Mutex<Vec<BytesMut>> = Mutex::new(Vec::new());

/// An empty body, with room when any is kept.
pub(super) fn take() -> BytesMut {
    POOL.lock().pop().unwrap_or_default()
}

/// A whole body, whose memory is kept when the last of its bytes is dropped.
pub(super) fn frozen(body: BytesMut) -> Bytes {
    Bytes::from_owner(Kept(body))
}

struct Kept(BytesMut);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut body = std::mem::take(&mut self.0);
        body.clear();
        if body.capacity() > KEPT_BYTES {
            return;
        }
        let mut pool = POOL.lock();
        if pool.len() < KEPT {
            pool.push(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_empty_when_its_memory_is_used_again() {
        for round in 0..20_u8 {
            let mut body = take();
            assert!(body.is_empty());
            body.extend_from_slice(&[round; 1000]);
            bytes::Buf::advance(&mut body, 5);
            let whole = frozen(body);
            let piece = whole.slice(10..20);
            drop(whole);
            assert_eq!(piece, [round; 10].as_slice(), "kept for as long as any of it is looked at");
        }
    }
}
