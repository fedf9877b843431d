//! What Guard's two sides share.
#![no_std]
