//! Gives memory back between rounds: a service that waits should not hold what only collecting needs.
//!
//! Freed heap returns to the system, and the pages of the program file leave this process: those are
//! unchanged copies of the file, stay in the system's cache and come back by themselves when touched.

use std::ffi::c_void;
use std::ops::Range;

/// Gives back what can be given back; a failure costs only memory.
pub fn give_back() {
    collect_heap();
    let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else { return };
    let Ok(program) = std::env::current_exe() else { return };
    for range in untouched(&smaps, &program.to_string_lossy()) {
        // SAFETY: `untouched` gives only private mappings of a file that are not writable and hold no page of
        // their own (`Anonymous: 0`): the next access reads the same bytes from the file again. Nothing
        // can change that in between, as pages of a mapping without write permission are not written.
        #[expect(unsafe_code, reason = "madvise takes raw addresses")]
        let dropped = unsafe {
            rustix::mm::madvise(
                std::ptr::with_exposed_provenance_mut::<c_void>(range.start),
                range.len(),
                rustix::mm::Advice::LinuxDontNeed,
            )
        };
        if let Err(error) = dropped {
            tracing::debug!(%error, "Pages of the program stay resident.");
        }
    }
}

#[cfg(target_env = "musl")]
fn collect_heap() {
    // SAFETY: takes no pointer and may be called at any time from any thread.
    #[expect(unsafe_code, reason = "the allocator's C interface")]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

/// The system allocator gives back large pieces by itself.
#[cfg(not(target_env = "musl"))]
fn collect_heap() {}

/// Address ranges of `program` in an `smaps` (`proc(5)`) that are as they stand in the file and cannot be written.
fn untouched(smaps: &str, program: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        if let Some(range) = mapping(line, program) {
            current = range;
        } else if let Some(anonymous) = line.strip_prefix("Anonymous:")
            && anonymous.trim() == "0 kB"
        {
            out.extend(current.take());
        }
    }
    out
}

/// `Some(Some(range))`: a mapping of `program` without write permission starts here; `Some(None)`: another one.
fn mapping(line: &str, program: &str) -> Option<Option<Range<usize>>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    let permissions = fields.next()?;
    let ours = fields.nth(3) == Some(program) && fields.next().is_none();
    let fits =
        ours && permissions.starts_with('r') && permissions.ends_with('p') && !permissions.contains('w');
    Some((fits && !range.is_empty()).then_some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
00400000-00401000 r--p 00000000 fe:00 7 /opt/agent
Rss: 4 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
00401000-00500000 r-xp 00001000 fe:00 7 /opt/agent
Anonymous:             0 kB
00500000-00510000 r--p 00100000 fe:00 7 /opt/agent
Anonymous:            64 kB
00510000-00520000 rw-p 00110000 fe:00 7 /opt/agent
Anonymous:             0 kB
00520000-00530000 r-xp 00000000 fe:00 8 /usr/lib/other.so
Anonymous:             0 kB
00530000-00540000 r-xp 00000000 fe:00 7 /opt/agent (deleted)
Anonymous:             0 kB
7ffd0000-7ffd1000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_unwritable_untouched_parts_of_the_program_are_given_back() {
        assert_eq!(untouched(SMAPS, "/opt/agent"), [0x400_000..0x401_000, 0x401_000..0x500_000]);
        assert!(untouched("rubbish\nAnonymous: 0 kB\n\n-\n", "/opt/agent").is_empty());
    }

    #[test]
    fn the_program_runs_on_after_it() {
        let before: Vec<u64> = (0..10_000).collect();
        give_back();
        assert_eq!(before.iter().sum::<u64>(), 49_995_000);
    }
}
