"""Windows of many recordings on disk, read by memory map."""
