"""Nothing in a checkpoint is ever run: hostile files are refused by name, and leave no trace."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from upstream_arm.checkpoint import read
from upstream_arm.common.errors import UpstreamError
from upstream_arm.unpickling import open_zip, unpickle


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile(trace: Path) -> dict[str, Any]:
    """What would make the file `trace` when run, by the name that the refusal must give."""
    return {
        f"{os.system.__module__}.system": Calls(os.system, f"touch {trace}"),
        "builtins.eval": Calls(builtins.eval, f"open({str(trace)!r}, 'w')"),
        "builtins.exec": Calls(builtins.exec, f"open({str(trace)!r}, 'w')"),
        "builtins.getattr": Calls(getattr, {}, "clear"),
        f"{open.__module__}.open": Calls(open, str(trace), "w"),
        "subprocess.Popen": Calls(subprocess.Popen, ["touch", str(trace)]),
        "torch.hub.load": Calls(torch.hub.load, "someone/something", "model"),
        "torch.serialization.load": Calls(torch.load, str(trace)),
        "torch.storage._load_from_bytes": Calls(torch.storage._load_from_bytes, b""),
    }


NAMES = list(hostile(Path("x")))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("form", ["lightning", "bare", "hidden in weights", "legacy", "plain pickle"])
@pytest.mark.parametrize("name", NAMES)
def test_refused_by_name(tmp_path: Path, name: str, form: str, protocol: int) -> None:
    trace = tmp_path / "trace"
    bomb = hostile(trace)[name]
    content: Any = {
        "lightning": {"state_dict": {"student_model.a": torch.zeros(1)}, "callbacks": {"x": [bomb]}},
        "bare": bomb,
        "hidden in weights": {"a": torch.zeros(1), "b": bomb},
    }.get(form, {"a": bomb})
    path = tmp_path / "a.ckpt"
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=form != "legacy")
    with pytest.raises(UpstreamError) as caught:
        read(path)
    assert f"{path} asks for {name}" in str(caught.value)
    assert not trace.exists()


def test_the_bombs_are_live(tmp_path: Path) -> None:
    """The test above proves something only if its files would do harm elsewhere."""
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(hostile(trace)["builtins.exec"]))  # noqa: S301 (our own bytes)
    assert trace.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cposix\nsystem\n(S'touch x'\ntR.",
        b"(S'touch x'\niposix\nsystem\n.",
        b"(cos\nsystem\nS'touch x'\no.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R.",
        b"\x80\x02c__builtin__\neval\nU\x011\x85R.",
        b"cs3prl.optimizers\n__builtins__.eval\n(S'1'\ntRcos\nsystem\n.",
    ],
)
def test_every_way_to_name_a_function(code: bytes) -> None:
    with pytest.raises(UpstreamError, match="asks for"):
        unpickle(io.BytesIO(code), Path("a.ckpt"))


def test_inert_classes_keep_nothing_and_known_ones_cannot_be_changed() -> None:
    import upstream_arm.unpickling as module

    before = {name: dict(vars(kind)) for name, kind in module._KNOWN.items() if isinstance(kind, type)}
    for target in (b"s3prl.optimizers\nA", b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict"):
        # BUILD with a dictionary and with a slot state, onto the class itself
        for state in (b"}U\x01aK\x01s", b"N}U\x07__new__K\x01s\x86"):
            unpickle(io.BytesIO(b"\x80\x02c" + target + b"\n" + state + b"b."), Path("a.ckpt"))
    assert before == {
        name: dict(vars(kind)) for name, kind in module._KNOWN.items() if isinstance(kind, type)
    }
    made = unpickle(io.BytesIO(b"\x80\x02cs3prl.optimizers\nA\n)\x81}U\x01aK\x01sb."), Path("a.ckpt"))
    assert isinstance(made, module.Inert)
    assert repr(made) == "<s3prl.optimizers.A, not read>"
    assert not hasattr(made, "a")


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((10**9,), (0,), 0), ((3,), (1,), 2), ((2,), (1,), -1), ((2,), (10**18,), 0), (("a",), (1,), 0)],
)
def test_tensors_stay_inside_their_storage(
    tmp_path: Path, shape: tuple[Any, ...], stride: tuple[int, ...], offset: int
) -> None:
    torch.save({"a": torch.arange(4.0)}, tmp_path / "a.pt")
    with open_zip(tmp_path / "a.pt") as archive:
        record = archive.content["a"]
        assert torch.equal(archive.tensor(record), torch.arange(4.0))
        with pytest.raises(UpstreamError, match="damaged"):
            archive.tensor(record._replace(shape=shape, stride=stride, offset=offset))
        with pytest.raises(UpstreamError, match="damaged"):
            archive.tensor(record._replace(storage=record.storage._replace(key="../../etc/passwd")))


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused_or_inert(code: bytes) -> None:
    try:
        unpickle(io.BytesIO(b"\x80\x02" + code), Path("a.ckpt"))
    except UpstreamError as error:
        assert "a.ckpt" in str(error)


def test_encrypted_zip(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    content = bytearray((tmp_path / "a.pt").read_bytes())
    for signature, flag in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        start = content.find(signature)
        while start >= 0:
            content[start + flag] |= 1
            start = content.find(signature, start + 1)
    (tmp_path / "a.pt").write_bytes(content)
    assert zipfile.is_zipfile(tmp_path / "a.pt")
    with pytest.raises(UpstreamError):
        read(tmp_path / "a.pt")
