#![no_main]

fuzz::program!(backup);
