from rtbrain.errors import RtbrainError as RtbrainError
from rtbrain.recording.read import read as read
from rtbrain.types import Chunk as Chunk
from rtbrain.types import Decode as Decode
from rtbrain.types import Embedding as Embedding
from rtbrain.types import Montage as Montage
from rtbrain.types import Quality as Quality
from rtbrain.types import Spectrogram as Spectrogram
from rtbrain.types import Window as Window

__version__: str
__all__ = [
    "Chunk",
    "Decode",
    "Embedding",
    "Montage",
    "Quality",
    "RtbrainError",
    "Spectrogram",
    "Window",
    "__version__",
    "read",
]
