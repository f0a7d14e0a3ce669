"""An evaluation that was killed goes on with its next batch, and gives the numbers of an undisturbed one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import noise
import numpy as np
import pytest
import torch
import toy

from downstream_runs.core.run_folder import PARTIAL_EVALUATION
from downstream_runs.engine import partial_evaluation, run, run_dir
from downstream_runs.engine.components import Components
from downstream_runs.engine.partial_evaluation import PartialEvaluation

FILES = PARTIAL_EVALUATION.format(split="*") + "*"
SPLITS = ("dev-clean", "test-clean")
RUNNER: dict[str, Any] = {
    **{"total_steps": 2, "eval_step": 2, "save_step": 2, "log_step": 1, "gradient_accumulate_steps": 1},
    "eval_dataloaders": list(SPLITS),
}


class Killed(BaseException):
    """What no code catches."""


def test_an_evaluation_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.register()
    corpus = noise.make_corpus(tmp_path)
    plans = [noise.tiny_plan(corpus, tmp_path / n, upstream="toy", runner=RUNNER) for n in ("calm", "killed")]
    calm, killed = map(run_dir, plans)
    run(plans[0])
    assert not list(calm.glob(FILES))

    monkeypatch.setattr(partial_evaluation, "EVERY_SECONDS", 0.0)
    evaluated: list[int] = []
    real = Components.features

    def features(self: Components, wavs: list[Any]) -> Any:
        if not self.downstream.training:
            evaluated.append(len(wavs))
            if len(evaluated) in (3, 7, 11):  # the last utterances of both splits, and of the test
                raise Killed
        return real(self, wavs)

    monkeypatch.setattr(Components, "features", features)
    for _ in range(3):
        with pytest.raises(Killed):
            run(plans[1])
        assert list(killed.glob(FILES))
    result = run(plans[1])
    # Three evaluations of three utterances, of which each last one was evaluated again.
    assert sum(evaluated) == 12
    assert result.metrics == run(plans[0]).metrics
    for name in ("metrics.jsonl", "items.csv", "dev-clean-best.ckpt"):
        assert (killed / name).read_bytes() == (calm / name).read_bytes(), name
    assert not list(killed.glob(FILES))
    events = [json.loads(line) for line in (killed / "events.jsonl").read_text().splitlines()]
    resumed = [line for line in events if line["event"] == "evaluation_resumed"]
    assert [(line["split"], line["batches"], line["of"]) for line in resumed] == [
        ("dev-clean", 3, 3),
        ("test-clean", 2, 3),
        ("test-clean", 2, 3),
    ]


def test_what_cannot_be_used_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_evaluation, "EVERY_SECONDS", 0.0)
    path = tmp_path / "partial.pt"
    dev, test = (
        PartialEvaluation(path, 9, lambda split=split: {"split": split}) for split in ("dev", "test")
    )
    embedding = torch.arange(3.0)
    dev.keep(4, {"acc": [np.float32(0.1), torch.tensor(0.5)], "id1": embedding, "said": [("a", "b")]})
    done, kept, states = dev.read()
    assert (done, kept["acc"], kept["said"]) == (4, [float(np.float32(0.1)), 0.5], [("a", "b")])
    assert torch.equal(kept["id1"], embedding) and states is not None and kept["new"] == []
    nothing = (0, {}, None)
    assert test.read() == nothing
    path.write_bytes(path.read_bytes()[:-1])
    assert dev.read() == nothing
    path.unlink()
    assert dev.read() == nothing
