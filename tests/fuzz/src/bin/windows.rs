#![no_main]

fuzz::program!(windows);
