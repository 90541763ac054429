//! The command line with `backend=cuda`: where there is no GPU, and end to end on the emulated one.
