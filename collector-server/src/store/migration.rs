//! The migrations of both engines, by name, in order. Forward only; never edited after merge.

/// One migration.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Position, from 1.
    pub number: i64,
    /// File name without extension.
    pub name: &'static str,
    /// Text for SQLite.
    pub sqlite: &'static str,
    /// Text for PostgreSQL.
    pub postgres: &'static str,
}

macro_rules! migrations {
    ($($number:literal $name:literal;)*) => {
        /// Every migration, oldest first.
        pub const ALL: &[Migration] = &[$(Migration {
            number: $number,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        }),*];
    };
}

migrations! {
    1 "0001_core";
    2 "0002_judgement";
    3 "0003_admin";
    4 "0004_judging";
    5 "0005_answers";
    6 "0006_everywhere_tokens";
    7 "0007_unknown_presence";
    8 "0008_software_blocks";
}

/// Statement that remembers what was applied; the same on both engines.
pub const TABLE: &str = "create table if not exists migration (number bigint primary key, name text not null, applied_at bigint not null)";
