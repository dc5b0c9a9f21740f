"""The fault matrix: every fault of the bedside, injected, and what rtbrain did."""
