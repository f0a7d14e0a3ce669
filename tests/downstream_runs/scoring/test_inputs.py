"""What every scorer makes of files that are no plain, bounded text: one sentence, soon, in little memory."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from downstream_runs.cli.main import main as cli
from downstream_runs.scoring import groundtruth, inputs, rttm, stdlist, trials, wer
from downstream_runs.scoring.names import ScoringError


def main(arguments: list[str]) -> int:
    return cli(["score", *arguments])


ROOT = Path(__file__).parents[3]
METRICS = ("wer", "cer", "per", "acc", "sf", "der", "eer", "mtwv")
READERS = [
    wer.read_ark,
    wer.read_tsv,
    wer.read_csv,
    rttm.read,
    rttm.read_uem,
    trials.read,
    stdlist.read,
    groundtruth.read_queries,
]


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["named pipe", "device", "folder", "socket", "absent"])
def test_what_is_no_file_is_one_sentence(
    metric: str, kind: str, tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "it"
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "socket":
        import socket

        socket.socket(socket.AF_UNIX).bind(str(path))
    ref = data_dir / "oracles" / "qbe_digits" if metric == "mtwv" else path
    assert main([metric, "--ref", str(ref), "--hyp", str(path)]) == 2
    out, err = capsys.readouterr()
    word = {"absent": "No such file", "socket": ""}.get(kind, f"{path} cannot be read (it is a {kind}, a")
    assert out == "" and err.startswith(f"error: {path}") and err.count("\n") == 1 and word in err


def test_a_pipe_among_the_files_of_a_ground_truth_or_as_uem(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.tlist.xml", "a.ecf.xml", "a.rttm"):
        os.mkfifo(tmp_path / name)
    system = data_dir / "oracles" / "qbe_digits" / "mfcc_dtw_top20.stdlist.xml.gz"
    assert main(["mtwv", "--ref", str(tmp_path), "--hyp", str(system)]) == 2
    err = capsys.readouterr().err
    assert "a.tlist.xml cannot be read (it is a named pipe, a regular file was expected), a <term" in err
    turns = data_dir / "oracles" / "sd" / "dscore_unit.ref.rttm"
    assert main(["der", "--ref", str(turns), "--hyp", str(turns), "--uem", str(tmp_path / "a.rttm")]) == 2
    assert "a.rttm cannot be read (it is a named pipe" in capsys.readouterr().err


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "data", [b"\0" * (64 << 20), b"u1 a\n" * 1000, b"\n" * (5 << 18)], ids=["line", "lines", "blank"]
)
def test_a_small_file_that_unpacks_to_a_large_one(
    read: object, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "LIMIT", 1 << 20)
    with pytest.raises(ScoringError) as caught:
        read(put(tmp_path / "x.gz", data))  # type: ignore[operator]
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    if data[:1] == b"\n" and read not in (stdlist.read, groundtruth.read_queries):
        assert "holds more than 1 MiB of text (unpacked), which is the most that is read" in str(caught.value)


@pytest.mark.parametrize("metric", METRICS)
def test_a_bomb_takes_little_memory(metric: str, tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(400):
            file.write(b"x" * (1 << 20))
    ref = data_dir / "oracles" / "qbe_digits" if metric == "mtwv" else path
    code = (
        "import sys; from downstream_runs.cli.main import main; done = main(['score', *sys.argv[1:]]); "
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]); sys.exit(done)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, metric, "--ref", ref, "--hyp", path],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert int(done.stdout) < 100_000  # KB


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"u1 a\nu2 \xff b\n", r"line 2 cannot be read \(byte 0xff at 4 is no UTF-8\).*iconv"),
        ("u1 a\n".encode("utf-16"), r"line 1 cannot be read \(byte 0xff at 1 is no UTF-8\)"),
        ("u1 a\n".encode("utf-16-le"), "line 1 holds a zero byte"),
        (b"u1 a\nu2 b\0c\n", "line 2 holds a zero byte"),
        (b"u1 a\ru2 b\r", "line 1 holds a carriage return"),
        (b"u1 " + b"a" * (1 << 20) + b"\n", "line 1 has more than 1,048,576 bytes"),
    ],
)
def test_bytes_that_are_no_lines_of_text(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match=message):
        wer.read_ark(put(tmp_path / "x.ark", data))


def test_marks_of_other_systems_change_nothing(tmp_path: Path) -> None:
    expected = {"u1": "a b", "u2": ""}
    assert wer.read_ark(put(tmp_path / "x.ark", b"\xef\xbb\xbfu1 a b\r\nu2 \r\n\r\n")) == expected
    assert wer.read_tsv(put(tmp_path / "x.tsv", b"\xef\xbb\xbfu1\ta b\r\nu2\t")) == expected
    assert wer.read_csv(put(tmp_path / "x.csv", b'\xef\xbb\xbf"u1",a b\r\nu2,""\r\n')) == expected
    line = b"\xef\xbb\xbfSPEAKER f 1 0 1.5 <NA> <NA> A <NA> <NA>\r\n"
    assert rttm.read(put(tmp_path / "x.rttm", line)) == {"f": [rttm.Turn("A", 0.0, 1.5)]}
    table = b"\xef\xbb\xbfitem,label,score\r\na,1,0.5\r\nb,0,0.25\r\n"
    assert trials.read(put(tmp_path / "t.csv", table)) == ([1, 0], [0.5, 0.25])
    longest = b"u1 " + b"a" * ((1 << 20) - 4) + b"\n"
    assert len(wer.read_ark(put(tmp_path / "x.ark", longest))["u1"]) == (1 << 20) - 4


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "x.ark", b"u1 a\nu2 b\n")
    monkeypatch.setattr(inputs, "LIMIT", 10)
    assert len(wer.read_ark(path)) == 2
    monkeypatch.setattr(inputs, "LIMIT", 9)
    with pytest.raises(ScoringError, match="holds more than 0 MiB"):
        wer.read_ark(path)
    monkeypatch.setattr(inputs, "LIMIT", 10)
    assert b"".join(inputs.blocks(path, "a file")) == b"u1 a\nu2 b\n"


@pytest.mark.parametrize("text", ["1", "-2.5", "1e300", "-1e300", ".5", "0"])
def test_numbers(text: str) -> None:
    assert inputs.number(text) == float(text)


@pytest.mark.parametrize(
    "text", ["", "x", "nan", "inf", "-inf", "1e301", "1_0", "0x10", "9" * 5000, "1,5", "--1"]
)
def test_what_is_no_finite_number(text: str) -> None:
    assert inputs.number(text) != inputs.number(text)


HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("metric", "name", "text", "message"),
    [
        ("eer", "t.tsv", f"item\tlabel\tscore\na\t1\t{HUGE}\nb\t0\t1\n", "line 2: the score is '999"),
        ("eer", "t.tsv", f"item\tlabel\tscore\na\t{HUGE}\t1\nb\t0\t1\n", "line 2: the label is '999"),
        ("eer", "t.csv", 'item,label,score\n"a,1,2\n', "line 2: '\"a,1,2' cannot be parted"),
        ("eer", "t.csv", "item,label,score,score\na,1,2,3\n", "has the column 'score' twice"),
        (
            "eer",
            "t.csv",
            "item,label,score\na,1,nan\n",
            "line 2: the score is 'nan', a finite number, no further",
        ),
        ("der", "t.rttm", f"SPEAKER f 1 {HUGE} 1 <NA> <NA> A <NA> <NA>\n", "are no two times in seconds"),
        ("wer", "t.csv", 'u1,"a\nu2,b"\n', "line 1: 'u1,\"a' is not of the form"),
        ("wer", "t.csv", 'u1,"a" b\n', "line 1: 'u1,\"a\" b' is not of the form"),
    ],
)
def test_numbers_and_quotes_that_cannot_be_read(
    metric: str, name: str, text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(put(tmp_path / name, text.encode()))
    assert main([metric, "--ref", path, "--hyp", path]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and len(err) < 600


def test_options_beyond_all_numbers(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turns = str(data_dir / "oracles" / "sd" / "dscore_unit.ref.rttm")
    out_of_range = "is no time in seconds, 0 to 1000000 was expected"
    huge = HUGE[:4000]
    for collar, says in (("1e300", out_of_range), (huge, "is no finite number"), ("1000001", out_of_range)):
        assert main(["der", "--ref", turns, "--hyp", turns, "--collar", collar]) == 2
        assert says in capsys.readouterr().err
    folder = data_dir / "oracles" / "qbe_digits"
    system = str(folder / "mfcc_dtw_top20.stdlist.xml.gz")
    for score in ("nan", "inf", huge):
        assert main(["mtwv", "--ref", str(folder), "--hyp", system, "--default-score", score]) == 2
        assert "--default-score" in (said := capsys.readouterr().err) and "is no finite number" in said


def test_the_largest_scores_still_have_an_error_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "a\t1\t1e300\nb\t0\t-1e300\nc\t1\t-1e300\nd\t0\t1e300\ne\t0\t0\n"
    path = put(tmp_path / "t.tsv", f"item\tlabel\tscore\n{rows}".encode())
    assert main(["eer", "--hyp", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rate"] == pytest.approx(0.5) and abs(found["counts"]["threshold"]) <= 1e300
