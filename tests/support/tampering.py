"""What somebody might change in a bundle, and how they would renew its hashes to hide it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BUNDLE, RESULT = "bundle.json", "result.json"
Content = dict[str, Any]


def canonical(content: Content, without: str = "") -> str:
    """The SHA-256 that the project's JSON files have of themselves."""
    kept = {key: value for key, value in content.items() if key != without}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edit(path: Path, change: Callable[[Content], object]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2) + "\n")


def reseal(folder: Path) -> None:
    """Renew every hash of a bundle: of artefacts, configuration, results, files and the bundle itself."""
    for path in [*sorted(folder.glob("fold*/result.json")), folder / RESULT]:

        def renew(content: Content, path: Path = path) -> None:
            for name in content["artefacts"]:
                if (path.parent / name).is_file():
                    content["artefacts"][name] = sha256(path.parent / name)
            content["config_hash"] = canonical(content["config"])
            content["content_sha256"] = canonical(content, "content_sha256")

        edit(path, renew)
    seal_manifest(folder)


def seal_manifest(folder: Path) -> None:
    """Renew the hashes of the manifest alone."""

    def renew(content: Content) -> None:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != BUNDLE)
        content["files"] = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
        content["bundle_sha256"] = canonical(content, "bundle_sha256")

    edit(folder / BUNDLE, renew)


def _metric(place: int, **values: Any) -> Callable[[Content], object]:
    return lambda content: content["metrics"][place].update(values)


def _better(content: Content) -> None:
    metric = content["metrics"][0]
    metric["value"] += -1e-4 if metric["direction"] == "lower" else 1e-4


def _fewer_errors(content: Content) -> None:
    """A better rate with counts that fit it."""
    metric, factor = content["metrics"][0], 100 if content["metrics"][0]["unit"] == "percent" else 1
    counts = metric["counts"]
    if "errors" in counts:
        counts["errors"] -= 1
        metric["value"] = factor * counts["errors"] / counts["length"]
    elif "correct" in counts:
        counts["correct"] += 1
        metric["value"] = factor * counts["correct"] / counts["utterances"]
    else:
        name = sorted(counts)[0]
        counts[name] += 1


def _official_corpus(content: Content) -> None:
    """As if on the real corpus."""
    content["corpus"]["name"] = content["corpus"]["name"].partition(" corpus in the layout of ")[2]
    content["labels"].remove("demo")


def _information(content: Content) -> None:
    """Another number, of no file."""
    content["metrics"].append({**content["metrics"][0], "role": "information", "split": "test-other"})


#: Edits of `result.json`, each hidden by renewing all hashes.
RESULTS: dict[str, Callable[[Content], object]] = {
    "a better value": _better,
    "a better value with its counts": _fewer_errors,
    "a worse value": _metric(0, value=1.0, counts={}),
    "a count": lambda content: content["metrics"][0]["counts"].update(utterances=10_000),
    "the selection": _metric(0, selection="highest on dev: step 1 of 1"),
    "the split": _metric(0, split="test-other"),
    "the metric's name": _metric(0, name="score"),
    "the direction": lambda content: content["metrics"][0].update(
        direction="higher" if content["metrics"][0]["direction"] == "lower" else "lower"
    ),
    "the official mark": _metric(0, official=False),
    "a number of dev made official": _metric(-1, official=True),
    "the value on dev": lambda content: content["metrics"][-1].update(
        value=content["metrics"][-1]["value"] + 0.5, counts={}
    ),
    "a number left out": lambda content: content["metrics"].pop(),
    "a number added": _information,
    "two numbers exchanged": lambda content: content["metrics"].reverse(),
    "no label demo": lambda content: content["labels"].remove("demo"),
    "no label shortened": lambda content: content["labels"].remove("shortened"),
    "no labels": lambda content: content.update(labels=[]),
    "the corpus' name": lambda content: content["corpus"].update(name="LibriSpeech"),
    "the official corpus": _official_corpus,
    "the corpus' counts": lambda content: content["corpus"].update(
        counts={name: number + 1 for name, number in content["corpus"]["counts"].items()}
    ),
    "the recipe": lambda content: content.update(recipe="superb"),
    "a recipe that there is not": lambda content: content.update(
        recipe="best", config={**content["config"], "optimizer": {"lr": 3}}
    ),
    "the steps": lambda content: content.update(steps=content["steps"] + 1),
    "the learning rate": lambda content: content["config"]["optimizer"].update(lr=1.0),
    "the steps of the configuration": lambda content: content["config"]["runner"].update(total_steps=10**6),
    "the task": lambda content: content.update(task="ks" if content["task"] != "ks" else "sid"),
    "another upstream": lambda content: content.update(upstream="hubert_base"),
    "random weights": lambda content: content.update(upstream="armhubert_random"),
    "the parameters": lambda content: content.update(upstream_parameters=95_000_000),
    "the MACs": lambda content: content["efficiency"].update(parameters=7),
    "quantized": lambda content: content.update(
        quantize={
            "kind": "int8",
            "layers": 1,
            "bytes": 1,
            "float_bytes": 4,
            "rtf": 0.1,
            "float_rtf": 0.2,
            "machine": "x",
        }
    ),
    "an artefact less": lambda content: content["artefacts"].pop(next(iter(content["artefacts"]))),
    "an artefact more": lambda content: content["artefacts"].update({"more.csv": "0" * 64}),
    "a task of code": lambda content: content["config"].update(own_task={"file": "/path/to/x.py"}),
    "a task of a table": lambda content: content["config"].update(
        own_task={"kind": "classification", "table": "/path/to/x.csv", "table_sha256": "0" * 64}
    ),
    "a key more": lambda content: content.update(rank=1),
    "a value of another type": _metric(0, value="1.0"),
    "the schema": lambda content: content.update(schema_version=2),
}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _another_answer(path: Path) -> list[str]:
    """One right answer made wrong, or a wrong one right, in predictions or in references; else a number."""
    lines = _lines(path)
    if path.name == "report.txt":  # of ASV's checkpoints the one that is reported
        best = min(lines, key=lambda line: float(line.split()[2]))
        return [line.replace("test-EER ", "test-EER 9") if line == best else line for line in lines]
    scores = path.name.endswith("_predict.txt") and "." in lines[0].rsplit(" ", 1)[-1]
    for one, two in (("predict", "truth"), ("truth", "predict"), ("hyp", "ref"), ("ref", "hyp")):
        other = path.with_name(path.name.replace(one, two))
        if scores or one not in path.name or not other.is_file():
            continue
        answers = _lines(other)
        right = [place for place, line in enumerate(lines) if line == answers[place]]
        if right:
            lines[right[0]] += "X"
        else:
            lines[0] = answers[0]
        return lines
    if scores:  # of trials, all turned round
        return [f"{name} {-float(score)!r}" for name, score in (line.rsplit(" ", 1) for line in lines)]
    head, separator, last = lines[-1].rpartition("," if "," in lines[-1] else " ")
    return [*lines[:-1], f"{head}{separator}{float(last) + 0.125}"]


