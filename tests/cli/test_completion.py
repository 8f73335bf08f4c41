"""The completion scripts, in the shells they are for; without such a shell its test is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(sys.executable).parent
BASH = """
eval "$(perfmw completion bash)"
COMP_WORDS=(perfmw optimize ro) COMP_CWORD=2
_perfmw_completion perfmw ro optimize
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
zmodload zsh/zpty
zpty -b shell zsh -f -i
zpty -w shell 'PS1='
zpty -w shell 'autoload -Uz compinit && compinit -u -D; eval "$(perfmw completion zsh)"; print -r rea""dy'
zpty -r shell said '*ready*'
zpty -w -n shell $'perfmw optimize ro\\t'
zpty -r shell said '*llback*'
print -r -- "$said"
zpty -d shell
"""
FISH = """
perfmw completion fish | source
complete -C 'perfmw optimize ro'
"""


@pytest.mark.parametrize(
    ("shell", "options", "script"),
    [("bash", ["--norc"], BASH), ("zsh", ["-f"], ZSH), ("fish", ["--no-config"], FISH)],
)
def test_a_shell_completes_what_was_begun(
    shell: str, options: list[str], script: str, tmp_path: Path
) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    if not (SCRIPTS / "perfmw").exists():
        pytest.skip("the command is not installed beside this Python")
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [found, *options, "-c", script],
        env={**environment, "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "llback" in done.stdout, (
        done.stdout,
        done.stderr,
    )  # a terminal shows what came beside what was there
    assert done.stderr == ""
