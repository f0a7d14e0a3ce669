#!/usr/bin/env bash
# One command for a SUPERB task: finds a Python environment, or makes one, then calls downstream_runs.
set -euo pipefail

# Not `readlink -f`, which macOS has only since 12.3.
script=${BASH_SOURCE[0]}
while [[ -L $script ]]; do
    folder=$(CDPATH='' cd -- "$(dirname -- "$script")" && pwd -P)
    script=$(readlink -- "$script")
    [[ $script == /* ]] || script=$folder/$script
done
checkout=$(CDPATH='' cd -- "$(dirname -- "$script")" && pwd -P)
# For commands that need no torch there may be a small environment, where the whole one is not there.
small_env=$checkout/.superb-env-light
small_packages=(numpy scipy matplotlib)
pythons=(python3.14 python3.13 python3.12 python3.11 python3.10 python3 python)
versions="3.10 to 3.14"
wanted_set=

use_env() { # $1: the folder of the environment that is meant from here on
    env_dir=$1
    log=$env_dir/install.log
    stamp=$env_dir/stamp
}
use_env "$checkout/.superb-env"

say() { printf 'run_superb.sh: %s\n' "$*" >&2; }
fail() {
    local status=$1
    shift
    say "$*"
    exit "$status"
}

# Ctrl-C and the like, whatever is being done: nothing that was stopped half-way is blamed on something else.
# Work that takes time is run by `quietly`, since bash acts on a signal only between commands, but at once in `wait`.
child=
stopped() {
    if [[ -n $child ]]; then kill "$child" 2>/dev/null || true; fi
    fail 130 "interrupted."
}
trap stopped INT TERM HUP
quietly() {
    local status=0
    "$@" >/dev/null 2>&1 </dev/null &
    child=$!
    wait "$child" || status=$?
    child=
    return "$status"
}

# Does Python $1 have all the distributions that follow? Asked from / and without the checkout on the path:
# the checkout's own superb_arm.egg-info would answer for any Python.
from_root() { cd / && exec "$@"; }
has() {
    local python=$1
    shift
    quietly from_root "$python" -c 'import importlib.metadata as m, sys; [m.version(n) for n in sys.argv[1:]]' "$@"
}

supported() {
    quietly "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))'
}

# Set `python` to the newest supported one on the path. $1 is a further module it must be able to import.
base_python() {
    local name
    for name in "${pythons[@]}"; do
        if supported "$name" && quietly "$name" -c "import ${1:-sys}"; then
            python=$(command -v "$name")
            return
        fi
    done
    return 1
}

# An environment is taken for good only with a stamp, written last: a checksum of the files that name packages,
# the extras, and whether it holds the tested set (constraints.txt) or the latest releases.
setup_hash() { cat "$checkout"/{setup.cfg,constraints.txt,reports/requirements.txt} | cksum; }
own_ready() { # $1: the extras that are needed
    [[ -f $stamp && $(sed -n 1p "$stamp") == "$(setup_hash)" ]] &&
        [[ $(with_extras "$1") == $(sed -n 2p "$stamp") ]] &&
        [[ $(chosen_set) == $(sed -n 3p "$stamp") ]] &&
        has "$env_dir/bin/python" superb-arm s3prl torch torchaudio
}
small_ready() {
    [[ -f $stamp && $(sed -n 1p "$stamp") == "$(setup_hash)" && $(chosen_set) == $(sed -n 3p "$stamp") ]] &&
        has "$env_dir/bin/python" "${small_packages[@]}"
}

# latest if --latest asks for it now or did when the environment was made, else tested.
chosen_set() {
    local made
    made=$(sed -n 3p "$stamp" 2>/dev/null || true)
    printf '%s' "${wanted_set:-${made:-tested}}"
}

# The extras of the stamp, then those of $1 that are not among them.
with_extras() {
    local all one
    all=$(sed -n 2p "$stamp" 2>/dev/null || true)
    for one in ${1//,/ }; do
        [[ ,$all, == *,$one,* ]] || all=${all:+$all,}$one
    done
    printf '%s' "$all"
}

# An upgrade that stopped before it changed a package leaves the environment as good as it was.
keep_old_stamp() {
    if [[ -f $stamp.old ]] && ! command -v uv >/dev/null && ! grep -q '^Installing collected packages' "$log"; then
        mv -f "$stamp.old" "$stamp"
    fi
}

interrupted() { # $1: the installer's process
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
    keep_old_stamp
    [[ -t 2 ]] && printf '\n' >&2
    fail 130 "interrupted; the next call starts the installation again."
}

# Run "$@" with its output in the log, and show every few seconds how far it is.
with_progress() {
    local pid status=0 start=$SECONDS last tick=30 next
    [[ -t 2 ]] && tick=3
    next=$((start + tick))
    # The installer keeps the lock (descriptor 9), so that it stays held as long as anything is written.
    "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
    trap 'interrupted "$pid"' INT TERM HUP
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if ((SECONDS >= next)); then
            next=$((SECONDS + tick))
            last=$(grep -oE '(Downloading|Collecting|Building|Preparing) [^ ]+|Installing collected packages' "$log" | tail -n 1 || true)
            if [[ -t 2 ]]; then
                printf '\r\033[K  %d:%02d  %.90s' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$last" >&2
            else
                printf '  %d:%02d  %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$last" >&2
            fi
        fi
    done
    wait "$pid" || status=$?
    trap stopped INT TERM HUP
    [[ -t 2 ]] && printf '\r\033[K' >&2
    return "$status"
}

make_environment() { # $1: a supported Python; remakes the folder from nothing but its lock
    find "$env_dir" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf -- {} +
    : >"$log"
    if command -v uv >/dev/null; then
        with_progress uv venv --allow-existing --python "$1" "$env_dir"
    else
        with_progress "$1" -m venv "$env_dir"
    fi
}

install_packages() { # $1: the set, tested or latest; the rest is what to install
    local given=(-c "$checkout/constraints.txt")
    [[ $1 == latest ]] && given=(--upgrade)
    shift
    if command -v uv >/dev/null; then
        with_progress uv pip install --python "$env_dir/bin/python" "${given[@]}" "$@"
    else
        [[ ${given[0]} == --upgrade ]] && given+=(--upgrade-strategy eager)
        with_progress "$env_dir/bin/python" -m pip install --progress-bar off "${given[@]}" "$@"
    fi
}

install_failed() {
    sed 's/^/  | /' <(tail -n 15 "$log") >&2
    keep_old_stamp
    fail 1 "the installation into $env_dir failed (its last lines are above, all of it is in $log): check the" \
        "network and the disk and call again, or set SUPERB_PYTHON to a Python that has the packages of setup.cfg."
}

# Make or complete the checkout's own environment. $1: the extras, comma-separated; none for the small one.
install_own() {
    local extras=$1 python module=ensurepip free_mb chosen ready=own_ready needed_mb=7000 what=(-e)
    local size="about 6 GB, 3 to 10 minutes" parts="torch, s3prl and the rest"
    if [[ -z $extras ]]; then
        ready=small_ready needed_mb=700 size="400 MB, about a minute" parts="what needs no torch"
        what=(-r "$checkout/reports/requirements.txt")
    fi
    mkdir -p "$env_dir" 2>/dev/null ||
        fail 1 "cannot make $env_dir: make the folder writable, or set SUPERB_PYTHON to a Python that has the packages."
    exec 9>"$env_dir/lock"
    if command -v flock >/dev/null && ! flock -n 9; then
        say "another call is installing into $env_dir; waiting for it."
        quietly flock 9
    fi
    if "$ready" "$extras"; then
        exec 9>&-
        return
    fi
    chosen=$(chosen_set)
    rm -f "$stamp.old"
    if [[ -n $extras && -f $stamp ]] && has "$env_dir/bin/python" superb-arm; then
        extras=$(with_extras "$extras")
        say "setup.cfg or constraints.txt has changed, or more is needed: bringing $env_dir up to date" \
            "([$extras], $chosen versions)."
        mv -f "$stamp" "$stamp.old"
        : >"$log"
    else
        if command -v uv >/dev/null; then module=sys; fi
        base_python "$module" ||
            fail 2 "no Python $versions with venv was found on PATH: install one (Debian: apt install" \
                "python3 python3-venv), or set SUPERB_PYTHON to a Python that has the packages."
        free_mb=$(df -Pk -- "$env_dir" | awk 'NR == 2 {print int($4 / 1024)}')
        ((free_mb >= needed_mb)) ||
            fail 1 "$env_dir needs $needed_mb MB and its disk has $free_mb MB free: free some, or set SUPERB_PYTHON" \
                "to a Python that has the packages."
        say "first use: installing $parts into $env_dir with $python: $size."
        make_environment "$python" || install_failed
    fi
    if [[ -n $extras ]]; then what+=("${checkout}[$extras]"); fi
    install_packages "$chosen" "${what[@]}" || install_failed
    { setup_hash && printf '%s\n' "$extras" "$chosen"; } >"$stamp.new"
    mv -f "$stamp.new" "$stamp"
    rm -f "$stamp.old"
    say "installed into $env_dir."
    exec 9>&-
    # torch and torchaudio may each be good and not fit each other; the module says what to do then.
    if [[ -n $extras ]]; then
        (cd / && PYTHONPATH=$checkout "$env_dir/bin/python" -m downstream_runs.bridge.pair) || exit 1
    fi
}

# Set `python`. $1: run, hf, test, distill, small for the commands that need no torch, or light for those that need no
# package at all: nothing is installed for those.
choose_python() {
    local wanted=(s3prl torch torchaudio) extras=demo active
    if [[ $1 == small ]]; then wanted=("${small_packages[@]}"); fi
    if [[ $1 == 'test' ]]; then wanted+=(pytest pytest-xdist pytest-timeout hypothesis) extras=demo,dev; fi
    if [[ $1 == distill ]]; then wanted+=(transformers) extras=demo,distill; fi
    if [[ $1 == hf ]]; then wanted+=(transformers) extras=demo,hf; fi
    if [[ -n ${SUPERB_PYTHON:-} ]]; then
        python=$(command -v -- "$SUPERB_PYTHON") ||
            fail 2 "SUPERB_PYTHON is $SUPERB_PYTHON, which is no Python that can be run: set it to one or unset it."
        [[ $python == /* ]] || python=$PWD/$python
        [[ $1 == light ]] || has "$python" "${wanted[@]}" ||
            fail 2 "SUPERB_PYTHON ($python) has not all of ${wanted[*]}: run '$python -m pip install -e" \
                "\"${checkout}[$extras]\"', or unset SUPERB_PYTHON."
        return
    fi
    for active in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}"; do
        python=$active/bin/python
        if [[ -n $active && -x $python ]] && has "$python" superb-arm "${wanted[@]}"; then return; fi
    done
    python=$env_dir/bin/python
    own_ready "$extras" && return
    if [[ $1 == light ]]; then
        base_python ||
            fail 2 "no Python $versions was found on PATH: install one, or set SUPERB_PYTHON to one."
    elif [[ $1 == small ]]; then
        use_env "$small_env"
        python=$env_dir/bin/python
        small_ready || install_own ''
    else
        install_own "$extras"
    fi
}

if [[ ${1:-} == --latest ]]; then
    wanted_set=latest
    shift
fi
mode=run
case ${1:-} in
    '' | list | doctor | status | logs | cancel | clean | help | -V | --version) mode=light ;;
    report | table | compare | score | submit | check | data | recipe) mode=small ;;
    test) mode='test' ;;
    distill) mode=distill ;;
    *) (($# > 1)) || mode=light ;; # a run is two words: one alone is mistyped, and nothing is installed to say so
esac
# A model of the hub or in a folder is read by transformers.
upstream=${1:-}
case $upstream in run | estimate | inspect) upstream=${2:-} ;; esac
case $mode,$upstream in run,hf:* | run,*,hf:* | run,/* | run,*,/* | run,./* | run,*,./* | run,../* | run,*,../*) mode=hf ;; esac
for argument in "$@"; do
    case $argument in
        -h | --help) [[ $mode == 'test' ]] || mode=light ;;
    esac
done

choose_python "$mode"
export PYTHONPATH="$checkout${PYTHONPATH:+:$PYTHONPATH}"
if [[ $mode == 'test' ]]; then
    cd "$checkout"
    # Two processes, a file of tests in one of them: files make what their tests share. Another -n takes its place.
    exec "$python" -m pytest -n 2 --dist loadfile "${@:2}"
fi
# While Python itself starts it answers Ctrl-C with a traceback: the signal waits until downstream_runs takes it.
later=()
if env --block-signal=INT env >/dev/null 2>&1; then later=(env --block-signal=INT); fi
# A folder of the caller's that happens to be called s3prl or reports must not be imported.
PYTHONSAFEPATH=1 exec ${later[@]+"${later[@]}"} "$python" -m downstream_runs "$@"
