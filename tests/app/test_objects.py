"""The object store: whole or not at all, private, checked when read."""

from __future__ import annotations

import errno
import os

import pytest

from app import objects
from app.objects import ObjectStore
from release.data.atomic import write_bytes
from release.errors import FaultError, IntegrityError

KEY = b"k" * 32


@pytest.fixture
def store(tmp_path):
    store = ObjectStore(root=tmp_path / "objects", key=KEY)
    store.create()
    return store


@pytest.mark.parametrize("keyed", [True, False])
def test_round_trip_and_modes(store, keyed):
    name = store.put_bytes(b"rows", keyed=keyed)
    assert store.read(name, keyed=keyed) == b"rows"
    path = store.path(name, keyed=keyed)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert store.put_bytes(b"rows", keyed=keyed) == name
    assert store.names() == (name,)
    assert store.damaged() == ()


def test_names_of_real_data_depend_on_the_key(store, tmp_path):
    other = ObjectStore(root=tmp_path / "other", key=b"x" * 32)
    other.create()
    assert store.put_bytes(b"rows", keyed=True) != other.put_bytes(b"rows", keyed=True)
    assert store.put_bytes(b"rows", keyed=False) == other.put_bytes(b"rows", keyed=False)


@pytest.mark.parametrize("keyed", [True, False])
def test_a_flipped_byte_is_noticed(store, keyed):
    name = store.put_bytes(b"rows", keyed=keyed)
    store.path(name, keyed=keyed).write_bytes(b"rowz")
    # Where it lies, in full: whoever restores it from a backup needs that.
    with pytest.raises(
        IntegrityError, match=f"objects/{name[:2]}/{name} is not what was stored; keep what is there"
    ):
        store.read(name, keyed=keyed)
    with pytest.raises(IntegrityError):
        store.path(name, keyed=keyed)
    assert store.damaged() == (name,)


def make_model(path):
    (path / "deep").mkdir(parents=True)
    (path / "model.json").write_text("{}")
    (path / "deep" / "weights.npz").write_bytes(b"w")


def test_folders(store):
    name = store.put_folder(make_model)
    assert (store.folder(name) / "deep" / "weights.npz").read_bytes() == b"w"
    assert store.put_folder(make_model) == name
    for change in (
        lambda place: (place / "added").write_bytes(b""),
        lambda place: (place / "model.json").write_text("{ }"),
        lambda place: (place / "deep" / "weights.npz").unlink(),
    ):
        change(store._place(name))
        with pytest.raises(IntegrityError):
            store.folder(name)


BAD_NAMES = {"path": "../../etc/passwd", "short": "abc", "upper": "A" * 64, "missing": "0" * 64}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_names(store, case):
    with pytest.raises(IntegrityError):
        store.read(BAD_NAMES[case], keyed=False)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("what", ["bytes", "folder", "private"])
def test_a_full_disk_leaves_nothing(store, monkeypatch, tmp_path, call, what):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(type(tmp_path), "replace", full)
    target = tmp_path / "w" / "config.yaml"
    target.parent.mkdir()
    target.write_text("old")
    with pytest.raises(FaultError, match=r"No space left|disk is full"):
        match what:
            case "bytes":
                store.put_bytes(b"rows", keyed=True)
            case "folder":
                store.put_folder(make_model)
            case "private":
                write_bytes(target, b"new")
    if call == "replace":
        assert target.read_text() == "old"
        assert store.names() == ()
    assert list((store.root / "aside").iterdir()) == []
    assert [path.name for path in target.parent.iterdir()] == ["config.yaml"]


def test_a_writer_that_raises_leaves_nothing(store):
    def write(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put(write, keyed=False)
    assert store.names() == ()
    assert list((store.root / "aside").iterdir()) == []
    assert objects.PRIVATE_FILE == 0o600


def test_sweep_aside(store):
    (store.root / "aside" / "left").write_bytes(b"x")
    (store.root / "aside" / "folder").mkdir()
    assert store.sweep_aside() == 2
    assert list((store.root / "aside").iterdir()) == []
