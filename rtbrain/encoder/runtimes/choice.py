"""How an encoder is to run: as set, or as approved for a decoder on this machine."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rtbrain.errors import CompiledModelError
from rtbrain.files import parse_json, strict_json, write_atomically

Precision = Literal["fp32", "bf16", "int8"]
Runtime = Literal["torchscript", "openvino"]
RuntimeName = Literal["auto", "torchscript", "openvino"]
_NOTE = "admitted.json"


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """How to run an encoder.

    With runtime ``"auto"``: as approved in `compiled_folder` (of `compiled_folder_of`) where that
    still holds for the bundle of `bundle_id` on this machine, otherwise TorchScript. Without a
    precision: with ``"auto"`` as approved, otherwise float32.
    """

    runtime: RuntimeName = "auto"
    precision: Precision | None = None
    threads: int = 1
    compiled_folder: Path | None = None
    bundle_id: str = ""


@dataclass(frozen=True)
class ApprovedRuntime:
    """How to run a decoder that was compiled and found good enough.

    It holds for the decoder of one bundle only: another readout may lose more.
    """

    runtime: Runtime
    precision: Precision
    bundle_id: str

    def __post_init__(self) -> None:
        if self.runtime not in ("torchscript", "openvino"):
            raise ValueError(f"runtime: expected torchscript or openvino, got {self.runtime!r}")
        if self.precision not in ("fp32", "bf16", "int8"):
            raise ValueError(f"precision: expected fp32, bf16 or int8, got {self.precision!r}")

    @property
    def folder(self) -> str:
        """Name of its folder beside a bundle."""
        return f"{self.runtime}-{self.precision}"


def compiled_folder_of(bundle_folder: Path) -> Path:
    """Folder beside a bundle that holds what was compiled from it on this machine.

    Not in the bundle, which is verified file by file and may be shared between machines.
    """
    whole = bundle_folder.resolve()
    return whole.with_name(f"{whole.name}.compiled")


def approve_runtime(folder: Path, way: ApprovedRuntime) -> None:
    """Note in a bundle's `compiled_folder_of` how its decoder runs from now on."""
    # Beside what was compiled too, which stays when another runtime is approved later.
    for path in (folder / way.folder / _NOTE, folder / _NOTE):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, strict_json(asdict(way)))
        except OSError as error:
            raise CompiledModelError(
                f"{path.parent}: cannot hold compiled models: {error.strerror}"
            ) from error


def approved_runtime(folder: Path) -> ApprovedRuntime | None:
    """What `approve_runtime` noted in a folder; None where nothing was."""
    path = folder / _NOTE
    try:
        return ApprovedRuntime(**parse_json(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError) as error:
        raise CompiledModelError(f"{path}: not a note of rtbrain compile: compile again") from error
