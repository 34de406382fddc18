#![no_main]

fuzz::program!(apt);
