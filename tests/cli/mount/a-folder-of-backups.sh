larder mount "$GOLDEN"
