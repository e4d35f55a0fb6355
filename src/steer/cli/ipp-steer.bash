# bash completion for ipp-steer                                    -*- shell-script -*-
# SPDX-License-Identifier: BSD-3-Clause
# Verbs and options come from ipp-steer itself, so that there is one list of them.

_ipp_steer_verbs() {
    ipp-steer --help 2>/dev/null | sed -n 's/^  \([a-z]\{2,\}\) .*/\1/p'
}

# The options of a verb, as its usage names them.
_ipp_steer_options() {
    ipp-steer "$1" --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u
}

# Cluster ids of the default profile.
_ipp_steer_clusters() {
    local file folder=${IPYTHONDIR:-$HOME/.ipython}/profile_default/security
    for file in "$folder"/ipcontroller-*-client.json; do
        [ -e "$file" ] || continue
        file=${file##*/ipcontroller-}
        printf '%s\n' "${file%-client.json}"
    done
}

_ipp_steer_profiles() {
    local folder
    for folder in "${IPYTHONDIR:-$HOME/.ipython}"/profile_*; do
        [ ! -d "$folder" ] || printf '%s\n' "${folder##*/profile_}"
    done
}

# Values of a key in what the cluster says, if it does within a second: _ipp_steer_ask KEY WORD...
_ipp_steer_ask() {
    local key=$1
    shift
    timeout 1 ipp-steer "${cluster[@]}" "$@" --json 2>/dev/null </dev/null |
        sed -n "s/^ *\"$key\": \"\(..*\)\",\{0,1\}\$/\1/p" | sort -u
}

# Bash takes = for a word of its own.
_ipp_steer() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb='' i cluster=()
    local common='--cluster-id --profile --connection-file --ssh --timeout --help --version'
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --cluster-id | --profile | --connection-file | --ssh | --timeout)
            cluster+=("${COMP_WORDS[i]}")
            [ "${COMP_WORDS[i + 1]}" != = ] || ((i++))
            ((i++))
            [ "$i" -ge "$COMP_CWORD" ] || cluster+=("${COMP_WORDS[i]}")
            ;;
        -* | =) ;;
        *)
            verb=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    if [ "$word" = = ] || [ "$before" = = ]; then
        [ "$word" = = ] && word='' || before=${COMP_WORDS[COMP_CWORD - 2]}
        case $verb,$before in
        push,[!-]* | scatter,[!-]*) before='NAME=' ;;
        esac
    fi
    case $before in
    NAME=) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    --cluster-id) mapfile -t COMPREPLY < <(compgen -W "$(_ipp_steer_clusters)" -- "$word") ;;
    --profile) mapfile -t COMPREPLY < <(compgen -W "$(_ipp_steer_profiles)" -- "$word") ;;
    --connection-file | -o | --output) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    --ssh) mapfile -t COMPREPLY < <(compgen -A hostname -- "$word") ;;
    --role) mapfile -t COMPREPLY < <(compgen -W 'observer operator' -- "$word") ;;
    --signal) mapfile -t COMPREPLY < <(compgen -A signal -- "$word") ;;
    --on) mapfile -t COMPREPLY < <(compgen -W "all $(_ipp_steer_ask group engines)" -- "$word") ;;
    --revoke) mapfile -t COMPREPLY < <(compgen -W "$(_ipp_steer_ask name invite --list)" -- "$word") ;;
    --timeout | --expires | --chunk) ;;
    *)
        case $verb,$word in
        ,-*) mapfile -t COMPREPLY < <(compgen -W "$common" -- "$word") ;;
        ,*) mapfile -t COMPREPLY < <(compgen -W "$(_ipp_steer_verbs)" -- "$word") ;;
        *,-*) mapfile -t COMPREPLY < <(compgen -W "$common $(_ipp_steer_options "$verb")" -- "$word") ;;
        run,*) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        reduce,*) mapfile -t COMPREPLY < <(compgen -W 'sum prod min max and or' -- "$word") ;;
        esac
        ;;
    esac
}

complete -F _ipp_steer ipp-steer
