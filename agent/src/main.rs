//! Command line of the agent.

fn main() -> std::process::ExitCode {
    tenken_agent::cli::main()
}
