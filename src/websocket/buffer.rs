//! The growth of a buffer that a message is gathered in.

/// Makes room for `more` bytes: twice as much at a time, as a Vec grows, and from 1 MiB on all that
/// may come up to the limit. What is reserved is only address space until bytes come, while a
/// buffer that was outgrown stays with the allocator for a while: so a message costs its bytes
/// once.
pub(super) fn grow(data: &mut Vec<u8>, more: usize, limit: usize) {
    const AT_ONCE: (usize, usize) = (1024 * 1024, 32 * 1024 * 1024);
    let needed = data.len() + more;
    if data.capacity() >= needed {
        return;
    }
    let (from, most) = AT_ONCE;
    let mut room = 2 * data.capacity();
    if room > from {
        room = room.max(most);
    }
    data.reserve_exact(room.min(limit).max(needed) - data.len());
}
