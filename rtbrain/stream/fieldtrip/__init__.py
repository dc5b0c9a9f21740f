"""A FieldTrip buffer, or another client of mne-realtime, as a source."""
