//! The poll loop of one worker core over the PacketIo trait.
