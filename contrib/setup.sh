#!/bin/sh
# Sets StellarStream up as a service of this machine: user, folders, Python environment, secrets, systemd unit. What is
# there already stays as it is, so it may be run again. 'setup.sh --help' tells more.
set -eu

usage() {
    cat <<'END'
Usage: setup.sh [OPTIONS]

Sets StellarStream up as a service of this machine, under systemd. Run it as root, or with --user-install.
It says what it does, may be run again, starts nothing, and never changes settings or secrets that are there.

  --dry-run        say what would be done, and do nothing
  --user-install   a service of your own: everything in your home folder, no root needed
  --name NAME      name of the service, its user and its folders (default: stellarstream); for a second one
  --package SPEC   what pip installs: a wheel, another checkout, or a package's name, which pip looks for in its
                   registry (default: the checkout that setup.sh lies in; where it lies in none there is no default)
  --python PATH    the Python to use, 3.11 or newer (default: python3)
  --venv DIR       an environment that has stellarstream already: none is made
  --root DIR       write below DIR only, for a machine that is yet to be: no user is made; needs --venv
  -h, --help       this text

  /opt/NAME/venv                       the Python environment              ~/.local/share/NAME/venv
  /etc/NAME/NAME.env                   settings and secrets                ~/.config/NAME/NAME.env
  /var/lib/NAME, /var/log/NAME         data, log files                     ~/.local/state/NAME, .../logs
  /etc/systemd/system/NAME.service     the unit                            ~/.config/systemd/user
  /usr/local/bin/NAME                  'stellarstream' as the service      ~/.local/bin/NAME
END
}

name=stellarstream package='' python=python3 venv='' root='' dry='' own=''
here=$(cd "$(dirname "$0")" && pwd)
changes=0

say() { printf '%s\n' "$*"; }
fail() {
    printf 'setup.sh: %s\n' "$*" >&2
    exit 2
}
is_so() { say "  =  $*"; }
quoted() { say "$1" | sed "s/'/'\\\\''/g; s/^/'/; s/\$/'/"; }
# true where it is to be done, and says so; false in a dry run
doing() {
    changes=$((changes + 1))
    if [ -n "$dry" ]; then
        say "  +  would: $*"
        return 1
    fi
    say "  +  $*"
}

while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=yes ;;
        --user-install) own=yes ;;
        --name | --package | --python | --venv | --root)
            if [ $# -lt 2 ] || [ -z "$2" ]; then fail "$1 needs a value"; fi
            case $1 in
                --name) name=$2 ;;
                --package) package=$2 ;;
                --python) python=$2 ;;
                --venv) venv=$2 ;;
                --root) root=$2 ;;
            esac
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) fail "there is no option $1; see setup.sh --help" ;;
    esac
    shift
done

for given in "$here" "$package" "$python" "$venv" "$root" "${HOME:-}" "${XDG_CONFIG_HOME:-}" "${XDG_STATE_HOME:-}" \
    "${XDG_RUNTIME_DIR:-}" "${XDG_DATA_HOME:-}"; do
    case $given in *[[:cntrl:]]*) fail "a path or value holds a control character" ;; esac
done
case $name in
    root | nobody) fail "the service does not run as $name: give it another name" ;;
    *[!a-z0-9_-]* | [!a-z_]* | ???????????????????????????????*) fail "'$name' is no name for a service and a user" ;;
esac
if [ -n "$root" ]; then
    [ -z "$own" ] || fail "--root and --user-install do not go together"
    [ -n "$venv" ] || fail "--root needs --venv: an environment cannot be moved"
    [ -d "$root" ] || fail "--root: there is no folder $root"
    root=$(cd "$root" && pwd -P)
fi
if [ -z "$own$root$dry" ] && [ "$(id -u)" != 0 ]; then
    fail "run it as root, or with --user-install for a service of your own, or with --dry-run"
