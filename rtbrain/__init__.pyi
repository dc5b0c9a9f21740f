from rtbrain.errors import RtbrainError as RtbrainError
from rtbrain.learn.evaluate import evaluate as evaluate
from rtbrain.learn.fit.decoder import FittedDecoder as FittedDecoder
from rtbrain.learn.fit.decoder import load as load
from rtbrain.learn.fit.run import fit as fit
from rtbrain.learn.refit.run import refit as refit
from rtbrain.learn.report.score_table import ScoreTable as ScoreTable
from rtbrain.learn.session.report import session_report as session_report
from rtbrain.live.listen import detections as detections
from rtbrain.live.listen import listen as listen
from rtbrain.live.run import run as run
from rtbrain.recording.open import read as read
from rtbrain.stream.lsl.streams import streams as streams
from rtbrain.types import Chunk as Chunk
from rtbrain.types import Decode as Decode
from rtbrain.types import Detection as Detection
from rtbrain.types import Embedding as Embedding
from rtbrain.types import Montage as Montage
from rtbrain.types import Quality as Quality
from rtbrain.types import Spectrogram as Spectrogram
from rtbrain.types import Window as Window

__version__: str
__all__ = [
    "Chunk",
    "Decode",
    "Detection",
    "Embedding",
    "FittedDecoder",
    "Montage",
    "Quality",
    "RtbrainError",
    "ScoreTable",
    "Spectrogram",
    "Window",
    "__version__",
    "detections",
    "evaluate",
    "fit",
    "listen",
    "load",
    "read",
    "refit",
    "run",
    "session_report",
    "streams",
]
