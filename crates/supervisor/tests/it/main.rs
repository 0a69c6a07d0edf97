//! The supervisor with real processes, files and sockets.

mod adoption;
mod health;
mod lifecycle;
mod logs;
mod task;
mod yard;
