
# What the script takes from the package bash-completion, for shells without it.
if ! declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
    # Joins what bash has cut at = and : inside of a word.
    _get_comp_words_by_ref()
    {
        local i word line=$COMP_LINE
        words=() cword=0
        for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
            word=${COMP_WORDS[i]}
            if ((i == 0)) || [[ $line == [[:space:]]* || -z $line ]]; then
                line=${line#"${line%%[![:space:]]*}"}
                words+=("$word")
            else
                words[${#words[@]} - 1]+=$word
            fi
            line=${line#"$word"}
            if ((i == COMP_CWORD)); then
                cword=$((${#words[@]} - 1))
            fi
        done
        cur=${words[cword]} prev=
        if ((cword > 0)); then
            prev=${words[cword - 1]}
        fi
    }
fi
if ! declare -F _filedir >/dev/null 2>&1; then
    # Lists directories, and files with one of the endings a|b|c; with -d none.
    _filedir()
    {
        local name
        while IFS= read -r name; do
            COMPREPLY+=("$name")
        done < <(compgen -d -- "$cur")
        if [[ ${1-} != -d ]]; then
            while IFS= read -r name; do
                if [[ ! -d $name && (-z ${1-} || "|$1|" == *"|${name##*.}|"*) ]]; then
                    COMPREPLY+=("$name")
                fi
            done < <(compgen -f -- "$cur")
        fi
        if [[ $(type -t compopt) == builtin ]]; then
            compopt -o filenames 2>/dev/null
        fi
    }
fi
