"""Nothing in a checkpoint is ever run: hostile files are refused by name, and leave no trace."""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
import tempfile
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
from upstream_arm.torch_files import Inert, read_torch


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
    # torch's reader takes protocol 2, its own; of another one the names are not looked at.
    asked = name.rpartition(".")[2] + " to be run" if protocol == 2 else "damaged"
    assert str(path) in str(caught.value) and asked in str(caught.value)
    assert not trace.exists()


def test_the_bombs_are_live(tmp_path: Path) -> None:
    """The test above proves something only if its files would do harm elsewhere."""
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(hostile(trace)["builtins.exec"]))  # noqa: S301 (our own bytes)
    assert trace.exists()


def archive(folder: Path, code: bytes, **storages: bytes) -> Path:
    """A torch file with that pickle."""
    path = folder / "a.ckpt"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in (("data.pkl", code), ("version", b"3\n"), ("byteorder", b"little")):
            file.writestr(f"a/{name}", content)
        for name, content in storages.items():
            file.writestr(f"a/data/{name}", content)
    return path


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
def test_every_way_to_name_a_function(code: bytes, tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match=r"asks for|damaged"):
        read_torch(archive(tmp_path, code))


def test_a_name_without_a_protocol_is_no_way_round(tmp_path: Path) -> None:
    code = b"\x80\x02\x8c\x05posix\x8c\x06system\x93\x8c\x07touch x\x85R."
    with pytest.raises(UpstreamError, match="damaged"):
        read_torch(archive(tmp_path, code))


def test_stand_ins_keep_nothing_and_cannot_be_changed(tmp_path: Path) -> None:
    before, allowed = dict(vars(Inert)), set(torch.serialization.get_safe_globals())
    for target in (b"s3prl.optimizers\nA", b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict"):
        # BUILD with a dictionary and with a slot state, onto the class itself
        for state in (b"}U\x01aK\x01s", b"N}U\x07__new__K\x01s\x86"):
            with pytest.raises(UpstreamError, match="damaged"):
                read_torch(archive(tmp_path, b"\x80\x02c" + target + b"\n" + state + b"b."))
    assert before == dict(vars(Inert))
    made = read_torch(archive(tmp_path, b"\x80\x02cs3prl.optimizers\nA\n)\x81}U\x01aK\x01sb."))
    assert isinstance(made, Inert) and not hasattr(made, "a")
    assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((10**9,), (0,), 0), ((3,), (1,), 2), ((2,), (1,), -1), ((2,), (10**18,), 0), (("a",), (1,), 0)],
)
def test_tensors_stay_inside_their_storage(
    tmp_path: Path, shape: tuple[Any, ...], stride: tuple[int, ...], offset: int
) -> None:
    class Changed:
        """Pickles as a tensor of that shape over four numbers."""

        def __reduce__(self) -> Any:
            storage = torch.arange(4.0)._typed_storage()
            return torch._utils._rebuild_tensor_v2, (storage, offset, shape, stride, False, {})

    torch.save({"a": Changed()}, tmp_path / "a.pt")
    with pytest.raises(UpstreamError, match="damaged"):
        read(tmp_path / "a.pt")


def test_storages_are_read_from_the_file_alone(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(4.0)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as file:
        code = file.read("a/data.pkl")
    assert code.count(b"X\x01\x00\x00\x000") == 1  # the storage's key
    other = code.replace(b"X\x01\x00\x00\x000", b"X\x10\x00\x00\x00../../etc/passwd")
    with pytest.raises(UpstreamError, match="damaged"):
        read(archive(tmp_path, other))


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused_or_inert(code: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            read_torch(archive(Path(folder), b"\x80\x02" + code))
        except UpstreamError as error:
            assert "a.ckpt" in str(error)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_file_packed_anew_is_read_alike(tmp_path: Path, compression: int) -> None:
    torch.save({"a": torch.arange(1000.0)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as source,
        zipfile.ZipFile(tmp_path / "b.pt", "w", compression) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert torch.equal(read(tmp_path / "b.pt").student_state["a"], torch.arange(1000.0))


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


def test_a_file_of_ever_more_names_is_refused(tmp_path: Path) -> None:
    names = b"".join(b"ctyping\nT%d\n" % number for number in range(300))
    with pytest.raises(UpstreamError, match=r"asks for typing\.T256 to be run"):
        read_torch(archive(tmp_path, b"\x80\x02](" + names + b"e."))
