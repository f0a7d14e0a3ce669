"""Runs go into repositories of results and come out of them: whole, checked, and without one's paths."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tampering

from downstream_runs.cli.main import main
from downstream_runs.core import results
from downstream_runs.share import bundle, publishing, repository
from downstream_runs.share.making import Maker
from downstream_runs.share.private import Hidden
from upstream_arm.common.errors import ReportError, UsageError

BUNDLES = Path(__file__).resolve().parents[2] / "data" / "bundles"
#: Tasks that need nothing of their corpus.
TASKS = ("asr", "ks", "er", "asv")


def run_of(task: str, runs: Path) -> Path:
    """A recorded run of a task, as the engine leaves it, made on a machine with paths of its own."""
    found = next(one for one in repository.listed(BUNDLES) if one.parts[-3:-1] == ("fbank", task))
    folder = runs / "fbank" / task / bundle.read(found).run
    shutil.copytree(found, folder)
    (folder / "bundle.json").unlink()
    result = results.read(folder / "result.json")
    corpus = dataclasses.replace(result.corpus, root="/home/Jane Doe/corpora/x")
    command = ("./run_superb.sh", "--data", "/home/Jane Doe/corpora", f"--out={runs.absolute()}")
    said = (*result.deviations, "the list /home/Jane Doe/corpora/x/list.txt is another")
    results.write(
        folder / "result.json",
        dataclasses.replace(result, corpus=corpus, command=command, deviations=said),
    )
    return folder


@pytest.fixture()
def runs(tmp_path: Path) -> Path:
    for task in TASKS:
        run_of(task, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture()
def bare(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "hub.git")], check=True)
    return tmp_path / "hub.git"


@pytest.fixture()
def hub(bare: Path) -> Iterator[str]:
    """The bare repository behind a git server on this machine."""
    programs = subprocess.run(
        ["git", "--exec-path"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not (Path(programs) / "git-daemon").exists():
        pytest.skip("needs git's daemon")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--export-all", "--enable=receive-pack", "--listen=127.0.0.1", f"--port={port}"]
    server = subprocess.Popen(["git", "daemon", *words, f"--base-path={bare.parent}", "--reuseaddr"])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"git://127.0.0.1:{port}/{bare.name}"
    finally:
        server.terminate()
        server.wait()


def places(where: Path) -> list[str]:
    return [json.loads(line)["bundle"] for line in (where / "index.jsonl").read_text().splitlines()]


def test_a_folder_gets_bundles_an_index_and_nothing_of_the_machine(runs: Path, tmp_path: Path) -> None:
    to = tmp_path / "shared"
    assert main(["publish", str(runs), "--to", str(to), "--by", "Jane"]) == 0
    assert places(to) == sorted(places(to)) and len(places(to)) == len(TASKS)
    everything = b"".join(path.read_bytes() for path in to.rglob("*") if path.is_file())
    for private in (b"Jane Doe", b"/home", os.fsencode(tmp_path)):
        assert private not in everything
    assert b"/path/to/x/list.txt is another" in everything
    assert not [path for path in to.rglob("*") if path.suffix in (".wav", ".ckpt", ".log")]


def test_who_shares_is_whom_git_knows(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(tmp_path / "config"))
    words = ["publish", str(runs), "--to", str(tmp_path / "shared")]
    assert main(words) == 2 and "add --by NAME" in capsys.readouterr().err
    (tmp_path / "config").write_text("[user]\n\tname = Jane Doe\n")
    assert main(words) == 0
    assert '"Jane Doe"' in (tmp_path / "shared" / "index.jsonl").read_text()


def test_publishing_again_changes_nothing(runs: Path, tmp_path: Path) -> None:
    maker, to = Maker("Jane"), str(tmp_path / "shared")
    first, second = (publishing.publish([runs], to, maker) for _ in range(2))
    assert (len(first.made), second.made, len(second.known)) == (len(TASKS), [], len(TASKS))


def test_what_is_damaged_in_a_repository_keeps_nobody_from_sharing(runs: Path, tmp_path: Path) -> None:
    to = Path(shutil.copytree(BUNDLES, tmp_path / "shared"))
    (repository.listed(to)[0] / "bundle.json").write_text("{")
    done = publishing.publish([runs / "fbank" / "ks"], str(to), Maker("Jane"))
    assert (len(done.made), len(done.refused)) == (1, 1)
    assert len(places(to)) == len(repository.listed(BUNDLES))


def test_a_git_server_takes_bundles_and_gives_them(
    runs: Path, hub: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(runs), "--to", hub, "--by", "Jane"]) == 0
    assert main(["pull", hub, "--out", str(tmp_path / "mine")]) == 0
    found = sorted((tmp_path / "mine" / "theirs" / "hub").rglob("bundle.json"))
    assert len(found) == len(TASKS)
    assert main(["verify", str(found[0].parent)]) == 0
    assert "all agree" in capsys.readouterr().out
    # What is one's own comes back as nobody's.
    assert main(["pull", hub, "--out", str(runs)]) == 0
    assert not (runs / "theirs").exists()


def test_two_who_push_at_a_time_both_arrive(runs: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push, hurry = repository.push, iter([True])

    def late(clone: Path) -> bool:
        if next(hurry, False):
            publishing.publish([runs / "fbank" / "ks"], str(bare), Maker("Other"))
        return push(clone)

    monkeypatch.setattr(repository, "push", late)
    publishing.publish([runs / "fbank" / "asr"], str(bare), Maker("Jane"))
    with repository.opened(str(bare)) as clone:
        assert [place.split("/")[2] for place in places(clone)] == ["asr", "ks"]


def test_branches_with_other_bundles_merge_without_a_conflict(runs: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"

    def git(*words: str) -> None:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.invalid")
        subprocess.run(["git", "-C", str(work), *identity, *words], check=True, capture_output=True)

    work.mkdir()
    git("init", "--initial-branch=main")
    for branch, task in (("main", "asr"), ("one", "er"), ("two", "ks")):
        git("checkout", "-B", branch, *(["main"] if branch != "main" else []))
        publishing.publish([runs / "fbank" / task], str(work), Maker("Jane"))
        git("add", "--all")
        git("commit", "--message", branch)
    git("checkout", "one")
    git("merge", "two")
    merged = sorted((work / "index.jsonl").read_text().splitlines())
    repository.write_index(work)
    assert merged == (work / "index.jsonl").read_text().splitlines()
    assert len(merged) == 3


KILLED = """
import os, signal, sys
from downstream_runs.cli.main import main
from downstream_runs.share import repository
put, calls = repository.put, []
def dying(*arguments):
    calls.append(arguments)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(*arguments)
