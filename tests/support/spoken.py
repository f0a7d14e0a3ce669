"""A tiny corpus in QUESST 2014's layout: noise, with the queries' noise inside some of the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import nn

from downstream_runs import bridge, tasks
from downstream_runs.corpora import markers, quesst14
from downstream_runs.engine import RunPlan
from downstream_runs.scoring import groundtruth
from downstream_runs.scoring.groundtruth import GroundTruth

RATE = 8000
DOCUMENTS = 9
QUERIES = {"dev": 3, "eval": 3}
LAYERS = 3


def make_corpus(data: Path) -> Path:
    """DATA/quesst14Database with two languages; each English query is in three English documents."""
    root = data / quesst14.FOLDER
    markers.begin(root, markers.DEMO, "noise for tests\n")
    random = np.random.default_rng(3)
    queries = {
        f"quesst14_{split}_{n:04d}": random.normal(0, 0.2, 3000 + 300 * n)
        for split, number in QUERIES.items()
        for n in range(1, number + 1)
    }
    # The last query of dev is too short to be searched.
    queries["quesst14_dev_0003"] = queries["quesst14_dev_0003"][:250]
    documents: dict[str, np.ndarray] = {}
    spoken: dict[str, set[str]] = {name: set() for name in queries}
    for n in range(DOCUMENTS):
        name, wave = f"quesst14_{n + 1:05d}", random.normal(0, 0.2, 12000 + 500 * n)
        for offset, (query, samples) in enumerate(sorted(queries.items())):
            if (n + offset) % 3 == 0 and not query.endswith("dev_0003"):
                start = 200 + 5000 * (offset // 3)
                wave[start : start + len(samples)] = samples
                spoken[query].add(name)
        documents[name] = wave
    _write(root, queries, documents)
    foreign = tuple(f"quesst14_1000{n}" for n in range(2))
    for split in QUERIES:
        names = [query for query in sorted(queries) if split in query]
        truth = GroundTruth(
            (*names, f"quesst14_{split}_0900"),
            (*documents, *foreign),
            {
                **{name: frozenset(spoken[name]) for name in names},
                f"quesst14_{split}_0900": frozenset(foreign),
            },
        )
        seconds = dict.fromkeys(truth.documents, 1.0)
        groundtruth.write(quesst14.truth_folder(root, split), f"quesst14_{split}", truth, seconds)
    files = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file() and "DEMO" not in p.name]
    markers.finish(root, markers.DEMO, {}, files)
    return root


def _write(root: Path, queries: dict[str, np.ndarray], documents: dict[str, np.ndarray]) -> None:
    lists: dict[str, list[str]] = {part: [] for part in quesst14.LISTS}
    for name, samples in [*documents.items(), *queries.items()]:
        part = next((split for split in QUERIES if f"_{split}_" in name), quesst14.DOCUMENTS)
        folder = "Audio" if part == quesst14.DOCUMENTS else f"{part}_queries"
        (root / folder).mkdir(exist_ok=True)
        soundfile.write(root / folder / f"{name}.wav", samples, RATE, subtype="PCM_16")
        lists[part].append(f"quesst14Database/{folder}/{name}.wav nnenglish\n")
    lists[quesst14.DOCUMENTS] += [f"quesst14Database/Audio/quesst14_1000{n}.wav czech\n" for n in range(2)]
    (root / "scoring").mkdir()
    for part, lines in lists.items():
        (root / "scoring" / quesst14.LISTS[part]).write_text("".join(lines))


class Layered(nn.Module):
    """Frames of 10 ms through a fixed random map: the layers hear ever less of them, ever more noise."""

    untrained = True

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.taps = nn.Parameter(torch.randn(160, 24, generator=generator), requires_grad=False)
        self.calls = 0

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return 160

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, object]:
        """Hidden states `[1, frame, 24]`."""
        self.calls += 1
        (wave,) = wavs
        frames = nn.functional.pad(wave, (0, -len(wave) % 160)).view(1, -1, 160)
        # Spectra do not care where in a frame a query begins.
        heard = torch.fft.rfft(frames).abs().log1p()[..., 1:25]
        noise = torch.cos(frames @ self.taps * 1e3)
        return {"hidden_states": [noise, heard + 2.0 * noise, heard]}


def register() -> Layered:
    """Make it s3prl's upstream `layered`, one and the same object each time, and return it."""
    bridge.apply()
    import s3prl.hub

    upstream = Layered()
    s3prl.hub.layered = lambda **kwargs: upstream
    return upstream


def plan(data: Path, out: Path, **changes: Any) -> RunPlan:
    """Search the corpus with the layers."""
    settings = {
        "task": tasks.get("qbe"),
        "recipe": "demo",
        "upstream": "layered",
        "data": data,
        "out": out,
        "device": "cpu",
    }
    return RunPlan(**{**settings, **changes})
