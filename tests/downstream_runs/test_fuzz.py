"""Malformed files of every kind that is read: each ends in one sentence of ours or is read, nothing else."""

from __future__ import annotations

import io
import itertools
import json
import random
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downstream_runs.core import queue, records, results
from downstream_runs.corpora import audio, markers, transcripts
from downstream_runs.corpora import data_root as settings
from downstream_runs.engine import checkpoints
from downstream_runs.features import cache
from downstream_runs.runs import status, verify
from downstream_runs.scoring import groundtruth, rttm, stdlist, trials, wer
from upstream_arm import checkpoint, config_yaml
from upstream_arm.common.errors import ReportError, RunFailed, UpstreamError, UsageError

OURS = (
    UsageError,
    RunFailed,
    ReportError,
    UpstreamError,
    audio.AudioProblem,
    transcripts.TranscriptProblem,
)
EACH = 18
LENIENT = ("events.txt", "jobs.jsonl", "item.pack", "item.index")
"""Journals are read as far as they go, and a stored item that is damaged counts as absent."""


def transcript(path: Path) -> None:
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        transcripts.parse_line(line)


def run_folder(path: Path) -> None:
    """What status, the timer and the engine make of a journal."""
    path.rename(path.with_name("events.jsonl"))
    path.with_name("metrics.jsonl").write_bytes(path.with_name("events.jsonl").read_bytes())
    path.with_name("plan.json").write_bytes(path.with_name("events.jsonl").read_bytes())
    path.with_name("lock").write_bytes(path.with_name("events.jsonl").read_bytes())
    records.seconds(path.parent)
    records.begun(path.parent)
    status.of_run(path.parent)


def toml(path: Path) -> None:
    path.rename(path.with_name("superb.toml"))
    settings.data_root(None, {}, path.parent)


def ground_truth(path: Path) -> None:
    """The documents of a ground truth, whose other two files are whole."""
    (path.parent / "truth.tlist.xml").write_text(
        '<termlist><term termid="q1"><termtext>a</termtext></term></termlist>'
    )
    (path.parent / "truth.rttm").write_text("LEXEME d1 1 0 1.0 q1 lex SELF <NA>\n")
    groundtruth.read(path.parent)


def jobs(path: Path) -> None:
    """What status makes of the list of Slurm's jobs."""
    (path.parent / "slurm").mkdir()
    path.rename(path.parent / queue.JOBS)
    list(status.find(path.parent))


KEY = "ab" + 62 * "0"


def stored(path: Path) -> None:
    """An item of the store of features; one that is damaged is none."""
    (path.parent / "host-0.index").write_text(f"{KEY} 0 {path.stat().st_size}\n")
    path.rename(path.parent / "host-0.pack")
    cache.FeatureCache(path.parent).get(KEY)


def index(path: Path) -> None:
    """A damaged index of the store of features."""
    path.rename(path.parent / "host-0.index")
    (path.parent / "host-0.pack").write_bytes(bytes(200))
    store = cache.FeatureCache(path.parent)
    store.get(KEY)
    store.get(KEY, 0)


READERS: dict[str, Callable[[Path], Any]] = {
    "a.flac": audio.decode,
    "a.wav": audio.decode,
    "a.yaml": config_yaml.load_yaml,
    "result.json": results.read,
    "a.ckpt": checkpoint.read,
    "a.pt": checkpoints.read_tensors,
    "a.rttm": rttm.read,
    "a.uem": rttm.read_uem,
    "hyp.ark": wer.read_ark,
    "hyp.tsv": wer.read_tsv,
    "queries.tlist.xml": groundtruth.read_queries,
    "kws.stdlist.xml": stdlist.read,
    "trials.csv": trials.read,
    "items.csv": verify._shares,
    "1-2.trans.txt": transcript,
    "data.toml": toml,
    "events.txt": run_folder,
    "truth.ecf.xml": ground_truth,
    "item.pack": stored,
    "item.index": index,
    "jobs.jsonl": jobs,
}


def sound(kind: str) -> bytes:
    import numpy as np
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 2000), 16000, format=kind)
    return file.getvalue()


def tensors() -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"Student": {"weight": torch.zeros(3)}, "Config": {"model": {"n": 1}}, "step": 3}, file)
    return file.getvalue()


