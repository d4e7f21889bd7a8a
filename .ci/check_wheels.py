"""Build the wheels of all packages and install them with plain pip into a clean environment.

uv ignores version bounds between members of a workspace and hides a wrong one; pip does not. The installed command must
then find every plugin and convert the sample, and the lower bounds that the packages declare must not exceed what is
pinned.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Build, install, look, convert."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    pins = settings["constraint-dependencies"]
    apart = {ROOT / path for path in settings["workspace"]["exclude"]}  # need what is not installed here
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        wheels, environment = base / "wheels", base / "venv"
        run("uv", "build", "--all-packages", "--wheel", "--quiet", "--out-dir", wheels)
        (base / "constraints.txt").write_text("\n".join(pins) + "\n")
        built = sorted(wheels.glob("*.whl"))
        programs = install("manifestry[all]", wheels, environment, base / "constraints.txt")
        plugins = json.loads(run(programs / "manifestry", "plugins", "--json", cwd=base))["plugins"]
        broken = [p for p in plugins if p["state"] != "ok"]
        expected = {p.name for p in (ROOT / "plugins").iterdir() if p not in apart and _has_entry_point(p)}
        found = {p["name"] for p in plugins}
        if broken or found != expected:
            sys.exit(f"plugins after pip: {broken or found ^ expected}")
        target = base / "sample.icechunk"
        run(programs / "manifestry", "convert", ROOT / "samples" / "sea_surface.nc", target, cwd=base)
        check_one_format(wheels, base)
        print(f"{len(built)} wheels installed by pip, {len(found)} plugins found, sample converted")


def install(requirement: str, wheels: Path, environment: Path, constraints: Path) -> Path:
    """Install as a user does who has the wheels; returns the directory of programs."""
    venv.create(environment, with_pip=True)
    programs = environment / "bin"
    run(programs / "pip", "install", "--quiet", "--constraint", constraints, "--find-links", wheels, requirement)
    run(programs / "pip", "check")
    return programs


def check_one_format(wheels: Path, base: Path) -> None:
    """An extra brings one format; what is missing then is answered by what to install."""
    programs = install("manifestry[netcdf3]", wheels, base / "small", base / "constraints.txt")
    plugins = json.loads(run(programs / "python", "-m", "manifestry", "plugins", "--json", cwd=base))["plugins"]
    if [plugin["name"] for plugin in plugins] != ["netcdf3"]:
        sys.exit(f"plugins after manifestry[netcdf3]: {plugins}")
    for arguments in (["inspect", ROOT / "samples" / "sea_surface.nc"], ["convert", "a.nc", "a.icechunk"]):
        command = [str(programs / "manifestry"), *map(str, arguments)]
        answer = subprocess.run(command, cwd=base, capture_output=True, text=True, check=False)
        if answer.returncode != 3 or "pip install manifestry-" not in answer.stderr:
            sys.exit(f"{' '.join(command)}: {answer.stderr}")


def _has_entry_point(plugin: Path) -> bool:
    project = plugin / "pyproject.toml"
    return project.exists() and "manifestry" in tomllib.loads(project.read_text())["project"].get("entry-points", {})


if __name__ == "__main__":
    main()
