#![no_main]

fuzz::program!(posture);
