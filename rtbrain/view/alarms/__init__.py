"""Which alarms there are, their order and words, and what happened: no Qt."""
