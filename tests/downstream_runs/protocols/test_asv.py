"""Speaker verification end to end on buzzes: ten checkpoints, both selections, resume after a kill."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest
import voxceleb1_files as tiny

from downstream_runs import tasks
from downstream_runs.engine import RunPlan, run, run_dir
from downstream_runs.protocols import asv
from upstream_arm.common.errors import RunFailed


class Spectrum:
    """Log power spectrum in 40 bands, every 20 ms: hidden states `[batch, frame, 40]`, unlike s3prl's FBANK
    without the mean of each utterance taken out, which no mean-pooled linear head can do without."""

    @staticmethod
    def make(**_: object):
        import torch

        class Module(torch.nn.Module):
            untrained = True

            def get_downsample_rates(self, key: str) -> int:
                return 320

            def forward(self, wavs: list[torch.Tensor]) -> dict[str, object]:
                padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
                power = torch.stft(padded, 640, 320, window=torch.hann_window(640), return_complex=True)
                bands = power.abs().square()[:, 1:321].unflatten(1, (40, 8)).mean(2)
                hidden = (bands + 1e-3).log().transpose(1, 2) / 4
                return {"hidden_states": [hidden], "last_hidden_state": hidden}

        return Module()


def plan(tmp_path: Path, name: str, **runner: object) -> RunPlan:
    from downstream_runs import bridge

    bridge.apply()
    import s3prl.hub

    s3prl.hub.spectrum = Spectrum.make
    task = tasks.get(name)
    config = task.recipes["demo"].copy_config()
    config["runner"].update(runner)
    tiny_recipe = dataclasses.replace(task.recipes["demo"], name="tiny", config=config)
    task = dataclasses.replace(task, recipes={**task.recipes, "tiny": tiny_recipe})
    return RunPlan(
        task=task, recipe="tiny", upstream="spectrum", data=tmp_path, out=tmp_path / "runs", device="cpu"
    )


@pytest.mark.slow
def test_ten_checkpoints_and_two_selections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.make(tmp_path)
    this = plan(tmp_path, "asv", total_steps=20, log_step=2, eval_step=2, save_step=2)
    folder = run_dir(this)
    evaluate, calls = asv._evaluate, []

    def killed(run: object, step: int, splits: object) -> None:
        if step == 8 and not calls:
            calls.append(step)
            (folder / "partial-states-8").mkdir()
            raise KeyboardInterrupt
        evaluate(run, step, splits)

    monkeypatch.setattr(asv, "_evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        run(this)
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("states-*/test_predict.txt")}
    kept = (folder / "states-2" / "test_predict.txt").stat().st_mtime_ns
    result = run(this)
    assert done and (folder / "states-2" / "test_predict.txt").stat().st_mtime_ns == kept
    assert not list(folder.glob("partial-*"))

    report = [line.split() for line in (folder / "report.txt").read_text().splitlines()]
    assert [line[0] for line in report] == [f"states-{step}" for step in range(2, 21, 2)]
    eers = {line[0]: (float(line[2]), float(line[4])) for line in report}
    official, chosen, _ = result.metrics
    assert official.value == min(test for test, _ in eers.values())
    assert (
        official.official
        and official.role == "headline"
        and "lowest EER on the test trials" in official.selection
    )
    on_dev = min(eers, key=lambda name: (eers[name][1], int(name[7:])))
    assert chosen.value == eers[on_dev][0] and not chosen.official and "dev trials" in chosen.selection
    assert f"step {on_dev[7:]} of 20" in chosen.selection
    assert official.counts["trials"] == 36 and official.counts["targets"] == 9

    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == [line[0] for line in tiny.trials()]
    assert rows[0]["item"] == "id10270-video-1-00001 id10270-video-2-00002" and rows[0]["group"] == "id10270"
    assert [row["score"] for row in rows] == [
        line.split()[1] for line in (folder / "test_predict.txt").read_text().splitlines()
    ]
    assert {"test_predict.txt", "trials.csv", "report.txt"} <= result.artefacts.keys()

    (folder / "result.json").unlink()
    truth = folder / "states-4" / "test_truth.txt"
    truth.write_text(truth.read_text().replace(" 0\n", " 1\n", 1))
    with pytest.raises(RunFailed, match=r"states-4 holds 36 test trials, which are not the 36 of the list"):
        run(this)


@pytest.mark.slow
def test_a_trained_head_names_speakers_far_above_chance(tmp_path: Path) -> None:
    tiny.make(tmp_path)
    this = plan(tmp_path, "sid", eval_step=60, save_step=60)
    result = run(this)
    headline = result.metrics[0]
    assert headline.official and headline.split == "test" and headline.counts["utterances"] == 7
    # One in seven by chance; six of seven leaves room for another machine's rounding.
    assert headline.value >= 100 * 6 / 7
    assert len((run_dir(this) / "items.csv").read_text().splitlines()) == 8
