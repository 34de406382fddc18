#![no_main]

fuzz::program!(account);
