bad manifest-db-truncated
larder info manifest-db-truncated; echo $?
bad manifest-plist-truncated
larder info --json manifest-plist-truncated; echo $?
