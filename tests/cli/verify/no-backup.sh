mkdir empty
larder verify empty; echo $?
larder verify nowhere; echo $?
larder verify "$GOLDEN"; echo $?
