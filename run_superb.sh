#!/usr/bin/env bash
# One command for a SUPERB task: finds a Python environment, or makes one, then calls downstream_runs.
set -euo pipefail

checkout=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
env_dir=$checkout/.superb-env
log=$env_dir/install.log
stamp=$env_dir/stamp
# The newest Python with a wheel of every dependency is 3.12: editdistance has none for 3.13.
pythons=(python3.11 python3.12 python3.10 python3 python)
needed_mb=7000

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
    quietly "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'
}

# Set `python` to the first supported one on the path. $1 is a further module it must be able to import.
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

# An environment is taken for good only with a stamp, written last: the hash of setup.cfg, then the extras.
setup_hash() { sha256sum "$checkout/setup.cfg" | cut -d ' ' -f 1; }
own_ready() { # $1: the extras that are needed
    [[ -f $stamp && $(sed -n 1p "$stamp") == "$(setup_hash)" ]] &&
        [[ $(with_extras "$1") == $(sed -n 2p "$stamp") ]] &&
        has "$env_dir/bin/python" superb-arm s3prl torch torchaudio
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

install_checkout() { # $1: the extras, comma-separated
    local target="${checkout}[$1]"
    if command -v uv >/dev/null; then
        with_progress uv pip install --python "$env_dir/bin/python" -e "$target"
    else
        with_progress "$env_dir/bin/python" -m pip install --progress-bar off -e "$target"
    fi
}

install_failed() {
    sed 's/^/  | /' <(tail -n 15 "$log") >&2
    keep_old_stamp
    fail 1 "the installation into $env_dir failed (its last lines are above, all of it is in $log): check the" \
        "network and the disk and call again, or set SUPERB_PYTHON to a Python that has the packages of setup.cfg."
}

# Make or complete the checkout's own environment. $1: the extras, comma-separated.
install_own() {
    local extras=$1 python module=ensurepip free_mb
    mkdir -p "$env_dir" 2>/dev/null ||
        fail 1 "cannot make $env_dir: make the folder writable, or set SUPERB_PYTHON to a Python that has the packages."
    exec 9>"$env_dir/lock"
    if command -v flock >/dev/null && ! flock -n 9; then
        say "another call is installing into $env_dir; waiting for it."
        quietly flock 9
    fi
    if own_ready "$extras"; then
        exec 9>&-
        return
    fi
    rm -f "$stamp.old"
    if [[ -f $stamp ]] && has "$env_dir/bin/python" superb-arm; then
        extras=$(with_extras "$extras")
        say "setup.cfg has changed, or more of it is needed: bringing $env_dir up to date ([$extras])."
        mv -f "$stamp" "$stamp.old"
        : >"$log"
    else
        if command -v uv >/dev/null; then module=sys; fi
        base_python "$module" ||
            fail 2 "no Python 3.10, 3.11 or 3.12 with venv was found on PATH: install one (Debian: apt install" \
                "python3 python3-venv), or set SUPERB_PYTHON to a Python that has the packages."
        free_mb=$(df -Pm -- "$env_dir" | awk 'NR == 2 {print $4}')
        ((free_mb >= needed_mb)) ||
            fail 1 "$env_dir needs about 6 GB and its disk has $free_mb MB free: free some, or set SUPERB_PYTHON" \
                "to a Python that has the packages."
        say "first use: installing torch, s3prl and the rest into $env_dir with $python: about 6 GB, 3 to 10 minutes."
        make_environment "$python" || install_failed
    fi
    install_checkout "$extras" || install_failed
    { setup_hash && printf '%s\n' "$extras"; } >"$stamp.new"
    mv -f "$stamp.new" "$stamp"
    rm -f "$stamp.old"
    say "installed into $env_dir."
    exec 9>&-
}

# Set `python`. $1: run, test, distill, or light, for the commands that need no package: nothing is installed for those.
choose_python() {
    local wanted=(s3prl torch torchaudio) extras=demo active
    if [[ $1 == 'test' ]]; then wanted+=(pytest hypothesis) extras=demo,dev; fi
    if [[ $1 == distill ]]; then wanted+=(transformers) extras=demo,distill; fi
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
            fail 2 "no Python 3.10, 3.11 or 3.12 was found on PATH: install one, or set SUPERB_PYTHON to one."
    else
        install_own "$extras"
    fi
}

mode=run
case ${1:-} in
    '' | list | doctor | status | logs | cancel | clean | help | -V | --version) mode=light ;;
    test) mode='test' ;;
    distill) mode=distill ;;
    check | table | report) ;;
    *) (($# > 1)) || mode=light ;; # a run is two words: one alone is mistyped, and nothing is installed to say so
esac
for argument in "$@"; do
    case $argument in
        -h | --help) [[ $mode == 'test' ]] || mode=light ;;
    esac
done

choose_python "$mode"
export PYTHONPATH="$checkout${PYTHONPATH:+:$PYTHONPATH}"
if [[ $mode == 'test' ]]; then
    cd "$checkout"
    exec "$python" -m pytest "${@:2}"
fi
# While Python itself starts it answers Ctrl-C with a traceback: the signal waits until downstream_runs takes it.
later=()
if env --block-signal=INT env >/dev/null 2>&1; then later=(env --block-signal=INT); fi
# A folder of the caller's that happens to be called s3prl or reports must not be imported.
PYTHONSAFEPATH=1 exec ${later[@]+"${later[@]}"} "$python" -m downstream_runs "$@"
