#![no_main]

fuzz::program!(collector);
