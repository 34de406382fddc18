//! Command line of the agent.

/// musl's own allocator takes a lock and several system calls where others take neither: with it an
/// inventory costs noticeably more CPU time.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tenken_agent::cli::main()
}