def item() -> bytes:
    import torch

    with tempfile.TemporaryDirectory() as folder:
        cache.FeatureCache(Path(folder)).put(KEY, {"frames": torch.zeros(3, 4)})
        return next(Path(folder).rglob("*.pack")).read_bytes()


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    """A whole file of each kind, or something close to one."""
    time = "2026-01-01T00:00:00.000+00:00"
    event = json.dumps({"event": "checkpoint", "step": 3, "time": time, "pid": 3, "host": "x"})
    metric = json.dumps(
        {"event": "start", "step": 2, "time": time, "split": "dev", "scores": {"wer": {"value": 1}}}
    )
    saved = tensors()
    return {
        "a.flac": sound("FLAC"),
        "a.wav": sound("WAV"),
        "a.yaml": b"layers: 12\nwidth: 3\n",
        "result.json": json.dumps({"schema_version": 1, "labels": [], "metrics": [{}], "seed": 1}).encode(),
        "a.ckpt": saved,
        "a.pt": saved,
        "a.rttm": b"SPEAKER a 1 0.0 1.5 <NA> <NA> one <NA> <NA>\n",
        "a.uem": b"a 1 0.0 9.5\nb 1 0.0 3.0\n",
        "hyp.ark": b"1-2-3 ONE TWO\n1-2-4 THREE\n",
        "hyp.tsv": b"1-2-3\tONE TWO\n1-2-4\tTHREE\n",
        "queries.tlist.xml": b'<termlist><term termid="q1"><termtext>a</termtext></term></termlist>',
        "kws.stdlist.xml": b'<stdlist><detected_termlist termid="q1">'
        b'<term file="d1" score="0.5" decision="YES"/></detected_termlist></stdlist>',
        "trials.csv": b"split,item,group,label,score\ntest,a b,a,1,0.9\ntest,a c,a,0,0.1\n",
        "items.csv": b"metric,split,item,group,numerator,denominator\nwer,test,a,a,1,3\n",
        "1-2.trans.txt": b"1-2-3 ONE TWO\n1-2-4 THREE\n",
        "data.toml": b'data = "."\n',
        "truth.ecf.xml": b'<ecf version="1"><excerpt audio_filename="Audio/d1.wav" dur="1.0"/></ecf>',
        "item.pack": item(),
        "item.index": f"{KEY} 0 150\n".encode(),
        "jobs.jsonl": b'{"run": "fbank/asr/a", "job": "1", "log": "/l", "end": "/e", "step": 0}\n',
        "events.txt": (event + "\n" + metric + "\n").encode(),
    }


NESTED = b"[" * 5000
SPLICES = (
    b"\x00",
    b"\xff\xfe",
    b"nan",
    b"-1",
    b"1e999",
    b"9" * 400,
    b"\n",
    b"\t",
    b'"',
    b"<!--",
    b"{",
    b"&x;",
    b"../..",
)


def malformed(data: bytes, number: int, chance: random.Random) -> bytes:
    """The `number`-th way of damaging a file."""
    if number == 0:
        return b""
    if number == 1:
        return NESTED
    if number == 2:
        return b"\xef\xbb\xbf" + data.replace(b"1", b"-1e999")
    if number == 3:
        return data.decode("latin-1").encode("utf-16")
    if number == 4:
        return data + data
    if number == 5:
        return chance.randbytes(300)
    if number == 6:
        return b"null"
    if number < 10:
        return data[: chance.randrange(len(data))]
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(damaged))
        if number < 14:
            damaged[place] ^= 1 << chance.randrange(8)
        else:
            damaged[place : place + chance.randrange(4)] = chance.choice(SPLICES)
    return bytes(damaged)


def check(reader: Callable[[Path], Any], path: Path) -> bool:
    """Whether the reader refused the file, which it does in one sentence."""
    try:
        reader(path)
    except OURS as error:
        text = str(error)
        assert text and "\n" not in text and "Traceback" not in text and len(text) < 2000
        return True
    return False


@pytest.mark.parametrize("name", READERS)
def test_malformed_files_end_in_one_sentence(name: str, good: dict[str, bytes], tmp_path: Path) -> None:
    refused = 0
    for number in range(EACH):
        folder = tmp_path / str(number)
        folder.mkdir()
        data = malformed(good[name], number, random.Random(f"{name} {number}"))
        (folder / name).write_bytes(data)
        refused += check(READERS[name], folder / name)
        assert not list(folder.rglob("*.tmp"))
    # Of every kind but the lenient ones most must be refused.
    assert refused >= (0 if name in LENIENT else EACH // 3)


def test_there_are_enough_of_them() -> None:
    assert EACH * len(READERS) >= 200


BOMB = b"""<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">%b]><termlist><term termid="&z;"/></termlist>"""


def entity_bomb() -> bytes:
    names = "abcdefghijz"
    levels = (f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in itertools.pairwise(names))
    return BOMB.replace(b"%b", "".join(levels).encode())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("queries.tlist.xml", entity_bomb()),
        (
            "queries.tlist.xml",
            b'<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><termlist>&x;</termlist>',
        ),
        ("a.yaml", b"a: &a [x]\nb: &b [*a, *a]\nc: !!python/object/apply:os.system [id]\n"),
        ("a.yaml", b"{" * 3000),
        ("a.yaml", b"student: {layers: " + b"9" * 5000 + b"}"),
        ("data.toml", b"data = " + b"9" * 5000),
        ("data.toml", b"data = " + b"[" * 5000),
        ("a.wav", b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WAVEfmt " + bytes(16)),
        ("a.flac", b"fLaC" + bytes(34)),
        ("result.json", b'{"schema_version": ' + b"9" * 5000 + b"}"),
        ("hyp.ark.gz", b"\x1f\x8b" + bytes(20)),
    ],
)
def test_files_made_to_harm(name: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    reader = READERS.get(name, wer.read_ark)
    assert check(reader, path)


def test_a_checkpoint_that_would_run_code_or_leave_its_folder(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (print, ("this must not be printed",))

    import torch

    path = tmp_path / "evil.ckpt"
    torch.save({"Student": Evil()}, path)
    assert check(checkpoint.read, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../data.pkl", b"\x80\x02.")
    assert check(checkpoint.read, path)


def test_a_manifest_is_read_or_not(tmp_path: Path) -> None:
    for number in range(EACH):
        data = malformed(b'{"files": {"a.flac": "00"}}', number, random.Random(number))
        markers.manifest_of(tmp_path, markers.DEMO).write_bytes(data)
        assert isinstance(markers.read_manifest(tmp_path, markers.DEMO), dict | None)
