//! Declared objects, kept out of memory.
