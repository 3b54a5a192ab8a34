bad snapshot-only-uploading
set -- snapshot-only-uploading; larder info "$1"
