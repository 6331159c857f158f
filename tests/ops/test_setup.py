"""``contrib/setup.sh``: run twice it changes nothing, what it makes is private, and secrets are seen nowhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stellarstream_core.ops.checks import check_secrets
from stellarstream_core.ops.files import shared_file
from stellarstream_core.settings import load_settings
from stellarstream_sandbox.config import SandboxConfig
from tests.cli.conftest import Node
from tests.ops.kit import clean_environment, free_port, until
from tests.paths import ROOT, missing

SCRIPT = shared_file("contrib/setup.sh")
SETTINGS = Path("etc/stellarstream/stellarstream.env")
UNIT = Path("etc/systemd/system/stellarstream.service")
WRAPPER = Path("usr/local/bin/stellarstream")
SECRETS = ("STELLARSTREAM_SECRET_KEY", "STELLARSTREAM_SIGNING_KEY")
SMALL = SandboxConfig(seed=7, ledgers=8, transactions=1, burst_every=0, port=0, live=False)
VENV = Path(sys.prefix)


@pytest.fixture(autouse=True)
def _has_a_program():
    if not (VENV / "bin" / "stellarstream").is_file():
        missing("stellarstream is not installed here: pip install --editable .")


def setup(
    *arguments: object, shell: tuple[str, ...] = ("sh",), script: Path = SCRIPT, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, str(script), *map(str, arguments)],
        env=clean_environment() | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def set_up(root: Path, *arguments: object) -> str:
    root.mkdir(exist_ok=True)
    done = setup("--root", root, "--venv", VENV, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything there is: contents, modes and times."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.stat()
        content = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (content, status.st_mode, status.st_uid, status.st_ino, status.st_mtime_ns)
    return found


def read_settings(path: Path) -> dict[str, str]:
    """Read it as a shell does; systemd reads such lines alike."""
    pairs = [shlex.split(line) for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert all(len(words) == 1 for words in pairs)
    return dict(words[0].split("=", 1) for words in pairs)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the script as such ---------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["dash", "bash", "sh"])
def test_every_shell_can_read_it(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    assert subprocess.run([shell, "-n", SCRIPT], capture_output=True, check=True).stderr == b""


def test_shellcheck_has_nothing_to_say_against_it():
    if shutil.which("shellcheck") is None:
        missing("shellcheck")
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_can_be_run_as_it_is():
    assert os.access(SCRIPT, os.X_OK)
    assert "--dry-run" in setup("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--what"], "there is no option --what"),
        (["--name"], "--name needs a value"),
        (["--name", "../etc", "--dry-run"], "is no name"),
        (["--name", "x" * 32, "--dry-run"], "is no name"),
        (["--name", "root", "--dry-run"], "does not run as root"),
        (["--venv", "/opt/x\nexec evil", "--dry-run"], "holds a control character"),
        (["--root", "/nowhere/at/all", "--venv", "x"], "there is no folder"),
        (["--root", "/tmp"], "--root needs --venv"),
        (["--root", "/tmp", "--venv", "x", "--user-install"], "do not go together"),
        (["--dry-run", "--venv", "/nowhere/at/all"], "has no stellarstream"),
        (["--dry-run", "--python", "no-such-python", "--name", "nobody-has-this"], "there is no no-such-python"),
    ],
)
def test_what_cannot_be_is_refused(arguments, why):
    done = setup(*arguments)
    assert done.returncode == 2
    assert why in done.stderr


# --- a machine that is yet to be ------------------------------------------------------------------


@dataclass(frozen=True)
class Twice:
    """A machine that was set up two times, what was said each time, and what was there in between."""

    root: Path
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]
    between: dict[str, tuple[object, ...]]


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> Twice:
    root = tmp_path_factory.mktemp("root")
    arguments = ("--root", root, "--venv", VENV)
    tell_all = ("sh", "-x")  # every command line
    first = setup(*arguments, shell=tell_all)
    assert first.returncode == 0, first.stderr
    between = snapshot(root)
    return Twice(root, first, setup(*arguments, shell=tell_all), between)


def test_run_twice_it_changes_nothing_the_second_time(twice):
    assert snapshot(twice.root) == twice.between
    assert twice.second.returncode == 0
    assert "Nothing had to be changed." in twice.second.stdout
    assert "  +  " not in twice.second.stdout
    assert len(re.findall(r"^  \+  ", twice.first.stdout, re.MULTILINE)) == 6
    assert "systemctl enable --now stellarstream" in twice.first.stdout
    files = {name for name in twice.between if not (twice.root / name).is_dir()}
    assert files == {str(SETTINGS), str(UNIT), str(WRAPPER)}


def test_what_it_makes_is_closed_to_others_as_it_must_be(twice):
    assert mode(twice.root / SETTINGS) == 0o640
    assert mode(twice.root / SETTINGS.parent) == 0o750
    assert mode(twice.root / "var/lib/stellarstream") == 0o700
    assert mode(twice.root / "var/log/stellarstream") == 0o700
    assert mode(twice.root / WRAPPER) == 0o755
    assert mode(twice.root / UNIT) == 0o644


def test_secrets_are_made_once_fit_and_are_seen_nowhere(twice):
    made = read_settings(twice.root / SETTINGS)
    check_secrets(load_settings(environ=made))
    for said in (twice.first.stdout, twice.first.stderr, twice.second.stdout, twice.second.stderr):
        for name in SECRETS:
            assert len(made[name]) >= 48
            assert made[name] not in said
    assert "STELLARSTREAM_RUN_DIR=" in twice.first.stderr  # command lines were told
    others = [twice.root / UNIT, twice.root / WRAPPER]
    assert not [path for path in others for name in SECRETS if made[name] in path.read_text()]


def test_what_others_wrote_is_kept_and_secrets_that_are_open_are_closed(tmp_path):
    written = {
        SETTINGS: "STELLARSTREAM_SECRET_KEY=\nSTELLARSTREAM_SIGNING_KEY=mine\n# my own\n",
        WRAPPER: "#!/bin/sh\necho mine\n",
        UNIT: "[Service]\nExecStart=/bin/true\n",
    }
    for path, text in written.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).chmod(0o644)
    (tmp_path / "var/lib/stellarstream").mkdir(mode=0o755, parents=True)
    said = set_up(tmp_path)

    assert (tmp_path / SETTINGS).read_text() == written[SETTINGS]
    assert "STELLARSTREAM_SECRET_KEY is not set in it" in said
    assert "STELLARSTREAM_SIGNING_KEY" not in said
    assert "mine" not in said
    assert "let nobody but the service read" in said
    assert mode(tmp_path / SETTINGS) == 0o640
    assert mode(tmp_path / "var/lib/stellarstream") == 0o700
    assert "is somebody else's and stays" in said
    assert (tmp_path / WRAPPER).read_text() == written[WRAPPER]
    assert "kept the one that was there" in said
    assert Path(tmp_path, f"{UNIT}.old").read_text() == written[UNIT]


def test_a_second_service_lives_beside_the_first(twice, tmp_path):
    set_up(tmp_path, "--name", "stars")
    files = {name for name in snapshot(tmp_path) if not (tmp_path / name).is_dir()}
    assert files == {"etc/stars/stars.env", "etc/systemd/system/stars.service", "usr/local/bin/stars"}
    made = read_settings(tmp_path / "etc/stars/stars.env")
    assert made["STELLARSTREAM_RUN_DIR"] == "/run/stars"
    assert made["STELLARSTREAM_DATABASE_URL"] == "sqlite:////var/lib/stars/stellarstream.db"
    unit = (tmp_path / "etc/systemd/system/stars.service").read_text()
    assert "\nEnvironmentFile=/etc/stars/stars.env\n" in unit
    assert "\nUser=stars\n" in unit
    first = read_settings(twice.root / SETTINGS)
    assert not {first[name] for name in SECRETS} & {made[name] for name in SECRETS}


def test_it_installs_the_checkout_it_lies_in_and_a_package_only_when_asked(tmp_path):
    where = ("--dry-run", "--name", "nobody-has-this")
    assert f"and install {ROOT}[cluster,lake,postgres] with pip" in setup(*where).stdout
    assert "and install stars[lake] with pip" in setup(*where, "--package", "stars[lake]").stdout

    alone = tmp_path / "share" / "contrib"
    alone.mkdir(parents=True)
    for name in ("setup.sh", "stellarstream.env"):
        shutil.copy(SCRIPT.with_name(name), alone)
    done = setup(*where, script=alone / "setup.sh")
    assert done.returncode == 2
    assert "lies in no checkout: say what to install" in done.stderr
    done = setup(*where, "--package", "stars", script=alone / "setup.sh")
    assert (done.returncode, "and install stars with pip" in done.stdout) == (0, True)


@pytest.mark.parametrize("link", ["etc", "etc/stellarstream", "var/lib", "usr/local/bin", "etc/systemd/system"])
def test_a_link_that_leads_out_of_the_root_is_not_followed(tmp_path, link):
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    done = setup("--root", root, "--venv", VENV)
    assert done.returncode == 2
    assert f"leads out of {root}, to {outside}" in done.stderr
    assert list(outside.iterdir()) == []
    assert mode(outside) == 0o755
    assert [path for path in root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ("etc/ssl/openssl.cnf", "/etc/ssl is there, and /etc/ssl/ssl.env is not"),
        ("var/lib/ssl/keys", "/var/lib/ssl is there"),
        ("usr/lib/systemd/system/ssl.service", "there is a service ssl already"),
    ],
)
def test_a_name_that_is_somebody_elses_is_refused_and_nothing_is_touched(tmp_path, there, why):
    file = tmp_path / there
    file.parent.mkdir(parents=True)
    file.touch()
    file.parent.chmod(0o755)
    before = snapshot(tmp_path)
    done = setup("--root", tmp_path, "--venv", VENV, "--name", "ssl")
    assert done.returncode == 2
    assert why in done.stderr
    assert snapshot(tmp_path) == before


def test_a_name_whose_user_is_somebody_elses_is_refused():
    done = setup("--dry-run", "--name", "daemon")
    assert done.returncode == 2
    assert "there is a user daemon already" in done.stderr


def test_settings_that_are_a_link_to_nothing_are_told_of(tmp_path):
    (tmp_path / SETTINGS).parent.mkdir(parents=True)
    (tmp_path / SETTINGS).symlink_to("nothing.env")
    done = setup("--root", tmp_path, "--venv", VENV)
    assert done.returncode == 2
    assert "is a symbolic link to a file that is not there" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_behind_a_link_are_those_that_are_closed(tmp_path):
    set_up(tmp_path)
    (tmp_path / SETTINGS).rename(kept := tmp_path / "etc" / "kept.env")
    (tmp_path / SETTINGS).symlink_to("../kept.env")
    kept.chmod(0o644)
    set_up(tmp_path)
    assert mode(kept) == 0o640
    assert "Nothing had to be changed." in set_up(tmp_path)


def test_several_at_once_make_one_installation(tmp_path):
    command = ["sh", str(SCRIPT), "--root", str(tmp_path), "--venv", str(VENV)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen(command, env=clean_environment(), **pipes) for _ in range(4)]
    said = [run.communicate(timeout=100) for run in runs]
    assert [(run.returncode, err) for run, (_, err) in zip(runs, said, strict=True)] == [(0, "")] * 4
    assert sum("Nothing had to be changed." in out for out, _ in said) == 3
    files = {name for name in snapshot(tmp_path) if not (tmp_path / name).is_dir()}
    assert files == {str(SETTINGS), str(UNIT), str(WRAPPER)}


def test_a_dry_run_does_nothing_and_says_all_of_it(tmp_path):
    root, home = tmp_path / "root", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    for arguments, env in [
        (["--root", root, "--venv", VENV], {}),
        (["--user-install", "--venv", VENV], {"HOME": str(home)}),
        (["--user-install"], {"HOME": str(home)}),
        (["--name", "nobody-has-this"], {}),
    ]:
        done = setup("--dry-run", *arguments, **env)
        assert done.returncode == 0, done.stderr
        assert "would: write the settings" in done.stdout
        assert "Nothing was done. Without --dry-run:" in done.stdout
        assert "  +  make" not in done.stdout
    assert snapshot(tmp_path).keys() == {"root", "home"}
    assert not Path("/etc/nobody-has-this").exists()


# --- a real machine's user ------------------------------------------------------------------------

APART = """
set -e
mount -t tmpfs tmpfs {folder}
for name in etc var usr/local; do
    mkdir -p {folder}/$name.new {folder}/$name.work
    mount -t overlay overlay -o lowerdir=/$name,upperdir={folder}/$name.new,workdir={folder}/$name.work /$name
