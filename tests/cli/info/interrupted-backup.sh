bad status-uploading
larder info status-uploading
larder info --json status-uploading | grep -o '"complete.*state":[^,]*'