fi
template=$here/stellarstream.env
[ -f "$template" ] || fail "$template is not there: run setup.sh where it was shipped"
extras='[cluster,lake,postgres]'
checkout=$(dirname "$here")
if [ -z "$package" ] && [ -f "$checkout/setup.cfg" ] && [ -d "$checkout/stellarstream_core" ]; then
    package=$checkout$extras
fi

# --- where everything is ---------------------------------------------------------------------------

# a machine that is yet to be has it, we take it
systemd=''
if [ -n "$root" ] || [ -d /run/systemd/system ]; then systemd=yes; fi
if [ -n "$own" ]; then
    config=${XDG_CONFIG_HOME:-$HOME/.config}/$name
    state=${XDG_STATE_HOME:-$HOME/.local/state}/$name
    logs=$state/logs
    run=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/$name
    default_venv=${XDG_DATA_HOME:-$HOME/.local/share}/$name/venv
    wrapper=$HOME/.local/bin/$name
    unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$name.service
    systemctl='systemctl --user'
    # a machine without systemd-logind has no such folder, and nobody who could make it
    if [ -z "$systemd" ] && [ ! -d "$(dirname "$run")" ]; then run=$state/run; fi
else
    config=/etc/$name
    state=/var/lib/$name
    logs=/var/log/$name
    run=/run/$name
    default_venv=/opt/$name/venv
    wrapper=/usr/local/bin/$name
    unit=/etc/systemd/system/$name.service
    systemctl=systemctl
fi
settings=$config/$name.env
made_here=''
if [ -z "$venv" ]; then
    venv=$default_venv
    made_here=yes
fi
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac

# --- what it leaves alone --------------------------------------------------------------------------

# What a service of this name has already was made here, or is somebody else's: the folder of ssl is not ours to close.
check_nobodys() {
    if [ -L "$root$settings" ] && [ ! -e "$root$settings" ]; then
        fail "$settings is a symbolic link to a file that is not there: make that, or remove the link"
    fi
    if [ -n "$own" ] || [ -f "$root$settings" ]; then return 0; fi
    for folder in "$config" "$state" "$logs"; do
        [ -d "$root$folder" ] || continue
        if [ "$folder" != "$config" ] && [ "$(stat -c %U "$root$folder")" = "$name" ]; then continue; fi
        if [ -n "$(ls -A "$root$folder")" ]; then
            fail "$folder is there, and $settings is not: it is somebody else's. --name gives another name"
        fi
    done
    for folder in /usr/lib/systemd/system /lib/systemd/system; do
        [ ! -e "$root$folder/$name.service" ] || fail "there is a service $name already ($folder): give another --name"
    done
    if [ -z "$root" ] && home=$(getent passwd "$name" | cut -d: -f6) && [ -n "$home" ] && [ "$home" != "$state" ]; then
        fail "there is a user $name already, whose home is not $state: it is somebody else's. --name gives another name"
    fi
}

