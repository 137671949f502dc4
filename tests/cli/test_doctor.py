from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePosixPath
from types import SimpleNamespace

import pytest
import typer

from marl_meta.cli import doctor as doctor_module
from marl_meta.cli.doctor import allocator, clashes, doctor, examine, required_packages


def fake(name: str, *files: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, files=[PurePosixPath(file) for file in files])


def test_this_environment_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(as_json=True)
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert report["ok"], report["problems"]
    assert shown.out.count("\n") == 1
    assert {"torch", "torch-geometric", "pettingzoo", "wandb"} <= {package["name"] for package in report["packages"]}
    assert {"cores", "allocator", "numba threads", "torch threads", "W&B", "families"} <= set(report["machine"])


def test_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    doctor()
    shown = capsys.readouterr().out
    assert "nothing clashes" in shown
    assert "torch threads" in shown


def test_packages_know_their_extra() -> None:
    packages = {(package.name, package.extra): package for package in required_packages()}
    assert packages["numpy", None].fits
    assert packages["pytest", "test"].fits
    assert ("magent2", "games") in packages


def test_two_owners_of_a_folder_clash(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = [
        fake("pygame", "pygame/__init__.py"),
        fake("pygame-ce", "pygame/__init__.py", "pygame/sprite.py"),
        fake("opentelemetry-api", "opentelemetry/context/__init__.py"),
        fake("opentelemetry-sdk", "opentelemetry/sdk/__init__.py", "opentelemetry/context/__init__.py"),
        SimpleNamespace(name="without a record", files=None),
    ]
    monkeypatch.setattr(doctor_module, "distributions", lambda: installed)
    (clash,) = clashes()
    assert clash.startswith("pygame and pygame-ce both install the folder pygame; PettingZoo and mpe2 want pygame-ce")


def test_missing_and_old_packages_are_problems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def other_version(name: str) -> str:
        if name in ("torch", "numba", "hydra-core", "magent2"):
            raise PackageNotFoundError(name)
        return "0.1" if name == "safetensors" else version(name)

    monkeypatch.setattr(doctor_module, "version", other_version)
    report = examine()
    assert [problem.partition(":")[0] for problem in report.problems] == [
        "hydra-core is missing",
        "numba is missing",
        "safetensors 0.1 is not >=0.5",
        "torch is missing",
    ]
    assert "torch threads" not in report.machine
    assert any("extra 'games'" in line for line in report.advice)
    with pytest.raises(typer.Exit) as caught:
        doctor()
    assert caught.value.exit_code == 1
    assert "problem: torch is missing: pip install 'torch>=" in capsys.readouterr().out


def test_broken_family_is_a_problem(tmp_path: PurePosixPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARL_META_ENVS", str(tmp_path / "nowhere"))
    (problem,) = examine().problems
    assert "MARL_META_ENVS" in problem


def test_busy_machine_is_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 0.0, 0.0))
    assert any("busy" in line for line in examine().advice)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists what a process has loaded")
def test_allocator_is_named() -> None:
    assert allocator() in ("glibc", "jemalloc", "tcmalloc", "mimalloc")
