"""One approved release and one bundle, built once; each test works on a copy."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app.objects import ObjectStore
from release.database import Database
from release.records import ReleaseId
from release.workflow.registry import Registry
from tests.release.bundle.scene import KEY, Clock, Scene, build


@dataclass(frozen=True)
class Built:
    scene: Scene
    release: ReleaseId
    root: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("scene")
    scene = build(root)
    return Built(scene, scene.approved(), root)


@pytest.fixture
def approved(built: Built, tmp_path: Path) -> tuple[Scene, ReleaseId]:
    """A scene of one's own with an approved release in it."""
    root = tmp_path / "scene"
    shutil.copytree(built.root, root)
    clock = Clock()
    database = Database(f"sqlite:///{root / 'registry.sqlite'}", key=KEY, clock=clock)
    scene = replace(
        built.scene,
        registry=Registry(database),
        objects=ObjectStore(root=root / "objects", key=KEY),
        clock=clock,
        root=root,
    )
    return scene, built.release


@pytest.fixture(scope="session")
def bundles(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each form, made once: "parquet", "csv", "tar"; do not write to them."""
    found = {}
    for name, wanted in {
        "parquet": {},
        "csv": {"data_format": "csv"},
        "tar": {"packed": True},
    }.items():
        root = tmp_path_factory.mktemp(name) / "scene"
        shutil.copytree(built.root, root)
        database = Database(f"sqlite:///{root / 'registry.sqlite'}", key=KEY, clock=Clock())
        scene = replace(
            built.scene,
            registry=Registry(database),
            objects=ObjectStore(root=root / "objects", key=KEY),
            root=root,
        )
        found[name] = scene.export(built.release, **_typed(wanted)).path
    return found


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    """A bundle (a folder) of one's own."""
    return Path(shutil.copytree(bundles["parquet"], tmp_path / "bundle"))


@pytest.fixture
def trust(built: Built, tmp_path: Path) -> Path:
    """The partner's trust file."""
    return replace(built.scene, root=tmp_path).trust()


def _typed(wanted: dict[str, object]) -> dict[str, object]:
    from release.bundle.data_file import DataFormat

    return {key: DataFormat(value) if key == "data_format" else value for key, value in wanted.items()}
