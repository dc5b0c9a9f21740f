"""What happened in a session that was recorded, as a report for people."""
