"""The cue screen: what the participant sees, and the markers of it. A process of its own."""
