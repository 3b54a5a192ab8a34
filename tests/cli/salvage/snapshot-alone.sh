bad snapshot-only-uploading
larder salvage snapshot-only-uploading; echo $?
larder ls --salvage -R snapshot-only-uploading