done
echo ready
sh {script} --venv {venv} --name {name}
sh {script} --venv {venv} --name {name} | grep -q 'Nothing had to be changed'
stat -c '%a %U:%G %n' /etc/{name} /etc/{name}/{name}.env /var/lib/{name} /var/log/{name} /usr/local/bin/{name}
getent passwd {name}
as() {{ setpriv --reuid "$1" --regid "$(id -g "$1")" --clear-groups sh -c "$2" 2>/dev/null; }}
as {name} 'cat /etc/{name}/{name}.env >/dev/null' && echo the service reads it
as {name} 'echo >>/etc/{name}/{name}.env' || echo the service does not write it
as nobody 'cat /etc/{name}/{name}.env' || echo nobody else reads it
as nobody '/usr/local/bin/{name} --version' || echo nor can anybody call it
mount -t tmpfs tmpfs /run
/usr/local/bin/{name} --version >/dev/null 2>&1 || true
stat -c '%a %U:%G %n' /run/{name}
"""


def test_the_service_reads_its_secrets_and_nobody_else_does(tmp_path):
    """The real thing, with a real user, on a copy of this machine's folders that only these processes see."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can make a user")
    name = "stellarstream-test"
    script = APART.format(folder=tmp_path, script=SCRIPT, venv=VENV, name=name)
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if not done.stdout.startswith("ready"):
        pytest.skip(f"folders cannot be copied for some processes only: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    for line in [
        f"750 root:{name} /etc/{name}",
        f"640 root:{name} /etc/{name}/{name}.env",
        f"700 {name}:{name} /var/lib/{name}",
        f"700 {name}:{name} /var/log/{name}",
        f"755 root:root /usr/local/bin/{name}",
        "the service reads it",
        "the service does not write it",
        "nobody else reads it",
        "nor can anybody call it",
        f"700 {name}:{name} /run/{name}",  # where no systemd makes it, the command does
    ]:
        assert line in said, done.stdout + done.stderr
    (user,) = [line for line in said if line.startswith(f"{name}:")]
    assert user.endswith(f":/var/lib/{name}:/usr/sbin/nologin")
    assert not Path(f"/etc/{name}").exists()


