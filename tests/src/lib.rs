//! The integration tests that run inside the virtual machine.
