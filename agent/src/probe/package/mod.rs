//! Formats of package managers that more than one probe reads. Pure parsers over bytes; nothing here
//! touches the machine except [`rpmdb::for_each`] and [`zone::of`], which go through [`Sys`](crate::sys::Sys).

pub mod apk;
pub mod deb822;
pub mod dpkg;
pub mod pacman;
pub mod rpm;
pub mod rpmdb;
pub mod settle;
pub mod unpack;
pub mod zone;
