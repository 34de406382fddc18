#![no_main]

fuzz::program!(kept);
