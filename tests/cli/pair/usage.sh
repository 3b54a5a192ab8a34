larder pair phone; echo $?
larder pair --timeout 0; echo $?
larder pair --timeout 1s; echo $?
larder pair --udid; echo $?
