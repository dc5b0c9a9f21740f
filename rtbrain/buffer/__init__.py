"""3. Chunk to Windows: a ring in place, and the windows cut from it."""
