//! The management interface: requests, answers and a client for the Unix socket.
