"""Recordings written for other programs: FIF, EDF, XDF and BIDS-iEEG."""
