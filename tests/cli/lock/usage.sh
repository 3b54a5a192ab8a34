larder lock --all x
larder lock --colour
