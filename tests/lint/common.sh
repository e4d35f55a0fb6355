# shellcheck shell=bash disable=SC2034  # who sources it uses the variables
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the lint tests: which files there are, and how a lint says that something is wrong.
set -euo pipefail
top=$(cd "${srcdir:-$(dirname "$0")/../..}" && pwd -P)
top_build=$PWD
wrong=0

# need TOOL PACKAGE: the test is skipped where the tool is missing.
need() {
    command -v "$1" >/dev/null || {
        echo "skipped: no $1 (Debian: $2)"
        exit 77
    }
}

# found TEXT: one line of what is wrong.
found() {
    printf '%s\n' "$1"
    wrong=1
}

# A tarball unpacked inside another project's checkout is not what that git knows.
git_is_ours() { [ "$(git -C "$top" rev-parse --show-toplevel 2>/dev/null)" = "$top" ]; }

# Files of the tree, as paths below it: what git knows or might get to know, without git what is there.
files() {
    (
        cd "$top"
        if git_is_ours; then
            git ls-files --cached --others --exclude-standard
        else
            find . \( -name .git -o -name build -o -name _build -o -name _inst -o -name build-aux \
                -o -name autom4te.cache \) -prune -o -type f ! -name '*~' -printf '%P\n'
        fi
    ) | while IFS= read -r file; do
        [ ! -f "$top/$file" ] || printf '%s\n' "$file"
    done | sort
}
c_files() { files | grep -E '\.[ch]$' | grep -vE '(^|/)config\.h' || true; }
python_files() { files | grep -E '\.py$' || true; }
shell_files() {
    files | while IFS= read -r file; do
        case $file in
        *.sh | *.test | batch/*/ipp-engine.*) printf '%s\n' "$file" ;;
        configure | build-aux/* | m4/*) ;;
        *) if head -c 64 "$top/$file" | head -n 1 | tr -d '\0' | grep -qE '^#!.*\b(ba|da)?sh\b'; then printf '%s\n' "$file"; fi ;;
        esac
    done
}
