#![no_main]

fuzz::program!(wire);
