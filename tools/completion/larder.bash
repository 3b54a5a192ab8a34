# bash completion of larder and larderfs: they say themselves what fits.
# SPDX-License-Identifier: LGPL-2.1-or-later

_larder()
{
	local cur prev words cword typed line plain word quote='' kind=''
	_get_comp_words_by_ref -n '=:' cur prev words cword

	# as the program would get them; nothing in them is expanded
	typed=("${words[@]:1:cword}")
	for word in "${!typed[@]}"; do
		line=${typed[word]}
		case $line in
		[\"\']*) line=${line#?} line=${line%[\"\']} ;;
		*) line=${line//\\/} ;;
		esac
		typed[word]=$line
	done
	plain=${typed[cword - 1]}
	[[ $cur == [\"\']* ]] && quote=${cur:0:1}

	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:*)
			kind=$line
			continue
			;;
		esac
		word=${line%%$'\t'*}
		# readline replaces only what is behind these
		line=$plain
		if [[ $COMP_WORDBREAKS == *=* ]]; then
			word=${word#"${line%"${line##*=}"}"} line=${line##*=}
		fi
		if [[ $COMP_WORDBREAKS == *:* ]]; then
			word=${word#"${line%"${line##*:}"}"}
		fi
		[[ $quote ]] || printf -v word %q "$word"
		COMPREPLY+=("$word")
	done < <("$1" --complete "${typed[@]}" 2>/dev/null)

	[[ ${COMPREPLY[0]-} == *[=/] ]] && compopt -o nospace
	[[ $kind ]] || return 0
	[[ $cur == -*=* ]] && cur=${cur#*=}
	case $kind in
	:folders) _filedir -d ;;
	:files) _filedir ;;
	esac
}

complete -F _larder larder larderfs