# Below --root a link to /etc is this machine's /etc.
check_inside() {
    [ -n "$root" ] || return 0
    for path in "$config" "$settings" "$state" "$logs" "$wrapper" "$unit"; do
        real=$(realpath -m "$root$path")
        case $real in
            "${root%/}"/*) ;;
            *) fail "$path leads out of $root, to $real: a symbolic link is in its path" ;;
        esac
    done
}

# --- what it does ----------------------------------------------------------------------------------

make_user() {
    [ -z "$own$root" ] || return 0
    if id -u "$name" >/dev/null 2>&1; then
        is_so "user $name"
    elif doing "make the user $name, who has no password and no shell"; then
        useradd --system --user-group --no-create-home --home-dir "$state" --shell /usr/sbin/nologin "$name"
    fi
}

# the owner and group that something must have; nobody's business where it is one's own, or a machine yet to be
owned() { # path owner
    [ -n "$own$root" ] || [ "$(stat -L -c %U:%G "$1")" = "$2" ]
}

make_folder() { # path mode owner:group
    if [ ! -d "$root$1" ]; then
        if doing "make the folder $1 (mode $2)"; then
            mkdir -p "$root$1"
            chmod "$2" "$root$1"
            if [ -z "$own$root" ]; then chown "$3" "$1"; fi
        fi
    elif [ "$(stat -L -c %a "$root$1")" = "$2" ] && owned "$root$1" "$3"; then
        is_so "folder $1"
    elif doing "close the folder $1 (mode $2${own:-, $3})"; then
        chmod "$2" "$root$1"
        if [ -z "$own$root" ]; then chown "$3" "$1"; fi
    fi
}

check_python() {
    command -v "$python" >/dev/null || fail "there is no $python; --python names another one"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is older than 3.11; --python names another one"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python cannot make environments: install python3-venv"
}

make_venv() {
    if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import stellarstream_core, circus, psutil' 2>/dev/null; then
        is_so "environment $venv with $("$venv/bin/stellarstream" --version | sed 's/, version//')"
        return 0
    fi
    [ -n "$made_here" ] || fail "$venv has no stellarstream with $extras: install it there"
    [ -n "$package" ] || fail "setup.sh lies in no checkout: say what to install in $venv, --package FILE-OR-NAME"
    check_python
    if doing "make the environment $venv and install $package with pip"; then
        mkdir -p "$(dirname "$venv")"
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$package"
    fi
}

# Secrets are made in that process and written by it: no command line and no output ever holds them. The file appears
# whole, with its mode and owner, and never in the place of another one.
make_settings() {
    if [ -e "$root$settings" ]; then
        is_so "settings $settings, left as they are"
        for secret in STELLARSTREAM_SECRET_KEY STELLARSTREAM_SIGNING_KEY; do
            grep -Eq "^$secret=.+" "$root$settings" || say "  !  $secret is not set in it; 'up' says how to make one"
        done
        check_settings_mode
        return 0
    fi
    if doing "write the settings $settings, with new secrets"; then
        "$venv/bin/python" - "$template" "$root$settings" "${own:+600}" "$([ -n "$own$root" ] || echo "$name")" \
            "STELLARSTREAM_HOME=$state" "STELLARSTREAM_RUN_DIR=$run" "STELLARSTREAM_LOG_DIR=$logs" \
            "STELLARSTREAM_DATABASE_URL=sqlite:///$state/stellarstream.db" <<'END'
import grp, os, re, secrets, shlex, sys
from stellar_sdk import Keypair

template, target, mode, group, *paths = sys.argv[1:]
values = dict(pair.split("=", 1) for pair in paths)
values["STELLARSTREAM_SECRET_KEY"] = secrets.token_urlsafe(48)
values["STELLARSTREAM_SIGNING_KEY"] = Keypair.random().secret
with open(template, encoding="utf-8") as file:
    text = file.read()
for name, value in values.items():
    text, count = re.subn(rf"^{name}=.*$", lambda _: f"{name}={shlex.quote(value)}", text, flags=re.MULTILINE)
    assert count == 1, f"{template} has not one line for {name}"
new = f"{target}.{os.getpid()}.new"
try:
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
        if group:
            os.fchown(fd, 0, grp.getgrnam(group).gr_gid)
        os.fchmod(fd, int(mode or "640", 8))
        file.flush()
        os.fsync(fd)
    os.link(new, target)
except FileExistsError:
    sys.exit(f"setup.sh: {target} came to be meanwhile, and stays: run it again")
finally:
    if os.path.exists(new):
        os.unlink(new)
END
    fi
}

check_settings_mode() {
    if [ -n "$own" ]; then mode=600; else mode=640; fi
    if [ "$(stat -L -c %a "$root$settings")" = $mode ] && owned "$root$settings" "root:$name"; then return 0; fi
    if doing "let nobody but the service read $settings (mode $mode${own:-, root:$name})"; then
        if [ -z "$own$root" ]; then chown "root:$name" "$settings"; fi
        chmod $mode "$root$settings"
    fi
}

# 'stellarstream' with the service's settings, and as its user: what that user can write, root must not execute
wrapper_text() {
    say '#!/bin/sh'
    say "# Written by setup.sh: stellarstream with the settings of the service $name, as the user that runs it."
    say 'set -eu'
    if [ -z "$own" ]; then
        cat <<END
if [ "\$(id -un)" != $name ]; then
    if [ "\$(id -u)" != 0 ]; then
        echo "Only root and $name may do that: sudo $name ..." >&2
        exit 2
    fi
    # without systemd nobody else makes it: /run is empty after a boot
    [ -d /run/systemd/system ] || [ -d $run ] || install -d -m 700 -o $name -g $name $run
    exec runuser -u $name -- $wrapper "\$@"
fi
END
    fi
    cat <<END
set -a
. $(quoted "$settings")
set +a
cd $(quoted "$state")
exec $(quoted "$venv/bin/stellarstream") "\$@"
END
}

make_wrapper() {
    if [ -e "$root$wrapper" ] && [ "$(cat "$root$wrapper")" = "$(wrapper_text)" ]; then
        is_so "command $wrapper"
    elif [ -e "$root$wrapper" ] && ! grep -q 'Written by setup.sh' "$root$wrapper"; then
        say "  !  $wrapper is somebody else's and stays; call $venv/bin/stellarstream"
    elif doing "write the command $wrapper, 'stellarstream' with the service's settings"; then
        mkdir -p "$(dirname "$root$wrapper")"
        wrapper_text >"$root$wrapper.new"
        chmod 755 "$root$wrapper.new"
        mv "$root$wrapper.new" "$root$wrapper"
    fi
}

startup() { # what 'stellarstream startup' is to do
    if [ -n "$own" ]; then set -- --user "$@"; else set -- --run-as "$name" "$@"; fi
    if [ -n "$root" ]; then set -- --root "$root" "$@"; fi
    (
        cd / # no stellarstream.toml that happens to lie around here
        export STELLARSTREAM_HOME="$state" STELLARSTREAM_LOG_DIR="$logs"
        unset STELLARSTREAM_CONFIG
        "$venv/bin/stellarstream" startup --name "$name" --environment "$settings" "$@"
    )
}

make_unit() {
    if [ -f "$root$unit" ] && [ -x "$venv/bin/stellarstream" ] && [ "$(startup)" = "$(cat "$root$unit")" ]; then
        is_so "unit $unit"
    elif doing "write the unit $unit"; then
        said=$(startup --install)
        say "$said" | sed -n 's/^kept/     kept/p'
    fi
}

say_what_next() {
    if [ -n "$dry" ]; then
        say "Nothing was done. Without --dry-run: $changes to do."
        return 0
    elif [ "$changes" = 0 ]; then
        say "Nothing had to be changed."
    fi
    start="$systemctl enable --now $name"
    [ -n "$systemd" ] || start="$wrapper up    (no systemd runs here: nothing starts it with the machine)"
    cat <<END

Next:
  1. Say in $settings what is to be indexed: STELLARSTREAM_NETWORK, _CONTRACTS, _START_LEDGER.
  2. $wrapper doctor
  3. $start
  4. $wrapper cluster status
END
}

say "StellarStream as the service '$name'${root:+, below $root}:"
umask 022
# several runs at once take turns; on a folder that is there, so that nothing is left of it
lock=${root:-${HOME:-/}}
if [ -z "$dry" ] && [ -d "$lock" ] && command -v flock >/dev/null; then
    exec 9<"$lock"
    flock -w 600 9 || fail "another setup.sh is at work"
fi
check_inside
check_nobodys
make_user
make_folder "$config" "$([ -n "$own" ] && echo 700 || echo 750)" "root:$name"
make_folder "$state" 700 "$name:$name"
make_folder "$logs" 700 "$name:$name"
make_venv
make_settings
make_wrapper
make_unit
say_what_next
