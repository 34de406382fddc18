#![no_main]

fuzz::program!(machine);