#: Edits of any text file, each hidden by renewing all hashes.
TEXTS: dict[str, Callable[[Path], list[str]]] = {
    "another answer": _another_answer,
    "a line less": lambda path: _lines(path)[:-1],
    "a line twice": lambda path: [*_lines(path), _lines(path)[-1]],
    "another name": lambda path: [f"x{_lines(path)[0]}", *_lines(path)[1:]],
}


def write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines))


def named(folder: Path) -> set[str]:
    """The files whose hashes the result has too: of others the manifest's is the only one."""
    return set(json.loads((folder / RESULT).read_text())["artefacts"])


def texts_of(folder: Path) -> Iterator[Path]:
    """The files of a bundle that its numbers are computed from, as text."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".txt", ".ark", ".csv"):
            yield path


def _link(folder: Path) -> None:
    path = next(texts_of(folder), folder / RESULT)
    target = folder.parent / "elsewhere"
    path.rename(target)
    path.symlink_to(target)


def _audio(folder: Path) -> None:
    (folder / "speech.wav").write_bytes(b"RIFF" + bytes(2000))
    seal_manifest(folder)


def _hidden(folder: Path) -> None:
    (folder / ".hidden").write_text("x")
    seal_manifest(folder)


def _missing(folder: Path) -> None:
    next(texts_of(folder)).unlink()


def _missing_and_sealed(folder: Path) -> None:
    _missing(folder)
    seal_manifest(folder)


def _manifest(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        def renew(content: Content) -> None:
            content.update(values)
            content["bundle_sha256"] = canonical(content, "bundle_sha256")

        edit(folder / BUNDLE, renew)

    return change


#: Changes of the folder, with the manifest as it was or renewed.
FOLDERS: dict[str, Callable[[Path], object]] = {
    "a link in place of a file": _link,
    "a recording in it": _audio,
    "a hidden file": _hidden,
    "a file that nothing lists": lambda folder: (folder / "notes.csv").write_text("x\n"),
    "a file missing": _missing,
    "a file missing, and not listed": _missing_and_sealed,
    "no result": lambda folder: (folder / RESULT).unlink(),
    "no manifest": lambda folder: (folder / BUNDLE).unlink(),
    "an empty manifest": lambda folder: (folder / BUNDLE).write_text("{}"),
    "a manifest that is not JSON": lambda folder: (folder / BUNDLE).write_text("{"),
    "another name, unsealed": lambda folder: edit(folder / BUNDLE, lambda one: one.update(by="Mallory")),
    "a name that is none": _manifest(by="<script>alert(1)</script>"),
    "a path out of the bundle": _manifest(files={"../../etc/passwd": "0" * 64}),
    "an absolute path": _manifest(files={"/etc/passwd": "0" * 64}),
    "no files": _manifest(files={}),
    "predictions left out": _manifest(left_out=["test-hyp.ark"]),
    "a version to come": _manifest(bundle_version=2),
    "another run": _manifest(run="../x"),
}
