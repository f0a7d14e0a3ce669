"""The command `data`: corpora from a server of this machine, from archives, and as links."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import published
import pytest
from bringing import FLUENT, IEMOCAP, KS, left, run
from published import Publisher, tree

from downstream_runs.cli import data as data_command
from downstream_runs.cli import main as cli
from downstream_runs.corpora.fetching import bring, plan

WORDS, TEST = (f"{name}.tar.gz" for name in KS)


def change(tmp_path: Path, name: str, **fields: object) -> None:
    """Change what the sources say of a file."""
    file = tmp_path / "sources.json"
    listed = json.loads(file.read_text())
    for source in listed.values():
        for archive in source["archives"] if isinstance(source, dict) else ():
            for one in archive["files"]:
                if one["name"] == name:
                    one.update(fields)
    file.write_text(json.dumps(listed))


def test_a_served_corpus(
    server: Publisher, data: Path, label_demos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(data, "ks", "--plan")
    planned = capsys.readouterr().out
    assert f"fetched from {server.url}/{WORDS} (" in planned and "published SHA-256" in planned
    assert not data.exists() and not server.asked
    run(data, "ks")
    said = capsys.readouterr()
    assert f"next: {cli.PROGRAM} armhubert ks --data {data}" in said.out and not said.err
    for name in KS:
        assert tree(data / name) == tree(label_demos / name)
    assert left(data) == [] and server.asked == [WORDS, TEST]
    shutil.rmtree(data / plan.WORK)
    run(data, "ks")
    assert "nothing is to be fetched" in capsys.readouterr().out and len(server.asked) == 2
    assert not (data / plan.WORK).exists()  # a folder that cannot be written to will do
    (data / plan.WORK / f"unpacked-{WORDS}").mkdir(parents=True)
    for name in (WORDS, f"{TEST}.part", f"{TEST}.part.version"):  # of a kill between the last two steps
        (data / plan.WORK / name).touch()
    run(data, "ks")
    assert left(data) == []


@pytest.mark.parametrize(
    "faults",
    [
        ["cut 5000", "cut 5000"],
        ["other"],
        ["redirect http://example.org/x"],
        ["404"],
        ["shorter", "shorter"],
        ["longer", "500", "cut 0"],
    ],
    ids=str,
)
def test_faults_are_outlived(server: Publisher, data: Path, label_demos: Path, faults: list[str]) -> None:
    server.faults[WORDS] = list(faults)
    run(data, "ks")
    assert tree(data / KS[0]) == tree(label_demos / KS[0]) and left(data) == []


def test_what_cannot_be_had_is_one_sentence_and_the_rest_comes(
    server: Publisher, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults[WORDS] = ["other"] * 5
    run(data, "ks", code=2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith(f"error: {WORDS} cannot be fetched (127.0.0.1: ")
    assert "has the SHA-256" in error and str(data / plan.SHELF) in error
    assert not (data / KS[0]).exists() and (data / KS[1]).is_dir() and left(data) == []
    change(tmp_path, WORDS, sha256="0" * 64)
    (data / plan.SHELF).mkdir()
    shutil.copy(server.place / WORDS, data / plan.SHELF)
    run(data, "ks", code=2)
    assert f"{'0' * 64} is published" in capsys.readouterr().err and not (data / KS[0]).exists()


def test_without_a_network(
    server: Publisher, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (WORDS, TEST):
        change(tmp_path, name, urls=[f"https://127.0.0.1:9/{name}", f"https://nowhere.invalid/{name}"])
    run(data, "ks", code=2)
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "refused" in said.err and "red" not in said.out


@pytest.mark.parametrize("kind", ["escape", "bomb", "other corpus", "truncated"])
def test_hostile_archives(
    kind: str, server: Publisher, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a checksum that fits: a corpus that was bad when it was published."""
    shelf = tmp_path / "bad"
    shelf.mkdir()
    if kind == "escape":
        (shelf / "x").write_text("x")
        published.tar_gz(shelf / WORDS, shelf / "x", "../../../escaped")
    elif kind == "bomb":
        with (shelf / "x").open("wb") as file:
            file.truncate(200_000_000)
        published.tar_gz(shelf / WORDS, shelf / "x", "x")
    elif kind == "other corpus":
        shutil.copy(server.place / TEST, shelf / WORDS)
    else:
        (shelf / WORDS).write_bytes((server.place / WORDS).read_bytes()[:-3])
    server.place = shelf
    content = (shelf / WORDS).read_bytes()
    change(tmp_path, WORDS, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    run(data, "ks", code=2)
    error = capsys.readouterr().err
    expected = {"escape": "leads out of", "bomb": "more than", "truncated": "no whole archive"}
    assert expected.get(kind, "another archive") in error
    assert not (data / KS[0]).exists() and not list(tmp_path.rglob("escaped"))
    assert not list((data / plan.WORK).glob("unpacked-*"))


def test_terms_are_agreed_to_once(
    server: Publisher, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(data, "qbe", code=2)
    error = capsys.readouterr().err
    assert "free for research" in error and "--agree quesst14" in error and not server.asked
    run(data, "qbe", "--agree", "quesst", code=2)
    assert "expected of quesst14, wham" in capsys.readouterr().err
    run(data, "qbe", "--agree", "quesst14", code=2)
    assert "HTTP 404" in capsys.readouterr().err
    run(data, "qbe", code=2)
    assert "HTTP 404" in capsys.readouterr().err
    assert list(json.loads((data / plan.WORK / data_command.AGREED).read_text())) == ["quesst14"]


@pytest.mark.parametrize(("answer", "agreed"), [("y", True), ("Yes ", True), ("", False), (EOFError, False)])
def test_terms_are_asked_for_on_a_terminal(
    answer: str | type[EOFError], agreed: bool, server: Publisher, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(question: str) -> str:
        assert "QUESST 2014: free for research" in question
        if not isinstance(answer, str):
            raise answer
        return answer

    monkeypatch.setattr("builtins.input", say)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    run(data, "qbe", code=2)
    assert bool(server.asked) == agreed


def test_archives_that_were_asked_for(
    server: Publisher, data: Path, label_demos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(data, "ic", "er", code=2)
    planned = capsys.readouterr().out
    assert f"to request: {FLUENT}.tar.gz" in planned and "USC sends" in planned
    assert f"put it into {data / plan.SHELF}" in planned and (data / plan.SHELF).is_dir()
    shutil.copy(server.place / f"{FLUENT}.tar.gz", data)
    shutil.copy(
        server.place / f"{IEMOCAP}.tar.gz", data / plan.SHELF / "IEMOCAP_full_release_withoutVideos.tar.gz"
    )
    capsys.readouterr()
    run(data, "ic", "er")
    said = capsys.readouterr().out
    assert "20 of 112 audio files decoded" in said  # with a checksum
    assert "150 " in said and "20 of 150" not in said  # without one
    for name in (FLUENT, IEMOCAP):
        assert tree(data / name) == tree(label_demos / name)
    assert (data / f"{FLUENT}.tar.gz").is_file() and not server.asked
    sums = (data / plan.WORK / bring.SUMS).read_text()
    assert "  IEMOCAP_full_release_withoutVideos.tar.gz\n" in sums
    # The same name with another content, a second time.
    shutil.rmtree(data / IEMOCAP)
    shutil.copy(server.place / TEST, data / plan.SHELF / "IEMOCAP_full_release_withoutVideos.tar.gz")
    run(data, "er", code=2)
    assert "it had when it came first" in capsys.readouterr().err and not (data / IEMOCAP).exists()


def test_parts_that_are_missing_are_named(
    server: Publisher, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / plan.SHELF).mkdir(parents=True)
    for part in "abd":
        (data / plan.SHELF / f"vox1_dev_wav_parta{part}").write_bytes(b"x")
    run(data, "sid", "--plan")
    assert "(about 30 GB): vox1_dev_wav_partac missing" in capsys.readouterr().out


def test_a_corpus_that_is_there_is_left_alone(
    server: Publisher, data: Path, label_demos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(label_demos / KS[0], data / KS[0])
    shutil.rmtree(data / KS[0] / "yes")
    before = tree(data / KS[0])
    run(data, "ks", code=2)
    assert server.asked == [TEST] and tree(data / KS[0]) == before
    run(data, "ks", "--plan")
    assert "ks: " in capsys.readouterr().out


def test_no_room(
    server: Publisher, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 9_000_000))
    run(data, "ks", code=2)
    assert "has 9 MB free, about" in capsys.readouterr().err and not server.asked


def test_links(
    server: Publisher, data: Path, label_demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From other folders than ours; a corpus that is linked is never written to."""
    lab = tmp_path / "lab"
    for corpus, where in ((KS[0], "google/words"), (KS[1], "google/test12"), (IEMOCAP, "a/b/emotion")):
        shutil.copytree(label_demos / corpus, lab / where)
    (lab / "secret").mkdir(mode=0)
    before = tree(lab)
    run(data, "ks", "er", "--link", str(lab))
    said = capsys.readouterr().out
    assert f"{KS[0]} -> {lab / 'google/words'}" in said and "next: " in said
    run(data, "ks", "er", "ic", "--link", str(lab), code=2)
    assert f"{KS[0]}: there" in capsys.readouterr().out
    assert tree(lab) == before and not server.asked
    shutil.rmtree(lab / "google/test12")
    run(data, "ks", code=2)  # perhaps a disk that is not mounted
    assert "which is not there: mount it, or remove the link" in capsys.readouterr().err and not server.asked


def test_nothing_is_put_behind_a_link(
    server: Publisher, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab" / "LibriSpeech").mkdir(parents=True)
    data.mkdir(parents=True)
    (data / "LibriSpeech").symlink_to(tmp_path / "lab" / "LibriSpeech")
    run(data, "asr", code=2)
    assert "nothing is written into a corpus" in capsys.readouterr().err
    assert tree(tmp_path / "lab", hidden=True) == {} and not server.asked


def test_verify(server: Publisher, data: Path, label_demos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(label_demos / FLUENT, data / FLUENT)
    run(data, "ic", "--verify")
    first = capsys.readouterr().out
    assert "112 files decoded to their ends, together SHA-256 " in first
    out = ["--data", str(data), "--out", str(data.parent / "out")]
    assert cli.main(["check", "ic", *out]) == 0
    today = datetime.now(timezone.utc).date().isoformat()
    assert f"all 112 audio files were decoded to their ends on {today}, " in capsys.readouterr().out
    path = next((data / FLUENT).rglob("*.wav"))
    content = path.read_bytes()
    path.write_bytes(content[:-2] + b"\x01\x02")
    os.utime(path, ns=(0, 10**18))
    run(data, "ic", "--verify")
    changed = f"{path.relative_to(data / FLUENT)} has changed since it was verified"
    assert changed in capsys.readouterr().out
    path.write_bytes(content)
    assert cli.main(["check", "ic", *out]) == 0
    said = capsys.readouterr()
    assert "all 112 audio files were decoded" in said.out and changed in said.err
    others = [other for other in sorted((data / FLUENT).rglob("*.wav")) if other != path][:2]
    for one in (path, *others):
        one.write_bytes(one.read_bytes()[: one.stat().st_size // 2])
    run(data, "ic", "--verify", code=2)
    said = capsys.readouterr()
    assert all(one.name in said.out for one in (path, *others))
    assert cli.main(["fbank", "ic", *out]) == 2
    assert "(and 2 more problems)" in capsys.readouterr().err


KILLED = """
import sys
sys.path[:0] = [{support!r}]
from downstream_runs.corpora.fetching import sources
from pathlib import Path
sources.FILE = Path({file!r})
from downstream_runs.cli import main
sys.exit(main.main(sys.argv[1:]))
"""


def test_killed_at_some_moment(server: Publisher, data: Path, label_demos: Path, tmp_path: Path) -> None:
    """A sample of benchmarks/data_faults.py, which kills at 200 moments."""
    words = ["data", "ks", "--data", str(data), "--out", str(tmp_path / "out")]
    code = KILLED.format(support=str(Path(published.__file__).parent), file=str(tmp_path / "sources.json"))
    server.faults[WORDS] = ["slow"] * 3
    process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL)
    part = data / plan.WORK / f"{WORDS}.part"
    while not (part.is_file() and part.stat().st_size > 20_000):
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (data / KS[0]).exists() and part.is_file()
    (data / plan.WORK / f"unpacked-{WORDS}" / "yes").mkdir(parents=True)  # as other moments leave it
    (data / plan.WORK / ".SHA256SUMS.x.tmp").touch()
    run(data, "ks")
    assert tree(data / KS[0]) == tree(label_demos / KS[0]) and left(data) == []
    assert any(asked.startswith(f"{WORDS} bytes=") for asked in server.asked)
