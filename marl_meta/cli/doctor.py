"""The command that examines this machine: what is installed, what clashes, what is missing."""

from __future__ import annotations

import json
import os
import platform
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path
from typing import Any

import typer

from marl_meta.cli._options import AsJson

SAME_FOLDER_ADVICE = {
    "pygame": "PettingZoo and mpe2 want pygame-ce: pip uninstall -y pygame pygame-ce && pip install pygame-ce"
}
"""What to do about distributions that install the same import folder, where we know it."""


@dataclass(frozen=True, slots=True)
class Package:
    """One of our dependencies, and how it stands."""

    name: str
    needs: str
    """The versions that we allow; empty for any."""
    installed: str | None
    extra: str | None
    """The extra that asks for it; None for what is always needed."""
    fits: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found."""

    problems: list[str]
    """What must be mended; with none, all is well."""
    advice: list[str]
    """What may be slow or surprising, but works."""
    packages: list[Package]
    machine: dict[str, Any] = field(default_factory=dict)


def doctor(
    as_json: AsJson = False,
) -> None:
    """Say what is installed, what clashes and what is missing; exit with 1 when something must be mended."""
    report = examine()
    if as_json:
        typer.echo(json.dumps({"ok": not report.problems, **asdict(report)}))
    else:
        _show(report)
    if report.problems:
        raise typer.Exit(1)


def examine() -> Report:
    """Return the state of this machine."""
    packages = required_packages()
    problems = [
        f"{package.name} {package.installed or ''}".rstrip()
        + (f" is not {package.needs}" if package.installed else " is missing")
        + f": pip install '{package.name}{package.needs}'"
        for package in packages
        if package.extra is None and not package.fits
    ]
    problems += clashes()
    missing = {package.name for package in packages if package.installed is None}
    machine: dict[str, Any] = {
        "marl-meta": version("marl-meta"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "allocator": allocator(),
    }
    if "numba" not in missing:
        machine |= _numba()
    if "torch" not in missing:
        machine |= _torch()
    if not missing & {"hydra-core", "numpy", "pydantic", "pyyaml"}:
        machine |= _tracking(installed="wandb" not in missing)
        data, data_problems = _data()
        machine |= data
        problems += data_problems
    return Report(problems, _advice(machine, packages), packages, machine)


def required_packages() -> list[Package]:
    """Return our dependencies, those of extras last, in the order in which we ask for them."""
    from packaging.requirements import Requirement

    packages = []
    for line in requires("marl-meta") or []:
        requirement = Requirement(line)
        marker = str(requirement.marker or "")
        extra = marker.partition("extra == ")[2].strip("\"'") or None
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            installed = None
        fits = installed is not None and requirement.specifier.contains(installed, prereleases=True)
        needs = str(requirement.specifier)
        packages.append(Package(requirement.name, needs, installed, extra, fits))
    return sorted(packages, key=lambda package: package.extra or "")


def clashes() -> list[str]:
    """Return complaints about distributions that install one and the same import folder over each other."""
    owners: dict[str, set[str]] = defaultdict(set)
    for distribution in distributions():
        for file in distribution.files or ():
            if len(file.parts) == 2 and file.name == "__init__.py":
                owners[file.parts[0]].add(distribution.name)
    found = []
    for folder, names in sorted(owners.items()):
        if len(names) > 1:
            advice = SAME_FOLDER_ADVICE.get(folder, "uninstall both, then install the one that is wanted")
            found.append(f"{' and '.join(sorted(names))} both install the folder {folder}; {advice}")
    return found


def allocator() -> str:
    """Return which memory allocator this process runs on: glibc's, or one that was loaded in its place."""
    maps = Path("/proc/self/maps")
    loaded = maps.read_text(encoding="utf-8") if maps.is_file() else ""
    for name in ("jemalloc", "tcmalloc", "mimalloc"):
        if name in loaded:
            return name
    return platform.libc_ver()[0] or "the system's"


def _numba() -> dict[str, Any]:
    import numba

    return {
        "numba threads": numba.get_num_threads(),
        "numba cache": os.environ.get("NUMBA_CACHE_DIR", "beside the code"),
    }


def _torch() -> dict[str, Any]:
    import torch

    cuda = torch.cuda.is_available()
    return {
        "torch threads": torch.get_num_threads(),
        "torch device": torch.cuda.get_device_name() if cuda else "cpu only",
    }


def _tracking(*, installed: bool) -> dict[str, Any]:
    from marl_meta.tracking import choose_mode

    mode, reason = choose_mode("auto") if installed else ("off", "wandb is not installed")
    return {"W&B": f"{mode}: {reason}"}


def _data() -> tuple[dict[str, Any], list[str]]:
    """Return where families and configs lie, and complaints about those that cannot be read."""
    from marl_meta.config import load_config
    from marl_meta.games.family import list_families, load_family
    from marl_meta.resources import data_dirs, families_dirs
    from marl_meta.types import UserError

    found: dict[str, Any] = {}
    problems = []
    try:
        found["families in"] = [str(folder) for folder in families_dirs()]
        found["families"] = list_families()
        found["configs in"] = [str(folder) for folder in data_dirs("configs")]
        load_config()
    except UserError as error:
        problems.append(str(error))
    for name in found.get("families", []):
        try:
            load_family(name)
        except UserError as error:
            problems.append(str(error))
    return found, problems


def _advice(machine: dict[str, Any], packages: list[Package]) -> list[str]:
    advice = []
    if machine["load"] > 0.5 * machine["cores"]:
        advice.append(
            f"Other work keeps this machine busy (load {machine['load']}, {machine['cores']} cores): "
            "training with as many threads as cores may be several times slower; set train.threads lower."
        )
    extras = sorted({package.extra for package in packages if package.extra and package.installed is None})
    advice += [f"Not installed: the extra {extra!r} (pip install 'marl-meta[{extra}]')." for extra in extras]
    return advice


def _show(report: Report) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for column in ("package", "installed", "needed", "for"):
        table.add_column(column)
    for package in report.packages:
        style = None if package.fits else "dim" if package.extra else "red"
        table.add_row(package.name, package.installed or "-", package.needs, package.extra or "everything", style=style)
    console.print(table)
    for name, value in report.machine.items():
        text = ", ".join(value) if isinstance(value, list) else str(value)
        console.print(f"{name + ':':<16}{text}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    for line in report.advice:
        console.print(f"note: {line}", markup=False, highlight=False, soft_wrap=True)
    for line in report.problems:
        console.print(f"problem: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    if not report.problems:
        console.print("All that is needed is here, and nothing clashes.", style="green")
