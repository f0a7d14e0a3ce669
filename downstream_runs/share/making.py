"""From a finished run to its bundle."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from downstream_runs import tasks
from downstream_runs.core import results
from downstream_runs.core.jsontypes import from_mapping
from downstream_runs.core.results import OWN_TASK, Result
from downstream_runs.core.run_folder import BUNDLE, RESULT
from downstream_runs.core.task import TaskSpec
from downstream_runs.corpora import quesst14
from downstream_runs.protocols import sd
from downstream_runs.protocols.activity import SETTINGS
from downstream_runs.scoring import groundtruth
from downstream_runs.share import bundle
from downstream_runs.share.bundle import REFERENCES, WEIGHTS, Manifest
from downstream_runs.share.private import Hidden
from downstream_runs.share.rebuilt import asv_choices
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import sha256_file
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.stages import stage


@dataclass(frozen=True)
class Maker:
    """Makes the bundles of one command. by: see Manifest. data: where corpora have moved to, if they have."""

    by: str
    data: Path | None = None

    def make(self, run: Path, into: Path) -> tuple[Result, Manifest]:
        """Write the bundle of a finished run to the empty folder `into`; its result and manifest.

        UsageError for a run that cannot be shared so that others can check it.
        """
        result = results.read(run / RESULT)
        if (run / BUNDLE).exists():
            raise UsageError(f"{run} was shared by somebody else; share runs of your own")
        own = result.config.get(OWN_TASK)
        if own is not None and "kind" not in own:
            raise UsageError(
                f"{run}: the task {result.task} is code, which others would have to run to check its "
                "numbers; share the code and the result by themselves"
            )
        task = tasks.of_result(result)
        hidden = Hidden.of(result, run.absolute())
        shared = _copied(run, into, result, hidden)
        for name in unnamed(run, result, task):
            if not (run / name).is_file():
                raise UsageError(
                    f"{run / name} is missing, from which numbers of {task.name} are computed; make it with "
                    f"{PROGRAM} {result.upstream} {task.name} --rerun always"
                )
            _copy(run / name, into / name)
        with stage(f"references of {result.task}"):
            self._references(into / REFERENCES, result, task)
        files = {str(path.relative_to(into)): path for path in sorted(into.rglob("*")) if path.is_file()}
        _refuse_paths(run, files, hidden)
        manifest = Manifest(
            bundle.VERSION,
            self.by,
            run.absolute().name,
            result.content_sha256,
            {name: sha256_file(path) for name, path in files.items()},
            tuple(dict.fromkeys(name for name in named(into, shared) if name not in files)),
        )
        bundle.write(into, manifest)
        return shared, manifest

    def _references(self, folder: Path, result: Result, task: TaskSpec) -> None:
        """What the test of SD and QbE needs of the corpus; the files of other tasks hold their own."""
        root = self.data or Path(result.corpus.root)
        partial = bool(result.shortfall)
        try:
            if task.name == "sd":
                with tempfile.TemporaryDirectory() as cache:
                    data = task.corpus.prepare(root, Path(cache), result.config, partial)
                    for split in sd.FOLDERS:
                        _copy(Path(data.settings[f"loaderrc.{split}_dir"]) / "rttm", folder / f"{split}.rttm")
            if task.name == "qbe":
                found = quesst14.CORPUS.request(root, None, {}, partial).root
                for split in quesst14.SPLITS:
                    for path in groundtruth.find(quesst14.truth_folder(found, split)).values():
                        _copy(path, folder / split / path.name)
        except (UsageError, OSError) as error:
            raise UsageError(
                f"the numbers of {task.name} are checked against references of its corpus, and these cannot "
                f"be read: {error}; name the folder of the corpora with --data"
            ) from None


def named(folder: Path, result: Result) -> Iterator[str]:
    """The files that a result and those of its folds name, by their paths in its folder."""
    for name in result.artefacts:
        yield name
        if Path(name).name == RESULT:
            for inner in results.read(folder / name).artefacts:
                yield str(Path(name).parent / inner)


def _copied(run: Path, into: Path, result: Result, hidden: Hidden) -> Result:
    """Copy what a result names but weights, folds with their own; the result as it is shared."""
    hashes: dict[str, str] = {}
    for name, digest in result.artefacts.items():
        fold = Path(name).parent
        if Path(name).name == RESULT:
            _copied(run / fold, into / fold, results.read(run / name), hidden)
            hashes[name] = sha256_file(into / name)
            continue
        hashes[name] = digest
        if name.endswith(WEIGHTS):
            continue
        if not (run / name).is_file() or sha256_file(run / name) != digest:
            raise UsageError(
                f"{run / name} is missing or is not the file that {run / RESULT} was made from; run the task "
                "again with --rerun always"
            )
        _copy(run / name, into / name)
    content = dataclasses.asdict(result) | {"artefacts": hashes, "config_hash": "", "content_sha256": ""}
    shared: Result = from_mapping(Result, hidden.value(content), "the result")
    return results.write(into / RESULT, shared)


def unnamed(run: Path, result: Result, task: TaskSpec) -> list[str]:
    """Files of a run that its result does not name, and from which numbers of it are computed."""
    names: list[str] = []
    if task.name == "sd":
        names = [f"{sd.FOLDERS['dev']}/{setting.file}" for setting in SETTINGS]
    elif task.name == "qbe":
        names = [str(path.relative_to(run)) for path in sorted(run.glob("layers/dev-*.stdlist.xml.gz"))]
    elif task.name == "asv" or task.kind == "verification":
        folders = [f"states-{step}" for step in asv_choices(run, task)]
        splits = [split for split in ("test", "dev") if split in result.corpus.counts]
        names = [
            f"{one}/{split}_{what}.txt"
            for one in folders
            for split in splits
            for what in ("predict", "truth")
        ]
    return sorted(names)


def _copy(source: Path, place: Path) -> None:
    if source.stat().st_size > bundle.FILE_BYTES:
        raise UsageError(
            f"{source} has {source.stat().st_size:,} bytes, at most {bundle.FILE_BYTES:,} can be shared"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _refuse_paths(run: Path, files: Mapping[str, Path], hidden: Hidden) -> None:
    for name, path in files.items():
        found = hidden.found_in(path.read_bytes())
        if found is not None:
            raise UsageError(
                f"{run / name} names {found}, a path of this machine, and cannot be changed without its "
                "hash: the run is not shared"
            )


#: Tasks whose bundles hold names and labels of a corpus that must not be passed on as one likes.
LIMITED = ("er", "ic", "sf", "qbe")


def terms(result: Result) -> str | None:
    """A sentence where the corpus has terms of its own: a bundle holds names and labels of its test set."""
    if result.task not in LIMITED or "demo" in result.labels:
        return None
    corpus = tasks.get(result.task).corpus
    return f"{result.task}: it holds names and labels of the test set of {corpus.name}: {corpus.licence}"
