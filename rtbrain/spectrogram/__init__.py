"""4. Window to Spectrogram: STFT in two forms, superlets, normalisation."""
