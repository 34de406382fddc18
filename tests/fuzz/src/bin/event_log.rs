#![no_main]

fuzz::program!(event_log);
