"""The faults of the matrix and what must hold in each."""

__all__ = ["FAULTS"]

# Number to fault, and what must hold.
FAULTS = {
    1: (
        "the stream vanishes and the same one returns after 3 s",
        "lost within 1.5 s, decodes stop or are invalid at once; recovered; filters and window "
        "reset; valid again after one whole window; the gap's samples are counted exactly",
    ),
    2: (
        "it returns with another rate",
        "never decoded: refused names both rates; decoding resumes when the right stream is back",
    ),
    3: (
        "it returns with channels in another order, or with more of them",
        "re-bound by label: decodes equal those of the original order",
    ),
    4: (
        "it returns with channels missing",
        "those channels leave PopT's tokens, coverage falls; below the bundle's floor decodes are "
        "invalid",
    ),
    5: (
        "two streams answer the same query",
        "an error that lists both with source_id and host, before decoding",
    ),
    6: (
        "the consumer stalls 10 s (overload)",
        "nothing is decoded from old data; the newest window is decoded; skipped windows and "
        "dropped samples are counted; memory does not grow",
    ),
    7: (
        "gaps, duplicated and reordered samples",
        "an exact ledger; no window crosses a gap unmarked",
    ),
    8: (
        "sender clock jumps ±10 s, is reset, drifts 200 ppm",
        "no negative age; samples not lost; effective rate reported",
    ),
    9: (
        "NaN or Inf on one channel",
        "masked, other channels' results identical to the bit; never reaches a common average, a "
        "neighbour's Laplacian or the model",
    ),
    10: (
        "flat, saturated, mains-swamped, unplugged channel",
        "masked by measured rules with hysteresis; channel_bad / channel_good events; re-admitted",
    ),
    11: ("every channel bad", "decodes invalid, nothing crashes"),
    12: (
        "amplitude off by 1e6 (V read as µV)",
        "told at connect from header units; where the header is silent, a warning from the "
        "measured amplitude",
    ),
    13: (
        "chunks of 1 to 5000 samples, empty chunks, bursts after a stall",
        "decodes identical to one-shot offline within 1e-6",
    ),
    14: (
        "nominal rate 2048, true rate 2046.3 or 2040",
        "effective rate reported; resampled or refused by a stated tolerance",
    ),
    15: (
        "nobody listens to the outlet; a listener never reads",
        "push time bounded, memory flat",
    ),
    16: (
        "marker stream irregular, empty strings, unicode, bursts",
        "aligned within one sample; nothing lost",
    ),
    17: (
        "broken, unknown or hostile settings",
        "one line: file, key, what was expected; a wrong key names the nearest right one",
    ),
    18: (
        "checkpoint truncated, of another shape, a pickle with code in it",
        "refused before anything is executed; which tensor, which shape",
    ),
    19: ("bundle with one byte changed", "refused: which file, both hashes"),
    20: (
        "SIGINT and SIGTERM in every state (waiting, connecting, warming up, decoding)",
        "exit under 2 s, no orphan process or thread, files closed",
    ),
    21: (
        "disk full; folder read-only",
        "alarm within 2 s, the decoder goes on, the file stays readable, what waits is written "
        "when there is room; a folder that cannot be written to is refused at the start",
    ),
    22: (
        "kill -9 while recording",
        "pyxdf reads the file; at most 1 s is lost",
    ),
    23: (
        "malformed stream header: 0 channels, labels fewer than channels, no units, 1 MB of XML, "
        "control characters",
        "parsed safely or refused with the reason",
    ),
    24: (
        "hours of running (an hour simulated at speed)",
        "memory and thread count level; no drift between counter and clock",
    ),
}
