//! The compact index of declared and live objects.
