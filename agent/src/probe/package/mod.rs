//! Formats of package managers that more than one probe reads. Pure parsers over bytes; nothing here
//! touches the machine except [`rpmdb`], [`unpack`] and [`apt`], which go through [`Sys`](crate::sys::Sys).

pub mod apk;
pub mod apt;
pub mod apt_conf;
pub mod deb822;
pub mod deb_version;
pub mod dpkg;
pub mod modulemd;
pub mod pacman;
pub mod repodata;
pub mod rpm;
pub mod rpmdb;
pub mod settle;
pub mod unpack;
pub mod zone;