repository.put = dying
main(sys.argv[1:])
"""


def test_what_a_killed_process_left_is_never_taken_for_whole(runs: Path, tmp_path: Path) -> None:
    to = tmp_path / "shared"
    words = ["publish", str(runs), "--to", str(to), "--by", "Jane"]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert len(repository.listed(to)) == 1
    assert not publishing.pull(str(to), tmp_path / "mine").refused
    left = next(to.glob(".new-*"))
    os.utime(left, (0, 0))
    assert main(words) == 0
    assert len(places(to)) == len(TASKS) and not left.exists()


def test_a_run_with_a_changed_file_is_not_shared(runs: Path, tmp_path: Path) -> None:
    file = next(runs.glob("fbank/ks/*/test_predict.txt"))
    file.write_text(file.read_text() + "more.wav yes\n")
    with pytest.raises(UsageError, match="not the file that"):
        publishing.publish([runs], str(tmp_path / "shared"), Maker("Jane"))
    assert not (tmp_path / "shared" / "index.jsonl").exists()


@pytest.mark.parametrize("by", ["", "<b>", "x" * 41, "a\nb", "=1+1"])
def test_a_name_that_no_table_should_show_is_refused(by: str, runs: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="a name of at most"):
        publishing.publish([runs / "fbank" / "ks"], str(tmp_path / "shared"), Maker(by))


def test_a_folder_of_other_things_is_no_repository(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    with pytest.raises(UsageError, match="no repository of results"):
        publishing.publish([runs], str(tmp_path / "thesis"), Maker("Jane"))


def moved(folder: Path) -> None:
    folder.rename(folder.with_name("0" * 16))


def link_to_folder(folder: Path) -> None:
    target = folder.parents[3] / "elsewhere"
    folder.rename(target)
    folder.symlink_to(target)


#: What is done to a bundle in a repository, and whether it is told (a link is passed over in silence).
DAMAGES = {
    "a changed number": (lambda one: tampering.edit(one / "result.json", lambda c: c.update(seed=1)), True),
    "an opened manifest": (lambda one: (one / "bundle.json").write_text("{}"), True),
    "a path out of it": (tampering.FOLDERS["a path out of the bundle"], True),
    "a link to a file": (tampering._link, True),
    "a recording": (tampering.FOLDERS["a recording in it"], True),
    "another place": (moved, True),
    "a link to a folder": (link_to_folder, False),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_pull_leaves_out_what_is_damaged_and_takes_the_rest(damage: str, tmp_path: Path) -> None:
    source = Path(shutil.copytree(BUNDLES, tmp_path / "source"))
    change, told = DAMAGES[damage]
    change(next(one for one in repository.listed(source) if one.parts[-2] == "sid"))
    for other in ("asv", "er", "qbe", "sd"):
        shutil.rmtree(source / "bundles" / "fbank" / other)
    done = publishing.pull(str(source), tmp_path / "mine")
    assert len(done.refused) == told
    assert len(done.made) == len(repository.listed(source)) - told
    assert not list((tmp_path / "mine").rglob(".new-*")) and not any("sid" in one for one in done.made)


def test_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "FILE_BYTES", 1000)
    done = publishing.pull(str(BUNDLES), tmp_path / "mine")
    assert not done.made and all("bytes, at most" in one for one in done.refused)


@pytest.mark.parametrize("where", ["ext::sh -c touch%20x", "--upload-pack=touch x", "nowhere"])
def test_what_is_no_repository_is_a_sentence(where: str, tmp_path: Path) -> None:
    assert main(["pull", "--out", str(tmp_path / "mine"), "--", where]) == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/a/x.ckpt", "/path/to/x.ckpt"),
        ("--data=/srv/a b/c", "--data=/path/to/a b/c"),
        ("py:/home/a/m.py:NAME:KEY=/srv/x", "py:/path/to/m.py:NAME:KEY=/path/to/x"),
        ("file:///home/a/x.csv", "file:///path/to/x.csv"),
        ("see https://example.org/a/b and/or c", "see https://example.org/a/b and/or c"),
        ("in /home/Jane Doe/data/x: bad", "in /path/to/data/x: bad"),
        ("~/x/y or ~bob/x", "/path/to/y or /path/to/x"),
        ("/home/b c/x y", "/path/to/x y"),
        ("hf:ORG/NAME", "hf:ORG/NAME"),
        ("/root/hub/models--sungnyun--ARMHuBERT/blobs/0f", "/path/to/models--sungnyun--ARMHuBERT/blobs/0f"),
    ],
)
def test_of_a_path_its_last_part_stays(text: str, shown: str) -> None:
    assert Hidden(("/home/Jane Doe/data", "/home/Jane Doe")).text(text) == shown
    assert Hidden(()).text(shown) == shown


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"upstream_source": "py:evil.py:Model", "upstream_revision": "0" * 64}, "py:evil.py:Model"),
        (
            {"upstream_source": "hf:evil/model", "upstream_revision": "0", "upstream_remote_code": True},
            "hf:evil/model",
        ),
        ({"upstream_switches": {"ckpt_url": "https://example.org/evil.pt"}}, "evil.pt"),
        ({"command": ["./run_superb.sh", "x_url", "ks", "--ckpt", "http://example.org/a.pt"]}, "a.pt"),
        ({"command": ["./run_superb.sh", "fbank", "x", "--task-file", "evil.py"]}, "evil.py"),
    ],
)
def test_repeat_runs_no_code_that_a_bundle_names(
    changes: dict[str, object], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = next(one for one in repository.listed(BUNDLES) if one.parts[-2] == "ks")
    copy = Path(shutil.copytree(source, tmp_path / "bundle"))
    tampering.edit(copy / "result.json", lambda content: content.update(changes))
    tampering.reseal(copy)
    assert main(["repeat", str(copy), "--out", str(tmp_path / "again")]) == 2
    told = capsys.readouterr().err
    assert named in told and "can be code" in told
    assert not (tmp_path / "again").exists()


def test_verify_knows_a_bundle_by_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    source = next(one for one in repository.listed(BUNDLES) if one.parts[-2] == "ks")
    assert main(["verify", str(source / "result.json")]) == 0
    assert "all agree" in capsys.readouterr().out
