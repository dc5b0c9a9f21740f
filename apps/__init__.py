"""The command line: one thin module a command."""

BEDSIDE, ENCODERS, CHECKS, FILES = "At the bedside", "Encoders", "Checks", "Files"
# Name: module of rtbrain.apps, group in the help, and what it does. A command is imported when it
# runs, so that none waits for the libraries of another.
COMMANDS = {
    "doctor": ("doctor", BEDSIDE, "Check stream, machine and network before a session."),
    "streams": ("streams", BEDSIDE, "List the streams on the network, and who reads them."),
    "record": ("record", BEDSIDE, "Record live streams into an XDF file."),
    "cue": ("cue", BEDSIDE, "Show cues on a screen of their own, and send their markers."),
    "fit": ("fit", BEDSIDE, "Fit a decoder on recordings, and score it beside its controls."),
    "refit": ("refit", BEDSIDE, "Add a new session to a decoder, or keep the old one."),
    "decode": ("decode", BEDSIDE, "Decode a live LSL stream."),
    "control": ("control", BEDSIDE, "Arm, stop or set the threshold of a running decoder."),
    "evaluate": ("evaluate", BEDSIDE, "Score a decoder on a recording, decoded as if live."),
    "report": ("report", BEDSIDE, "Report what happened in a recorded run."),
    "service": ("service", BEDSIDE, "Let systemd run a command, and restart it."),
    "view": ("view", BEDSIDE, "Watch signals and decodes live."),
    "replay": ("replay", BEDSIDE, "Play a recording as a live LSL stream."),
    "bridge": ("bridge", BEDSIDE, "Send a FieldTrip buffer on as an LSL stream."),
    "simulate": ("simulate", BEDSIDE, "Send the signals of a synthetic patient."),
    "session": ("session", BEDSIDE, "Run a whole session from one window."),
    "demo": ("demo", BEDSIDE, "Fit and run a decoder on a synthetic patient, live."),
    "pretrain": ("pretrain", ENCODERS, "Pretrain an encoder on a corpus."),
    "distill": ("distill", ENCODERS, "Train the causal student of an encoder."),
    "corpus": ("corpus", ENCODERS, "Build, embed and inspect a corpus for pretraining."),
    "probe": ("probe", ENCODERS, "Compare encoders by what a few labels make of them."),
    "leaderboard": ("leaderboard", ENCODERS, "Rank front ends and encoders on known answers."),
    "embed": ("embed", ENCODERS, "Embed a recording."),
    "import-checkpoint": ("import_checkpoint", ENCODERS, "Convert a published checkpoint."),
    "compile": ("compile", ENCODERS, "Compile the encoder of a decoder, and check the result."),
    "faults": ("faults", CHECKS, "Inject faults, and show that each is handled."),
    "fuzz": ("fuzz", CHECKS, "Damage files and headers, and show that each is refused."),
    "loopback": ("loopback", CHECKS, "Measure how long triggers take, and whether one is lost."),
    "bench": ("bench", CHECKS, "Measure the speed of this machine."),
    "inspect": ("inspect_bundle", FILES, "Show what is in a decoder bundle."),
    "export": ("export", FILES, "Convert a recording to BIDS, FIF, EDF or XDF."),
    "config": ("config", FILES, "Check settings, and list what they may hold."),
}