# --- from nothing to a running service ------------------------------------------------------------


@pytest.fixture
def node():
    made = Node(SMALL)
    yield made
    made.stop()


def unit_pairs(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


def test_what_it_set_up_runs_as_its_unit_says(tmp_path_factory, node):
    """As systemd would do it: the unit's environment and commands, ready when it says so, reloaded, ended in time."""
    home = tmp_path_factory.mktemp("h")
    run = home / "run"
    run.mkdir(mode=0o700)
    people = {"HOME": str(home), "XDG_RUNTIME_DIR": str(run)}
    done = setup("--user-install", "--venv", VENV, **people)
    assert done.returncode == 0, done.stdout + done.stderr
    settings = home / ".config/stellarstream/stellarstream.env"
    assert mode(settings) == 0o600

    text = settings.read_text()
    port = free_port()
    for name, given in {
        "STELLARSTREAM_NETWORK": "sandbox",
        "STELLARSTREAM_CONTRACTS": "'*'",
        "STELLARSTREAM_START_LEDGER": "2",
        "STELLARSTREAM_API_PORT": str(port),
        "API_WORKERS": "1",
    }.items():
        text, count = re.subn(rf"^{name}=.*$", f"{name}={given}", text, flags=re.MULTILINE)
        assert count == 1
    settings.write_text(f"{text}STELLARSTREAM_RPC_URL={node.url}\n")

    unit = (home / ".config/systemd/user/stellarstream.service").read_text()
    environment = clean_environment() | people
    environment |= dict(shlex.split(line)[0].split("=", 1) for line in unit_pairs(unit, "Environment"))
    environment |= read_settings(settings)
    (run / unit_pairs(unit, "RuntimeDirectory")[0]).mkdir(mode=0o700)
    (folder,) = unit_pairs(unit, "WorkingDirectory")
    (seconds,) = unit_pairs(unit, "TimeoutStopSec")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(home / "notify"))
        manager.settimeout(60)
        environment |= {"NOTIFY_SOCKET": str(home / "notify"), "WATCHDOG_USEC": "120000000"}
        with (home / "journal").open("wb") as journal:
            service = subprocess.Popen(
                shlex.split(unit_pairs(unit, "ExecStart")[0]),
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
                start_new_session=True,
            )
        try:
            while manager.recv(100) != b"READY=1":
                assert service.poll() is None
            wrapper = [str(home / ".local/bin/stellarstream")]

            def status() -> bool:
                done = subprocess.run([*wrapper, "cluster", "status"], env=people, capture_output=True, check=False)
                return done.returncode == 0

            until(status, pause=0.3)
            reload = shlex.split(unit_pairs(unit, "ExecReload")[0])
            done = subprocess.run(reload, env=environment, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            service.send_signal(signal.SIGTERM)
            assert service.wait(float(seconds)) == 0
        finally:
            print((home / "journal").read_text())
            if service.poll() is None:
                os.killpg(service.pid, signal.SIGKILL)
                service.wait()
    made = read_settings(settings)
    said = (home / "journal").read_text() + "".join(path.read_text() for path in home.rglob("logs/*.log"))
    assert not [name for name in SECRETS if made[name] in said]
