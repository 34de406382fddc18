//! Speaks the agent's side of the protocol, with real TLS, from the shared types alone: for stories that
//! must send what a well-behaved agent never would, and for load.

mod connection;
mod fleet;
mod host;
mod sender;
mod tls;

pub use connection::{Answer, Connection};
pub use fleet::Fleet;
pub use host::{Host, Outgoing};
pub use sender::{Sender, random};
pub use tls::Trust;
