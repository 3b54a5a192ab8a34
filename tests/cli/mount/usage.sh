larder mount
larder mount a b c
larder mount -o x -o y a
larder mount --colour a
