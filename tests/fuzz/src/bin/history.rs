#![no_main]

fuzz::program!(history);
