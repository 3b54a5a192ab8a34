larder ls --quiet "$GOLDEN/db-plain/backup" NoDomain; echo $?
larder ls --quiet "$GOLDEN/db-plain/backup" HomeDomain/none; echo $?
larder ls --quiet "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Documents/hello.txt/x; echo $?
larder ls --json --quiet "$GOLDEN/db-plain/backup" "$(printf 'a\033[2J\nb')"; echo $?
