# fish completion of larder and larderfs: they say themselves what fits.
# SPDX-License-Identifier: LGPL-2.1-or-later

function __larder_complete
    set -l typed (commandline -opc)
    set -l now (commandline -ct)
    set -l plain (string unescape -- "$now"; or echo "$now")
    # what is before the "=" of an option stays there
    set -l option (string match -r '^--[^=]*=' -- "$plain")
    set -l path (string replace -r '^--[^=]*=' '' -- "$plain")

    for line in ($typed[1] --complete $typed[2..-1] "$plain" 2>/dev/null)
        switch $line
            case :folders
                for found in (__fish_complete_directories "$path" '')
                    echo "$option$found"
                end
            case :files
                for found in (__fish_complete_path "$path" '')
                    echo "$option$found"
                end
            case '*'
                printf '%s\n' $line
        end
    end
end

complete -c larder -f -a '(__larder_complete)'
complete -c larderfs -f -a '(__larder_complete)'
