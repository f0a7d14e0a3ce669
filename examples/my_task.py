"""A task of one's own in code: classes, scored by the mean of their recalls, with a head of one's own.

./run_superb.sh UPSTREAM recall --task-file my_task.py --data FOLDER
where FOLDER holds train/CLASS/*.wav, dev/CLASS/*.wav and test/CLASS/*.wav, 16 kHz, one channel"""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import soundfile
import torch

from downstream_runs.core.corpus import Corpus, PreparedData, Standing
from downstream_runs.core.task import MetricSpec, Recipe, Score, Selection, TaskSpec


class Folders(Corpus):
    def look(self, data, cache, config, partial=False):
        return Standing()  # what sets this corpus apart, labels and sentences, would stand here

    def prepare(self, data, cache, config, partial=False):
        files = sorted(Path(data).glob("*/*/*.wav"))
        names = "".join(f"{path.relative_to(data)} {path.stat().st_size}\n" for path in files)
        digest = hashlib.sha256(names.encode()).hexdigest()  # what the numbers depend on
        counts = Counter(path.parts[-3] for path in files)
        return PreparedData(data, {"datarc.root": str(data)}, counts, digest, audio=tuple(files))


class Head(torch.nn.Module):  # with the methods of s3prl's DownstreamExpert
    def __init__(self, upstream_dim, downstream_expert, expdir, **others):
        super().__init__()
        self.expdir, settings = expdir, downstream_expert["datarc"]
        self.root, self.batch_size = Path(settings["root"]), settings["batch_size"]
        self.classes = sorted(folder.name for folder in (self.root / "train").iterdir())
        self.linear = torch.nn.Linear(upstream_dim, len(self.classes))

    def get_dataloader(self, split):
        files = sorted((self.root / split).glob("*/*.wav"))
        clips = [(soundfile.read(file, dtype="float32")[0], file.parent.name, file.stem) for file in files]
        order = {"shuffle": split == "train", "collate_fn": lambda batch: list(zip(*batch, strict=True))}
        return torch.utils.data.DataLoader(clips, self.batch_size, **order)

    def forward(self, split, features, classes, names, records, **others):
        scores = self.linear(torch.stack([one.mean(dim=0) for one in features]))
        guesses = (self.classes[number] for number in scores.argmax(dim=1).tolist())
        records["rows"] += zip(names, classes, guesses, strict=True)
        wanted = torch.tensor([self.classes.index(one) for one in classes], device=scores.device)
        return torch.nn.functional.cross_entropy(scores, wanted)

    def log_records(self, split, records, logger, global_step, **others):
        with open(Path(self.expdir, f"{split}.csv"), "w", newline="") as file:
            csv.writer(file).writerows(records["rows"])


def score(folder, split, scalars):
    with open(folder / f"{split}.csv", newline="") as file:
        rows = list(csv.reader(file))
    every, right = Counter(row[1] for row in rows), Counter(row[1] for row in rows if row[1] == row[2])
    recalls = [right[truth] / number for truth, number in every.items()]
    return (Score("uar", 100 * sum(recalls) / len(recalls), {"utterances": len(rows)}),)


steps = {"total_steps": 200, "log_step": 50, "eval_step": 50, "save_step": 50, "eval_dataloaders": ["dev"]}
config = {
    "runner": {**steps, "gradient_clipping": 1, "gradient_accumulate_steps": 1},
    "optimizer": {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 1e-3},
    "downstream_expert": {"datarc": {"batch_size": 16}},
}
about = {"name": "recall", "title": "Classes in folders", "s3prl_name": "my_task", "expert": Head}
TASK = TaskSpec(
    **about,
    corpus=Folders("my folders", "licence", "size", "address", splits={}, demo=""),
    recipes={"superb": Recipe("superb", config, "200 steps", "my_task.py")},
    metrics=(MetricSpec("uar", "mean recall", "percent", "higher", scalar=None),),
    selection=Selection("dev", "uar", "dev-best.ckpt", s3prl_bound=0.0),
    artefacts=("dev-best.ckpt", "test.csv"),
    score=score,
)
