"""Commands work in UTF-8 whatever the terminal says."""

import os
import subprocess
import sys

from tests.helpers.paths import ROOT

PROGRAM = """
import sys
from third_party_ports.utf8 import start_again_in_utf8
if "--command" in sys.argv:
    start_again_in_utf8()
print(open(sys.argv[1]).read(), sys.argv[2:], sys.getfilesystemencoding())
"""


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_commands_do_so(tmp_path):
    command = [sys.executable, "-m", "ipa_jax", "inspect", f"--data_dir={tmp_path}/café"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | ASCII, capture_output=True)
    assert done.returncode == 1 and "café" in done.stderr.decode()


def test_a_name_beyond_ascii_is_found(tmp_path):
    (tmp_path / "café.txt").write_text("naïve", encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-P", str(tmp_path / "program.py"), f"{tmp_path}/café.txt", "--command", "a b"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | ASCII
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.stdout.decode() == "naïve ['--command', 'a b'] utf-8\n", done.stderr
