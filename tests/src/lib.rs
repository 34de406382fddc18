//! Harness of the end-to-end stories and what the project's own commands share: where things lie in the
//! workspace, a PostgreSQL of our own, real programs started as processes.

pub mod clock;
pub mod driver;
pub mod judged;
pub mod load;
pub mod machine;
pub mod postgres;
pub mod process;
pub mod program;
pub mod proxy;
pub mod scene;
pub mod stored;
pub mod tmpfs;
pub mod windows_machine;
pub mod windows_page;
pub mod wine;
pub mod workspace;
